"""Claims about the inside of surfaces that are not closed."""

from __future__ import annotations

import pytest
import torch

from genenvs.geometry import leaky, repair, voxelise
from tests.geometry import shapes


def ring() -> shapes.Mesh:
    vertices, faces = shapes.torus(24, 32)
    return vertices / 3 + 0.5, faces


def landscape() -> shapes.Mesh:
    side = 9
    at = torch.linspace(0, 1, side)
    x, y = torch.meshgrid(at, at, indexing="ij")
    vertices = torch.stack([x, y, 0.5 + 0.2 * torch.sin(7 * x) * torch.cos(5 * y)], -1)
    a = (torch.arange(side - 1)[:, None] * side + torch.arange(side - 1)).flatten()
    faces = torch.stack([a, a + side, a + 1, a + 1, a + side, a + side + 1], 1)
    return vertices.view(-1, 3), faces.view(-1, 3)


def test_a_vote_on_a_closed_surface_is_unanimous():
    grid, silent = leaky.vote(*ring(), 24)
    assert silent == 0 and torch.equal(grid, voxelise.voxelise(*ring(), 24))


def test_directions_are_told_apart():
    box = shapes.cube((0.0, 0.25, 0.5), (0.125, 0.5, 1.0))
    grid, silent = leaky.vote(*box, 8)
    expected = torch.zeros(8, 8, 8, dtype=torch.bool)
    expected[:1, 2:4, 4:] = True
    assert silent == 0 and torch.equal(grid, expected)


@pytest.mark.parametrize("size", [16, 24])
def test_cracks_leave_the_inside_as_it_was(size):
    vertices, faces = ring()
    cracked = faces[torch.arange(len(faces)) % 40 != 0]
    assert not voxelise.parts(vertices, cracked).closed.any()
    grid, voted = leaky.fill(vertices, cracked, size)
    assert voted == 1
    wrong = grid != voxelise.voxelise(vertices, faces, size)
    assert int(wrong.sum()) <= 0.03 * int(grid.sum())


def test_one_open_part_leaves_the_closed_ones_alone():
    vertices, faces = shapes.together(ring(), shapes.cube(0.02, 0.2))
    whole = voxelise.voxelise(vertices, faces, 16)
    grid, voted = leaky.fill(vertices, faces[5:], 16)
    assert voted == 1
    assert bool(whole[:3, :3, :3].any()) and torch.equal(grid[:3, :3, :3], whole[:3, :3, :3])


def test_a_landscape_has_no_inside():
    assert leaky.vote(*landscape(), 16)[1] > 0.3
    with pytest.raises(ValueError, match=r"1 of 1 parts are open, and \d+% of the lines"):
        leaky.fill(*landscape(), 16)


def test_repair_leaves_large_openings_to_the_vote_if_it_may():
    vertices, faces = ring()
    cracked = faces[1:][torch.arange(1, len(faces)) % 3 != 0]
    with pytest.raises(ValueError, match="not closed"):
        repair.repair(vertices, cracked)
    assert len(repair.repair(vertices, cracked, closed=False).faces) >= len(cracked)
