"""Claims about distances between what was built and the target."""

from __future__ import annotations

import numpy as np
import torch

from genenvs.shapes import gold


def test_points_lie_on_outer_faces_uniformly():
    grid = torch.zeros(3, 6, 5, 4, dtype=torch.bool)
    grid[0, 1:3, 1:3, 1:3] = True  # 24 outer faces
    grid[1, 0, 0, 0] = True
    found = gold.surface_points(grid, torch.tensor([5, 6, 7]), 1, 24_000)
    cube = found[0].double().numpy()
    assert ((cube >= 1) & (cube <= 3)).all()
    on = np.isclose(cube, 1) | np.isclose(cube, 3)
    assert on.any(1).all()
    counts = [np.isclose(cube[:, k], v).sum() for k in range(3) for v in (1, 3)]
    assert min(counts) > 3_700 and max(counts) < 4_300
    single = found[1]
    assert bool(((single >= 0) & (single <= 1)).all()) and float(single.std(0).min()) > 0.3
    assert not found[2].any()  # nothing there


def test_a_shape_is_near_itself_and_far_from_nothing():
    grid = torch.zeros(2, 16, 16, 16, dtype=torch.bool)
    grid[:, 2:14, 2:14, 2:14] = True
    built = grid.clone()
    built[1] = False
    found = gold.distances(built, grid, torch.tensor([1, 2]))
    assert float(found["chamfer"][0]) < 0.06 and float(found["hausdorff"][0]) < 0.1
    assert float(found["chamfer"][1]) == 2 and float(found["hausdorff"][1]) == 1


def test_units_are_diameters_of_the_target():
    far = torch.zeros(2, 32, 32, 32, dtype=torch.bool)
    far[0, 0:4, 0:4, 0:4] = True
    far[1, 0:8, 0:8, 0:8] = True
    near = torch.zeros_like(far)
    near[0, 12:16, 0:4, 0:4] = True  # 12 = 3 sides away
    near[1, 24:32, 0:8, 0:8] = True  # 24 = 3 sides away
    found = gold.distances(near, far, torch.tensor([1, 1]))
    assert abs(float(found["hausdorff"][0] - found["hausdorff"][1])) < 0.01  # other points
    # From the far face to the nearest point: 3 sides of a cube whose diagonal is sqrt(3) sides.
    assert abs(float(found["hausdorff"][0]) - 3 / 3**0.5) < 0.05


def test_distances_do_not_depend_on_the_batch():
    grid = torch.rand(4, 8, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.3
    other = grid.roll(1, 1)
    key = torch.arange(4)
    many = gold.distances(grid, other, key)
    one = gold.distances(grid[2:3], other[2:3], key[2:3])
    for name in many:
        assert torch.equal(many[name][2:3], one[name])
