"""One form for every claim: rows with intervals, a picture, the command; docs/results.md shows it.

write("voxel_stroke", title="Strokes on unseen targets", text="PPO, three seeds, ...",
      rows=[row("ppo", "coverage_before_fault", across_seeds(means), "mixed"), ...],
      command="python -m benchmarks.claims.voxel_stroke", picture=sheet([...]))
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from genenvs.core.evaluate import Evaluation
from genenvs.core.files import replacing

RESULTS = Path("benchmarks/results/claims")
PICTURES = Path("docs/pictures")


class Spread(Protocol):
    """A mean with its 95 % interval: `genenvs.core.evaluate.Interval`, over episodes or seeds."""

    @property
    def mean(self) -> float:
        """The mean."""

    @property
    def low(self) -> float:
        """Lower end."""

    @property
    def high(self) -> float:
        """Upper end."""


def row(what: str, metric: str, found: Spread, note: str = "") -> dict[str, Any]:
    """One line of the table: who played, what was measured, and where or how (`note`)."""
    numbers = {k: round(float(getattr(found, k)), 6) for k in ("mean", "low", "high")}
    return {"what": what, "metric": metric, **numbers, "note": note}


def assert_paired(one: Evaluation, other: Evaluation) -> None:
    """Both evaluations played the same targets in the same order, or a paired test means nothing.

    Raises:
        AssertionError: they did not.
    """
    assert one.final is not None and other.final is not None, "evaluate with keep_final=True"
    assert torch.equal(one.final.instance.cpu(), other.final.instance.cpu())


def write(
    name: str,
    *,
    title: str,
    text: str,
    rows: Sequence[dict[str, Any]],
    command: str,
    picture: np.ndarray | None = None,
) -> None:
    """Write `benchmarks/results/claims/<name>.json` and `docs/pictures/<name>.png`.

    Args:
        name: of the files.
        title: headline of the section.
        text: a paragraph in Markdown: how it was measured, and what came out.
        rows: of `row`; may hold more keys, which stay in the file.
        command: which reproduces it.
        picture: uint8 [H, W, 3].
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    shown = None
    if picture is not None:
        with replacing(PICTURES / f"{name}.png") as temporary:
            Image.fromarray(picture).save(temporary, format="PNG", optimize=True)
        shown = f"pictures/{name}.png"
    content = {"title": title, "text": text, "rows": list(rows), "command": command}
    with replacing(RESULTS / f"{name}.json") as temporary:
        temporary.write_text(json.dumps({**content, "picture": shown}, indent=1) + "\n")
