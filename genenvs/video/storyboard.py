"""A film as a picture: its shots side by side over a timeline."""

import colorsys

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from genenvs.images.timeline import FAINT, INK, MARGIN, MARK, PAPER
from genenvs.video.clips import FPS
from genenvs.video.film import CUT, TRANSITIONS, Edit
from genenvs.video.footage import Footage

WIDE = 128  # pixels of a shot
COLUMNS = 6
_BAR, _TEXT = 16, 14


def storyboard(edit: Edit, footage: Footage, caption: str = "") -> np.ndarray:
    """Draw the middle frame of each shot, and below how long each is and how it begins.

    Args:
        edit: may be empty: a film that is not begun.
        footage: what it is cut from.
        caption: one line below.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: an edit with an event that cannot be cut.
    """
    if len(edit):
        edit.check(footage)
    high = max(1, round(WIDE * footage.size[1] / footage.size[0]))
    rows = max(1, -(-len(edit) // COLUMNS))
    cell = high + _TEXT + 4
    width = MARGIN + COLUMNS * (WIDE + MARGIN)
    line = MARGIN + rows * (cell + 4)
    sheet = Image.new("RGB", (width, line + _BAR + 3 * _TEXT + MARGIN), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    total, right = max(1, edit.frames), width - MARGIN
    draw.rectangle((MARGIN, line, right, line + _BAR), outline=FAINT)
    if len(edit):
        middle = footage.pictures(edit.clip, edit.start + edit.length // 2)
    for k in range(len(edit)):
        clip, length, kind = int(edit.clip[k]), int(edit.length[k]), int(edit.transition[k])
        left, top = MARGIN + k % COLUMNS * (WIDE + MARGIN), MARGIN + k // COLUMNS * (cell + 4)
        sheet.paste(Image.fromarray(middle[k]).resize((WIDE, high)), (left, top))
        colour = _colour(clip)
        draw.rectangle((left, top + high, left + WIDE - 1, top + high + 2), colour)
        said = f"{k + 1}  {length / FPS:.1f} s" + (f"  {TRANSITIONS[kind]}" if kind else "")
        draw.text((left, top + high + 3), said, INK, font)
        scale = (right - MARGIN) / total
        start = MARGIN + int(edit.begins[k]) * scale
        draw.rectangle((start, line, start + length * scale, line + _BAR), colour, PAPER)
        if kind != CUT:  # a ramp as long as the transition
            over = start + int(edit.lasts[k]) * scale
            draw.polygon([(start, line + _BAR), (over, line), (start, line)], MARK)
    draw.text((MARGIN, line + _BAR + 2), "0 s", FAINT, font)
    end = f"{edit.frames / FPS:.1f} s"
    draw.text((right - draw.textlength(end, font), line + _BAR + 2), end, FAINT, font)
    draw.text((MARGIN, line + _BAR + 2 + _TEXT), caption, INK, font)
    return np.asarray(sheet).copy()


def nothing() -> Edit:
    """An edit without events."""
    return Edit(*(torch.zeros(0, dtype=torch.int64) for _ in range(4)))


def _colour(clip: int) -> tuple[int, int, int]:
    """A colour for each clip, unlike its neighbours'."""
    red, green, blue = colorsys.hsv_to_rgb(clip * 0.618 % 1, 0.55, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)
