"""MO-Gymnasium: vectors of reward terms, held to that package's own wrappers."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence

from genenvs.core.env import TaskEnv
from genenvs.core.vector import TaskVectorEnv
from genenvs.interop.mo import TermRewards, VectorTermRewards
from genenvs.tasks.clip_edit import rewards
from tests.needs import import_or_skip

import_or_skip("mo_gymnasium", extra="mo")

from mo_gymnasium.wrappers import LinearReward, MORecordEpisodeStatistics  # noqa: E402
from mo_gymnasium.wrappers.vector import MORecordEpisodeStatistics as Batched  # noqa: E402
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv  # noqa: E402

TASK = {"task": "genenvs.tasks.clip_edit.task:ClipEdit", "horizon": 48}


def legal(info, rng) -> int:
    return int((rng.random(85) * info["action_mask"]).argmax())


def test_the_vector_times_its_weights_is_the_reward():
    plain, env = TaskEnv(**TASK), TermRewards(TaskEnv(**TASK))
    linear = LinearReward(TermRewards(TaskEnv(**TASK)), weight=env.weights)
    rng = np.random.default_rng(0)
    (_, info), _, _ = (e.reset(seed=3) for e in (plain, env, linear))
    assert env.reward_space.shape == (env.unwrapped.reward_dim,) == (len(rewards.TERMS),)
    assert (env.weights > 0).all()
    for _ in range(60):
        action = legal(info, rng)
        seen, reward, over, _, info = plain.step(action)
        again, vector, ended, _, _ = env.step(action)
        assert data_equivalence(seen, again) and over == ended
        assert env.reward_space.contains(vector)
        assert vector @ env.weights == pytest.approx(reward, abs=1e-5)
        assert linear.step(action)[1] == pytest.approx(reward, abs=1e-5)
        jumps = vector[env.terms.index("jump_cuts")]
        assert jumps == -np.float32(info["terms"]["jump_cuts"]) <= 0  # a price: more is better
        if over:
            break
    assert over


def test_its_own_statistics_add_the_vectors_up():
    env = MORecordEpisodeStatistics(TermRewards(TaskEnv(**TASK), terms=["agreement", "order"]))
    _, info = env.reset(seed=1)
    rng, total, over = np.random.default_rng(1), np.zeros(2), False
    while not over:
        _, vector, over, _, info = env.step(legal(info, rng))
        total += vector
    np.testing.assert_allclose(info["episode"]["r"], total, atol=1e-5)
    assert info["episode"]["r"][0] == pytest.approx(info["metrics"]["agreement"], abs=1e-5)


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_the_native_batch_pays_what_its_sync_of_singles_pays(output):
    sync = MOSyncVectorEnv([lambda: TermRewards(TaskEnv(**TASK)) for _ in range(3)])
    batch = TaskVectorEnv(num_envs=3, output=output, autoreset_mode="NEXT_STEP", **TASK)
    envs = VectorTermRewards(batch)
    rng = np.random.default_rng(2)
    _, info = sync.reset(seed=5)
    envs.reset(seed=5)
    for _ in range(60):
        actions = np.array([legal({"action_mask": mask}, rng) for mask in info["action_mask"]])
        _, expected, *_, info = sync.step(actions)
        _, vector, *_ = envs.step(actions)
        assert isinstance(vector, torch.Tensor) == (output == "torch")
        np.testing.assert_allclose(np.asarray(vector), expected, atol=1e-6)


def test_its_batched_statistics_work_on_the_native_batch():
    envs = Batched(VectorTermRewards(TaskVectorEnv(num_envs=2, **TASK)))
    _, info = envs.reset(seed=1)
    rng, ended = np.random.default_rng(1), 0
    for _ in range(60):
        masks = info["action_mask"]
        _, vector, *_, info = envs.step(
            np.array([legal({"action_mask": mask}, rng) for mask in masks])
        )
        assert vector.shape == (2, len(rewards.TERMS))
        if "episode" in info:
            ended += 1
            assert info["episode"]["r"].shape == vector.shape
    assert ended


def test_wrong_terms_and_other_environments_are_refused():
    for terms in (["beauty"], [], "agreement"):
        with pytest.raises(ValueError, match="terms must name some of agreement, order"):
            TermRewards(TaskEnv(**TASK), terms=terms)
    with pytest.raises(TypeError, match="wraps environments of genenvs"):
        TermRewards(gym.make("CartPole-v1"))
    with pytest.raises(TypeError, match="wraps a TaskVectorEnv"):
        VectorTermRewards(gym.make_vec("CartPole-v1", num_envs=2))
