"""Scenes as the frozen autoencoder sees them, and samples judged by the parser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from genenvs.core.files import making
from genenvs.generators.training.sprites import data, words
from genenvs.generators.training.sprites.vae import scaled
from genenvs.images.scenes import grammar, parser


@torch.no_grad()
def pool(
    vae: Any, rows: int, seed: int, cache: Path | None = None, progress: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Encode training scenes once.

    Args:
        vae: the autoencoder.
        rows: how many scenes.
        seed: of them.
        cache: a file that keeps them from one stage to the next.
        progress: show bars.

    Returns:
        Mean and standard deviation of the latents, scaled to variance 1, float32
        [rows, 4, 8, 8] each; and prompts, int64 [rows].
    """
    if cache is not None and cache.exists():
        kept = load_file(cache)
        if len(kept["asked"]) == rows:
            return kept["mean"], kept["std"], kept["asked"]
    pictures, asked = data.draw("train", rows, seed, progress)
    found = []
    for part in tqdm(pictures.split(512), disable=not progress, unit_scale=512):
        latents = vae.encode(scaled(part)).latent_dist
        found.append((latents.mean, latents.std))
    mean, std = (
        (torch.cat(each) * vae.config.scaling_factor).contiguous()
        for each in zip(*found, strict=True)
    )
    if cache is not None:
        with making(cache) as temporary:
            save_file({"mean": mean, "std": std, "asked": asked}, temporary)
    return mean, std, asked


def tokens(tokenizer: Any) -> Tensor:
    """Every prompt of the grammar and last the empty one, int64 [5185, 10]."""
    texts = [prompt.text for prompt in grammar.prompts()] + [""]
    ids = tokenizer(texts, padding="max_length", max_length=words.LENGTH, return_tensors="pt")
    return ids.input_ids


@torch.no_grad()
def accuracy(
    vae: Any, sample: Callable[[Tensor, Tensor], Tensor], split: str, rows: int
) -> tuple[float, dict[str, float]]:
    """The share of samples that are what was asked for, in all and by category.

    Args:
        vae: the autoencoder.
        sample: noise float32 [B, 4, 8, 8] and prompts int64 [B] to latents.
        split: of the prompts.
        rows: samples, alike many of each category.
    """
    own = data.places(split)
    generator = torch.Generator().manual_seed(2)
    each = -(-rows // len(own))
    prompt = torch.cat(
        [kind[torch.randint(len(kind), (each,), generator=generator)] for kind in own]
    )
    noise = torch.randn(len(prompt), 4, 8, 8, generator=generator)
    images = []
    for rows_ in torch.arange(len(prompt)).split(128):
        latents = sample(noise[rows_], prompt[rows_]) / vae.config.scaling_factor
        images.append((vae.decode(latents).sample / 2 + 0.5).clamp(0, 1))
    asked = data.requests()[prompt]
    correct = parser.read(torch.cat(images), asked).correct
    return float(correct.float().mean()), parser.by_category(correct, asked)


@torch.no_grad()
def ceiling(vae: Any, split: str, rows: int) -> dict[str, Any]:
    """What the parser says of real scenes, and of the same through the autoencoder."""
    pictures, asked = data.draw(split, rows, 11)
    requests = data.requests()[asked]
    shown = []
    for part in pictures.split(256):
        again = vae.decode(vae.encode(scaled(part)).latent_dist.mean).sample
        shown.append((again / 2 + 0.5).clamp(0, 1))
    real = parser.read(pictures.float() / 255, requests).correct
    through = parser.read(torch.cat(shown), requests).correct
    return {
        "real": float(real.float().mean()),
        "through_vae": float(through.float().mean()),
        "by_category": parser.by_category(through, requests),
    }
