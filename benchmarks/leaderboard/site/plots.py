"""Curves and profiles, drawn by matplotlib as SVG that takes its colours from the page.

No text of a submission enters a picture: agents are numbers here, their names stand in the legend,
which is part of the page.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from benchmarks.leaderboard.site.rows import GRID, Row
from benchmarks.leaderboard.site.standings import THRESHOLDS, Suite
from benchmarks.leaderboard.statistics import Band

COLOURS = 8  # --s0 .. --s7 of board.css; learners beyond them are dashed
SCRIPTED = 1_000  # numbers of scripted agents begin here: they are grey
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
INK, GRIDLINE = "#0a0a0a", "#0b0b0b"  # stand for currentColor and var(--rule)
# Text as text, in the page's own font; ids that no other picture of the page has.
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.edgecolor": GRIDLINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": GRIDLINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
}


def look(k: int) -> tuple[str, Any]:
    """Colour and dashes of agent k; the colour is one that `_svg` turns into the page's."""
    colour = COLOURS if k >= SCRIPTED else k % COLOURS
    return f"#c0ff{colour:02x}", DASHES[dash(k)]


def numbers(scripted: Mapping[str, bool]) -> dict[str, int]:
    """The number of every agent, in their order, from whether it is scripted."""
    places, count = {}, {False: 0, True: SCRIPTED}
    for label, script in scripted.items():
        places[label] = count[script]
        count[script] += 1
    return places


def dash(k: int) -> int:
    """Which of `DASHES` agent k has."""
    return (k - SCRIPTED if k >= SCRIPTED else k // COLOURS) % len(DASHES)


def colour(k: int) -> str:
    """The same colour as `look`'s, as CSS."""
    return "var(--scripted)" if k >= SCRIPTED else f"var(--s{k % COLOURS})"


def profiles(suite: Suite, places: Mapping[str, int]) -> Markup:
    """Share of runs above each score."""
    lines = [(places[s.label], THRESHOLDS, s.profile) for s in suite.standings]
    return _bands(
        f"profiles-{suite.name}", lines, "normalised score τ", "share of runs above τ",
        xlim=(THRESHOLDS[0], THRESHOLDS[-1]), ylim=(0, 1.02), marks=(0.0, 1.0),
    )  # fmt: skip


def efficiency(suite: Suite, places: Mapping[str, int]) -> Markup | None:
    """Interquartile mean of training returns against the share of the budget; None without any."""
    lines = [
        (places[s.label], GRID[: len(s.efficiency.value)], s.efficiency)
        for s in suite.standings
        if s.efficiency is not None
    ]
    if not lines:
        return None
    return _bands(
        f"efficiency-{suite.name}", lines, "share of the training budget",
        "training return (0 random, 1 reference)", xlim=(0, 1), levels=(0.0, 1.0),
    )  # fmt: skip


def learning(env: str, rows: Sequence[Row], places: Mapping[str, int]) -> Markup | None:
    """Training curves on an environment: every run thin, their mean thick; None without any."""
    drawn = [row for row in rows if len(row.curves)]
    if not drawn:
        return None

    def draw(axes: Any) -> None:
        for row in drawn:
            colour, dashes = look(places[row.label])
            group = f"agent-{places[row.label]}"
            for curve in row.curves:
                axes.plot(GRID, curve, color=colour, linewidth=0.6, alpha=0.45, gid=group)
            axes.plot(
                GRID, row.curves.mean(0), color=colour, linestyle=dashes, linewidth=1.8, gid=group
            )
        _levels(axes, (0.0, 1.0))
        axes.set(
            xlabel="share of the training budget", xlim=(0, 1),
            ylabel="training return (0 random, 1 reference)",
        )  # fmt: skip
        values = np.concatenate([row.curves.ravel() for row in drawn])
        _limit(axes, values[np.isfinite(values)])

    return _picture(f"learning-{env}", draw)


def _bands(
    name: str,
    lines: Sequence[tuple[int, np.ndarray, Band]],
    xlabel: str,
    ylabel: str,
    xlim: tuple[float, float],
    ylim: tuple[float, float] | None = None,
    marks: Sequence[float] = (),
    levels: Sequence[float] = (),
) -> Markup:
    def draw(axes: Any) -> None:
        for k, x, band in lines:
            colour, dashes = look(k)
            group = f"agent-{k}"
            axes.fill_between(x, band.low, band.high, color=colour, alpha=0.13, lw=0, gid=group)
            axes.plot(x, band.value, color=colour, linestyle=dashes, linewidth=1.6, gid=group)
        for mark in marks:
            axes.axvline(mark, color=GRIDLINE, linewidth=1.2, zorder=0)
        _levels(axes, levels)
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=xlim)
        if ylim is not None:
            axes.set_ylim(*ylim)
        else:
            _limit(axes, np.concatenate([band.value for _, _, band in lines]))

    return _picture(name, draw)


def _levels(axes: Any, levels: Sequence[float]) -> None:
    for level in levels:
        axes.axhline(level, color=GRIDLINE, linewidth=1.2, zorder=0)


def _limit(axes: Any, values: np.ndarray) -> None:
    """An agent that collapsed must not squeeze all others into a line."""
    axes.set_ylim(
        max(-1.5, min(-0.1, values.min() - 0.05)), min(2.5, max(1.1, values.max() + 0.05))
    )


def _picture(name: str, draw: Any) -> Markup:
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = STYLE | {"svg.hashsalt": name}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(5.4, 3.4))
        figure.subplots_adjust(left=0.1, right=0.972, bottom=0.13, top=0.97)
        axes = figure.subplots()
        axes.grid(True)
        axes.set_axisbelow(True)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _svg(file.getvalue(), name)


def _svg(text: str, name: str) -> Markup:
    """A picture as part of a page: no prologue, colours and fonts of the page, a scalable size."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style).*?</\1>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"font-family: [^;]*; ", "", text)
    text = re.sub(r"#c0ff(\d\d)", _of_page, text)
    text = text.replace(INK, "currentColor").replace(GRIDLINE, "var(--rule)")
    # A class, for an id may stand once; every line of an agent has one of its own.
    text = re.sub(r'<g id="(agent-\d+)"', r'<g class="\1"', text)
    # What is left are ids of the frame, the same in every picture.
    kept = re.sub(r"[^A-Za-z0-9]", "-", name)
    text = re.sub(r'<g id="[a-z]+[\w.]*_\d+"', "<g", text)
    return Markup(text.replace("<svg ", f'<svg id="plot-{kept}" ', 1))


def _of_page(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return colour(SCRIPTED if number == COLOURS else number)
