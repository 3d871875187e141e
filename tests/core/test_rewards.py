"""Weights of reward terms."""

import pytest
import torch

from genenvs.core.rewards import Term, merge_weights, weighted_sum

TERMS = {"quality": Term(1.0, "How good."), "cost": Term(-0.5, "How dear.")}


def test_overrides_replace_the_defaults_they_name():
    assert merge_weights(TERMS, None) == {"quality": 1.0, "cost": -0.5}
    assert merge_weights(TERMS, {"cost": 2}) == {"quality": 1.0, "cost": 2.0}
    assert TERMS["cost"].weight == -0.5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"speed": 1.0}, "no term 'speed'; the terms are quality, cost"),
        ({"cost": float("nan")}, "finite number; got nan"),
        ({"cost": float("inf")}, "finite"),
        ({"cost": True}, "finite"),
        ({"cost": "1"}, "finite"),
    ],
)
def test_overrides_that_make_no_sense_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        merge_weights(TERMS, overrides)


def test_the_weighted_sum_is_by_row():
    terms = {"cost": torch.tensor([2.0, 0.0]), "quality": torch.tensor([1.0, 3.0])}
    assert weighted_sum({"quality": 1.0, "cost": -0.5}, terms).tolist() == [0.0, 3.0]
