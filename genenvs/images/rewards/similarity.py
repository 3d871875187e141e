"""How near images are to `context["target"]`: differentiable, on any device."""

import torch
from torch import Tensor
from torch.nn import functional

from genenvs.images.rewards.reward import Context, Reward

# Wang et al. (2004), section III.C, for values in [0, 1].
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
BEST_PSNR = 100.0  # dB, where a mean squared error of 1e-10 and less is cut off


def mse() -> Reward:
    """Minus the mean squared error, in [-1, 0]."""
    return Reward("mse", _mse, differentiable=True, range=(-1.0, 0.0), needs=("target",))


def _mse(images: Tensor, context: Context) -> Tensor:
    return -(images - context["target"]).square().mean((1, 2, 3))


def psnr() -> Reward:
    """The peak signal-to-noise ratio in dB, in [0, 100]."""
    return Reward("psnr", _psnr, differentiable=True, range=(0.0, BEST_PSNR), needs=("target",))


def _psnr(images: Tensor, context: Context) -> Tensor:
    return -10 * torch.log10((-_mse(images, context)).clamp_min(10 ** (-BEST_PSNR / 10)))


def ssim() -> Reward:
    """Structural similarity (`structural_similarity`), in [-1, 1]."""
    return Reward("ssim", _ssim, differentiable=True, range=(-1.0, 1.0), needs=("target",))


def _ssim(images: Tensor, context: Context) -> Tensor:
    return structural_similarity(images, context["target"])


def structural_similarity(first: Tensor, second: Tensor) -> Tensor:
    """SSIM (Wang et al., 2004), the mean over channels and window positions.

    The window is their Gaussian of 11 x 11 and sigma 1.5, at places where all of it lies inside
    the image; in smaller images the largest odd window that fits. Variances are weighted by the
    window, without a correction for bias.

    Args:
        first: float [B, C, H, W] in [0, 1].
        second: the same shape.

    Returns:
        [B] in [-1, 1], 1 for equal images.
    """
    channels = first.shape[1]
    side = min(WINDOW, *first.shape[-2:])
    side -= 1 - side % 2
    at = torch.arange(side, device=first.device, dtype=first.dtype) - side // 2
    line = torch.exp(-at.square() / (2 * SIGMA**2))
    line = line / line.sum()

    def smooth(values: Tensor) -> Tensor:
        planes = values.shape[1]  # each for itself: the fastest way of four on a CPU
        across = functional.conv2d(values, line.expand(planes, 1, 1, -1), groups=planes)
        return functional.conv2d(across, line[:, None].expand(planes, 1, -1, 1), groups=planes)

    second = second.to(first.dtype)
    planes = torch.cat([first, second, first * first, second * second, first * second], 1)
    m1, m2, s11, s22, s12 = smooth(planes).split(channels, 1)
    # Rounding may take a variance below 0, never by much.
    v1, v2, cov = s11 - m1 * m1, s22 - m2 * m2, s12 - m1 * m2
    light = (2 * m1 * m2 + C1) / (m1 * m1 + m2 * m2 + C1)
    structure = (2 * cov + C2) / (v1 + v2 + C2)
    return (light * structure).mean((1, 2, 3))
