"""Poses at other times than those they were recorded at."""

import torch
from torch import Tensor

from genenvs.motion import quaternions


def at(times: Tensor, root: Tensor, rotations: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolate motions, each with frame times of its own.

    Positions linearly, rotations along the shorter arc; before the first and after the last frame
    the motion stands still, so rows of different lengths may be filled up with their last frame.

    Args:
        times: float [B, T], seconds, never falling within a row, T >= 1.
        root: float [B, T, 3].
        rotations: float [B, T, J, 4], unit quaternions.
        wanted: float [B, K], seconds, in any order.

    Returns:
        root [B, K, 3] and rotations [B, K, J, 4].

    Raises:
        ValueError: the shapes do not fit.
    """
    frames = times.shape[:2]
    if times.dim() != 2 or root.shape[:2] != frames or rotations.shape[:2] != frames:
        raise ValueError(
            "times, root and rotations must agree in [B, T]; got "
            f"{list(times.shape)}, {list(root.shape)} and {list(rotations.shape)}"
        )
    after = torch.searchsorted(times.contiguous(), wanted.contiguous(), right=True)
    after = after.clamp(1, max(1, times.shape[1] - 1)).clamp(max=times.shape[1] - 1)
    before = (after - 1).clamp(min=0)
    start, stop = times.gather(1, before), times.gather(1, after)
    share = ((wanted - start) / (stop - start).clamp(min=1e-12)).clamp(0, 1).to(root.dtype)
    rows = torch.arange(len(times), device=times.device)[:, None]
    near = torch.lerp(root[rows, before], root[rows, after], share[..., None])
    joints = share[..., None].expand(*share.shape, rotations.shape[2])
    return near, quaternions.slerp(rotations[rows, before], rotations[rows, after], joints)


def evenly(times: Tensor, root: Tensor, rotations: Tensor, fps: float) -> tuple[Tensor, Tensor]:
    """One motion at a constant rate, from its first frame to the last whole step.

    Args:
        times: float64 [T], seconds, never falling.
        root: float [T, 3].
        rotations: float [T, J, 4].
        fps: frames a second.

    Returns:
        root [K, 3] and rotations [K, J, 4], K = floor(duration * fps) + 1.
    """
    # A little more than exact: a clip of a second at 30 fps has 31 frames in spite of rounding.
    count = int((float(times[-1] - times[0]) + 1e-4 / fps) * fps) + 1
    wanted = times[0] + torch.arange(count, dtype=times.dtype, device=times.device) / fps
    near, turned = at(times[None], root[None], rotations[None], wanted[None])
    return near[0], turned[0]
