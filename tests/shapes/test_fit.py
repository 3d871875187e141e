"""Claims about the cuboids that stand for a shape."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.geometry import cuboids, packed
from genenvs.shapes import fit, targets


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_no_cuboid_is_heavier(seed, size):
    worth = np.random.default_rng(seed).integers(-9, 7, (3, size, size, size))
    found, gain = fit.heaviest(torch.from_numpy(worth).float())
    pairs = list(itertools.combinations(range(size + 1), 2))
    for row in range(3):
        best = max(
            worth[row, a:b, c:d, e:f].sum()
            for (a, b), (c, d), (e, f) in itertools.product(pairs, repeat=3)
        )
        a, c, e, b, d, f = found[row].tolist()
        assert worth[row, a:b, c:d, e:f].sum() == best == gain[row]


def test_a_union_of_separate_cuboids_is_found_again():
    shape = torch.tensor([[[0, 0, 0, 5, 6, 7], [8, 8, 8, 16, 12, 11], [0, 10, 12, 3, 16, 16]]])
    found = fit.cuboids(cuboids.rasterise(shape, 16).float(), 5)
    assert sorted(found[0, :3].tolist()) == sorted(shape[0].tolist())
    assert not found[0, 3:].any()
    assert found[0, 0].tolist() == max(
        shape[0].tolist(), key=lambda c: np.prod(np.subtract(c[3:], c[:3]))
    )


def test_the_first_cuboid_is_always_there():
    assert (fit.cuboids(torch.full((1, 4, 4, 4), 0.1), 3)[0].any(1)).tolist() == [
        True,
        False,
        False,
    ]


def test_rows_do_not_depend_on_each_other():
    grids = targets.load("chair", "validation", 16).voxels(torch.arange(7)).float()
    together = fit.cuboids(grids, 5)
    for row in range(7):
        assert torch.equal(fit.cuboids(grids[row : row + 1], 5)[0], together[row])


def test_five_cuboids_resemble_the_targets():
    found = targets.load("mixed", "validation", 64)
    grids = found.packed(torch.arange(0, len(found), 8))
    occupancy = packed.pool(grids, 64, 16).float() / 64
    words = cuboids.rasterise_packed(fit.cuboids(occupancy, 5) * 4, 64)
    assert float(packed.iou(words, grids).mean()) > 0.65
