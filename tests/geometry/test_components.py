"""Claims about connected components of voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genenvs.core.components import joined
from genenvs.geometry.components import voxel_components
from tests.geometry import reference, samples


@given(samples.seeds, st.tuples(*[st.integers(1, 7)] * 3), st.sampled_from([6, 26]))
def test_labels_are_those_of_a_flood(seed, shape, neighbours):
    grid = samples.grids(seed, 4, shape, 0.3 if neighbours == 6 else 0.12)
    label, found = voxel_components(grid, neighbours)
    for row in range(4):
        expected, number = reference.components(grid[row].numpy(), neighbours)
        assert np.array_equal(label[row], expected) and int(found[row]) == number


@given(samples.seeds, st.integers(1, 30), st.integers(0, 60))
def test_edges_join_what_a_library_joins(seed, elements, edges):
    drawn = np.random.default_rng(seed)
    one, other = drawn.integers(elements, size=(2, edges))
    graph = coo_array((np.ones(edges), (one, other)), (elements, elements))
    _, label = connected_components(graph, directed=False)
    first = np.array([np.flatnonzero(label == each)[0] for each in label])
    # Half of the edges may be known before: each element begins at the first of its tree.
    half, _ = np.split(np.stack([one, other]), [edges // 2], 1)
    known = joined(torch.arange(elements), *torch.from_numpy(half))
    for start in (torch.arange(elements), known):
        assert joined(start, *torch.from_numpy(np.stack([one, other]))).tolist() == first.tolist()


def test_a_corner_joins_for_26_neighbours_alone():
    grid = torch.zeros(1, 4, 4, 4, dtype=torch.bool)
    grid[0, 0, 0, 0] = grid[0, 1, 1, 1] = grid[0, 3, 3, 3] = True
    assert voxel_components(grid, 6).number.tolist() == [3]
    assert voxel_components(grid, 26).number.tolist() == [2]


def snake(size: int) -> torch.Tensor:
    """One path through every other line of a grid, some size^3 / 4 voxels long."""
    grid = torch.zeros(size, size, size, dtype=torch.bool)
    grid[::2, ::2] = True
    for k, x in enumerate(range(0, size, 2)):
        for y in range(0, size - 2, 2):
            grid[x, y + 1, (y // 2 + k) % 2 * (size - 1)] = True
        if x + 2 < size:
            grid[x + 1, (k + 1) % 2 * (size - 2), 0] = True
    return grid


def test_a_long_path_takes_few_rounds(monkeypatch):
    grid = snake(16)
    assert reference.components(grid.numpy(), 6)[1] == 1 and int(grid.sum()) > 1000
    rounds = []
    minimum = torch.minimum
    monkeypatch.setattr(torch, "minimum", lambda *a, **k: (rounds.append(1), minimum(*a, **k))[1])
    assert voxel_components(grid[None]).number.tolist() == [1]
    assert 1 < len(rounds) < 10


def test_only_6_or_26_neighbours():
    with pytest.raises(ValueError, match="6 or 26; got 18"):
        voxel_components(torch.zeros(1, 2, 2, 2).bool(), 18)
