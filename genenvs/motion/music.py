"""Music to dance to: its beats and onsets on frames, and its sound.

`load("rhythms", ...)` draws rhythms without end (see `genenvs.motion.rhythms`); `load(path, ...)`
listens to a file of the user's.
"""

import wave
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from genenvs.core import folders, random
from genenvs.core.files import making
from genenvs.core.optional import require
from genenvs.motion import rhythms
from genenvs.motion.rhythms import RATE

SYNTHESISED = "rhythms"
LONGEST = 3600.0  # seconds
MOST_BYTES = 512 * 2**20
MOST_RATE = 192_000  # samples a second
_BLOCK = 1 << 14  # samples
SILENT = 1e-3  # of full scale, which no sample of a silent file passes: -60 dB
_START = 1  # what a draw is for


class Music(Protocol):
    """What to dance to; `instance` (int64 [B]) says to which part of it."""

    def frames(self, instance: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Beats bool [B, count] and strengths of onsets float32 [B, count], 0 .. 1."""

    def sound(self, instance: Tensor) -> np.ndarray:
        """What the first row dances to: float32 [N] at `RATE`, mono, -1 .. 1."""

    def name(self, instance: Tensor) -> str:
        """What the first row dances to, in words."""


def load(name: str | Path, seconds: float, fps: float) -> Music:
    """Music by its name.

    Args:
        name: `rhythms`, or the path of a sound file.
        seconds: how long a dance lasts.
        fps: frames a second.

    Raises:
        ImportError: a path, and librosa is missing; names the extra.
        ValueError: it cannot be danced to; says why.
    """
    if str(name) == SYNTHESISED:
        return Rhythms(seconds, fps)
    return Track(Path(name), seconds, fps)


class Rhythms:
    """Synthesised rhythms, another one for each instance."""

    def __init__(self, seconds: float, fps: float) -> None:
        self.seconds, self.fps = seconds, fps

    def frames(self, instance: Tensor, count: int) -> tuple[Tensor, Tensor]:
        return rhythms.frames(rhythms.draw(instance, count / self.fps), count, self.fps)

    def sound(self, instance: Tensor) -> np.ndarray:
        return rhythms.sound(rhythms.draw(instance[:1], self.seconds), 0, self.seconds)

    def name(self, instance: Tensor) -> str:
        drawn = rhythms.draw(instance[:1], self.seconds)
        tempo, meter, swing = float(drawn.tempo), int(drawn.meter), float(drawn.swing)
        return f"{tempo:.0f} beats a minute, {meter} a bar, off-beats at {swing:.2f}"


class Track:
    """A file of the user's; each instance begins somewhere in it.

    Attributes:
        path: the file.
        samples: float32 [N] at `RATE`.
        beats: float64 [K], seconds.
    """

    def __init__(self, path: Path, seconds: float, fps: float) -> None:
        """Listen.

        Raises:
            ImportError: librosa is missing; names the extra.
            ValueError: names the file and says why it cannot be danced to: missing, huge,
                unreadable, shorter than a dance, silent, without beats.
        """
        self.path, self.seconds, self.fps = path, seconds, fps
        self.samples, times, envelope, self.beats = _listen(path, folders.stamp(path))
        duration = len(self.samples) / RATE
        if duration < seconds:
            raise ValueError(
                f"{path} lasts {duration:.1f} s and a dance {seconds:.1f}; lower the horizon"
            )
        if not len(self.beats):
            raise ValueError(f"no beats were found in {path}")
        count = int(duration * fps)
        heard = np.interp(np.arange(count) / fps, times, envelope / envelope.max())
        self._strength = torch.from_numpy(heard).float()  # [F]
        self._beats = torch.zeros(count, dtype=torch.bool)
        self._beats[torch.from_numpy(self.beats * fps).long().clamp(max=count - 1)] = True

    def frames(self, instance: Tensor, count: int) -> tuple[Tensor, Tensor]:
        index = self._start(instance)[:, None] + torch.arange(count, device=instance.device)
        past = index >= len(self._beats)  # what is looked ahead to after the end is silence
        index = index.clamp(max=len(self._beats) - 1)
        beats, strength = self._beats.to(index.device), self._strength.to(index.device)
        return beats[index] & ~past, strength[index].masked_fill(past, 0.0)

    def sound(self, instance: Tensor) -> np.ndarray:
        start = round(int(self._start(instance[:1])) / self.fps * RATE)
        return self.samples[start : start + round(self.seconds * RATE)]

    def name(self, instance: Tensor) -> str:
        return f"{self.path.name} from {int(self._start(instance[:1])) / self.fps:.1f} s"

    def _start(self, instance: Tensor) -> Tensor:
        """The frame at which each row begins."""
        choices = max(1, len(self._beats) - round(self.seconds * self.fps))
        return random.randint(instance, random.counter(0, _START), 1, choices)[:, 0]


@lru_cache(maxsize=2)  # an hour has 300 MB
def _listen(
    path: Path, stamp: tuple[tuple[Path, int, int], ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Samples, times and strengths of onsets, times of beats; of a file written anew, anew."""
    samples = read_sound(path)
    librosa = require("librosa", "audio")
    envelope = librosa.onset.onset_strength(y=samples, sr=RATE)
    _, beats = librosa.beat.beat_track(onset_envelope=envelope, sr=RATE, units="time")
    found = samples, librosa.times_like(envelope, sr=RATE), envelope, np.asarray(beats, np.float64)
    for part in found:
        part.flags.writeable = False  # others get it too
    return found


def read_sound(path: str | Path) -> np.ndarray:
    """Read a sound file: float32 [N] at `RATE`, mono.

    Raises:
        ImportError: librosa is missing; names the extra.
        ValueError: names the file and says why not: missing, huge (of more than an hour, too), of
            too high a rate, unreadable, empty, silent.
    """
    path = Path(path)
    folders.check_file(path, (path.suffix.lower(),), MOST_BYTES, "cut it")
    soundfile, librosa = require("soundfile", "audio"), require("librosa", "audio")
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            if rate > MOST_RATE:
                raise ValueError(f"{path} has {rate} samples a second, more than {MOST_RATE}")
            if file.frames > LONGEST * rate:
                lasts = f"{path} lasts {file.frames / rate:.0f} s"
                raise ValueError(f"{lasts}, more than {LONGEST:.0f}; cut it")
            # In blocks: a file may have a thousand channels.
            blocks = file.blocks(_BLOCK, dtype="float32", always_2d=True)
            samples = np.concatenate([np.zeros(0, np.float32), *(b.mean(1) for b in blocks)])
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read as sound: {error}") from error
    if not np.isfinite(samples).all():
        raise ValueError(f"{path} holds samples that are no finite numbers")
    if not len(samples) or np.abs(samples).max() < SILENT:
        raise ValueError(f"{path} is silent")
    return librosa.resample(samples, orig_sr=rate, target_sr=RATE)


def write_wav(path: str | Path, samples: np.ndarray) -> None:
    """Write float [N] in -1 .. 1 as a 16-bit mono file at `RATE`; whole or not at all."""
    with making(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
