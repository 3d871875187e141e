"""What a run shows of a denoiser: the panel of each batch, sample grids, the folder it leaves."""

from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from PIL import Image
from torch import Tensor, nn

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
    """An agent that is a denoiser: acts as one, shows its pictures, and saves it.

    Attributes:
        problem, config: of the agent; `config.pictures` batches lie between two sample grids.
        policy: the denoiser.
        batches: that were reported, over all resumes; to be kept in `state()`.
    """

    problem: Problem
    config: Any
    policy: DenoiserPolicy
    batches: int

    @property
    def level_of_acting(self) -> float:
        """Of the sampler's noise when the agent acts, and so in its pictures."""
        return float(getattr(self.config, "evaluate_level", 0.0))

    def act(self, observation: Any, info: dict[str, Any]) -> Tensor:
        """The next latents of the averaged network, by the deterministic sampler by default."""
        return self.policy.act(observation, info, self.policy.network, self.level_of_acting)

    def report(self, run: Run, chains: Chains) -> None:
        """The panel of a batch: reward, gold metrics, diversity; pictures now and then."""
        small = nn.functional.adaptive_avg_pool2d(chains.images.float() / 255, POOLED)
        run.log(
            reward=chains.reward.mean(),
            reward_std=chains.reward.std(correction=0),
            at_bound=chains.at_bound.mean(),
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
    """Write `samples/<steps>.png`: above, the frozen generator; below, the agent, as it acts."""
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
            for _ in range(task.horizon):
                action = policy.act(observation, info, network, agent.level_of_acting)
                observation, *_, info = envs.step(action)
            pairs.append(info["final_state"].image)
    finally:
        envs.close()
    picture = grid(torch.stack(pairs))
    with making(run.folder / "samples" / f"{max(run.steps, 0):09d}.png") as temporary:
        Image.fromarray(picture).save(temporary, format="png")
    run.picture("samples", picture)


def grid(images: Tensor) -> np.ndarray:
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
