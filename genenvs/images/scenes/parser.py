"""Read a scene back from its pixels, and say how far it is what a caption asked for.

The logic is GenEval's (Ghosh et al., 2023): every group must be found often enough, in its colour;
where a number is asked for, not more often; a relation holds between centres, with slack. Its
detector is a network; here things differ from the grey background by their hue, and from one
another by the outline of a connected patch.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from genenvs.core.components import Components, spread
from genenvs.images.scenes.grammar import CATEGORIES, COLOURS, SHAPES, SIZES, Request
from genenvs.images.scenes.render import LARGE, SIDE, SMALL, Things, _distance

SATURATION = 0.26  # of the background at most some 0.06, of things 0.6 and more
LEAST_AREA = 4  # pixels
LIMIT = 8  # patches that are read, the largest first
SLACK = 0.1  # of the boxes' sides, in relations (GenEval's)
MIDDLE = (SMALL[1] + LARGE[0]) / 2  # between small and large
# Shorter over longer side of a box, and the shorter one in pixels: a bar that is stretched to the
# outline of a square is none.
SQUARE, LEAST_SIDE = 0.7, 4
LIKENESS = 0.6  # of outlines, intersection over union; blots of noise are no things
_CROP = 9  # points a side at which outlines are compared


def detect(images: Tensor) -> Things:
    """Find the things in pictures.

    Args:
        images: float [B, 3, H, W] in [0, 1]; other sides than 32 are resized to it.

    Returns:
        `Things` of O = 8 places, on the device of the images; centres and radii in pixels of a
        picture of 32 x 32; the shape of a patch with no known outline is -1.

    Raises:
        ValueError: pictures of another shape.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be [B, 3, H, W]; got {list(images.shape)}")
    images = images.float()
    if images.shape[-2:] != (SIDE, SIDE):
        images = functional.interpolate(images, (SIDE, SIDE), mode="area")
    hue, vivid = _hue(images)
    patches = _patches(hue, vivid)
    most = max(1, int(patches.number.max())) if len(images) else 1
    area, *bounds, colour = _measure(patches.label, hue.flatten(1), most)  # each [B, most]
    area, pick = area.topk(min(LIMIT, most), dim=1)
    left, right, top, bottom = (each.gather(1, pick).float() for each in bounds)
    colour = colour.gather(1, pick)
    present = area >= LEAST_AREA
    x, y = (left + right + 1) / 2, (top + bottom + 1) / 2
    half = (torch.maximum(right - left, bottom - top) + 1) / 2
    # Of the patch itself: what else of its hue lies in its box is not of its outline.
    cover = patches.label.view(-1, 1, SIDE, SIDE) == (pick + 1)[..., None, None]
    wide, tall = right - left + 1, bottom - top + 1
    shape = _shape(cover.float(), x, y, wide / 2, tall / 2)
    short, long = torch.minimum(wide, tall), torch.maximum(wide, tall)
    shape = torch.where((short >= SQUARE * long) & (short >= LEAST_SIDE), shape, -1)
    return Things(present, x, y, half, colour, shape)


def _hue(images: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest colour by hue, int64 [B, H, W], and whether a pixel has any, bool."""
    palette = torch.tensor(list(COLOURS.values()), device=images.device)
    direction = functional.normalize(palette - palette.mean(1, keepdim=True), dim=1)
    chroma = images - images.mean(1, keepdim=True)
    hue = torch.einsum("bchw,kc->bkhw", chroma, direction).argmax(1)
    return hue, images.amax(1) - images.amin(1) > SATURATION


def _patches(hue: Tensor, vivid: Tensor) -> Components:
    """Connected pixels of one hue, labels [B, H * W]."""
    beyond = SIDE * SIDE
    right, below = hue[:, :, 1:] == hue[:, :, :-1], hue[:, 1:] == hue[:, :-1]

    def lowest(label: Tensor) -> Tensor:
        label = label.view(hue.shape)
        found = label.clone()
        for axis, same in ((2, right), (1, below)):
            size = SIDE - 1
            first, second = label.narrow(axis, 0, size), label.narrow(axis, 1, size)
            lower, upper = found.narrow(axis, 0, size), found.narrow(axis, 1, size)
            torch.minimum(lower, torch.where(same, second, beyond), out=lower)
            torch.minimum(upper, torch.where(same, first, beyond), out=upper)
        return found.flatten(1)

    return spread(vivid.flatten(1), lowest)


def _measure(label: Tensor, hue: Tensor, most: int) -> tuple[Tensor, ...]:
    """Area, first and last column, first and last row, hue of each patch: int64 [B, most]."""
    at = torch.arange(SIDE * SIDE, device=label.device).expand_as(label)
    blank = label.new_zeros(len(label), most + 1)
    area = blank.scatter_add(1, label, torch.ones_like(label))

    def extreme(values: Tensor, how: str) -> Tensor:
        start = blank if how == "amax" else blank + SIDE
        return start.scatter_reduce(1, label, values, how)[:, 1:]

    column, row = at % SIDE, at // SIDE
    bounds = [extreme(each, how) for each in (column, row) for how in ("amin", "amax")]
    return (area[:, 1:], *bounds, blank.scatter(1, label, hue)[:, 1:])


def _shape(cover: Tensor, x: Tensor, y: Tensor, wide: Tensor, tall: Tensor) -> Tensor:
    """The shape whose outline in its box is nearest, -1 where none is near: int64 [B, O]."""
    rows, places = x.shape
    points = (torch.arange(_CROP, device=x.device) + 0.5) / _CROP * 2 - 1
    across = (x[..., None] + wide[..., None] * points) / SIDE * 2 - 1  # [B, O, P]
    down = (y[..., None] + tall[..., None] * points) / SIDE * 2 - 1
    grid = torch.stack(
        [
            across[:, :, None].expand(-1, -1, _CROP, -1),
            down[..., None].expand(-1, -1, -1, _CROP),
        ],
        -1,
    )
    crop = functional.grid_sample(
        cover.reshape(rows * places, 1, SIDE, SIDE),
        grid.reshape(rows * places, _CROP, _CROP, 2),
        align_corners=False,
    ).reshape(rows, places, 1, _CROP * _CROP)
    templates = _templates().to(x.device)  # [S, P * P]
    both = torch.minimum(crop, templates).sum(-1) / torch.maximum(crop, templates).sum(-1)
    best = both.max(-1)
    return torch.where(best.values > LIKENESS, best.indices, -1)


@cache
def _templates() -> Tensor:
    """The shapes as they fill their boxes: float32 [S, 81]."""
    shape = torch.arange(len(SHAPES))
    radius = torch.full((len(SHAPES), 1, 1), SIDE / 2.0)
    grid = torch.arange(SIDE) + 0.5 - SIDE / 2
    # Its box, that is: a square is drawn a little smaller than its radius says.
    scale = torch.tensor([0.92 if name == "square" else 1.0 for name in SHAPES])[:, None, None]
    x = grid[None, None, :] * scale
    y = grid[None, :, None] * scale
    inside = (_distance(shape, x, y, radius) < 0).float()[:, None]
    return functional.adaptive_avg_pool2d(inside, _CROP).flatten(1)


@dataclass(frozen=True)
class Reading:
    """How far pictures are what was asked for.

    Attributes:
        correct: bool [B], all that was asked for is there, and where a number was, no more.
        score: float32 [B] in [0, 1], the share of the requirements that are met; 1 if `correct`.
        clean: bool [B], correct, and there is nothing else in the picture.
        things: float32 [B], how many were found.
    """

    correct: Tensor
    score: Tensor
    clean: Tensor
    things: Tensor


def judge(seen: Things, asked: Request) -> Reading:
    """Compare what was seen with what was asked for.

    The requirements are, for each group, that its things are there (in part if some are) and, of
    counted ones, no more of them; and the relation, if every one of the first group lies so to
    every one of the second.
    """
    present = seen.present[:, None]  # [B, 1, O]
    alike = (
        present
        & (seen.colour[:, None] == asked.colour[..., None])
        & (seen.shape[:, None] == asked.shape[..., None])
    )  # [B, 2, O]
    large = (seen.radius > MIDDLE)[:, None]
    sized = alike & ((asked.size[..., None] < 0) | (large == (asked.size[..., None] == 1)))
    number, anyway = sized.sum(2), alike.sum(2)
    wanted = asked.count > 0
    share = torch.where(wanted, (number / asked.count.clamp_min(1)).clamp_max(1.0), 0.0)
    enough = (number >= asked.count) & wanted
    counted = asked.count > 1
    exact = enough & (anyway <= asked.count)
    related = _related(seen, sized, asked.relation)
    places = asked.relation >= 0
    met = share.sum(1) + (exact & counted).sum(1) + (related & places)
    of = wanted.sum(1) + counted.sum(1) + places.long()
    correct = (enough | ~wanted).all(1) & (exact | ~counted).all(1) & (related | ~places)
    things = seen.present.sum(1)
    score = torch.where(correct, 1.0, met / of).float()
    return Reading(correct, score, correct & (things == asked.count.sum(1)), things.float())


def _related(seen: Things, sized: Tensor, relation: Tensor) -> Tensor:
    """Whether the first group is there, the second too, and all lie as asked: bool [B]."""
    right = seen.x[:, :, None] - seen.x[:, None]  # [B, O, O]
    below = seen.y[:, :, None] - seen.y[:, None]
    slack = SLACK * 2 * (seen.radius[:, :, None] + seen.radius[:, None])
    right, below = (d.sign() * (d.abs() - slack).clamp_min(0) for d in (right, below))
    length = torch.hypot(right, below).clamp_min(1e-6)
    ways = torch.stack([-right, right, -below, below], 1) / length[:, None]  # [B, 4, O, O]
    rows = torch.arange(len(relation), device=relation.device)
    holds = ways[rows, relation.clamp_min(0)] > 0.5
    both = sized[:, 0, :, None] & sized[:, 1, None]
    return both.flatten(1).any(1) & (holds | ~both).flatten(1).all(1)


def read(images: Tensor, asked: Request) -> Reading:
    """`judge` of what `detect` sees.

    Args:
        images: float [B, 3, H, W] in [0, 1].
        asked: of B rows, on the same device.
    """
    return judge(detect(images), asked)


def by_category(correct: Tensor, asked: Request) -> dict[str, float]:
    """The mean of a column in each category that occurs."""
    return {
        name: float(correct[asked.category == k].float().mean())
        for k, name in enumerate(CATEGORIES)
        if bool((asked.category == k).any())
    }


__all__ = ["SIZES", "Reading", "by_category", "detect", "judge", "read"]
