"""Skeletons in motion: rotations, clips, files, films, metrics. Metres, seconds, z up; batched."""
