"""First states are drawn ahead of need, and nothing but the number of draws can tell."""

import numpy as np
import pytest
import torch

from genenvs.core import ahead
from genenvs.core.vector import TaskVectorEnv
from tests.core.throwaway import Grid

ROWS, STEPS = 12, 80


class Counted(Grid):
    """Knows how many rows each of its draws had; its episodes end raggedly."""

    def __init__(self, **common):
        super().__init__(**common)
        self.draws: list[int] = []

    def initial_state(self, instance, key):
        self.draws.append(len(key))
        return super().initial_state(instance, key)


def make(**arguments) -> TaskVectorEnv:
    return TaskVectorEnv(Counted, **{"num_envs": ROWS, "horizon": 9, "output": "torch"} | arguments)


def play(envs, steps=STEPS, seed=0):
    """Walk to the goals, or about; what every step returned, and how many steps reset rows."""
    rng, found, resets = np.random.default_rng(seed), [], 0
    for _ in range(steps):
        about = torch.from_numpy(rng.integers(0, 4, envs.num_envs))
        mask = envs.action_masks().gather(1, about[:, None])[:, 0]
        action = torch.where(mask, about, envs.reference_action())
        observation, reward, terminated, truncated, info = envs.step(action)
        found.append((observation, reward, terminated, truncated, info["seed"],
                      info["episode_index"], info["action_mask"]))  # fmt: skip
        resets += bool((terminated | truncated).any())
    return found, resets


def same(first, second) -> bool:
    return all(torch.equal(x, y) for a, b in zip(first, second, strict=True)
               for x, y in zip(a, b, strict=True))  # fmt: skip


@pytest.fixture
def off(monkeypatch):
    """Every reset draws for itself."""

    def switch():
        monkeypatch.setattr(ahead, "ENOUGH", 0)

    return switch


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_ragged_ends_take_few_draws_and_play_the_same_episodes(mode, off):
    envs = make(autoreset_mode=mode)
    envs.reset(seed=5)
    found, resets = play(envs)
    assert resets > STEPS // 3 and len(envs.task.draws) < resets // 4
    assert int(found[-1][5].max()) > ahead.EPISODES  # places in the store were used again
    off()
    plain = make(autoreset_mode=mode)
    plain.reset(seed=5)
    expected, _ = play(plain)
    assert len(plain.task.draws) >= resets
    assert same(found, expected)


def test_what_is_in_store_is_not_taken_for_other_episodes(off):
    def tour(envs):
        found = []
        envs.reset(seed=1)
        found += play(envs, 30)[0]
        snapshot = envs.get_state()
        found += play(envs, 10)[0]
        envs.set_state(snapshot)
        found += play(envs, 10)[0]
        envs.reset(seed=2, options={"reset_mask": np.arange(ROWS) % 2 == 0})
        found += play(envs, 30)[0]
        envs.reset(options={"episode": 3})
        found += play(envs, 30)[0]
        envs.reset(options={"instances": [4, 5, 6], "repeats": ROWS // 3})
        return found + play(envs, 30)[0]

    found = tour(make(autoreset_mode="SameStep"))
    off()
    assert same(found, tour(make(autoreset_mode="SameStep")))


def test_a_first_state_stays_in_store_unchanged_by_who_plays_it():
    envs = make(autoreset_mode="SameStep")
    envs.reset(seed=0)
    play(envs)
    store = envs._ahead
    stream, episode = torch.from_numpy(store._stream), torch.from_numpy(store._episode)
    kept = episode >= 0
    assert kept.any()
    fresh = envs._drawn(stream[kept], episode[kept])
    for name, value in store._state.rows(kept).tensors().items():
        assert torch.equal(value, fresh.tensors()[name]), name


def test_the_store_is_bounded(monkeypatch):
    envs = make(autoreset_mode="SameStep")
    envs.reset(seed=0)
    play(envs)
    assert len(envs._ahead._state.step) == ROWS * ahead.EPISODES
    monkeypatch.setattr(ahead, "BYTES", 1_000)  # less than a row of each takes
    small = make(autoreset_mode="SameStep")
    small.reset(seed=0)
    _, resets = play(small)
    assert len(small.task.draws) == 1 + resets
    monkeypatch.undo()
    monkeypatch.setattr(ahead, "ROWS", ROWS - 1)
    large = make(autoreset_mode="SameStep")
    large.reset(seed=0)
    _, resets = play(large)
    assert len(large.task.draws) == 1 + resets


def test_ends_of_many_rows_are_a_draw_of_their_own(monkeypatch):
    monkeypatch.setattr(ahead, "ENOUGH", ROWS)
    envs = make(autoreset_mode="SameStep", horizon=1)
    envs.reset(seed=0)
    play(envs, 5)
    assert envs.task.draws == [ROWS] * 6
