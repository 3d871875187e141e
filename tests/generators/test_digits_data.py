"""Claims about the real digits and their split, and the jitter that augments them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from genenvs.generators.training.digits import Training, rate, stratified
from genenvs.generators.training.digits_data import SPLITS, jitter, load_split, residue
from tests.needs import needs

pytestmark = needs("sklearn", extra="dev")


def test_the_splits_partition_the_1797_digits_about_70_10_20() -> None:
    sizes = {split: len(load_split(split)[0]) for split in SPLITS}
    assert sizes == {"train": 1248, "validation": 178, "test": 371}
    assert sum(sizes.values()) == 1797


def test_no_image_is_in_two_splits() -> None:
    seen = [{each.numpy().tobytes() for each in load_split(split)[0]} for split in SPLITS]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


def test_an_image_stays_in_its_split_wherever_it_stands() -> None:
    """The rule is the image's own hash: 64 zero bytes hash to f5a5fd42d16a2030..."""
    assert residue(np.zeros(64)) == 0xF5A5FD42D16A2030 % 10


@pytest.mark.parametrize("split", SPLITS)
def test_images_are_ink_in_minus_1_to_1_and_every_digit_occurs(split: str) -> None:
    images, labels = load_split(split)
    assert images.dtype == torch.float32
    assert images.shape[1:] == (1, 8, 8)
    assert (images.min(), images.max()) == (-1, 1)
    assert torch.equal((images + 1) * 8, ((images + 1) * 8).round())
    assert (labels.bincount(minlength=10) >= 13).all()


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split must be one of train, validation, test; got 'val'"):
        load_split("val")


def test_jitter_of_size_zero_is_the_identity() -> None:
    images, _ = load_split("validation")
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(jitter(images, generator, 0.0, 0.0), images)


def test_jitter_moves_the_ink_by_at_most_the_shift_and_keeps_its_amount() -> None:
    dot = -torch.ones(400, 1, 8, 8)
    dot[:, :, 3, 4] = 1
    moved = jitter(dot, torch.Generator().manual_seed(0), shift=0.5, degrees=0.0) + 1
    weight = moved.flatten(1) / moved.flatten(1).sum(1, keepdim=True)
    rows = (weight.view(-1, 8, 8).sum(2) * torch.arange(8)).sum(1)
    columns = (weight.view(-1, 8, 8).sum(1) * torch.arange(8)).sum(1)
    for centre, place in ((rows, 3), (columns, 4)):
        assert (centre - place).abs().max() <= 0.5 + 1e-4
        assert centre.std() > 0.2
    torch.testing.assert_close(moved.flatten(1).sum(1), torch.full((400,), 2.0))


def test_stratified_draws_hit_every_interval_once() -> None:
    draw = stratified(50, torch.Generator().manual_seed(0))
    assert (draw * 50).long().sort().values.tolist() == list(range(50))
    assert not torch.equal(draw.sort().values, draw)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    training = Training(steps=100, warm_up=10)
    rates = [rate(step, training) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1
    assert rates[55] == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[100] == pytest.approx(0, abs=1e-9)
