"""The contract every environment keeps; knows no task."""
