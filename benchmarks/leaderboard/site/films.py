"""What agents make: the first test episode of each, the same for all, as a film and a picture."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.leaderboard.board import Entry

FOLDER = "films"  # beside a submission; in the site too
SUFFIX = ".webp"


@dataclass(frozen=True)
class Drawn:
    """Paths within the site, and the picture's size in pixels."""

    film: str
    still: str
    width: int
    height: int


def publish(entries: Sequence[Entry], site: Path) -> dict[str, Drawn]:
    """Copy the films that lie beside submissions into a site, each with its last picture.

    A file that is no film is left out: the board builds without it.
    """
    found = {}
    for entry in entries:
        name = entry.submission.name
        source = entry.path.parent / FOLDER / f"{name}{SUFFIX}"
        if not source.is_file() or source.is_symlink():
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
        found[name] = Drawn(film_path, still_path, *last.size)
    return found
