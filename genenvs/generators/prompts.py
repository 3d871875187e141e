"""What is asked for: the prompts of a split, one instance each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from genenvs.core.random import word
from genenvs.images.scenes import grammar
from genenvs.images.scenes.grammar import CATEGORIES, SPLITS, Request

# Prompts a category: relations have thousands, single things two dozen, and each shall count.
MOST = {"train": 100, "validation": 40, "test": 40}
FEW = 20  # so few prompts are not split


@dataclass(frozen=True)
class Prompts:
    """All prompts of an environment; an index means the same in every split.

    Attributes:
        texts: of all splits.
        split: the split of each; "" for all.
        request: what they ask for, where they are of the scenes' grammar; else None.
    """

    texts: tuple[str, ...]
    split: tuple[str, ...]
    request: Request | None

    def places(self, split: str) -> list[int]:
        """The indices that belong to a split.

        Raises:
            ValueError: none does.
        """
        found = [k for k, own in enumerate(self.split) if own in ("", split)]
        if not found:
            raise ValueError(f"prompts: none falls into the split {split!r}; give more")
        return found


@cache
def scenes() -> Prompts:
    """Prompts of the scenes' grammar, balanced over its categories; see `MOST`."""
    chosen = []
    for split, most in MOST.items():
        order = sorted(grammar.of_split(split), key=lambda prompt: word(prompt.text + " order"))
        for category in CATEGORIES:
            chosen += [prompt for prompt in order if prompt.category == category][:most]
    return Prompts(
        tuple(prompt.text for prompt in chosen),
        tuple(prompt.split for prompt in chosen),
        grammar.request(chosen),
    )


def of_user(given: str | Sequence[str]) -> Prompts:
    """A user's own prompts: a text file with one a line, or the prompts themselves.

    From 20 on they are split by a hash of their text, 70 : 10 : 20, and no split is empty: one that
    no hash falls into gets the prompt whose hash is nearest to it. Fewer are the same in every
    split.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no prompt at all, or something else than strings.
    """
    lines: Any = given
    if isinstance(given, str):
        path = Path(given).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"prompts={given!r}: no such file; one prompt a line")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"prompts={given!r}: not UTF-8 text ({error})") from error
    if not isinstance(lines, Sequence) or not all(isinstance(each, str) for each in lines):
        raise ValueError(f"prompts must be strings, or the path of a text file; got {given!r:.80}")
    texts = list(dict.fromkeys(" ".join(each.split()) for each in lines if each.strip()))
    if not texts:
        raise ValueError(f"prompts={given!r:.80}: there is no prompt in it")
    splits = _splits(texts) if len(texts) >= FEW else [""] * len(texts)
    try:
        request = grammar.request([grammar.read(each) for each in texts])
    except ValueError:
        request = None
    return Prompts(tuple(texts), tuple(splits), request)


def _splits(texts: Sequence[str]) -> list[str]:
    """The split of each of many prompts, by the hash of its text."""
    places = [word(each) % 100 for each in texts]
    shares = {place: split for split, own in SPLITS.items() for place in own}
    found = [shares[place] for place in places]
    for split, own in SPLITS.items():
        if split not in found:  # 12 % of lists of 20 have no prompt for validation
            spare = [k for k, other in enumerate(found) if found.count(other) > 1]
            # Whatever their order in the list: texts differ where hashes do not.
            near = min(spare, key=lambda k: (min(abs(places[k] - p) for p in own), texts[k]))
            found[near] = split
    return found
