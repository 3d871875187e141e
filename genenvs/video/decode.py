"""Video files as frames at 24 a second and sound at 24 kHz, whatever the file has."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from genenvs.core import folders
from genenvs.core.optional import require
from genenvs.video.clips import FPS
from genenvs.video.sound import RATE

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".gif")
MOST_BYTES = 4 * 2**30
LONGEST = 1200.0  # seconds: what memory is for
SHORTEST = 0.25  # seconds
_LARGEST = 8192 * 8192  # pixels of a picture


class _Unusable(ValueError):
    """What we say of a file, which names it."""


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """A container and PyAV; what PyAV raises becomes a ValueError that names the file."""
    av = require("av", "video")
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            yield container, av
    except _Unusable:
        raise
    except Exception as error:  # spoilt files make PyAV raise errors of any kind
        reason = getattr(error, "strerror", None) or error
        raise _Unusable(f"{path} cannot be read as a film: {reason}") from error


def _stream(path: Path, container: Any) -> Any:
    # A picture of a sound file's cover is no film.
    found = [s for s in container.streams.video if not _is_cover(s)]
    if not found:
        raise _Unusable(f"{path} holds no moving pictures")
    stream = found[0]
    if stream.codec_context is None:
        raise _Unusable(f"{path} holds pictures of a kind that PyAV cannot read")
    if stream.width * stream.height > _LARGEST:
        raise _Unusable(f"{path} has pictures of {stream.width} x {stream.height}; make it smaller")
    stream.thread_type = "AUTO"
    return stream


def _is_cover(stream: Any) -> bool:
    return "attached_pic" in str(getattr(stream, "disposition", ""))


def _decoded(container: Any, stream: Any, av: Any) -> Iterator[tuple[float, Any]]:
    """Frames with their times in seconds; ends where the file is broken.

    Times never fall; where a file has none, its rate says them.
    """
    rate = float(stream.average_rate or stream.guessed_rate or FPS)
    last = -np.inf
    try:
        for frame in container.decode(stream):
            time = frame.time
            if time is None or not np.isfinite(time):
                time = last + 1 / rate if np.isfinite(last) else 0.0
            last = max(last, time)
            yield last, frame
    except av.FFmpegError:
        if last == -np.inf:
            raise  # no frame at all: the whole file is of no use


def _upright(frame: Any, width: int, height: int) -> np.ndarray:
    """A frame turned as its file asks, stretched to a size: uint8 [H, W, 3]."""
    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # anticlockwise
    if turns % 2:
        width, height = height, width
    pixels = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return np.rot90(pixels, turns)


def _fitted(frame: Any, size: tuple[int, int]) -> np.ndarray:
    """A frame as a whole within a size, black beside it: uint8 [H, W, 3]."""
    wide, high = frame.width, frame.height
    if round(getattr(frame, "rotation", 0) / 90) % 2:
        wide, high = high, wide
    scale = min(size[0] / wide, size[1] / high)
    fits = max(1, round(wide * scale)), max(1, round(high * scale))
    inner = Image.fromarray(np.ascontiguousarray(_upright(frame, *fits)))
    return np.asarray(ImageOps.pad(inner, size))


def frames(path: Path, width: int, height: int) -> tuple[np.ndarray, float]:
    """All frames of a file, stretched: uint8 [T, H, W, 3] at `FPS`, and seconds of the first.

    A frame is shown until the next one's time; so any rate, a changing one too, becomes 24.

    Raises:
        ImportError: PyAV is missing; names the extra.
        ValueError: names the file and says why it cannot be used.
    """
    folders.check_file(path, SUFFIXES, MOST_BYTES, "cut it")
    kept: list[np.ndarray] = []
    with _opened(path) as (container, av):
        stream = _stream(path, container)
        rate = float(stream.average_rate or stream.guessed_rate or FPS)
        first = time = 0.0
        shown: np.ndarray | None = None
        for time, frame in _decoded(container, stream, av):
            first = time if shown is None else first
            if time - first > LONGEST:
                raise _Unusable(f"{path} lasts more than {LONGEST:.0f} s; cut it")
            if shown is not None:
                kept.extend([shown] * (_index(time - first) - len(kept)))
            shown = _upright(frame, width, height)
        if shown is None:
            raise _Unusable(f"{path} holds no picture")
        kept.extend([shown] * (_index(time - first + 1 / max(rate, 1.0)) - len(kept)))
    if len(kept) < SHORTEST * FPS:
        raise _Unusable(f"{path} lasts {len(kept) / FPS:.2g} s, shorter than {SHORTEST} s")
    return np.stack(kept), first


def _index(seconds: float) -> int:
    """The first frame of the grid that a picture of this time is on."""
    return int(np.ceil(seconds * FPS - 1e-3))


def pictures(path: Path, first: float, start: int, count: int, size: tuple[int, int]) -> np.ndarray:
    """Some frames of the same grid, fitted into a size with black beside: uint8 [count, H, W, 3].

    Args:
        path: of the file.
        first: seconds of its first frame, as `frames` says.
        start, count: of the frames; beyond the end the last one stands.
        size: width and height.

    Raises:
        ImportError: PyAV is missing; names the extra.
        ValueError: the file cannot be read any more.
    """
    with _opened(path) as (container, av):
        stream = _stream(path, container)
        found = _decoded(container, stream, av)
        wanted = first + start / FPS
        if start and stream.time_base:
            try:
                container.seek(int((wanted - 0.5) / stream.time_base), stream=stream)
                found = _decoded(container, stream, av)
                head = next(found, None)
            except av.FFmpegError:
                head = None
            if head is None or _index(head[0] - first) > start:  # no index, or a wrong one
                with _opened(path) as (again, _):
                    whole = _decoded(again, _stream(path, again), av)
                    return _collect(path, whole, first, start, count, size)
            found = chain([head], found)
        return _collect(path, found, first, start, count, size)


def _collect(
    path: Path,
    found: Iterator[tuple[float, Any]],
    first: float,
    start: int,
    count: int,
    size: tuple[int, int],
) -> np.ndarray:
    kept: list[np.ndarray] = []
    shown: Any = None
    for time, frame in found:
        until = _index(time - first) - start
        if shown is not None and until > len(kept):
            kept.extend([_fitted(shown, size)] * (min(until, count) - len(kept)))
        if len(kept) >= count:
            return np.stack(kept)
        shown = frame
    if shown is None:
        raise _Unusable(f"{path} holds no picture")
    kept.extend([_fitted(shown, size)] * (count - len(kept)))
    return np.stack(kept)


def sound(path: Path, first: float, count: int) -> np.ndarray:
    """The sound of a file as mono at `RATE`: float32 [count], zeros where it has none.

    Args:
        path: of the file.
        first: seconds of its first frame, where the samples begin.
        count: of samples.

    Raises:
        ImportError: PyAV is missing; names the extra.
        ValueError: the file cannot be read any more.
    """
    result = np.zeros(count, np.float32)
    with _opened(path) as (container, av):
        if not container.streams.audio:
            return result
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
        place: int | None = None
        try:
            for frame in chain(container.decode(audio=0), [None]):
                if place is None:
                    if frame is None:
                        break
                    place = round(((frame.time or 0.0) - first) * RATE)
                for part in resampler.resample(frame):
                    samples = part.to_ndarray()[0]
                    low, high = max(0, place), min(count, place + len(samples))
                    if high > low:
                        result[low:high] = samples[low - place : high - place]
                    place += len(samples)
        except (av.FFmpegError, ValueError) as error:
            warnings.warn(f"{path}: the sound breaks off: {error}", stacklevel=2)
    return np.nan_to_num(result.clip(-1, 1))
