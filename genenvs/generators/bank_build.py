"""Build banks of solutions, resumably; the command is `python -m genenvs.generators.bank`."""

import argparse
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from genenvs.core.files import making
from genenvs.core.task import DTYPES, SPLITS
from genenvs.generators import bank, store
from genenvs.generators.denoiser import Denoiser
from genenvs.generators.folder import SHIPPED
from genenvs.generators.prompted import load
from genenvs.generators.sampling import SAMPLERS, sample, uniform_times

# Rows of one part: what a kill can cost. Fixed, so that every run cuts at the same places.
PART_ROWS = 128


def estimate(
    denoiser: Denoiser, instances: int, steps: int, split: str = "train"
) -> tuple[int, float]:
    """Return (network evaluations, minutes) that a bank costs, from timing the network now."""
    rows = min(64, denoiser.max_batch, instances)
    noise, condition = bank.starts(denoiser, split, torch.arange(rows))
    noise, condition = noise.to(denoiser.device), condition.to(denoiser.device)
    times = torch.full((rows,), denoiser.schedule.steps, device=denoiser.device)
    seconds = []
    for _ in range(3):  # the first also warms up
        started = time.perf_counter()
        denoiser.predict(noise, times, condition).sum().item()
        seconds.append(time.perf_counter() - started)
    evaluations = instances * steps
    return evaluations, evaluations * min(seconds) / rows / 60


def solve(denoiser: Denoiser, split: str, index: Tensor, sampler: str, steps: int) -> Tensor:
    """Return the solutions of instances, float16 [K, C, H, W] on the CPU.

    Args:
        denoiser: the frozen model.
        split: the split of the instances.
        index: int64 [K].
        sampler: "ddim" or "dpmpp_2m".
        steps: strides of the uniform grid of times.
    """
    noise, condition = bank.starts(denoiser, split, index)
    times = uniform_times(denoiser.schedule, steps)
    return sample(denoiser, noise, condition, times, sampler).half().cpu()


def build(
    denoiser: Denoiser,
    split: str,
    instances: int,
    sampler: str = bank.USER_SAMPLER,
    steps: int = bank.USER_STEPS,
    path: Path | None = None,
    progress: bool = True,
) -> Path:
    """Build the bank of a split and return its file.

    Parts are written beside it as they are done, so a run that was killed goes on where it
    stopped. A finished bank is kept; asked for more instances, it grows.

    Args:
        denoiser: the frozen model.
        split: "train", "validation" or "test".
        instances: entries 0..instances - 1 are solved.
        sampler: "ddim" or "dpmpp_2m".
        steps: network evaluations per entry.
        path: where to; None for the user's cache.
        progress: show a progress bar.

    Raises:
        ValueError: wrong arguments, or the file at `path` is a bank of something else.
    """
    if instances < 1:
        raise ValueError(f"instances must be at least 1; got {instances}")
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {sampler!r}")
    uniform_times(denoiser.schedule, steps)  # refuse a wrong number before any work
    key = bank.key_of(denoiser, split, sampler, steps)
    path = path or bank.cached_path(key)
    solved = torch.empty(0, *denoiser.shape, dtype=torch.float16)
    if path.exists():
        if (found := bank.read_key(path)) != key:
            raise ValueError(f"{path} is the bank of something else: {found.unlike(key)}")
        solved = bank.read_solution(path, denoiser.shape)
        if len(solved) >= instances:
            return path
    parts = path.with_suffix(".parts")
    done = []
    with tqdm(total=instances * steps, disable=not progress, unit="eval", desc=split) as bar:
        for start in range(0, instances, PART_ROWS):
            stop = min(start + PART_ROWS, instances)
            if stop <= len(solved):
                rows = solved[start:stop]
            else:
                rows = _part(denoiser, key, parts / f"{start:08d}.safetensors", start, stop)
            done.append(rows)
            bar.update((stop - start) * steps)
    _write(path, torch.cat(done), key)
    shutil.rmtree(parts, ignore_errors=True)
    return path


def _part(denoiser: Denoiser, key: bank.Key, path: Path, start: int, stop: int) -> Tensor:
    """Return one part's solutions, from its file if that is there, whole and of this bank."""
    if path.exists():
        try:
            if bank.read_key(path) == key:
                rows = bank.read_solution(path, denoiser.shape)
                if len(rows) >= stop - start:
                    return rows[: stop - start]
        except ValueError:
            pass  # a damaged part is solved again
    index = torch.arange(start, stop)
    rows = solve(denoiser, key.split, index, key.sampler, int(key.steps))
    if not torch.isfinite(rows).all():
        raise ValueError(
            f"generator {denoiser.name!r} gives numbers that are not finite in float16, entries "
            f"{start}..{stop - 1}; is it trained on data in [-1, 1]?"
        )
    _write(path, rows, key)
    return rows


def _write(path: Path, solution: Tensor, key: bank.Key) -> None:
    # One entry of metadata, because safetensors writes several in random order.
    from safetensors.torch import save_file

    with making(path) as temporary:
        save_file(
            {"solution": solution.contiguous()},
            temporary,
            metadata={"bank": json.dumps(asdict(key))},
        )


def main(arguments: list[str] | None = None) -> None:
    """Build the banks of a generator's splits."""
    parser = argparse.ArgumentParser(
        prog="python -m genenvs.generators.bank",
        description="Solve a generator's instances with many steps and keep the solutions.",
    )
    parser.add_argument("--generator", required=True, help="shipped name, local folder or hub id")
    parser.add_argument("--instances", type=int, help="entries of the training split")
    parser.add_argument("--split", choices=[*SPLITS, "all"], default="all")
    parser.add_argument("--sampler", choices=SAMPLERS, default=bank.USER_SAMPLER)
    parser.add_argument("--steps", type=int, default=bank.USER_STEPS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32")
    parser.add_argument("--guidance", type=float, help="of a text-to-image generator; default 1")
    parser.add_argument(
        "--prompts",
        help="of a text-to-image generator: a text file with one a line; default: the scenes'",
    )
    parser.add_argument(
        "--shipped",
        action="store_true",
        help="write the package's own bank of a shipped generator, with its fixed settings",
    )
    given = parser.parse_args(arguments)
    if not given.shipped and given.instances is None:
        parser.error("--instances is required (entries of the training split)")
    if given.shipped and given.generator not in SHIPPED:
        parser.error(f"--shipped is for {', '.join(SHIPPED)}; got {given.generator!r}")
    try:
        denoiser = load(
            given.generator, given.device, DTYPES[given.dtype], given.prompts, given.guidance
        )
        splits = SPLITS if given.split == "all" else (given.split,)
        for split in splits:
            if given.shipped:
                path = bank.shipped_path(given.generator, split)
                settings = (bank.SHIPPED_SIZES[split], bank.SHIPPED_SAMPLER, bank.SHIPPED_STEPS)
                store.seal([build(denoiser, split, *settings, path=path)], store.WEIGHTS)
            else:
                count = given.instances
                if given.split == "all":  # the proportions of the shipped bank
                    count = count * bank.SHIPPED_SIZES[split] // bank.SHIPPED_SIZES["train"]
                path = build(denoiser, split, max(1, count), given.sampler, given.steps)
            print(f"{split}: {path}")
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
