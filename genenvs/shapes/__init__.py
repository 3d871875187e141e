"""Shapes to be built: seeded families, files of the user, and what all builders' tasks share."""
