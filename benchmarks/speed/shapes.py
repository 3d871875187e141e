"""Families of rows of the environments that build shapes, one for each.

An environment's rows come from `benchmarks/speed/<name>.py`, function `rows(device)`: dictionaries
with `what`, `num_envs`, `median`, `low`, `high`, `target` (text, may be empty) and `unit`.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

NAMES = (
    "voxel_stroke",
    "brick_build",
    "primitive_model",
    "edge_loop",
    "motion_nav",
    "rooms",
    "dance",
    "clip_edit",
)


def family(name: str) -> Callable[[str], Iterator[dict[str, Any]]]:
    """The rows of one environment; its module is imported when they are asked for."""

    def rows(device: str) -> Iterator[dict[str, Any]]:
        yield from import_module(f"benchmarks.speed.{name}").rows(device)

    return rows
