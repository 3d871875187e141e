"""The first stage: an autoencoder that turns a scene of 3 x 32 x 32 into latents of 4 x 8 x 8."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from genenvs.generators.training.sprites import data
from genenvs.generators.training.sprites.loop import Plan, fit
from genenvs.images.scenes import parser

VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "sample_size": 32,
    "block_out_channels": (16, 32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
    "force_upcast": False,
}
# Of the divergence from a standard normal, per latent number: enough to keep their scale near 1
# and their neighbourhood smooth, too little to blur.
DIVERGENCE = 3e-4
THINGS = 4.0  # weight of pixels in and beside things, beyond that of all


def scaled(pictures: Tensor) -> Tensor:
    """uint8 in 0 .. 255 to float32 in [-1, 1], as diffusers' autoencoders have it."""
    return pictures.float() / 127.5 - 1


def error(vae: Any, images: Tensor, noise: Tensor | None) -> Tensor:
    """Weighted absolute error of pictures and of its slopes, and the divergence.

    Args:
        vae: a diffusers `AutoencoderKL`.
        images: float32 [B, 3, 32, 32] in [-1, 1].
        noise: of the latents, float32 [B, 4, 8, 8]; None for none.
    """
    latents = vae.encode(images).latent_dist
    sample = latents.mean if noise is None else latents.mean + latents.std * noise
    # Things are a tenth of the picture, and what captions are about.
    vivid = images.amax(1, keepdim=True) - images.amin(1, keepdim=True)
    weight = 1 + THINGS * functional.max_pool2d((vivid > 0.5).float(), 3, 1, 1)
    off = weight * (vae.decode(sample).sample - images)
    slopes = [off.diff(dim=axis).abs().mean() for axis in (2, 3)]
    divergence = latents.kl().mean() / latents.mean[0].numel()
    return off.abs().mean() + 0.5 * sum(slopes) + DIVERGENCE * divergence


def train(plan: Plan, rows: int, progress: bool = True) -> tuple[Any, dict]:
    """Train on `rows` scenes; return the averaged autoencoder and the record."""
    from diffusers import AutoencoderKL

    torch.manual_seed(plan.seed)
    pictures, _ = data.draw("train", rows, plan.seed, progress)
    held, asked = data.draw("validation", 1_024, plan.seed)
    held_images, requests = scaled(held), data.requests()[asked]
    vae = AutoencoderKL(**VAE).to(memory_format=torch.channels_last)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(rows, (plan.batch,), generator=generator)
        noise = torch.randn(plan.batch, 4, 8, 8, generator=generator)
        return error(vae, scaled(pictures[chosen]), noise)

    @torch.no_grad()
    def watch(averaged: Any) -> dict[str, float]:
        # Parts of the decoder are measured where they are used: on the means of latents.
        shown = averaged.decode(averaged.encode(held_images).latent_dist.mean).sample
        off = functional.mse_loss(shown.clamp(-1, 1), held_images) / 4
        read = parser.read(shown.clamp(-1, 1) / 2 + 0.5, requests)
        return {
            "psnr": round(-10 * float(off.log10()), 3),
            "correct": round(float(read.correct.float().mean()), 4),
        }

    averaged, record = fit(vae, loss, plan, watch, max(1, plan.steps // 10), progress)
    with torch.no_grad():
        latents = [averaged.encode(scaled(each)).latent_dist for each in pictures[:4096].split(512)]
        values = torch.cat([each.sample(torch.Generator().manual_seed(1)) for each in latents])
    # So that latents have variance 1, as the noise has.
    averaged.register_to_config(scaling_factor=round(1 / float(values.std()), 4))
    return averaged, record | {"latent_std": round(float(values.std()), 4)}
