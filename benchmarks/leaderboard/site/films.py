"""What agents make: the first test episode of each, the same for all, as a film and a picture."""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.leaderboard.board import Entry
from benchmarks.leaderboard.submission import Submission

FOLDER = "films"  # beside a submission; in the site too
SUFFIX = ".webp"
DIGITS = 16  # of a film's hash


@dataclass(frozen=True)
class Drawn:
    """Paths within the site, and the picture's size in pixels."""

    film: str
    still: str
    width: int
    height: int


def name_of(submission: Submission) -> str | None:
    """The name of a submission's film, without suffix; None where nothing can be filmed.

    It ends with a hash of all that the film depends on, the policy above all: the film of an older
    policy, or of another agent, is not taken for this one's.
    """
    it = submission
    if it.filmed_run is None:
        return None
    weights = it.filmed_run.weights
    seen = [
        it.agent.name,
        None if weights is None else weights.sha256,
        it.environment.id,
        it.environment.arguments_hash,
        it.software.genenvs,
        it.protocol.split,
        it.protocol.env_seeds[0],
    ]
    return f"{it.name}-{hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:DIGITS]}"


def outdated(folder: Path, submission: Submission) -> list[Path]:
    """Films in a folder that a submission of this name had before."""
    of_it = re.compile(rf"{re.escape(submission.name)}(-[0-9a-f]{{{DIGITS}}})?{re.escape(SUFFIX)}")
    now = f"{name_of(submission)}{SUFFIX}"
    return [p for p in sorted(folder.glob("*")) if of_it.fullmatch(p.name) and p.name != now]


def publish(entries: Sequence[Entry], site: Path) -> dict[str, Drawn]:
    """Copy the films that lie beside submissions into a site, each with its last picture.

    A file that is no film, or that of another policy, is left out: the board builds without it.
    """
    found = {}
    for entry in entries:
        name = name_of(entry.submission)
        source = entry.path.parent / FOLDER / f"{name}{SUFFIX}"
        linked = source.is_symlink() or source.parent.is_symlink()
        if name is None or linked or not source.is_file():
            continue
        try:
            with Image.open(source, formats=["WEBP"]) as film:
                film.seek(film.n_frames - 1)
                last = film.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        (site / FOLDER).mkdir(exist_ok=True)
        film_path, still_path = f"{FOLDER}/{name}{SUFFIX}", f"{FOLDER}/{name}-last{SUFFIX}"
        shutil.copyfile(source, site / film_path)
        last.save(site / still_path, quality=85)
        found[entry.submission.name] = Drawn(film_path, still_path, *last.size)
    return found
