"""Playing a denoiser: whole chains from noise to picture, for many prompts at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from genenvs.tasks.denoise.rewards import PART

from ..parallel import ALONE, Processes
from ..play import Episodes
from ..problem import Problem

Step = Callable[[Tensor, int, Tensor], Tensor]
"""(latents [N, C, h, w], step, prompts [N]) to the next latents."""


@dataclass(frozen=True)
class Chains:
    """N chains of T steps; where there are groups, their members one after the other.

    Attributes:
        latents: float32 [T + 1, N, C, h, w].
        prompt: int64 [N].
        reward: float32 [N].
        images: uint8 [N, 3, H, W].
        gold: what nobody is paid for, [N] each.
        at_bound: share of action values at the bound of the action space, float32 [N].
        guidance: scale that they were sampled with, and that log-probabilities are of.
        parts: of a weighted sum each reward without its weight, float32 [N]; else nothing.
    """

    latents: Tensor
    prompt: Tensor
    reward: Tensor
    images: Tensor
    gold: dict[str, Tensor]
    at_bound: Tensor
    guidance: float
    parts: dict[str, Tensor] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """T N."""
        return (len(self.latents) - 1) * len(self.prompt)


def joined(parts: list[Chains]) -> Chains:
    """Chains of several batches as one."""
    return Chains(
        torch.cat([each.latents for each in parts], 1),
        torch.cat([each.prompt for each in parts]),
        torch.cat([each.reward for each in parts]),
        torch.cat([each.images for each in parts]),
        {name: torch.cat([each.gold[name] for each in parts]) for name in parts[0].gold},
        torch.cat([each.at_bound for each in parts]),
        parts[0].guidance,
        {name: torch.cat([each.parts[name] for each in parts]) for name in parts[0].parts},
    )


def gathered(own: Chains, processes: Processes) -> Chains:
    """The chains of all processes as one batch."""
    if processes.count == 1:
        return own
    return Chains(
        processes.gather(own.latents, 1),
        processes.gather(own.prompt),
        processes.gather(own.reward),
        processes.gather(own.images),
        {name: processes.gather(value) for name, value in own.gold.items()},
        processes.gather(own.at_bound),
        own.guidance,
        {name: processes.gather(value) for name, value in own.parts.items()},
    )


class ChainPlayer:
    """Plays chains in a batch of environments; a batch repeats no prompt before it had all.

    Attributes:
        wanted: float [M], how often each instance is asked for, in proportion; None: all alike.
        asked: int64 [G], the instances of the last batch's groups, of all processes.
    """

    def __init__(
        self,
        problem: Problem,
        rows: int,
        size: int = 1,
        noise: str = "fresh",
        processes: Processes = ALONE,
    ) -> None:
        """Make the environments.

        Args:
            problem: on `DenoiseLatent` or `DenoiseNoise`, or what has their task's attributes.
            rows: chains at once, of all processes.
            size: of a group of one prompt.
            noise: whether a group's members begin with noise of their own ("fresh") or alike.
            processes: among which the groups are dealt out.

        Raises:
            TypeError: another environment.
            ValueError: the groups cannot be dealt out evenly.
        """
        self.processes = processes
        groups = rows // size
        if groups % processes.count:
            raise ValueError(
                f"num_prompts must be a multiple of the {processes.count} processes; got {groups}"
            )
        self.envs: Any = None
        if problem.native:
            own = rows // processes.count
            self.envs = problem.make(own, AutoresetMode.DISABLED, keep_final=True)
        self.task: Any = None if self.envs is None else self.envs.unwrapped.task
        if not hasattr(self.task, "steer"):
            raise TypeError(
                f"{problem.env} is no environment for a denoiser: its actions must lead to any"
                " latents, as those of genenvs/DenoiseLatent-v0 and genenvs/DenoiseNoise-v0 do"
            )
        self.problem, self.rows, self.size, self.noise = problem, rows, size, noise
        self.wanted: np.ndarray | None = None
        self.asked = np.zeros(0, np.int64)
        self._episodes = Episodes()
        self._start, self._batch = 0, 0

    def begin(self, start: int) -> None:
        """The next chains start from other seeds."""
        self._start, self._batch = start, 0

    def snapshot(self, start: int) -> dict[str, Tensor]:
        """Between two batches no episode runs."""
        self.begin(start)
        return {}

    def restore(self, kept: dict[str, Tensor], start: int) -> None:
        """As `snapshot` left it."""
        self.begin(start)

    def episodes(self) -> Episodes:
        """Those that ended since the last call."""
        found, self._episodes = self._episodes, Episodes()
        return found

    def add(self, ended: Episodes) -> None:
        """Count episodes that were played elsewhere."""
        self._episodes = self._episodes.plus(ended)

    def first(self) -> Any:
        """Begin chains: the first observation of this process's own rows."""
        seed = self.problem.env_seed(self._start, self._batch)
        self._batch += 1
        drawn = np.random.default_rng(seed)
        count = self.envs.unwrapped.episodes.count
        groups = self.rows // self.size
        orders = [self._order(drawn, count) for _ in range(-(-groups // count))]
        self.asked = np.concatenate(orders)[:groups]
        mine = self.processes.share(groups)
        options = {"instances": self.asked[mine], "repeats": self.size, "noise": self.noise}
        return self.envs.reset(seed=seed + mine.start * self.size, options=options)[0]

    def _order(self, drawn: np.random.Generator, count: int) -> np.ndarray:
        """All instances, those that are wanted more likely to come early."""
        if self.wanted is None:
            return drawn.permutation(count)
        # The largest of log w + Gumbel noise come as in draws in proportion, without replacement.
        with np.errstate(divide="ignore"):
            return np.argsort(-(np.log(self.wanted) + drawn.gumbel(size=count)))

    @torch.no_grad()
    def collect(self, step: Step, guidance: float = 1.0) -> Chains:
        """Play one batch of chains to their end; gives those of all processes.

        Args:
            step: the sampler.
            guidance: its scale, which the chains keep.
        """
        observation = self.first()
        prompt = observation["prompt"].clone()
        latents = [observation["latent"].clone()]
        for t in range(self.task.horizon):
            action = self.task.steer(observation, step(latents[-1], t, prompt))
            observation, reward, *_, info = self.envs.step(action)
            latents.append(observation["latent"].clone())
        final = info["final_state"]
        gold = self.task.gold(final.image, prompt)
        found = info["metrics"]
        own = Chains(
            torch.stack(latents), prompt, reward.float(), final.image, gold, found["clipped"],
            guidance, {k.removeprefix(PART): v for k, v in found.items() if k.startswith(PART)},
        )  # fmt: skip
        chains = gathered(own, self.processes)
        self.add(Episodes(self.rows, float(chains.reward.sum()), float(chains.steps)))
        return chains
