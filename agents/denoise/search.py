"""Searching with a frozen generator: no weight changes, more pictures are looked at.

`best_of_n`: N pictures of each prompt, the best one is kept. `path_integral` (Free2Guide, Kim et
al., 2024): in the first steps K candidates are drawn, and the one whose predicted clean picture is
best goes on. `noise_search` (ReNO, Eyring et al., 2024): the first noise climbs the gradient of a
differentiable reward through a few deterministic steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from genenvs.core.memory import Limit, in_parts
from genenvs.core.random import counter, mix, normal, word

from ..problem import Problem
from ..run import Run
from .policy import LIMIT, DenoiserPolicy
from .rollout import ChainPlayer
from .trainer import SPACES


@dataclass
class SearchConfig:
    """What all three ask."""

    guidance: float | None = None
    """Guidance scale of the sampler; None: the environment's."""
    rule: str | None = None
    """How a step adds noise; None: the environment's."""
    level: float | None = None
    """The noise level; None: the environment's."""


class Search:
    """Plans a whole chain when an episode begins, and plays it."""

    Config: ClassVar[type] = SearchConfig
    spaces: ClassVar[str] = SPACES

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """Take the generator as it is."""
        self.problem, self.config = problem, config
        self.task = ChainPlayer(problem, 1).task
        self.policy = DenoiserPolicy(
            self.task, rule=config.rule, level=config.level, guidance=config.guidance, frozen=True,
        )  # fmt: skip
        self.reset(0)

    def reset(self, num_envs: int) -> None:
        """Forget the plans."""
        self._plan: Tensor | None = None

    def learn(self, run: Run) -> None:
        """Nothing: a search does not learn, whatever the budget."""
        run.advance(run.total - run.steps)
        run.going()

    def act(self, observation: Any, info: dict[str, Any]) -> Tensor:
        """The next latents of the plan of each row; rows that begin are planned first."""
        x, prompt = observation["latent"], observation["prompt"]
        step = self.task.step_of(observation["time"])
        if self._plan is None or self._plan.shape[1] != len(x):
            self._plan = x.new_zeros(self.task.horizon, *x.shape)
        if bool((new := step == 0).any()):
            # What is drawn belongs to the episode, whatever the batch it is played in.
            key = mix(info["seed"][new], info["episode_index"][new], word("search"))
            self._plan[:, new] = self.plan(x[new], prompt[new], key)
        rows = torch.arange(len(x), device=x.device)
        return self.task.steer(observation, self._plan[step, rows]).clamp(-1, 1)

    def plan(self, x: Tensor, prompt: Tensor, key: Tensor) -> Tensor:
        """Chains [T, B, C, h, w] from first latents [B, C, h, w]; left to each.

        Args:
            x: the episodes' own noise.
            prompt: int64 [B].
            key: int64 [B], random streams.
        """
        raise NotImplementedError

    @torch.no_grad()
    def sample(
        self, x: Tensor, prompt: Tensor, key: Tensor, number: int = 0, level: float | None = None
    ) -> Tensor:
        """Chains of the plain sampler, [T, B, C, h, w]; `number` tells them apart."""
        made = []
        for t in range(self.task.horizon):
            x = self.move(x, t, prompt, self.noise(x, key, t, number), level)
            made.append(x)
        return torch.stack(made)

    def move(
        self, x: Tensor, t: int, prompt: Tensor, noise: Tensor, level: float | None = None
    ) -> Tensor:
        """One step of the sampler."""
        mean, std = self.policy.gaussian(x, torch.full_like(prompt, t), prompt, None, level)
        return mean + std[:, None, None, None] * noise

    def noise(self, x: Tensor, key: Tensor, t: int, number: int) -> Tensor:
        """Standard normal numbers like `x`, of episode, step and candidate."""
        return normal(key, counter(t, 1 + number), x[0].numel()).view_as(x)

    def value(self, latents: Tensor, prompt: Tensor) -> Tensor:
        """The reward of what latents decode to, [B]."""
        return self.task.reward(self.task.generator.decode(latents), self.task.told(prompt))

    def state(self) -> dict[str, Tensor]:
        """Nothing was learned."""
        return {"nothing": torch.zeros(1)}


@dataclass
class BestOfNConfig(SearchConfig):
    """N chains for one."""

    candidates: Annotated[int, Ge(1)] = 8
    """N; the first begins with the episode's own noise."""


class BestOfN(Search):
    """The best of N samples."""

    Config = BestOfNConfig

    def plan(self, x: Tensor, prompt: Tensor, key: Tensor) -> Tensor:
        """Sample N times, keep the best."""
        best, value = self.sample(x, prompt, key), x.new_full((len(x),), -torch.inf)
        for n in range(self.config.candidates):
            start = self.noise(x, key, self.task.horizon, n)
            chain = best if n == 0 else self.sample(start, prompt, key, n)
            found = self.value(chain[-1], prompt)
            better = found > value
            best = torch.where(better[:, None, None, None], chain, best)
            value = torch.where(better, found, value)
        return best


@dataclass
class PathIntegralConfig(SearchConfig):
    """K candidates in each of the first steps."""

    candidates: Annotated[int, Ge(1)] = 4
    """K."""
    steps: Annotated[int, Ge(1)] = 6
    """How many of the first steps choose."""


class PathIntegral(Search):
    """Choosing among candidates by the predicted clean picture (Free2Guide)."""

    Config = PathIntegralConfig

    @torch.no_grad()
    def plan(self, x: Tensor, prompt: Tensor, key: Tensor) -> Tensor:
        """The hard limit of the path integral: the best candidate goes on."""
        made, count = [], self.config.candidates
        for t in range(self.task.horizon):
            if t >= min(self.config.steps, self.task.horizon - 1):
                x = self.move(x, t, prompt, self.noise(x, key, t, 0))
            else:
                mean, std = self.policy.gaussian(x, torch.full_like(prompt, t), prompt, None)
                wide = [each.repeat_interleave(count, 0) for each in (mean, prompt)]
                scale = std.repeat_interleave(count)[:, None, None, None]
                fresh = torch.stack([self.noise(x, key, t, n) for n in range(count)], 1)
                drawn = wide[0] + scale * fresh.flatten(0, 1)
                time = self.task.times[t + 1].expand(len(drawn))
                clean, _ = self.policy.predict(drawn, time, wide[1], None)
                best = self.value(clean, wide[1]).view(-1, count).argmax(1)
                rows = torch.arange(len(x), device=x.device) * count + best
                x = drawn[rows]
            made.append(x)
        return torch.stack(made)


@dataclass
class NoiseSearchConfig(SearchConfig):
    """Gradient ascent on the first noise."""

    iterations: Annotated[int, Ge(1)] = 20
    rate: Annotated[float, Gt(0)] = 1.0
    """Step size, by Nesterov's momentum of 0.9, gradients scaled to at most norm 1 a picture."""
    prior: Annotated[float, Ge(0)] = 0.01
    """Of the noise's own log-likelihood by its norm, which keeps it noise."""
    steps: Annotated[int, Ge(1)] = 3
    """Deterministic denoising steps while climbing; the finished picture takes all of them."""


class NoiseSearch(Search):
    """Optimising the first noise (ReNO)."""

    Config = NoiseSearchConfig

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """See `Search`.

        Raises:
            ValueError: a reward that has no gradient.
        """
        super().__init__(problem, config, state)
        if not self.task.reward.differentiable:
            raise ValueError(
                f"reward {self.task.reward.name!r} is not differentiable: noise cannot climb it"
            )
        # As many as the generator takes at once; fewer where memory does not suffice for gradients.
        self.climbing = Limit(self.task.generator.max_batch, "noise_search: pictures at once")

    def plan(self, x: Tensor, prompt: Tensor, key: Tensor) -> Tensor:
        """Climb, then sample without noise from the best start found."""
        best = in_parts(self.climbing, lambda rows: self.climb(x[rows], prompt[rows]), len(x))
        return self.sample(best.clamp(-LIMIT, LIMIT), prompt, key, level=0.0)

    def climb(self, x: Tensor, prompt: Tensor) -> Tensor:
        """The best start found on the way up from each, [B, C, h, w]; rows do not meet."""
        x, speed = x.clone(), torch.zeros_like(x)
        best, value = x.clone(), x.new_full((len(x),), -torch.inf)
        for _ in range(self.config.iterations):
            with torch.enable_grad():
                start = x.detach().requires_grad_()
                found = self.value(self.short(start, prompt), prompt)
                norm = start.flatten(1).norm(dim=1)
                size = start[0].numel()
                likely = 0.5 * norm.square() - (size - 1) * norm.log()
                (found - self.config.prior * likely).sum().backward()
            assert start.grad is not None
            better = found.detach() > value
            best = torch.where(better[:, None, None, None], start.detach(), best)
            value = torch.where(better, found.detach(), value)
            length = start.grad.flatten(1).norm(dim=1).clamp_min(1.0)
            climb = start.grad / length[:, None, None, None]
            speed = 0.9 * speed + climb
            x = start.detach() + self.config.rate * (climb + 0.9 * speed)
        return best

    def short(self, x: Tensor, prompt: Tensor) -> Tensor:
        """Clean latents by a few deterministic steps, with gradients."""
        places = torch.linspace(0, self.task.horizon, self.config.steps + 1).round().long()
        for first, last in zip(places[:-1].tolist(), places[1:].tolist(), strict=True):
            here, there = self.task.times[first], self.task.times[last]
            x = self.policy.leap(x, here, there, prompt)
        return x
