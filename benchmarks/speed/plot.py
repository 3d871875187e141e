"""How each environment scales with the batch: one picture, a panel an id."""

from pathlib import Path
from typing import Any

from benchmarks.speed.results import Results
from genenvs.core.files import replacing

# What is drawn, and how: ours in colours, others in grey.
LINES: dict[str, dict[str, Any]] = {
    "floor": {"color": "black", "linestyle": ":"},
    "transition": {"color": "tab:purple"},
    "torch": {"color": "tab:blue", "marker": "o"},
    "sb3": {"color": "tab:green"},
    "policy": {"color": "tab:orange"},
    "training": {"color": "tab:red"},
    "sync": {"color": "0.55", "linestyle": "--", "marker": "."},
    "async": {"color": "0.55", "linestyle": "-.", "marker": "x"},
    "subproc": {"color": "0.75", "linestyle": "--", "marker": "+"},
    "jumanji": {"color": "tab:brown", "linestyle": "--", "marker": "s"},
}
COLUMNS = 4


def draw(results: Results, path: Path) -> None:
    """Draw all ids that were measured at two sizes at least; nothing where there is none."""
    from matplotlib.figure import Figure

    cells = [cell for cell in results.cells if cell["rates"]]
    ids = list(dict.fromkeys(cell["env"] for cell in cells))
    ids = [env for env in ids if sum(cell["env"] == env for cell in cells) > 1]
    if not ids:
        return
    across = min(COLUMNS, len(ids))
    down = -(-len(ids) // across)
    figure = Figure(figsize=(3.1 * across + 0.6, 2.5 * down + 0.9), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, env in zip(panels, ids, strict=False):
        for level, style in LINES.items():
            points = [
                (cell["num_envs"], cell["rates"][level]["median"])
                for cell in cells
                if cell["env"] == env and level in cell["rates"]
            ]
            panel.plot(*zip(*points, strict=True) if points else ([], []), label=level,
                       linewidth=1.2, markersize=4, **style)  # fmt: skip
        panel.set(title=env.rpartition("/")[2], xscale="log", yscale="log")
        panel.title.set_fontsize(9)
        panel.xaxis.set_minor_formatter("")
        panel.grid(alpha=0.3)
    for panel in panels[len(ids) :]:
        panel.set_axis_off()
    figure.supxlabel("environments in the batch", fontsize=9)
    figure.supylabel("environment steps a second", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(10, 3 * across), fontsize=8
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
