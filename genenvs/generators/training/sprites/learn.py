"""How `Diffusion` learns the scenes: from noise to latents, some captions missing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genenvs.generators.training.draws import stratified
from genenvs.generators.training.sprites import latents as scenes
from genenvs.generators.training.sprites.diffusion import Diffusion
from genenvs.generators.training.sprites.loop import Plan, fit

DROPPED = 0.1  # share of empty captions, which guidance needs


def sampler(
    model: Any, table: Tensor, steps: int, guidance: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """The plain deterministic sampler by diffusers, as `latents.accuracy` asks for."""
    scheduler = model.scheduler()

    def sample(noise: Tensor, prompt: Tensor) -> Tensor:
        ids = table[prompt]
        twice = guidance != 1
        condition = model.encode(torch.cat([ids, table[-1:].expand_as(ids)]) if twice else ids)
        scheduler.set_timesteps(steps)
        x = noise
        for time in scheduler.timesteps:
            both = torch.cat([x, x]) if twice else x
            output = model.predict(both, time.expand(len(both)), condition)
            if twice:
                wanted, blank = output.chunk(2)
                output = blank + guidance * (wanted - blank)
            x = scheduler.step(output, time, x).prev_sample
        return x

    return sample


def train(
    model: Diffusion,
    vae: Any,
    tokenizer: Any,
    plan: Plan,
    rows: int,
    shuffled: float,
    shift: float,
    exercise: int,
    watched: Mapping[str, tuple[int, float]],
    cache: Path | None = None,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> tuple[Any, dict]:
    """Train further on scenes of the training split's prompts.

    Args:
        model: what learns.
        vae: the autoencoder, frozen.
        tokenizer: of the captions.
        plan: how.
        rows: scenes.
        shuffled: share of captions that belong to another scene.
        shift: of the noise levels that are drawn; above 1 there are more high ones, which decide
            what stands where (Stable Diffusion 3's time shift).
        exercise: steps in which the text encoders learn the captions by themselves; they go on with
            it while denoising. 0 for none.
        watched: name -> (steps, guidance) of samplers whose accuracy is logged.
        cache: a file that keeps the encoded scenes from one stage to the next.
        checkpoint: a file to go on from.
        progress: show bars.

    Returns:
        The averaged model and the record.
    """
    torch.manual_seed(plan.seed)
    mean, std, asked = scenes.pool(vae, rows, plan.seed, cache, progress)
    table = scenes.tokens(tokenizer)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(rows, (plan.batch,), generator=generator)
        shape = (plan.batch, *mean.shape[1:])
        clean = mean[chosen] + std[chosen] * torch.randn(shape, generator=generator)
        luck = torch.rand(plan.batch, generator=generator)
        other = asked[torch.randint(rows, (plan.batch,), generator=generator)]
        own = torch.where(luck > 1 - DROPPED, len(table) - 1, asked[chosen])
        prompt = torch.where(luck < shuffled, other, own)
        noise = torch.randn(shape, generator=generator)
        place = stratified(plan.batch, generator)
        place = shift * place / (1 + (shift - 1) * place)
        x, time, target = model.corrupt(clean, noise, place.clamp_max(1 - 1e-6))
        condition = model.encode(table[prompt])
        found = functional.mse_loss(model.predict(x, time, condition), target)
        if exercise:
            found = found + model.grounding(condition, prompt)
        return found

    if exercise and not (checkpoint is not None and checkpoint.exists()):
        _read_first(model, table[:-1], exercise)

    def watch(averaged: nn.Module) -> dict[str, float]:
        samplers = {name: sampler(averaged, table, *how) for name, how in watched.items()}
        return {
            name: round(scenes.accuracy(vae, sample, "validation", 192)[0], 4)
            for name, sample in samplers.items()
        }

    return fit(model, loss, plan, watch, max(1, plan.steps // 16), progress, checkpoint)


def _read_first(model: Diffusion, table: Tensor, steps: int) -> None:
    """Let the text encoders learn what the captions say."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        prompt = torch.randint(len(table), (128,))
        value = model.grounding(model.encode(table[prompt]), prompt)
        optimiser.zero_grad(set_to_none=True)  # what takes no part has no gradient, and stays
        value.backward()
        optimiser.step()
