"""A shape drawn cell by cell, in a single stroke."""
