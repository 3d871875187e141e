"""The page of an id as Markdown: what `genenvs info` shows and `docs/environments/` holds."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict

from genenvs.core import registry

NOT_MEASURED = "not measured"
_KINDS = {
    "step": "every step",
    "end": "once an episode",
    "judge": "by `genenvs.evaluate`, once an episode",
    "set": "by `genenvs.evaluate`, of a set of episodes",
}


def page(env_id: str, picture: str | None = None, spaces: bool = True) -> str:
    """The page of an id: its class docstring, then what the code knows.

    Args:
        env_id: the id.
        picture: address of a picture to show below the title.
        spaces: False leaves out the spaces, which only a made environment knows.

    Returns:
        Markdown.
    """
    from genenvs.core.loading import load_task

    declared = registry.declaration(env_id)
    task = load_task(declared.task)
    parts = [f"# {env_id}"]
    if picture:
        parts.append(f"![What the reference agent makes]({picture})")
    parts.append(inspect.getdoc(task) or declared.text)
    if declared.source:
        parts.append(f"Source: {declared.source}.")
    parts += ["## As registered", _arguments(declared, task)]
    if spaces:
        parts.append(_spaces(declared))
    parts += ["## Terms and metrics", _terms(task), _metrics(task)]
    parts += ["## Scores", _scores(declared, task)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


def score_text(env_id: str, policy: str) -> str:
    """The measured mean score of a policy with its 95 % interval, or that there is none."""
    measured = (registry.scores(env_id) or {}).get(policy)
    if measured is None:
        return NOT_MEASURED
    mean, low, high = (number(measured[key]) for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def number(value: float) -> str:
    """Three significant digits, more where the whole part has more."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def space_text(space: gym.Space[Any]) -> str:
    """A space in one line, without arrays of bounds."""
    if isinstance(space, Box):
        return f"Box({_bound(space.low)}, {_bound(space.high)}, {space.shape}, {space.dtype})"
    return " ".join(str(space).split())


def _bound(bound: np.ndarray) -> str:
    low, high = bound.min(), bound.max()
    return f"{low:g}" if low == high else f"{low:g}..{high:g}"


def _arguments(declared: registry.Declaration, task: type[Any]) -> str:
    from genenvs.core.loading import COMMON, task_arguments

    defaults: dict[str, Any] = {}
    for base in reversed(task.__mro__):
        if "__init__" in vars(base):
            for item in inspect.signature(vars(base)["__init__"]).parameters.values():
                if item.default is not item.empty:
                    defaults[item.name] = item.default
    names = [*declared.arguments, *task_arguments(task)]
    rows = []
    for name in dict.fromkeys(names):
        registered = name in declared.arguments
        value = declared.arguments[name] if registered else defaults.get(name)
        rows.append((f"`{name}`", f"`{value!r}`", "the id" if registered else "default"))
    common = ", ".join(f"`{name}`" for name in COMMON if name not in declared.arguments)
    return (
        table(("argument", "value", "set by"), rows)
        + f"\n\nBeside these it takes what every environment does: {common}."
    )


def _spaces(declared: registry.Declaration) -> str:
    from genenvs.cli.rollout import make

    env = make(declared)
    rows = [("action", f"`{space_text(env.action_space)}`")]
    if isinstance(env.observation_space, Dict):
        rows += [
            (f"observation `{name}`", f"`{space_text(space)}`")
            for name, space in env.observation_space.items()
        ]
    else:
        rows.append(("observation", f"`{space_text(env.observation_space)}`"))
    env.close()
    flag = {"terminates": "terminated", "truncates": "truncated"}[env.task.ends]
    steps = "1 step" if env.task.horizon == 1 else f"{env.task.horizon} steps"
    ends = f"The limit of {steps} ends an episode as `{flag}`."
    return table(("of", "space"), rows) + f"\n\n{ends}"


def _terms(task: type[Any]) -> str:
    rows = [(f"`{name}`", f"{term.weight:g}", term.text) for name, term in task.terms.items()]
    return table(("reward term", "weight", "meaning"), rows)


def _metrics(task: type[Any]) -> str:
    if not task.metrics:
        return ""
    rows = [
        (f"`{name}`", _KINDS[m.when], m.better or "", "yes" if m.gold else "", m.text)
        for name, m in task.metrics.items()
    ]
    note = "\n\nNobody is paid for a metric; a *gold* one betrays a hacked reward."
    return table(("metric", "measured", "better", "gold", "meaning"), rows) + note


def _scores(declared: registry.Declaration, task: type[Any]) -> str:
    what = f"An episode is scored by `{declared.score}`."
    measured = registry.scores(declared.id)
    cheats = list(declared.cheats)
    if measured is None:
        known = f" Known cheats: {', '.join(f'`{name}`' for name in cheats)}." if cheats else ""
        return f"{what} Scores were {NOT_MEASURED} for these arguments.{known}"
    gold = [name for name, metric in task.metrics.items() if metric.gold]
    entries = {name: measured[name] for name in ("random", "reference")}
    entries |= {f"cheat: {name}": entry for name, entry in measured.get("cheats", {}).items()}
    rows = []
    for name, entry in entries.items():
        interval = f"{number(entry['low'])} to {number(entry['high'])}"
        also = (entry.get("metrics", {}).get(metric) for metric in gold)
        shown = ("" if value is None else number(value) for value in also)
        rows.append((name, number(entry["mean"]), interval, str(entry["episodes"]), *shown))
    header = ("policy", "mean", "95 % interval", "episodes", *(f"`{name}`" for name in gold))
    return f"{what}\n\n{table(header, rows)}\n\nMade by `{measured['command']}`."
