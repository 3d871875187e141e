"""Adapters to other people's libraries, each behind an extra."""
