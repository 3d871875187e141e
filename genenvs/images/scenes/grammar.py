"""What a caption may say: the closed grammar of scenes, every prompt of it, and their splits.

    prompt   := group | group "and" group | group relation group
    group    := ("a" | "two" | "three") [size] colour shape

The categories are GenEval's (Ghosh et al., 2023, table 1), with sizes beside.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from genenvs.core.random import word

SHAPES = ("circle", "square", "triangle", "cross")
PLURALS = ("circles", "squares", "triangles", "crosses")
# The corners of the colour cube that are neither black nor white, a little muted.
COLOURS = {
    "red": (0.88, 0.14, 0.14),
    "green": (0.14, 0.74, 0.16),
    "blue": (0.14, 0.22, 0.90),
    "yellow": (0.92, 0.88, 0.12),
    "purple": (0.74, 0.14, 0.82),
    "cyan": (0.12, 0.84, 0.88),
}
SIZES = ("small", "large")
COUNTS = ("a", "two", "three")
RELATIONS = ("left of", "right of", "above", "below")
CATEGORIES = ("single", "size", "counting", "pair", "position", "both")
MAX_OBJECTS = 3
SPLITS = {"train": range(70), "validation": range(70, 80), "test": range(80, 100)}


@dataclass(frozen=True)
class Group:
    """Some equal things: how many, 1 to 3; size (None: any), colour and shape as indices."""

    count: int
    size: int | None
    colour: int
    shape: int

    @property
    def text(self) -> str:
        """In words."""
        size = [] if self.size is None else [SIZES[self.size]]
        shape = (SHAPES if self.count == 1 else PLURALS)[self.shape]
        return " ".join([COUNTS[self.count - 1], *size, list(COLOURS)[self.colour], shape])


@dataclass(frozen=True)
class Prompt:
    """One or two groups, and how the first lies to the second (None: not said)."""

    category: str
    groups: tuple[Group, ...]
    relation: int | None = None

    @property
    def text(self) -> str:
        """The caption."""
        link = "and" if self.relation is None else RELATIONS[self.relation]
        return f" {link} ".join(group.text for group in self.groups)

    @property
    def split(self) -> str:
        """Where the prompt belongs, by a hash of its text."""
        place = word(self.text) % 100
        return next(split for split, places in SPLITS.items() if place in places)


@cache
def prompts() -> tuple[Prompt, ...]:
    """Every prompt: 5,184, category by category."""
    kinds = [(colour, shape) for colour in range(len(COLOURS)) for shape in range(len(SHAPES))]
    sizes = (None, *range(len(SIZES)))
    found = [Prompt("single", (Group(1, None, *kind),)) for kind in kinds]
    found += [Prompt("size", (Group(1, size, *kind),)) for size in sizes[1:] for kind in kinds]
    found += [
        Prompt("counting", (Group(count, size, *kind),))
        for count in (2, 3)
        for size in sizes
        for kind in kinds
    ]
    two = [(a, b) for a in kinds for b in kinds if a != b]
    found += [Prompt("pair", (Group(1, None, *a), Group(1, None, *b))) for a, b in two]
    for category, count in (("position", 1), ("both", 2)):
        found += [
            Prompt(category, (Group(count, None, *a), Group(1, None, *b)), relation)
            for relation in range(len(RELATIONS))
            for a, b in two
        ]
    return tuple(found)


@cache
def of_split(split: str) -> tuple[Prompt, ...]:
    """The prompts of a split, no one of which is in another."""
    return tuple(prompt for prompt in prompts() if prompt.split == split)


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word of the grammar, sorted."""
    relations = [each for relation in RELATIONS for each in relation.split()]
    return tuple(sorted({*SHAPES, *PLURALS, *COLOURS, *SIZES, *COUNTS, *relations, "and"}))


@cache
def _by_text() -> dict[str, Prompt]:
    return {prompt.text: prompt for prompt in prompts()}


def read(text: str) -> Prompt:
    """The prompt that a caption says, whatever its case and spacing.

    Raises:
        ValueError: a word or a sentence that the grammar has not; names the nearest.
    """
    plain = " ".join(text.lower().split())
    found = _by_text().get(plain)
    if found is not None:
        return found
    unknown = [each for each in plain.split() if each not in vocabulary()]
    if unknown:
        near = [
            n for each in unknown for n in difflib.get_close_matches(each, vocabulary(), 1, 0.6)
        ]
        hint = f" (did you mean {', '.join(map(repr, near))}?)" if near else ""
        raise ValueError(
            f"prompt {text!r}: scenes know no {', '.join(map(repr, unknown))}{hint}; "
            f"the words are {', '.join(vocabulary())}"
        )
    raise ValueError(
        f"prompt {text!r} is no sentence of the grammar, whose sentences read 'a red circle', "
        "'three small blue squares', 'a red circle and a blue cross' or 'two red circles left of a "
        "blue square' (two different things; sizes where there is one)"
    )


@dataclass(frozen=True)
class Request:
    """What prompts ask for, as a batch; G = 2 groups, of which the second may be empty.

    Attributes:
        count: int64 [B, 2], 0 for no group.
        size: int64 [B, 2], -1 where any will do.
        colour: int64 [B, 2].
        shape: int64 [B, 2].
        relation: int64 [B], -1 for none.
        category: int64 [B], index into `CATEGORIES`.
    """

    count: Tensor
    size: Tensor
    colour: Tensor
    shape: Tensor
    relation: Tensor
    category: Tensor

    def __getitem__(self, rows: Tensor) -> "Request":
        """Some rows."""
        return Request(**{name: value[rows] for name, value in vars(self).items()})

    def __len__(self) -> int:
        """How many rows."""
        return len(self.relation)

    def to(self, device: torch.device | str) -> "Request":
        """With its tensors on `device`."""
        return Request(**{name: value.to(device) for name, value in vars(self).items()})


def request(asked: Sequence[Prompt]) -> Request:
    """A batch of prompts as tensors, on the CPU."""
    empty = Group(0, None, 0, 0)
    pairs = [(*prompt.groups, empty)[:2] for prompt in asked]

    def column(values: list[list[int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64).reshape(len(asked), 2)

    return Request(
        count=column([[group.count for group in pair] for pair in pairs]),
        size=column([[-1 if g.size is None else g.size for g in pair] for pair in pairs]),
        colour=column([[group.colour for group in pair] for pair in pairs]),
        shape=column([[group.shape for group in pair] for pair in pairs]),
        relation=torch.tensor([-1 if p.relation is None else p.relation for p in asked]).long(),
        category=torch.tensor([CATEGORIES.index(p.category) for p in asked]).long(),
    )
