"""The laws that every environment keeps, as checks that anyone can run.

`check_task("genenvs/...-v0")` runs them all on an id, `check_task("module:Class", horizon=20)` on a
task that has none yet; `check_vector_env(envs)` looks at any Gymnasium `VectorEnv`. A law that does
not hold raises one `LawError`, which says which law broke, where, and what was seen.
"""

from collections.abc import Collection
from typing import Any

from genenvs.core.task import Task

# Their order here is the order in which the checks run.
from genenvs.testing import actions, episodes, functions, keeping, pages, stepping  # noqa: F401
from genenvs.testing.laws import CHECKS, LAWS, LawError
from genenvs.testing.pages import TOLERATED
from genenvs.testing.play import subject_of
from genenvs.testing.vector import check_vector_env

__all__ = ["CHECKS", "LAWS", "TOLERATED", "LawError", "check_task", "check_vector_env"]


def check_task(
    task: str | type[Task],
    *,
    num_envs: int = 3,
    steps: int = 40,
    seed: int = 7,
    tolerance: float | None = None,
    scores: bool = True,
    asynchronous: bool = True,
    judge: bool = True,
    only: Collection[str] | None = None,
    collect: bool = False,
    **arguments: Any,
) -> list[LawError]:
    """Hold an environment to the laws.

    Args:
        task: an id, `module:Class` of a `Task`, or the class.
        num_envs: rows of the batches, at least 2.
        steps: steps of a play at the registered horizon, at most; ends of episodes are looked at
            with a short horizon, too.
        seed: of the first row.
        tolerance: what two batch sizes may differ by; default: 0, and 1e-4 (absolute and relative)
            where the task evaluates a network.
        scores: whether a declared id must have measured scores.
        asynchronous: whether worker processes are started, which takes seconds.
        judge: whether the slow metrics and features are computed once.
        only: names of `CHECKS`; default: all.
        collect: return all errors instead of raising the first.
        **arguments: of the environment; a task without an id needs `horizon`.

    Returns:
        The laws that broke: none, or with `collect` maybe some.

    Raises:
        LawError: the first law that does not hold.
        KeyError: `only` names no check.
        TypeError: a task without an id was given no `horizon`.
    """
    if unknown := sorted(set(only or ()) - set(CHECKS)):
        raise KeyError(f"no check is called {unknown}; there are {', '.join(CHECKS)}")
    options = {"num_envs": num_envs, "steps": steps, "seed": seed, "tolerance": tolerance,
               "scores": scores, "asynchronous": asynchronous, "judge": judge}  # fmt: skip
    subject = subject_of(task, options, **arguments)
    errors = []
    for name, check in CHECKS.items():
        if only is not None and name not in only:
            continue
        try:
            check(subject)
        except LawError as error:
            error.add_note(f"while checking {subject.name}: {name}")
            if not collect:
                raise
            errors.append(error)
    return errors
