"""What the benchmark of footage counts."""

from collections import Counter

import torch

from benchmarks import footage
from benchmarks.footage import SHOTS, films, measured, of_pyscenedetect, shots_found
from genenvs.core import random
from genenvs.video import boundaries
from genenvs.video.film import TRANSITIONS
from tests.needs import needs


@needs("scenedetect", extra="video")
def test_every_transition_of_a_film_is_counted_once(monkeypatch):
    monkeypatch.setattr(footage, "LASTS", 30)
    ((_, places, ways),) = films(1)
    exact = [
        at + (2 if TRANSITIONS[way] != "cut" else 0) for at, way in zip(places, ways, strict=True)
    ]
    found = shots_found(
        1,
        {
            "exact": lambda pictures: [0, *exact],
            "twice": lambda pictures: [0, *exact, *(at + 1 for at in exact)],
            "late": lambda pictures: [0, *(at + 13 for at in places)],
            "own": boundaries.begins,
            "black": of_pyscenedetect("ThresholdDetector"),
        },
    )
    kinds = Counter(TRANSITIONS[way] for way in ways)
    for name, share, none in (
        ("exact", 1, 0),
        ("own", 1, 0),
        ("twice", 1, SHOTS - 1),
        ("late", 0, SHOTS - 1),
    ):
        row = dict(found[name])
        assert row.pop("none") == (none, 0)
        assert row == {kind: (share * kinds[kind], kinds[kind]) for kind in TRANSITIONS}
    assert found["black"]["fade"] == (kinds["fade"], kinds["fade"])
    assert found["black"]["cut"] == (0, kinds["cut"])


def test_clips_are_measured_with_what_is_known_of_them():
    keys = random.mix(torch.arange(2), 1)
    truth, seen = measured(keys, 8)
    assert truth.shape == (2, 8) and len(seen) == 2
    again = measured(keys, 8)[1]
    assert [s.numbers() for s in seen] == [s.numbers() for s in again]
