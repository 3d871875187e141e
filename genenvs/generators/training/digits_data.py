"""The 1,797 handwritten digits that come inside scikit-learn, split by content.

Source: UCI "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998), test part, as
`sklearn.datasets.load_digits`: 8 x 8 counts of ink in 0..16.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor

from genenvs.core.task import SPLITS

# Of ten residues of the content hash, seven train, one validates, two test.
RESIDUES = {"train": range(0, 7), "validation": range(7, 8), "test": range(8, 10)}
INK_LEVELS = 16


def residue(pixels: np.ndarray) -> int:
    """Return the residue 0..9 that decides an image's split.

    It is the first eight bytes of the SHA-256 of the image's 64 uint8 values, big-endian, modulo
    ten. The content decides, so identical images never land in two splits.
    """
    digest = hashlib.sha256(np.ascontiguousarray(pixels, dtype=np.uint8).tobytes()).digest()
    return int.from_bytes(digest[:8], "big") % 10


def load_split(split: str) -> tuple[Tensor, Tensor]:
    """Return the real images and labels of one split.

    Args:
        split: "train", "validation" or "test".

    Returns:
        images float32 [N, 1, 8, 8] in [-1, 1] and labels int64 [N] in 0..9.

    Raises:
        ValueError: the split is not one of the three.
    """
    if split not in RESIDUES:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = data.data.astype(np.uint8)  # [1797, 64]
    rows = np.flatnonzero([residue(row) in RESIDUES[split] for row in pixels])
    images = torch.from_numpy(pixels[rows]).float().view(-1, 1, 8, 8) * (2 / INK_LEVELS) - 1
    return images, torch.from_numpy(data.target[rows].astype(np.int64))


def jitter(images: Tensor, generator: torch.Generator, shift: float, degrees: float) -> Tensor:
    """Move each image by a random sub-pixel shift and a small rotation, bilinearly.

    Args:
        images: float32 [B, 1, H, W] in [-1, 1]; what comes in from outside is background, -1.
        generator: source of the 3 B uniform numbers.
        shift: largest shift in pixels along each axis.
        degrees: largest rotation either way.

    Returns:
        float32 [B, 1, H, W] in [-1, 1].
    """
    rows, height = len(images), images.shape[-1]
    draw = torch.rand(rows, 3, generator=generator) * 2 - 1  # [B, 3] in [-1, 1]
    angle = draw[:, 0] * (degrees * torch.pi / 180)
    moved = draw[:, 1:] * (2 * shift / height)  # grid_sample measures the image as 2 wide
    matrix = torch.stack(
        [
            torch.stack([angle.cos(), -angle.sin(), moved[:, 0]], -1),
            torch.stack([angle.sin(), angle.cos(), moved[:, 1]], -1),
        ],
        1,
    )  # [B, 2, 3]
    grid = torch.nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    # Background is zero after the shift by one, which is what grid_sample pads with.
    return torch.nn.functional.grid_sample(images + 1, grid, align_corners=False) - 1
