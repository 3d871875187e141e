"""Whole ways from a target to something that a user would keep."""
