"""Sample grids: the same prompts and noise, before and after."""

from typing import Any

import numpy as np
import torch
from PIL import Image

from genenvs.core.files import making

ROWS = 16  # pictures of each
SIDE = 64  # pixels at which they are shown
_GAP = 2


@torch.no_grad()
def before_and_after(agent: Any, run: Any) -> None:
    """Write `samples/<steps>.png`: above, the frozen generator; below, the agent's."""
    from .trainer import evaluation_rows, spread_over

    envs = evaluation_rows(agent.problem, ROWS, "validation")
    try:
        task = envs.unwrapped.task
        rows = spread_over(task.num_instances, ROWS)
        rows = np.resize(rows, ROWS)
        pairs = []
        policy = agent.policy
        for network in (None, policy.network):
            observation, info = envs.reset(seed=0, options={"instances": rows})
            for t in range(task.horizon):
                step = torch.full_like(observation["prompt"], t)
                x, prompt = observation["latent"], observation["prompt"]
                with policy.averaged():
                    mean, _ = policy.gaussian(x, step, prompt, network, 0.0)
                observation, *_, info = envs.step(task.steer(observation, mean))
            pairs.append(info["final_state"].image)
    finally:
        envs.close()
    picture = grid(torch.stack(pairs))
    with making(run.folder / "samples" / f"{max(run.steps, 0):09d}.png") as temporary:
        Image.fromarray(picture).save(temporary, format="png")
    run.picture("samples", picture)


def grid(images: torch.Tensor) -> np.ndarray:
    """Rows of pictures as one: uint8 [R, N, 3, H, W] to [R (side + gap), N (side + gap), 3]."""
    shown = images.cpu().numpy().transpose(0, 1, 3, 4, 2)
    rows, columns = shown.shape[:2]
    page = np.full((rows * (SIDE + _GAP), columns * (SIDE + _GAP), 3), 24, np.uint8)
    for r in range(rows):
        for c in range(columns):
            small = Image.fromarray(shown[r, c]).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            top, left = r * (SIDE + _GAP), c * (SIDE + _GAP)
            page[top : top + SIDE, left : left + SIDE] = np.asarray(small)
    return page
