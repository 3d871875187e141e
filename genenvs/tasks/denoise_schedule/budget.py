"""Choose a whole step budget from the condition alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from PIL import Image
from torch import Tensor

from genenvs.core.task import Observation, Outcome, State, Transition
from genenvs.generators.sampling import sample, uniform_times
from genenvs.images.timeline import picture, to_image
from genenvs.tasks.denoise_schedule import rewards
from genenvs.tasks.denoise_schedule.instances import GeneratorTask

BUDGETS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50)
REFERENCE_BUDGET = 10  # what the registered price buys


@dataclass(frozen=True)
class BudgetState(State):
    """A batch of decisions.

    Attributes:
        budget: int64 [B], evaluations chosen; 0 before the choice.
        pending: int64 [B], how many of them are still to be made: all until `outcome`, then 0.
        image: float32 [B, C, H, W], the starting noise; once nothing is pending, the sample.
    """

    budget: Tensor
    pending: Tensor
    image: Tensor


class DenoiseBudget(GeneratorTask):
    """Choose how many network evaluations a sample gets, from its condition alone.

    ## Description
    AdaDiff as its paper has it (Zhang et al., 2023): a contextual bandit. One decision an episode,
    the number of steps; a frozen diffusion model then samples along a uniform grid of that many
    steps, and the episode pays for fidelity and for evaluations. On ten digits, whose conditions
    hardly differ in difficulty, it is an interface test; the paper's effect needs prompts of
    differing complexity, from a text-to-image generator (`generator="sprites"`, or a folder).

    ## Action space
    `Discrete(15)`: 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40 or 50 evaluations.

    ## Observation space
    `Discrete`: the condition as an index (ten for `digits`; of prompts, those of all splits).

    ## Rewards
    `quality`: minus the root mean square distance to the many-step solution from the same noise,
    between latents where there is a VAE.
    `evaluations`: minus the number of evaluations; its weight is the price of one.

    ## Metrics
    As `DenoiseSchedule`: `objective` scores the episode at a fixed price, from its `error` and its
    `evaluations`; `accuracy`, `frechet` and `diversity` are gold and never paid.

    ## Starting state
    As `DenoiseSchedule`: one of the split's finite instances.

    ## Episode end
    Terminates after the one decision. The rows that ended then have their budgets, and nothing
    else, read by the host, which plans the evaluations: on a GPU one copy of K integers a step.

    ## Arguments
    - `generator` (`"digits"`), `sampler` (`"ddim"` or `"dpmpp_2m"`), `prompts`, `guidance`: as
      `DenoiseSchedule`.
    - `horizon` (1): one decision; no other value has a meaning.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    Faithful: the decision from the condition alone, before the first evaluation. Deviates: quality
    is fidelity to the many-step solution, where the paper uses a learned image reward; the policy
    sees which class or prompt it is, not an embedding, so it knows nothing of unseen prompts.

    ## Version history
    - v0: first version.
    """

    terms = rewards.TERMS
    metrics = rewards.METRICS
    ends = "terminates"

    def __init__(self, **arguments: Any) -> None:
        """Load the generator; see the page for arguments.

        Raises:
            ValueError: the horizon is not 1.
        """
        super().__init__(**arguments)
        if self.horizon != 1:
            raise ValueError(f"a budget is one decision: horizon must be 1; got {self.horizon}")
        self.budgets = torch.tensor(BUDGETS, device=self.device)
        self.action_space = spaces.Discrete(len(BUDGETS))
        self.observation_space = self.condition_space
        grids = torch.zeros(len(BUDGETS), max(BUDGETS) + 1, dtype=torch.int64)
        for row, budget in enumerate(BUDGETS):
            grids[row, : budget + 1] = uniform_times(self.schedule, budget)
        self._grid = torch.zeros(max(BUDGETS) + 1, grids.shape[1], dtype=torch.int64)
        self._grid[torch.tensor(BUDGETS)] = grids  # [budget, time], on the CPU

    def initial_state(self, instance: Tensor, key: Tensor) -> BudgetState:
        """Nothing chosen."""
        zero = torch.zeros_like(instance)
        noise = self.bank.noise[instance]
        return BudgetState(instance, key, zero, zero.clone(), zero.clone(), noise)

    def transition(self, state: BudgetState, action: Tensor) -> Transition:  # type: ignore[override]
        """Choose; the sampler runs in `outcome`."""
        budget = self.budgets[action]
        return Transition(
            state=state.advance(budget=budget, pending=budget.clone()),
            terms={"evaluations": -budget.float()},
            terminated=torch.ones_like(budget, dtype=torch.bool),
        )

    def images(self, state: BudgetState) -> Tensor:
        """The samples, float32 [B, C, H, W]; rows without a budget: noise.

        Runs the sampler for what is pending: for ended rows that `outcome` has not seen, or has
        seen in a copy only (a `TaskVectorEnv` without SAME_STEP puts nothing back).
        """
        times = self._grid[state.pending.cpu()]  # [B, T + 1]
        return sample(self.denoiser, state.image, self.condition(state), times, self.sampler)

    def outcome(self, state: BudgetState) -> Outcome:  # type: ignore[override]
        """Sample and compare; leaves the samples in `state`, for `judge` and `features`."""
        state.image.copy_(self.images(state))
        state.pending.zero_()
        error = rewards.fidelity_error(state.image, self.solution(state))
        return Outcome({"quality": -error}, rewards.price(error, state.budget))

    def observe(self, state: BudgetState) -> Observation:  # type: ignore[override]
        """The condition."""
        return self.condition(state)

    def reference_action(self, state: BudgetState) -> Tensor:  # type: ignore[override]
        """The budget that the registered price buys, whatever the condition."""
        return torch.full_like(state.instance, BUDGETS.index(REFERENCE_BUDGET))

    def render(self, state: BudgetState, index: int) -> np.ndarray:  # type: ignore[override]
        """The starting noise and, once a budget is chosen, the sample."""
        row = state.rows(torch.tensor([index], device=self.device))
        budget = int(row.budget)
        times = [t for t in self._grid[budget].tolist() if t > 0]
        latents = torch.cat([self.bank.noise[row.instance], self.images(row)])
        panels = list(zip(("noise", "sample"), self.denoiser.picture(latents), strict=True))
        caption = f"{self.denoiser.asks(int(self.condition(row)[0]))}: {budget} evaluations"
        return picture(panels, times, self.schedule.steps, caption)

    def artefact(self, state: BudgetState, index: int) -> Image.Image:  # type: ignore[override]
        """The sample at the generator's own resolution."""
        latents = self.images(state.rows(torch.tensor([index], device=self.device)))
        return to_image(self.denoiser.picture(latents)[0])

    def judge(self, final: BudgetState) -> dict[str, Tensor]:  # type: ignore[override]
        """Whether it is what was asked for."""
        return self.read(self.images(final), self.condition(final))

    def features(self, final: BudgetState) -> Tensor | None:  # type: ignore[override]
        """The classifier's features of the samples."""
        return self.image_features(self.images(final))

    def set_metrics(self, features: Tensor) -> dict[str, float]:
        """Frechet distance to real test images, and nearest-neighbour diversity."""
        return self.compare(features)
