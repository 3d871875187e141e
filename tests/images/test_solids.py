"""Claims about shaded pictures."""

from __future__ import annotations

import numpy as np
import pytest

from genenvs.images import sheets, solids
from genenvs.images.solids import PAPER, Solid, cubes, picture


def triangle(z: float, colour: tuple[int, int, int], size: float = 1.0) -> Solid:
    corners = np.array([[[0, 0, z], [size, 0, z], [0, size, z]]])
    return Solid(corners, colour)


def from_above(*shapes: Solid) -> np.ndarray:
    return picture(shapes, 60, azimuth=-90, elevation=90)


def test_the_nearer_surface_is_seen_whatever_the_order():
    red, blue = triangle(0.2, (255, 0, 0)), triangle(0.8, (0, 0, 255), 0.5)
    one, two = from_above(red, blue), from_above(blue, red)
    assert (one == two).all()
    low = from_above(red)
    assert ((one[..., 2] > 150) & (one[..., 0] < 100)).any()  # blue in front
    assert ((low[..., 0] > 150) & (low[..., 2] < 100)).sum() > 200


def test_planes_that_cross_are_cut_where_they_cross():
    level = Solid(
        np.array(
            [[[0, 0, 0.5], [1, 0, 0.5], [1, 1, 0.5]], [[0, 0, 0.5], [1, 1, 0.5], [0, 1, 0.5]]]
        ),
        (255, 0, 0),
    )
    slope = Solid(
        np.array([[[0, 0, 0], [1, 0, 1], [1, 1, 1]], [[0, 0, 0], [1, 1, 1], [0, 1, 0]]]),
        (0, 0, 255),
    )
    shown = from_above(level, slope)
    row = shown[30]
    is_red, is_blue = row[:, 0] > 100, row[:, 2] > 100
    inner = (row != np.array(PAPER)).any(1)
    red_at = np.flatnonzero(is_red & ~is_blue & inner)
    blue_at = np.flatnonzero(is_blue & ~is_red & inner)
    assert len(red_at) > 8 and len(blue_at) > 8 and red_at.max() < blue_at.min()
    assert abs((red_at.max() + blue_at.min()) / 2 - 29.5) < 2


def test_an_empty_scene_is_paper():
    assert (picture([], 20) == PAPER).all()
    nothing = cubes(np.zeros((3, 3, 3), bool), (1, 2, 3))
    assert (picture([nothing], 20) == PAPER).all()


def test_voxels_have_their_outer_faces_alone():
    cells = np.zeros((4, 4, 4), bool)
    cells[1:3, 1:3, 1:3] = True
    shown = cubes(cells, (10, 20, 30))
    assert len(shown.triangles) == 2 * 24
    assert shown.triangles.min() == 1 and shown.triangles.max() == 3
    assert np.linalg.det(shown.triangles).sum() / 6 == pytest.approx(8)  # they face outwards
    cells[:] = True  # against the grid's end there is a face too
    assert len(cubes(cells, (10, 20, 30)).triangles) == 2 * 6 * 16


def test_every_voxel_may_have_its_colour():
    cells = np.ones((2, 1, 1), bool)
    colours = np.array([[[[255, 0, 0]]], [[[0, 0, 255]]]])
    shown = picture([cubes(cells, colours)], 60, high=(2, 1, 1))
    reds = (shown[..., 0] > 90) & (shown[..., 2] < 60)
    blues = (shown[..., 2] > 90) & (shown[..., 0] < 60)
    assert reds.sum() > 50 and blues.sum() > 50


def test_the_lamp_lights_the_top_more_than_the_sides_and_casts_a_shadow():
    cells = np.zeros((8, 8, 8), bool)
    cells[3:5, 3:5, 0:4] = True
    shown = picture([cubes(cells, (200, 200, 200))], 120, high=(8, 8, 8)).astype(int)
    shades = {tuple(x) for x in shown.reshape(-1, 3)}
    shadow = tuple(round(x * 0.86) for x in PAPER)
    assert PAPER in shades and shadow in shades
    greys = sorted({s[0] for s in shades if s[0] == s[1] == s[2]})
    assert greys[0] < 110 and greys[-1] > 170


@pytest.mark.parametrize("chunk", [64, 2**21])
def test_a_picture_does_not_depend_on_how_the_work_is_cut(chunk, monkeypatch):
    rng = np.random.default_rng(0)
    some = Solid(rng.uniform(0, 1, (40, 3, 3)), rng.integers(0, 255, (40, 3)))
    usual = picture([some], 50)
    monkeypatch.setattr(solids, "_PIXELS", chunk)
    assert (picture([some], 50) == usual).all()


def test_a_sheet_holds_its_panels_as_they_are():
    rng = np.random.default_rng(0)
    one, two = (rng.integers(0, 255, (h, 40, 3)).astype(np.uint8) for h in (30, 20))
    page = sheets.sheet([("one", one), ("two", two)], "a\nb")
    assert (page[18:48, 10:50] == one).all() and (page[18:38, 60:100] == two).all()
    assert page.shape == (30 + 3 * 18 + 10, 2 * 40 + 30, 3)


def test_a_round_solid_has_no_lines_inside():
    """A roof of two slopes: its ridge is a line unless the solid is declared round."""
    roof = np.array(
        [
            [[0.1, 0.1, 0], [0.5, 0.1, 0.6], [0.5, 0.9, 0.6]],
            [[0.9, 0.1, 0], [0.5, 0.9, 0.6], [0.5, 0.1, 0.6]],
        ]
    )
    ridge, round_ = (
        from_above(Solid(roof, (200, 200, 200), smooth=smooth)).astype(int)[25:35, 28:32]
        for smooth in (False, True)
    )
    assert ridge.min() < round_.min()


def test_a_shadow_falls_on_the_painted_ground():
    """Red where x is negative, green elsewhere; seen from above x is to the right."""

    def ground(place: np.ndarray) -> np.ndarray:
        return np.where(place[:, :1] < 0.5, (200, 0, 0), (0, 200, 0))

    bare = picture([], 60, azimuth=-90, elevation=90, ground=ground)
    assert (bare[:, :29] == (200, 0, 0)).all() and (bare[:, 31:] == (0, 200, 0)).all()
    over = picture([triangle(0.8, (0, 0, 0), 0.3)], 60, azimuth=-90, elevation=50, ground=ground)
    assert {200, 172} <= set(over[..., :2].max(2).ravel().tolist())  # in the light and in shadow
    flat = picture([], 60, elevation=0, ground=ground)
    assert (flat == np.array(PAPER)).all()  # the floor is seen from its edge


def looked_at_one_by_one(corners: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    seen, depth = np.full((size, size), -1), np.full((size, size), np.inf)
    for k, (a, b, c) in enumerate(corners):
        sides = np.stack([b[:2] - a[:2], c[:2] - a[:2]], 1)
        if abs(np.linalg.det(sides)) < 1e-9:
            continue
        for y in range(size):
            for x in range(size):
                u, v = np.linalg.solve(sides, np.array([x + 0.5, y + 0.5]) - a[:2])
                z = a[2] + u * (b[2] - a[2]) + v * (c[2] - a[2])
                if u >= 0 and v >= 0 and u + v <= 1 and z <= depth[y, x]:
                    seen[y, x], depth[y, x] = k, z
    return seen.ravel(), depth.ravel()


@pytest.mark.parametrize("large", [0, 20, 10**6])
@pytest.mark.parametrize("pixels", [7, 2**18])
def test_what_is_seen_is_what_a_loop_sees(monkeypatch, large, pixels):
    drawn = np.random.default_rng(3)
    middle, corner = drawn.uniform(0, 24, (25, 1, 3)), drawn.normal(0, 1, (25, 3, 3))
    corners = middle + corner * drawn.uniform(0.5, 12, (25, 1, 1))
    corners[4] = corners[3] + np.array([0, 0, 1])  # behind
    corners[5, 2] = corners[5, 0]  # a line
    corners[6] += 100  # beside the picture
    monkeypatch.setattr(solids, "_LARGE", large)
    monkeypatch.setattr(solids, "_PIXELS", pixels)
    seen, depth = solids._nearest(corners, 24)
    expected, far = looked_at_one_by_one(corners, 24)
    assert (seen == expected).all() and len(set(seen)) > 10
    assert np.allclose(depth, far)


@pytest.mark.parametrize("large", [0, 30, 10**6])
@pytest.mark.parametrize("order", [(9, 9, 9), (9, 4, 4), (4, 9, 4), (4, 4, 9), (9, 4, 9)])
def test_of_two_at_one_place_the_later_is_seen(monkeypatch, large, order):
    monkeypatch.setattr(solids, "_LARGE", large)
    corners = np.array([[[0.0, 0, 1], [side, 0, 1], [0, side, 1]] for side in order])
    seen = solids._nearest(corners, 10)[0]
    expected = looked_at_one_by_one(corners, 10)[0]
    assert (seen == expected).all() and seen[0] == 2
