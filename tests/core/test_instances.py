"""Which instance and key an episode has."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.core.instances import Episodes, branch_key


def draw(episodes, seed, episode):
    stream = episodes.stream(torch.tensor([seed]))
    instance, key = episodes.draw(stream, torch.tensor([episode]))
    return instance.item(), key.item()


@given(st.integers(0, 2**62), st.integers(1, 40), st.integers(0, 5))
def test_n_episodes_meet_each_of_n_instances_once(seed, n, cycle):
    episodes = Episodes("train", n, None)
    met = [draw(episodes, seed, cycle * n + i)[0] for i in range(n)]
    assert sorted(met) == list(range(n))


def test_the_order_of_instances_differs_from_cycle_to_cycle_and_seed_to_seed():
    episodes = Episodes("train", 30, None)
    orders = {
        tuple(draw(episodes, seed, 30 * cycle + i)[0] for i in range(30))
        for seed in (0, 1)
        for cycle in (0, 1)
    }
    assert len(orders) == 4


def test_a_limit_takes_the_first_instances():
    episodes = Episodes("test", 100, 7)
    assert {draw(episodes, 3, i)[0] for i in range(7)} == set(range(7))


def test_endless_instances_are_limited_to_the_same_ones_for_every_seed():
    episodes = Episodes("test", None, 4)
    sets = [{draw(episodes, seed, i)[0] for i in range(4)} for seed in (0, 99)]
    assert sets[0] == sets[1] == set(episodes.at(torch.arange(4)).tolist())
    assert len(sets[0]) == 4


def test_endless_instances_of_two_splits_differ():
    found = {Episodes(split, None, None).at(torch.arange(50)).sum().item()
             for split in ("train", "validation", "test")}  # fmt: skip
    assert len(found) == 3


@given(st.integers(0, 2**62), st.integers(0, 10**6), st.sampled_from([None, 13]))
def test_an_episode_depends_on_seed_and_number_alone(seed, episode, size):
    episodes = Episodes("train", size, None)
    seeds, numbers = torch.tensor([7, seed, seed + 1]), torch.tensor([3, episode, episode])
    instance, key = episodes.draw(episodes.stream(seeds), numbers)
    assert (instance[1].item(), key[1].item()) == draw(episodes, seed, episode)
    assert key[1] != key[2]


def test_branches_have_keys_of_their_own():
    key = torch.arange(100).repeat_interleave(8)
    keys = branch_key(key, torch.arange(8).repeat(100))
    assert len({*keys.tolist(), *key.tolist()}) == 900


@pytest.mark.parametrize(
    ("size", "limit", "message"),
    [
        (5, 6, "has only 5"),
        (5, 0, "integer >= 1"),
        (None, True, "integer >= 1"),
        (5, 2.0, "got 2.0"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(size, limit, message):
    with pytest.raises(ValueError, match=message):
        Episodes("train", size, limit)
