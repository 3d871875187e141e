"""Claims about rhythms, their sound, and music that is listened to."""

from __future__ import annotations

import wave

import numpy as np
import pytest
import torch

from genenvs.core import random
from genenvs.motion import music, rhythms
from genenvs.motion.rhythms import RATE
from tests.needs import import_or_skip

KEYS = random.mix(torch.arange(400), 5)


def test_rhythms_keep_their_tempo():
    drawn = rhythms.draw(KEYS, 9.0)
    assert drawn.tempo.min() >= 60 and drawn.tempo.max() <= 160
    assert drawn.tempo.min() < 62 and drawn.tempo.max() > 157
    for row in range(20):
        beats = drawn.times[row, drawn.beat]
        beats = beats[beats.isfinite()]
        torch.testing.assert_close(
            beats.diff(), (60 / drawn.tempo[row]).expand(len(beats) - 1), atol=1e-4, rtol=0
        )


def test_off_beats_swing_and_bars_begin_with_an_accent():
    drawn = rhythms.draw(KEYS, 9.0)
    assert drawn.swing.min() >= 0.5 and drawn.swing.max() <= 2 / 3
    for row in range(20):
        beat, strength = drawn.beat, drawn.strength[row]
        accents = drawn.times[row, beat & (strength == rhythms.ACCENTED)]
        period = 60 / drawn.tempo[row]
        bars = accents[accents.isfinite()].diff() / period
        torch.testing.assert_close(
            bars, drawn.meter[row].expand(len(bars)).float(), atol=1e-3, rtol=0
        )
        first = drawn.times[row, beat][drawn.times[row, beat].isfinite()][0]
        off = drawn.times[row, ~beat]
        place = ((off[off.isfinite()] - first) / period) % 1
        torch.testing.assert_close(place, drawn.swing[row].expand(len(place)), atol=1e-3, rtol=0)


def test_a_rhythm_does_not_depend_on_its_neighbours():
    both = rhythms.frames(rhythms.draw(KEYS, 9.0), 540, 60.0)
    for row in (0, 17, 399):
        alone = rhythms.frames(rhythms.draw(KEYS[row : row + 1], 9.0), 540, 60.0)
        for whole, one in zip(both, alone, strict=True):
            assert torch.equal(whole[row], one[0])


def test_frames_hold_the_onsets_at_their_times():
    drawn = rhythms.draw(KEYS[:1], 4.0)
    beats, strength = rhythms.frames(drawn, 240, 60.0)
    times = drawn.times[0, drawn.beat]
    assert beats[0].nonzero()[:, 0].tolist() == sorted((times[times < 4] * 60).long().tolist())
    assert (strength[beats] >= rhythms.BEAT).all() and strength.max() <= 1


def test_a_sound_is_heard_at_its_onsets_and_survives_a_file(tmp_path):
    source = music.load("rhythms", 4.0, 60.0)
    samples = source.sound(KEYS[:1])
    assert samples.shape == (4 * RATE,) and samples.dtype == np.float32
    drawn = rhythms.draw(KEYS[:1], 4.0)
    for time in drawn.times[0][drawn.times[0] < 3.9].tolist():
        start = round(time * RATE)
        assert np.abs(samples[start : start + RATE // 20]).max() > 0.1
    music.write_wav(tmp_path / "rhythm.wav", samples)
    with wave.open(str(tmp_path / "rhythm.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (RATE, 1)
        read = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    np.testing.assert_allclose(read, samples, atol=1e-4)
    assert "beats a minute" in source.name(KEYS[:1])


def test_the_sound_is_that_of_the_frames():
    """A dance looks further ahead than it sounds: both must be the same rhythm."""
    source = music.load("rhythms", 4.0, 60.0)
    beats, _ = source.frames(KEYS[:3], 300)
    shorter, _ = source.frames(KEYS[:3], 240)
    assert torch.equal(beats[:, :240], shorter)


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    """Twelve seconds of a rhythm as a file, and its beats."""
    import_or_skip("librosa", extra="audio")
    drawn = rhythms.draw(KEYS[:1], 12.0)
    path = tmp_path_factory.mktemp("music") / "track.wav"
    music.write_wav(path, rhythms.sound(drawn, 0, 12.0))
    times = drawn.times[0, drawn.beat]
    return path, times[times < 12].numpy()


@pytest.mark.slow  # numba compiles what librosa calls
def test_beats_of_a_file_are_found(track):
    path, beats = track
    found = music.load(path, 4.0, 60.0)
    away = np.abs(found.beats[:, None] - beats).min(1)
    assert np.median(away) < 0.05 and len(found.beats) >= 0.7 * len(beats)
    on, strength = found.frames(KEYS[:50], 300)
    assert on.shape == (50, 300) and strength.min() >= 0 and strength.max() <= 1
    assert len({found.name(KEYS[k : k + 1]) for k in range(20)}) > 10
    assert found.sound(KEYS[:1]).shape == (4 * RATE,)
    assert music.load(path, 6.0, 60.0).samples is found.samples  # heard once
    with pytest.raises(ValueError, match=r"lasts 12\.0 s and a dance 30\.0; lower the horizon"):
        music.load(path, 30.0, 60.0)


def test_what_cannot_be_danced_to_is_told(tmp_path):
    import_or_skip("librosa", extra="audio")
    silent, noise = tmp_path / "silent.wav", tmp_path / "noise.wav"
    music.write_wav(silent, np.zeros(10 * RATE))
    noise.write_bytes(b"RIFF, but no sound follows")
    (tmp_path / "empty.wav").write_bytes(b"")
    for name, text in (
        ("silent.wav", "is silent"),
        ("noise.wav", "cannot be read as sound"),
        ("empty.wav", "is empty"),
        ("x" * 300 + ".wav", "does not exist"),
        ("missing.wav", "does not exist"),
        (".", "is not a file"),
    ):
        with pytest.raises(ValueError, match=text):
            music.load(tmp_path / name, 4.0, 60.0)


def test_long_files_are_refused_and_channels_are_mixed(tmp_path):
    soundfile = import_or_skip("soundfile", extra="audio")
    long, wide, fast = (tmp_path / f"{name}.wav" for name in ("long", "wide", "fast"))
    soundfile.write(long, np.zeros(3601 * 100, np.int16), 100)
    with pytest.raises(ValueError, match=r"long\.wav lasts 3601 s, more than 3600; cut it"):
        music.read_sound(long)
    soundfile.write(fast, np.ones(100), 400_000)
    with pytest.raises(ValueError, match="has 400000 samples a second"):
        music.read_sound(fast)
    channels = np.random.default_rng(0).normal(size=(40_000, 64)).astype(np.float32) / 8
    soundfile.write(wide, channels, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(music.read_sound(wide), channels.mean(1))
