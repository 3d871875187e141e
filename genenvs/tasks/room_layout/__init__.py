"""Furnishing a room thing by thing: which one, then where."""
