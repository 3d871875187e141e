"""The environment owns a frozen denoiser; the agent is the noise of its sampler."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.task import Observation, Transition
from genenvs.generators.transition import gaussian_step, implied_noise, stochastic
from genenvs.tasks.denoise.latent import TUNED, reference
from genenvs.tasks.denoise.task import DenoiseState, DenoiseTask

# Networks that predict noise say anything of clean latents where all is noise: x / alpha, which is
# some hundred. Cut off, it would not tell where a step leads.
WIDE = 2.0**14
NOISE = 8.0  # of a million draws none reaches 6; a power of two, see `LIMIT`


@dataclass(frozen=True)
class NoiseState(DenoiseState):
    """Latents, and what the network predicts there.

    Attributes:
        clean: float32 [B, C, h, w], predicted clean latents; `prepare` writes it.
        noise: float32 [B, C, h, w], predicted noise.
    """

    clean: Tensor
    noise: Tensor


class DenoiseNoise(DenoiseTask):
    """Choose the noise of a frozen sampler, step by step.

    ## Description
    A frozen denoiser proposes a Gaussian for the next latent; the agent chooses the point of it:
    x' = mean + std a. An agent that draws a from a standard normal *is* the base sampler, and the
    divergence of its policy from a standard normal is that of its pictures' distribution from the
    generator's: what a reward is worth can be had without leaving the model by much.

    ## Action space
    `Box(-1, 1, [C, h, w])`: a divided by 8. A Gaussian policy begins as the base sampler with mean
    0 and standard deviation 1/8. Steps without noise (the last one of DDIM) ignore it.

    ## Observation space
    `Dict`:
    | key | shape | range | meaning |
    |---|---|---|---|
    | `latent` | [C, h, w] | -16 .. 16 | the latent x_t |
    | `clean` | [C, h, w] | -16384 .. 16384 | the clean latent that the network predicts there |
    | `time` | [1] | 0 .. 1 | time, 1 is pure noise |
    | `prompt` | index | | the prompt, an index into `task.texts` |

    ## Rewards
    `image` once, at the end: the image reward of the decoded picture, by default `scene`, the share
    of the prompt's requirements that a parser finds met.

    ## Metrics
    `reward`, `clipped`, and as gold `correct`, `clean`, `strange`, `frechet` and `diversity`, as of
    `DenoiseLatent`. Random means the base sampler. The reference leads the chain where a
    fine-tuned generator with guidance 3 would go, as far as the noise reaches.

    ## Starting state
    Standard normal noise, of the episode's key; prompts as in `DenoiseLatent`.

    ## Episode end
    Terminates after `horizon` steps.

    ## Arguments
    As of `DenoiseLatent`.

    ## Faithful / deviates
    The reading of steering by noise: DSRL (Wagenmaker et al., 2025) chooses the first noise of a
    frozen policy; here it is that of every step.

    ## Version history
    - v0: first version.
    """

    def __init__(self, *, reference: str | None = None, **arguments: Any) -> None:
        """Lay out the spaces; see `DenoiseLatent` for arguments."""
        super().__init__(**arguments)
        self._reference = reference or TUNED.get(self.generator.name)
        self.action_space = spaces.Box(-1.0, 1.0, self.generator.shape, np.float32)
        self.observation_space = spaces.Dict(
            self.shared_spaces
            | {"clean": spaces.Box(-WIDE, WIDE, self.generator.shape, np.float32)}
        )

    def initial_state(self, instance: Tensor, key: Tensor) -> NoiseState:
        """Pure noise."""
        start = self.start(instance, key)
        blank = torch.zeros_like(start["x"])
        return NoiseState(**start, clean=blank, noise=blank.clone())

    @torch.no_grad()
    def prepare(self, state: NoiseState) -> NoiseState:  # type: ignore[override]
        """The one network evaluation of a step."""
        here, _ = self.here_and_there(state)
        guidance = None if self.guidance == 1 else self.guidance
        clean, noise = self.generator.predict(state.x, here, self.condition(state), guidance)
        return state.replace(clean=clean, noise=noise)

    def transition(self, state: NoiseState, action: Tensor) -> Transition:  # type: ignore[override]
        """Go to the chosen point of the proposed Gaussian."""
        mean, std = self.gaussian(state, state.clean, state.noise)
        return Transition(
            state=self.moved(state, mean + std[:, None, None, None] * NOISE * action, action),
            terms={},
            terminated=state.step + 1 >= self.horizon,
        )

    def observe(self, state: NoiseState) -> Observation:  # type: ignore[override]
        """See the page."""
        return self.seen(state) | {"clean": state.clean.clamp(-WIDE, WIDE)}

    def random_action(self, state: NoiseState) -> Tensor:  # type: ignore[override]
        """Standard normal noise."""
        return self.fresh(state) / NOISE

    def steer(self, observation: dict[str, Tensor], wanted: Tensor) -> Tensor:
        """The action that leads nearest to latents, float32 [B, C, h, w]; 0 where none counts.

        Only what an agent sees is asked: any denoiser can act here, in the terms of this one.
        """
        x, clean = observation["latent"], observation["clean"]
        step = self.step_of(observation["time"])
        here, there = self.times[step], self.times[step + 1]
        schedule = self.generator.schedule
        noise = implied_noise(x, clean, here, schedule)
        mean, std = gaussian_step(self.rule, x, clean, noise, here, there, self.level, schedule)
        moves = stochastic(std)[:, None, None, None]
        scale = torch.where(moves, std[:, None, None, None], 1.0)
        return torch.where(moves, (wanted - mean) / scale / NOISE, 0.0).clamp(-1, 1)

    def reaches(self, rule: str, level: float) -> bool:
        """Where its own steps have at least as much noise."""
        own = self.deviations(self.rule, self.level)
        return bool((self.deviations(rule, level) <= own * (1 + 1e-6)).all())

    def reference_action(self, state: NoiseState) -> Tensor:  # type: ignore[override]
        """The noise that leads nearest to where a fine-tuned generator would go."""
        wanted = self.sampled(state, *reference(self, self._reference))
        return self.steer(self.observe(state), wanted)  # type: ignore[arg-type]

    def panels(self, state: NoiseState, index: int) -> list[tuple[str, Tensor]]:
        """What the predicted clean latents decode to."""
        shown = self.generator.decode(state.clean[index : index + 1])[0]
        return [("predicted", shown * 2 - 1)]
