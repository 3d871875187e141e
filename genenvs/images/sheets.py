"""Titled pictures side by side over a caption."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from genenvs.images.solids import PAPER

INK = (40, 40, 46)
_MARGIN, _LINE = 10, 18  # pixels


def sheet(panels: Sequence[tuple[str, np.ndarray]], caption: str = "") -> np.ndarray:
    """Panels side by side.

    Args:
        panels: title and picture, uint8 [H, W, 3], at least one; drawn at their own size.
        caption: lines below.

    Returns:
        uint8 [H, W, 3].
    """
    lines = caption.split("\n") if caption else []
    wide = sum(image.shape[1] for _, image in panels) + _MARGIN * (len(panels) + 1)
    tall = max(image.shape[0] for _, image in panels)
    page = Image.new("RGB", (wide, tall + _LINE * (1 + len(lines)) + _MARGIN), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    left = _MARGIN
    for title, image in panels:
        draw.text((left, 4), title, INK, font)
        page.paste(Image.fromarray(image), (left, _LINE))
        left += image.shape[1] + _MARGIN
    for k, line in enumerate(lines):
        draw.text((_MARGIN, _LINE + tall + 2 + k * _LINE), line, INK, font)
    return np.asarray(page).copy()
