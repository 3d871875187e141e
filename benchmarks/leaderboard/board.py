"""A board: the submissions of folders, and how far each of them can be trusted."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks.leaderboard import validate
from benchmarks.leaderboard.submission import POLICIES, Submission, read
from genenvs.core.files import sha256

State = Literal["verified", "validated", "reported"]  # those that are known best first
VERIFIED = ".verified"  # before a submission's suffix: the record of who played it again
# Of a standard deviation over episodes, between what is stated and what is found again. On the
# machine that a submission was made on the difference is 0; elsewhere sums in another order may
# turn a close choice of an action.
TOLERANCE = 0.05
LARGEST_RECORD = 1_000_000  # bytes


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

    @property
    def verified_seeds(self) -> list[int]:
        """Of the runs that were played again and gave the same; none where it is not verified."""
        known = self.verification if self.state == "verified" else None
        return list(known["seeds"]) if known else []


@dataclass(frozen=True)
class Problem:
    """A file that is not on the board, and why."""

    path: Path
    why: str


def files(places: Iterable[Path]) -> list[Path]:
    """Every file that should be a submission, below folders or named themselves, in order.

    Links are among them, whatever they lead to, and folders that cannot be read:
    `submission.read` refuses each by name.
    """
    found: list[Path] = []
    for place in places:
        found += sorted(_below(place)) if place.is_dir() else [place]
    return list(dict.fromkeys(found))


def _below(place: Path) -> Iterator[Path]:
    unreadable: list[OSError] = []
    for folder, inner, others in os.walk(place, onerror=unreadable.append):  # enters no link
        # Names of what a killed program left begin with a dot.
        inner[:] = [name for name in inner if not name.startswith(".")]
        policies = POLICIES in Path(folder).relative_to(place).parts
        for name in [*inner, *others]:
            path = Path(folder, name)
            record = policies or path.stem.endswith(VERIFIED)
            seen = os.path.islink(path) or (path.suffix.lower() == ".json" and not record)
            if seen and not name.startswith("."):
                yield path
    for error in unreadable:
        yield Path(error.filename)


def load(places: Iterable[Path]) -> tuple[list[Entry], list[Problem]]:
    """Everything that can stand on a board, and what cannot, each with its reason.

    Of several submissions of one name the one stands that is known best, so that nobody takes the
    place of a verified one by handing in a file.

    Args:
        places: folders, searched with all below them, or files.
    """
    found = [_judged(path) for path in files(places)]
    holders: dict[str, Entry] = {}
    for entry in sorted((each for each in found if isinstance(each, Entry)), key=_precedence):
        holders.setdefault(_name(entry), entry)
    entries: list[Entry] = []
    problems: list[Problem] = []
    for each in found:
        if isinstance(each, Problem):
            problems.append(each)
        elif (holder := holders[_name(each)]) is each:
            entries.append(each)
        else:
            why = (
                f"{holder.path} has the same name, {each.submission.name!r}, and stands:"
                f" it is {holder.state}, of {holder.submission.date}"
            )
            problems.append(Problem(each.path, why))
    return entries, problems


def _name(entry: Entry) -> str:
    return entry.submission.name.casefold()  # it names files, on any system


def _precedence(entry: Entry) -> tuple[int, bool, str, Path]:
    """Of several submissions of one name the least stands."""
    it, path = entry.submission, entry.path
    # A date can be made up; the place that a name stands for is taken.
    elsewhere = f"{it.suite}-{path.parent.name}-{path.stem}" != it.name
    return get_args(State).index(entry.state), elsewhere, it.date, path


def _judged(path: Path) -> Entry | Problem:
    """A submission with its state, or why it cannot stand anywhere."""
    try:
        submission = read(path)
        found = validate.check(submission, path)
    except (OSError, ValueError) as error:
        return Problem(path, str(error))
    if found.errors:
        return Problem(path, "; ".join(found.errors))
    return _entry(submission, path, found.notes)


def _entry(submission: Submission, path: Path, notes: Sequence[str]) -> Entry:
    """With its state: what was played again counts as long as not a byte has changed."""
    state: State = "reported" if notes else "validated"
    record, why = _verification(submission, path)
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
    "episodes": int,
    "max_difference": float,
    "tolerance": float,
    "worst": str,
    "passed": bool,
}


def _verification(submission: Submission, path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """The record, if it is one, and of these very bytes and runs; else why it does not count."""
    place = record_of(path)
    if place.is_symlink():
        return None, f"{place.name} is a link"
    if not place.is_file():
        return None, None
    try:
        small = place.stat().st_size <= LARGEST_RECORD
        record = json.loads(place.read_text(encoding="utf-8")) if small else None
    except (OSError, ValueError, RecursionError):
        record = None
    if not _is_record(record):
        return None, f"{place.name} is no record of a verification"
    if record["submission"] != sha256(path):
        return None, "it was changed since it was verified"
    why = _unfounded(submission, record)
    return (None, f"{place.name} does not count: {why}") if why else (record, None)


def _is_record(found: Any) -> bool:
    """Whether it holds what `verify` writes, and nothing else: a page shows all of it."""
    return (
        isinstance(found, dict)
        and set(found) == set(KINDS)
        and all(isinstance(found[key], kind) for key, kind in KINDS.items())
        and all(text.isprintable() for text in found.values() if isinstance(text, str))
        and all(type(seed) is int for seed in found["seeds"])
    )


def _unfounded(submission: Submission, record: dict[str, Any]) -> str | None:
    """Why what a record says cannot have been found by playing the submission; None where it can.

    By the hash of the submission a record is bound to the hashes of its policies too.
    """
    seeds, playable = record["seeds"], {run.seed for run in submission.playable_runs}
    if not seeds:
        return "no run was played"
    if any(seed not in playable for seed in seeds):
        return f"of seeds {seeds!r:.80} not all have a policy here"
    if len(set(seeds)) < len(seeds):
        return f"a seed counts once; got {seeds!r:.80}"
    if record["episodes"] != submission.protocol.episodes:
        return f"of {record['episodes']!r:.20} episodes; there are {submission.protocol.episodes}"
    if record["passed"] and not math.isfinite(record["max_difference"]):
        return "its difference is no number"
    if record["passed"] and not 0 <= record["tolerance"] <= TOLERANCE:
        return f"{record['tolerance']:g} of a spread were allowed; {TOLERANCE:g} are"
    return None
