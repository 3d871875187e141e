"""Playing a policy in a batch of environments, and handing out rollouts to learn from."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genenvs.wrappers import RecordEpisodeStatistics

from .distributions import Actions
from .networks import ActorCritic
from .problem import Problem


@dataclass(frozen=True)
class Episodes:
    """Episodes that ended: how many, and the sums of their returns and lengths."""

    count: int = 0
    returns: float = 0.0
    lengths: float = 0.0

    def plus(self, other: "Episodes") -> "Episodes":
        """Both together."""
        return Episodes(
            self.count + other.count, self.returns + other.returns, self.lengths + other.lengths
        )


@dataclass(frozen=True)
class Rollout:
    """T steps in each of B rows; observations may be dicts of tensors [T, B, ...]."""

    observation: Any
    mask: Tensor | None  # bool [T, B, n]
    action: Tensor  # [T, B, D]
    log_prob: Tensor  # [T, B], of the policy that acted
    reward: Tensor  # [T, B], scaled
    terminated: Tensor  # bool [T, B]
    ended: Tensor  # bool [T, B], terminated or truncated
    value: Tensor  # [T, B], of the states acted in
    next_value: Tensor  # [T, B], of the states reached, before any reset

    @property
    def steps(self) -> int:
        """T x B."""
        return self.reward.numel()

    def flat(self) -> tuple[Any, Tensor | None, Tensor]:
        """Observation, mask and action as one batch of T x B rows."""
        mask = None if self.mask is None else self.mask.flatten(0, 1)
        return each(self.observation, lambda x: x.flatten(0, 1)), mask, self.action.flatten(0, 1)


class Player:
    """A batch of environments and where its rows stand, between one rollout and the next.

    Nothing here copies from the device but `episodes()`, which a run asks for a few hundred times.
    """

    def __init__(
        self, problem: Problem, num_envs: int, worker: int = 0, reward_scale: float = 1.0
    ) -> None:
        self.problem, self.worker, self.reward_scale = problem, worker, reward_scale
        self.envs = RecordEpisodeStatistics(problem.make(num_envs))
        self._inner: Any = self.envs.unwrapped
        self.spacing = problem.spacing(num_envs)
        self.actions = Actions(self.envs.single_action_space)
        self.observation: Any = None
        self.mask: Tensor | None = None

    def begin(self, start: int) -> None:
        """Start new episodes everywhere; `start` counts such starts and decides their seeds."""
        seed = self.problem.env_seed(self.worker, start)
        self.observation, info = self.envs.reset(seed=seed)
        self.mask = info.get("action_mask")

    def restart(self) -> None:
        """Break off what runs and start the next episode of every row's own sequence."""
        self.observation, info = self.envs.reset()
        self.mask = info.get("action_mask")

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take samples [B, D] of a policy; gives reward (scaled), terminated, truncated and info.

        `observation` and `mask` are then those of the next step; rows that ended begin anew.
        """
        self.observation, reward, terminated, truncated, info = self.envs.step(
            self.actions.to_env(action)
        )
        self.mask = info.get("action_mask")
        return reward * self.reward_scale, terminated, truncated, info

    @torch.no_grad()
    def collect(self, model: ActorCritic, steps: int) -> Rollout:
        """Play `steps` steps in every row with samples of the policy."""
        rows: list[tuple[Any, ...]] = []
        after: dict[int, tuple[Tensor, Tensor]] = {}  # at truncations: rows, values there
        model.eval()  # dropout and the like belong to learning
        for t in range(steps):
            observation, mask = self.observation, self.mask
            policy, value = model(observation, mask)
            action = policy.sample()
            reward, terminated, truncated, info = self.step(action)
            if self._may_truncate and "final_obs" in info:
                after[t] = truncated & ~terminated, model.value(info["final_obs"])
            log_prob, ended = policy.log_prob(action), terminated | truncated
            rows.append((observation, mask, action, log_prob, reward, terminated, ended, value))
        observations, masks, *columns = zip(*rows, strict=True)
        action, log_prob, reward, terminated, ended, value = map(torch.stack, columns)
        last = model.value(self.observation)
        model.train()
        # The value of a state reached is that of the next state acted in, but for what is cut off.
        next_value = torch.cat([value[1:], last[None]])
        for t, (cut, final) in after.items():
            next_value[t] = torch.where(cut, final, next_value[t])
        return Rollout(
            observation=stack(observations),
            mask=None if masks[0] is None else torch.stack(masks),
            action=action,
            log_prob=log_prob,
            reward=reward,
            terminated=terminated,
            ended=ended,
            value=value,
            next_value=next_value,
        )

    @property
    def _may_truncate(self) -> bool:
        """Whether an episode can end without being over: known without looking at a tensor."""
        if not self.problem.native:
            return True
        return self._inner.task.ends == "truncates" or self._inner.max_episode_steps is not None

    def episodes(self) -> Episodes:
        """Those that ended since the last call; one copy to the host."""
        return ended_episodes(self.envs)

    # --- what a checkpoint keeps; see Run.attach ---

    def snapshot(self, start: int) -> dict[str, Tensor]:
        """What `restore` goes on from.

        The states of other people's environments cannot be saved in general: they start new
        episodes here, as they will when the run is resumed.
        """
        if not self.problem.native:
            self.begin(start)
            return {}
        kept = {f"env.{k}": v for k, v in self._inner.get_state().items()}
        kept |= {f"episode.{k}": v for k, v in self.envs.state_dict().items()}
        if self.mask is not None:
            kept["mask"] = self.mask
        named = self.observation if isinstance(self.observation, dict) else {"": self.observation}
        return kept | {f"observation.{k}": v for k, v in named.items()}

    def restore(self, kept: dict[str, Tensor], start: int) -> None:
        """Go on from what `snapshot` gave."""
        self.begin(start)
        if not self.problem.native:
            return
        device = self.envs.device
        part = lambda prefix: {  # noqa: E731
            k.removeprefix(prefix): v.to(device) for k, v in kept.items() if k.startswith(prefix)
        }
        self._inner.set_state(part("env."))
        self.envs.load_state_dict(part("episode."))
        named = part("observation.")
        self.observation = named[""] if set(named) == {""} else named
        self.mask = kept["mask"].to(device) if "mask" in kept else None


def ended_episodes(envs: RecordEpisodeStatistics) -> Episodes:
    """What the statistics hold, which then start anew."""
    found = envs.summary()
    envs.clear()
    count = int(found["episodes"])
    if not count:
        return Episodes()
    return Episodes(count, found["return_mean"] * count, found["length_mean"] * count)


def each(value: Any, function: Any) -> Any:
    """A function of every tensor of an observation."""
    if isinstance(value, dict):
        return {name: each(item, function) for name, item in value.items()}
    return function(value)


def stack(observations: Any) -> Any:
    """Observations of T steps as one, with T in front."""
    if isinstance(observations[0], dict):
        return {name: stack([o[name] for o in observations]) for name in observations[0]}
    return torch.stack(list(observations))
