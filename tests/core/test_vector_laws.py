"""`check_vector_env` on other people's vector environments, sound and broken."""

import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from genenvs.core.vector import TaskVectorEnv
from genenvs.testing import LawError, check_vector_env
from tests.core.throwaway import Bandit, Grid, Network, Walk


def native_cartpole(num_envs):
    return gym.make_vec("CartPole-v1", num_envs, vectorization_mode="vector_entry_point")


def sync_cartpole(mode=AutoresetMode.NEXT_STEP, kind=SyncVectorEnv):
    return lambda n: kind([lambda: gym.make("CartPole-v1")] * n, autoreset_mode=mode)


def test_gymnasiums_native_cartpole_breaks_what_it_is_known_to_break():
    found = " | ".join(str(error) for error in check_vector_env(native_cartpole(4), collect=True))
    assert re.search(r"law 2.*row i of seed s \+ 1 is row i \+ 1 of seed s", found)
    assert re.search(r"law 3.*reset_mask leaves the other rows alone \[row 1", found)


def test_a_function_that_makes_environments_shows_that_the_batch_size_matters():
    errors = check_vector_env(native_cartpole, collect=True)
    assert any("in a batch of one seeded s + i" in str(error) for error in errors)


def test_without_collect_the_first_broken_law_raises():
    with pytest.raises(LawError) as caught:
        check_vector_env(native_cartpole(2))
    assert caught.value.law == 2


@pytest.mark.parametrize("mode", AutoresetMode)
def test_gymnasiums_sync_keeps_the_laws_in_every_mode(mode):
    assert check_vector_env(sync_cartpole(mode)) == []
    assert check_vector_env(sync_cartpole(mode)(2)) == []


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("task", [Grid, Bandit, Network, Walk])
def test_the_native_batch_keeps_the_laws_of_any_vector_environment(task, mode):
    def make(num_envs):
        return TaskVectorEnv(task, horizon=6, num_envs=num_envs, autoreset_mode=mode)

    assert check_vector_env(make, steps=40, tolerance=1e-4) == []


class Broken(SyncVectorEnv):
    """Sync; each subclass breaks one thing."""


class NoMetadata(Broken):
    metadata = {}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.metadata = {}


class FlagsOfIntegers(Broken):
    def step(self, actions):
        observation, reward, terminated, truncated, info = super().step(actions)
        return observation, reward, terminated.astype(int), truncated, info


class OneRewardForAll(Broken):
    def step(self, actions):
        observation, reward, *rest = super().step(actions)
        return observation, float(reward.sum()), *rest


class OutOfSpace(Broken):
    def step(self, actions):
        observation, *rest = super().step(actions)
        return observation + 100, *rest


class SameBuffer(Broken):
    def __init__(self, env_fns, autoreset_mode):
        super().__init__(env_fns, autoreset_mode=autoreset_mode, copy=False)


class CutsActions(Broken):
    def step(self, actions):
        return super().step(np.resize(actions, self.num_envs))


class LosesFinals(Broken):
    def step(self, actions):
        *result, info = super().step(actions)
        info.pop("final_obs", None)
        return *result, info


class KeepsTheLast(Broken):
    def step(self, actions):
        observation, *result, info = super().step(actions)
        for row in np.flatnonzero(info.get("_final_obs", [])):
            observation[row] = info["final_obs"][row]
        return observation, *result, info


class PaysTheReset(Broken):
    def step(self, actions):
        observation, reward, *rest = super().step(actions)
        return observation, reward + 1, *rest


class StepsOn(Broken):
    def step(self, actions):
        self._autoreset_envs[:] = False
        return super().step(actions)


class Forgetful(Broken):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None, options=options)


@pytest.mark.parametrize(
    ("kind", "mode", "message"),
    [
        (NoMetadata, "NEXT_STEP", "law 3.*metadata names the autoreset mode"),
        (FlagsOfIntegers, "NEXT_STEP", r"law 5.*terminated is bool \[B\].*int64"),
        (OneRewardForAll, "NEXT_STEP", r"law 5.*floating point \[B\]"),
        (OutOfSpace, "NEXT_STEP", "law 5.*lie in their space"),
        (SameBuffer, "NEXT_STEP", "law 5.*not changed by later calls"),
        (CutsActions, "NEXT_STEP", "law 9.*too many actions raise"),
        (LosesFinals, "SAME_STEP", "law 3.*SAME_STEP gives final_obs"),
        (KeepsTheLast, "SAME_STEP", "law 3.*shows the next episode"),
        (PaysTheReset, "NEXT_STEP", "law 3.*reward 0 and no flag"),
        (StepsOn, "DISABLED", "law 3.*stepping an ended row raises"),
        (Forgetful, "NEXT_STEP", "law 2.*repeated from the same seed"),
    ],
)
def test_a_broken_vector_environment_is_named_for_what_it_breaks(kind, mode, message):
    envs = sync_cartpole(AutoresetMode[mode], kind)
    errors = [str(error) for error in check_vector_env(envs, collect=True)]
    assert any(re.search(message, error) for error in errors), errors


def test_a_play_in_which_nothing_ends_says_so():
    with pytest.warns(UserWarning, match="no episode ended within 3 steps"):
        assert check_vector_env(sync_cartpole(), steps=3) == []


def test_what_is_no_vector_environment_is_refused():
    with pytest.raises(TypeError, match="VectorEnv"):
        check_vector_env(lambda n: gym.make("CartPole-v1"))
