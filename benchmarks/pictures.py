"""Rows of samples, and saving figures whole or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genenvs.core.evaluate import Evaluation
from genenvs.core.files import replacing
from genenvs.generators.bank import Bank
from genenvs.generators.denoiser import Denoiser
from genenvs.generators.sampling import sample
from genenvs.images.timeline import to_image
from genenvs.tasks.denoise_schedule import plans
from genenvs.tasks.denoise_schedule.rewards import fidelity_error

Row = tuple[str, Tensor, list[str]]  # label, images [K, C, H, W], a caption for each


def scripted_rows(denoiser: Denoiser, bank: Bank, shown: Tensor, budget: int) -> list[Row]:
    """Uniform steps at a budget, and the 200-step solution, of the instances `shown`."""
    times = torch.tensor(plans.uniform(denoiser.schedule, budget))
    coarse = sample(denoiser, bank.noise[shown], bank.condition[shown], times)
    error = fidelity_error(coarse, bank.solution[shown])
    return [
        (f"uniform\n{budget} evaluations", coarse, [f"{e:.3f}" for e in error.tolist()]),
        (
            f"reference\n{bank.key.steps} evaluations",
            bank.solution[shown].float(),
            [denoiser.condition_names[k] for k in bank.condition[shown].tolist()],
        ),
    ]


def learned_row(evaluation: Evaluation, shown: Tensor) -> Row:
    """What an agent made of the instances `shown`; the evaluation kept its final states."""
    final = evaluation.final
    assert final is not None, "evaluate with keep_final=True"
    place = {int(instance): k for k, instance in enumerate(final.instance)}
    rows = np.array([place[int(instance)] for instance in shown])
    evaluations, error = (evaluation.episodes[name][rows] for name in ("evaluations", "error"))
    mean = evaluation.episodes["evaluations"].mean()
    captions = [f"{e:.3f} / {int(n)}" for e, n in zip(error, evaluations, strict=True)]
    return f"learned\n{mean:.1f} evaluations", final.tensors()["x"][torch.as_tensor(rows)], captions


def samples(rows: list[Row], title: str) -> Any:
    """A grid of images, a row each way of sampling; a matplotlib figure."""
    from matplotlib.figure import Figure

    columns = max(len(images) for _, images, _ in rows)
    figure = Figure(figsize=(1.6 + 0.95 * columns, 0.6 + 1.2 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, (label, images, captions) in zip(grid, rows, strict=True):
        for each in axes:
            each.set_axis_off()
        axes[0].text(
            -0.2, 0.5, label, transform=axes[0].transAxes, ha="right", va="center", fontsize=10
        )
        for each, image, caption in zip(axes, images, captions, strict=False):
            each.imshow(to_image(image), cmap="gray", interpolation="nearest", vmin=0, vmax=255)
            each.set_title(caption, fontsize=8, pad=2)
    figure.suptitle(f"{title} (numbers: error / evaluations)", fontsize=11)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a figure to a PNG file, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=140, bbox_inches="tight")
