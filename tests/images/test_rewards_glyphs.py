"""Claims about writing in pictures."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.images.rewards import load
from genenvs.images.rewards.glyphs import FONT, LETTERS, edit_distance, match, read, write

words = st.text(LETTERS, min_size=1, max_size=20)
short = st.text("AB1", max_size=6)


def ground(rows: int, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(rows, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_no_two_letters_are_alike():
    assert len(FONT) == 36 and len(set(FONT.values())) == 36
    assert all(len(rows.replace(" ", "")) == 15 for rows in FONT.values())


def test_every_pair_of_letters_is_read_as_written():
    pairs = [a + b for a in LETTERS for b in LETTERS]
    assert read(write(torch.zeros(len(pairs), 3, 8, 12), pairs)) == pairs


@given(st.lists(words, min_size=1, max_size=3), st.integers(1, 3))
def test_what_is_written_is_read_on_any_ground(texts, scale):
    side = 32 * scale
    written = write(ground(len(texts), side, side + 3), texts, scale=scale)
    assert ((written >= 0) & (written <= 1)).all()
    assert read(written, scale=scale) == texts


def test_writing_leaves_the_images_that_it_got_and_the_ground_around():
    before = ground(2, 16, 16)
    kept = before.clone()
    written = write(before, ["a", "b 2"])
    assert torch.equal(before, kept)
    assert torch.equal(written[..., 0, :], before[..., 0, :])
    assert read(written) == ["A", "B2"]


def test_lines_are_read_from_the_top_and_from_the_left():
    images = torch.zeros(1, 3, 24, 24)
    images[..., :7, 8:17] = write(torch.zeros(1, 3, 7, 9), ["AB"])
    images[..., 10:17, :9] = write(torch.zeros(1, 3, 7, 9), ["CD"])
    images[..., 11:18, 13:22] = write(torch.zeros(1, 3, 7, 9), ["EF"])  # a pixel lower: same line
    assert read(images) == ["ABCDEF"]


def test_a_letter_with_a_cell_wrong_is_none():
    image = write(torch.zeros(1, 3, 7, 5), ["E"])
    assert read(image) == ["E"]
    for y in range(7):
        for x in range(5):
            spoilt = image.clone()
            spoilt[..., y, x] = 1 - spoilt[..., y, x]
            assert read(spoilt) != ["E"]


def test_noise_within_cells_is_averaged_away():
    image = write(torch.zeros(1, 3, 32, 60), ["RL7"], scale=4)
    noisy = image + 0.5 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    assert read(noisy.clamp(0, 1), scale=4) == ["RL7"]


def test_nothing_is_read_where_nothing_is_written():
    assert read(torch.full((2, 3, 32, 32), 0.5)) == ["", ""]
    assert read(torch.ones(2, 3, 4, 4)) == ["", ""]
    assert read(torch.zeros(0, 3, 32, 32)) == []


@given(short, short)
def test_edit_distance_is_that_of_its_definition(first, second):
    @functools.cache
    def plain(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        same = plain(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(plain(i - 1, j) + 1, plain(i, j - 1) + 1, same)

    assert edit_distance(first, second) == plain(len(first), len(second))


def test_the_score_is_that_of_flow_grpo():
    assert edit_distance("kitten", "sitting") == 3
    assert match("HELLO", "hello") == 1 and match("xHELLOx", "HELLO") == 1  # part of it
    assert match("HELP", "HELLO") == pytest.approx(1 - 2 / 5)
    assert match("", "HELLO") == 0 and match("A" * 40, "HELLO") == 0  # never below
    assert match("HE LLO", "hel lo") == 1


def test_the_reward_reads_what_is_asked_for_or_quoted():
    reward = load("glyphs")
    images = write(ground(3), ["HELP", "HELLO", "XHELLO"])
    expected = pytest.approx([0.6, 1, 1])
    assert reward(images, {"text": ["hello"] * 3}).tolist() == expected
    assert reward(images, {"prompts": ['a sign that says "Hello"'] * 3}).tolist() == expected
    large = write(ground(1, 64, 64), ["A1"], scale=3)
    assert load("glyphs=3")(large, {"text": ["A1"]}).item() == 1
    assert reward(large, {"text": ["A1"]}).item() == 0


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ({}, "needs text, or prompts that quote it"),
        ({"prompts": ["a sign"]}, "prompt 'a sign' quotes no text"),
        ({"prompts": ['a "sign']}, "quotes no text"),
        ({"text": [""]}, "must not be empty"),
        ({"text": ["a-b?"]}, "has no '-', '\\?'; the font has A to Z and 0 to 9"),
    ],
)
def test_texts_that_cannot_be_read_are_an_error(context, problem):
    with pytest.raises(ValueError, match=problem):
        load("glyphs")(ground(1), context)


def test_texts_that_cannot_be_written_are_an_error():
    with pytest.raises(ValueError, match="room for 1 lines of 2 letters"):
        write(torch.zeros(1, 3, 8, 10), ["ABC"])
    with pytest.raises(ValueError, match="texts must be 1, one for each image; got 2"):
        write(torch.zeros(1, 3, 8, 10), ["A", "B"])
    with pytest.raises(ValueError, match="scale must be a whole number"):
        load("glyphs=big")
