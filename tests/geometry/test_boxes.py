"""Claims about which boxes overlap."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.geometry.boxes import Boxes, cuboid_boxes, overlapping, rotations, separation
from tests.geometry import samples
from tests.needs import import_or_skip


def boxes(seed: int, rows: int, count: int, turned: str) -> Boxes:
    rng = np.random.default_rng(seed)
    centre = torch.from_numpy(rng.uniform(-1.5, 1.5, (rows, count, 3))).float()
    half = torch.from_numpy(rng.uniform(0.1, 1.2, (rows, count, 3))).float()
    if turned == "freely":
        turn = np.linalg.qr(rng.normal(size=(rows, count, 3, 3))).Q
        turn = turn * np.sign(np.linalg.det(turn))[..., None, None]
        return Boxes(centre, half, torch.from_numpy(turn).float())
    angle = torch.from_numpy(rng.uniform(-7, 7, (rows, count))).float()
    return Boxes(centre, half, {"about z": angle, "not": None}[turned])


def depth_of_overlap(first: Boxes, second: Boxes, i: int, j: int) -> float:
    """How far both boxes can shrink, all faces alike, and still share a point; by linear programme.

    Positive exactly where they overlap. It shares no idea with the separating axes.
    """
    linprog = import_or_skip("scipy.optimize", extra="dev").linprog
    rows, limits = [], []
    for box, k in ((first, i), (second, j)):
        axes, centre = rotations(box)[0, k].numpy().T, box.centre[0, k].numpy()
        for side in (1, -1):
            for axis, half in zip(axes, box.half[0, k].numpy(), strict=True):
                rows.append([*(side * axis), 1.0])
                limits.append(half + side * axis @ centre)
    found = linprog([0, 0, 0, -1], A_ub=rows, b_ub=limits, bounds=[(None, None)] * 4)
    return found.x[3]


@pytest.mark.parametrize("turned", ["not", "about z", "freely"])
@pytest.mark.parametrize("seed", range(4))
def test_boxes_overlap_where_a_linear_programme_finds_a_common_point(turned, seed):
    first, second = boxes(seed, 1, 5, turned), boxes(seed + 100, 1, 5, turned)
    found = overlapping(first, second, 0.0)[0]
    for i in range(5):
        for j in range(5):
            margin = depth_of_overlap(first, second, i, j)
            if abs(margin) > 1e-5:
                assert bool(found[i, j]) == (margin > 0), (i, j, margin)
    assert 0 < int(found.sum()) < 25


@given(samples.seeds, st.sampled_from(["about z", "not"]))
def test_five_axes_say_what_fifteen_say(seed, turned):
    upright = boxes(seed, 2, 6, turned)
    free = upright._replace(turn=rotations(upright))
    torch.testing.assert_close(
        separation(upright, upright), separation(free, free), atol=2e-5, rtol=0
    )


def test_the_separation_of_boxes_in_line_is_their_distance_or_their_depth():
    pair = Boxes(torch.tensor([[[0.0, 0, 0], [3, 0, 0], [1.5, 0, 0]]]), torch.ones(1, 3, 3))
    found = separation(pair, pair)[0]
    assert found.tolist() == [[-2, 1, -0.5], [1, -2, -0.5], [-0.5, -0.5, -2]]


def test_only_a_cross_product_parts_two_crossing_beams():
    """Two long beams at right angles, turned about their own axes so that edge faces edge."""
    quarter = math.pi / 4
    about_x = torch.tensor(
        [
            [1.0, 0, 0],
            [0, math.cos(quarter), -math.sin(quarter)],
            [0, math.sin(quarter), math.cos(quarter)],
        ]
    )
    about_y = about_x.roll((1, 1), (0, 1))
    reach = 2 * math.sqrt(2) * 0.5  # two half diagonals of a unit square
    turn = torch.stack([about_x, about_y])[None]
    half = torch.tensor([[[5.0, 0.5, 0.5], [0.5, 5.0, 0.5]]])
    for gap in (-0.1, 0.1):
        centre = torch.tensor([[[0.0, 0, 0], [0, 0, reach + gap]]])
        beams = Boxes(centre, half, turn)
        assert float(separation(beams, beams)[0, 0, 1]) == pytest.approx(gap, abs=1e-5)


def test_boxes_that_touch_do_not_overlap():
    shapes = torch.tensor([[[0, 0, 0, 4, 4, 4], [4, 0, 0, 8, 4, 4], [3, 3, 3, 5, 5, 5]]])
    found = overlapping(cuboid_boxes(shapes), cuboid_boxes(shapes))[0]
    assert found.tolist() == [[True, False, True], [False, True, True], [True, True, True]]


def test_a_turned_box_reaches_into_the_corner_that_its_shadow_suggests():
    """A unit square turned by 45 degrees: its bounding boxes meet long before it does."""
    pair = Boxes(
        torch.tensor([[[0.0, 0, 0], [1.15, 1.15, 0]]]),
        torch.full((1, 2, 3), 0.5),
        torch.full((1, 2), math.pi / 4),
    )
    assert not overlapping(pair, pair)[0, 0, 1]
    straight = pair._replace(half=torch.full((1, 2, 3), 0.5 * math.sqrt(2)), turn=None)
    assert overlapping(straight, straight)[0, 0, 1]
