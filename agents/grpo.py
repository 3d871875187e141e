"""`grpo`: group-relative policy optimisation, on any environment.

Shao et al., "DeepSeekMath", 2024 (arXiv 2402.03300), section 4; for generators Flow-GRPO (Liu et
al. 2025) and DanceGRPO (Xue et al. 2025). There is no value network: several episodes start from
one and the same state, and an episode is good if its return is above its group's mean.

    A_i  = (R_i - mean of the group) / standard deviation of the group     the same at every step

or, where steps are paid (`supervision: process`), an action by what comes from it on, beside what
comes to the group from that step on:

    A_it = (G_it - mean of the group at t) / standard deviation of the group
           G_it = sum over k >= t of gamma^(k - t) r_ik, 0 where episode i is over

    loss = - mean(min(r A, clip(r, 1 - clip, 1 + clip) A)) + kl_coef mean(KL(pi || pi_ref))
           r = pi(a|s) / pi_old(a|s)

Differs from the paper: the KL is exact, of the distributions, where the paper estimates it from the
sampled token; every step of an episode weighs the same, where the paper weighs episodes alike. Its
process supervision (section 4.1.3) compares rewards and adds them up, undiscounted: every step
would cost the group's mean, and an episode that earns a little by going on would be worth less than
one that stops.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from gymnasium.vector import AutoresetMode
from torch import Tensor

from . import checkpoint
from .agent import Teach
from .distributions import Actions
from .networks import ActorCritic
from .play import Episodes, each, stack
from .problem import Problem
from .returns import discounted
from .run import Run
from .torch_agent import TorchAgent, TorchConfig


@dataclass
class GRPOConfig(TorchConfig):
    """A batch is `num_groups` x `group_size` whole episodes."""

    num_groups: Annotated[int, Ge(1)] = 16
    """Initial states in a batch."""
    group_size: int = 8
    """Episodes from each of them; at least 2."""
    noise: Literal["fresh", "shared"] = "fresh"
    """Whether members of a group have noise of their own after the first state (Flow-GRPO), or
    share it (DanceGRPO) and differ by their actions alone."""
    supervision: Literal["outcome", "process"] = "outcome"
    """What is compared in a group: returns, or at every step the discounted rewards to come."""
    epochs: Annotated[int, Ge(1)] = 4
    """Passes over each batch."""
    batch_size: Annotated[int, Ge(1)] | None = None
    """Steps of a gradient step, about: a batch is cut into equal parts at random, the same in every
    pass; None: all of it."""
    clip: Annotated[float, Gt(0)] = 0.2
    """How far the ratio of probabilities counts."""
    kl_coef: Annotated[float, Ge(0)] = 0.0
    """Of the distance to the reference policy."""
    reference: Annotated[int, Ge(0)] = 0
    """Make the present policy the reference every so many batches; 0: the first one for good."""
    divide_by_std: bool = True
    """Off: advantages are centred only (Dr. GRPO, Liu et al. 2025)."""
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    gamma: Annotated[float, Ge(0), Le(1)] = 1.0


@dataclass(frozen=True)
class Groups:
    """Episodes of N groups of G members, padded to the longest: row i * G + j is member j of i."""

    observation: Any  # [T, N * G, ...]
    mask: Tensor | None  # bool [T, N * G, n]
    action: Tensor  # [T, N * G, D]
    alive: Tensor  # bool [T, N * G], steps that belong to the episode
    reward: Tensor  # [T, N * G], 0 in the padding
    returns: Tensor  # [N * G], discounted

    @property
    def steps(self) -> int:
        """Rows of the batch that were stepped, the padding included: each cost a step."""
        return self.alive.numel()


class GRPO(TorchAgent):
    """Group-relative policy optimisation (Shao et al. 2024)."""

    Config = GRPOConfig

    def __init__(
        self, problem: Problem, config: GRPOConfig, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """Make the policy and its reference.

        Raises:
            ValueError: the groups have one member, whose advantage would always be 0.
        """
        check_group(config.group_size)
        super().__init__(problem, config, state)
        self.reference = copy.deepcopy(self.model).requires_grad_(False)
        self.batches = torch.zeros((), dtype=torch.int64)
        if state is not None:
            self.reference.load_state_dict(checkpoint.part(state, "reference"))
            self.batches = state["batches"].clone()

    def learn(self, run: Run) -> None:
        """Alternate: play groups, take a few clipped steps on them."""
        config = self.config
        player = GroupPlayer(self.problem, config)
        run.attach(player)
        while run.going():
            if config.reference and self.batches % config.reference == 0:
                self.reference.load_state_dict(self.model.state_dict())
            groups = player.collect(self.model)
            self.batches += 1
            run.advance(groups.steps)
            self.improve(run, groups)

    def imitate(self, teach: Teach) -> None:
        """Have the policy taught what to do, and make it the reference; see `imitation.py`."""
        super().imitate(teach)
        self.reference.load_state_dict(self.model.state_dict())

    def improve(self, run: Run, groups: Groups) -> None:
        """`epochs` passes over one batch of groups."""
        config = self.config
        advantage, flat_groups = self.advantage(groups)
        alive = groups.alive.flatten()
        observation = each(groups.observation, lambda x: x.flatten(0, 1)[alive])
        mask = None if groups.mask is None else groups.mask.flatten(0, 1)[alive]
        action = groups.action.flatten(0, 1)[alive]
        advantage = advantage.flatten()[alive]
        parts: Sequence[Any] = [slice(None)]
        if config.batch_size is not None:
            count = max(1, round(len(action) / config.batch_size))
            parts = torch.randperm(len(action)).to(action.device).tensor_split(count)
        batches = []
        for rows in parts:
            seen = each(observation, lambda x, rows=rows: x[rows])
            allowed = None if mask is None else mask[rows]
            with torch.no_grad():
                # In the batch of the update: a ratio is 1 to the bit until the first step is taken.
                before = self.model.policy(seen, allowed).log_prob(action[rows])
                anchor = self.reference.policy(seen, allowed)
            batches.append((seen, allowed, action[rows], advantage[rows], before, anchor))
        for _ in range(config.epochs):
            for seen, allowed, done, worth, before, anchor in batches:
                policy = self.model.policy(seen, allowed)
                ratio = (policy.log_prob(done) - before).exp()
                policy_loss = clipped(ratio, worth, config.clip)
                kl = policy.kl(anchor).mean()
                entropy = policy.entropy().mean()
                loss = policy_loss + config.kl_coef * kl - config.entropy_coef * entropy
                self.descend(
                    run, loss, policy_loss=policy_loss, kl=kl, entropy=entropy,
                    clipped=((ratio - 1).abs() > config.clip).float().mean(),
                    flat_groups=flat_groups,
                )  # fmt: skip

    def advantage(self, groups: Groups) -> tuple[Tensor, Tensor]:
        """Of every action, [T, N * G], and the fraction of groups that teach nothing."""
        config, scale = self.config, self.config.reward_scale
        if config.supervision == "process":
            return step_advantage(
                groups.reward * scale, groups.alive, config.group_size, config.gamma,
                config.divide_by_std,
            )  # fmt: skip
        advantage, flat_groups = group_advantage(
            groups.returns * scale, config.group_size, config.divide_by_std
        )
        return advantage.expand_as(groups.alive), flat_groups

    def state(self) -> dict[str, Tensor]:
        """Weights of policy and reference, and the optimiser's moments."""
        reference = checkpoint.under("reference", self.reference.state_dict())
        return super().state() | reference | {"batches": self.batches}


def check_group(size: int) -> None:
    """Refuse groups of one, whose advantage would always be 0.

    Raises:
        ValueError: `size` is below 2.
    """
    if size < 2:
        raise ValueError(
            f"group_size must be at least 2, for an advantage is relative to the group; got {size}"
        )


def group_advantage(returns: Tensor, size: int, divide_by_std: bool) -> tuple[Tensor, Tensor]:
    """How much better than its group each episode was.

    Args:
        returns: [N * size], the members of a group one after the other.
        size: of a group.
        divide_by_std: by the group's standard deviation (plus 1e-6).

    Returns:
        Advantages [N * size], zero in a group whose members are all alike; and the fraction of
        such groups, from which nothing is learned.
    """
    grouped = returns.reshape(-1, size)
    centred = grouped - grouped.mean(1, keepdim=True)
    std = grouped.std(1, keepdim=True, correction=0)
    if divide_by_std:
        centred = centred / (std + 1e-6)
    alike = grouped.amax(1) == grouped.amin(1)
    return centred.masked_fill(alike[:, None], 0.0).flatten(), alike.float().mean()


def step_advantage(
    reward: Tensor, alive: Tensor, size: int, gamma: float, divide_by_std: bool
) -> tuple[Tensor, Tensor]:
    """How much more came from each step on than came to its group at that time.

    Args:
        reward: [T, N * size], the members of a group one after the other; 0 in the padding.
        alive: bool [T, N * size], steps that belong to an episode.
        size: of a group.
        gamma: discount.
        divide_by_std: by the root of the mean square of the group's advantages (plus 1e-6).

    Returns:
        Advantages [T, N * size], zero in the padding and in a group whose members are all alike;
        and the fraction of such groups.
    """
    coming = discounted(reward, ~alive, gamma).unflatten(1, (-1, size))
    alike = (coming.amax(2) == coming.amin(2)).all(0)
    mine = alive.unflatten(1, (-1, size))
    advantage = (coming - coming.mean(2, keepdim=True)) * mine
    if divide_by_std:
        square = advantage.square().sum((0, 2)) / mine.sum((0, 2))
        advantage = advantage / (square.sqrt()[:, None] + 1e-6)
    return advantage.masked_fill(alike[:, None], 0.0).flatten(1), alike.float().mean()


def clipped(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The clipped surrogate loss of PPO (Schulman et al. 2017, equation 7), to be minimised."""
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantage, bounded * advantage).mean()


class GroupPlayer:
    """Plays groups: branches of one initial state, to the end of every episode.

    In environments of ours the groups are `branch`es. Other people's cannot be branched: there the
    members of a group are reset with one and the same seed, which also repeats the noise that
    follows.
    """

    def __init__(self, problem: Problem, config: GRPOConfig) -> None:
        self.problem, self.config = problem, config
        rows = config.num_groups * (1 if problem.native else config.group_size)
        self.envs: Any = problem.make(rows, AutoresetMode.DISABLED)
        self.actions = Actions(self.envs.single_action_space)
        self._starts = 0
        self._first = True
        self._episodes = Episodes()

    def begin(self, start: int) -> None:
        """The next groups start from another seed."""
        self._starts, self._first = start, True

    def snapshot(self, start: int) -> dict[str, Tensor]:
        """Between two batches no episode runs: the next groups start from another seed."""
        self.begin(start)
        return {}

    def restore(self, kept: dict[str, Tensor], start: int) -> None:
        """As `snapshot` left it."""
        self.begin(start)

    def episodes(self) -> Episodes:
        """Those that ended since the last call."""
        found, self._episodes = self._episodes, Episodes()
        return found

    def _start(self) -> tuple[Any, Any, dict[str, Any]]:
        """New groups: environments, observation and info."""
        size, seed = self.config.group_size, self.problem.env_seed(0, self._starts)
        if self.problem.native:
            # Without a seed each row goes on to its next episode.
            self.envs.reset(seed=seed if self._first else None)
            self._first = False
            envs = self.envs.unwrapped.branch(size, self.config.noise)
            # A branch starts in the middle of an episode: nothing to return but what is seen.
            return envs, envs.task.observe(envs.state.clone()), {"action_mask": _mask(envs)}
        if self._first:
            self._seeds = np.random.default_rng(seed)
            self._first = False
        seeds = self._seeds.integers(0, 2**31, self.config.num_groups).repeat(size)
        return (self.envs, *self.envs.reset(seed=[int(s) for s in seeds]))

    @torch.no_grad()
    def collect(self, model: ActorCritic) -> Groups:
        """Play one batch of groups with samples of the policy."""
        envs, observation, info = self._start()
        device = self.envs.device
        rows = self.config.num_groups * self.config.group_size
        alive = torch.ones(rows, dtype=torch.bool, device=device)
        returns, undiscounted, lengths = (torch.zeros(rows, device=device) for _ in range(3))
        discount, columns, rewards = 1.0, [], []
        while True:
            mask = info.get("action_mask")
            action = model.policy(observation, mask).sample()
            columns.append((observation, mask, action, alive))
            observation, reward, terminated, truncated, info = envs.step(
                self.actions.to_env(action)
            )
            reward = reward * alive
            rewards.append(reward)
            returns = returns + discount * reward
            undiscounted, lengths = undiscounted + reward, lengths + alive
            discount *= self.config.gamma
            ended = terminated | truncated
            alive = alive & ~ended
            some_alive, some_ended = torch.stack([alive.any(), ended.any()]).tolist()
            if not some_alive:
                break
            if some_ended:
                # Rows that are over play on, unheeded, so that the batch keeps its shape.
                observation, info = envs.reset(options={"reset_mask": ended})
        sums = torch.stack([undiscounted.sum(), lengths.sum()]).tolist()
        self._episodes = self._episodes.plus(Episodes(rows, *sums))
        observations, masks, actions, alives = zip(*columns, strict=True)
        return Groups(
            observation=stack(observations),
            mask=None if masks[0] is None else torch.stack(masks),
            action=torch.stack(actions),
            alive=torch.stack(alives),
            reward=torch.stack(rewards),
            returns=returns,
        )


def _mask(envs: Any) -> Tensor | None:
    mask = envs.task.action_mask(envs.state)
    return None if mask is None else mask.clone()
