"""The user's own files, one or a folder of them: each is read or left out with the reason."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from genenvs.core.task import SPLITS

SHARES = {"train": 8, "validation": 1, "test": 2}  # of eleven
Item = TypeVar("Item")


def check_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """Refuse another suffix: ValueError."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} must end in one of {', '.join(suffixes)}")


def check_file(path: Path, suffixes: Sequence[str], most_bytes: int, advice: str) -> None:
    """Refuse what need not be opened to know that it is of no use.

    Args:
        path: of a file.
        suffixes: that it may have, in lower case, with their dots.
        most_bytes: of the file.
        advice: what to do about a larger one.

    Raises:
        ValueError: names the file: another suffix, missing, no file, empty, too large.
    """
    check_suffix(path, suffixes)
    if not os.path.isfile(path):  # a name that no file can have is no error to it
        said = "is not a file" if os.path.exists(path) else "does not exist"
        raise ValueError(f"{path} {said}")
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path} is empty")
    if size > most_bytes:
        raise ValueError(f"{path} has {size} bytes, more than {most_bytes}; {advice}")


def read_all(
    path: Path, suffixes: Sequence[str], read: Callable[[Path], Item]
) -> tuple[tuple[Item, ...], tuple[tuple[Path, str], ...]]:
    """What can be read of a folder and of those in it, by path; or of the one file that is named.

    Hidden files and folders are not looked at. A file that cannot be used spoils nothing: it is
    listed with the reason.

    Args:
        path: a folder or a file.
        suffixes: of the files that are meant.
        read: of one; raises ValueError or OSError where it cannot be used.

    Returns:
        What was read, at least one, and the files left out, each with the reason.

    Raises:
        ValueError: no such folder; no file can be used: names the first few with their
            reasons.
    """
    if not path.suffix and not os.path.exists(path):  # a folder was meant
        raise ValueError(f"{path} does not exist")
    if not os.path.isdir(path):
        return (read(path),), ()
    files = _files(path, suffixes)
    if not files:
        raise ValueError(f"{path} holds no {', '.join(suffixes)} file")
    good, bad = [], []
    for file in files:
        try:
            good.append(read(file))
        except (OSError, ValueError) as error:
            bad.append((file, str(error)))
    if not good:
        reasons = "; ".join(reason for _, reason in bad[:3])
        more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise ValueError(f"no file of {path} can be used: {reasons}{more}")
    return tuple(good), tuple(bad)


def stamp(path: Path, suffixes: Sequence[str] = ()) -> tuple[tuple[Path, int, int], ...]:
    """Files that `read_all` would read, each with its time of change and its bytes.

    What a cache asks, so that a file that was written anew is read anew; nothing of a missing one.
    """
    files = _files(path, suffixes) if os.path.isdir(path) else [path]
    return tuple((f, f.stat().st_mtime_ns, f.stat().st_size) for f in files if os.path.isfile(f))


def _files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    # A link to nothing is one of them: it is left out with the reason, not unseen. What is hidden
    # (`.venv`, `._film.mp4`) is nobody's footage.
    def seen(path: Path) -> bool:
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        return path.suffix.lower() in suffixes and not hidden and not path.is_dir()

    return sorted(filter(seen, folder.rglob("*")))


def share(items: Sequence[Item], split: str) -> Sequence[Item]:
    """A split's part of the user's things, in their order; never empty.

    Of three or more each split has some; of fewer every split has all.

    Raises:
        ValueError: no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    count, total = len(items), sum(SHARES.values())
    if count < len(SPLITS):
        return items
    validation = max(1, count * SHARES["validation"] // total)
    test = max(1, count * SHARES["test"] // total)
    start = {"train": validation + test, "validation": 0, "test": validation}[split]
    stop = {"train": count, "validation": validation, "test": validation + test}[split]
    return items[start:stop]
