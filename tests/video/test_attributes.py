import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from genenvs.video import attributes
from genenvs.video.attributes import ATTRIBUTES, NAMES, SIZES, STARTS, WIDTH

rows = st.tuples(*(st.integers(0, size - 1) for size in SIZES))


@given(rows, rows)
def test_one_hot_has_eight_ones_and_words_read_back(a, b):
    x, y = torch.tensor(a), torch.tensor(b)
    flat = attributes.one_hot(torch.stack([x, y])[None])
    assert flat.shape == (1, 2, WIDTH)
    assert flat[0, 0].nonzero()[:, 0].tolist() == [s + v for s, v in zip(STARTS, a, strict=True)]
    assert attributes.encode(attributes.words(x)).tolist() == list(a)
    assert float(attributes.matches(x, y)) == sum(p == q for p, q in zip(a, b, strict=True)) / 8
    assert float(flat[0, 0] @ flat[0, 1]) == 8 * float(attributes.matches(x, y))
    attributes.check(torch.stack([x, y]))


def test_there_are_the_eight_of_the_study():
    assert NAMES == (
        "size", "angle", "motion", "type", "subject", "number", "sound", "location",
    )  # fmt: skip
    assert len({(a.name, c) for a in ATTRIBUTES for c in a.categories}) == WIDTH == 36


@pytest.mark.parametrize(
    "bad", [torch.zeros(7).long(), torch.zeros(8), torch.full((2, 8), 9), torch.full((8,), -1)]
)
def test_what_are_no_attributes_is_refused(bad):
    with pytest.raises(ValueError, match="attributes must"):
        attributes.check(bad)


def test_unknown_words_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no attribute 'mood'; there are size, angle"):
        attributes.encode({"mood": "dark"})
    with pytest.raises(ValueError, match="size must be one of extreme-wide"):
        attributes.encode({"size": "huge"})


def test_a_shot_in_a_line():
    said = {"size": "wide", "angle": "eye-level", "motion": "pan", "number": "two"}
    line = "wide, eye-level, pan, clean, two human, silence, interior"
    assert attributes.describe(attributes.encode(said)) == line
