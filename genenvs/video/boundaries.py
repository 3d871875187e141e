"""Where the shots of a film begin: at cuts, and in the middle of dissolves, fades and wipes.

Cuts are found by PySceneDetect's `AdaptiveDetector`. What goes on over many frames is found here:
PySceneDetect has nothing for dissolves and wipes, and its `ThresholdDetector` takes dark scenes for
fades where it finds short fades at all. In a dissolve or a fade the middle is the mean of the ends,
for only what is mixed changes in a straight line; a wipe is a cut that runs across the picture.
"""

import hashlib
import json
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from genenvs.core.optional import require
from genenvs.video.clips import FPS

LEAST = 12  # frames of a shot
MOST = 480  # frames; longer ones are cut into equal parts
# Of brightness, as the hue of dark and grey pixels is noise. At the 3 times that PySceneDetect
# proposes the ends of wipes are cuts.
ADAPTIVE = {
    "adaptive_threshold": 3.5,
    "min_content_val": 10.0,
    "window_width": 2,
    "luma_only": True,
    "min_scene_len": 0,
}
FLASH = 4  # frames that a flash may last
REPEATS = 2  # times that a picture is shown again, in files of less than 24 frames a second
STRETCH, MIXED, STRAIGHT = 8, 0.04, 0.15  # of a dissolve: frames, change over them, see `mixed`
BLACK = 4 / 255  # mean of a black picture, with grain
CHANGE, RATIO, AROUND = 0.06, 3.0, 6  # of a strip that a wipe passes, see `passed`
SWEEP, STRIPS, ORDER, SPREAD = 24, 0.5, 0.95, 1.5  # of a wipe, see `wiped`
_PART = 512  # frames that are looked at together


def method() -> str:
    """A name for all that decides where shots begin: eight hexadecimal digits."""
    own = [LEAST, MOST, FLASH, REPEATS, STRETCH, MIXED, STRAIGHT, BLACK, CHANGE, RATIO, AROUND]
    said = ["AdaptiveDetector", ADAPTIVE, own, SWEEP, STRIPS, ORDER, SPREAD]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


def begins(pictures: np.ndarray) -> list[int]:
    """Where shots begin: rising, the first is 0, each with `LEAST` frames at least.

    Args:
        pictures: uint8 [T, H, W, 3], small ones.

    Raises:
        ImportError: PySceneDetect is missing; names the extra.
    """
    total, height, width = pictures.shape[:3]
    blend = torch.zeros(total, dtype=torch.bool)
    columns, rows = torch.zeros(total - 1, width), torch.zeros(total - 1, height)
    for k in range(0, max(1, total - 1), _PART):  # in parts, for memory's sake
        part = torch.from_numpy(pictures[k : k + _PART + STRETCH])
        frames = part.permute(0, 3, 1, 2).float() / 255
        blend[k : k + len(frames)] |= mixed(frames)
        change = (frames[1:] - frames[:-1]).abs().mean(1)  # [t - 1, H, W]
        columns[k : k + len(change)], rows[k : k + len(change)] = change.mean(1), change.mean(2)
    found = [0]

    def add(at: int) -> None:
        if min(abs(at - other) for other in [*found, total]) >= LEAST:
            found.append(at)

    for at in steady(cuts(pictures), pictures):
        if not blend[at - 1 : at + 1].any():
            add(at)
    for first, last in [*runs(blend), *runs(wiped(columns) | wiped(rows))]:
        if first > 0 and last < total - 1:  # out of black at the start, into it at the end
            add((first + last + 1) // 2)
    return sorted(found)


def cuts(pictures: np.ndarray) -> list[int]:
    """First frames after cuts as PySceneDetect finds them, of uint8 [T, H, W, 3]; rising.

    Raises:
        ImportError: PySceneDetect is missing; names the extra.
    """
    return fed(require("scenedetect", "video").AdaptiveDetector(**ADAPTIVE), pictures)


def steady(cuts: list[int], pictures: np.ndarray) -> list[int]:
    """Cuts but for flashes: two within `FLASH` frames after which the picture is as before."""
    found: list[int] = []
    for at in cuts:
        if found and at - found[-1] <= FLASH:
            before = pictures[found[-1] - 1].astype(np.float32)
            if np.abs(pictures[at] - before).mean() < 255 * CHANGE:
                found.pop()
            continue
        found.append(at)
    return found


def fed(detector: Any, pictures: np.ndarray) -> list[int]:
    """What a detector of PySceneDetect's finds in pictures, uint8 [T, H, W, 3], one by one."""
    scenedetect = require("scenedetect", "video")
    found, last = [], 0
    for k, picture in enumerate(pictures):
        # Motion that waits for every second or third frame would be many cuts.
        if 0 < k <= last + REPEATS and np.array_equal(picture, pictures[last]):
            continue
        last, time = k, scenedetect.FrameTimecode(k, float(FPS))
        blue_first = np.ascontiguousarray(picture[..., ::-1])
        found += [cut.frame_num for cut in detector.process_frame(time, blue_first)]
    return found


def mixed(frames: Tensor) -> Tensor:
    """Where pictures are mixtures of those before and after, or black.

    Over `STRETCH` frames the picture changes by `MIXED` at least, and the one in the middle differs
    from the mean of the ends by no more than `STRAIGHT` of that. In a dissolve it is that mean but
    for what moves meanwhile; at a cut it is like one of the ends (1/2), and things that move are in
    a third place (1/4 and more of drawn clips). Black belongs to the fades on either side of it.

    Args:
        frames: float32 [T, 3, H, W] in [0, 1].

    Returns:
        bool [T]: black frames, and those in the middle of such stretches.
    """
    found = frames.mean((1, 2, 3)) < BLACK
    if len(frames) > STRETCH:
        half = STRETCH // 2
        first, middle, last = frames[:-STRETCH], frames[half:-half], frames[STRETCH:]
        change = (last - first).abs().mean((1, 2, 3))
        away = (middle - (first + last) / 2).abs().mean((1, 2, 3))
        found[half:-half] |= (change >= MIXED) & (away <= STRAIGHT * change)
    return found


def passed(change: Tensor) -> Tensor:
    """Where a strip of the picture, a column or a row, turns into another at once.

    Its change is at least `CHANGE`, `RATIO` times the mean of the `AROUND` ones on either side, and
    the largest of them.

    Args:
        change: float32 [T - 1, N], mean change of a pixel of each strip to the next frame.

    Returns:
        bool [T - 1, N].
    """
    windows = pad(change.mT, (AROUND, AROUND)).unfold(1, 2 * AROUND + 1, 1)  # [N, T - 1, 13]
    others = (windows.sum(2).mT - change) / (2 * AROUND)
    return (change >= CHANGE) & (change >= RATIO * others) & (change >= windows.amax(2).mT)


def wiped(change: Tensor) -> Tensor:
    """Where wipes are half done, of the changes of strips [T - 1, N].

    Within `SWEEP` frames `STRIPS` of them at least are `passed`, not all at once (their times have
    a standard deviation of `SPREAD` frames) but in order: times and places correlate by `ORDER`.

    Returns:
        bool [T]: the mean times of such stretches.
    """
    found = torch.zeros(len(change) + 1, dtype=torch.bool)
    if len(change) < SWEEP:
        return found
    hit = passed(change).double()
    count, place = hit.sum(1), torch.arange(hit.shape[1], dtype=torch.float64) / hit.shape[1]
    time = torch.arange(len(hit), dtype=torch.float64)
    at, at2 = hit @ place, hit @ place.square()
    sums = torch.stack([count, at, at2, count * time, count * time.square(), at * time])
    sums = sums.unfold(1, SWEEP, 1).sum(2)
    x, xx, t, tt, xt = sums[1:] / sums[0].clamp_min(1)
    wide, long = (xx - x * x).clamp_min(1e-9), (tt - t * t).clamp_min(1e-9)
    ordered = (xt - x * t).square() >= ORDER**2 * wide * long
    whole = (sums[0] >= STRIPS * hit.shape[1]) & ordered & (long >= SPREAD**2)
    found[t[whole].round().long() + 1] = True
    return found


def runs(marked: Tensor) -> list[tuple[int, int]]:
    """First and last of the runs of marked frames (bool [T]); those nearer than `STRETCH` are one.

    Rising.
    """
    found: list[tuple[int, int]] = []
    for at in marked.nonzero()[:, 0].tolist():
        if found and at - found[-1][1] <= STRETCH:
            found[-1] = found[-1][0], at
        else:
            found.append((at, at))
    return found


def spans(begins: list[int], total: int) -> list[tuple[int, int]]:
    """Shots as (start, length), none longer than `MOST`."""
    found = []
    for start, end in zip(begins, [*begins[1:], total], strict=True):
        parts = -(-(end - start) // MOST)
        edges = [start + (end - start) * k // parts for k in range(parts + 1)]
        found += [(a, b - a) for a, b in pairwise(edges)]
    return found
