"""What is said of a shot: eight attributes, each one of a few named categories.

The eight are RLAVE's (Hu et al., MM 2023): shot size, angle, motion and type, subject, number of
people or objects, sound, location. Its lists of categories are not published; sizes and angles
here are those of the dataset it learns from (AVE, Argaw et al., ECCV 2022), the others film
grammar's usual ones that a drawn clip can show. Any combination is a possible shot: a shot type
says how the frame is arranged, never how many are in it (AVE's two-shots and group shots would
repeat the number).

Attributes travel as int64 [..., 8], in the order of `ATTRIBUTES`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Attribute:
    """One of the eight: its name and its categories."""

    name: str
    categories: tuple[str, ...]

    def __len__(self) -> int:
        """How many categories."""
        return len(self.categories)


SIZE, ANGLE, MOTION, TYPE, SUBJECT, NUMBER, SOUND, LOCATION = range(8)
ATTRIBUTES = (
    Attribute("size", ("extreme-wide", "wide", "medium", "close-up", "extreme-close-up")),
    Attribute("angle", ("aerial", "overhead", "high-angle", "eye-level", "low-angle")),
    Attribute("motion", ("locked", "handheld", "pan", "tilt", "zoom")),
    Attribute("type", ("clean", "over-the-shoulder", "insert", "point-of-view")),
    Attribute("subject", ("human", "animal", "vehicle", "object", "scenery")),
    Attribute("number", ("one", "two", "three", "several")),
    Attribute("sound", ("silence", "ambience", "speech", "music")),
    Attribute("location", ("interior", "street", "country", "shore")),
)
NAMES = tuple(attribute.name for attribute in ATTRIBUTES)
SIZES = tuple(len(attribute) for attribute in ATTRIBUTES)  # (5, 5, 5, 4, 5, 4, 4, 4)
COUNT = len(ATTRIBUTES)  # 8
WIDTH = sum(SIZES)  # 36, of one shot as `one_hot` writes it
STARTS = tuple(sum(SIZES[:k]) for k in range(COUNT))  # where each begins in it
ORDERED = (SIZE, NUMBER)  # those whose neighbouring categories are alike


def check(attributes: Tensor) -> None:
    """Refuse what are no attributes.

    Raises:
        ValueError: not int64 [..., 8], or a category that an attribute does not have.
    """
    if attributes.dtype != torch.int64 or attributes.shape[-1:] != (COUNT,):
        got = f"{attributes.dtype} {list(attributes.shape)}"
        raise ValueError(f"attributes must be int64 [..., {COUNT}]; got {got}")
    sizes = torch.tensor(SIZES, device=attributes.device)
    if bool(((attributes < 0) | (attributes >= sizes)).any()):
        raise ValueError(f"attributes must lie in 0 .. {[size - 1 for size in SIZES]}")


def one_hot(attributes: Tensor) -> Tensor:
    """Attributes int64 [..., 8] as float32 [..., 36], eight ones in each."""
    places = attributes + _starts(attributes.device)
    flat = torch.zeros(*attributes.shape[:-1], WIDTH, device=attributes.device)
    return flat.scatter_(-1, places, 1.0)


@cache
def _starts(device: torch.device) -> Tensor:
    return torch.tensor(STARTS, device=device)


def matches(a: Tensor, b: Tensor) -> Tensor:
    """The share of the eight that agree: int64 [..., 8] twice -> float32 [...]."""
    return (a == b).float().mean(-1)


def words(attributes: Sequence[int] | Tensor) -> dict[str, str]:
    """Names and categories of one shot, [8]."""
    row = attributes.tolist() if isinstance(attributes, Tensor) else list(attributes)
    return {a.name: a.categories[value] for a, value in zip(ATTRIBUTES, row, strict=True)}


def describe(attributes: Sequence[int] | Tensor) -> str:
    """One shot, [8], in a line: `wide, eye-level, pan, clean, two human, speech, street`."""
    said = words(attributes)
    return (
        f"{said['size']}, {said['angle']}, {said['motion']}, {said['type']},"
        f" {said['number']} {said['subject']}, {said['sound']}, {said['location']}"
    )


def encode(said: Mapping[str, str]) -> Tensor:
    """Attributes by name, as `words` writes them: int64 [8]; what is left out is 0.

    Raises:
        ValueError: an unknown attribute or category; names those there are.
    """
    if unknown := sorted(set(said) - set(NAMES)):
        raise ValueError(f"no attribute {unknown[0]!r}; there are {', '.join(NAMES)}")
    row = []
    for attribute in ATTRIBUTES:
        value = said.get(attribute.name, attribute.categories[0])
        if value not in attribute.categories:
            known = ", ".join(attribute.categories)
            raise ValueError(f"{attribute.name} must be one of {known}; got {value!r}")
        row.append(attribute.categories.index(value))
    return torch.tensor(row)
