"""What is asked for: the prompts of a split, one instance each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from genenvs.core.random import word
from genenvs.images.scenes import grammar
from genenvs.images.scenes.grammar import CATEGORIES, SPLITS, Request

# Prompts a category: relations have thousands, single things two dozen, and each shall count.
MOST = {"train": 100, "validation": 40, "test": 40}
FEW = 20  # so few prompts are not split


@dataclass(frozen=True)
class Prompts:
    """The prompts of a split.

    Attributes:
        texts: one instance each.
        request: what they ask for, where they are of the scenes' grammar; else None.
    """

    texts: tuple[str, ...]
    request: Request | None


@cache
def scenes(split: str) -> Prompts:
    """Prompts of the scenes' grammar, balanced over its categories: 451, 184 and 169 or so."""
    order = sorted(grammar.of_split(split), key=lambda prompt: word(prompt.text + " order"))
    chosen = [
        prompt
        for category in CATEGORIES
        for prompt in [each for each in order if each.category == category][: MOST[split]]
    ]
    return Prompts(tuple(prompt.text for prompt in chosen), grammar.request(chosen))


def of_user(given: str | Sequence[str], split: str) -> Prompts:
    """A user's own prompts: a text file with one a line, or the prompts themselves.

    From 20 on they are split by a hash of their text, 70 : 10 : 20; fewer are the same in every
    split.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no prompt at all, or something else than strings.
    """
    if isinstance(given, str):
        path = Path(given).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"prompts={given!r}: no such file; one prompt a line")
        try:
            lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"prompts={given!r}: not UTF-8 text ({error})") from error
    else:
        lines = given
    if not isinstance(lines, Sequence) or not all(isinstance(each, str) for each in lines):
        raise ValueError(f"prompts must be strings, or the path of a text file; got {given!r:.80}")
    texts = list(dict.fromkeys(" ".join(each.split()) for each in lines if each.strip()))
    if not texts:
        raise ValueError(f"prompts={given!r:.80}: there is no prompt in it")
    if len(texts) >= FEW:
        texts = [each for each in texts if word(each) % 100 in SPLITS[split]]
        if not texts:
            raise ValueError(f"prompts: none of them falls into the split {split!r}; add some")
    try:
        request = grammar.request([grammar.read(each) for each in texts])
    except ValueError:
        request = None
    return Prompts(tuple(texts), request)
