"""What is particular to a family of environments, in a module named as its folder of tasks.

All that is here is optional, and an id without a module is measured all the same:

- `FLOOR`, words, and `floor(task, state, action)`, a function of no arguments: what a step of these
  rows cannot do without where this action is taken; it must not write into the state. Default: a
  copy of what a step hands out.
- `WHY`, words or words by id: where the time above the floor goes, as the profiler shows it.
- `TARGETS`: what was aimed at.
- `parts(task, state)`: functions by what they make, timed at `PARTS` rows in the middle of play.
- `rows(device)`: lines of the table of parts, whatever they take.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from genenvs.core import registry

NAMES = ("geometry", "training")  # of modules that belong to no environment
PARTS = 64


@dataclass(frozen=True)
class Target:
    """What an environment was to reach on the CPU.

    Attributes:
        env: the id.
        num_envs: rows of the batch.
        level: whose environment steps a second; or rather their ratio, with `over`.
        least: at least.
        over: another level.
    """

    env: str
    num_envs: int
    level: str
    least: float
    over: str | None = None


def of(env: str) -> ModuleType | None:
    """The module of an id's family, where there is one."""
    folder = registry.declaration(env).task.rpartition(":")[0].split(".")[-2]
    return load(folder) if find_spec(f"{__name__}.{folder}") else None


def load(name: str) -> ModuleType:
    """A module of this folder."""
    return import_module(f"{__name__}.{name}")


def targets(env: str) -> list[Target]:
    """Those of an id."""
    return [target for target in getattr(of(env), "TARGETS", ()) if target.env == env]


def floor(env: str) -> tuple[str, Callable[[Any, Any, Any], Callable[[], Any]]]:
    """Words, and the function `floor(task, state, action)`."""
    module = of(env)
    if hasattr(module, "floor"):
        return module.FLOOR, module.floor  # type: ignore[union-attr]
    return "a copy of the observation and the mask", copied


def copied(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """The floor of who has no other: the bytes that a step hands out."""
    seen = task.observe(state)
    given = [*seen.values()] if isinstance(seen, dict) else [seen]
    if (mask := task.action_mask(state)) is not None:
        given.append(mask)
    return lambda: [tensor.clone() for tensor in given]


def why(env: str) -> str:
    """Where the time above the floor goes."""
    words = getattr(of(env), "WHY", "")
    return words.get(env, "") if isinstance(words, dict) else words
