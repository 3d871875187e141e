"""What pixels and sound say of a shot: light, colour, motion, what stands out, loudness.

Everything is measured on small pictures, a few numbers a frame, batched over frames. Motion is that
of the camera: shift and zoom of the whole picture between neighbouring frames by one step of Lucas
and Kanade (1981) with three unknowns. What stands out is colour unlike the frame's edges.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from genenvs.video.clips import FPS
from genenvs.video.sound import RATE

WIDE, HIGH = 64, 36  # pixels of the pictures that are measured
_ROUNDS, _STILL, _FLAT = 2, 0.02, 1.0
_OUTER = 0.4  # frame heights from the middle: subjects are nearer to it
_BAND, _UNLIKE = 9, 0.15
SILENT = -50.0  # dB of full scale


def changes(frames: Tensor) -> Tensor:
    """Mean absolute change of a pixel from each frame to the next: float32 [T, 3, H, W] -> [T - 1].

    Pixels in [0, 1].
    """
    return (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))


def camera_motion(frames: Tensor) -> Tensor:
    """Shift and zoom of the view from each frame to the next.

    Least squares of I_t + u . grad I = 0 over pixels with u = (a + z x, b + z y), x and y from the
    middle in frame heights, on slightly blurred grey. Every pixel has a vote, whatever its
    contrast, those in the middle, where subjects are, a tenth. Pixels that never change (a frame
    around the picture, letters) have none, and those that disagree lose theirs (Cauchy's weights):
    what moves within the picture is not the camera. Exact for small shifts of what has texture,
    too small for those beyond one of `WIDE` pixels.

    Args:
        frames: float32 [T, 3, H, W] in [0, 1].

    Returns:
        float32 [T - 1, 3]: shift of what is seen to the right and downwards in frame heights, and
        the logarithm of its growth; 0 where there is nothing to see.
    """
    grey = torch.nn.functional.avg_pool2d(frames.mean(1, keepdim=True), 3, 1, 1)[:, 0]
    height, width = grey.shape[1:]
    middle = (grey[1:] + grey[:-1]) / 2
    right = (middle[:, 1:-1, 2:] - middle[:, 1:-1, :-2]) * (height / 2)
    down = (middle[:, 2:, 1:-1] - middle[:, :-2, 1:-1]) * (height / 2)
    change = (grey[1:] - grey[:-1])[:, 1:-1, 1:-1].flatten(1)
    x = ((torch.arange(1, width - 1) + 0.5 - width / 2) / height)[None, None]
    y = ((torch.arange(1, height - 1) + 0.5 - height / 2) / height)[None, :, None]
    rows = torch.stack([right, down, right * x + down * y], -1).flatten(1, 2)  # [T - 1, P, 3]
    steep = (right.square() + down.square()).flatten(1)
    changes_ever = (grey.amax(0) - grey.amin(0) > _STILL)[1:-1, 1:-1].flatten()
    outer = torch.where(x.abs() > _OUTER, 1.0, 0.1).expand(1, height - 2, width - 2).flatten(1)
    vote = outer * changes_ever / (steep + _FLAT**2)
    weight, found = vote, torch.zeros(len(rows), 3, 1)
    for _ in range(_ROUNDS):
        weighted = rows * weight[..., None]
        normal = weighted.mT @ rows + 1e-3 * torch.eye(3)
        found = torch.linalg.solve(normal, -(weighted.mT @ change[..., None]))
        rest = (change + (rows @ found)[..., 0]).square() / (steep + _FLAT**2)
        scale = (rest * changes_ever).sum(1, keepdim=True) / changes_ever.sum().clamp_min(1)
        weight = vote / (1 + rest / (0.3 * scale + 1e-9))
    return found[..., 0]


def stands_out(frames: Tensor) -> Tensor:
    """Which pixels are unlike all at the frame's left and right: [T, 3, H, W] -> bool [T, H, W].

    Compared are the `_BAND` rows about a pixel's own, four pixels on either side: a subject stands
    before what goes on beside it.
    """
    count, _, height, width = frames.shape
    edges = torch.cat([frames[..., :4], frames[..., -4:]], -1)[..., ::2]  # [T, 3, H, 4]
    padded = torch.nn.functional.pad(edges, (0, 0, _BAND // 2, _BAND // 2), mode="replicate")
    near = padded.unfold(2, _BAND, 1).flatten(3)  # [T, 3, H, 4 * band]
    one = frames.permute(0, 2, 3, 1).reshape(count * height, width, 3)
    other = near.permute(0, 2, 3, 1).reshape(count * height, -1, 3)
    return (torch.cdist(one, other).amin(-1) > _UNLIKE).view(count, height, width)


@dataclass(frozen=True)
class Measures:
    """Numbers of one shot.

    Attributes:
        brightness, contrast, saturation: means over pixels in 0 .. 1.
        warmth: red less blue, -1 .. 1.
        across, down: mean shift of what is seen, frame heights a second.
        zoom: mean logarithm of its growth a second.
        shake: of the shift, what is left after a running mean of half a second, frame heights a
            second.
        action: mean change of a pixel a second.
        filled: part of the frame that stands out, 0 .. 1.
        tall: part of the frame's height over which it does.
        groups: how many columns of the frame stand out, apart from one another.
        horizon: where most columns change most, 0 (top) .. 1, and how much they do there (`edge`).
        corners, middle: brightness of the frame's corners, and of its middle.
        side: brightness of the darker lower side less that of the other.
        skin, green, blue, sand, grey: parts of the frame of such colours; of the lower half but
            for `blue` and `skin`.
        loudness: dB of full scale, at least -90.
        flatness: of the spectrum, 0 (a tone) .. 1 (noise).
        syllables: how much the loudness goes up and down, 0 .. 1.
        low: part of the sound's power that lies below 250 Hz.
    """

    brightness: float
    contrast: float
    saturation: float
    warmth: float
    across: float
    down: float
    zoom: float
    shake: float
    action: float
    filled: float
    tall: float
    groups: float
    horizon: float
    edge: float
    corners: float
    middle: float
    side: float
    skin: float
    green: float
    blue: float
    sand: float
    grey: float
    loudness: float
    flatness: float
    syllables: float
    low: float

    def numbers(self) -> list[float]:
        """All of them, in order."""
        return [float(getattr(self, field.name)) for field in fields(self)]


def measure(frames: Tensor, samples: np.ndarray) -> Measures:
    """Measure a shot.

    Args:
        frames: uint8 [T, H, W, 3] of `WIDE` x `HIGH`, T >= 1.
        samples: float32 [N], its sound at `RATE`.
    """
    whole = frames.permute(0, 3, 1, 2).float() / 255
    some = whole[:: max(1, len(whole) // 8)]  # colours change slowly
    red, green, blue = some.unbind(1)
    most, least = some.amax(1), some.amin(1)
    lower = slice(HIGH // 2, None)

    def part(mask: Tensor) -> float:
        return float(mask.float().mean())

    motion = camera_motion(whole) * FPS if len(whole) > 1 else torch.zeros(1, 3)
    half = FPS // 2 + 1
    padded = torch.nn.functional.pad(
        motion[None, :, :2].mT, (half // 2, half // 2), mode="replicate"
    )
    smooth = torch.nn.functional.avg_pool1d(padded, half, 1)[0].mT
    salient = stands_out(some).float().mean(0) > 0.5
    columns = torch.nn.functional.pad((salient.float().mean(0) > 0.06).int(), (1, 1))
    runs = columns.diff().clamp_min(0).sum()
    box = HIGH // 5
    grey = some.mean((0, 1))
    steps = (grey[3:] - grey[:-3]).abs().median(1).values
    corner = torch.stack(
        [grey[:box, :box], grey[:box, -box:], grey[-box:, :box], grey[-box:, -box:]]
    )
    sides = grey[HIGH // 3 :, :12].mean() - grey[HIGH // 3 :, -12:].mean()
    return Measures(
        brightness=float(some.mean()),
        contrast=float(some.mean(1).std()),
        saturation=float(((most - least) / most.clamp_min(1e-3)).mean()),
        warmth=float((red - blue).mean()),
        across=float(motion[:, 0].mean()),
        down=float(motion[:, 1].mean()),
        zoom=float(motion[:, 2].mean()),
        shake=float((motion[:, :2] - smooth).pow(2).sum(1).mean().sqrt()),
        action=float(changes(whole).mean() * FPS) if len(whole) > 1 else 0.0,
        filled=part(salient),
        tall=part(salient.float().mean(1) > 0.03),
        groups=float(runs),
        horizon=(float(steps.argmax()) + 2) / HIGH,
        edge=float(steps.max()),
        corners=float(corner.mean()),
        middle=float(grey[HIGH // 3 : -HIGH // 3, WIDE // 3 : -WIDE // 3].mean()),
        side=float(-sides.abs()),
        # Kovac et al. (2003), in daylight.
        skin=part((red > 0.37) & (green > 0.16) & (blue > 0.08) & (red > green) & (green > blue)
                  & (red - blue > 0.06) & (red - green > 0.06) & (red - green < 0.3)),
        green=part(((green > red) & (green > blue + 0.08))[:, lower]),
        blue=part((blue > red + 0.08) & (blue >= green)),
        sand=part(((red > 0.55) & (green > 0.45) & (red > green) & (green > blue + 0.1))[:, lower]),
        grey=part((most - least < 0.06)[:, lower]),
        **_hear(samples),
    )  # fmt: skip


def _hear(samples: np.ndarray) -> dict[str, float]:
    """The fields of `Measures` that are of sound."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    loudness = max(-90.0, 10 * np.log10(power + 1e-12))
    window = RATE // 20
    if loudness < SILENT or len(samples) < 4 * window:
        return {"loudness": loudness, "flatness": 0.0, "syllables": 0.0, "low": 0.0}
    blocks = samples[: len(samples) // window * window].reshape(-1, window)
    spectrum = np.abs(np.fft.rfft(blocks * np.hanning(window), axis=1)) ** 2 + 1e-10
    band = spectrum[:, : window // 5]  # up to some 5 kHz
    flatness = np.exp(np.log(band).mean(1)) / band.mean(1)
    weight = spectrum.sum(1)
    level = np.sqrt(np.square(blocks).mean(1))
    hertz = np.fft.rfftfreq(window, 1 / RATE)
    return {
        "loudness": loudness,
        "flatness": float((flatness * weight).sum() / weight.sum()),
        "syllables": float(min(1.0, level.std() / max(level.mean(), 1e-9))),
        "low": float(spectrum[:, hertz < 250].sum() / spectrum.sum()),
    }
