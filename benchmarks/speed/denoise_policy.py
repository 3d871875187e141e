"""Denoising as a policy: pictures a second beside diffusers' own pipeline and plain DDPO."""

from collections.abc import Iterator
from typing import Any

import torch

from agents.denoise.ddpo import DDPO, DDPOConfig
from agents.problem import Problem
from agents.run import Run
from benchmarks.plain_ddpo import PlainDDPO
from benchmarks.speed.measure import interleave, rate, ratio, row
from genenvs.generators import store

ENV = "genenvs/DenoiseLatent-v0"
ROWS = (16, 64)
STEPS = 10


def pipeline(device: str) -> Any:
    """The shipped `sprites` as diffusers loads it."""
    from diffusers import StableDiffusionPipeline

    made = StableDiffusionPipeline.from_pretrained(
        store.WEIGHTS / "sprites", safety_checker=None, local_files_only=True
    )
    made.set_progress_bar_config(disable=True)
    return made.to(device)


def rollouts(rows: int, device: str) -> Iterator[dict[str, Any]]:
    """Whole chains in the environment, and the plain pipeline's call."""
    agent = DDPO(
        Problem(ENV, device=device), DDPOConfig(num_prompts=rows, group_size=1, pictures=0)
    )
    kept: list[torch.Tensor] = []

    def ours() -> None:
        kept.clear()
        agent.player.collect(lambda x, t, prompt: agent.sample(kept, x, t, prompt))

    bare, texts = pipeline(device), list(agent.task.texts[:rows])

    def theirs() -> None:
        bare(texts, num_inference_steps=STEPS, guidance_scale=1.0, eta=1.0, output_type="pt")

    found = interleave({"ours": ours, "theirs": theirs}, torch.device(device))
    yield rate("pictures/s: rollout of the policy, rewarded", rows, found["ours"])
    yield rate("pictures/s: the plain diffusers pipeline", rows, found["theirs"])
    share = ratio(found["theirs"], found["ours"])
    yield row("rollout / plain pipeline", rows, share, "at least 0.95")


def epochs(rows: int, device: str) -> Iterator[dict[str, Any]]:
    """One epoch of DDPO, ours and the published procedure, of 8 batches of `rows` pictures."""
    number = 8 * rows
    agent = DDPO(
        Problem(ENV, device=device),
        DDPOConfig(num_prompts=number, group_size=1, pictures=0, updates=1),
    )
    run = Run(0, 10**9)
    kept: list[torch.Tensor] = []

    def ours() -> None:
        kept.clear()
        chains = agent.player.collect(lambda x, t, prompt: agent.sample(kept, x, t, prompt))
        agent.improve(run, chains, torch.stack(kept))

    task = agent.task

    def paid(images: torch.Tensor, texts: list[str]) -> torch.Tensor:
        return task.reward(images.float() / 255, {"prompts": texts})

    plain = PlainDDPO(
        pipeline(device), [task.texts[k] for k in task.own.tolist()], paid, STEPS, rows
    )
    optimiser = plain.optimiser()
    found = interleave(
        {"ours": ours, "theirs": lambda: plain.epoch(optimiser)}, torch.device(device)
    )
    yield rate("pictures/s: an epoch of ddpo", number, found["ours"])
    yield rate("pictures/s: an epoch by the published procedure", number, found["theirs"])
    gained = ratio(found["theirs"], found["ours"])
    yield row("ddpo / published procedure", number, gained, "at least 1.2")


def rows(device: str) -> Iterator[dict[str, Any]]:
    """Every row."""
    for count in ROWS:
        yield from rollouts(count, device)
    yield from epochs(32, device)
