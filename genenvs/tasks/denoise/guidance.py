"""The environment owns a frozen denoiser; the agent turns three knobs of its sampler."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.task import Observation, Transition
from genenvs.generators.text_to_image import take
from genenvs.generators.transition import RULES
from genenvs.tasks.denoise.task import LIMIT, DenoiseState, DenoiseTask

GUIDANCE = 20.0  # the largest scale, as far as sliders of image tools go
EMPHASIS = 0.5  # how far the prompt's weight may go from 1
PULL_SCALE = 2.0  # of the observed distance between the two branches


@dataclass(frozen=True)
class GuidanceState(DenoiseState):
    """Latents, and what the network predicts there with and without the prompt.

    Attributes:
        emphasis: float32 [B], weight of the prompt at the coming evaluation.
        clean, noise: float32 [B, C, h, w], predictions with the prompt; `prepare` writes them.
        plain_clean, plain_noise: float32 [B, C, h, w], without it.
    """

    emphasis: Tensor
    clean: Tensor
    noise: Tensor
    plain_clean: Tensor
    plain_noise: Tensor


class DenoiseGuidance(DenoiseTask):
    """Steer a frozen sampler by three numbers a step: guidance, noise, emphasis of the prompt.

    ## Description
    A frozen denoiser has predicted with the prompt and without it. The agent says how far to go
    beyond the difference (classifier-free guidance), how much fresh noise the step adds, and how
    strongly the prompt's embedding counts at the next evaluation. Samplers keep these constant;
    here they may follow the time, the prompt and what is already to be seen.

    This is the id for agents out of the box: three numbers in [-1, 1].

    ## Action space
    `Box(-1, 1, [3])`:
    | number | means |
    |---|---|
    | 0 | guidance scale 0 .. 20; -0.9 is 1, no guidance |
    | 1 | noise level, from 0 to the rule's own (eta 0 .. 1 of DDIM) |
    | 2 | weight 0.5 .. 1.5 of the prompt's embedding against the empty one's, from the next step |

    ## Observation space
    `Dict`:
    | key | shape | range | meaning |
    |---|---|---|---|
    | `latent` | [C, h, w] | -16 .. 16 | the latent x_t |
    | `clean` | [C, h, w] | -16 .. 16 | the clean latent predicted with the prompt |
    | `time` | [1] | 0 .. 1 | time, 1 is pure noise |
    | `pull` | [1] | 0 .. 1 | root mean square difference that the prompt makes, over 2 |
    | `prompt` | index | | the prompt, an index into `task.texts` |

    ## Rewards
    `image` once, at the end: the image reward of the decoded picture, by default `scene`, the share
    of the prompt's requirements that a parser finds met.

    ## Metrics
    `reward`, `clipped`, and as gold `correct`, `clean`, `strange`, `frechet` and `diversity`, as of
    `DenoiseLatent`. Random draws settings uniformly; the reference is a constant one, guidance 3
    without noise.

    ## Starting state
    Standard normal noise, of the episode's key; prompts as in `DenoiseLatent`.

    ## Episode end
    Terminates after `horizon` steps.

    ## Arguments
    As of `DenoiseLatent`, without `guidance` and `level`, which are actions.

    ## Faithful / deviates
    Our own task. Schedules of guidance are hand-made in the literature (Kynkaanniemi et al., 2024,
    "Applying guidance in a limited interval").

    ## Version history
    - v0: first version.
    """

    tolerance = 1e-3  # guidance of 20 multiplies what batches round differently

    def __init__(self, **arguments: Any) -> None:
        """Lay out the spaces; see the page for arguments."""
        for name in ("guidance", "level"):
            if name in arguments:
                raise TypeError(f"{name} is no argument here: it is what the agent chooses")
        super().__init__(**arguments)
        self._empty = self.generator.unconditional()
        self.strongest = min(RULES[self.rule].highest, RULES[self.rule].level)
        self.action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.observation_space = spaces.Dict(
            self.shared_spaces
            | {"clean": self.latent_space, "pull": spaces.Box(0.0, 1.0, (1,), np.float32)}
        )

    def initial_state(self, instance: Tensor, key: Tensor) -> GuidanceState:
        """Pure noise."""
        start = self.start(instance, key)
        blank = torch.zeros_like(start["x"])
        names = ("clean", "noise", "plain_clean", "plain_noise")
        return GuidanceState(
            **start, emphasis=torch.ones_like(start["clipped"]), **{n: blank.clone() for n in names}
        )

    @torch.no_grad()
    def prepare(self, state: GuidanceState) -> GuidanceState:  # type: ignore[override]
        """The one network evaluation of a step, of both branches together."""
        rows = len(state.x)
        plain = take(self._empty, torch.zeros(rows, dtype=torch.int64, device=self.device))
        asked = self.condition(state)
        both = {}
        for name, value in asked.items():
            weight = state.emphasis.view(-1, *[1] * (value.ndim - 1))
            both[name] = torch.cat([torch.lerp(plain[name], value, weight), plain[name]])
        here, _ = self.here_and_there(state)
        clean, noise = self.generator.predict(torch.cat([state.x] * 2), here.repeat(2), both)
        # Copies: no two fields of a state may share storage.
        return state.replace(
            clean=clean[:rows].clone(), noise=noise[:rows].clone(),
            plain_clean=clean[rows:].clone(), plain_noise=noise[rows:].clone(),
        )  # fmt: skip

    def transition(self, state: GuidanceState, action: Tensor) -> Transition:  # type: ignore[override]
        """Go where guidance and noise lead."""
        scale, level, weight = ((action + 1) / 2).unbind(1)
        scale = (GUIDANCE * scale)[:, None, None, None]
        clean = torch.lerp(state.plain_clean, state.clean, scale)
        noise = torch.lerp(state.plain_noise, state.noise, scale)
        mean, std = self.gaussian(state, clean, noise, level * self.strongest)
        return Transition(
            state=self.moved(
                state, mean + std[:, None, None, None] * self.fresh(state), action,
                emphasis=1 + EMPHASIS * (2 * weight - 1),
            ),
            terms={},
            terminated=state.step + 1 >= self.horizon,
        )  # fmt: skip

    def observe(self, state: GuidanceState) -> Observation:  # type: ignore[override]
        """See the page."""
        apart = (state.clean - state.plain_clean).flatten(1).square().mean(1).sqrt()
        return self.seen(state) | {
            "clean": state.clean.clamp(-LIMIT, LIMIT),
            "pull": (apart / PULL_SCALE).clamp(0, 1)[:, None],
        }

    def reference_action(self, state: GuidanceState) -> Tensor:  # type: ignore[override]
        """A constant setting: guidance 3, no noise."""
        constant = torch.tensor([3.0 / GUIDANCE * 2 - 1, -1.0, 0.0], device=self.device)
        return constant.expand(len(state.step), 3).clone()

    def panels(self, state: GuidanceState, index: int) -> list[tuple[str, Tensor]]:
        """What the predictions with and without the prompt decode to."""
        pair = torch.stack([state.clean[index], state.plain_clean[index]])
        shown = self.generator.decode(pair) * 2 - 1
        return [("with the prompt", shown[0]), ("without", shown[1])]
