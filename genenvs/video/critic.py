"""A critic that sees the film: how cuts look in its pixels, whatever was said of the clips.

A cut that joins two pictures of the same colours in which things have moved a little is a jump cut:
it reads as an error. A cut to another picture does not, nor does one that cannot be seen.
"""

import torch
from torch import Tensor

from genenvs.video.clips import FPS
from genenvs.video.film import Edit
from genenvs.video.footage import Footage
from genenvs.video.measure import camera_motion

BINS = 4  # of each colour
DIFFERS = 0.1  # mean change of a pixel beyond which a picture is plainly another
SLOW = 0.05  # frame heights a second below which motion is none


def same_colours(before: Tensor, after: Tensor) -> Tensor:
    """The overlap of colour histograms: float32 [N, 3, H, W] in [0, 1], twice -> [N] in [0, 1]."""
    share = []
    for pictures in (before, after):
        red, green, blue = (pictures * BINS).long().clamp(0, BINS - 1).unbind(1)
        cell = ((red * BINS + green) * BINS + blue).flatten(1)
        empty = torch.zeros(len(cell), BINS**3, device=cell.device)
        ones = torch.ones_like(cell, dtype=torch.float32)
        share.append(empty.scatter_add_(1, cell, ones) / cell.shape[1])
    return torch.minimum(*share).sum(1)


def jump(before: Tensor, after: Tensor) -> Tensor:
    """How much a cut looks like a jump: float32 [N, 3, H, W] in [0, 1], twice -> [N] in [0, 1].

    The overlap of the colours, squared, times how plainly the pictures differ.
    """
    change = (after - before).abs().mean((1, 2, 3))
    return same_colours(before, after) ** 2 * (change / DIFFERS).clamp(0, 1)


def motion_break(before: Tensor, after: Tensor) -> Tensor:
    """How much the camera's motion changes at a cut: [N] in [0, 1].

    Args:
        before: float32 [N, 2, 3, H, W] in [0, 1], the last two frames.
        after: the first two.
    """
    first, second = (
        torch.cat([camera_motion(pair)[:, :2] for pair in pairs]) * FPS for pairs in (before, after)
    )
    size = first.norm(dim=1) + second.norm(dim=1)
    return (first - second).norm(dim=1) / (size + SLOW)


def critic(edit: Edit, footage: Footage) -> dict[str, float]:
    """Look at every change of shot of a film.

    A transition shows both pictures at once and so hides a jump and a break: it counts half.

    Returns:
        `jump` and `motion_break`, means over changes of shot in [0, 1] (0 for a film of one shot),
        and `smooth`, 1 less the mean of both: higher is better.

    Raises:
        ValueError: an edit that cannot be cut.
    """
    edit.check(footage)
    if len(edit) < 2:
        return {"jump": 0.0, "motion_break": 0.0, "smooth": 1.0}
    out = (edit.start + edit.length - 1)[:-1]
    old, new, at = edit.clip[:-1], edit.clip[1:], edit.start[1:]
    sides = []
    for clip, frame in ((old, out - 1), (old, out), (new, at), (new, at + 1)):
        pictures = torch.from_numpy(footage.pictures(clip, frame.clamp_min(0)))
        sides.append(pictures.permute(0, 3, 1, 2).float() / 255)
    weight = torch.where(edit.lasts[1:] > 0, 0.5, 1.0)
    jumps = float((weight * jump(sides[1], sides[2])).mean())
    before, after = torch.stack(sides[:2], 1), torch.stack(sides[2:], 1)
    breaks = float((weight * motion_break(before, after)).mean())
    return {"jump": jumps, "motion_break": breaks, "smooth": 1 - (jumps + breaks) / 2}
