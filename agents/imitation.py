"""`--imitate reference`: clone a scripted policy before learning begins.

DAgger of Ross, Gordon and Bagnell, "A Reduction of Imitation Learning and Structured Prediction to
No-Regret Online Learning", AISTATS 2011, as the first half of Lin et al., "Modeling 3D Shapes by
Reinforcement Learning", ECCV 2020. In every round some steps are played, by the reference with
probability beta and else by the agent; each state is labelled with what the reference would do
there; and the agent is fitted to all states so far:

    loss = - mean(log pi(a*|s)) + value_coef mean((V(s) - R)^2)    a*: the reference's action in s

R is the return that was seen from s on, so that learning does not begin with a random critic. The
last round is not learned from: it measures, on fresh states, the agent that learning begins with.

The policy is the environment's own, or one of yours, `module:function`: of a batch of environments
it makes what `genenvs.evaluate` plays. One that draws its actions is cloned as a distribution.

Differs from the papers: beta falls linearly, to 0 after half of the rounds, where Ross et al. leave
it open; there is one memory, where Lin et al. keep a second one of the last round.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from .agent import Judge
from .networks import load_class
from .play import Player, each, stack
from .problem import UNKNOWN_LENGTH, Problem
from .registry import BUILT_IN, find
from .returns import gae
from .run import Run, seed_everything

REFERENCE = "reference"
WORKER = 1 << 14  # in place of a worker's number: the environments' seeds
STREAM = (1 << 16) + 1  # a start of the random streams beside those of the checkpoints


@dataclass(frozen=True)
class DAgger:
    """Numbers of the warm start, tuned on `genenvs/DenoiseSchedule-v0`."""

    steps: int = 20_000
    """Environment steps over all rows."""
    rounds: int = 10
    rows: int = 64
    """Of the batch, at most: fewer where each would not play some of the longest episodes."""
    episodes: int = 4
    """How many of those."""
    epochs: int = 8
    """Passes over the memory after each round but the last."""
    batch_size: int = 256
    learning_rate: float = 1e-3
    value_coef: float = 0.5
    confidence: float = 0.9
    """Labels as probable as this are learned: a clone that is sure of all it does explores nothing,
    and stays what it is."""
    min_log_std: float = -1.5
    """The same for Box actions: where the spread begins, and the least that it may be."""
    most_states: int = 100_000
    """In the memory, which forgets the oldest."""
    most_bytes: int = 1 << 29
    """Of observations there."""

    def beta(self, k: int) -> float:
        """Probability that the reference plays a step of round k."""
        return max(0.0, 1 - 2 * k / self.rounds)

    def batch(self, problem: Problem) -> int:
        """Rows, at least 1."""
        known = {**problem.spec.kwargs, **problem.arguments}
        longest = known.get("horizon", UNKNOWN_LENGTH)
        return max(1, min(self.rows, self.steps // (self.episodes * longest)))


def check(agent: str, problem: Problem, policy: str, steps: int) -> None:
    """Refuse what cannot be imitated, or cannot imitate.

    Args:
        agent: a name, as `registry.find` takes it.
        problem: what it will be trained on.
        policy: to imitate: `reference`, or `module:function`.
        steps: of the imitation.

    Raises:
        TypeError: the agent has no `imitate`; names those that have.
        ValueError: there is no such policy, or the steps are fewer than the rounds.
    """
    if policy != REFERENCE and ":" not in policy:
        raise ValueError(
            f'imitate must be "{REFERENCE}", "module:function" or None; got {policy!r}'
        )
    if steps < DAgger.rounds:
        raise ValueError(
            f"imitate_steps must be at least {DAgger.rounds}, one a round; got {steps}"
        )
    if not hasattr(find(agent), "imitate"):
        raise TypeError(f"{agent} cannot imitate; {', '.join(able())} can")
    if not problem.native:
        raise ValueError(f"{problem.env} is no environment of genenvs: it has no reference policy")
    envs: Any = problem.make(1)
    try:
        envs.reset(seed=problem.env_seed(WORKER))
        if policy != REFERENCE:
            teacher(policy, envs.unwrapped)
        elif envs.unwrapped.reference_action() is None:
            raise ValueError(f"{problem.env} has no reference policy to imitate")
    finally:
        envs.close()


def able() -> list[str]:
    """Names of the agents that can imitate, of those whose libraries are installed."""
    found = []
    for name in BUILT_IN:
        try:
            found += [name] if hasattr(find(name), "imitate") else []
        except ImportError:
            continue
    return found


def teacher(policy: str, envs: Any) -> Callable[[Any, dict[str, Any]], Any]:
    """What a policy does in a batch of environments: (observation, info) to actions [B, ...].

    Raises:
        ValueError: there is no such function.
    """
    if policy == REFERENCE:
        return lambda observation, info: envs.reference_action()
    return load_class(policy, "imitate")(envs)


def imitate(
    agent: Any, problem: Problem, config: Any, run: Run, dagger: DAgger, policy: str = REFERENCE
) -> None:
    """Clone a policy into an agent; `run.curve` then has a row for every round.

    Args:
        agent: its `imitate(teach)` calls `teach(network, judge)`.
        problem: an environment that `check` let pass.
        config: of the agent; `gamma` and `reward_scale` are read.
        run: at minus the number of imitation steps, and then at 0.
        dagger: numbers.
        policy: see `check`.

    Raises:
        agents.run.Diverged: a loss is not finite.
    """
    player = Player(problem, dagger.batch(problem), WORKER, config.reward_scale)
    expert = teacher(policy, player.envs.unwrapped)
    steps = dagger.steps // player.envs.num_envs  # in each row
    memory = Memory(dagger.most_states, dagger.most_bytes)

    def teach(network: nn.Module, judge: Judge) -> None:
        log_std: Any = getattr(network, "log_std", None)
        if log_std is not None:
            log_std.data.fill_(dagger.min_log_std)
        optimizer = torch.optim.Adam(network.parameters(), dagger.learning_rate)
        for k in range(dagger.rounds):
            count = steps * (k + 1) // dagger.rounds - steps * k // dagger.rounds
            agreement = play(player, agent, expert, dagger.beta(k), count, memory)
            run.advance(count * player.envs.num_envs)
            run.log(beta=dagger.beta(k), agreement=agreement)
            run.add_row()
            if k + 1 < dagger.rounds:
                network.eval()  # dropout and the like belong to learning
                target = memory.returns(judge, player.observation, config.gamma)
                network.train()
                fit(network, judge, optimizer, memory, target, run, dagger)

    try:
        run.attach(player)
        seed_everything(problem.seed, STREAM)
        agent.imitate(teach)
    finally:
        player.envs.close()
    run.warmed_up()


@dataclass(frozen=True)
class Step:
    """One step of B rows; observations may be dicts."""

    observation: Any  # [B, ...]
    mask: Tensor | None  # bool [B, n]
    label: Tensor  # [B, D], what the reference would do
    reward: Tensor  # [B], scaled
    terminated: Tensor  # bool [B]
    ended: Tensor  # bool [B], terminated or truncated
    cut: Tensor  # bool [B], truncated alone: something would have followed
    final: Any  # observation [K, ...] of the K rows that were cut off; None where there is none


@dataclass
class Memory:
    """The last steps that were played, one after the other: returns run on from round to round."""

    most_states: int
    most_bytes: int
    steps: deque[Step] = field(default_factory=deque)

    def add(self, step: Step) -> None:
        """Keep a step, and forget the oldest that no longer fit."""
        self.steps.append(step)
        sizes: list[int] = []
        each(step.observation, lambda x: sizes.append(x.numel() * x.element_size()))
        most = min(self.most_states // len(step.label), self.most_bytes // sum(sizes))
        while len(self.steps) > max(1, most):
            self.steps.popleft()

    def flat(self) -> tuple[Any, Tensor | None, Tensor]:
        """Observation, mask and label of all N = T x B states."""
        observation = stack([step.observation for step in self.steps])
        masks = [step.mask for step in self.steps if step.mask is not None]
        return (
            each(observation, lambda x: x.flatten(0, 1)),
            torch.cat(masks) if masks else None,
            torch.cat([step.label for step in self.steps]),
        )

    @torch.no_grad()
    def returns(self, judge: Judge, observation: Any, gamma: float) -> Tensor:
        """Discounted returns [N], continued by the critic where an episode is cut off.

        Args:
            judge: of the agent as it is now.
            observation: [B, ...], where the rows stand after the last step.
            gamma: discount.
        """
        steps, last = self.steps, self.steps[-1]
        reward = torch.stack([step.reward for step in steps])
        follows = torch.zeros_like(reward)
        # A value does not depend on the action: any will do.
        follows[-1] = judge(observation, None, last.label)[1]
        for t, step in enumerate(steps):
            if step.final is not None:
                follows[t, step.cut] = judge(step.final, None, step.label[step.cut])[1]
        terminated, ended = (
            torch.stack([getattr(step, name) for step in steps]) for name in ("terminated", "ended")
        )
        # Advantages over a critic that says 0 wherever an episode goes on are returns.
        return gae(
            reward, torch.zeros_like(reward), follows, terminated, ended, gamma, 1.0
        ).flatten()


@torch.no_grad()
def play(player: Player, agent: Any, expert: Any, beta: float, steps: int, memory: Memory) -> float:
    """Play and remember; gives the share of states in which the agent agreed with the expert."""
    agreed = []
    for _ in range(steps):
        observation, mask = player.observation, player.mask
        info = {} if mask is None else {"action_mask": mask}
        label = player.actions.from_env(expert(observation, info))
        own = player.actions.from_env(agent.act(observation, info))
        agreed.append(agrees(own, label, player.actions.space))
        follow = torch.rand(len(label), 1, device=label.device) < beta
        reward, terminated, truncated, info = player.step(torch.where(follow, label, own))
        ended, cut, final = terminated | truncated, truncated & ~terminated, None
        if "final_obs" in info and cut.any():
            final = each(info["final_obs"], lambda x, cut=cut: x[cut])
        memory.add(Step(observation, mask, label, reward, terminated, ended, cut, final))
    return float(torch.stack(agreed).float().mean())


def agrees(own: Tensor, label: Tensor, space: Any) -> Tensor:
    """Whether samples [B, D] are the same, bool [B]; of a Box: to 5 % of its range everywhere."""
    if not isinstance(space, spaces.Box):
        return (own == label).all(1)
    low, high = (torch.as_tensor(x, device=own.device).flatten() for x in (space.low, space.high))
    return ((own.clamp(low, high) - label).abs() <= 0.05 * (high - low)).all(1)


def fit(
    network: nn.Module,
    judge: Judge,
    optimizer: torch.optim.Optimizer,
    memory: Memory,
    target: Tensor,
    run: Run,
    dagger: DAgger,
) -> None:
    """`epochs` passes over the memory."""
    observation, mask, label = memory.flat()
    log_std = getattr(network, "log_std", None)
    enough = math.log(dagger.confidence) if log_std is None else math.inf  # a density has no top
    for _ in range(dagger.epochs):
        for rows in torch.randperm(len(label), device=label.device).split(dagger.batch_size):
            log_prob, value = judge(
                each(observation, lambda x, rows=rows: x[rows]),
                None if mask is None else mask[rows],
                label[rows],
            )
            imitation_loss = -log_prob.clamp(max=enough).mean()
            value_loss = (value - target[rows]).square().mean()
            optimizer.zero_grad()
            (imitation_loss + dagger.value_coef * value_loss).backward()
            run.log(imitation_loss=imitation_loss, value_loss=value_loss)  # NaN changes no weight
            optimizer.step()
            if log_std is not None:
                log_std.data.clamp_(min=dagger.min_log_std)
