"""What a run shows of a denoiser: the panel of each batch, sample grids, the folder it leaves."""

from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from PIL import Image
from torch import nn

from genenvs.core.files import making
from genenvs.images.metrics import nearest_neighbour_distance
from genenvs.tasks.denoise.rewards import PART
from genenvs.tasks.denoise.task import POOLED

from ..problem import Problem
from ..run import Run
from .policy import DenoiserPolicy
from .rollout import Chains

ROWS = 16  # pictures of each
SIDE = 64  # pixels at which they are shown
_GAP = 2


class Shown:
    """An agent whose pictures are shown, and whose generator is saved.

    Attributes:
        problem, config: of the agent; `config.pictures` batches lie between two sample grids.
        policy: the denoiser.
        batches: that were reported, over all resumes; to be kept in `state()`.
    """

    problem: Problem
    config: Any
    policy: DenoiserPolicy
    batches: int

    def report(self, run: Run, chains: Chains) -> None:
        """The panel of a batch: reward, gold metrics, diversity; pictures now and then."""
        small = nn.functional.adaptive_avg_pool2d(chains.images.float() / 255, POOLED)
        run.log(
            reward=chains.reward.mean(),
            reward_std=chains.reward.std(correction=0),
            **({"diversity": nearest_neighbour_distance(small).mean()} if len(small) > 1 else {}),
            **{f"{PART}{name}": value.mean() for name, value in chains.parts.items()},
            **{f"gold_{name}": value.float().mean() for name, value in chains.gold.items()},
        )
        self.batches += 1
        every = self.config.pictures
        if run.folder is not None and every and (self.batches - 1) % every == 0:
            before_and_after(self, run)

    def finish(self, run: Run) -> None:
        """Save what was made: pictures, a diffusers folder that anyone loads, and the adapter."""
        if run.folder is not None:
            before_and_after(self, run)
            self.policy.save(run.folder / "pipeline")
            if self.config.lora_rank:
                self.policy.save_lora(run.folder / "lora")


@torch.no_grad()
def before_and_after(agent: Any, run: Run) -> None:
    """Write `samples/<steps>.png`: above, the frozen generator; below, the agent's, as `Shown`."""
    assert run.folder is not None
    envs = agent.problem.make(ROWS, AutoresetMode.DISABLED, keep_final=True, split="validation")
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


def spread_over(count: int, rows: int) -> np.ndarray:
    """`rows` instances of `count`, evenly."""
    return np.linspace(0, count - 1, min(rows, count)).round().astype(np.int64)
