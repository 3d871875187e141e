"""Furnished rooms: nothing overlaps, all rules hold, splits never meet."""

import torch

from genenvs.core.task import SPLITS
from genenvs.geometry.boxes import overlapping
from genenvs.rooms import furnished, instances
from genenvs.rooms.catalogue import FLOOR, SIDE, table


def test_nothing_overlaps_and_all_stands_inside():
    rooms = furnished.load("validation")
    present = rooms.present
    both = present[:, :, None] & present[:, None] & ~torch.eye(14, dtype=torch.bool)
    assert not (overlapping(rooms.boxes, rooms.boxes) & both).any()
    assert present.sum(1).equal(rooms.now.number)
    low, high = furnished.bounds(rooms.requests, rooms.now)
    for row in range(0, 128, 9):
        free = rooms.inside[row].clone()
        for k in range(int(rooms.now.number[row])):
            x0, y0, _ = (low[row, k] * 10).round().long().tolist()
            x1, y1, _ = (high[row, k] * 10).round().long().tolist()
            assert rooms.inside[row, x0:x1, y0:y1].all()
            if table().layer[rooms.now.items[row, k, 0]] == FLOOR:
                assert free[x0:x1, y0:y1].all()
                free[x0:x1, y0:y1] = False
        assert free.equal(rooms.walkable[row])


def test_every_room_has_a_door_whose_strip_is_floor():
    rooms = instances.load("test")
    assert len(rooms) == 512 and bool((rooms.plans.doors[:, 0, 3] >= 8).all())
    assert bool((rooms.plans.strips != 0).any(1).all())
    assert bool((rooms.plans.strips & ~rooms.plans.floor == 0).all())
    assert rooms.plans.floor.shape == (512, SIDE)


def test_splits_share_neither_outline_nor_request():
    seen = {}
    for split in SPLITS:
        rooms = instances.load(split)
        outline = {row.numpy().tobytes() for row in rooms.plans.floor}
        request = {row.numpy().tobytes() for row in rooms.requests.counts}
        seen[split] = outline, request
    for one, two in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not seen[one][0] & seen[two][0]
        assert not seen[one][1] & seen[two][1]
