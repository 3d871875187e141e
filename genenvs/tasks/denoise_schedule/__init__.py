"""Sampling an image with as few network evaluations as it needs (AdaDiff, Zhang et al.)."""
