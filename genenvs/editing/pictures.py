"""Pictures of shots: rows of frames under each other, and films as lines of time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genenvs.core import random
from genenvs.editing.styles import JOINS, UNIT
from genenvs.images.sheets import INK
from genenvs.images.solids import PAPER
from genenvs.video import clips
from genenvs.video.attributes import LOCATION
from genenvs.video.clips import FPS
from genenvs.video.footage import Drawn, Footage

FRAMES = round(UNIT * FPS)  # of a unit
WIDE, HIGH, GAP = 72, 40, 6  # pixels of a frame
COLUMNS = 10
FAINT, EMPTY = (120, 120, 128), (228, 228, 224)
SIGNS = ("|", "x", "o", ">")  # of `JOINS`
_FOOTAGE, _PLACE = random.word("footage of an edit"), random.word("place of an edit")


@dataclass(frozen=True)
class Shot:
    """One frame of a shot and what is written below it.

    Attributes:
        clip: which of the clips.
        frame: of it.
        text: a line.
        marked: whether it stands out.
    """

    clip: int
    frame: int
    text: str
    marked: bool = False


def footage(instance: Tensor, attributes: Tensor, lengths: Tensor) -> Drawn:
    """The clips of one instance, drawn; those at one location share its look.

    Args:
        instance: int64 [].
        attributes: int64 [N, 8].
        lengths: int64 [N], units.
    """
    number = torch.arange(len(attributes), device=attributes.device)
    key = random.mix(instance[None], _FOOTAGE, number)
    place = random.mix(instance[None], _PLACE, attributes[:, LOCATION])
    drawn = clips.draw(key, place, attributes)
    return Drawn(replace(drawn, length=lengths * FRAMES).to("cpu"))


def board(rows: Sequence[tuple[str, Sequence[Shot]]], taken: Footage, caption: str) -> np.ndarray:
    """Titled rows of at most `COLUMNS` shots each, over a line where there is a caption.

    uint8 [H, W, 3], of the same size for as many rows.
    """
    line = HIGH + 36
    wide = COLUMNS * (WIDE + GAP) + GAP
    page = Image.new("RGB", (wide, len(rows) * line + 22 * bool(caption)), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    every = [shot for _, row in rows for shot in row[:COLUMNS]]
    if every:
        which = torch.tensor([shot.clip for shot in every])
        shown = iter(taken.pictures(which, torch.tensor([shot.frame for shot in every])))
    for number, (title, row) in enumerate(rows):
        top = number * line + 4
        draw.text((GAP, top), title, INK, font)
        for column in range(COLUMNS):
            left = GAP + column * (WIDE + GAP)
            box = (left, top + 16, left + WIDE, top + 16 + HIGH)
            if column >= len(row):
                draw.rectangle(box, EMPTY)
                continue
            small = Image.fromarray(next(shown)).resize((WIDE, HIGH), Image.Resampling.BILINEAR)
            page.paste(small, box[:2])
            if row[column].marked:
                draw.rectangle(box, outline=(206, 60, 50), width=3)
            draw.text((left, box[3] + 2), row[column].text, FAINT, font)
    draw.text((GAP, len(rows) * line + 4), caption, INK, font)
    return np.asarray(page).copy()


def timeline(
    rows: Sequence[tuple[str, Sequence[tuple[int, int, int]]]], units: int, wide: int
) -> np.ndarray:
    """Films as lines of time.

    Args:
        rows: title, and of each shot its clip, its length in units and the join into it.
        units: that the whole width stands for, at least 1.
        wide: pixels.

    Returns:
        uint8 [H, wide, 3].
    """
    high, margin = 26, 92
    page = Image.new("RGB", (wide, high * len(rows) + 4), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    scale = (wide - margin - GAP) / max(1, units)
    for number, (title, shots) in enumerate(rows):
        top, at = number * high + 2, 0
        draw.text((GAP, top + 4), title, INK, font)
        draw.rectangle((margin, top, margin + units * scale, top + high - 6), EMPTY)
        for clip, length, join in shots:
            left, right = margin + at * scale, margin + (at + length) * scale
            draw.rectangle((left + 1, top, right - 1, top + high - 6), _colour(clip))
            draw.text((left + 3, top + 3), f"{SIGNS[join]}{clip}", INK, font)
            at += length
    return np.asarray(page).copy()


def legend() -> str:
    """What the signs of `timeline` mean."""
    return "  ".join(f"{sign} {name}" for sign, name in zip(SIGNS, JOINS, strict=True))


def _colour(number: int) -> tuple[int, int, int]:
    """A light colour of its own for each clip."""
    turn = 2.4 * number  # radians: the golden angle keeps neighbours apart
    return tuple(int(198 + 42 * np.cos(turn + k * 2.1)) for k in range(3))  # type: ignore[return-value]
