"""A Stable-Baselines3 policy whose actor is the denoiser: PPO on `DenoiseLatent`.

    from agents.denoise.sb3_policy import DenoiserActor
    env = SB3VecEnv(envs)         # genenvs.interop.sb3, of a native batch of DenoiseLatent
    PPO(DenoiserActor, env, policy_kwargs={"arguments": {"generator": "sprites"}}, ...)

`python -m agents train --agent denoiser_ppo` does the same with checkpoints and curves.

It is PPO with the denoiser as actor. It is DDPO where gamma = gae_lambda = 1, values are zero,
advantages are not normalised by minibatch, there is no entropy bonus, and the reward is terminal
and normalised by prompt: then one minibatch has the gradient of `ddpo` (a test shows it, by PPO's
own `train`). The mean over a minibatch is over steps that have noise, as `ddpo`'s is, and
log-probabilities are means over dimensions, so `clip_range` is one per dimension, 1e-3 say.
"""

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor

from genenvs.generators.transition import log_prob, stochastic
from genenvs.tasks.denoise.latent import DenoiseLatent

from .checks import check_noise, steps_with_noise
from .policy import LIMIT, DenoiserPolicy
from .value import Value


class DenoiserActor(BasePolicy):
    """Actor: a fine-tuned copy of the generator's network. Critic: a small network, or zero.

    Attributes:
        actor: the `DenoiserPolicy`.
        critic: values of latent, time and prompt; None where they are zero.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        use_sde: bool = False,
        arguments: Mapping[str, Any] | None = None,
        horizon: int = 10,
        task: Any = None,
        critic: bool = True,
        rule: str | None = None,
        level: float | None = None,
        guidance: float | None = None,
        lora_rank: int = 0,
        weight_decay: float = 1e-4,
        **ignored: Any,
    ) -> None:
        """Copy the generator's network.

        Args:
            observation_space: of `DenoiseLatent`.
            action_space: of it.
            lr_schedule: SB3's.
            use_sde: not supported.
            arguments: of the environment: `generator`, `prompts`, `device` and so on; the device
                is that of the algorithm too.
            horizon: of the environment.
            task: in place of the two, where there is one already.
            critic: a value network; without, values are zero.
            rule, level, guidance, lora_rank: see `DenoiserPolicy`.
            weight_decay: of AdamW.
            **ignored: what SB3's algorithms hand to every policy.

        Raises:
            ValueError: spaces of another environment, `use_sde`, or a noise level of 0.
        """
        super().__init__(observation_space, action_space)
        if use_sde:
            raise ValueError("use_sde explores by noise of its own; a denoiser has its sampler's")
        task = task or DenoiseLatent(horizon=horizon, **(arguments or {}))
        if action_space.shape != task.action_space.shape:
            raise ValueError(
                f"the environment's action space is {action_space}, the generator's latents are"
                f" {list(task.action_space.shape or ())}: give the environment's own `arguments`"
            )
        if set(getattr(observation_space, "spaces", ())) != set(task.shared_spaces):
            raise ValueError(
                "this actor's actions are the next latents, as DenoiseLatent takes them; the"
                f" environment observes {observation_space}"
            )
        self.actor = DenoiserPolicy(
            task, rule=rule, level=level, guidance=guidance, lora_rank=lora_rank,
        )  # fmt: skip
        check_noise(self.actor, steps_with_noise(self.actor))
        self.network = self.actor.network  # so that SB3 sees its parameters
        self.critic = Value(task) if critic else None
        trained = [each for each in self.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr_schedule(1), weight_decay=weight_decay)
        self.eval()

    def set_training_mode(self, mode: bool) -> None:
        """Stay as it is: with dropout a ratio would not be 1 before the first update."""

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[Tensor, ...]:
        """Actions [B, C, h, w], values [B, 1] and log-probabilities [B]."""
        mean, std = self._gaussian(obs)
        noise = torch.zeros_like(mean) if deterministic else torch.randn_like(mean)
        chosen = (mean + std[:, None, None, None] * noise).clamp(-LIMIT, LIMIT)
        return chosen / LIMIT, self.predict_values(obs), self._mean_log_prob(chosen, mean, std)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, None]:
        """Values [B, 1] and log-probabilities [B] of actions; the entropy is not wanted.

        Stable-Baselines3 divides by all B steps, of which those without noise have no gradient:
        that of the others is larger by as much, so that the mean is over them.
        """
        mean, std = self._gaussian(obs)
        chosen = actions.view(-1, *mean.shape[1:]) * LIMIT
        new = self._mean_log_prob(chosen, mean, std)
        weight = len(std) / stochastic(std).sum().clamp_min(1)
        new = new.detach() + weight * (new - new.detach())
        return self.predict_values(obs), new, None

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Values [B, 1]."""
        latent, time, prompt = self._read(obs)
        if self.critic is None:
            return latent.new_zeros(len(latent), 1)
        return self.critic(latent, time[:, 0], prompt)[:, None]

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        return self.forward(observation, deterministic)[0]

    def _mean_log_prob(self, chosen: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        return log_prob(chosen, mean, std) / self.actor.dimensions

    def _gaussian(self, obs: PyTorchObs) -> tuple[Tensor, Tensor]:
        latent, time, prompt = self._read(obs)
        step = self.actor.task.step_of(time)
        return self.actor.gaussian(latent, step, prompt, self.network)

    def _read(self, obs: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Latents, times [B, 1] and prompts [B]; SB3 keeps an index as [B, 1]."""
        return obs["latent"].float(), obs["time"].float(), obs["prompt"].long().view(-1)
