"""Places behind the subjects of drawn clips, sideways and from above.

Each is a function of x (frame heights), depth (frame heights below the horizon; negative above it),
time (seconds) and a scene's numbers [B, 12, 1, 1]: float32 [B, H, W] twice and [B, 1, 1] -> colours
[B, 3, H, W]. They are in the order of the attribute `location`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Place = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _tint(look: Tensor, red: float, green: float, blue: float, spread: float = 0.25) -> Tensor:
    """A colour, and how far a scene's numbers turn it: [B, 3, 1, 1]."""
    base = torch.tensor([red, green, blue], device=look.device)[None, :, None, None]
    return (base + spread * (look[:, :3] - 0.5)).clamp(0, 1)


def _soft(distance: Tensor, sharp: float = 40.0) -> Tensor:
    """1 inside (distance below 0), 0 outside, a ramp between."""
    return (0.5 - sharp * distance).clamp_(0, 1)


def _ground(x: Tensor, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates on the ground in perspective, and how clearly its texture is seen there."""
    away = 1 / depth.clamp_min(0.03)
    return x * away, away, (depth * 4).clamp(0, 1)


def _stripes(value: Tensor) -> Tensor:
    """Waves between 0 and 1, flatter than sines."""
    return (0.5 + 1.2 * torch.sin(value)).clamp_(0, 1)


def _noise(cell: Tensor, seed: Tensor) -> Tensor:
    """A number in [0, 1) for each integer."""
    return torch.frac(torch.sin(cell * 12.9898 + seed * 78.233) * 437.58).abs()


def _mix(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(first, second, share[:, None])


def _interior(x: Tensor, depth: Tensor, time: Tensor, look: Tensor) -> Tensor:
    wall = _tint(look, 0.66, 0.6, 0.5, 0.4)
    panels = 0.92 + 0.08 * _stripes(x * 21)
    image = wall * panels[:, None]
    left = look[:, 3] * 0.8 - 0.9
    pane = torch.maximum((torch.frac((x - left) / 1.3 + 8.0) - 0.5).abs() * 1.3 - 0.17,
                         (depth + 0.26).abs() - 0.15)  # fmt: skip
    bars = torch.minimum((torch.frac((x - left) / 1.3 + 8.0) - 0.5).abs() * 1.3,
                         (depth + 0.26).abs())  # fmt: skip
    light = torch.tensor([0.93, 0.95, 0.85], device=x.device)[None, :, None, None]
    image = _mix(image, light, _soft(pane) * (bars > 0.012))
    across, _, clear = _ground(x, depth)
    boards = 0.75 + 0.25 * _stripes(across * 5) * clear
    floor = _tint(look[:, 3:], 0.5, 0.33, 0.2, 0.2) * boards[:, None]
    image = _mix(image, floor, _soft(-depth))
    return image * (1 - 0.5 * _soft((depth - 0.01).abs() - 0.012))[:, None]


def _street(x: Tensor, depth: Tensor, time: Tensor, look: Tensor) -> Tensor:
    sky = _tint(look, 0.7, 0.78, 0.88, 0.2)
    seed = look[:, 4]
    cell = torch.floor(x / 0.34)
    roof = 0.12 + 0.32 * _noise(cell, seed)
    grey = 0.25 + 0.45 * _noise(cell, seed + 0.37)
    house = _tint(look[:, 3:], 0.9, 0.75, 0.7, 0.3) * grey[:, None]
    windows = _stripes(x * 73.9) * _stripes(depth * 70)
    lit = torch.tensor([0.95, 0.86, 0.5], device=x.device)[None, :, None, None]
    house = _mix(house, lit, 0.6 * windows)
    image = _mix(sky, house, _soft(-depth - roof))
    across, away, clear = _ground(x, depth)
    dash = _soft(across.abs() - 0.09, 12) * _stripes(away * 3) * clear
    kerb = _soft((across.abs() - 2.2).abs() - 0.1, 8) * clear
    road = (0.3 + 0.55 * torch.maximum(dash, 0.5 * kerb))[:, None].expand_as(image)
    return _mix(image, road, _soft(-depth))


def _country(x: Tensor, depth: Tensor, time: Tensor, look: Tensor) -> Tensor:
    sky = _tint(look, 0.45, 0.68, 0.94, 0.2) + 0.25 * (depth + 0.5).clamp(0, 1)[:, None]
    drift = x + 0.02 * time
    cloud = torch.sin(drift * 5 + 6 * look[:, 4]) + torch.sin(drift * 11.3 + depth * 21)
    high = _soft(depth + 0.18, 12)
    image = _mix(sky, torch.ones_like(sky), (cloud * 0.5).clamp(0, 1) * 0.7 * high)
    ridge = 0.07 + 0.05 * torch.sin(x * 3.1 + 6 * look[:, 5]) + 0.025 * torch.sin(x * 7.7)
    image = _mix(image, _tint(look[:, 3:], 0.2, 0.42, 0.35, 0.2),
                 _soft(-depth - ridge))  # fmt: skip
    cell = torch.floor(x / 0.23)
    bush = torch.hypot(x / 0.23 - cell - 0.5, (depth + 0.01) / 0.23) - 0.5 * _noise(
        cell, look[:, 6]
    )
    image = _mix(image, _tint(look[:, 3:], 0.12, 0.3, 0.12, 0.15), _soft(bush, 9))
    across, away, clear = _ground(x, depth)
    rows = 0.8 + 0.2 * _stripes(across * 3 + away) * clear
    grass = _tint(look[:, 3:], 0.36, 0.62, 0.22, 0.25) * rows[:, None]
    return _mix(image, grass, _soft(-depth))


def _shore(x: Tensor, depth: Tensor, time: Tensor, look: Tensor) -> Tensor:
    sky = _tint(look, 0.96, 0.72, 0.55, 0.25) + 0.4 * (depth + 0.1).clamp(-0.4, 0)[:, None]
    sun = torch.hypot(x - (look[:, 4] - 0.5), depth + 0.2) - 0.07
    image = _mix(sky, torch.ones_like(sky), _soft(sun))
    cell = torch.floor(x / 0.45)
    land = 0.1 * _noise(cell, look[:, 5]) * _stripes(x / 0.45 * 2 * torch.pi - torch.pi / 2)
    image = _mix(image, _tint(look[:, 3:], 0.3, 0.34, 0.42, 0.15), _soft(-depth - land))
    _, away, clear = _ground(x, depth)
    waves = _stripes(away * 6 + 2 * torch.sin(x * 4) + 1.5 * time) * (0.3 + 0.7 * clear)
    sea = _tint(look[:, 3:], 0.1, 0.36, 0.56, 0.2) + 0.22 * waves[:, None]
    image = _mix(image, sea, _soft(-depth))
    edge = 0.15 + 0.012 * torch.sin(x * 9 + time) + 0.008 * torch.sin(0.8 * time)
    grain = 0.92 + 0.08 * torch.sin(x * 23) * torch.sin(away * 5)
    sand = torch.tensor([0.88, 0.76, 0.52], device=x.device)[None, :, None, None] * grain[:, None]
    image = _mix(image, sand, _soft(edge - depth))
    return image + 0.3 * _soft((depth - edge).abs() - 0.012)[:, None]


def _interior_above(x: Tensor, y: Tensor, time: Tensor, look: Tensor) -> Tensor:
    tiles = ((torch.floor(x / 0.16) + torch.floor(y / 0.16)) % 2) * 0.22 + 0.7
    floor = _tint(look[:, 3:], 0.72, 0.56, 0.4, 0.3) * tiles[:, None]
    rug = torch.maximum((x - 0.2).abs() - 0.5, y.abs() - 0.3)
    cloth = _tint(look, 0.62, 0.2, 0.25, 0.5) * (0.8 + 0.2 * _stripes(x * 40))[:, None]
    return _mix(floor, cloth, _soft(rug))


def _street_above(x: Tensor, y: Tensor, time: Tensor, look: Tensor) -> Tensor:
    pavement = _tint(look, 0.66, 0.64, 0.62, 0.15) * (0.9 + 0.1 * _stripes(x * 45))[:, None]
    road = torch.full_like(pavement, 0.28)
    image = _mix(pavement, road, _soft(y.abs() - 0.28))
    dash = _soft(y.abs() - 0.015) * _stripes(x * 20)
    return image + 0.6 * dash[:, None]


def _country_above(x: Tensor, y: Tensor, time: Tensor, look: Tensor) -> Tensor:
    seed = look[:, 4]
    cell = torch.floor(x / 0.42) + 17 * torch.floor(y / 0.36)
    rows = 0.8 + 0.2 * _stripes(torch.where(_noise(cell, seed) < 0.5, x, y) * 60)
    kind = _noise(cell, seed + 0.61)[:, None]
    green, straw = _tint(look[:, 3:], 0.3, 0.55, 0.2), _tint(look[:, 3:], 0.75, 0.68, 0.3)
    return (green + kind * (straw - green)) * rows[:, None]


def _shore_above(x: Tensor, y: Tensor, time: Tensor, look: Tensor) -> Tensor:
    edge = y + 0.35 * x - 0.12 + 0.03 * torch.sin(x * 7 + time) + 0.015 * torch.sin(time)
    waves = _stripes(edge * 38 + 1.5 * time)
    sea = _tint(look[:, 3:], 0.1, 0.42, 0.58, 0.2) + 0.15 * waves[:, None]
    grain = 0.92 + 0.08 * torch.sin(x * 23) * torch.sin(y * 21)
    sand = torch.tensor([0.88, 0.76, 0.52], device=x.device)[None, :, None, None] * grain[:, None]
    return _mix(sand, sea, _soft(edge)) + 0.35 * _soft(edge.abs() - 0.02)[:, None]


SIDEWAYS: tuple[Place, ...] = (_interior, _street, _country, _shore)
SEEN_FROM_ABOVE: tuple[Place, ...] = (
    _interior_above,
    _street_above,
    _country_above,
    _shore_above,
)
