"""Batched functions over voxels, boxes, meshes and points: no state, no task."""
