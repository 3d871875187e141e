"""Batched functions over images: no state, no task."""
