"""Subjects of drawn clips as parts: signed distances and colours, upright and from above.

Each is a function of x and y in heights of the thing (y downwards, the thing within +-0.5),
`swing` in -1 .. 1 (limbs) and its shade [B, 3, 1, 1]; it gives its parts from the back to the
front, each a distance [B, H, W], negative inside, and a colour that broadcasts to [B, 3, H, W].
They are in the order of the attribute `subject`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

REACH = 0.8  # of a thing's height: how far it goes to either side of its middle

Parts = list[tuple[Tensor, Tensor]]
Subject = Callable[[Tensor, Tensor, Tensor, Tensor], Parts]


def _colour(like: Tensor, red: float, green: float, blue: float) -> Tensor:
    return torch.tensor([red, green, blue], device=like.device)[None, :, None, None]


def _circle(x: Tensor, y: Tensor, radius: float) -> Tensor:
    return torch.hypot(x, y) - radius


def _ellipse(x: Tensor, y: Tensor, wide: float, high: float) -> Tensor:
    """About a distance: exact on the outline, right in scale along the shorter axis."""
    return (torch.hypot(x / wide, y / high) - 1) * min(wide, high)


def _box(x: Tensor, y: Tensor, wide: float, high: float, radius: float = 0.0) -> Tensor:
    """A box of half sides `wide` and `high`, its corners round."""
    outside_x = (x.abs() - wide + radius).clamp_min(0)
    outside_y = (y.abs() - high + radius).clamp_min(0)
    if not radius:
        return torch.maximum(x.abs() - wide, y.abs() - high)
    return torch.hypot(outside_x, outside_y) - radius


def _union(*distances: Tensor) -> Tensor:
    whole = distances[0]
    for distance in distances[1:]:
        whole = torch.minimum(whole, distance)
    return whole


def _human(x: Tensor, y: Tensor, swing: Tensor, shade: Tensor) -> Parts:
    stride = 0.06 * swing * ((y - 0.1) / 0.4).clamp(0, 1)
    legs = _union(
        _box(x + 0.07 + stride, y - 0.32, 0.05, 0.18, 0.03),
        _box(x - 0.07 - stride, y - 0.32, 0.05, 0.18, 0.03),
    )
    arms = _box(x.abs() - 0.19 - 0.02 * swing, y + 0.0, 0.035, 0.16, 0.03)
    eyes = _circle(x.abs() - 0.05, y + 0.38, 0.018)
    mouth = _box(x, y + 0.295, 0.04, 0.008 + 0.006)
    skin = _colour(x, 0.93, 0.76, 0.62)
    return [
        (legs, shade * 0.45),
        (_union(arms, _box(x, y - 0.0, 0.16, 0.2, 0.1)), shade),
        (_circle(x, y + 0.36, 0.14), skin),
        (torch.maximum(_circle(x, y + 0.38, 0.15), y + 0.43), shade * 0.3),
        (_union(eyes, mouth), _colour(x, 0.15, 0.08, 0.08)),
    ]


def _animal(x: Tensor, y: Tensor, swing: Tensor, shade: Tensor) -> Parts:
    stride = 0.05 * swing
    legs = _union(*(
        _box(x - at - sign * stride, y - 0.35, 0.045, 0.15)
        for at, sign in ((-0.26, 1), (-0.14, -1), (0.16, 1), (0.28, -1))
    ))  # fmt: skip
    ears = _union(_circle(x - 0.34, y + 0.3, 0.06), _circle(x - 0.5, y + 0.3, 0.06))
    tail = _box(x + 0.44, y + 0.02 + 0.05 * swing, 0.09, 0.03, 0.02)
    return [
        (_union(legs, tail, ears), shade * 0.6),
        (_ellipse(x, y - 0.1, 0.4, 0.17), shade),
        (_circle(x - 0.42, y + 0.14, 0.16), shade * 0.95),
        (_ellipse(x - 0.5, y + 0.1, 0.07, 0.05), _colour(x, 0.96, 0.9, 0.85)),
        (_union(_circle(x - 0.38, y + 0.19, 0.022), _circle(x - 0.48, y + 0.19, 0.022)),
         _colour(x, 0.05, 0.05, 0.05)),
    ]  # fmt: skip


def _vehicle(x: Tensor, y: Tensor, swing: Tensor, shade: Tensor) -> Parts:
    hop = y - 0.01 * swing
    wheels = _circle(x.abs() - 0.4, y - 0.3, 0.14)
    hubs = _circle(x.abs() - 0.4, y - 0.3, 0.06)
    glass = _box(x.abs() - 0.16, hop + 0.1, 0.12, 0.09, 0.03)
    lamp = _circle(x - 0.66, hop - 0.1, 0.05)
    return [
        (_union(_box(x, hop - 0.15, 0.7, 0.16, 0.08), _box(x, hop + 0.06, 0.36, 0.2, 0.1)), shade),
        (glass, _colour(x, 0.75, 0.88, 0.95)),
        (wheels, _colour(x, 0.08, 0.08, 0.09)),
        (_union(hubs, lamp), _colour(x, 0.9, 0.88, 0.7)),
    ]


def _object(x: Tensor, y: Tensor, swing: Tensor, shade: Tensor) -> Parts:
    ribbon = _union(_box(x, y - 0.1, 0.06, 0.36), _box(x, y - 0.1, 0.4, 0.05))
    bow = _union(_circle(x - 0.11, y + 0.33, 0.1), _circle(x + 0.11, y + 0.33, 0.1))
    return [
        (_box(x, y - 0.1, 0.4, 0.36, 0.03), shade),
        (torch.maximum(_box(x, y - 0.1, 0.4, 0.36, 0.03), 0.25 - x), shade * 0.7),
        (_union(ribbon, bow), (1.1 - shade).clamp(0, 1)),
    ]


def _scenery(x: Tensor, y: Tensor, swing: Tensor, shade: Tensor) -> Parts:
    lean = x + 0.01 * swing * (y < 0)
    crown = _union(
        _circle(lean, y + 0.24, 0.24),
        _circle(lean - 0.16, y + 0.05, 0.2),
        _circle(lean + 0.17, y + 0.06, 0.19),
    )
    lights = _union(
        _circle(lean, y + 0.3, 0.035),
        _circle(lean - 0.15, y + 0.08, 0.035),
        _circle(lean + 0.14, y + 0.12, 0.035),
    )
    green = _colour(x, 0.16, 0.46, 0.16) + 0.25 * (shade - 0.5)
    return [
        (_box(x, y - 0.28, 0.06, 0.22), _colour(x, 0.4, 0.26, 0.14)),
        (crown, green),
        (lights, (green + 0.25).clamp(0, 1)),
    ]


def _human_above(x: Tensor, y: Tensor, swing: Tensor, shade: Tensor) -> Parts:
    arms = _union(
        _ellipse(x - 0.34, y + 0.12 * swing, 0.08, 0.16),
        _ellipse(x + 0.34, y - 0.12 * swing, 0.08, 0.16),
    )
    return [
        (_ellipse(x - 0.06, y - 0.08, 0.46, 0.26), _colour(x, 0.1, 0.1, 0.12)),
        (_union(_ellipse(x, y, 0.4, 0.2), arms), shade),
        (_circle(x, y, 0.17), shade * 0.3),
        (_circle(x, y + 0.16, 0.04), _colour(x, 0.93, 0.76, 0.62)),
    ]


def _animal_above(x: Tensor, y: Tensor, swing: Tensor, shade: Tensor) -> Parts:
    tail = _box(x + 0.5, y + 0.06 * swing, 0.14, 0.03, 0.02)
    ears = _union(_circle(x - 0.42, y - 0.13, 0.06), _circle(x - 0.42, y + 0.13, 0.06))
    return [
        (_ellipse(x - 0.05, y - 0.08, 0.45, 0.24), _colour(x, 0.1, 0.1, 0.12)),
        (_union(_ellipse(x, y, 0.4, 0.18), tail, ears), shade),
        (_circle(x - 0.44, y, 0.14), shade * 0.7),
        (_circle(x - 0.57, y, 0.035), _colour(x, 0.96, 0.9, 0.85)),
    ]


def _vehicle_above(x: Tensor, y: Tensor, swing: Tensor, shade: Tensor) -> Parts:
    glass = _union(_box(x - 0.24, y, 0.06, 0.2, 0.03), _box(x + 0.34, y, 0.05, 0.18, 0.03))
    wheels = _box(x.abs() - 0.38, y.abs() - 0.27, 0.1, 0.05)
    return [
        (_union(wheels, _box(x - 0.04, y - 0.08, 0.64, 0.28, 0.1)), _colour(x, 0.1, 0.1, 0.12)),
        (_box(x, y, 0.62, 0.27, 0.1), shade),
        (_box(x + 0.06, y, 0.34, 0.22, 0.05), shade * 0.8),
        (glass, _colour(x, 0.75, 0.88, 0.95)),
    ]


def _object_above(x: Tensor, y: Tensor, swing: Tensor, shade: Tensor) -> Parts:
    ribbon = _union(_box(x, y, 0.06, 0.36), _box(x, y, 0.36, 0.06))
    return [
        (_box(x - 0.06, y - 0.08, 0.4, 0.38, 0.03), _colour(x, 0.1, 0.1, 0.12)),
        (_box(x, y, 0.36, 0.36, 0.03), shade),
        (_union(ribbon, _circle(x, y, 0.13)), (1.1 - shade).clamp(0, 1)),
    ]


def _scenery_above(x: Tensor, y: Tensor, swing: Tensor, shade: Tensor) -> Parts:
    green = _colour(x, 0.16, 0.46, 0.16) + 0.25 * (shade - 0.5)
    lumps = _union(*(
        _circle(x - a, y - b, 0.2)
        for a, b in ((0.22, 0.02), (-0.2, 0.1), (0.02, -0.22), (-0.1, -0.16), (0.08, 0.22))
    ))  # fmt: skip
    return [
        (_circle(x - 0.08, y - 0.1, 0.4), _colour(x, 0.08, 0.1, 0.08)),
        (_union(lumps, _circle(x, y, 0.3)), green),
        (_circle(x + 0.06, y + 0.06, 0.2), (green + 0.15).clamp(0, 1)),
    ]


UPRIGHT: tuple[Subject, ...] = (_human, _animal, _vehicle, _object, _scenery)
FROM_ABOVE: tuple[Subject, ...] = (
    _human_above,
    _animal_above,
    _vehicle_above,
    _object_above,
    _scenery_above,
)
