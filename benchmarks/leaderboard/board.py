"""A board: the submissions of folders, and how far each of them can be trusted."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.leaderboard import validate
from benchmarks.leaderboard.submission import POLICIES, Submission, read
from genenvs.core.files import sha256

State = Literal["verified", "validated", "reported"]
VERIFIED = ".verified"  # before a submission's suffix: the record of who played it again


@dataclass(frozen=True)
class Entry:
    """A submission on the board.

    Attributes:
        submission: what its file holds.
        path: that file; its policies lie in `policies` beside it.
        state: `verified`: its policy was played again and gave the same; `validated`: every check
            passes; `reported`: what it says cannot be compared here, `notes` say why.
        notes: for people, one sentence each.
        verification: who played it again, when, at which commit, and the largest difference.
    """

    submission: Submission
    path: Path
    state: State
    notes: list[str] = field(default_factory=list)
    verification: dict[str, Any] | None = None


@dataclass(frozen=True)
class Problem:
    """A file that is not on the board, and why."""

    path: Path
    why: str


def files(places: Iterable[Path]) -> list[Path]:
    """Every file that should be a submission, below folders or named themselves, in order."""
    found: list[Path] = []
    for place in places:
        inside = sorted(place.rglob("*.json")) if place.is_dir() else [place]
        found += [path for path in inside if not _beside(path, place)]
    return list(dict.fromkeys(found))


def _beside(path: Path, place: Path) -> bool:
    """Whether a file is a record, or what a killed program left: their names begin with a dot."""
    parts = path.relative_to(place).parts if path != place else ()
    hidden = any(part.startswith(".") or part == POLICIES for part in parts)
    return hidden or path.stem.endswith(VERIFIED)


def load(places: Iterable[Path]) -> tuple[list[Entry], list[Problem]]:
    """Everything that can stand on a board, and what cannot, each with its reason.

    Args:
        places: folders, searched with all below them, or files.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    names: dict[str, Path] = {}
    for path in files(places):
        try:
            submission = read(path)
            found = validate.check(submission, path)
        except (OSError, ValueError) as error:
            problems.append(Problem(path, str(error)))
            continue
        if found.errors:
            problems.append(Problem(path, "; ".join(found.errors)))
        elif submission.name in names:
            first = names[submission.name]
            problems.append(
                Problem(path, f"{first} has the same name, {submission.name!r}, and stands first")
            )
        else:
            names[submission.name] = path
            entries.append(_entry(submission, path, found.notes))
    return entries, problems


def _entry(submission: Submission, path: Path, notes: Sequence[str]) -> Entry:
    """With its state: what was played again counts as long as not a byte has changed."""
    state: State = "reported" if notes else "validated"
    record, why = _verification(path)
    notes = [*notes, *([why] if why else [])]
    if record is not None and not record["passed"]:
        state = "reported"
        notes.append(
            f"{record['who']} played it again on {record['date']} and found something else:"
            f" {record['worst']}"
        )
    elif record is not None and state == "validated":
        state = "verified"
    return Entry(submission, path, state, notes, record)


def record_of(path: Path) -> Path:
    """Where the record of a submission's verification lies."""
    return path.with_name(f"{path.stem}{VERIFIED}{path.suffix}")


KINDS = {
    "who": str,
    "date": str,
    "commit": str,
    "submission": str,
    "seeds": list,
    "max_difference": float,
    "worst": str,
    "passed": bool,
}


def _verification(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """The record, if it is one and of these very bytes; else why it does not count."""
    place = record_of(path)
    if not place.is_file():
        return None, None
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None, f"{place.name} is no record of a verification"
    if not isinstance(record, dict) or any(
        not isinstance(record.get(key), kind) for key, kind in KINDS.items()
    ):
        return None, f"{place.name} is no record of a verification"
    if record["submission"] != sha256(path):
        return None, "it was changed since it was verified"
    return record, None
