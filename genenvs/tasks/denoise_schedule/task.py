"""Choose, step by step, how far a frozen sampler jumps along its noise schedule."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from PIL import Image
from torch import Tensor

from genenvs.core.rewards import Metric
from genenvs.core.task import Observation, Outcome, State, Transition
from genenvs.generators import sampling as samplers
from genenvs.generators.schedule import NoiseSchedule
from genenvs.images.timeline import picture, to_image
from genenvs.tasks.denoise_schedule import rewards
from genenvs.tasks.denoise_schedule.instances import GeneratorTask
from genenvs.tasks.denoise_schedule.plans import plan_for

# Latents have standard deviation 1 at most at every time; ten thousand starts of 64 numbers reach
# 5. Beyond this multiple they are clamped, which a metric counts.
LATENT_LIMIT = 8.0
TIME_FEATURES = 8


@dataclass(frozen=True)
class ScheduleState(State):
    """A batch of half-sampled images.

    Attributes:
        x: float32 [B, C, H, W], the latents.
        time: int64 [B], their place on the noise schedule: N is pure noise, 0 clean.
        clean: float32 [B, C, H, W], clean image predicted at (x, time); `prepare` writes it.
        noise: float32 [B, C, H, W], noise predicted there.
        previous_clean: float32 [B, C, H, W], the prediction one step earlier.
        previous_time: int64 [B], where that was made.
        clamped: float32 [B], latent values that were clamped so far.
        visited: int64 [B, horizon], times of the evaluations so far, -1 beyond.
    """

    x: Tensor
    time: Tensor
    clean: Tensor
    noise: Tensor
    previous_clean: Tensor
    previous_time: Tensor
    clamped: Tensor
    visited: Tensor


class DenoiseSchedule(GeneratorTask):
    """Sample an image with as few network evaluations as it needs.

    ## Description
    A frozen diffusion model turns noise into an image. At every step the network has just looked
    at the latent; the agent decides how far to jump along the noise schedule before it looks
    again. Long jumps are cheap and inexact. The episode ends when the image is clean, and pays for
    fidelity to what two hundred steps would have made of the same noise.

    This is the survey's reading of AdaDiff (Zhang et al., 2023), in which the state is the noisy
    image and the action the step size; `DenoiseBudget` is the paper's own.

    ## Action space
    `Discrete(16)` (for N = 1,000): jump down by `strides[a]` of the N training timesteps, a
    geometric ladder from 5 to 640 with ratio 2^(1/2); the last action finishes now, using the
    prediction already made. A jump past the end finishes too. All actions are always legal.

    ## Observation space
    `Dict`:
    | key | shape | range | meaning |
    |---|---|---|---|
    | `latent` | [C, H, W] | -8 .. 8 | the latent x_t |
    | `clean` | [C, H, W] | -8 .. 8 | the clean image that the network predicts there |
    | `time` | [8] | -1 .. 1 | t / N, log-SNR / 10 (clipped), three sine-cosine pairs of t / N |
    | `evaluations` | [1] | 0 .. 1 | evaluations so far / horizon |
    | `condition` | index | | the class or prompt asked for |

    With `sampler="dpmpp_2m"` also `previous_clean` [C, H, W], the prediction one step earlier, and
    `previous_time` [8] (zeros before the first step).

    ## Rewards
    `quality` once, however the episode ends: minus the root mean square distance to the many-step
    solution from the same noise, between latents where there is a VAE. `evaluations`: minus 1 a
    network evaluation; its weight is the price of one. Class accuracy would not do as quality: a
    classifier reads samples correctly after a few evaluations already.

    ## Metrics
    `objective` scores an episode at a fixed price whatever the agent was paid, from its `error` and
    its `evaluations`; `clamped` says how often the observation bound acted. Gold, never paid:
    `accuracy`, of which a classifier tells for `digits` and the scenes' parser for prompts of its
    grammar, the `frechet` distance and nearest-neighbour `diversity` in the classifier's features.

    ## Starting state
    One of the split's finite instances (`digits`: 8,192 train, 1,024 validation, 2,048 test), by a
    permutation of its own for each seed; class or prompt and starting noise derive from the
    instance. A split asks its own prompts only; an index means the same prompt in every split.

    ## Episode end
    Terminates when the image is clean: by "finish", by a jump past the end, or at the horizon,
    where the sampler finishes whatever the action says.

    ## Arguments
    - `generator` (`"digits"`): a shipped name, a local diffusers folder or a hub id, of a
      class-conditional model or of a Stable Diffusion or SDXL pipeline (no flow: strides lie on a
      variance-preserving schedule). One without a bank of solutions says how to build it
      (`python -m genenvs.generators.bank --generator ...`).
    - `prompts` (None: the scenes' grammar), `guidance` (None: 1): of text-to-image generators. A
      text file with one prompt a line, or the prompts themselves; from 20 on they are split. An
      evaluation with guidance is one: both branches go through the network together. The bank
      belongs to both.
    - `sampler` (`"ddim"`): deterministic DDIM, or `"dpmpp_2m"`, DPM-Solver++(2M).
    - `horizon` (50): most evaluations.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    Faithful: a frozen sampler, a price on steps, quality at the end. Deviates: AdaDiff scores
    quality by a learned image reward on text prompts; here it is fidelity to the many-step
    solution, and the generator is small. The step-by-step action is the survey's reading.

    ## Version history
    - v0: first version.
    """

    terms = rewards.TERMS
    metrics = rewards.METRICS | {
        "clamped": Metric(
            "Share of latent values that the observation bound clamped.", range=(0.0, 1.0)
        )
    }
    ends = "terminates"

    def __init__(self, **arguments: Any) -> None:
        """Load the generator and lay out the ladder of strides; see the page for arguments."""
        super().__init__(**arguments)
        self.strides = torch.tensor(ladder(self.schedule.steps), device=self.device)  # [A]
        self.second_order = self.sampler == "dpmpp_2m"
        self.action_space = spaces.Discrete(len(self.strides))
        image = spaces.Box(-LATENT_LIMIT, LATENT_LIMIT, self.denoiser.shape, np.float32)
        when = spaces.Box(-1.0, 1.0, (TIME_FEATURES,), np.float32)
        fields: dict[str, Any] = {
            "latent": image,
            "clean": image,
            "time": when,
            "evaluations": spaces.Box(0.0, 1.0, (1,), np.float32),
            "condition": self.condition_space,
        }
        if self.second_order:
            fields |= {"previous_clean": image, "previous_time": when}
        self.observation_space = spaces.Dict(fields)
        self._when = time_embedding(self.schedule)  # [N + 1, 8]
        plan = plan_for(self.denoiser, self.sampler)
        self._plan = torch.tensor(plan, device=self.device)  # [K + 1]

    def initial_state(self, instance: Tensor, key: Tensor) -> ScheduleState:
        """Pure noise."""
        x = self.bank.noise[instance]
        start = torch.full_like(instance, self.schedule.steps)
        visited = start.new_full((len(start), self.horizon), -1)
        visited[:, 0] = start
        blank = torch.zeros_like(x)
        return ScheduleState(
            instance=instance,
            key=key,
            step=torch.zeros_like(instance),
            x=x,
            time=start,
            clean=blank,
            noise=blank.clone(),
            previous_clean=blank.clone(),
            previous_time=start.clone(),
            clamped=torch.zeros(len(start), device=self.device),
            visited=visited,
        )

    def prepare(self, state: ScheduleState) -> ScheduleState:  # type: ignore[override]
        """The one network evaluation of a step."""
        clean, noise = self.denoiser.predict_both(state.x, state.time, self.condition(state))
        return state.replace(clean=clean, noise=noise)

    def transition(self, state: ScheduleState, action: Tensor) -> Transition:  # type: ignore[override]
        """Jump with the prediction already made."""
        time = (state.time - self.strides[action]).clamp_min(0)
        time = torch.where(state.step + 1 >= self.horizon, 0, time)
        x = self._jump(state, time)
        bounded = x.clamp(-LATENT_LIMIT, LATENT_LIMIT)
        clamped = state.clamped + (bounded != x).flatten(1).float().mean(1)
        place = (state.step + 1).clamp_max(self.horizon - 1)[:, None]
        done = time == 0
        before = state.visited.gather(1, place)
        mark = torch.where(done[:, None], before, time[:, None])
        return Transition(
            state=state.advance(
                x=bounded,
                time=time,
                previous_clean=state.clean.clone() if self.second_order else state.previous_clean,
                previous_time=state.time,
                clamped=clamped,
                visited=state.visited.scatter_(1, place, mark),
            ),
            terms={"evaluations": -torch.ones_like(clamped)},
            terminated=done,
        )

    def _jump(self, state: ScheduleState, time: Tensor) -> Tensor:
        if self.second_order:
            return samplers.dpmpp_2m(
                state.x,
                state.clean,
                state.previous_clean,
                state.time,
                state.previous_time,
                time,
                self.schedule,
                state.step == 0,
            )
        return samplers.ddim(state.x, state.clean, state.noise, state.time, time, self.schedule)

    def outcome(self, state: ScheduleState) -> Outcome:  # type: ignore[override]
        """Fidelity of the finished samples."""
        error = rewards.fidelity_error(state.x, self.solution(state))
        metrics = rewards.price(error, state.step)
        return Outcome({"quality": -error}, metrics | {"clamped": state.clamped / state.step})

    def observe(self, state: ScheduleState) -> Observation:  # type: ignore[override]
        """See the page."""
        observation = {
            "latent": state.x,
            "clean": state.clean.clamp(-LATENT_LIMIT, LATENT_LIMIT),
            "time": self._when[state.time],
            "evaluations": (state.step[:, None] / self.horizon).float(),
            "condition": self.condition(state),
        }
        if self.second_order:
            seen = state.step > 0
            observation |= {
                "previous_clean": state.previous_clean.clamp(-LATENT_LIMIT, LATENT_LIMIT),
                "previous_time": self._when[state.previous_time] * seen[:, None],
            }
        return observation

    def reference_action(self, state: ScheduleState) -> Tensor:  # type: ignore[override]
        """Follow the best open-loop schedule that a search found, rung by rung."""
        return self.follow(state, self._plan)

    def follow(self, state: ScheduleState, plan: Tensor) -> Tensor:
        """The rung that lands nearest to a plan's next time.

        Args:
            state: of B rows.
            plan: int64 [K + 1], times from N down to 0.

        Returns:
            int64 [B], actions.
        """
        target = plan[(state.step + 1).clamp_max(len(plan) - 1)]  # [B]
        landing = (state.time[:, None] - self.strides).clamp_min(0)  # [B, A]
        # Only a target of 0 may finish: a near miss goes on with the shortest stride instead.
        early = (landing == 0) & (target[:, None] > 0)
        gap = (landing - target[:, None]).abs() + early * self.schedule.steps
        nearest = gap.argmin(1)
        return torch.where(target == 0, len(self.strides) - 1, nearest)

    def render(self, state: ScheduleState, index: int) -> np.ndarray:  # type: ignore[override]
        """Latent and predicted clean image over the timeline of evaluations."""
        times = [t for t in state.visited[index].tolist() if t >= 0]
        time = int(state.time[index])
        shown = self.denoiser.picture(torch.stack([state.x[index], state.clean[index]]))
        panels = [(f"latent, t = {time}", shown[0]), ("predicted clean", shown[1])]
        asked = self.denoiser.asks(int(self.condition(state)[index]))
        caption = f"{asked}: {len(times)} evaluations"
        return picture(panels, times, self.schedule.steps, caption)

    def artefact(self, state: ScheduleState, index: int) -> Image.Image:  # type: ignore[override]
        """The sample, or the image predicted so far, at the generator's own resolution."""
        done = int(state.time[index]) == 0
        latents = (state.x if done else state.clean)[index : index + 1]
        return to_image(self.denoiser.picture(latents)[0])

    def judge(self, final: ScheduleState) -> dict[str, Tensor]:  # type: ignore[override]
        """Whether it is what was asked for."""
        return self.read(final.x, self.condition(final))

    def features(self, final: ScheduleState) -> Tensor | None:  # type: ignore[override]
        """The classifier's features of the samples."""
        return self.image_features(final.x)

    def set_metrics(self, features: Tensor) -> dict[str, float]:
        """Frechet distance to real test images, and nearest-neighbour diversity."""
        return self.compare(features)


def time_embedding(schedule: NoiseSchedule) -> Tensor:
    """What a small policy sees of each time: float32 [N + 1, 8] in -1 .. 1.

    Where strides matter most, near clean data, t / N hardly changes: its sines and cosines and the
    log-SNR do.
    """
    level = torch.arange(schedule.steps + 1, device=schedule.alpha.device) / schedule.steps
    waves = [f(k * math.pi * level) for k in (1, 2, 4) for f in (torch.sin, torch.cos)]
    return torch.stack([level, (schedule.log_snr / 10.0).clamp(-1, 1), *waves], 1)


def ladder(steps: int) -> list[int]:
    """Strides, ascending: a geometric ladder in steps of 2^(1/2), and last `steps`, which finishes.

    Args:
        steps: N, the number of training timesteps.
    """
    rungs = {max(1, round(steps * 0.005 * 2 ** (k / 2))) for k in range(15)}
    return [*sorted(rungs), steps]
