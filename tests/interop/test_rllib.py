"""Ray RLlib on every id, and docs/examples/rllib_ppo.py with two env runners of this machine."""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import genenvs
from genenvs.core import registry
from genenvs.core.vector import TaskVectorEnv
from tests.interop.examples import MOST_LINES, lines, load
from tests.needs import import_or_skip

import_or_skip("ray.rllib", extra="rllib")

import ray  # noqa: E402
from ray.rllib.env.env_context import EnvContext  # noqa: E402
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner  # noqa: E402
from ray.rllib.utils.error import UnsupportedSpaceException  # noqa: E402

from genenvs.interop import rllib  # noqa: E402

EXAMPLE = "rllib_ppo.py"
ENV_ID = "genenvs/DenoiseSchedule-v0"
# Their actions are latents, arrays of three axes; RLlib takes vectors.
LATENTS = ("genenvs/DenoiseLatent-v0", "genenvs/DenoiseLatentFlow-v0", "genenvs/DenoiseNoise-v0")
PRICES = ("genenvs/DenoiseSchedule", "genenvs/DenoiseBudget")  # all that these pay is a price

pytestmark = pytest.mark.xdist_group("cluster")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, object_store_memory=100_000_000, include_dashboard=False)
    yield
    ray.shutdown()


def test_the_example_is_short() -> None:
    assert lines(EXAMPLE) <= MOST_LINES


@pytest.mark.parametrize("env_id", genenvs.ids())
@pytest.mark.parametrize("mode", ["vector_entry_point", "sync"])
def test_rllib_finds_every_id_and_samples_from_it(env_id: str, mode: str) -> None:
    rllib.register()
    settings = load(EXAMPLE).settings(env_id, runners=0)
    settings.env_runners(num_envs_per_env_runner=4, gym_env_vectorize_mode=mode)
    if env_id in LATENTS:
        with pytest.raises(UnsupportedSpaceException, match="multiple dimensions"):
            SingleAgentEnvRunner(config=settings)
        return
    runner = SingleAgentEnvRunner(config=settings)
    assert isinstance(runner.env.unwrapped, TaskVectorEnv) == (mode == "vector_entry_point")
    episodes = runner.sample(num_episodes=8, random_actions=True)
    assert sum(episode.is_done for episode in episodes) >= 8
    for episode in episodes:
        assert 1 <= len(episode) <= registry.declaration(env_id).arguments["horizon"]
        assert np.isfinite(episode.get_return())
        assert episode.get_return() < 0 or not env_id.startswith(PRICES)
    # Not returns: of RoomLayout's 4,113 actions a random one is hardly ever legal.
    assert len({flat(episode.get_observations(0)) for episode in episodes}) > 1


def flat(observation) -> bytes:
    """What an observation holds."""
    parts = observation.values() if isinstance(observation, dict) else [observation]
    return b"".join(np.asarray(part).tobytes() for part in parts)


def test_the_rows_of_neighbouring_env_runners_share_no_episode() -> None:
    """RLlib seeds env runner w with seed + w: as it is, 15 of their 16 rows would be the same."""
    example = load(EXAMPLE)
    rllib.register()
    algorithm = example.settings(ENV_ID, runners=2).build_algo()
    found = algorithm.env_runner_group.foreach_env_runner(
        lambda runner: [e.get_infos(0)["seed"] for e in runner.sample(num_episodes=16)],
        local_env_runner=False,
    )
    algorithm.stop()
    one, other = map(set, found)
    assert len(one) > 8 and len(other) > 8 and not one & other


def test_single_environments_are_spread_by_env_runner_too() -> None:
    def seeds(worker: int) -> set[int]:
        env = rllib.make(ENV_ID, EnvContext({}, worker_index=worker))
        # The rows of Gymnasium's own vector environment are seeded one after the other.
        return {env.reset(seed=worker + row)[1]["seed"] for row in range(16)}

    assert len(seeds(1) | seeds(2)) == 32
    assert seeds(1) == seeds(1)


def test_without_a_seed_the_sequence_goes_on() -> None:
    envs = rllib.make(ENV_ID, {"num_envs": 2})
    first = envs.reset(seed=3)[1]
    second = envs.reset()[1]
    assert first["seed"].tolist() == second["seed"].tolist()
    assert second["episode_index"].tolist() == [1, 1]


@pytest.mark.parametrize("wrong", [{"autoreset_mode": "SAME_STEP"}, {"output": "torch"}])
def test_what_rllib_cannot_step_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="NEXT_STEP and numpy"):
        rllib.make(ENV_ID, {"num_envs": 2, **wrong})


def test_two_env_runners_and_a_few_iterations_beat_random() -> None:
    returns = list(load(EXAMPLE).train(iterations=6, runners=2))
    assert returns[-1] > registry.scores(ENV_ID)["random"]["high"] + 0.03


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("ray"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "genenvs.interop.rllib")
    for name in [name for name in sys.modules if name.split(".")[0] == "ray"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "genenvs\[rllib\]"'):
        importlib.import_module("genenvs.interop.rllib")
