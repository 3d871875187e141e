import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from genenvs.core import random
from genenvs.video import boundaries, film
from genenvs.video.clips import draw
from genenvs.video.footage import Drawn
from tests.needs import needs
from tests.video.films import textures

detected = needs("scenedetect", extra="video")


@given(st.lists(st.integers(12, 2000), min_size=1, max_size=6))
def test_spans_cover_all_frames_and_none_is_too_long(lengths):
    total = sum(lengths)
    begins = np.cumsum([0, *lengths[:-1]]).tolist()
    spans = boundaries.spans(begins, total)
    assert [k for start, length in spans for k in range(start, start + length)] == list(
        range(total)
    )
    assert set(begins) <= {start for start, _ in spans}
    assert all(12 <= length <= boundaries.MOST for _, length in spans)


@given(st.lists(st.tuples(*[st.floats(0, 0.5, width=32)] * 2), min_size=1, max_size=40))
def test_strips_are_passed_by_the_plain_rule(values):
    change = np.array(values, np.float32)
    found = boundaries.passed(torch.from_numpy(change)).numpy()
    for t, n in np.ndindex(*change.shape):
        around = [change[k, n] for k in range(max(0, t - 6), min(len(change), t + 7)) if k != t]
        mean = np.sum(around, dtype=np.float64) / 12
        if abs(change[t, n] - 3 * mean) > 1e-4:  # rounding may fall on either side
            most = change[t, n] >= max(around, default=0)
            assert found[t, n] == (change[t, n] >= max(0.06, 3 * mean) and most)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_wipes_are_those_of_the_plain_rule(seed):
    """Of strips that change once: in order, but for some; of few of them; or nearly all at once."""
    draws = np.random.default_rng(seed)
    times = (
        4 + np.sort(draws.uniform(0, draws.choice([2, 8, 20, 40]), 32))[:: draws.choice([-1, 1])]
    )
    few = draws.random(32) < draws.choice([0, 0.1, 0.3])
    times[few] = draws.permutation(times[few])
    change = np.zeros((50, 32), np.float32)
    change[times.astype(int), np.arange(32)] = draws.choice([0.2, 0], 32, p=[0.8, 0.2])
    plain = np.zeros(51, bool)
    for first in range(len(change) - 23):
        at, strip = np.nonzero(change[first : first + 24])
        if len(at) >= 16 and at.std() >= 1.5:
            order = abs(np.corrcoef(at, strip)[0, 1])
            if abs(order - 0.95) < 1e-6 or abs((first + at.mean()) % 1 - 0.5) < 1e-6:
                return  # rounding may fall on either side
            plain[round(first + at.mean()) + 1] |= order >= 0.95
    assert boundaries.wiped(torch.from_numpy(change)).tolist() == plain.tolist()


def film_of(ways, seed=8):
    """Its pictures, uint8 [T, 36, 64, 3], and where its transitions begin."""
    clips = Drawn(draw(random.mix(torch.arange(len(ways)), seed)))
    length = clips.length.clamp(max=40) - 4
    edit = film.Edit(torch.arange(len(ways)), torch.zeros_like(length), length, torch.tensor(ways))
    whole = torch.from_numpy(np.concatenate(list(film.frames(edit, clips))))
    small = torch.nn.functional.avg_pool2d(whole.permute(0, 3, 1, 2).float(), 2).round().byte()
    return small.permute(0, 2, 3, 1).contiguous().numpy(), edit.begins.tolist()


@detected
def test_every_kind_of_transition_is_found_once_and_motion_is_none(monkeypatch):
    ways = [film.CUT, film.DISSOLVE, film.FADE, film.WIPE, film.CUT, film.DISSOLVE, film.WIPE]
    pictures, places = film_of(ways)
    found = boundaries.begins(pictures)
    assert len(found) == len(ways) and found[4] == places[4]
    for at, place, way in zip(found, places, ways, strict=True):
        assert at == place if way == film.CUT else 0 < at - place < 12
    monkeypatch.setattr(boundaries, "_PART", 13)  # what is looked at in parts is found all the same
    assert boundaries.begins(pictures) == found


@detected
@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_wipes_of_every_direction_are_found(turn):
    before, after = np.rot90(textures(2, 36, 36), turn, axes=(1, 2))
    frames = [before] * 20
    for k in range(18):
        step = before.copy()
        step[:, : 2 * k + 1] = after[:, : 2 * k + 1]
        frames.append(step)
    film = np.rot90(np.stack(frames + [after] * 20), -turn, axes=(1, 2))
    start, at = boundaries.begins(film.copy())
    assert start == 0 and abs(at - 29) <= 1


@detected
def test_a_flash_is_no_cut_and_black_belongs_to_the_fades_beside_it():
    one, other = textures(2).astype(float) * 0.5
    for lasts in (1, 2, 4):
        lit = np.stack([one] * 20 + [one + 120] * lasts + [one] * 20 + [other] * 20)
        assert boundaries.begins(lit.astype(np.uint8)) == [0, 40 + lasts]
        between = np.stack([one] * 20 + [one + 120] * lasts + [other] * 20)
        assert boundaries.begins(between.astype(np.uint8)) == [0, 20]
    down = np.linspace(1, 0, 14)[:, None, None, None]
    black = np.zeros((30, 36, 64, 3))
    faded = [black, down[::-1] * one, [one] * 20, down * one, black, down[::-1] * other,
             [other] * 20, down * other, black]  # fmt: skip
    # Out of black and into it at the ends no shot begins; between, one does, in the middle.
    assert boundaries.begins(np.concatenate(faded).astype(np.uint8)) == [0, 30 + 14 + 20 + 14 + 15]


@detected
@pytest.mark.parametrize("times", [2, 3, 5])
def test_motion_at_a_low_rate_is_no_cut(times):
    """A picture that moves by a pixel, each shown several times."""
    one, other = textures(2, 36, 84)
    moving = [picture[:, k : k + 64] for picture in (one, other) for k in range(20)]
    found = boundaries.begins(np.stack(moving).repeat(times, 0))
    assert found == [0, 20 * times]


@detected
def test_slides_of_any_length_are_cut():
    slides = textures(4).repeat([12, 60, 13, 100], 0)
    assert boundaries.begins(slides) == [0, 12, 72, 85]


@detected
def test_the_shortest_films_have_one_shot():
    for frames in (1, 2, 6, 23):
        assert boundaries.begins(textures(frames)[:, :9, :16]) == [0]


def test_whatever_decides_where_shots_begin_is_in_the_name_of_the_method(monkeypatch):
    before = boundaries.method()
    names = [n for n in vars(boundaries) if n.isupper() and n[0] != "_" and n != "FPS"]
    assert len(names) == 16
    for name in names:
        with monkeypatch.context() as patch:
            value = getattr(boundaries, name)
            patch.setattr(
                boundaries, name, value | {"kernel_size": 3} if name == "ADAPTIVE" else value * 2
            )
            assert boundaries.method() != before, name
    assert boundaries.method() == before
