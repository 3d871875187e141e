"""The agents of Stable-Baselines3: every space, exact resumes, and results that are theirs."""

import inspect

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import agents
from agents import checkpoint, registry, training
from agents.networks import NetworkConfig
from agents.problem import Problem
from agents.run import Diverged, seed_everything
from tests.agents.problems import KINDS, env_id
from tests.needs import import_or_skip

sb3 = import_or_skip("stable_baselines3", extra="sb3")
import_or_skip("sb3_contrib", extra="sb3")

from stable_baselines3.common.monitor import Monitor  # noqa: E402
from stable_baselines3.common.torch_layers import CombinedExtractor  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402

from agents.sb3 import Features  # noqa: E402
from agents.sb3_envs import WARM_UP  # noqa: E402

NATIVE = [*KINDS, "Picture"]
DISCRETE = ["Discrete", "MultiDiscrete", "MultiBinary"]
ANY = ["Box", *DISCRETE]
ACTIONS = {  # of somebody else's environment
    "Box": spaces.Box(-2, 2, (2,), np.float32),
    "Discrete": spaces.Discrete(3),
    "MultiDiscrete": spaces.MultiDiscrete([3, 2]),
    "MultiBinary": spaces.MultiBinary(4),
}
TAKES = {
    "ppo": (NATIVE, ANY),
    "a2c": (NATIVE, ANY),
    "recurrent_ppo": (NATIVE, ANY),
    "maskable_ppo": (["Grid", "Network", "Walk", "Picture"], DISCRETE),
    "dqn": (["Grid", "Picture"], ["Discrete"]),
    "ddpg": (["Bandit"], ["Box"]),
    "td3": (["Bandit"], ["Box"]),
    "sac": (["Bandit"], ["Box"]),
}
ON = {"num_envs": 4, "n_steps": 8, "hidden": [8]}
OFF = {"num_envs": 2, "hidden": [8], "batch_size": 8, "learning_starts": 20, "buffer_size": 60}
OFF |= {"train_freq": 4}
PPO = ON | {"batch_size": 16, "n_epochs": 2}
QUICK = {
    "ppo": PPO,
    "a2c": ON,
    "recurrent_ppo": PPO | {"lstm_hidden_size": 8},
    "maskable_ppo": PPO,
    "dqn": OFF | {"target_update_interval": 40},
    "ddpg": OFF | {"action_noise": 0.1},
    "td3": OFF | {"action_noise": 0.1},
    "sac": OFF,
}


class Mixed(gym.Env):
    """Somebody else's environment: vector, category and picture; strict about its actions."""

    observation_space = spaces.Dict({
        "vector": spaces.Box(-np.inf, np.inf, (3,)),
        "kind": spaces.Discrete(3),
        "picture": spaces.Box(0, 255, (18, 18, 3), np.uint8),
    })  # fmt: skip

    def __init__(self, action="Discrete"):
        self.action_space = ACTIONS[action]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.clock = 0
        return self._look(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.clock += 1
        return self._look(), float(np.sum(action)), self.clock == 3, self.clock == 5, {}

    def _look(self):
        return {
            "vector": self.np_random.normal(size=3).astype(np.float32),
            "kind": int(self.np_random.integers(3)),
            "picture": np.full((18, 18, 3), 40 * self.clock, np.uint8),
        }


class Fenced(gym.Env):
    """Names its legal actions in `info["action_mask"]`, and bears no other."""

    observation_space = spaces.Box(0, 1, (2,))
    action_space = spaces.Discrete(6)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), self._info()

    def step(self, action):
        if not self.mask[action]:
            raise ValueError(f"{action} is not legal")
        over = bool(self.np_random.random() < 0.2)
        return np.ones(2, np.float32), 1.0, over, False, self._info()

    def _info(self):
        self.mask = self.np_random.random(6) < 0.3
        self.mask[self.np_random.integers(6)] = True
        return {"action_mask": self.mask.astype(np.int8)}


class Strange(gym.Env):
    """Spaces that Stable-Baselines3 cannot read."""

    KINDS = {
        "start": (spaces.Box(0, 1, (2,)), spaces.Discrete(2, start=3)),
        "unbounded": (spaces.Box(0, 1, (2,)), spaces.Box(-np.inf, np.inf, (2,))),
        "nested": (spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)})}), spaces.Discrete(2)),
        "grey": (spaces.Box(0, 9, (5, 5, 3), np.uint8), spaces.Discrete(2)),
        "table": (spaces.MultiDiscrete([[2, 2], [2, 2]]), spaces.Discrete(2)),
        "text": (spaces.Text(3), spaces.Discrete(2)),
    }

    def __init__(self, kind):
        self.observation_space, self.action_space = self.KINDS[kind]


def theirs(kind):
    """The id of one of the environments above."""
    name = f"genenvs-sb3-agents-test/{kind.__name__}-v0"
    if name not in gym.registry:
        gym.register(name, entry_point=kind)
    return name


class Doubled(torch.nn.Module):
    """A network of the user's."""

    def __init__(self, space):
        super().__init__()
        self.features = 5
        self.layer = torch.nn.Linear(space.shape[0], 5)

    def forward(self, prepared):
        return self.layer(2 * prepared)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(training, "draw", lambda *arguments: None)


def trained(agent, env, steps=160, **more):
    return agents.train(
        agent, env, steps=steps, config=QUICK[agent] | more.pop("config", {}), **more
    )


# --- spaces ---


@pytest.mark.parametrize(
    ("agent", "name"), [(agent, name) for agent in TAKES for name in TAKES[agent][0]]
)
def test_every_agent_trains_on_the_native_batch(agent, name):
    found = trained(agent, env_id(name))
    assert found.steps >= 160 and sum(row["episodes"] for row in found.curve) > 0
    assert all(torch.isfinite(v).all() for v in found.agent.state().values())
    envs = found.problem.make(5)
    observation, info = envs.reset(seed=0)
    for _ in range(3):
        observation, _, _, _, info = envs.step(found.agent.act(observation, info))


@pytest.mark.parametrize(
    ("agent", "action"), [(agent, action) for agent in TAKES for action in TAKES[agent][1]]
)
def test_every_agent_trains_on_dicts_with_pictures_of_other_people(agent, action):
    found = trained(agent, theirs(Mixed), steps=100, arguments={"action": action})
    assert sum(row["episodes"] for row in found.curve) > 10
    envs = found.problem.make(3)
    observation, info = envs.reset(seed=0)
    actions = found.agent.act(observation, info).numpy()
    assert all(ACTIONS[action].contains(a) for a in actions)


@pytest.mark.parametrize(
    ("agent", "name"),
    [(agent, name) for agent in TAKES for name in KINDS if name not in TAKES[agent][0]],
)
def test_other_actions_are_refused_in_words(agent, name):
    takes = registry.find(agent).spaces
    has = type(Problem(env_id(name)).spaces[1]).__name__
    with pytest.raises(TypeError, match=f"handles {takes} actions, .*{name}-v0 has {has}"):
        trained(agent, env_id(name))
    assert has not in takes.split(", ")


@pytest.mark.parametrize("kind", Strange.KINDS)
def test_spaces_that_none_of_them_reads_are_refused_in_words(kind):
    with pytest.raises(TypeError, match=r"(handles|reads) .*Strange-v0 has"):
        trained("ppo", theirs(Strange), arguments={"kind": kind})


def test_masks_are_respected_while_learning_and_acting():
    found = trained("maskable_ppo", theirs(Fenced), steps=400)
    envs = found.problem.make(16)
    observation, info = envs.reset(seed=0)
    for _ in range(20):
        observation, _, _, _, info = envs.step(found.agent.act(observation, info))
    with pytest.raises(ValueError, match="is not legal"):
        trained("ppo", theirs(Fenced), steps=400)
    native = trained("maskable_ppo", env_id("Grid"))
    envs = native.problem.make(64)
    observation, info = envs.reset(seed=0)
    for _ in range(10):
        action = native.agent.act(observation, info)
        assert info["action_mask"].gather(1, action[:, None]).all()
        observation, _, _, _, info = envs.step(action)


# --- what is learned is what Stable-Baselines3 learns ---


@pytest.mark.parametrize(
    ("agent", "env"),
    [("ppo", "CartPole-v1"), ("a2c", "CartPole-v1"), ("recurrent_ppo", "CartPole-v1"),
     ("dqn", "CartPole-v1"), ("sac", "Pendulum-v1"), ("td3", "Pendulum-v1"),
     ("ddpg", "Pendulum-v1")],
)  # fmt: skip
def test_an_update_is_that_of_the_library_with_its_own_defaults(agent, env):
    """One rollout and one update: there is no checkpoint between, which would seed anew."""
    kind = registry.find(agent)
    played = {"n_steps": 64} if hasattr(kind.Config, "n_steps") else {"train_freq": 64}
    found = agents.train(agent, env, steps=128, seed=5, config=kind.Config(num_envs=2, **played))

    seed_everything(5, training.MAKING)
    envs = DummyVecEnv([lambda: Monitor(gym.make(env))] * 2)
    model = kind.algorithm(kind.policies[0], envs, device="cpu", **played)
    problem = Problem(env, seed=5)
    envs.seed(problem.env_seed())
    model.action_space.seed(problem.env_seed(WARM_UP) % 2**31)
    seed_everything(5, 0)
    model.learn(128)
    assert model._n_updates > 0
    mine, other = found.agent.model.policy.state_dict(), model.policy.state_dict()
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[name], other[name]) for name in other)


@pytest.mark.parametrize("agent", TAKES)
def test_defaults_are_those_of_the_library(agent):
    kind = registry.find(agent)
    known = inspect.signature(kind.algorithm.__init__).parameters
    ours = {k: v for k, v in vars(kind.Config()).items() if k in known}
    for name in ("buffer_size", "action_noise"):  # smaller, for checkpoints; a number, not a class
        ours.pop(name, None)
    assert len(ours) > 6 and ours == {name: known[name].default for name in ours}


def test_the_encoder_gives_what_the_library_s_own_gives():
    space = spaces.Dict({
        "b": spaces.Box(-1, 1, (2,)), "c": spaces.Discrete(3), "a": spaces.Box(-1, 1, (1, 8, 8))
    })  # fmt: skip
    prepared = {"c": torch.eye(3), "a": torch.randn(3, 1, 8, 8), "b": torch.randn(3, 2)}
    expected = CombinedExtractor(space)(prepared)
    assert torch.equal(Features(space, NetworkConfig())(prepared), expected)
    faint = Features(space, NetworkConfig(image_scale=0.1))(prepared)
    assert torch.equal(faint[:, :64], 0.1 * expected[:, :64])
    assert torch.equal(faint[:, 64:], expected[:, 64:])


@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_a_network_of_the_user_s_is_used_and_trained(agent):
    found = trained(agent, "CartPole-v1", config={"network": f"{__name__}:Doubled"})
    used = [m for m in found.agent.model.policy.modules() if isinstance(m, Doubled)]
    assert used and found.agent.model.policy.features_extractor_class is Features
    new = Doubled(spaces.Box(0, 1, (4,)))
    observation = torch.ones(3, 4)
    assert used[0](observation).shape == (3, 5) == new(observation).shape
    assert found.agent.act(observation, {}).shape == (3,)


# --- what is reported ---


@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_reported_returns_are_unscaled_and_the_model_s_rewards_are_scaled(agent):
    found = trained(agent, env_id("Ending"), config={"reward_scale": 10.0})
    assert sum(row["episodes"] for row in found.curve) == 40  # four steps each
    assert all(row["return"] == row["length"] == 4.0 for row in found.curve if row["episodes"])
    model = found.agent.model
    buffer = model.rollout_buffer if agent == "ppo" else model.replay_buffer
    assert (buffer.rewards[:8] == 10.0).all()


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(Diverged, match=r"became (nan|inf).*diverged\.safetensors"):
        trained("ppo", "CartPole-v1", config={"learning_rate": 1e30}, out=tmp_path)


# --- checkpoints ---


class Stop(Exception):
    """Breaks a run off, as a kill would."""


def broken_off_and_resumed(agent, env, folder, rows, **more):
    """Curve and tensors of a run that was broken off after `rows` rows, and of one that was not."""

    def look(row):
        look.seen += 1
        if look.seen == rows:
            raise Stop

    look.seen = 0
    trained(agent, env, out=folder / "whole", **more)
    with pytest.raises(Stop):
        trained(agent, env, out=folder / "broken", on_row=look, **more)
    torch.rand(3), np.random.rand(3)  # whatever another process would have drawn
    trained(agent, env, out=folder / "broken", resume=True, **more)
    return [
        ((folder / name / "curve.csv").read_text(),
         checkpoint.load(folder / name / checkpoint.NAME)[0])
        for name in ("whole", "broken")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("agent", "env"),
    [("ppo", "Network"), ("ppo", "CartPole-v1"), ("a2c", "Walk"), ("maskable_ppo", "Grid"),
     ("recurrent_ppo", "Network"), ("recurrent_ppo", "CartPole-v1"), ("dqn", "Grid"),
     ("dqn", "CartPole-v1"), ("ddpg", "Bandit"), ("td3", "Pendulum-v1"), ("sac", "Bandit"),
     ("sac", "Pendulum-v1")],
)  # fmt: skip
def test_a_resumed_run_is_the_run_that_was_not_broken_off(agent, env, tmp_path):
    env = env_id(env) if env in KINDS else env
    on = "n_steps" in QUICK[agent]
    rows = 13 if on else 27  # between checkpoints; a replay buffer has been overwritten by then
    (curve, tensors), (again, resumed) = broken_off_and_resumed(
        agent, env, tmp_path, rows, steps=640 if on else 320
    )
    assert curve == again and curve.count("\n") > 20
    assert tensors.keys() == resumed.keys()
    assert all(torch.equal(tensors[name], resumed[name]) for name in tensors)


@pytest.mark.parametrize(("agent", "env"), [("ppo", "Network"), ("dqn", "Grid")])
def test_schedules_follow_the_whole_budget_through_a_resume(agent, env, tmp_path):
    config = {"anneal": True, "learning_rate": 0.01}
    broken_off_and_resumed(agent, env_id(env), tmp_path, 7, steps=320, config=config)
    curve = agents.load(tmp_path / "broken").curve
    rates = [row["learning_rate"] for row in curve if "learning_rate" in row]
    left = [1 - row["steps"] / 320 for row in curve if "learning_rate" in row]
    # A row of an off-policy agent may show the mean of several updates, the last at its steps.
    assert rates == pytest.approx([0.01 * share for share in left], abs=1.5e-4)
    assert rates[-1] == 0 and len(rates) >= 9


@pytest.mark.parametrize("agent", TAKES)
def test_a_loaded_agent_acts_as_the_one_that_was_saved(agent, tmp_path, monkeypatch):
    env = env_id(TAKES[agent][0][0])
    found = trained(agent, env, out=tmp_path)

    def none(*arguments):
        raise AssertionError("a training environment was made")

    monkeypatch.setattr("agents.sb3.make_envs", none)
    loaded = agents.load(tmp_path).agent
    observation, info = found.problem.make(32).reset(seed=0)
    assert torch.equal(loaded.act(observation, info), found.agent.act(observation, info))
    mine, other = found.agent.state(), loaded.state()
    assert mine.keys() == other.keys() and all(torch.equal(mine[k], other[k]) for k in mine)


def test_a_checkpoint_of_other_spaces_is_refused_in_words(tmp_path):
    trained("ppo", env_id("Grid"), out=tmp_path)
    with pytest.raises(ValueError, match="does not fit"):
        agents.load(tmp_path, env="CartPole-v1")


def test_a_checkpoint_holds_no_more_than_the_filled_part_of_a_buffer():
    found = trained("dqn", "CartPole-v1", steps=40, config={"buffer_size": 100_000})
    assert found.agent.state()["replay.observations"].shape == (20, 2, 4)


# --- memory ---


def test_a_recurrent_policy_remembers_until_it_is_reset():
    found = trained("recurrent_ppo", env_id("Bandit"))
    observation, info = found.problem.make(6).reset(seed=0)
    found.agent.reset(6)
    first = found.agent.act(observation, info)
    second = found.agent.act(observation, info)
    assert not torch.equal(first, second)
    found.agent.reset(6)
    assert torch.equal(found.agent.act(observation, info), first)
    found.agent.reset(2)
    assert torch.equal(found.agent.act(observation[:2], info)[:2], first[:2])
