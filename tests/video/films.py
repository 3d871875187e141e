"""Small films that tests make on the fly."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np


def textures(count: int, height: int = 36, width: int = 64, seed: int = 0) -> np.ndarray:
    """Pictures unlike one another, smooth in parts of 6 pixels: uint8 [count, H, W, 3]."""
    few = np.random.default_rng(seed).integers(0, 256, (count, height // 6, width // 6 + 1, 3))
    return few.repeat(6, 1).repeat(6, 2)[:, :height, :width].astype(np.uint8)


def write(
    path: Path,
    pictures: np.ndarray,
    rate: float | Fraction = 24,
    codec: str = "libx264",
    times: list[int] | None = None,
    sound: np.ndarray | None = None,
) -> Path:
    """Encode uint8 [T, H, W, 3]; `times` are those of the frames in milliseconds, where given."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width = pictures.shape[1:3]
        if codec != "gif":
            stream.pix_fmt = "yuv420p"
        else:
            stream.pix_fmt = "rgb8"
        if codec == "libx264":
            stream.options = {"crf": "12", "preset": "ultrafast"}
        voice = None
        if sound is not None:
            voice = container.add_stream("aac", rate=24_000, layout="mono")
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[k], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            for start in range(0, len(sound), 1024):
                part = np.ascontiguousarray(sound[None, start : start + 1024], np.float32)
                heard = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                heard.sample_rate, heard.pts = 24_000, start
                container.mux(voice.encode(heard))
            container.mux(voice.encode(None))
    return path


def turned(path: Path) -> Path:
    """Mark an mp4 file so that players turn it clockwise, as telephones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # of version 0
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
