"""`denoiser_ppo`: Stable-Baselines3's PPO, its actor the environment's own denoiser."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import stable_baselines3 as sb3
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from genenvs.generators.transition import kl
from genenvs.images.rewards.reward import WeightedSum
from genenvs.tasks.denoise.latent import DenoiseLatent
from genenvs.tasks.denoise.rewards import PART, paid

from ..problem import Problem
from ..run import Run
from ..sb3 import SB3Agent
from .checks import tell_if_ratios_are_off
from .pictures import Shown, spread_over
from .policy import LIMIT
from .rollout import ChainPlayer, Chains
from .sb3_policy import DenoiserActor

LOOKED_AT = 64  # steps of a rollout whose ratios and divergence are shown: they cost evaluations


@dataclass
class DenoiserPPOConfig:
    """Names are SB3's; a rollout is `num_envs` chains where `n_steps` is the horizon."""

    num_envs: Annotated[int, Ge(1)] = 128
    """Rows of the batch."""
    n_steps: Annotated[int, Ge(1)] = 10
    """Steps that each row plays between two updates."""
    batch_size: Annotated[int, Ge(2)] = 320
    n_epochs: Annotated[int, Ge(1)] = 1
    learning_rate: Annotated[float, Gt(0)] = 3e-4
    anneal: bool = False
    """Lower the learning rate linearly to zero."""
    clip_range: Annotated[float, Gt(0)] = 1e-3
    """Per dimension; see `ddpo`."""
    gamma: Annotated[float, Ge(0), Le(1)] = 1.0
    """Discount."""
    gae_lambda: Annotated[float, Ge(0), Le(1)] = 1.0
    """Of generalised advantages."""
    normalize_advantage: bool = True
    """Give the advantages of a minibatch mean 0 and standard deviation 1."""
    vf_coef: Annotated[float, Gt(0)] = 0.5
    """Weight of the value's error in the loss."""
    max_grad_norm: Annotated[float, Gt(0)] = 1.0
    reward_scale: Annotated[float, Gt(0)] = 1.0
    """Factor on rewards while learning; reported returns are without."""
    rule: str | None = None
    """How a step adds noise; None: the environment's."""
    level: float | None = None
    """The noise level of the rule; None: the environment's."""
    guidance: float | None = None
    """Guidance scale of the policy; None: the environment's."""
    lora_rank: Annotated[int, Ge(0)] = 0
    """Train adapters of this rank in place of the whole network; saved in `lora` too."""
    pictures: Annotated[int, Ge(0)] = 20
    """Write sample grids every so many rollouts; 0: none but the last."""


class Watched(sb3.PPO):
    """PPO whose rollouts are looked at before it learns from them."""

    look: Callable[[], None] | None = None

    def train(self) -> None:
        """As PPO does."""
        if self.look is not None:
            self.look()
        super().train()


class DenoiserPPO(Shown, SB3Agent):
    """PPO with the denoiser as actor (Stable-Baselines3)."""

    Config = DenoiserPPOConfig
    spaces, actions = "DenoiseLatent", "Box"
    algorithm = Watched
    policies = DenoiserActor, DenoiserActor
    policy_arguments = "rule", "level", "guidance", "lora_rank"

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """Make the model around the environment's generator.

        Raises:
            TypeError: another environment.
            ValueError: a noise level of 0.
        """
        self.task = ChainPlayer(problem, 1).task
        if not isinstance(self.task, DenoiseLatent):
            raise TypeError(
                f"denoiser_ppo learns in {self.spaces} alone, where an action is the next latent;"
                f" {problem.env} has other actions: there ddpo, dpok and flow_grpo learn"
            )
        super().__init__(problem, config, state)
        self.policy = self.model.policy.actor
        self.batches = 0 if state is None else int(state.get("batches", 0))

    def policy_settings(self) -> dict[str, Any]:
        """The task, whose generator is copied."""
        return {"task": self.task}

    def settings(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """Without what PPO does not know."""
        return {name: value for name, value in chosen.items() if name != "pictures"}

    def learn(self, run: Run) -> None:
        """PPO's own, with the panel of the other denoising agents."""
        self.model.look = lambda: self.look(run)
        try:
            super().learn(run)
        finally:
            self.model.look = None
        self.finish(run)

    def look(self, run: Run) -> None:
        """Report a rollout that is about to be learned from."""
        buffer = self.model.rollout_buffer
        ended = np.vstack([buffer.episode_starts[1:], self.model._last_episode_starts[None]]) > 0
        if ended.any():
            self.report(run, self.ended(buffer, ended))
        logged = self.ratios(buffer)
        tell_if_ratios_are_off(float(logged["ratio_error"]), self.config.clip_range)
        run.log(**logged)

    @torch.no_grad()
    def ended(self, buffer: Any, ended: np.ndarray) -> Chains:
        """The chains of a rollout that came to their end, of their latents the last alone.

        Args:
            buffer: of Stable-Baselines3, as it was filled: arrays [S, N, ...].
            ended: bool [S, N], steps that were the last of an episode.
        """
        task = self.task
        latents = self._tensor(buffer.actions[ended]).view(-1, *task.generator.shape) * LIMIT
        prompt = self._tensor(buffer.observations["prompt"][ended]).long().view(-1)
        reward = self._tensor(buffer.rewards[ended]) / self.config.reward_scale
        images = (task.generator.decode(latents) * 255).round().byte()
        parts: dict[str, Tensor] = {}
        if isinstance(task.reward, WeightedSum):  # of which the buffer has the sum
            parts = paid(task.reward, images.float() / 255, task.told(prompt))[1]
        parts = {name.removeprefix(PART): value for name, value in parts.items()}
        # Of all that the row played in this rollout, which may begin in the middle of a chain.
        bound = (np.abs(buffer.actions) >= 1).reshape(*ended.shape, -1).mean((0, 2))
        at_bound = self._tensor(np.broadcast_to(bound, ended.shape)[ended]).float()
        gold = task.gold(images, prompt)
        return Chains(
            latents[None], prompt, reward, images, gold, at_bound, self.policy.guidance, parts
        )

    @torch.no_grad()
    def ratios(self, buffer: Any) -> dict[str, Tensor]:
        """How far ratios are from 1 before an update, and the divergence from the generator."""
        size = buffer.log_probs.size
        where = np.unravel_index(spread_over(size, LOOKED_AT), buffer.log_probs.shape)
        observation = {k: self._tensor(v[where]) for k, v in buffer.observations.items()}
        new = self.model.policy.evaluate_actions(observation, self._tensor(buffer.actions[where]))
        ratio = (new[1] - self._tensor(buffer.log_probs[where])).exp()
        x, prompt = observation["latent"], observation["prompt"].long().view(-1)
        step = self.task.step_of(observation["time"])
        mean, std = self.policy.gaussian(x, step, prompt, self.policy.network)
        frozen, _ = self.policy.gaussian(x, step, prompt, None)
        divergence = kl(mean, frozen, std).mean() / self.policy.dimensions
        return {"ratio_error": (ratio - 1).abs().max(), "kl": divergence}

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=self.problem.device)

    def state(self) -> dict[str, Tensor]:
        """With the number of rollouts, which pictures go by."""
        return super().state() | {"batches": torch.tensor(self.batches)}
