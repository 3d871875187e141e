"""Union, difference and intersection of solids, exact and closed, by manifold3d."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genenvs.core.optional import require

Solid = tuple[Tensor, Tensor]  # vertices float32 [V, 3], faces int64 [F, 3] that look outwards


def union(solids: Sequence[Solid]) -> Solid:
    """What at least one of the solids holds.

    Raises:
        ImportError: manifold3d is missing; names the extra.
        ValueError: a solid is no closed surface whose faces look outwards; says which.
    """
    return _combine(solids, "Add")


def difference(solids: Sequence[Solid]) -> Solid:
    """What the first solid holds and no other; raises as `union` does."""
    return _combine(solids, "Subtract")


def intersection(solids: Sequence[Solid]) -> Solid:
    """What all solids hold; raises as `union` does."""
    return _combine(solids, "Intersect")


def _combine(solids: Sequence[Solid], operation: str) -> Solid:
    manifold3d = require("manifold3d", "shapes")
    if not solids:
        raise ValueError("at least one solid is needed")
    manifolds = [_manifold(manifold3d, solid, k) for k, solid in enumerate(solids)]
    found = manifold3d.Manifold.batch_boolean(manifolds, getattr(manifold3d.OpType, operation))
    mesh = found.to_mesh()
    device = solids[0][0].device
    vertices = torch.from_numpy(np.array(mesh.vert_properties[:, :3], np.float32))
    faces = torch.from_numpy(np.array(mesh.tri_verts, np.int64)).view(-1, 3)
    return vertices.to(device), faces.to(device)


def _manifold(manifold3d: Any, solid: Solid, index: int) -> Any:
    vertices = np.ascontiguousarray(solid[0].cpu().numpy(), np.float32)
    faces = np.ascontiguousarray(solid[1].cpu().numpy(), np.uint32)
    found = manifold3d.Manifold(manifold3d.Mesh(vert_properties=vertices, tri_verts=faces))
    if found.status() != manifold3d.Error.NoError:
        raise ValueError(f"solid {index} cannot be combined: {found.status().name}")
    if found.volume() < 0:
        raise ValueError(f"solid {index} cannot be combined: its faces look inwards")
    return found
