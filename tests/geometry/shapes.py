"""Meshes whose properties are known by hand."""

from __future__ import annotations

import numpy as np
import torch

Mesh = tuple[torch.Tensor, torch.Tensor]

# Corners of a cube in binary, x the lowest bit; two triangles a side, facing outwards.
CUBE = [
    [0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4],
    [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5],
]  # fmt: skip


def cube(low: float | tuple[float, ...] = 0.0, high: float | tuple[float, ...] = 1.0) -> Mesh:
    """Vertices float32 [8, 3] and faces int64 [12, 3]."""
    bits = torch.tensor([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in range(8)])
    low, high = torch.tensor(low), torch.tensor(high)
    return torch.where(bits.bool(), high, low).float(), torch.tensor(CUBE)


def together(*meshes: Mesh) -> Mesh:
    """One mesh of several, none of their vertices shared."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    faces = [faces + int(start) for (_, faces), start in zip(meshes, starts, strict=False)]
    return torch.cat([vertices for vertices, _ in meshes]), torch.cat(faces)


def soup(mesh: Mesh) -> Mesh:
    """Every face with vertices of its own, as an STL file has them."""
    vertices, faces = mesh
    return vertices[faces].reshape(-1, 3), torch.arange(3 * len(faces)).view(-1, 3)


def torus(sides: int = 6, rings: int = 8, wide: float = 1.0, slim: float = 0.4) -> Mesh:
    """A closed ring about z, its quads split in two."""
    u, v = np.meshgrid(np.arange(rings), np.arange(sides), indexing="ij")
    a, b = 2 * np.pi * u / rings, 2 * np.pi * v / sides
    reach = wide + slim * np.cos(b)
    vertices = np.stack([reach * np.cos(a), reach * np.sin(a), slim * np.sin(b)], -1)

    def at(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return (i % rings) * sides + j % sides

    p, q, r, s = at(u, v), at(u + 1, v), at(u + 1, v + 1), at(u, v + 1)
    faces = np.concatenate([np.stack([p, q, r], -1), np.stack([p, r, s], -1)])
    return torch.from_numpy(vertices.reshape(-1, 3)).float(), torch.from_numpy(faces.reshape(-1, 3))


def batch(*faces: torch.Tensor) -> torch.Tensor:
    """Faces of several meshes as one batch, padded with -1."""
    return torch.nn.utils.rnn.pad_sequence(list(faces), batch_first=True, padding_value=-1)
