"""TorchRL on every id: docs/examples/torchrl_env.py, and what TorchRL sees is what the id does."""

from __future__ import annotations

import multiprocessing

import gymnasium as gym
import pytest
import torch

import genenvs
from genenvs.core import registry
from tests.interop.examples import MOST_LINES, lines, load
from tests.needs import import_or_skip

# Importing TorchRL makes "spawn" the way in which this whole process starts others, which tests
# beside these, run in the same process, must not notice.
METHOD = multiprocessing.get_start_method()
import_or_skip("torchrl", extra="torchrl")
multiprocessing.set_start_method(METHOD, force=True)

from torchrl.data import Binary, Composite  # noqa: E402
from torchrl.envs import ActionMask, TransformedEnv  # noqa: E402
from torchrl.envs.gym_like import default_info_dict_reader  # noqa: E402
from torchrl.envs.utils import check_env_specs  # noqa: E402

EXAMPLE = "torchrl_env.py"
GRID_ID = "genenvs-torchrl-test/Grid-v0"
if GRID_ID not in gym.registry:
    gym.register(
        GRID_ID,
        entry_point="genenvs.core.env:TaskEnv",
        vector_entry_point="genenvs.core.vector:TaskVectorEnv",
        kwargs={"task": "tests.core.throwaway:Grid", "horizon": 8},
    )


def test_the_example_is_short() -> None:
    assert lines(EXAMPLE) <= MOST_LINES


@pytest.mark.parametrize("env_id", genenvs.ids())
def test_every_id_keeps_its_specs_alone_and_as_a_batch(env_id: str) -> None:
    example = load(EXAMPLE)
    check_env_specs(example.single(env_id))
    check_env_specs(example.batch(env_id, num_envs=3))


@pytest.mark.parametrize("env_id", ["genenvs/DenoiseSchedule-v0", "genenvs/DenoiseBudget-v0"])
def test_a_batch_in_torchrl_is_the_single_environments_step_for_step(env_id: str) -> None:
    """Row i plays seed 5 + i: first episode 1, since `set_seed` resets too, then 2, 3 ..."""
    envs = load(EXAMPLE).batch(env_id, num_envs=3)
    envs.set_seed(5)
    data = envs.rollout(12, break_when_any_done=False)
    assert data["next", "done"].any()
    for row in range(3):
        single = gym.make(env_id)
        observation, _ = single.reset(seed=5 + row, options={"episode": 1})
        for step in data[row].unbind(0):
            seen = observation if isinstance(observation, dict) else {"observation": observation}
            for key, value in seen.items():
                torch.testing.assert_close(
                    step[key], torch.as_tensor(value), atol=1e-4, rtol=1e-4, check_dtype=False
                )
            observation, reward, terminated, truncated, _ = single.step(int(step["action"]))
            assert step["next", "reward"].item() == pytest.approx(reward, abs=1e-4)
            assert step["next", "terminated"].item() == terminated
            if terminated or truncated:
                observation, _ = single.reset()


def test_random_returns_are_those_that_the_registry_knows() -> None:
    found = load(EXAMPLE).returns(frames=2048)
    known = registry.scores("genenvs/DenoiseSchedule-v0")["random"]["metrics"]["return"]
    error = found.std() / len(found) ** 0.5
    assert len(found) > 200 and abs(found.mean() - known) < 4 * error


def test_a_mask_is_read_from_info_where_torchrl_is_told_to() -> None:
    """As docs/libraries.md has it: without these lines a random policy takes illegal actions."""
    env = load(EXAMPLE).single(GRID_ID)
    size = env.action_spec.space.n
    spec = Composite(action_mask=Binary(size, shape=(size,), dtype=torch.bool))
    env.set_info_dict_reader(default_info_dict_reader(["action_mask"], spec=spec))
    env = TransformedEnv(env, ActionMask())
    check_env_specs(env)
    data = env.rollout(200, break_when_any_done=False)
    assert not data["action_mask"].all()
    assert data["action_mask"].gather(1, data["action"][:, None]).all()


def test_importing_it_here_left_the_way_of_starting_processes_alone() -> None:
    assert multiprocessing.get_start_method() == METHOD
