"""What the rows of geometry time is the same thing on both sides; no test asserts a time."""

import pytest

from benchmarks.speed.families import geometry
from genenvs.geometry import cuboids, sums, voxels


def test_the_loop_over_numpy_computes_what_the_batch_computes():
    shapes, targets = geometry.random_cuboids(5, 16), geometry.random_grids(5, 16)
    union = voxels.iou(cuboids.rasterise(shapes, 16), targets)
    local = sums.local_iou(sums.table(targets), shapes).mean(1)
    for row in range(5):
        found = geometry.numpy_step(shapes[row].numpy(), targets[row].numpy().astype(int))
        assert found == pytest.approx((float(union[row]), float(local[row])), abs=1e-5)
    assert 0 < float(union.min()) < float(union.max()) < 1


def test_every_row_is_measured(monkeypatch):
    def once(call, amount, device):
        call()
        return lambda: (1.0, amount)

    monkeypatch.setattr(geometry, "lap_of", once)
    monkeypatch.setattr(geometry, "ROWS", 2)
    found = list(geometry.rows("cpu"))
    assert len({row["what"] for row in found}) == len(found) >= 9
    assert {row["median"] for row in found} == {1.0, 2.0}  # ratios and rates
    assert {row["threads"] for row in found} == {1}
