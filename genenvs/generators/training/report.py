"""Measure the `digits` generator and its judge, and draw its samples beside real digits.

    python -m genenvs.generators.training.report

Writes report.json and samples.png into the generator's folder of weights. Images are in [-1, 1];
errors and distances are root mean squared differences per pixel in these units.
"""

import argparse
import time
import timeit
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from genenvs.core.files import making
from genenvs.core.frechet import frechet_distance
from genenvs.core.task import SPLITS
from genenvs.generators import bank, store
from genenvs.generators.denoiser import ClassConditional, Denoiser, load
from genenvs.generators.judge import Judge, load_judge
from genenvs.generators.sampling import SAMPLERS, sample, uniform_times
from genenvs.generators.training.digits_data import load_split
from genenvs.images.metrics import nearest_neighbour_distance

SAMPLES = 1000
SAMPLE_STEPS = 50
ERROR_ROWS = 500
EXACT_ROWS = 64
ERROR_STEPS = (3, 5, 10, 20, 30, 50)
REFERENCE_STEPS = 200
BATCHES = (1, 16, 64, 256)


def quality(denoiser: Denoiser, judge: Judge, noise: Tensor, condition: Tensor) -> dict:
    """Return accuracy, Frechet distance, diversity and novelty of samples, beside real digits."""
    times = uniform_times(denoiser.schedule, SAMPLE_STEPS)
    images = sample(denoiser, noise, condition, times, progress=True)
    real, train = load_split("test")[0], load_split("train")[0]
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[: len(images)]
    # A distance grows as sets shrink, so the floor takes as many training images as samples.
    features = {
        name: judge.features(each)
        for name, each in (("samples", images), ("train", train[order]), ("test", real))
    }
    read = judge.logits(images).argmax(1)
    return {
        "samples": len(images),
        "steps": SAMPLE_STEPS,
        "read_as_asked": float((read == condition).float().mean()),
        "frechet": {
            "features": f"the judge's {features['test'].shape[1]} penultimate features",
            "samples_to_test": frechet_distance(features["samples"], features["test"]),
            "train_to_test_floor": frechet_distance(features["train"], features["test"]),
            "samples_to_train": frechet_distance(features["samples"], features["train"]),
        },
        # Nearest neighbours come closer in larger sets, so all sets have the test split's size.
        "nearest_neighbour": {
            "within_samples": _mean_nearest(images[: len(real)]),
            "within_real_test": _mean_nearest(real),
            "samples_to_train": _mean_nearest(images, train),
            "real_test_to_train": _mean_nearest(real, train),
        },
        "outside_range": float((images.abs() > 1.05).float().mean()),
    }


def errors(denoiser: Denoiser, noise: Tensor, condition: Tensor) -> dict:
    """Return the error of few uniform steps against many from the same noise, per sampler."""

    def solve(steps: int, sampler: str = "ddim", rows: int = ERROR_ROWS) -> Tensor:
        times = uniform_times(denoiser.schedule, steps)
        return sample(denoiser, noise[:rows], condition[:rows], times, sampler)

    reference = solve(REFERENCE_STEPS)
    exact = solve(denoiser.schedule.steps, rows=EXACT_ROWS)
    result: dict = {
        "reference": f"ddim, {REFERENCE_STEPS} uniform steps",
        "rows": ERROR_ROWS,
        "reference_to_all_timesteps": {
            "rows": EXACT_ROWS,
            **_error(reference[:EXACT_ROWS], exact),
        },
    }
    for sampler in SAMPLERS:
        result[sampler] = {n: _error(solve(n, sampler), reference) for n in ERROR_STEPS}
    return result


def speed(denoiser: ClassConditional, repeats: int = 20) -> dict:
    """Return evaluations a second at best and the median ratio to the bare network."""
    batches = {}
    for rows in BATCHES:
        noise, condition = bank.starts(denoiser, "train", torch.arange(rows))
        batch = (noise, torch.full((rows,), 500), condition)
        calls: dict[str, Callable] = {"predict": denoiser.predict, "bare": denoiser.unet}
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(repeats):  # in turns, so that a busy machine slows both alike
            for name, call in calls.items():
                started = time.perf_counter()
                call(*batch)
                seconds[name].append(time.perf_counter() - started)
        best = min(seconds["predict"])
        median = {name: float(np.median(values[2:])) for name, values in seconds.items()}
        batches[rows] = {
            "evaluations_per_second": round(rows / best),
            "milliseconds": round(1e3 * best, 3),
            "ratio_to_bare": round(median["predict"] / median["bare"], 3),
            "overhead_microseconds": round(1e6 * overhead(denoiser, *batch), 1),
        }
    return {"threads": torch.get_num_threads(), "batches": batches}


def overhead(denoiser: ClassConditional, x: Tensor, time_index: Tensor, condition: Tensor) -> float:
    """Return the best time in seconds of `predict` around a network that does nothing."""

    def nothing(x: Tensor, *_: object, **__: object) -> tuple[Tensor]:
        return (x,)

    idle = replace(denoiser, unet=cast(torch.nn.Module, nothing))
    return min(timeit.repeat(lambda: idle.predict(x, time_index, condition), number=1, repeat=200))


def table(report: dict) -> str:
    """Return the report's main figures as lines of text."""
    quality, errors, speed = report["quality"], report["errors"], report["speed"]
    frechet, near = quality["frechet"], quality["nearest_neighbour"]
    lines = [
        f"parameters                         {report['generator']['parameters']:>10,}",
        f"judge, real test digits read       {report['judge']['accuracy']['test']:>10.4f}",
        f"samples read as asked              {quality['read_as_asked']:>10.4f}",
        f"Frechet distance, samples to test  {frechet['samples_to_test']:>10.2f}",
        f"Frechet distance, train to test    {frechet['train_to_test_floor']:>10.2f}",
        f"nearest neighbour within samples   {near['within_samples']:>10.4f}",
        f"nearest neighbour within real test {near['within_real_test']:>10.4f}",
        "",
        "error to 200 steps    " + "".join(f"{steps:>9}" for steps in ERROR_STEPS),
        *(
            f"  {sampler:<20}" + "".join(f"{errors[sampler][n]['mean']:>9.4f}" for n in ERROR_STEPS)
            for sampler in SAMPLERS
        ),
        "",
        f"evaluations a second, {speed['threads']} threads, by batch size",
        *(f"  {n:>4} {row['evaluations_per_second']:>8,}" for n, row in speed["batches"].items()),
    ]
    return "\n".join(lines)


def picture(denoiser: Denoiser, path: Path, columns: int = 12, scale: int = 6) -> None:
    """Draw a row per digit: samples on the left, real test digits on the right of a bar."""
    from PIL import Image

    condition = torch.arange(10).repeat_interleave(columns)
    noise, _ = bank.starts(denoiser, "test", torch.arange(len(condition)))
    made = sample(denoiser, noise, condition, uniform_times(denoiser.schedule, SAMPLE_STEPS))
    images, labels = load_split("test")
    real = torch.cat([images[labels == digit][:columns] for digit in range(10)])

    def sheet(rows: Tensor) -> np.ndarray:
        pixels = rows.clamp(-1, 1).view(10, columns, 8, 8)
        pixels = torch.nn.functional.pad(pixels, (0, 1, 0, 1), value=0.0)  # grey lines between
        grid = pixels.permute(0, 2, 1, 3).reshape(90, 9 * columns)
        return ((1 - grid) * 127.5).round().byte().numpy()  # ink is dark, as on paper

    bar = np.full((90, 3), 200, np.uint8)
    whole = np.hstack([sheet(made), bar, sheet(real)])
    image = Image.fromarray(whole).resize(
        (whole.shape[1] * scale, 90 * scale), Image.Resampling.NEAREST
    )
    with making(path) as temporary:
        image.save(temporary, format="PNG")


def _error(images: Tensor, reference: Tensor) -> dict[str, float]:
    rows = (images - reference).flatten(1).square().mean(1).sqrt()
    return {"mean": round(float(rows.mean()), 4), "p90": round(float(rows.quantile(0.9)), 4)}


def _mean_nearest(samples: Tensor, references: Tensor | None = None) -> float:
    return round(float(nearest_neighbour_distance(samples, references).mean()), 4)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generator", default="digits")
    parser.add_argument("--out", type=Path, default=store.WEIGHTS / "digits")
    arguments = parser.parse_args()
    denoiser, judge = load(arguments.generator), load_judge("digits")
    noise, condition = bank.starts(denoiser, "test", torch.arange(SAMPLES))
    report = {
        "generator": {
            "digest": denoiser.digest,
            "parameters": sum(each.numel() for each in denoiser.unet.parameters()),
        },
        "judge": {
            "digest": judge.digest,
            "accuracy": {
                split: float((judge.logits(images).argmax(1) == labels).float().mean())
                for split, (images, labels) in ((each, load_split(each)) for each in SPLITS)
            },
        },
        "quality": quality(denoiser, judge, noise, condition),
        "errors": errors(denoiser, noise, condition),
        "speed": speed(denoiser),
    }
    store.write_json(arguments.out / "report.json", report)
    picture(denoiser, arguments.out / "samples.png")
    print(table(report))


if __name__ == "__main__":
    main()
