"""`reward_gradient`: follow the reward's own gradient back through the sampler.

AlignProp (Prabhudesai et al., 2023), DRaFT (Clark et al., 2024) and VADER (Prabhudesai et al.,
2024): a picture is sampled, its reward is differentiated by the network's parameters through the
last K steps. One backward pass says what policy gradients estimate from hundreds of pictures; what
it says is also how to fool the reward, so the reward must be bounded.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from genenvs.generators.transition import kl, stochastic
from genenvs.tasks.denoise.rewards import PART, paid

from ..play import Episodes
from ..run import Run
from .chunks import in_chunks_that_fit
from .policy import LIMIT
from .rollout import Chains, gathered, joined
from .trainer import DenoiserAgent, DenoiserConfig


@dataclass
class RewardGradientConfig(DenoiserConfig):
    """A batch is `num_prompts` x `group_size` pictures."""

    num_prompts: Annotated[int, Ge(1)] = 32
    group_size: Annotated[int, Ge(1)] = 1
    steps: Annotated[int, Ge(1)] = 5
    """K, the last steps that the gradient goes through; 1 is DRaFT-1."""
    level: float | None = 0.0
    """Noise level while sampling; 0, the deterministic sampler, will do here."""
    kl_coef: Annotated[float, Ge(0)] = 0.0
    """Of the squared distance of each step to the frozen generator's, per dimension."""


class RewardGradient(DenoiserAgent):
    """Truncated back-propagation of a differentiable reward (AlignProp, DRaFT, VADER)."""

    Config = RewardGradientConfig

    def __init__(self, problem: Any, config: Any, state: Any = None) -> None:
        """See `DenoiserAgent`.

        Raises:
            ValueError: a reward that has no gradient, or no bound.
        """
        super().__init__(problem, config, state)
        reward = self.task.reward
        if not reward.differentiable:
            raise ValueError(f"reward {reward.name!r} is not differentiable: there is no gradient")
        if not all(math.isfinite(each) for each in reward.range):
            raise ValueError(
                f"reward {reward.name!r} has the range {reward.range}: an unbounded reward is"
                " driven to nonsense within some dozen gradient steps; squash it, with a sigmoid"
            )
        if config.steps > self.task.horizon:
            raise ValueError(f"steps must be at most {self.task.horizon}; got {config.steps}")

    def learn(self, run: Run) -> None:
        """Alternate: sample, differentiate."""
        run.attach(self.player)
        while run.going():
            observation = self.player.first()
            chains, logged = self.differentiate(observation)
            chains = gathered(chains, self.processes)
            run.advance(chains.steps)
            self.report(run, chains)
            ended = Episodes(len(chains.prompt), float(chains.reward.sum()), float(chains.steps))
            self.player.add(ended)
            self.descend(run, **{k: self.processes.total(v) for k, v in logged.items()})
        self.finish(run)

    def differentiate(self, observation: Any) -> tuple[Chains, dict[str, Tensor]]:
        """Add the gradient of a batch, in chunks that fit; its chains, and what to log of them."""
        own, noise = len(observation["prompt"]), self.noise(observation["latent"])
        rows = own * self.processes.count

        def attempt() -> tuple[list[Chains], dict[str, Tensor]]:
            parts, logged = [], dict.fromkeys(("loss", "drift"), noise.new_zeros(()))
            for some in torch.arange(own, device=noise.device).split(self.chunk):
                part = {name: value[some] for name, value in observation.items()}
                loss, seen, chains = self.pictures(part, noise[:, some])
                self.scaler.scale(loss * len(some) / rows).backward()
                parts.append(chains)
                logged = {k: v + seen[k] * len(some) / rows for k, v in logged.items()}
            return parts, logged

        parts, logged = in_chunks_that_fit(self, "pictures", own, attempt)
        return joined(parts), logged

    def noise(self, x: Tensor) -> Tensor:
        """What the steps of all chunks draw, [T, B, C, h, w]: the same however they are split."""
        if not self.policy.level:
            return x.new_zeros(()).expand(self.task.horizon, *x.shape)
        return torch.stack([self.processes.normal(x) for _ in range(self.task.horizon)])

    def pictures(
        self, observation: Any, noise: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Chains]:
        """Sample, with gradients in the last steps: loss, what to log, and the chains."""
        task, config = self.task, self.config
        x, prompt = observation["latent"], observation["prompt"]
        noise = self.noise(x) if noise is None else noise
        latents, drift = [x], x.new_zeros(())
        for t in range(task.horizon):
            step = torch.full_like(prompt, t)
            with torch.set_grad_enabled(t >= task.horizon - config.steps):
                mean, std = self.policy.gaussian(x, step, prompt, self.policy.network)
                if config.kl_coef and mean.requires_grad:
                    drift = drift + self.drift(x, step, prompt, mean, std)
                x = mean + std[:, None, None, None] * noise[t] if self.policy.level else mean
            latents.append(x.detach())
        images = task.generator.decode(x)
        reward, parts = paid(task.reward, images, task.told(prompt))
        loss = -reward.mean() + config.kl_coef * drift
        shown = (images.detach() * 255).round().byte()
        gold = task.gold(shown, prompt)
        path = torch.stack(latents)
        # No environment is played, whose metric says it: of the latents that it would be given.
        at_bound = (path[1:].abs() >= LIMIT).float().mean((0, 2, 3, 4))
        chains = Chains(
            path, prompt, reward.detach(), shown, gold, at_bound, self.policy.guidance,
            {name.removeprefix(PART): value.detach() for name, value in parts.items()},
        )  # fmt: skip
        return loss, {"loss": loss.detach(), "drift": drift.detach()}, chains

    def drift(self, x: Tensor, step: Tensor, prompt: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Distance to the frozen generator's step: its divergence, or its square without noise."""
        with torch.no_grad():
            frozen, _ = self.policy.gaussian(x.detach(), step, prompt, None)
        size = self.policy.dimensions
        squared = (mean - frozen).flatten(1).square().sum(1)
        return (torch.where(stochastic(std), kl(mean, frozen, std), squared) / size).mean()
