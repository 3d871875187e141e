"""Film: shots with attributes, footage that has them, edits and finished films."""
