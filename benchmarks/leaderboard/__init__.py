"""Leaderboards: training many agents on many environments, and results that can be trusted."""
