"""Policies that paint without looking at the prompt; printed beside the scores."""

from typing import Any

import torch
from torch import Tensor

from genenvs.tasks.denoise.guidance import GUIDANCE


def grey(envs: Any) -> Any:
    """Latents of zeros: what the decoder makes of nothing."""
    return _constant(envs, 0.0)


def keep_noise(envs: Any) -> Any:
    """Hand back the first noise, step by step."""
    return lambda observation, info: envs.task.steer(observation, observation["latent"])


def no_noise(envs: Any) -> Any:
    """The mean of every proposed Gaussian."""
    return _constant(envs, 0.0)


def same_corner(envs: Any) -> Any:
    """The farthest corner of every proposed Gaussian: noise of 8 standard deviations."""
    return _constant(envs, 1.0)


def unguided(envs: Any) -> Any:
    """Guidance 1 with all the noise: the base sampler."""
    return _constant(envs, 2 / GUIDANCE - 1, 1.0, 0.0)


def most_guided(envs: Any) -> Any:
    """The strongest guidance, without noise."""
    return _constant(envs, 1.0, -1.0, 0.0)


def ignore_prompt(envs: Any) -> Any:
    """Guidance 0: pictures of anything."""
    return _constant(envs, -1.0, 1.0, 0.0)


def _constant(envs: Any, *values: float) -> Any:
    shape = envs.single_action_space.shape
    action = torch.tensor(values, device=envs.device).expand(envs.num_envs, *shape)

    def policy(observation: Any, info: Any) -> Tensor:
        return action.clone()

    return policy
