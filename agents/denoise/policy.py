"""The denoiser as a Gaussian policy: one transition for rollout, log-probability, KL, gradient."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genenvs.core.random import counter, mix, normal, word
from genenvs.generators import adapters, text_to_image, transition
from genenvs.generators.guidance import fixed
from genenvs.tasks.denoise.task import LIMIT

__all__ = ["LIMIT", "DenoiserPolicy"]


class DenoiserPolicy:
    """A trainable copy of a generator's network, and its average.

    Attributes:
        task: of the environment, which has prompts, times and the frozen generator.
        network: the copy that is trained; all of it, or an adapter on it.
        rule, level: of the Gaussian steps.
        guidance: scale; part of the policy: a gradient takes the one that its chains were
            sampled with.
    """

    def __init__(
        self,
        task: Any,
        *,
        rule: str | None,
        level: float | None,
        guidance: float | None,
        lora_rank: int = 0,
        checkpointing: bool = False,
        autocast: torch.dtype | None = None,
        frozen: bool = False,
    ) -> None:
        """Copy the network.

        Args:
            task: see above.
            rule, level, guidance: None for the environment's own.
            lora_rank: of an adapter in place of all weights; 0 for none.
            checkpointing: recompute activations in the backward pass.
            autocast: precision of the network's arithmetic.
            frozen: nothing is trained, and nothing copied.

        Raises:
            ValueError: a rule for another kind of model, a level or a guidance out of range, or
                guidance where the model has no branch without a prompt.
        """
        self.task, self.generator = task, task.generator
        self.rule = rule or task.rule
        known = transition.check_rule(self.rule, self.generator.kind)
        same = self.rule == task.rule
        self.level = float(level if level is not None else task.level if same else known.level)
        if not 0 <= self.level <= known.highest:
            raise ValueError(f"level of {self.rule} is in 0..{known.highest:g}; got {self.level}")
        self.guidance = fixed(self.generator, task.guidance if guidance is None else guidance)
        self.autocast = autocast
        self.average: list[Tensor] | None = None
        if frozen:
            self.network: nn.Module = self.generator.network
            return
        # An adapter's copy shares its weights with the frozen network, which stands for "without".
        self.network = (
            self.generator.network_with_lora(lora_rank)
            if lora_rank
            else self.generator.copy_network()
        )
        if checkpointing:
            self.network.enable_gradient_checkpointing()  # type: ignore[operator]

    def parameters(self) -> list[nn.Parameter]:
        """Those that are trained."""
        return adapters.trainable(self.network)

    @property
    def dimensions(self) -> int:
        """D, the numbers in a latent."""
        return int(self.task.dimensions)

    def gaussian(
        self,
        x: Tensor,
        step: Tensor,
        prompt: Tensor,
        network: nn.Module | None,
        level: float | None = None,
        guidance: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mean [B, C, h, w] and standard deviation [B] of the next latents, float32.

        The mean stays where latents can go, within `LIMIT`. From a mean far outside, the bound is
        hundreds of standard deviations away, and a log-probability is that much rounding.

        Args:
            x: float32 [B, C, h, w], latents at `step`.
            step: int64 [B] in 0 .. T - 1.
            prompt: int64 [B].
            network: the one that is trained, or None for the frozen one.
            level, guidance: in place of the policy's own.
        """
        times = self.task.times
        clean, noise = self.predict(x, times[step], prompt, network, guidance)
        mean, std = transition.gaussian_step(
            self.rule, x, clean, noise, times[step], times[step + 1],
            self.level if level is None else level, self.generator.schedule,
        )  # fmt: skip
        return mean.clamp(-LIMIT, LIMIT), std

    @torch.no_grad()
    def act(
        self, observation: Any, info: Mapping[str, Any], network: nn.Module | None, level: float
    ) -> Tensor:
        """The action that leads to the next latents, by averaged weights where there are any.

        Args:
            observation, info: of the task; `info` is read for the episodes that rows are in.
            network: the one that is trained, or None for the frozen one.
            level: of the noise; 0 is the deterministic sampler.
        """
        x, prompt = observation["latent"], observation["prompt"]
        step = self.task.step_of(observation["time"])
        with self.averaged():
            mean, std = self.gaussian(x, step, prompt, network, level)
        if level:
            # What is drawn belongs to the episode, whatever the batch it is played in.
            key = mix(info["seed"], info["episode_index"], word("evaluation"))
            drawn = normal(key, counter(step, 1), self.dimensions).view_as(mean)
            mean = mean + std[:, None, None, None] * drawn
        action: Tensor = self.task.steer(observation, mean)
        return action

    def leap(self, x: Tensor, here: Tensor, there: Tensor, prompt: Tensor) -> Tensor:
        """One deterministic step of the frozen network between any two times."""
        here, there = here.expand(len(x)), there.expand(len(x))
        clean, noise = self.predict(x, here, prompt, None)
        return transition.gaussian_step(
            self.rule, x, clean, noise, here, there, 0.0, self.generator.schedule
        )[0]

    def predict(
        self,
        x: Tensor,
        time: Tensor,
        prompt: Tensor,
        network: nn.Module | None,
        guidance: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predicted clean latents and noise, float32 [B, C, h, w] each; see `gaussian`."""
        condition = text_to_image.take(self.task.conditions, prompt)
        own = self.guidance if guidance is None else guidance
        scale = None if own == 1 else own
        kind = x.device.type
        with torch.autocast(kind, self.autocast, enabled=self.autocast is not None):
            return self.generator.predict(x, time, condition, scale, network=network)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the average towards the network; the first call begins it there."""
        own = [each.detach() for each in self.parameters()]
        if self.average is None:
            self.average = [each.clone() for each in own]
        torch._foreach_lerp_(self.average, own, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network with its averaged weights, where there are any; they change places."""
        if self.average is None:
            yield
            return
        parameters = self.parameters()
        own = [each.data for each in parameters]
        try:
            for parameter, value in zip(parameters, self.average, strict=True):
                parameter.data = value
            yield
        finally:
            for parameter, value in zip(parameters, own, strict=True):
                parameter.data = value

    def state(self) -> dict[str, Tensor]:
        """Weights and their average."""
        own = {f"network.{k}": each for k, each in enumerate(self.parameters())}
        return own | {f"average.{k}": each for k, each in enumerate(self.average or [])}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave."""
        parameters = self.parameters()
        for k, parameter in enumerate(parameters):
            parameter.copy_(state[f"network.{k}"])
        if "average.0" in state:
            self.average = [
                state[f"average.{k}"].to(each.device, copy=True)
                for k, each in enumerate(parameters)
            ]

    def save(self, folder: Path) -> None:
        """Write the averaged weights, adapters merged, as a diffusers folder that anyone loads."""
        with self.averaged():
            self.generator.save(folder, self.network)

    def save_lora(self, folder: Path) -> None:
        """Write the averaged adapter, small, as a folder that `lora=` and diffusers take."""
        with self.averaged():
            self.generator.save_lora(folder, self.network)
