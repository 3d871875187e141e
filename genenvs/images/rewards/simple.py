"""Differentiable stand-ins for a taste: what they measure is their name, and no more.

None of them is an aesthetic score. They are cheap, bounded and differentiable, so that agents can
be built and compared on them; each has a dull picture that wins it.
"""

import torch
from torch import Tensor

from genenvs.images.rewards.reward import Context, Reward

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as JPEG takes it


def luminance(images: Tensor) -> Tensor:
    """How light each pixel is: [B, H, W] in [0, 1]."""
    return torch.einsum("bchw,c->bhw", images, images.new_tensor(LUMA))


def brightness() -> Reward:
    """The mean luminance, in [0, 1]. A white picture wins."""
    return Reward("brightness", _brightness, differentiable=True, range=(0.0, 1.0))


def _brightness(images: Tensor, context: Context) -> Tensor:
    return luminance(images).mean((1, 2))


def contrast() -> Reward:
    """Twice the standard deviation of the luminance, in [0, 1]. Half black, half white wins."""
    return Reward("contrast", _contrast, differentiable=True, range=(0.0, 1.0))


def _contrast(images: Tensor, context: Context) -> Tensor:
    variance = luminance(images).flatten(1).var(1, correction=0)
    return 2 * ((variance + 1e-8).sqrt() - 1e-4)  # the root of 0 has no gradient


def symmetry() -> Reward:
    """1 less the mean difference to the mirror image (left and right), in [0, 1]. Flat wins."""
    return Reward("symmetry", _symmetry, differentiable=True, range=(0.0, 1.0))


def _symmetry(images: Tensor, context: Context) -> Tensor:
    return 1 - (images - images.flip(-1)).abs().mean((1, 2, 3))


def smoothness() -> Reward:
    """1 less the mean difference of neighbours (total variation a pair), in [0, 1]. Flat wins."""
    return Reward("smoothness", _smoothness, differentiable=True, range=(0.0, 1.0))


def _smoothness(images: Tensor, context: Context) -> Tensor:
    across, down = images.diff(dim=-1).abs(), images.diff(dim=-2).abs()
    pairs = max(1, across[0].numel() + down[0].numel())
    return 1 - (across.sum((1, 2, 3)) + down.sum((1, 2, 3))) / pairs
