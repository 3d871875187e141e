"""`ppo`, `a2c`, `dqn`, `ddpg`, `td3`, `sac`, `maskable_ppo`, `recurrent_ppo`.

Stable-Baselines3 and sb3-contrib train them, with their own code; here they are made, put before an
environment, and report to the run. Losses are checked once an update is made: where one is not
finite, the state that is saved for debugging is the one after it.
"""

from collections.abc import Mapping
from copy import copy, deepcopy
from dataclasses import fields
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.optional import require

from . import sb3_configs, sb3_state
from .agent import EVERYTHING, Teach
from .networks import NetworkConfig, direct_heads, logits_of, make_encoder
from .problem import Problem
from .run import Diverged, Run
from .sb3_envs import Rows, Spaces, check_spaces, make_envs

require("sb3_contrib", "agents")
import sb3_contrib  # noqa: E402
import stable_baselines3 as sb3  # noqa: E402
from sb3_contrib.common.maskable.policies import (  # noqa: E402
    MaskableActorCriticPolicy,
    MaskableMultiInputActorCriticPolicy,
)
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from stable_baselines3.common.logger import Logger  # noqa: E402
from stable_baselines3.common.policies import (  # noqa: E402
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402

NOT_ARGUMENTS = {"num_envs", "anneal", "learning_rate", "reward_scale"}  # of the algorithms
NETWORK = {field.name for field in fields(NetworkConfig)}
NOT_LOSSES = ("n_updates", "clip_range", "clip_range_vf")  # counted or set, not found


class SB3Agent:
    """An algorithm of Stable-Baselines3 as an agent; each subclass names one."""

    Config: ClassVar[type]
    spaces: ClassVar[str] = EVERYTHING
    actions: ClassVar[str | None] = None
    """Kinds of action spaces where `spaces` names environments; None: those of `spaces`."""
    algorithm: ClassVar[Any]
    policies: ClassVar[tuple[Any, Any]] = "MlpPolicy", "MultiInputPolicy"
    policy_arguments: ClassVar[tuple[str, ...]] = ()
    """Fields of the configuration that the policy takes, not the algorithm."""

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """Make the model, anew or as it was, without an environment to train in.

        Raises:
            TypeError: spaces that the algorithm does not handle; says which it does.
        """
        self.problem, self.config = problem, config
        check_spaces(problem, type(self).__name__, self.actions or self.spaces)
        chosen = {f.name: getattr(config, f.name) for f in fields(config)}
        policy = {name: chosen[name] for name in self.policy_arguments} | self.policy_settings()
        several = isinstance(problem.spaces[0], spaces.Dict)
        rate = config.learning_rate
        self.model = self.algorithm(
            self.policies[several],
            DummyVecEnv([lambda: Spaces(problem)] * config.num_envs),
            learning_rate=(lambda remaining: rate * remaining) if config.anneal else rate,
            policy_kwargs=policy,
            device=problem.device,
            **self.settings({
                name: value for name, value in chosen.items()
                if name not in NOT_ARGUMENTS | NETWORK | set(self.policy_arguments)
            }),
        )  # fmt: skip
        self.model.set_logger(Logger(None, []))
        if state is not None:
            sb3_state.load_into(self.model, state)

    def policy_settings(self) -> dict[str, Any]:
        """What the policy is told beside `policy_arguments`: its network."""
        return {
            "net_arch": list(self.config.hidden),
            "features_extractor_class": Features,
            "features_extractor_kwargs": {"config": self.config},
        }

    def settings(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """The algorithm's arguments for these fields of the configuration."""
        return chosen

    def learn(self, run: Run) -> None:
        """Hand over to the algorithm; the run hears of it between updates."""
        envs = make_envs(self.problem, self.config.num_envs)
        try:
            rows = Rows(envs, self.problem, self.model, self.config.reward_scale)
            self.model.set_env(rows)
            run.attach(rows)
            self.model.num_timesteps = run.steps  # schedules are those of the whole budget
            self.model.learn(
                run.total - run.steps,
                callback=Report(run),
                log_interval=None,
                reset_num_timesteps=False,
            )
        except Diverged:
            raise
        except (ValueError, RuntimeError):
            # torch's distributions refuse NaN before a loss is told: then this says so.
            run.log(weights=sum(p.abs().sum() for p in self.model.policy.parameters()))
            raise
        finally:
            envs.close()

    def act(self, observation: Any, info: dict[str, Any]) -> Tensor:
        """The best actions."""
        return self._to_env(self.model.policy.predict(_numpy(observation), deterministic=True)[0])

    def _to_env(self, actions: np.ndarray) -> Tensor:
        dtype = self.problem.spaces[1].dtype  # those of MultiBinary come as floats
        return torch.as_tensor(actions.astype(dtype), device=self.problem.device)

    def state(self) -> dict[str, Tensor]:
        """Weights, target networks, optimisers, counters, the filled part of a replay buffer."""
        return sb3_state.tensors_of(self.model)


class Report(BaseCallback):
    """Tells a run of steps and losses, and lets it save between an update and the next rollout."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def _on_rollout_start(self) -> None:
        self._tell()

    def _on_step(self) -> bool:
        return self.going

    def _on_rollout_end(self) -> None:
        self.run.advance(self.num_timesteps - self.run.steps)

    def _on_training_end(self) -> None:
        self._tell()

    def _tell(self) -> None:
        values = {k.partition("/")[2]: v for k, v in self.logger.name_to_value.items()}
        self.logger.dump()  # into no output: forgets them
        for name in NOT_LOSSES:
            values.pop(name, None)
        if np.isnan(values.get("explained_variance", 0.0)):
            del values["explained_variance"]  # of returns that are all equal
        if values:
            self.run.log(**values)
        self.going = self.run.going()


class Features(BaseFeaturesExtractor):
    """The encoder of all agents here, on observations that Stable-Baselines3 has prepared.

    Without pictures it has no weights and gives what Stable-Baselines3's own extractors give.
    """

    def __init__(self, observation_space: gym.Space[Any], config: NetworkConfig) -> None:
        encoder = make_encoder(observation_space, config)
        super().__init__(observation_space, features_dim=encoder.features)
        self.encoder = encoder

    def forward(self, observations: Any) -> Tensor:
        if isinstance(observations, dict):  # in the order of the space, whatever theirs is
            assert isinstance(self._observation_space, spaces.Dict)
            observations = {name: observations[name] for name in self._observation_space.spaces}
        return self.encoder(observations)


def _numpy(observation: Any) -> Any:
    if isinstance(observation, Mapping):
        return {name: _numpy(value) for name, value in observation.items()}
    return observation.cpu().numpy() if isinstance(observation, Tensor) else observation


# --- the agents ---


class OnPolicy(SB3Agent):
    """Those that know the probability of an action, and so can imitate."""

    def imitate(self, teach: Teach) -> None:
        """Have the policy taught what to do; see `imitation.py`."""
        teach(self.model.policy, self._judge)

    def _judge(
        self, observation: Any, mask: Tensor | None, action: Tensor, **more: Any
    ) -> tuple[Tensor, Tensor]:
        space, policy = self.problem.spaces[1], self.model.policy
        if isinstance(space, spaces.Discrete):
            action = action[:, 0]
        elif isinstance(space, spaces.MultiBinary):
            action = action.float()  # Bernoulli's
        given = policy.obs_to_tensor(_numpy(observation))[0]
        value, log_prob, _ = policy.evaluate_actions(given, action, **more)
        return log_prob, value[:, 0]


class Direct:
    """A policy of theirs that takes logits as they are, where the network has `logits`."""

    def _build(self, lr_schedule: Any) -> None:
        policy: Any = self
        encoder: Any = getattr(policy.features_extractor, "encoder", None)
        if not logits_of(encoder):
            return super()._build(lr_schedule)  # type: ignore[misc]
        hidden, policy.net_arch = policy.net_arch, []
        begun = deepcopy(encoder.state_dict())
        super()._build(lr_schedule)  # type: ignore[misc]
        encoder.load_state_dict(begun)  # theirs begins all layers alike, logits' too
        outputs = policy.action_net.out_features
        policy.action_net, policy.value_net = direct_heads(encoder, hidden, outputs)
        policy.optimizer = policy.optimizer_class(
            policy.parameters(), lr=lr_schedule(1), **policy.optimizer_kwargs
        )


class Flat(Direct, ActorCriticPolicy):
    """Theirs, of one observation."""


class Several(Direct, MultiInputActorCriticPolicy):
    """Theirs, of a `Dict`."""


class MaskedFlat(Direct, MaskableActorCriticPolicy):
    """sb3-contrib's, of one observation."""


class MaskedSeveral(Direct, MaskableMultiInputActorCriticPolicy):
    """sb3-contrib's, of a `Dict`."""


class PPO(OnPolicy):
    """Proximal policy optimisation (Schulman et al. 2017)."""

    Config = sb3_configs.PPOConfig
    algorithm = sb3.PPO
    policies = Flat, Several


class A2C(OnPolicy):
    """Synchronous advantage actor-critic (Mnih et al. 2016, played synchronously)."""

    Config = sb3_configs.A2CConfig
    algorithm = sb3.A2C
    policies = Flat, Several


class DQN(SB3Agent):
    """Deep Q-learning (Mnih et al. 2015)."""

    Config = sb3_configs.DQNConfig
    spaces = "Discrete"
    algorithm = sb3.DQN


class DDPG(SB3Agent):
    """Deep deterministic policy gradient (Lillicrap et al. 2016)."""

    Config: ClassVar[type] = sb3_configs.DDPGConfig
    spaces = "Box"
    algorithm: ClassVar[Any] = sb3.DDPG

    def settings(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """Gaussian noise on actions: it keeps no state that a checkpoint would have to hold."""
        from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise

        scale = chosen.pop("action_noise")
        if not scale:
            return chosen
        shape: Any = self.problem.spaces[1].shape
        noise = NormalActionNoise(np.zeros(shape), np.full(shape, scale))
        return chosen | {"action_noise": VectorizedActionNoise(noise, self.config.num_envs)}


class TD3(DDPG):
    """Twin delayed DDPG (Fujimoto et al. 2018)."""

    Config = sb3_configs.TD3Config
    algorithm = sb3.TD3


class SAC(SB3Agent):
    """Soft actor-critic (Haarnoja et al. 2018)."""

    Config = sb3_configs.SACConfig
    spaces = "Box"
    algorithm = sb3.SAC


class MaskablePPO(OnPolicy):
    """PPO over the actions that are legal (Huang and Ontañón 2022)."""

    Config = sb3_configs.PPOConfig
    spaces = "Discrete, MultiDiscrete, MultiBinary"
    algorithm = sb3_contrib.MaskablePPO
    policies = MaskedFlat, MaskedSeveral

    def _judge(
        self, observation: Any, mask: Tensor | None, action: Tensor, **more: Any
    ) -> tuple[Tensor, Tensor]:
        return super()._judge(observation, mask, action, action_masks=mask)

    def act(self, observation: Any, info: dict[str, Any]) -> Tensor:
        """The best of the legal actions."""
        mask = info.get("action_mask")
        return self._to_env(
            self.model.policy.predict(
                _numpy(observation),
                deterministic=True,
                action_masks=None if mask is None else _numpy(mask),
            )[0]
        )


class RecurrentPPO(SB3Agent):
    """PPO with an LSTM between encoder and heads."""

    Config = sb3_configs.RecurrentPPOConfig
    algorithm = sb3_contrib.RecurrentPPO
    policies = "MlpLstmPolicy", "MultiInputLstmPolicy"
    policy_arguments = "lstm_hidden_size", "n_lstm_layers", "enable_critic_lstm"

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__(problem, config, state)
        self._memory: Any = None
        if isinstance(problem.spaces[1], spaces.MultiBinary):
            # sb3-contrib's buffer keeps bits as int8, which its loss cannot take; SB3's has floats.
            bits: Any = copy(problem.spaces[1])
            bits.dtype = np.dtype(np.float32)
            self.model.rollout_buffer.action_space = bits

    def reset(self, num_envs: int) -> None:
        """Forget: new episodes begin in all rows."""
        self._memory = None

    def act(self, observation: Any, info: dict[str, Any]) -> Tensor:
        """The best actions, given all observations since `reset`."""
        actions, self._memory = self.model.policy.predict(
            _numpy(observation), state=self._memory, deterministic=True
        )
        return self._to_env(actions)
