"""Synthesised rhythms: tempo, swing and accents drawn from a key, as onsets and as sound."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genenvs.core import random

SLOWEST, FASTEST = 60.0, 160.0  # beats a minute
STRAIGHT, SWUNG = 0.5, 2 / 3  # where between two beats the off-beat falls
METERS = (2, 3, 4)  # beats a bar, of which the first is accented
ACCENTED, BEAT, OFF_BEAT = 1.0, 0.7, 0.4  # strengths
_BARS = 2  # after which off-beats repeat
_TEMPO, _PATTERN = 1, 2  # what a draw is for
RATE = 22_050  # samples a second
_SEED = 0  # of the noise in drums


@dataclass(frozen=True)
class Rhythm:
    """Onsets of B rhythms, in order of time only within beats and within off-beats.

    Attributes:
        times: float32 [B, N], seconds; those that are left out are infinite.
        strength: float32 [B, N], 0 .. 1.
        beat: bool [N], whether an onset is a beat; the others are off-beats.
        tempo: float32 [B], beats a minute.
        meter: int64 [B], beats a bar.
        swing: float32 [B], where between two beats the off-beat falls, 1/2 .. 2/3.
    """

    times: Tensor
    strength: Tensor
    beat: Tensor
    tempo: Tensor
    meter: Tensor
    swing: Tensor


def draw(key: Tensor, seconds: float) -> Rhythm:
    """Draw rhythms.

    Tempo is uniform on a logarithmic scale in 60 .. 160, swing and the moment of the first beat are
    uniform, a bar has 2, 3 or 4 beats, and of the off-beats of two bars a share of 0 .. 1, itself
    drawn, is there, again and again.

    Args:
        key: int64 [B].
        seconds: how far onsets go.
    """
    tempo, phase, meter, bar, swing, share = random.uniform(
        key, random.counter(0, _TEMPO), 6
    ).unbind(1)
    tempo = SLOWEST * (FASTEST / SLOWEST) ** tempo
    period = 60.0 / tempo
    meters = torch.tensor(METERS, device=key.device)
    meter = meters[(meter * len(METERS)).long()]
    count = int(seconds * FASTEST / 60.0) + 1
    index = torch.arange(-1, count, device=key.device)  # an off-beat may come before the first beat
    beats = (index + phase[:, None]) * period[:, None]
    place = index + (bar * meter).long()[:, None]  # beats since some bar began
    accent = place % meter[:, None] == 0
    there = random.uniform(key, random.counter(0, _PATTERN), _BARS * max(METERS))
    off = there.gather(1, place % (_BARS * meter[:, None])) < share[:, None]
    swing = STRAIGHT + (SWUNG - STRAIGHT) * swing
    between = beats + (swing * period)[:, None]
    times = torch.cat([beats, between.masked_fill(~off, torch.inf)], 1)
    times = times.masked_fill((times < 0) | (times >= seconds), torch.inf)
    strength = torch.cat([
        BEAT + (ACCENTED - BEAT) * accent.float(), torch.full_like(beats, OFF_BEAT)
    ], 1)  # fmt: skip
    kind = torch.arange(times.shape[1], device=key.device) < len(index)
    return Rhythm(times, strength, kind, tempo, meter, swing)


def frames(rhythm: Rhythm, count: int, fps: float) -> tuple[Tensor, Tensor]:
    """Onsets on frames.

    Args:
        rhythm: of B rows.
        count: frames.
        fps: frames a second.

    Returns:
        Which frames have a beat, bool [B, count], and how strong their onsets are, float32
        [B, count].
    """
    place = (rhythm.times * fps).clamp(max=count).long()
    strength = torch.zeros(len(place), count + 1, device=place.device)
    strength.scatter_reduce_(1, place, rhythm.strength, "amax")
    beats = torch.zeros_like(strength, dtype=torch.bool)
    beats.scatter_(1, place[:, rhythm.beat], True)
    return beats[:, :count], strength[:, :count]


def sound(rhythm: Rhythm, row: int, seconds: float) -> np.ndarray:
    """A drum kit: a bass drum on accents, a snare on other beats, a hi-hat off the beat.

    Returns:
        float32 [seconds * RATE] in -1 .. 1.
    """
    samples = np.zeros(round(seconds * RATE), np.float32)
    drums = _drums()
    onsets = zip(
        rhythm.times[row].tolist(), rhythm.strength[row].tolist(), rhythm.beat.tolist(), strict=True
    )
    for time, strength, beat in onsets:
        if time >= seconds:
            continue
        drum = drums[0 if strength >= ACCENTED else 1] if beat else drums[2]
        start = round(time * RATE)
        part = samples[start : start + len(drum)]
        part += strength * drum[: len(part)]
    return np.clip(samples, -1, 1)


def _drums() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    noise = np.random.default_rng(_SEED).uniform(-1, 1, RATE // 4)
    t = np.arange(len(noise)) / RATE
    # A falling tone, a tone with noise, and noise without its low part.
    bass = np.sin(2 * np.pi * (50 * t + 6 * (1 - np.exp(-t * 25)))) * np.exp(-t * 14)
    snare = (0.4 * np.sin(2 * np.pi * 190 * t) + 0.6 * noise) * np.exp(-t * 22)
    hat = np.diff(noise, prepend=0) * 0.5 * np.exp(-t * 60)
    return 0.9 * bass, 0.7 * snare, 0.6 * hat
