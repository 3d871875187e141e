"""The times that a text-to-image pipeline visits, from its scheduler's configuration."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from genenvs.generators.families import Family


def diffusion_times(config: dict, steps: int, limit: int) -> Tensor:
    """Return the places on the schedule that a diffusion pipeline visits, float32 [steps + 1].

    Spaced as `timestep_spacing` and `steps_offset` of the scheduler say. The last place is 0,
    clean, or 1, the first training timestep, where `set_alpha_to_one` is false: there Stable
    Diffusion 1.x stops. DDIM of diffusers steps by N // steps whatever its list of timesteps says,
    which differs where `steps` does not divide N; here a step always ends where the next begins.
    """
    from diffusers import DDIMScheduler

    spacing = {
        "num_train_timesteps": limit,
        "timestep_spacing": config.get("timestep_spacing", "leading"),
        "steps_offset": config.get("steps_offset", 0),
    }
    scheduler = DDIMScheduler(**spacing)
    scheduler.set_timesteps(steps)
    last = 0 if config.get("set_alpha_to_one", True) else 1
    places = [*(scheduler.timesteps + 1).clamp(max=limit).tolist(), last]
    return torch.tensor(places, dtype=torch.float32)


def flow_times(config: dict, family: Family, tokens: int, steps: int) -> Tensor:
    """Return the sigmas that a flow pipeline visits, falling from 1 to 0, float32 [steps + 1].

    Args:
        config: of the scheduler.
        family: Flux starts from another grid than SD3.
        tokens: the image's tokens, on which a dynamic shift depends.
        steps: network evaluations.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    arguments: dict[str, Any] = {}
    if config["use_dynamic_shifting"]:
        slope = (config["max_shift"] - config["base_shift"]) / (
            config["max_image_seq_len"] - config["base_image_seq_len"]
        )
        arguments["mu"] = config["base_shift"] + slope * (tokens - config["base_image_seq_len"])
    if family.name == "flux":
        arguments["sigmas"] = np.linspace(1.0, 1 / steps, steps)
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(config)
    scheduler.set_timesteps(steps, **arguments)
    return scheduler.sigmas.float().cpu()
