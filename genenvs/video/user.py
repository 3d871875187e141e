"""The user's own footage: a folder of films, cut into shots whose attributes are measured.

    footage = user.load("holiday/")          # mp4, mov, m4v, mkv, webm, gif
    film.write_mp4("cut.mp4", edit, footage)

A file of any rate is read at 24 frames a second, upright, its pictures fitted into the size that is
asked for, silent where it has no sound. What is measured is kept by the file's content, and by how
shots are found, under `genenvs.core.files.cache_folder()`; pictures are decoded when a film is
made.
"""

import json
import warnings
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genenvs.core import folders
from genenvs.core.files import cache_folder, making, sha256
from genenvs.core.optional import require
from genenvs.core.task import SPLITS
from genenvs.video import attributes as shots
from genenvs.video import boundaries, decode, guess, measure
from genenvs.video.clips import HEIGHT, WIDTH
from genenvs.video.decode import SUFFIXES
from genenvs.video.measure import HIGH, WIDE, Measures
from genenvs.video.sound import PER_FRAME

_VERSION = 3  # of what is kept; rises when anything would be measured or guessed otherwise


@dataclass(frozen=True)
class Shot:
    """A part of a file without a cut.

    Attributes:
        start, length: frames at 24 a second.
        attributes: the eight, see `genenvs.video.attributes`.
        measures: what they were guessed from.
    """

    start: int
    length: int
    attributes: tuple[int, ...]
    measures: Measures


@dataclass(frozen=True)
class File:
    """A film of the user's.

    Attributes:
        path: of the file.
        digest: SHA-256 of its content.
        first: seconds of its first frame.
        frames: at 24 a second.
        shots: at least one, one after the other.
    """

    path: Path
    digest: str
    first: float
    frames: int
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Folder:
    """What a folder holds.

    Attributes:
        good: by path, at least one; of files with the same content the first.
        bad: files that could not be used, each with the reason.
    """

    good: tuple[File, ...]
    bad: tuple[tuple[Path, str], ...]


def read_file(path: str | Path) -> File:
    """Read one film, or what was measured of its content before.

    Raises:
        ImportError: PyAV or PySceneDetect is missing; names the extra.
        ValueError: names the file and says why it cannot be used: another suffix, missing, empty,
            huge, no film, without pictures, too short, too long.
    """
    path = Path(path)
    folders.check_file(path, SUFFIXES, decode.MOST_BYTES, "cut it")
    try:
        digest = sha256(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    kept = cache_folder() / "footage" / f"{digest}-{_VERSION}-{boundaries.method()}.json"
    try:
        return _parse(path, digest, json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or broken: measured again
    require("scenedetect", "video")  # said before a long film is decoded
    pictures, first = decode.frames(path, WIDE, HIGH)
    heard = decode.sound(path, first, len(pictures) * PER_FRAME)
    found = _cut(pictures, heard)
    file = File(path, digest, first, len(pictures), found)
    try:
        with making(kept) as temporary:
            said = {**asdict(file), "path": path.name}
            temporary.write_text(json.dumps(said), encoding="utf-8")
    except OSError as error:
        warnings.warn(f"what was measured of {path} cannot be kept: {error}", stacklevel=2)
    return file


def _parse(path: Path, digest: str, kept: dict) -> File:
    found = tuple(
        Shot(s["start"], s["length"], tuple(s["attributes"]), Measures(**s["measures"]))
        for s in kept["shots"]
    )
    shots.check(torch.tensor([shot.attributes for shot in found]))
    return File(path, digest, float(kept["first"]), int(kept["frames"]), found)


def _cut(pictures: np.ndarray, heard: np.ndarray) -> tuple[Shot, ...]:
    frames, found = torch.from_numpy(pictures), []
    for start, length in boundaries.spans(boundaries.begins(pictures), len(frames)):
        part = slice(start * PER_FRAME, (start + length) * PER_FRAME)
        seen = measure.measure(frames[start : start + length], heard[part])
        found.append(Shot(start, length, tuple(guess.attributes(seen)), seen))
    return tuple(found)


def read_folder(path: str | Path) -> Folder:
    """Read every film of a folder and of those in it, by path; or the one file that is named.

    A file that cannot be used spoils nothing: it is listed with the reason.

    Raises:
        ImportError: PyAV or PySceneDetect is missing; names the extra.
        ValueError: no file can be used; names the first few with their reasons.
    """
    good, bad = folders.read_all(Path(path), SUFFIXES, read_file)
    unique: dict[str, File] = {}
    for file in good:
        unique.setdefault(file.digest, file)
    return Folder(tuple(unique.values()), bad)


class Own:
    """Shots of the user's files as `genenvs.video.footage.Footage`, each a clip.

    Attributes:
        files: where they are from.
        shots: file and shot of every clip.
    """

    def __init__(self, files: tuple[File, ...], size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
        """Show the shots of `files` in pictures of `size`, width and height, even numbers.

        Raises:
            ValueError: another size.
        """
        if min(size) < 16 or size[0] % 2 or size[1] % 2:
            raise ValueError(f"size must be even numbers of pixels from 16; got {size}")
        self.files, self._size = files, size
        self.shots = tuple((file, shot) for file in files for shot in file.shots)

    @property
    def size(self) -> tuple[int, int]:
        return self._size

    @property
    def attributes(self) -> Tensor:
        return torch.tensor([shot.attributes for _, shot in self.shots])

    @property
    def length(self) -> Tensor:
        return torch.tensor([shot.length for _, shot in self.shots])

    def pictures(self, clip: Tensor, frame: Tensor) -> np.ndarray:
        result = np.empty((len(clip), self.size[1], self.size[0], 3), np.uint8)
        for number in clip.unique().tolist():
            rows = (clip == number).numpy()
            file, shot = self.shots[number]
            at = frame.numpy()[rows].clip(0, shot.length - 1)
            low, high = int(at.min()), int(at.max()) + 1
            if high - low < _FEW:
                some = decode.pictures(
                    file.path, file.first, shot.start + low, high - low, self.size
                )
                result[rows] = some[at - low]
                continue
            places = np.flatnonzero(rows)
            for block in np.unique(at // _BLOCK).tolist():
                mine, start = at // _BLOCK == block, block * _BLOCK
                count = min(_BLOCK, shot.length - start)
                some = _block(file, shot.start + start, count, self.size)
                result[places[mine]] = some[at[mine] - start]
        return result

    def sound(self, clip: int) -> np.ndarray:
        file, shot = self.shots[clip]
        heard = _sound(file)
        return heard[shot.start * PER_FRAME : (shot.start + shot.length) * PER_FRAME].copy()

    def name(self, clip: int) -> str:
        file, shot = self.shots[clip]
        return f"{file.path.stem} {file.shots.index(shot) + 1}"

    def source(self, clip: int) -> tuple[str, int, int]:
        file, shot = self.shots[clip]
        return str(file.path), shot.start, file.frames


_FEW = 4  # neighbouring frames that are decoded alone, for a picture
_BLOCK = 48  # frames that are decoded together, for a film

# What is decoded is kept by the file, whose digest changes with its content, not by its path alone.


@lru_cache(maxsize=3)  # a film shows one shot, and the one before while it gives way
def _block(file: File, start: int, count: int, size: tuple[int, int]) -> np.ndarray:
    return decode.pictures(file.path, file.first, start, count, size)


@lru_cache(maxsize=2)
def _sound(file: File) -> np.ndarray:
    return decode.sound(file.path, file.first, file.frames * PER_FRAME)


def load(
    path: str | Path, split: str | None = None, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Own:
    """The user's footage; warns of each file that is left out, with the reason.

    Args:
        path: a folder, or a file.
        split: `train`, `validation` or `test`: a part of the files, by their content (of fewer
            than three every split has all, with a warning); None for all.
        size: width and height of the pictures, even numbers.

    Raises:
        ImportError: PyAV or PySceneDetect is missing; names the extra.
        ValueError: no file can be used, no such split, another size.
    """
    path = Path(path)
    found = _load(path, folders.stamp(path, SUFFIXES))
    for _, reason in found.bad:
        warnings.warn(f"left out: {reason}", stacklevel=2)
    files = found.good
    if split is not None:
        if len(files) < len(SPLITS):
            warnings.warn(
                f"{path} has {len(files)} film{'s' * (len(files) > 1)}: every split cuts the same"
                f" footage; it is parted from {len(SPLITS)} on",
                stacklevel=2,
            )
        chosen = set(folders.share(sorted(file.digest for file in files), split))
        files = tuple(file for file in files if file.digest in chosen)
    return Own(files, size)


@lru_cache(maxsize=4)
def _load(path: Path, stamp: object) -> Folder:
    return read_folder(path)
