"""Claims about the families of shapes."""

from __future__ import annotations

import pytest
import torch

from genenvs.core import random
from genenvs.geometry import lofts, packed
from genenvs.shapes.families import DRAWS, FAMILIES, MOST_PARTS, THIN, grow

EVERY = pytest.mark.parametrize("name", FAMILIES)


def numbers(count: int) -> torch.Tensor:
    return random.uniform(torch.arange(count), 0, DRAWS)


@EVERY
def test_shapes_stand_on_the_floor_of_the_unit_cube(name):
    shapes, _ = grow(name, numbers(300))
    assert shapes.axis.shape == (300, MOST_PARTS)
    corners = lofts.corners(shapes)
    present = shapes.present[..., None, None]
    assert float(corners.masked_fill(~present, 0.5).amin()) >= -1e-6
    assert float(corners.masked_fill(~present, 0.5).amax()) <= 1 + 1e-6
    bottom = corners[..., 2].masked_fill(~present[..., 0], 1.0).amin((1, 2))
    assert float(bottom.abs().max()) < 1e-6


@EVERY
def test_half_of_them_are_symmetric_and_look_it(name):
    shapes, symmetric = grow(name, numbers(300))
    grid = packed.unpack(lofts.rasterise_packed(shapes, 32), 32)
    mirrored = (grid == grid.flip(1)).flatten(1).all(1)
    if name == "corridor":
        assert not symmetric.any()
    else:
        assert 0.4 < float(symmetric.float().mean()) < 0.6
        assert bool(mirrored[symmetric].all())
    assert float(mirrored[~symmetric].float().mean()) < 0.35


@EVERY
def test_shapes_differ_and_are_solid_enough_for_a_grid_of_16(name):
    shapes, _ = grow(name, numbers(300))
    grids = lofts.rasterise_packed(shapes, 16)
    assert len({grid.numpy().tobytes() for grid in grids}) > 240
    assert int(packed.volume(grids).median()) > 150
    # A part as thin as THIN reaches a centre wherever it lies.
    assert THIN > 1 / 16


@EVERY
def test_a_shape_does_not_depend_on_its_batch(name):
    many, _ = grow(name, numbers(20))
    one, _ = grow(name, numbers(20)[7:8])
    for field, alone in zip(many, one, strict=True):
        assert torch.equal(field[7:8], alone)
