"""Gold metrics of what was modelled."""

from collections.abc import Sequence

import torch
from torch import Tensor

from genenvs.geometry import components, intersections, packed
from genenvs.shapes import gold
from genenvs.tasks.edge_loop.meshes import Quads, joined

_ROWS = 16  # at a time: grids of 64^3, and their faces


def judge(
    built: Sequence[Sequence[Quads]], parts: Tensor, still: Tensor, target: Tensor, key: Tensor
) -> dict[str, Tensor]:
    """What `rewards.METRICS` says of solids, float32 [K] each.

    Args:
        built: the closed surfaces of the cuboids of each.
        parts: int64 [K, P, T, T], packed: cuboids with loops, one by one.
        still: int64 [K, T, T], all others.
        target: int64 [K, T, T].
        key: int64 [K], streams of the sample points.
    """
    found = []
    for k in range(0, len(built), _ROWS):
        rows = slice(k, k + _ROWS)
        found.append(_judge(built[rows], parts[rows], still[rows], target[rows], key[rows]))
    return {name: torch.cat([few[name] for few in found]) for name in found[0]}


def _judge(
    built: Sequence[Sequence[Quads]], parts: Tensor, still: Tensor, target: Tensor, key: Tensor
) -> dict[str, Tensor]:
    size = target.shape[-1]
    every = torch.cat([parts, still[:, None]], 1)
    union = every[:, 0].clone()
    for other in every.unbind(1)[1:]:
        union |= other
    grid = packed.unpack(union, size)
    meshes = [joined([quads.triangles for quads in surfaces]) for surfaces in built]
    vertices, faces = _padded([v for v, _ in meshes], 0.0), _padded([f for _, f in meshes], -1)
    return {
        **gold.distances(grid, packed.unpack(target, size), key),
        "components": components.voxel_components(grid).number.float(),
        "overlap": overlap(every, union),
        "self_intersections": intersections.crossings(vertices, faces).float(),
    }


def overlap(parts: Tensor, union: Tensor) -> Tensor:
    """The share of volume that is doubled: int64 [K, P, T, T], [K, T, T] -> float32 [K]."""
    total = packed.volume(parts.flatten(0, 1)).view(parts.shape[:2]).sum(1)
    return (total - packed.volume(union)) / total.clamp(min=1)


def _padded(parts: list[Tensor], value: float) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=value)
