"""The command `genenvs`: list, look at, play and check environments."""

from genenvs.cli.app import app, main

__all__ = ["app", "main"]
