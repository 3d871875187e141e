"""What the benchmark of footage counts."""

import torch

from benchmarks import footage
from benchmarks.footage import SHOTS, measured, shots_found
from genenvs.core import random


def test_every_transition_of_a_film_is_counted_once(monkeypatch):
    monkeypatch.setattr(footage, "LASTS", 30)
    found = shots_found(1)
    assert sum(there for _, there in found.values()) == SHOTS - 1
    assert all(met <= there for name, (met, there) in found.items() if name != "none")
    assert found["cut"][0] == found["cut"][1] and found["none"][0] == 0


def test_clips_are_measured_with_what_is_known_of_them():
    keys = random.mix(torch.arange(2), 1)
    truth, seen = measured(keys, 8)
    assert truth.shape == (2, 8) and len(seen) == 2
    again = measured(keys, 8)[1]
    assert [s.numbers() for s in seen] == [s.numbers() for s in again]
