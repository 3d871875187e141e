"""What is counted in a strip, against loops."""

import torch

from genenvs.core import random
from genenvs.editing import strips, styles
from genenvs.video.attributes import COUNT, LOCATION, SIZES, STARTS


def drawn(rows=20, shots=8):
    bank = styles.load("validation", torch.device("cpu"))
    return styles.films(bank, torch.arange(rows), random.mix(torch.arange(rows), 1), shots)


def test_counts_and_hints_are_those_of_a_loop():
    film = drawn()
    shots = film.attributes
    found = strips.read(shots)
    none = torch.full_like(shots[:, 0], styles.NONE)
    nothing = strips.hints(found.values, found.habits, none, none)
    assert torch.equal(nothing[..., 0], found.values) and not nothing[..., 1:].any()
    first = strips.hints(found.values, found.habits, none, shots[:, 0])
    said = strips.hints(found.values, found.habits, shots[:, 3], shots[:, 4])
    for b in range(len(shots)):
        for a in range(COUNT):
            row = shots[b, :, a].tolist()
            kept = sum(x == y for x, y in zip(row[1:], row, strict=False)) / 7
            again = sum(x == y for x, y in zip(row[2:], row, strict=False)) / 6
            on = sum(x == (y + 1) % SIZES[a] for x, y in zip(row[1:], row, strict=False)) / 7
            for v in range(SIZES[a]):
                want = [
                    row.count(v) / 8,
                    kept * (v == row[4]),
                    again * (v == row[3]),
                    on * (v == (row[4] + 1) % SIZES[a]),
                ]
                torch.testing.assert_close(said[b, STARTS[a] + v], torch.tensor(want))
                assert first[b, STARTS[a] + v, 2] == 0  # no shot before the last


def test_lengths_and_joins_are_counted():
    film = drawn()
    timing, ways = strips.lengths(film), strips.joins(film)
    for b in range(20):
        lasts = film.lengths[b].tolist()
        assert timing[b].tolist() == [lasts.count(n) / 8 for n in range(1, 9)]
        counts = torch.ones(3, 4)
        place = film.attributes[b, :, LOCATION].tolist()
        for k, join in enumerate(film.joins[b].tolist()):
            counts[2 if k == 0 else int(place[k] != place[k - 1]), join] += 1
        torch.testing.assert_close(ways[b], counts / counts.sum(1, keepdim=True))
