"""Files: written whole or not at all, known by their content, kept where caches are."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an error that names no file, as that of a full disk, name this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` (same suffix) that takes its place when the block succeeds.

    Where the block raises, what stood at `path` before still stands there and nothing else is left.

    Raises:
        OSError: the folder does not exist or cannot be written; names a file.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(
        prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        with _naming(target):
            yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp's is 0600
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def making(path: str | os.PathLike[str]) -> Iterator[Path]:
    """`replacing`, in a folder that is made where it is missing."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        yield temporary


@contextmanager
def making_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block succeeds.

    What is above it is made. A folder that stood there is replaced; where the block raises it
    still stands there, and nothing else is left.

    Raises:
        OSError: it cannot be written; names a file or the folder.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with _naming(target):
            yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)  # mkdtemp's is 0700
        if target.exists():
            with tempfile.TemporaryDirectory(prefix=".old-", dir=target.parent) as old:
                target.rename(Path(old) / target.name)
                temporary.rename(target)
        else:
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return the user's cache folder: $GENENVS_CACHE, else $XDG_CACHE_HOME or ~/.cache/genenvs."""
    if chosen := os.environ.get("GENENVS_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "genenvs"
