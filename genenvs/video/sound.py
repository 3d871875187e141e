"""What drawn clips sound like: silence, the noise of their place, a voice, music."""

import numpy as np

from genenvs.video import attributes as shots
from genenvs.video.clips import FPS, OWN, Clips

RATE = 24_000  # samples a second: with 24 frames a second a whole number of samples a frame
PER_FRAME = RATE // FPS
_SILENCE, _AMBIENCE, _SPEECH, _MUSIC = range(4)
_CHORDS = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))  # semitones above the key
_SYLLABLES = 4.0  # a second


def of_clip(clips: Clips, row: int) -> np.ndarray:
    """The sound of one clip: float32 [N] in -1 .. 1, `PER_FRAME` samples for each of its frames."""
    count = int(clips.length[row]) * PER_FRAME
    what = int(clips.attributes[row, shots.SOUND])
    if what == _SILENCE:
        return np.zeros(count, np.float32)
    own, shared = clips.look[row, :OWN].cpu().numpy(), clips.look[row, OWN:].cpu().numpy()
    time = np.arange(count, dtype=np.float32) / RATE
    if what == _MUSIC:
        return _music(time, shared)
    # Any generator will do, as long as it hangs on the clip alone.
    noise = np.random.Generator(np.random.Philox(int(clips.key[row]) & (1 << 64) - 1))
    if what == _SPEECH:
        return _speech(time, own, noise)
    return _ambience(time, int(clips.attributes[row, shots.LOCATION]), noise)


def _music(time: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Broken chords: I, IV, V, I, in the key and tempo of the scene."""
    key = 220.0 * 2 ** (int(shared[9] * 12) / 12)
    beat = 60 / (84 + 60 * shared[10])  # seconds
    number = (time / beat).astype(np.int64)
    since = time - number * beat
    chord = np.asarray(_CHORDS, np.float32)[number // 4 % 4]  # [N, 3]
    note = np.take_along_axis(chord, (number % 3)[:, None], 1)[:, 0]
    bass = chord[:, 0] - 12
    envelope = np.exp(-3 * since) * np.clip(since / 0.005, 0, 1)
    wave = np.sin(2 * np.pi * key * 2 ** (note / 12) * time)
    wave += 0.4 * np.sin(4 * np.pi * key * 2 ** (note / 12) * time)
    low = np.sin(2 * np.pi * key * 2 ** (bass / 12) * time)
    return (0.22 * envelope * wave + 0.12 * low).astype(np.float32)


def _speech(time: np.ndarray, own: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """A voice: harmonics under two formants that change with each syllable, and pauses."""
    syllable = (time * _SYLLABLES).astype(np.int64)
    count = int(syllable[-1]) + 1
    pitch = 100 + 110 * own[9]
    first = noise.uniform(300, 800, count)[syllable]
    second = noise.uniform(900, 2200, count)[syllable]
    spoken = (noise.uniform(size=count) > 0.15)[syllable]
    within = np.sin(np.pi * (time * _SYLLABLES - syllable)) ** 0.5
    bend = np.cumsum(1 + 0.05 * np.sin(2 * np.pi * 0.7 * time)) * (2 * np.pi * pitch / RATE)
    wave = np.zeros_like(time)
    for harmonic in range(1, 13):
        hertz = harmonic * pitch
        strength = np.exp(-(((hertz - first) / 200) ** 2)) + 0.5 * np.exp(
            -(((hertz - second) / 300) ** 2)
        )
        wave += (strength + 0.02) * np.sin(harmonic * bend)
    return (0.18 * wave * within * spoken).astype(np.float32)


def _ambience(time: np.ndarray, location: int, noise: np.random.Generator) -> np.ndarray:
    """A hum indoors, a rumble in the street, birds in the country, waves at the shore."""
    white = noise.standard_normal(len(time)).astype(np.float32)
    width = (24, 60, 10, 6)[location]  # samples: the duller, the more
    total = np.cumsum(np.concatenate([np.zeros(width, np.float32), white]), dtype=np.float64)
    soft = ((total[width:] - total[:-width]) / width**0.5).astype(np.float32)
    if location == 0:
        return (0.02 * soft + 0.03 * np.sin(2 * np.pi * 100 * time)).astype(np.float32)
    if location == 1:
        swell = 0.7 + 0.3 * np.sin(2 * np.pi * 0.3 * time + 5 * noise.uniform())
        return (0.08 * soft * swell).astype(np.float32)
    if location == 2:
        call = np.maximum(np.sin(2 * np.pi * 0.9 * time), 0) ** 8
        bird = np.sin(2 * np.pi * (2800 * time + 30 * np.sin(2 * np.pi * 7 * time)))
        return (0.015 * soft + 0.08 * call * bird).astype(np.float32)
    return (0.1 * soft * (0.55 + 0.45 * np.sin(2 * np.pi * 0.22 * time))).astype(np.float32)
