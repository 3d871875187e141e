"""Writing in pictures: a font of 3 x 5 cells, what draws it, what reads it, and the OCR reward.

Letters are light on a dark plate. The reader knows nothing but the font: it averages cells, halves
them into light and dark, and finds a letter where all 15 cells and the dark frame around are right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from genenvs.images.rewards.reward import Context, Reward
from genenvs.images.rewards.simple import luminance

# Three columns, five rows, row by row from the top. Ours; no two are alike.
FONT = {
    "A": "010 101 111 101 101",
    "B": "110 101 110 101 110",
    "C": "011 100 100 100 011",
    "D": "110 101 101 101 110",
    "E": "111 100 110 100 111",
    "F": "111 100 110 100 100",
    "G": "011 100 101 101 011",
    "H": "101 101 111 101 101",
    "I": "111 010 010 010 111",
    "J": "001 001 001 101 010",
    "K": "101 101 110 101 101",
    "L": "100 100 100 100 111",
    "M": "101 111 111 101 101",
    "N": "111 101 101 101 101",
    "O": "010 101 101 101 010",
    "P": "110 101 110 100 100",
    "Q": "010 101 101 111 011",
    "R": "111 101 110 101 101",
    "S": "011 100 010 001 110",
    "T": "111 010 010 010 010",
    "U": "101 101 101 101 111",
    "V": "101 101 101 101 010",
    "W": "101 101 111 111 101",
    "X": "101 101 010 101 101",
    "Y": "101 101 010 010 010",
    "Z": "111 001 010 100 111",
    "0": "111 101 101 101 111",
    "1": "010 110 010 010 111",
    "2": "110 001 010 100 111",
    "3": "110 001 010 001 110",
    "4": "101 101 111 001 001",
    "5": "111 100 110 001 110",
    "6": "011 100 111 101 111",
    "7": "111 001 010 010 010",
    "8": "111 101 111 101 111",
    "9": "111 101 111 001 110",
}
LETTERS = "".join(FONT)
WIDE, TALL = 3, 5  # cells
PLATE, INK = 0.08, 0.95
HALF = 0.5  # between dark and light


@cache
def font() -> Tensor:
    """The letters of `LETTERS` as float32 [36, 5, 3], 1 where there is ink."""
    bits = [[float(bit) for bit in rows.replace(" ", "")] for rows in FONT.values()]
    return torch.tensor(bits).view(len(FONT), TALL, WIDE)


def plain(text: str) -> str:
    """As it is compared: capitals without spaces.

    Raises:
        ValueError: nothing is left, or a letter that the font has not.
    """
    found = "".join(text.upper().split())
    unknown = sorted(set(found) - set(FONT))
    if not found or unknown:
        what = f"has no {', '.join(map(repr, unknown))}" if unknown else "must not be empty"
        raise ValueError(f"text {text!r} {what}; the font has A to Z and 0 to 9")
    return found


def write(images: Tensor, texts: Sequence[str], *, scale: int = 1) -> Tensor:
    """Write a text on each image: on a plate in its middle, broken into lines where it must be.

    Args:
        images: float [B, 3, H, W] in [0, 1].
        texts: B of them, of letters and digits; case and spaces are lost.
        scale: pixels a cell; a letter takes 4 x 6 cells.

    Returns:
        [B, 3, H, W], a copy.

    Raises:
        ValueError: there are not B texts, or one does not fit or cannot be written.
    """
    if len(texts) != len(images):
        raise ValueError(f"texts must be {len(images)}, one for each image; got {len(texts)}")
    height, width = images.shape[-2:]
    columns = (width // scale - 1) // (WIDE + 1)
    lines = (height // scale - 1) // (TALL + 1)
    words = [plain(text) for text in texts]
    for text, word in zip(texts, words, strict=True):
        if len(word) > columns * lines:
            raise ValueError(
                f"text {text!r} does not fit {height} x {width} px at scale {scale}: there is room "
                f"for {lines} lines of {columns} letters"
            )
    longest = max(map(len, words), default=0)
    if not longest:
        return images.clone()
    across = min(columns, longest)
    index = torch.full((len(words), -(-longest // across) * across), len(FONT))
    for row, word in zip(index, words, strict=True):
        row[: len(word)] = torch.tensor([LETTERS.index(letter) for letter in word])
    glyphs = torch.cat([font(), torch.zeros(1, TALL, WIDE)])  # the last for places without letter
    framed = functional.pad(glyphs, (1, 0, 1, 0))[index.to(torch.int64)]  # [B, N, 6, 4]
    plate = framed.view(len(words), -1, across, TALL + 1, WIDE + 1).transpose(2, 3)
    plate = functional.pad(plate.reshape(len(words), -1, across * (WIDE + 1)), (0, 1, 0, 1))
    plate = plate.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    top, left = (height - plate.shape[1]) // 2, (width - plate.shape[2]) // 2
    found = images.clone()
    found[:, :, top : top + plate.shape[1], left : left + plate.shape[2]] = PLATE + (
        INK - PLATE
    ) * plate[:, None].to(images)
    return found


def read(images: Tensor, *, scale: int = 1) -> list[str]:
    """What is written on images, line by line.

    Args:
        images: float [B, 3, H, W] in [0, 1].
        scale: pixels a cell.

    Returns:
        B texts, empty where no letter is found.
    """
    height, width = images.shape[-2:]
    if not len(images) or height < (TALL + 2) * scale or width < (WIDE + 2) * scale:
        return [""] * len(images)
    light = luminance(images.detach().float())[:, None]
    cell = functional.avg_pool2d(light, scale, 1) if scale > 1 else light
    code = _codes((cell[:, 0] > HALF).long(), scale)  # [B, y, x]
    known, letters = _codes(functional.pad(font(), (1, 1, 1, 1)).long(), 1).flatten().sort()
    known, letters = known.to(images.device), letters.to(images.device)
    nearest = torch.searchsorted(known, code).clamp_max(len(known) - 1)
    row, y, x = (known[nearest] == code).nonzero().unbind(1)
    letter = letters[nearest[row, y, x]]
    found: list[list[tuple[int, int, str]]] = [[] for _ in images]
    for b, k, down, along in zip(*(v.tolist() for v in (row, letter, y, x)), strict=True):
        found[b].append((down, along, LETTERS[k]))
    return [_in_order(each, scale) for each in found]


def _codes(ink: Tensor, step: int) -> Tensor:
    """The 35 cells of a letter and its frame as one number, for every place of its corner.

    Args:
        ink: int64 [B, H, W], 0 or 1.
        step: pixels from cell to cell.
    """
    for axis, number, bits in ((2, WIDE + 2, 1), (1, TALL + 2, WIDE + 2)):
        places = ink.shape[axis] - (number - 1) * step
        code = ink.narrow(axis, 0, places).clone()
        for k in range(1, number):
            code |= ink.narrow(axis, k * step, places) << (k * bits)
        ink = code
    return ink


def _in_order(letters: list[tuple[int, int, str]], scale: int) -> str:
    """From the top line to the last, each from the left."""
    lines: list[list[tuple[int, int, str]]] = []
    for y, x, letter in sorted(letters):
        if not lines or y - lines[-1][0][0] >= TALL * scale:
            lines.append([])
        if all(abs(x - other) >= WIDE * scale for _, other, _ in lines[-1]):  # not the same again
            lines[-1].append((y, x, letter))
    return "".join(letter for line in lines for _, letter in sorted(each[1:] for each in line))


def edit_distance(first: str, second: str) -> int:
    """The least number of letters to insert, delete or replace (Levenshtein, 1966)."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        corner, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (a != b))
    return row[-1]


def match(found: str, asked: str) -> float:
    """Flow-GRPO's score in [0, 1]: 1 - min(edit distance, n) / n, n letters asked for.

    1 where what was asked for is part of what was found (Liu et al., 2025; case and spaces are
    lost).
    """
    found, asked = ("".join(each.upper().split()) for each in (found, asked))
    if asked in found:
        return 1.0
    return 1 - min(edit_distance(found, asked), len(asked)) / len(asked)


def asked_for(context: Context) -> list[str]:
    """What is to be written: `context["text"]`, or what is quoted in the prompts.

    Raises:
        ValueError: neither is there, or a letter that the font has not.
    """
    texts = context.get("text")
    if texts is not None:
        return [plain(text) for text in texts]
    prompts = context.get("prompts")
    if prompts is None:
        raise ValueError("reward 'glyphs' needs text, or prompts that quote it, in its context")
    found = []
    for prompt in prompts:
        part = prompt.split('"')
        if len(part) < 3:
            raise ValueError(f"reward 'glyphs': prompt {prompt!r} quotes no text (\"...\")")
        try:
            found.append(plain(part[1]))
        except ValueError as error:
            raise ValueError(f"reward 'glyphs': prompt {prompt!r}: {error}") from error
    return found


@dataclass(frozen=True)
class Glyphs:
    """The function of the reward."""

    scale: int

    def __call__(self, images: Tensor, context: Context) -> Tensor:
        asked = asked_for(context)
        seen = read(images, scale=self.scale)
        return torch.tensor([match(f, a) for f, a in zip(seen, asked, strict=True)])


def glyphs(scale: int | str = 1) -> Reward:
    """How much of the text the reader finds in the picture (`match`), in [0, 1].

    Args:
        scale: pixels a cell of the font.
    """
    if not str(scale).isdecimal() or int(scale) < 1:
        raise ValueError(f"scale must be a whole number of pixels, 1 or more; got {scale!r}")
    return Reward("glyphs", Glyphs(int(scale)), range=(0.0, 1.0), device="host")
