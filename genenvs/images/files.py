"""Pictures as files: films (gif, mp4) and contact sheets (png)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageOps

from genenvs.core.optional import require

Picture = np.ndarray | Image.Image

SMALLEST = 128  # pixels of a shorter side; what is smaller is enlarged by a whole factor
_SAMPLES = 1024  # of sound, a frame of AAC
WIDEST = 4096  # pixels of a contact sheet


class Writer(Protocol):
    """Takes pictures one by one; the file is complete after `close`."""

    def add(self, picture: Picture, hold: int = 1) -> None:
        """Append a picture, shown for `hold` frames where the file has a time."""

    def close(self) -> None:
        """Write what is left.

        Raises:
            OSError: the file could not be written.
            ValueError: no picture was added.
        """


def image(picture: Picture, smallest: int = SMALLEST) -> Image.Image:
    """An RGB image of a picture (uint8 [H, W, 3], [H, W] or PIL), pixels enlarged to be seen.

    Args:
        picture: of any size.
        smallest: pixels that its shorter side has at least.
    """
    whole = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    whole = whole.convert("RGB")
    factor = math.ceil(smallest / min(whole.size))
    return whole if factor == 1 else whole.resize(
        (whole.width * factor, whole.height * factor), Image.Resampling.NEAREST
    )  # fmt: skip


def contact_sheet(
    pictures: Sequence[Picture], columns: int | None = None, gap: int = 4
) -> Image.Image:
    """All pictures on one, row by row.

    Args:
        pictures: at least one; a smaller one stands in the middle of its cell.
        columns: default: as many as make the sheet about square.
        gap: white pixels between cells.

    Returns:
        An RGB image at most `WIDEST` pixels wide.

    Raises:
        ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    cells = [image(picture) for picture in pictures]
    columns = min(columns or math.ceil(math.sqrt(len(cells))), len(cells))
    rows = math.ceil(len(cells) / columns)
    width, height = max(c.width for c in cells), max(c.height for c in cells)
    most = WIDEST // columns - gap
    if width > most:
        width, height = most, max(1, height * most // width)
        for cell in cells:
            cell.thumbnail((width, height))
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for k, cell in enumerate(cells):
        left = k % columns * (width + gap) + (width - cell.width) // 2
        top = k // columns * (height + gap) + (height - cell.height) // 2
        sheet.paste(cell, (left, top))
    return sheet


class Sheet:
    """A contact sheet: every picture a cell."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pictures: list[Picture] = []

    def add(self, picture: Picture, hold: int = 1) -> None:
        self.pictures.append(picture)

    def close(self) -> None:
        contact_sheet(self.pictures).save(self.path)


class Gif:
    """An endless film of at most 256 colours a frame; the first frame sets the size."""

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self.frames: list[Image.Image] = []
        self.milliseconds: list[int] = []

    def add(self, picture: Picture, hold: int = 1) -> None:
        frame = image(picture)
        if self.frames:
            frame = _fit(frame, self.frames[0].size)
        self.frames.append(frame.quantize(256, dither=Image.Dither.NONE))
        self.milliseconds.append(round(1000 * hold / self.fps))

    def close(self) -> None:
        if not self.frames:
            raise ValueError("a film needs at least one frame")
        first, *others = self.frames
        first.save(
            self.path, save_all=True, append_images=others, duration=self.milliseconds, loop=0
        )


class Mp4:
    """An H.264 film, written frame by frame; the first frame sets the size."""

    def __init__(
        self,
        path: Path,
        fps: float,
        sound: tuple[np.ndarray, int] | None = None,
        smallest: int = SMALLEST,
    ) -> None:
        """Load PyAV.

        Args:
            path: of the file.
            fps: frames a second.
            sound: float [N] in -1 .. 1, mono, and its samples a second.
            smallest: pixels of the shorter side, to which smaller pictures are enlarged; 1 keeps
                them as they are.

        Raises:
            ImportError: PyAV is missing; names the extra.
        """
        av = require("av", "video")
        self.path, self.fps, self.sound, self.smallest, self._av = path, fps, sound, smallest, av
        self._container: Any = None
        self._stream: Any = None
        self._voice: Any = None

    def add(self, picture: Picture, hold: int = 1) -> None:
        frame = image(picture, self.smallest)
        with _FilmErrors(self._av):
            if self._container is None:
                self._open(frame.width + frame.width % 2, frame.height + frame.height % 2)
            frame = _fit(frame, (self._stream.width, self._stream.height))
            for _ in range(hold):
                self._send(self._av.VideoFrame.from_image(frame))

    def close(self) -> None:
        if self._container is None:
            raise ValueError("a film needs at least one frame")
        with _FilmErrors(self._av):
            self._send(None)
            if self.sound is not None:
                self._speak(*self.sound)
            self._container.close()

    def _open(self, width: int, height: int) -> None:
        codec = "libx264" if "libx264" in self._av.codecs_available else "mpeg4"
        self._container = self._av.open(str(self.path), "w", format="mp4")
        self._stream = self._container.add_stream(codec, rate=round(self.fps))
        self._stream.width, self._stream.height = width, height  # even: 4:2:0 halves them
        self._stream.pix_fmt = "yuv420p"
        if self.sound is not None:  # every stream is there before anything is written
            self._voice = self._container.add_stream("aac", rate=self.sound[1], layout="mono")

    def _speak(self, samples: np.ndarray, rate: int) -> None:
        whole = np.ascontiguousarray(samples, np.float32)[None]
        for start in range(0, whole.shape[1], _SAMPLES):
            part = np.ascontiguousarray(whole[:, start : start + _SAMPLES])
            frame = self._av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            self._container.mux(self._voice.encode(frame))
        self._container.mux(self._voice.encode(None))

    def _send(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)


class _FilmErrors:
    """Turns what PyAV raises into an OSError."""

    def __init__(self, av: Any) -> None:
        self.av = av

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, self.av.FFmpegError) and not isinstance(error, OSError):
            raise OSError(getattr(error, "errno", None), str(error)) from error


def _fit(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    return frame if frame.size == size else ImageOps.pad(frame, size, color="white")


def writer(
    path: Path, suffix: str, fps: float = 4, sound: tuple[np.ndarray, int] | None = None
) -> Writer:
    """What writes pictures to `path` in the format of `suffix`.

    Raises:
        ImportError: mp4 without PyAV.
        ValueError: another suffix than .gif, .mp4 and .png, or a sound for another than .mp4.
    """
    if sound is not None and suffix != ".mp4":
        raise ValueError(f"only .mp4 has sound; got {suffix!r}")
    if suffix == ".gif":
        return Gif(path, fps)
    if suffix == ".mp4":
        return Mp4(path, fps, sound)
    if suffix == ".png":
        return Sheet(path)
    raise ValueError(f"the suffix must be .gif, .mp4 or .png; got {suffix!r}")
