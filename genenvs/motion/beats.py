"""Beats of motion, and how well they meet those of music."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

SMOOTHING = 5 / 60  # seconds, standard deviation; Bailando: 5 frames at 60 fps
TOLERANCE = 3 / 60  # seconds, standard deviation; Bailando: 3 frames
REACH = 8 / 60  # seconds, around a beat that is to be seen
ROUNDING = 1e-12  # metres, of sums in double precision
_PART = 1 << 15  # samples
_CUT = 4.0  # standard deviations after which scipy.ndimage cuts a Gaussian off


class Alignment(NamedTuple):
    """Scores in 0 .. 1, [B] each; 0 where there are no beats of motion or of music.

    Attributes:
        music: mean over beats of music of how near a beat of motion is (Bailando, Li et al., CVPR
            2022, `utils/beat_align_score.py`). More beats of motion can only raise it.
        motion: mean over beats of motion of how near a beat of music is (FACT, Li et al., ICCV
            2021). Fewer beats of motion may raise it.
        f1: their harmonic mean, which neither trick raises.
    """

    music: Tensor
    motion: Tensor
    f1: Tensor


def smooth(signal: Tensor, sigma: float) -> Tensor:
    """Convolve with a Gaussian as `scipy.ndimage.gaussian_filter` does by default.

    Args:
        signal: float [B, N], N >= 1; beyond its ends it goes on mirrored.
        sigma: standard deviation in samples, above 0.

    Returns:
        [B, N].
    """
    radius = int(_CUT * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, device=signal.device)
    weights = (-0.5 * (offsets.to(signal.dtype) / sigma).square()).exp()
    size = signal.shape[1]
    place = torch.arange(-radius, size + radius, device=signal.device) % (2 * size)
    padded = signal[:, torch.where(place < size, place, 2 * size - 1 - place)]
    kernel = (weights / weights.sum())[None, None]
    # In parts that stay in the cache: a convolution is a copy of every window.
    parts = padded[:, None].split(max(1, _PART // padded.shape[1]))
    return torch.cat([torch.nn.functional.conv1d(part, kernel)[:, 0] for part in parts])


def motion_beats(positions: Tensor, fps: float, smoothing: float = SMOOTHING) -> Tensor:
    """Find the moments at which a motion is slowest: strict local minima of its smoothed speed.

    The speed is the mean over joints of the way from one frame to the next (Bailando, `calc_db`).

    Args:
        positions: float [B, T, J, 3], T >= 2; the lower its precision and the farther it is from
            the origin, the deeper a minimum must be.
        fps: frames a second.
        smoothing: standard deviation in seconds.

    Returns:
        bool [B, T - 1], the first and the last never; entry t is between frames t and t + 1.

    Raises:
        ValueError: fewer than two frames.
    """
    if positions.shape[1] < 2:
        raise ValueError(f"beats need two frames; got {positions.shape[1]}")
    # Double: sums in single precision would add noise of their own to that of the places.
    step = positions[:, 1:].double() - positions[:, :-1].double()
    speed = step.norm(dim=-1).mean(-1)
    # Both ends of a step are rounded; of what that adds, neighbours of a smoothed speed differ by
    # 0.8 / sigma.
    digit = torch.finfo(positions.dtype).eps * positions.double().abs().amax((1, 2, 3))
    noise = (digit / (smoothing * fps)).clamp(min=ROUNDING)
    return slowest(speed, fps, smoothing, noise=noise[:, None])


def slowest(
    speed: Tensor,
    fps: float,
    smoothing: float = SMOOTHING,
    rise: float = 0.0,
    noise: float | Tensor = ROUNDING,
) -> Tensor:
    """The strict local minima of a smoothed speed.

    The published definition, without a rise, has no least depth: who hardly moves has the most.

    Args:
        speed: float64 [B, N], metres from each frame to the next; beyond its ends mirrored.
        fps: frames a second.
        smoothing: standard deviation in seconds.
        rise: m/s by which the smoothed speed must be higher `REACH` before and after.
        noise: metres, or [B, 1] of them: what rounding may do to the smoothed speed. A minimum is
            deeper. The default is for speeds that are exact; see `motion_beats` for others.

    Returns:
        bool [B, N], the first and the last never.
    """
    speed = smooth(speed, smoothing * fps)
    found = torch.zeros_like(speed, dtype=torch.bool)
    middle = speed[:, 1:-1]
    # Rounding must not make beats of a speed that is constant.
    least = noise * (1 + middle)
    found[:, 1:-1] = (speed[:, :-2] - middle > least) & (speed[:, 2:] - middle > least)
    if rise:
        reach, last = round(REACH * fps), speed.shape[1] - 1
        place = torch.arange(last + 1, device=speed.device)
        before, after = (place - reach).abs(), last - (last - place - reach).abs()
        around = torch.minimum(speed[:, before.clamp(max=last)], speed[:, after.clamp(min=0)])
        found &= around - speed >= rise / fps
    return found


def nearest(beats: Tensor) -> Tensor:
    """Return how many frames each frame is from a beat: bool [B, N] -> float32 [B, N], or inf."""
    size = beats.shape[1]
    frame = torch.arange(size, device=beats.device, dtype=torch.float32)
    before = torch.where(beats, frame, -math.inf).cummax(1).values
    after = torch.where(beats, frame, math.inf).flip(1).cummin(1).values.flip(1)
    return torch.minimum(frame - before, after - frame)


def alignment(music: Tensor, motion: Tensor, fps: float, tolerance: float = TOLERANCE) -> Alignment:
    """Compare beats; a distance d counts exp(-d^2 / (2 tolerance^2)).

    Args:
        music: bool [B, N], frames with a beat.
        motion: bool [B, N], see `motion_beats`.
        fps: frames a second.
        tolerance: seconds.

    Returns:
        Scores [B] in both directions.

    Raises:
        ValueError: the shapes differ.
    """
    if music.shape != motion.shape or music.dim() != 2:
        raise ValueError(
            f"beats must be bool [B, N] both; got {list(music.shape)} and {list(motion.shape)}"
        )
    there, back = (
        _mean_nearness(ones, others, tolerance * fps)
        for ones, others in ((music, motion), (motion, music))
    )
    f1 = 2 * there * back / (there + back).clamp(min=1e-12)
    return Alignment(there, back, f1)


def _mean_nearness(ones: Tensor, others: Tensor, sigma: float) -> Tensor:
    near = (-0.5 * (nearest(others) / sigma).square()).exp()  # 0 at an infinite distance
    return (near * ones).sum(1) / ones.sum(1).clamp(min=1)
