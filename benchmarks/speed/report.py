"""The results of an environment as a table of text, and what its targets came to."""

from typing import Any

from rich.table import Table

from benchmarks.speed import families
from benchmarks.speed.families import Target
from benchmarks.speed.levels import LEVELS
from benchmarks.speed.peers import PEERS
from benchmarks.speed.results import Results


def table(results: Results, env: str) -> Table:
    """Environment steps a second by level and batch size, ranges below them."""
    cells = [cell for cell in results.cells if cell["env"] == env]
    sizes = [f"{cell['num_envs']:,}" + (" (largest)" if "bound" in cell else "") for cell in cells]
    found = Table("steps/s", *sizes, title=f"{env}; floor: {families.floor(env)[0]}")
    for level in (*LEVELS, *PEERS):
        if any(level in cell["rates"] for cell in cells):
            found.add_row(level, *(_spread(cell["rates"].get(level)) for cell in cells))
    found.add_section()
    found.add_row("repeats", *(_repeats(cell) for cell in cells))
    found.add_row("memory, MB", *(_number(cell.get("mb")) for cell in cells))
    found.add_row("copies to host", *(_number(cell.get("copies")) for cell in cells))
    found.add_row("left out", *("; ".join(_left(cell)) for cell in cells))
    return found


def reached(results: Results, target: Target) -> float | None:
    """What a target came to (its rate, or ratio); None where it was not measured."""
    cell = results.cell(target.env, target.num_envs) or {"rates": {}, "over": {}}
    if target.over is None:
        rate = cell["rates"].get(target.level)
        return None if rate is None else rate["median"]
    assert target.level == "torch"  # the ratios that a cell keeps
    ratio = cell["over"].get(target.over)
    return None if ratio is None else ratio["median"]


def number(value: float) -> str:
    """Three digits or so, with commas."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _left(cell: dict[str, Any]) -> list[str]:
    return [f"{name}: {why}" for name, why in cell["left"].items()]


def _repeats(cell: dict[str, Any]) -> str:
    """Of the levels of a cell, which may be of several runs."""
    counts = sorted({rate["repeats"] for rate in cell["rates"].values() if "repeats" in rate})
    return " .. ".join(map(str, dict.fromkeys([*counts[:1], *counts[-1:]])))


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _spread(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    return (
        f"{number(found['median'])}\n[dim]{number(found['low'])} .. {number(found['high'])}[/dim]"
    )
