"""How well a picture compresses: the size of its JPEG file (DDPO, Black et al., 2023).

DDPO saves images of 512 px at quality 95 and pays minus or plus the kilobytes. At 32 px the file
is its header and little else, so smaller images are first enlarged: bicubically (Pillow's, a =
-0.5) to 128 px on the longer side, after rounding to 8 bits. A flat image then still costs
`floor_kb`, beyond which compressibility cannot rise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import torch
from torch import Tensor

from genenvs.images.rewards.reward import Context, Reward

QUALITY = 95  # DDPO's, as of Pillow; colour is stored at half the resolution
MEASURED = 128  # px, the longer side that smaller images are enlarged to


def measured_size(height: int, width: int, size: int = MEASURED) -> tuple[int, int]:
    """The height and width at which an image is measured: its own if it is large enough."""
    longer = max(height, width)
    if longer >= size:
        return height, width
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def jpeg_kb(images: Tensor, *, quality: int = QUALITY, size: int = MEASURED) -> Tensor:
    """The size of each image as a JPEG file.

    Args:
        images: float [B, 3, H, W] in [0, 1], on any device; copied to the host.
        quality: Pillow's, 1 to 95.
        size: the longer side, in px, that smaller images are enlarged to.

    Returns:
        float32 [B], on the CPU, in kB of 1000 bytes.
    """
    from PIL import Image

    height, width = measured_size(images.shape[-2], images.shape[-1], size)
    rounded = (images.detach().clamp(0, 1) * 255).round().to("cpu", torch.uint8)
    found = []
    for pixels in rounded.permute(0, 2, 3, 1).contiguous().numpy():
        picture = Image.fromarray(pixels)
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        file = BytesIO()
        picture.save(file, format="JPEG", quality=quality)
        found.append(file.tell() / 1000)
    return torch.tensor(found, dtype=torch.float32)


@cache
def floor_kb(height: int, width: int, *, quality: int = QUALITY, size: int = MEASURED) -> float:
    """What a flat grey image of this size costs, in kB: 0.881 for square images up to 128 px."""
    return float(jpeg_kb(torch.full((1, 3, height, width), 0.5), quality=quality, size=size))


@dataclass(frozen=True)
class _Jpeg:
    sign: int
    quality: int
    size: int

    def __call__(self, images: Tensor, context: Context) -> Tensor:
        return self.sign * jpeg_kb(images, quality=self.quality, size=self.size)


def jpeg_compressibility(quality: int = QUALITY, size: int = MEASURED) -> Reward:
    """Minus the kilobytes of the JPEG file; at most minus `floor_kb`."""
    _check(quality, size)
    return Reward(
        "jpeg_compressibility", _Jpeg(-1, quality, size), range=(-math.inf, 0.0), device="host"
    )


def jpeg_incompressibility(quality: int = QUALITY, size: int = MEASURED) -> Reward:
    """The kilobytes of the JPEG file."""
    _check(quality, size)
    return Reward(
        "jpeg_incompressibility", _Jpeg(1, quality, size), range=(0.0, math.inf), device="host"
    )


def _check(quality: int, size: int) -> None:
    whole: Sequence[object] = (quality, size)
    if not all(isinstance(each, int) for each in whole) or not 1 <= quality <= 95 or size < 8:
        raise ValueError(f"quality must be 1 to 95 and size at least 8 px; got {quality}, {size}")
