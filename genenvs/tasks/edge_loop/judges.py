"""Gold metrics of the exported mesh."""

from collections.abc import Sequence

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.geometry import intersections, meshes, packed, points
from genenvs.shapes import gold

_SAMPLE = random.word("mesh")
_ROWS = 16  # at a time: grids of 64^3, and their faces


def judge(built: Sequence[tuple[Tensor, Tensor]], target: Tensor, key: Tensor) -> dict[str, Tensor]:
    """What `rewards.METRICS` says of meshes, float32 [K] each.

    Args:
        built: vertices float32 [V, 3] and triangles int64 [F, 3] of each.
        target: int64 [K, T, T], packed.
        key: int64 [K], streams of the sample points.
    """
    parts = [
        _judge(built[k : k + _ROWS], target[k : k + _ROWS], key[k : k + _ROWS])
        for k in range(0, len(built), _ROWS)
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _judge(
    built: Sequence[tuple[Tensor, Tensor]], target: Tensor, key: Tensor
) -> dict[str, Tensor]:
    vertices, faces = _padded([v for v, _ in built], 0.0), _padded([f for _, f in built], -1)
    mine, _ = points.sample(vertices, faces, random.mix(key, _SAMPLE), gold.SAMPLES)
    size = target.shape[-1]
    theirs = gold.surface_points(packed.unpack(target, size), key, 2) / size
    found = gold.point_distances(mine, theirs, torch.ones_like(key, dtype=torch.bool))
    shape = meshes.topology(faces)
    return found | {
        "components": shape.components.float(),
        "boundary_ratio": shape.boundary_ratio,
        "self_intersections": intersections.crossings(vertices, faces).float(),
        "watertight": shape.watertight.float(),
    }


def _padded(parts: list[Tensor], value: float) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=value)
