"""The gold metrics of finished rooms: by hand, and against scipy's labels."""

import numpy as np
import pytest
import torch

from genenvs.geometry import packed
from genenvs.rooms import bits, furnished, gold, placing, plans, requests
from genenvs.rooms.catalogue import CATALOGUE, FLOOR, TYPES, index
from genenvs.rooms.furnished import Furnished
from tests.needs import import_or_skip

ONE = torch.ones(1, dtype=torch.int64)


def room(width, depth, *things, hinge=0) -> Furnished:
    """A room from the grid's corner, a door of 9 cells at x = 1 in its low wall; things: (name,
    width, depth, x, y, turn), x and y the lowest cell."""
    floor = bits.rectangle(0 * ONE, 0 * ONE, width * ONE, depth * ONE)
    doors = torch.tensor([[[1, 0, 1, 9, hinge], [0] * 5]])
    made = plans.finish(floor, doors, torch.zeros(1, 3, 4, dtype=torch.int64))
    sizes = torch.ones(3, 1, TYPES, dtype=torch.int64)
    now = placing.nothing(made)
    items, taken = now.items.clone(), now.taken
    for k, (name, wide, deep, x, y, turn) in enumerate(things):
        kind = index(name)
        sizes[:, 0, kind] = torch.tensor([wide, deep, 50])
        items[0, k] = torch.tensor([kind, x, y, turn])
        along = (wide, deep) if turn % 2 else (deep, wide)
        taken = taken | bits.rectangle(x * ONE, y * ONE, along[0] * ONE, along[1] * ONE)
    counts = torch.zeros(1, TYPES, dtype=torch.int64)
    asked = requests.Requests(0 * ONE, counts, *sizes)
    return Furnished(made, asked, now._replace(items=items, taken=taken))


def measured(*arguments, **more) -> dict[str, float]:
    return {name: float(value) for name, value in gold.gold(room(*arguments, **more)).items()}


def test_an_empty_room_is_walkable_and_entered():
    found = measured(30, 30)
    assert found["walkable"] == found["reachable"] == found["entered"] == 1
    assert found["pull_out"] == found["door_swing"] == 0


def test_a_body_keeps_its_radius_from_walls():
    free = torch.zeros(1, 64, 64, dtype=torch.bool)
    free[0, 10:17, 10:40] = True
    found = gold.body_room(free)[0]
    assert found.nonzero()[:, 0].unique().tolist() == [13]
    assert found[13].nonzero()[:, 0].tolist() == list(range(13, 37))


def test_furniture_across_a_room_parts_it():
    # 20 cells wide: above the desk a body can stand on 14 x 10 cells, below it on 14 x 14.
    across = ("table", 20, 4, 0, 20, 1)
    found = measured(20, 40, across, ("plant", 3, 3, 8, 30, 1))
    assert 0.5 < found["walkable"] < 1
    assert found["reachable"] == pytest.approx((1 + 1 - found["walkable"]) / 2, abs=1e-6)
    assert found["entered"] == 1


def test_a_chair_against_the_wall_cannot_be_pulled_out():
    # It faces +y; behind it are 2 cells of floor, or 6.
    assert measured(30, 30, ("chair", 4, 4, 20, 2, 1))["pull_out"] == 1
    assert measured(30, 30, ("chair", 4, 4, 20, 6, 1))["pull_out"] == 0


def test_doors_swing_about_their_hinge():
    # A plant at the far end of a leaf of 0.9 m: outside the quarter circle, and inside it.
    corner = ("plant", 3, 3, 8, 7, 1)
    assert measured(30, 30, corner, hinge=0)["door_swing"] == 0
    assert measured(30, 30, corner, hinge=1)["door_swing"] == 1
    assert measured(30, 30, ("plant", 3, 3, 11, 0, 1))["door_swing"] == 0


def test_reachability_equals_flood_fills_of_scipy():
    ndimage = import_or_skip("scipy.ndimage", extra="shapes")
    rooms = furnished.load("validation").rows(torch.arange(0, 128, 8))
    found = gold.gold(rooms)
    disc = np.add.outer(np.arange(-3, 4) ** 2, np.arange(-3, 4) ** 2) <= 9
    for row in range(len(rooms.now.number)):
        free = packed.unpack(rooms.plans.floor & ~rooms.now.taken)[row].numpy()
        stand = ndimage.binary_erosion(np.pad(free, 3), disc)[3:-3, 3:-3]
        label, count = ndimage.label(stand)
        areas = [(label == k).sum() for k in range(1, count + 1)]
        assert float(found["walkable"][row]) == pytest.approx(max(areas) / sum(areas), abs=1e-6)
        total, items = 0.0, 0
        for kind, x, y, turn in rooms.now.items[row].tolist():
            if kind < 0 or CATALOGUE[kind].layer != FLOOR:
                continue
            items += 1
            w, d = int(rooms.requests.width[row, kind]), int(rooms.requests.depth[row, kind])
            a, b = (w, d) if turn % 2 else (d, w)
            near = label[max(0, x - 4) : x + a + 4, max(0, y - 4) : y + b + 4]
            total += sum(areas[k - 1] for k in np.unique(near[near > 0])) / sum(areas)
        assert float(found["reachable"][row]) == pytest.approx(total / items, abs=1e-5)
