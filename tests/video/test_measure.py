import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from genenvs.video import attributes as shots
from genenvs.video import guess, measure, sound
from genenvs.video.clips import draw
from genenvs.video.render import render
from tests.video.films import textures


def test_changes_are_mean_differences():
    frames = torch.rand(5, 3, 36, 64)
    plain = [np.abs(a - b).mean() for a, b in zip(frames.numpy(), frames.numpy()[1:], strict=False)]
    assert np.allclose(measure.changes(frames).numpy(), plain, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), st.floats(-0.01, 0.01))
def test_camera_motion_finds_shift_and_growth(right, down, growth):
    """Of waves whose exact shift and growth can be drawn; in pixels of 1/36 of the height."""
    x = (np.arange(64) + 0.5 - 32)[None] / 36
    y = (np.arange(36) + 0.5 - 18)[:, None] / 36
    frames = []
    for k in range(6):
        u = (x - k * right / 36) / np.exp(k * growth)
        v = (y - k * down / 36) / np.exp(k * growth)
        waves = [np.sin(9 * u + 5 * v), np.sin(7 * v - 11 * u + 1), np.sin(13 * v + 2 * u)]
        frames.append(0.5 + 0.15 * sum(waves))
    stack = torch.tensor(np.stack(frames), dtype=torch.float32)[:, None].expand(-1, 3, -1, -1)
    a, b, z = measure.camera_motion(stack).mean(0).tolist()
    assert a * 36 == pytest.approx(right, abs=0.15)
    assert b * 36 == pytest.approx(down, abs=0.15)
    assert z == pytest.approx(growth, abs=0.004)


def plain_motion(grey):
    """`camera_motion` pixel by pixel, of grey float64 [T, H, W] that is already blurred."""
    count, height, width = grey.shape
    found = []
    moves = np.ptp(grey, axis=0) > 0.02
    for t in range(count - 1):
        middle, rows, target, votes = (grey[t] + grey[t + 1]) / 2, [], [], []
        for i in range(1, height - 1):
            for j in range(1, width - 1):
                right = (middle[i, j + 1] - middle[i, j - 1]) * height / 2
                down = (middle[i + 1, j] - middle[i - 1, j]) * height / 2
                x, y = (j + 0.5 - width / 2) / height, (i + 0.5 - height / 2) / height
                rows.append([right, down, right * x + down * y])
                target.append(grey[t + 1, i, j] - grey[t, i, j])
                outer = 1.0 if abs(x) > 0.4 else 0.1
                votes.append([moves[i, j], outer, right**2 + down**2 + 1])
        rows, target = np.array(rows), np.array(target)
        changes, outer, steep = np.array(votes, float).T
        weight = vote = outer * changes / steep
        for _ in range(2):
            normal = (rows * weight[:, None]).T @ rows + 1e-3 * np.eye(3)
            u = np.linalg.solve(normal, -(rows * weight[:, None]).T @ target)
            rest = (target + rows @ u) ** 2 / steep
            scale = (rest * changes).sum() / moves[1:-1, 1:-1].sum()
            weight = vote / (1 + rest / (0.3 * scale + 1e-9))
        found.append(u)
    return np.array(found)


def test_camera_motion_is_that_of_the_plain_version():
    smooth = torch.nn.functional.interpolate(torch.rand(4, 3, 7, 9), (36, 64), mode="bicubic")
    frames = smooth.clamp(0, 1)
    padded = np.pad(frames.double().mean(1).numpy(), ((0, 0), (1, 1), (1, 1)))
    grey = sum(padded[:, i : i + 36, j : j + 64] for i in range(3) for j in range(3)) / 9
    assert np.allclose(measure.camera_motion(frames).numpy(), plain_motion(grey), atol=1e-3)


def test_camera_motion_of_nothing_is_nothing():
    flat = torch.full((4, 3, 36, 64), 0.3)
    assert not measure.camera_motion(flat).any()


def test_stands_out_is_the_plain_rule():
    frames = torch.from_numpy(textures(2)).permute(0, 3, 1, 2).float() / 255
    frames = 0.5 + 0.2 * (frames - 0.5)
    found = measure.stands_out(frames).numpy()
    values = frames.numpy()
    for t, y, x in np.random.default_rng(0).integers((2, 36, 64), size=(60, 3)):
        near = [
            values[t, :, min(max(y + d, 0), 35), c]
            for d in range(-4, 5) for c in (0, 2, 60, 62)
        ]  # fmt: skip
        distance = min(np.linalg.norm(values[t, :, y, x] - other) for other in near)
        if abs(distance - 0.15) > 1e-3:
            assert found[t, y, x] == (distance > 0.15)


def test_simple_pictures_measure_as_they_are():
    frames = torch.zeros(4, 36, 64, 3, dtype=torch.uint8)
    frames[:, 9:27, 24:40] = torch.tensor([255, 0, 0], dtype=torch.uint8)  # an eighth
    tone = 0.5 * np.sin(2 * np.pi * 100 * np.arange(24000) / 24000).astype(np.float32)
    seen = measure.measure(frames, tone)
    assert seen.filled == pytest.approx(0.125) and seen.tall == pytest.approx(0.5)
    assert seen.groups == 1 and seen.brightness == pytest.approx(0.125 / 3)
    assert seen.across == seen.down == seen.zoom == seen.action == 0
    assert seen.loudness == pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=0.01)
    assert seen.low > 0.99 and seen.flatness < 0.01 and seen.syllables < 0.05
    quiet = measure.measure(frames[:1], np.zeros(0, np.float32))
    assert quiet.loudness == -90 and len(quiet.numbers()) == 26


def test_attributes_of_drawn_clips_are_guessed_better_than_by_chance():
    clips, right = draw(torch.arange(24) + 5000), torch.zeros(8)
    for k in range(24):
        images = render(clips[torch.full((12,), k)], torch.arange(12) * 2)
        small = torch.nn.functional.avg_pool2d(images, 2).mul(255).byte().permute(0, 2, 3, 1)
        found = guess.attributes(measure.measure(small, sound.of_clip(clips, k)))
        right += torch.tensor(found) == clips.attributes[k]
    share = dict(zip(shots.NAMES, (right / 24).tolist(), strict=True))
    assert share["sound"] > 0.9 and share["type"] > 0.85
    assert share["motion"] > 0.4 and share["location"] > 0.5
