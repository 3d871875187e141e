"""Claims about prompts of a user's own."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain

import pytest

from genenvs.core.random import word
from genenvs.generators.prompts import FEW, of_user
from genenvs.images.scenes.grammar import SPLITS

shares = {number: split for split, own in SPLITS.items() for number in own}


def place(text: str) -> int:
    """By which a prompt falls into a split."""
    return word(text) % 100


def lists_without(split: str) -> list[list[str]]:
    """Lists of prompts of which by their hash none falls into a split, but some into the others."""
    texts = [text for n in range(1500) if place(text := f"thing {n}") not in SPLITS[split]]
    found = [texts[k : k + FEW] for k in range(0, len(texts) - FEW, FEW)]
    return [each for each in found if len({shares[place(text)] for text in each}) == 2]


@pytest.mark.parametrize("split", SPLITS)
def test_no_split_of_ones_own_prompts_is_empty(split: str) -> None:
    lists = lists_without(split)
    assert len(lists) > 10
    for texts in lists:
        found = of_user(texts)
        parts = {name: [found.texts[k] for k in found.places(name)] for name in SPLITS}
        assert Counter(chain(*parts.values())) == Counter(texts)
        assert len(parts[split]) == 1
        # The others stay where their hashes put them, and the nearest one moved.
        moved = parts[split][0]
        for name, own in parts.items():
            assert all(place(text) in SPLITS[name] for text in own if text != moved)

        def far(text: str) -> int:
            return min(abs(place(text) - other) for other in SPLITS[split])

        counted = Counter(shares[place(text)] for text in texts)
        spare = [text for text in texts if counted[shares[place(text)]] > 1]
        assert far(moved) == min(map(far, spare))
        shuffled = random.Random(0).sample(texts, len(texts))
        again = of_user(shuffled)
        assert [again.texts[k] for k in again.places(split)] == parts[split]


def test_prompts_that_fall_into_every_split_are_left_alone() -> None:
    found = of_user([f"thing {k}" for k in range(200)])
    for text, split in zip(found.texts, found.split, strict=True):
        assert place(text) in SPLITS[split]


def test_prompts_that_all_fall_into_one_split_are_parted() -> None:
    for split in SPLITS:
        texts = [text for n in range(1000) if place(text := f"thing {n}") in SPLITS[split]][:FEW]
        found = of_user(texts)
        assert Counter(found.split) == {name: FEW - 2 if name == split else 1 for name in SPLITS}
