"""Claims about dense and packed grids and about unions of cuboids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.geometry import cuboids, packed, sums, voxels
from tests.geometry import reference, samples


def box(*corners: int, size: int = 16) -> torch.Tensor:
    return cuboids.rasterise(torch.tensor([[corners]]), size)


@pytest.mark.parametrize("shift, expected", [(0, 1.0), (1, 7 / 9), (2, 3 / 5), (4, 1 / 3), (8, 0)])
def test_the_iou_of_a_shifted_box_is_what_it_keeps_over_what_both_take(shift, expected):
    first, second = box(0, 0, 0, 8, 8, 8), box(shift, 0, 0, 8 + shift, 8, 8)
    assert float(voxels.iou(first, second)) == pytest.approx(expected)
    assert float(packed.iou(packed.pack(first), packed.pack(second))) == pytest.approx(expected)


def test_two_empty_grids_agree():
    empty, full = torch.zeros(1, 4, 4, 4).bool(), torch.ones(1, 4, 4, 4).bool()
    assert voxels.iou(empty, empty).tolist() == [1.0]
    assert voxels.iou(empty, full).tolist() == [0.0]
    assert packed.iou(packed.pack(empty), packed.pack(empty)).tolist() == [1.0]


@given(samples.seeds, st.tuples(*[st.integers(1, 9)] * 3))
def test_iou_is_the_one_of_numpy(seed, shape):
    first, second = samples.grids(seed, 4, shape), samples.grids(seed + 1, 4, shape).roll(1, 0)
    expected = [reference.iou(a.numpy(), b.numpy()) for a, b in zip(first, second, strict=True)]
    torch.testing.assert_close(voxels.iou(first, second), torch.tensor(expected))
    torch.testing.assert_close(
        packed.iou(packed.pack(first), packed.pack(second)), torch.tensor(expected)
    )


def test_one_target_serves_a_whole_batch():
    many, one = samples.grids(0, 5, (8, 8, 8)), samples.grids(1, 3, (8, 8, 8))[1]
    assert torch.equal(voxels.iou(many, one), voxels.iou(many, one.expand(5, -1, -1, -1)))


@given(samples.seeds, st.sampled_from([1, 31, 63, 64]))
def test_packing_loses_no_voxel(seed, depth):
    grid = samples.grids(seed, 3, (3, 2, depth))
    words = packed.pack(grid)
    assert words.dtype == torch.int64 and words.shape == (3, 3, 2)
    assert torch.equal(packed.unpack(words, depth), grid)
    assert torch.equal(packed.volume(words), grid.sum((1, 2, 3)))


def test_the_highest_voxel_is_the_sign():
    grid = torch.zeros(1, 1, 64, dtype=torch.bool)
    grid[..., 63] = True
    assert packed.pack(grid).tolist() == [[-(2**63)]]
    assert packed.popcount(packed.pack(grid)).tolist() == [[1]]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40))
def test_bits_are_counted_alike_with_and_without_the_processors_instruction(values):
    words = torch.tensor(values)
    expected = [bin(value & (2**64 - 1)).count("1") for value in values]
    assert packed.popcount(words).tolist() == expected
    with pytest.raises(TypeError, match=r"words must be int64; got torch\.int32"):
        packed.popcount(words.int())
    assert packed.popcount_lanes(words).tolist() == expected


def test_a_word_holds_64_voxels():
    with pytest.raises(ValueError, match="64 voxels along z; got 65"):
        packed.pack(torch.zeros(1, 1, 65).bool())
    with pytest.raises(ValueError, match="at most 64"):
        cuboids.rasterise_packed(torch.zeros(1, 1, 6, dtype=torch.int64), 65)


@given(samples.seeds, st.tuples(*[st.integers(1, 6)] * 3))
def test_morphology_looks_at_six_neighbours(seed, shape):
    grid = samples.grids(seed, 4, shape, 0.7)
    before = grid.clone()
    for row, wide, slim, skin in zip(
        grid.numpy(), voxels.dilate(grid), voxels.erode(grid), voxels.surface(grid), strict=True
    ):
        assert np.array_equal(wide, reference.grow(row))
        assert np.array_equal(slim, reference.shrink(row))
        assert np.array_equal(skin, row & ~reference.shrink(row))
    assert torch.equal(grid, before)


def test_a_single_voxel_grows_into_the_cross_and_back():
    grid = torch.zeros(5, 5, 5, dtype=torch.bool)
    grid[2, 2, 2] = True
    cross = voxels.dilate(grid)
    assert int(cross.sum()) == 7 and torch.equal(voxels.erode(cross), grid)
    assert int(voxels.surface(torch.ones(4, 4, 4).bool()).sum()) == 64 - 8


@given(samples.seeds, st.integers(0, 30), st.sampled_from([1, 7, 16]))
def test_a_union_of_cuboids_is_the_one_of_numpy(seed, count, size):
    shapes = samples.cuboids(seed, 3, count, size)
    expected = np.stack([reference.union(row, size) for row in shapes.numpy()])
    found = cuboids.rasterise(shapes, size)
    assert found.dtype == torch.bool and np.array_equal(found, expected)
    assert torch.equal(cuboids.rasterise_packed(shapes, size), packed.pack(found))


@pytest.mark.parametrize("rows", [0, 1, 3, 70])
def test_chunks_leave_no_trace(rows):
    shapes = samples.cuboids(5, rows, 27, 64)
    words = cuboids.rasterise_packed(shapes)
    assert words.shape == (rows, 64, 64)
    assert torch.equal(packed.pack(cuboids.rasterise(shapes[:3], 64)), words[:3])
    for row in range(rows):
        assert torch.equal(cuboids.rasterise_packed(shapes[row : row + 1])[0], words[row])


@given(samples.seeds, st.integers(1, 12))
def test_single_cuboids_are_counted_and_compared(seed, size):
    shapes, target = samples.cuboids(seed, 3, 6, size), samples.grids(seed, 3, (size,) * 3)
    table = sums.table(target)
    inside = shapes.clamp(0, size)
    for row in range(3):
        for k in range(6):
            single = reference.union(shapes[row, k : k + 1].numpy(), size)
            expected = int((single & target[row].numpy()).sum())
            assert int(sums.box_sum(table, shapes)[row, k]) == expected
            assert int(cuboids.volume(inside)[row, k]) == int(single.sum())
            likeness = reference.iou(single, target[row].numpy())
            assert float(sums.local_iou(table, inside)[row, k]) == pytest.approx(likeness)


def test_a_table_sums_any_block_of_a_long_grid():
    grid = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    whole = torch.tensor([[0, 0, 0, 3, 4, 5], [1, 2, 3, 2, 4, 4], [-9, -9, -9, 99, 99, 99]])
    found = sums.box_sum(sums.table(grid), whole.expand(2, -1, -1))
    part = grid[:, 1:2, 2:4, 3:4].sum((1, 2, 3))
    total = grid.sum((1, 2, 3))
    assert torch.equal(found, torch.stack([total, part, total], 1))


@given(samples.seeds, st.sampled_from([(16, 4), (64, 16), (64, 64), (64, 1), (20, 5)]))
def test_a_coarser_grid_counts_the_voxels_of_its_blocks(seed, sizes):
    size, cells = sizes
    grid = samples.grids(seed, 2, (size,) * 3)
    block = size // cells
    blocks = grid.view(2, cells, block, cells, block, cells, block)
    expected = blocks.long().sum((2, 4, 6))
    assert torch.equal(packed.pool(packed.pack(grid), size, cells), expected)


def test_blocks_of_different_size_are_refused():
    with pytest.raises(ValueError, match="16 voxels a side do not fall into 5"):
        packed.pool(torch.zeros(1, 16, 16, dtype=torch.int64), 16, 5)


@given(samples.seeds, st.sampled_from([1, 2, 5, 20, 32, 63, 64]))
def test_bits_and_words_change_places(seed, size):
    grid = samples.grids(seed, 3, (1, size, size))[:, 0]
    assert torch.equal(packed.transpose(packed.pack(grid)), packed.pack(grid.mT))


def test_a_run_is_its_bits():
    first, stop = torch.meshgrid(torch.arange(65), torch.arange(65), indexing="ij")
    bit = torch.arange(64)
    inside = (bit >= first[..., None]) & (bit < stop[..., None])
    assert torch.equal(packed.runs(first, stop), packed.pack(inside))
