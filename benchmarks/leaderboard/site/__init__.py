"""The board as a static site: one folder that needs no server and no network."""

from benchmarks.leaderboard.site.pages import build

__all__ = ["build"]
