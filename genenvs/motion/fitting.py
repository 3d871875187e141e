"""What walks are like in numbers, and their simplest decoder: regression and principal axes."""

from pathlib import Path

import torch
from torch import Tensor

from genenvs.motion import clips as files
from genenvs.motion import frames as vectors
from genenvs.motion import primitives, walks
from genenvs.motion.frames import PLACE, WIDTH
from genenvs.motion.primitives import FPS, FRAMES, LATENT, MADE, SEEDS, Primitives, Prior

PRIOR_AXES = 12
STARTS = 64
_ROOM = 0.25  # of a coordinate's range that poses may leave it by
_RIDGE = 30.0  # against 65 inputs in deviations, of some 20,000 windows
_CLIP_WALKS, _CLIP_FRAMES = 40, 400  # for clips of a user


def windows(corpus: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Stretches of walks, each seen from its first frame: [N, T, 34] -> [count, 10, 34]."""
    walk = torch.randint(len(corpus), (count, 1), generator=generator)
    first = torch.randint(corpus.shape[1] - FRAMES + 1, (count, 1), generator=generator)
    chosen = corpus[walk, first + torch.arange(FRAMES)]
    return vectors.seen_from(chosen, chosen[:, 0, :PLACE])


def frame(corpus: Tensor, sample: Tensor, generator: torch.Generator) -> Primitives:
    """All of a decoder but its layers.

    Args:
        corpus: float64 [N, T, 34], walks.
        sample: [M, 10, 34], `windows` of it.
        generator: of the starts.
    """
    given = torch.cat([sample[:, 0, PLACE:], sample[:, 1]], 1)
    poses = corpus[..., PLACE:].flatten(0, 1)
    low, high = poses.amin(0), poses.amax(0)
    room = _ROOM * (high - low)
    mean = poses.mean(0)
    deviation, axes = _principal(poses - mean, PRIOR_AXES)
    some = deviation > 1e-4  # clips of one's own may hold their arms still
    starts = windows(corpus, STARTS, generator)[:, :SEEDS]
    return Primitives(
        layers=(),
        centre=given.mean(0),
        scale=given.std(0) + 1e-3,
        low=low - room,
        high=high + room,
        prior=Prior(mean, axes[:, some] / deviation[some]),
        starts=starts,
    )


def linear(corpus: Tensor, seed: int = 0) -> Primitives:
    """Steps of a primitive as a linear function of its seeds, and principal axes of the rest."""
    generator = torch.Generator().manual_seed(seed)
    sample = windows(corpus, 20_000, generator)
    model = frame(corpus, sample, generator)
    told = model.told(sample[:, :SEEDS])  # [M, 65]
    step = sample.diff(dim=1)[:, SEEDS - 1 :].flatten(1)  # [M, 272]
    middle, scale = step.mean(0), step.std(0) + 1e-6
    wanted = (step - middle) / scale
    square = told.T @ told + _RIDGE * torch.eye(told.shape[1], dtype=told.dtype)
    onto = torch.linalg.solve(square, told.T @ wanted)  # [65, 272]
    rest = wanted - told @ onto
    deviation, axes = _principal(rest, LATENT)
    width = (axes * deviation).T  # [8, 272]
    weight = torch.cat([onto, width]).T * scale[:, None]
    assert weight.shape == (MADE * WIDTH, primitives.GIVEN + LATENT)
    return Primitives(**{**vars(model), "layers": ((weight, middle),)})


def _principal(centred: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Deviations [K] along the first K principal axes [F, K] of rows [M, F], largest first."""
    squares, axes = torch.linalg.eigh(centred.T @ centred / (len(centred) - 1))
    return squares.flip(0)[:count].clamp(min=0).sqrt(), axes.flip(1)[:, :count]


def of_clips(path: Path) -> Primitives:
    """A linear decoder of a user's clips; warns of files that are left out.

    Raises:
        ValueError: none can be used, with the reasons.
    """
    found = files.read_usable(path, FPS)
    try:
        corpus = walks.corpus(found, _CLIP_WALKS, _CLIP_FRAMES)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return linear(corpus)
