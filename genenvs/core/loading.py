"""From the name of a task to its class, and the arguments that it takes."""

import importlib
import inspect
from typing import Any

from genenvs.core.task import Task

COMMON = ("split", "instances", "reward_weights", "horizon", "device", "dtype", "render_mode")
VECTOR = ("num_envs", "output", "autoreset_mode", "validate", "keep_final", "max_episode_steps")


def load_task(task: str | type[Task]) -> type[Task]:
    """The class that `module:Class` names.

    Raises:
        ValueError: it names no `Task`.
    """
    if isinstance(task, str):
        module, colon, name = task.partition(":")
        if not (module and colon and name):  # nothing is imported for a name that is none
            raise ValueError(f'task must be "module:Class"; got {task!r}')
        try:
            task = getattr(importlib.import_module(module), name)
        except (AttributeError, ModuleNotFoundError, ValueError) as error:
            missing = getattr(error, "name", None)
            if isinstance(error, ModuleNotFoundError) and not module.startswith(missing or "."):
                raise  # the module is there, something that it needs is not
            raise ValueError(f'task must be "module:Class"; got {task!r} ({error})') from error
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise ValueError(f"task must name a subclass of genenvs.core.task.Task; got {task!r}")
    return task


def task_arguments(task: type[Task]) -> list[str]:
    """The keyword arguments that a task takes beside the common ones."""
    return [name for name in _parameters(task) if name not in COMMON]


def defaults(task: str | type[Task]) -> dict[str, Any]:
    """The default of every argument that has one: the task's own, and those of the batch."""
    from genenvs.core.vector import TaskVectorEnv

    batch = inspect.signature(TaskVectorEnv.__init__).parameters
    found = _parameters(load_task(task))
    return {k: p.default for k, p in {**batch, **found}.items() if p.default is not p.empty}


def _parameters(task: type[Task]) -> dict[str, inspect.Parameter]:
    """The arguments of a task's constructor, with those that it hands to its bases'."""
    known: dict[str, inspect.Parameter] = {}
    for base in task.__mro__:
        if "__init__" in vars(base) and issubclass(base, Task):
            for item in inspect.signature(base.__init__).parameters.values():
                if item.kind in (item.KEYWORD_ONLY, item.POSITIONAL_OR_KEYWORD):
                    known.setdefault(item.name, item)
    known.pop("self", None)
    return known
