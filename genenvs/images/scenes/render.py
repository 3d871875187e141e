"""Draw scenes: where things go, and what they look like, batched."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genenvs.core.random import counter, uniform
from genenvs.images.scenes.grammar import COLOURS, MAX_OBJECTS, SHAPES, Request

SIDE = 32  # pixels
# Half the side of a thing's box, in pixels: between small and large lies a gap for the parser.
SMALL, LARGE = (3.0, 3.8), (5.0, 6.2)
GAP = 2.0  # pixels between boxes, so that two of a colour do not run into one another
EDGE = 1.0  # pixels between a thing and the border
_CANDIDATES = 64  # arrangements tried at once
_PLACE, _LOOK = 1, 2  # purposes of random numbers


@dataclass(frozen=True)
class Things:
    """What is in a scene: O = 3 places, some of them empty.

    Attributes:
        present: bool [B, O].
        x, y: float32 [B, O], centres in pixels, y downwards.
        radius: float32 [B, O], half the side of the box, in pixels.
        colour, shape: int64 [B, O].
    """

    present: Tensor
    x: Tensor
    y: Tensor
    radius: Tensor
    colour: Tensor
    shape: Tensor


def arrange(asked: Request, key: Tensor) -> Things:
    """Place what is asked for, at random among the arrangements that show it clearly.

    Args:
        asked: of B rows.
        key: int64 [B], random streams.
    """
    slot = torch.arange(MAX_OBJECTS, device=key.device)
    group = (slot >= asked.count[:, :1]).long()  # [B, O]
    present = slot < asked.count.sum(1, keepdim=True)
    size = asked.size.gather(1, group)
    found = [torch.zeros_like(present, dtype=torch.float32) for _ in range(3)]
    open_rows = torch.arange(len(key), device=key.device)
    attempt = 0
    while len(open_rows):
        ok, values = _candidates(asked[open_rows], key[open_rows], attempt, *(
            each[open_rows] for each in (group, present, size)
        ))  # fmt: skip
        done = ok.any(1)
        first = ok.int().argmax(1)
        for place, value in zip(found, values, strict=True):
            place[open_rows[done]] = value[torch.arange(len(ok), device=ok.device), first][done]
        open_rows, attempt = open_rows[~done], attempt + 1
    colour, shape = asked.colour.gather(1, group), asked.shape.gather(1, group)
    return Things(present, found[0], found[1], found[2], colour, shape)


def _candidates(
    asked: Request, key: Tensor, attempt: int, group: Tensor, present: Tensor, size: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Arrangements, and whether each may stand: bool [B, K] and x, y, radius [B, K, O]."""
    draws = uniform(key, counter(attempt, _PLACE), 4 * _CANDIDATES * MAX_OBJECTS)
    which, much, across, down = draws.view(len(key), 4, _CANDIDATES, MAX_OBJECTS).unbind(1)
    large = torch.where(size[:, None] < 0, which < 0.5, size[:, None] == 1)
    low = torch.where(large, LARGE[0], SMALL[0])
    high = torch.where(large, LARGE[1], SMALL[1])
    radius = low + (high - low) * much
    room = SIDE - 2 * (radius + EDGE)
    x, y = radius + EDGE + room * across, radius + EDGE + room * down
    apart = torch.ones(x.shape[:2], dtype=torch.bool, device=key.device)
    for a in range(MAX_OBJECTS):
        for b in range(a + 1, MAX_OBJECTS):
            both = (present[:, a] & present[:, b])[:, None]
            right, below = x[..., a] - x[..., b], y[..., a] - y[..., b]
            free = radius[..., a] + radius[..., b] + GAP
            apart &= ~both | (torch.maximum(right.abs(), below.abs()) >= free)
            # Those of the first group lie to those of the second as asked.
            related = both & (asked.relation >= 0)[:, None] & (group[:, a] < group[:, b])[:, None]
            shift = torch.stack([-right, right, -below, below])  # [4, B, K]
            rows = torch.arange(len(key), device=key.device)
            along = shift[asked.relation.clamp_min(0), rows]
            sideways = torch.minimum(right.abs(), below.abs())
            apart &= ~related | ((along >= free) & (along >= 1.2 * sideways))
    return apart, (x, y, radius)


def render(things: Things, key: Tensor) -> Tensor:
    """Draw scenes over striped backgrounds.

    Args:
        things: of B rows.
        key: int64 [B], random streams of the backgrounds and shades.

    Returns:
        float32 [B, 3, 32, 32] in [0, 1].
    """
    look = uniform(key, counter(0, _LOOK), 8 + MAX_OBJECTS)
    image = _background(look[:, :8])
    palette = torch.tensor(list(COLOURS.values()), device=key.device)
    grid = torch.arange(SIDE, device=key.device) + 0.5
    for place in range(MAX_OBJECTS):
        x = grid[None, None, :] - things.x[:, place, None, None]
        y = grid[None, :, None] - things.y[:, place, None, None]
        outside = _distance(things.shape[:, place], x, y, things.radius[:, place, None, None])
        cover = (0.5 - outside).clamp(0, 1) * things.present[:, place, None, None]
        shade = 0.92 + 0.12 * look[:, 8 + place, None, None, None]
        colour = (palette[things.colour[:, place]][..., None, None] * shade).clamp(0, 1)
        image = image + cover[:, None] * (colour - image)
    return image


def _background(look: Tensor) -> Tensor:
    """Grey, a little tinted, with a wave across: float32 [B, 3, 32, 32]."""
    base = (0.35 + 0.3 * look[:, :1] + 0.06 * (look[:, 1:4] - 0.5))[..., None, None]
    angle, length, phase, strength = look[:, 4:8, None, None].unbind(1)
    angle, phase = angle * torch.pi, phase * 2 * torch.pi
    grid = torch.arange(SIDE, device=look.device) + 0.5
    along = grid * angle.cos() + grid[:, None] * angle.sin()
    frequency = 2 * torch.pi / (10.0 + 10.0 * length)  # wavelengths of 10 to 20 pixels
    waves = (0.03 + 0.05 * strength) * torch.sin(along * frequency + phase)
    return base + waves[:, None]


def _distance(shape: Tensor, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Signed distance to the outline in pixels, negative inside: float32 [B, H, W]."""
    width, height = x.abs(), y.abs()
    arm = 0.36 * radius
    outlines = {
        "circle": torch.hypot(x, y) - radius,
        "square": torch.maximum(width, height) - 0.92 * radius,
        # Apex at the top, base at the bottom of the box.
        "triangle": torch.maximum((2 * width - y - radius) / 5**0.5, y - radius),
        "cross": torch.minimum(
            torch.maximum(width - arm, height - radius), torch.maximum(width - radius, height - arm)
        ),
    }
    stacked = torch.stack([outlines[name].expand(len(shape), SIDE, SIDE) for name in SHAPES], 1)
    return stacked[torch.arange(len(shape), device=shape.device), shape]
