"""Pictures of a sampling episode: latent and predicted clean image over a timeline."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

PANEL = 128  # pixels, side of an image
MARGIN = 12
INK, FAINT, MARK = (235, 235, 240), (120, 120, 135), (255, 170, 60)
PAPER = (24, 24, 32)


def to_image(image: Tensor) -> Image.Image:
    """A tensor [C, H, W] in [-1, 1] (clipped) as a PIL image, `L` or `RGB`."""
    values = ((image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
    if len(values) == 1:
        return Image.fromarray(values[0])
    return Image.fromarray(np.moveaxis(values[:3], 0, -1).copy())


def picture(
    panels: Sequence[tuple[str, Tensor]], times: Sequence[int], steps: int, caption: str
) -> np.ndarray:
    """Images side by side over the timeline of evaluations.

    Args:
        panels: title and tensor [C, H, W] of each image.
        times: where on the noise schedule the network was evaluated, each in 0 .. steps.
        steps: the noisiest time.
        caption: one line below.

    Returns:
        uint8 [H, W, 3].
    """
    width = MARGIN + len(panels) * (PANEL + MARGIN)
    sheet = Image.new("RGB", (width, PANEL + 4 * MARGIN + 46), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for k, (title, image) in enumerate(panels):
        left = MARGIN + k * (PANEL + MARGIN)
        draw.text((left, 6), title, INK, font)
        shown = to_image(image).convert("RGB").resize((PANEL, PANEL), Image.Resampling.NEAREST)
        sheet.paste(shown, (left, 2 * MARGIN))
    line, right = PANEL + 3 * MARGIN + 10, width - MARGIN
    draw.line((MARGIN, line, right, line), FAINT)
    for time in times:
        at = MARGIN + (1 - time / steps) * (right - MARGIN)
        draw.line((at, line - 6, at, line + 6), MARK, 2)
    draw.text((MARGIN, line + 9), "noise", FAINT, font)
    draw.text((right - 26, line + 9), "clean", FAINT, font)
    draw.text((MARGIN, line + 24), caption, INK, font)
    return np.asarray(sheet).copy()
