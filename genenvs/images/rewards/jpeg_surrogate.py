"""The size of a JPEG file, near enough, as a differentiable function on any device.

What JPEG does up to its rounding: luma and halved chroma, the cosine transform of blocks of 8 x 8,
division by the quantisation tables (ITU-T T.81, annex K, scaled to the quality as libjpeg does).
Instead of rounding and Huffman codes, log(1 + 4 q^2) of each quotient q stands for its bits: 0
where q rounds to 0, some bits and one more for every doubling beyond.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from genenvs.images.rewards.jpeg import MEASURED, QUALITY, measured_size
from genenvs.images.rewards.reward import Context, Reward
from genenvs.images.rewards.simple import LUMA

BLOCK = 8
# Least squares over 600 scenes, plain, noisy, faded, blurred and random, at quality 95.
FLOOR_KB, KB_PER_NAT = 0.881, 1.96e-4
# No quotient of 8-bit values passes 2 * 1024 (differences of means), and there are 1.5 a pixel.
HIGHEST_KB = FLOOR_KB + KB_PER_NAT * 1.5 * MEASURED**2 * math.log1p(4 * 2048**2)

# ITU-T T.81, tables K.1 (luma) and K.2 (chroma).
_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)


def estimated_kb(images: Tensor, *, quality: int = QUALITY, size: int = MEASURED) -> Tensor:
    """An estimate of `jpeg.jpeg_kb`, to some 0.1 kB on small scenes at the default quality.

    Args:
        images: float32 or float64 [B, 3, H, W] in [0, 1].
        quality: 1 to 95.
        size: the longer side, in px, that smaller images are enlarged to (bicubically).

    Returns:
        [B], kB for every `size` x `size` px: of the file, where that is the size measured.
    """
    height, width = measured_size(images.shape[-2], images.shape[-1], size)
    pixels = images * 255
    luma = torch.einsum("bchw,c->bhw", pixels, pixels.new_tensor(LUMA))
    red, blue = pixels[:, 0] - luma, pixels[:, 2] - luma
    nats, padded = pixels.new_zeros(len(pixels)), 1
    for halved, table, plane in (
        (False, _LUMA_TABLE, luma - 128),
        (True, _CHROMA_TABLE, 0.564 * blue),
        (True, _CHROMA_TABLE, 0.713 * red),
    ):
        down = _transform(images.shape[-2], height, halved).to(plane)
        across = _transform(images.shape[-1], width, halved).to(plane)
        steps = _steps(table, quality).to(plane)
        steps = steps.repeat(len(down) // BLOCK, len(across) // BLOCK)
        nats = nats + _nats(down @ plane @ across.T / steps)
        padded = max(padded, len(down) * len(across))
    return FLOOR_KB + KB_PER_NAT * nats * (size * size / padded)


def _nats(quotient: Tensor) -> Tensor:
    """Sum of log(1 + 4 q^2) over all blocks of [B, H, W]: [B]."""
    means = quotient[:, ::BLOCK, ::BLOCK]  # stored as differences from block to block
    changes = means[:, :, :1].diff(dim=1), means.diff(dim=2)
    total = _log(quotient) - _log(means)
    return total + _log(changes[0]) + _log(changes[1])


def _log(quotient: Tensor) -> Tensor:
    return torch.log1p(4 * quotient.square()).sum((1, 2))


@cache
def _transform(side: int, to: int, halved: bool) -> Tensor:
    """One axis from pixels to the cosines of its blocks, as one matrix: float64 [n, side].

    Enlarges to `to` px, repeats the last to a multiple of 16, halves, transforms blocks of 8.
    """
    # With `antialias` torch takes Pillow's a = -0.5; without, -0.75.
    axis = torch.eye(side, dtype=torch.float64)[None, None]
    if side != to:
        axis = functional.interpolate(axis, (to, side), mode="bicubic", antialias=True)
    axis = functional.pad(axis, (0, 0, 0, -to % 16), mode="replicate")
    if halved:
        axis = (axis[:, :, ::2] + axis[:, :, 1::2]) / 2
    blocks = axis.view(-1, BLOCK, side)
    return (_cosines() @ blocks).reshape(-1, side)


@cache
def _cosines() -> Tensor:
    """The orthonormal cosine transform of 8 values: float64 [8, 8]."""
    at = torch.arange(BLOCK, dtype=torch.float64)
    table = torch.cos(torch.pi * (2 * at + 1) * at[:, None] / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
    table[0] /= 2**0.5
    return table


@cache
def _steps(table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """The quantisation steps at a quality, as libjpeg scales them: float32 [8, 8]."""
    scale = 200 - 2 * quality if quality >= 50 else 5000 // quality
    return ((torch.tensor(table) * scale + 50) // 100).clamp(1, 255).float()


@dataclass(frozen=True)
class _Surrogate:
    quality: int
    size: int

    def __call__(self, images: Tensor, context: Context) -> Tensor:
        return -estimated_kb(images, quality=self.quality, size=self.size)


def jpeg_surrogate(quality: int = QUALITY, size: int = MEASURED) -> Reward:
    """The differentiable twin of `jpeg_compressibility`, on any device; -1 times it, of the other.

    Bounded, unlike the twin, for it counts kB per 128 x 128 px however large the images.
    """
    if not 1 <= quality <= 95 or size < 16:
        raise ValueError(f"quality must be 1 to 95 and size at least 16 px; got {quality}, {size}")
    highest = FLOOR_KB + (HIGHEST_KB - FLOOR_KB) * (size / MEASURED) ** 2
    return Reward(
        "jpeg_surrogate",
        _Surrogate(quality, size),
        differentiable=True,
        range=(-highest, 0.0),
    )
