"""Claims about lofts: what is inside one, and its surface."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.geometry import cuboids, lofts, packed
from genenvs.geometry.lofts import ACROSS, Lofts
from genenvs.geometry.meshes import topology, weld


def random_lofts(seed: int, rows: int, count: int) -> Lofts:
    rng = np.random.default_rng(seed)
    low = rng.uniform(-0.1, 0.6, (rows, count, 2, 2))
    fields = (
        rng.integers(0, 3, (rows, count)),
        np.sort(rng.uniform(-0.1, 1.1, (rows, count, 2)), -1),
        low,
        low + rng.uniform(-0.1, 0.6, (rows, count, 2, 2)),
    )
    axis, *numbers = (torch.from_numpy(np.asarray(f)) for f in fields)
    return Lofts(axis, *(n.float() for n in numbers))


def inside(found: Lofts, size: int) -> np.ndarray:
    """Centre by centre, in float64."""
    axes, ends, low, high = (f.double().numpy() for f in found)
    grid = np.zeros((len(axes), size, size, size), bool)
    for at in np.ndindex(*grid.shape):
        point = (np.array(at[1:]) + 0.5) / size
        for k in range(axes.shape[1]):
            row = (at[0], k)
            axis = int(axes[row])
            start, stop = ends[row]
            if not start <= point[axis] < stop:
                continue
            share = (point[axis] - start) / (stop - start)
            a = low[row][0] + share * (low[row][1] - low[row][0])
            b = high[row][0] + share * (high[row][1] - high[row][0])
            across = point[list(ACROSS[axis])]
            grid[at] |= bool(np.all((a <= across) & (across < b)))
    return grid


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4), st.sampled_from([1, 5, 8]))
def test_a_voxel_is_set_where_its_centre_is_inside(seed, rows, count, size):
    found = random_lofts(seed, rows, count)
    grid = packed.unpack(lofts.rasterise_packed(found, size), size)
    # float32 and float64 may differ for a centre on the surface; random ones are not.
    assert (grid.numpy() == inside(found, size)).all()


@pytest.mark.parametrize("size", [16, 64])
def test_a_loft_that_keeps_its_rectangle_is_a_cuboid(size):
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, size + 1, (20, 6, 2, 3)), 2)
    lowest, highest = (torch.from_numpy(corners[:, :, k]) for k in (0, 1))
    grid = cuboids.rasterise_packed(torch.cat([lowest, highest], -1), size)
    same = lofts.of_cuboids(lowest / size, highest / size)
    assert torch.equal(lofts.rasterise_packed(same, size), grid)


def test_more_voxels_than_a_word_are_refused():
    with pytest.raises(ValueError, match="at most 64 voxels a side; got 65"):
        lofts.rasterise_packed(random_lofts(0, 1, 1), 65)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_surface_is_closed_and_faces_outwards(axis):
    whole = Lofts(
        torch.tensor([axis, axis]),
        torch.tensor([[0.25, 0.75], [0.5, 0.5]]),  # the second one is empty
        torch.tensor([[[0.25, 0.0], [0.5, 0.0]]] * 2),
        torch.tensor([[[0.75, 1.0], [0.75, 0.5]]] * 2),
    )
    vertices, faces = lofts.mesh(whole)
    assert vertices.shape == (8, 3) and faces.shape == (12, 3)
    counts = topology(weld(vertices[None], faces[None]))
    assert bool(counts.watertight) and int(counts.euler) == 2
    volume = torch.linalg.det(vertices[faces]).sum() / 6
    # A frustum's volume by Simpson's rule: widths 0.5 and 0.25, depths 1 and 0.5, length 0.5.
    expected = 0.5 / 6 * (0.5 * 1 + 4 * 0.375 * 0.75 + 0.25 * 0.5)
    assert float(volume) == pytest.approx(expected, abs=1e-6)


def test_what_is_inside_fills_the_volume_of_the_surface():
    found = random_lofts(3, 4, 1)
    found = Lofts(found.axis, *(f.clamp(0, 1) for f in found[1:]))
    found = found._replace(high=torch.maximum(found.high, found.low))
    volume = packed.volume(lofts.rasterise_packed(found, 64)) / 64**3
    for row in range(4):
        vertices, faces = lofts.mesh(found.rows(torch.tensor(row)))
        exact = float(torch.linalg.det(vertices[faces]).sum() / 6)
        assert float(volume[row]) == pytest.approx(exact, abs=0.02)
