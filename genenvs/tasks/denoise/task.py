"""What the denoising environments share: a generator, prompts, times, and an image reward."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from PIL import Image
from torch import Tensor
from torch.nn import functional

from genenvs.core.frechet import frechet_distance
from genenvs.core.random import counter, normal
from genenvs.core.task import Outcome, State, Task
from genenvs.generators import prompts as asked
from genenvs.generators import text_to_image, transition
from genenvs.generators.guidance import fixed
from genenvs.images.metrics import nearest_neighbour_distance
from genenvs.images.scenes import features, grammar
from genenvs.images.timeline import picture
from genenvs.tasks.denoise import rewards

# Latents have a standard deviation of 1 or a little more; those that samplers make of the shipped
# generators reach 10. A power of two, so that scaling an action rounds nothing.
LIMIT = 16.0
START, SAMPLER = 1, 2  # purposes of random numbers
POOLED = 8  # pixels a side at which pictures are compared for diversity


@dataclass(frozen=True)
class DenoiseState(State):
    """A batch of half-denoised latents.

    Attributes:
        x: float32 [B, C, h, w], the latents at `times[step]`.
        clipped: float32 [B], share of action values at the bound, summed over steps.
        image: uint8 [B, 3, H, W], the finished picture; zeros before the end.
    """

    x: Tensor
    clipped: Tensor
    image: Tensor


class DenoiseTask(Task):
    """A task whose episode is one rollout of a text-to-image model.

    Attributes:
        generator: the `TextToImage`; its network is frozen.
        loaded: loads another one by name, where this task is and in its precision.
        times: float32 [horizon + 1], from noise to clean.
        rule: how a step adds noise, a key of `transition.RULES`.
        level: the noise level of that rule.
        texts: the prompts of all splits.
        own: int64 [P], those of this split.
        held_out: the image reward of the metric of that name, or None.
        request: what they ask for; None where they are not of the scenes' grammar.
    """

    terms = rewards.TERMS
    metrics = rewards.METRICS
    ends = "terminates"
    tolerance = 1e-4
    rounds = 6  # the noise decides as much as the prompt
    stand_ins = ("held_out", "reward")  # of prompts outside of the grammar nothing is `correct`

    def __init__(
        self,
        *,
        generator: str = "sprites",
        lora: str | None = None,
        image_size: int | tuple[int, int] | None = None,
        max_batch: int | None = None,
        prompts: str | Sequence[str] | None = None,
        reward: Any = "scene",
        gold: Any = None,
        rule: str | None = None,
        level: float | None = None,
        guidance: float = 1.0,
        **common: Any,
    ) -> None:
        """Load the generator and its prompts; see the page for arguments."""
        super().__init__(**common)
        self.loaded = partial(
            text_to_image.load, device=self.device, dtype=self.dtype, max_batch=max_batch,
            image_size=image_size,
        )  # fmt: skip
        self.generator = self.loaded(generator, lora=lora)
        flow = self.generator.kind == "flow"
        self.rule = rule or ("flow_grpo" if flow else "ddim_eta")
        known = transition.check_rule(self.rule, self.generator.kind)
        self.level = known.level if level is None else float(level)
        if not 0 <= self.level <= known.highest:
            raise ValueError(f"level of {self.rule} must be in 0..{known.highest:g}; got {level}")
        self.guidance = fixed(self.generator, guidance)
        self.reward = rewards.of_episode("reward", reward)
        self.held_out = None if gold is None else rewards.of_episode("gold", gold)
        rewards.check_held_out(gold, reward)
        judged = {} if self.held_out is None else rewards.of_held_out(self.held_out)
        paid = rewards.of_parts(self.reward) | rewards.paid_gold(self.reward)
        self.metrics = rewards.METRICS | paid | judged  # type: ignore[misc]
        found = asked.scenes() if prompts is None else asked.of_user(prompts)
        for each in (self.reward, self.held_out):
            if each is not None:
                rewards.check_prompts(each, found.texts)
        asking = (*self.reward.needs, *(self.held_out.needs if self.held_out else ()))
        if found.request is None and "request" in asking:
            grammar.request([grammar.read(text) for text in found.texts])  # raises: names the word
        self.texts = found.texts
        self.own = torch.tensor(found.places(self.split), device=self.device)
        self.request = None if found.request is None else found.request.to(self.device)
        self.conditions = self.generator.encode(self.texts)
        self.times = self.generator.times(self.horizon).to(self.device)
        self.dimensions = int(np.prod(self.generator.shape))
        self.latent_space = spaces.Box(-LIMIT, LIMIT, self.generator.shape, np.float32)
        self.shared_spaces: dict[str, Any] = {
            "latent": self.latent_space,
            "time": spaces.Box(0.0, 1.0, (1,), np.float32),
            "prompt": spaces.Discrete(len(self.texts)),
        }

    @property
    def num_instances(self) -> int:
        """Prompts of the split."""
        return len(self.own)

    def prompt(self, state: State) -> Tensor:
        """Which of `texts` is asked for, int64 [B]."""
        return self.own[state.instance]

    def condition(self, state: State) -> text_to_image.Conditions:
        """The encoded prompts, rows [B, ...]."""
        return text_to_image.take(self.conditions, self.prompt(state))

    def start(self, instance: Tensor, key: Tensor) -> dict[str, Any]:
        """The fields that every state of these tasks begins with: pure noise."""
        x = normal(key, counter(0, START), self.dimensions).view(-1, *self.generator.shape)
        return {
            "instance": instance,
            "key": key,
            "step": torch.zeros_like(instance),
            "x": x,
            "clipped": torch.zeros(len(key), device=self.device),
            "image": torch.zeros(
                len(key), *self.generator.image_shape, dtype=torch.uint8, device=self.device
            ),
        }

    def seen(self, state: DenoiseState) -> dict[str, Tensor]:
        """The observation that these tasks share."""
        time = self.times[state.step.clamp_max(self.horizon)] / self.times[0]
        return {"latent": state.x, "time": time[:, None], "prompt": self.prompt(state)}

    def step_of(self, time: Tensor) -> Tensor:
        """The step of observed times, float32 [B, 1] to int64 [B]; of ended rows the last one.

        Raises:
            ValueError: a time that is none of this horizon's.
        """
        gap, step = (self.times / self.times[0] - time).abs().min(1)
        if bool((gap > 1e-3).any()):
            raise ValueError(
                f"these times are of another horizon than {self.horizon}: a denoiser acts in"
                " environments with the horizon that it was made for"
            )
        return step.clamp_max(self.horizon - 1)

    def here_and_there(self, state: State) -> tuple[Tensor, Tensor]:
        """Present and next time, float32 [B] each; rows that have ended stay."""
        here = state.step.clamp_max(self.horizon)
        return self.times[here], self.times[(here + 1).clamp_max(self.horizon)]

    def gaussian(
        self, state: DenoiseState, clean: Tensor, noise: Tensor, level: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Mean [B, C, h, w] and standard deviation [B] of the next latents, given a prediction."""
        return transition.gaussian_step(
            self.rule, state.x, clean, noise, *self.here_and_there(state),
            self.level if level is None else level, self.generator.schedule,
        )  # fmt: skip

    def deviations(self, rule: str, level: float) -> Tensor:
        """The standard deviation of every step by a rule at a level, float32 [horizon]."""
        zero = self.times.new_zeros(self.horizon, *self.generator.shape)
        return transition.gaussian_step(
            rule, zero, zero, zero, self.times[:-1], self.times[1:], level, self.generator.schedule
        )[1]

    def reaches(self, rule: str, level: float) -> bool:
        """Whether actions lead wherever a sampler by a rule at a level goes."""
        return True

    def fresh(self, state: State) -> Tensor:
        """Standard normal noise of this step, float32 [B, C, h, w]: of the episode's own key."""
        drawn = normal(state.key, counter(state.step, SAMPLER), self.dimensions)
        return drawn.view(-1, *self.generator.shape)

    @torch.no_grad()
    def sampled(
        self,
        state: DenoiseState,
        generator: text_to_image.TextToImage | None = None,
        guidance: float | None = None,
        level: float | None = None,
    ) -> Tensor:
        """The next latents of a plain sampler, with the episode's own noise.

        Args:
            state: of B rows.
            generator: in place of the task's own; for a flow a diffusion model will do too.
            guidance: in place of the task's own.
            level: in place of the task's own.
        """
        model = generator or self.generator
        condition = (
            self.condition(state)
            if generator is None
            else text_to_image.take(self._encoded(generator), self.prompt(state))
        )
        scale = self.guidance if guidance is None else guidance
        here, _ = self.here_and_there(state)
        x = state.x
        if model.schedule is not None and self.generator.kind == "flow":
            x, here = transition.as_diffusion(x, here, model.schedule)
        clean, noise = model.predict(x, here, condition, None if scale == 1 else scale)
        mean, std = self.gaussian(state, clean, noise, level)
        return mean + std[:, None, None, None] * self.fresh(state)

    def _encoded(self, generator: text_to_image.TextToImage) -> text_to_image.Conditions:
        if getattr(self, "_other", (None,))[0] is not generator:
            self._other = (generator, generator.encode(self.texts))
        return self._other[1]

    def moved(self, state: DenoiseState, x: Tensor, action: Tensor, **fields: Any) -> Any:
        """The state after a step to latents `x`."""
        at_bound = (action.abs() >= 1).flatten(1).float().mean(1)
        return state.advance(x=x.clamp(-LIMIT, LIMIT), clipped=state.clipped + at_bound, **fields)

    @torch.no_grad()
    def outcome(self, state: DenoiseState) -> Outcome:  # type: ignore[override]
        """Decode, and ask the reward."""
        # What a user would keep is what is judged: eight bits a channel.
        state.image.copy_((self.generator.decode(state.x) * 255).round())
        rows = self.prompt(state)
        value, parts = rewards.paid(self.reward, pixels(state), self.told(rows))
        clipped = state.clipped / self.horizon
        return Outcome({"image": value}, {"reward": value, "clipped": clipped} | parts)

    def judged(self, images: Tensor, prompt: Tensor) -> dict[str, Tensor]:
        """The metrics of kind `judge`: uint8 [K, 3, H, W] and int64 [K] to float32 [K] each."""
        shown, told = images.float() / 255, self.told(prompt)
        found = rewards.judged(shown, told.get("request"))
        return found | ({"held_out": self.held_out(shown, told)} if self.held_out else {})

    def gold(self, images: Tensor, prompt: Tensor) -> dict[str, Tensor]:
        """Those of `judged` that nobody is paid for."""
        found = self.judged(images, prompt)
        return {name: value for name, value in found.items() if self.metrics[name].gold}

    def told(self, prompt: Tensor) -> dict[str, Any]:
        """What image rewards are told beside the pictures of prompts, int64 [K]."""
        request = None if self.request is None else self.request[prompt]
        return rewards.context([self.texts[row] for row in prompt.tolist()], request)

    def judge(self, final: DenoiseState) -> dict[str, Tensor]:  # type: ignore[override]
        """Parser, strangeness, and the reward that was held out."""
        return self.judged(final.image, self.prompt(final))

    def features(self, final: DenoiseState) -> Tensor | None:  # type: ignore[override]
        """Of the pictures, and the pictures at 8 x 8."""
        images = pixels(final)
        small = functional.adaptive_avg_pool2d(images, POOLED).flatten(1)
        return torch.cat([features.features(images), small], 1)

    def set_metrics(self, found: Tensor) -> dict[str, float]:
        """Diversity, and where prompts are of scenes, the distance to real ones of the split."""
        if len(found) < 2:  # a single picture has neither
            return {}
        width = 3 * POOLED * POOLED
        diversity = float(nearest_neighbour_distance(found[:, -width:]).mean())
        if self.request is None:
            return {"diversity": diversity}
        frechet = frechet_distance(found[:, :-width].cpu(), features.real(self.split))
        return {"frechet": frechet, "diversity": diversity}

    def artefact(self, state: DenoiseState, index: int) -> Image.Image:  # type: ignore[override]
        """The picture; before the end, what the latents would decode to."""
        return Image.fromarray(self._decoded(state, index).permute(1, 2, 0).cpu().numpy())

    @torch.no_grad()
    def _decoded(self, state: DenoiseState, index: int) -> Tensor:
        return (self.generator.decode(state.x[index : index + 1])[0] * 255).round().byte()

    def render(self, state: DenoiseState, index: int) -> np.ndarray:  # type: ignore[override]
        """Latents and what they decode to, over the timeline of steps."""
        step = int(state.step[index].clamp_max(self.horizon))
        latent = state.x[index, :3] / 3
        panels = [("latent", latent), ("decoded", self._decoded(state, index) / 127.5 - 1)]
        panels += self.panels(state, index)
        last = float(self.times[0])
        times = [round(1000 * float(each) / last) for each in self.times[: step + 1]]
        text = self.texts[int(self.prompt(state)[index])]
        return picture(panels, times, 1000, text)

    def panels(self, state: Any, index: int) -> list[tuple[str, Tensor]]:
        """More to show: titles and pictures [3, H, W] in [-1, 1]."""
        return []


def pixels(state: DenoiseState) -> Tensor:
    """The finished pictures, float32 [K, 3, H, W] in [0, 1]."""
    return state.image.float() / 255
