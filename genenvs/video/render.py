"""Pictures of drawn clips, batched: things before a place, seen through a moving camera.

Every attribute is in the pixels: the size as the part of the frame that the subject fills, the
angle as the height of the horizon (none, and things from above, in an overhead shot), the motion
as that of the camera, the type as what stands in front of it (a shoulder, an iris around a detail,
a viewfinder), subject and number as shapes, the location as what is behind them.
"""

import math

import torch
from torch import Tensor

from genenvs.video import attributes as shots
from genenvs.video.clips import FPS, HEIGHT, OWN, WIDTH, Clips, exposure
from genenvs.video.places import SEEN_FROM_ABOVE, SIDEWAYS
from genenvs.video.subjects import FROM_ABOVE, REACH, UPRIGHT

# Part of the frame's height that a subject fills, by size; and how near the place behind seems.
FILLS = (0.14, 0.32, 0.62, 1.1, 1.9)
NEAR = (0.6, 0.8, 1.0, 1.5, 2.2)
# Height of the horizon in frames below the middle, by angle; an overhead shot has none.
HORIZON = (-0.62, 0.0, -0.3, 0.0, 0.3)
SQUASHED = (0.7, 1.0, 0.88, 1.0, 1.12)  # how high things seem, by angle
_AERIAL, _OVERHEAD = 0, 1
_HANDHELD, _PAN, _TILT, _ZOOM = 1, 2, 3, 4
_SHOULDER, _INSERT, _VIEW = 1, 2, 3
_MOST = 5  # things in one frame
_COUNTS = (1, 2, 3, _MOST)
_HEAD_X = (0.0, 0.36, 0.0, 0.0, 0.0)  # where a subject's head is, in its heights
_HEAD_Y = (0.34, 0.12, -0.05, 0.0, 0.1)  # above its middle
_FOLLOWS = 0.8  # of the camera's way that the subject goes with it, so as to stay in the frame


def camera(clips: Clips, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the camera looks: x, y (frame heights) and its magnification, float32 [B] each.

    Args:
        clips: B of them.
        frame: int64 [B], clipped to the clips.
    """
    own, motion = clips.look[:, :OWN], clips.attributes[:, shots.MOTION]
    frame = torch.minimum(frame.clamp_min(0), clips.length - 1)
    time = frame / FPS
    late = time - clips.length / (2 * FPS)  # seconds after the middle
    sign = torch.where(own[:, 1] < 0.5, -1.0, 1.0)
    pace = sign * late
    zero = torch.zeros_like(late)
    phase = 2 * math.pi * own[:, 2]
    # Two sines of no common period: a hand that is never still.
    shake_x = torch.sin(10.7 * time + phase) + 0.7 * torch.sin(17.3 * time + 2 * phase)
    shake_y = torch.sin(12.9 * time + 3 * phase) + 0.7 * torch.sin(19.1 * time + phase)
    x = torch.where(motion == _PAN, (0.16 + 0.1 * own[:, 3]) * pace, zero)
    x = torch.where(motion == _HANDHELD, 0.02 * shake_x, x)
    y = torch.where(motion == _TILT, (0.07 + 0.02 * own[:, 3]) * pace, zero)
    y = torch.where(motion == _HANDHELD, 0.02 * shake_y, y)
    zoom = torch.where(motion == _ZOOM, torch.exp((0.1 + 0.05 * own[:, 3]) * pace), zero + 1)
    return x, y, zoom


def render(clips: Clips, frame: Tensor) -> Tensor:
    """Draw a frame of each clip.

    Args:
        clips: B of them.
        frame: int64 [B]; beyond its end a clip stands still.

    Returns:
        float32 [B, 3, 72, 128] in [0, 1].
    """
    device = clips.look.device
    frame = torch.minimum(frame.clamp_min(0), clips.length - 1)
    size, angle, _, kind, _, _, _, _ = clips.attributes.unbind(1)
    x, y, zoom = (value[:, None, None] for value in camera(clips, frame))
    across = ((torch.arange(WIDTH, device=device) + 0.5 - WIDTH / 2) / HEIGHT)[None, None]
    down = ((torch.arange(HEIGHT, device=device) + 0.5 - HEIGHT / 2) / HEIGHT)[None, :, None]
    image = _place(clips, frame, across / zoom + x, down / zoom + y)
    # Near subjects and inserts stand before a place that is out of focus.
    focus = _pick((1.0, 1.0, 0.85, 0.6, 0.4), size) * torch.where(kind == _INSERT, 0.35, 1.0)
    flat = image.mean((2, 3), keepdim=True)
    image = torch.lerp(flat, image, focus[:, None, None, None])
    haze = torch.tensor([0.72, 0.78, 0.86], device=device)[:, None, None]
    image = torch.lerp(image, haze, 0.28 * (angle == _AERIAL)[:, None, None, None])
    stay = 1 - _FOLLOWS
    _subjects(image, clips, frame, across / zoom + stay * x, down / zoom + stay * y)
    _foreground(image, kind, across, down, clips.look[:, :OWN])
    return image.mul_(exposure(clips.look)[:, None, None, None]).clamp_(0, 1)


def _pick(values: tuple[float, ...], index: Tensor) -> Tensor:
    return torch.tensor(values, device=index.device)[index]


def _place(clips: Clips, frame: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """What is behind: float32 [B, 3, H, W]; a place's function sees its own rows alone."""
    angle, location = clips.attributes[:, shots.ANGLE], clips.attributes[:, shots.LOCATION]
    near = _pick(NEAR, clips.attributes[:, shots.SIZE])[:, None, None]
    x, y = torch.broadcast_tensors(x / near, y)
    image = torch.empty(len(clips), 3, HEIGHT, WIDTH, device=x.device)
    horizon = _pick(HORIZON, angle)[:, None, None]
    shared = clips.look[:, OWN:, None, None]
    time = (frame / FPS)[:, None, None]
    for above, places in ((False, SIDEWAYS), (True, SEEN_FROM_ABOVE)):
        for number, draw in enumerate(places):
            rows = ((location == number) & ((angle == _OVERHEAD) == above)).nonzero()[:, 0]
            if len(rows):
                depth = y[rows] - horizon[rows]  # below the horizon where above 0
                if above:
                    depth = y[rows] / near[rows]
                image[rows] = draw(x[rows], depth, time[rows], shared[rows])
    return image


def _subjects(image: Tensor, clips: Clips, frame: Tensor, x: Tensor, y: Tensor) -> None:
    """Draw what it is about into pictures, one thing after the other."""
    size, angle, _, _, subject, number, _, _ = clips.attributes.unbind(1)
    own, shared = clips.look[:, :OWN], clips.look[:, OWN:]
    count = _pick(_COUNTS, number).long()
    room = _pick((1.0, 0.95, 0.9, 0.8), number)
    height = _pick(FILLS, size) * room * (0.92 + 0.16 * own[:, 4])
    apart = torch.minimum(0.8 * height, 1.25 / (count - 1).clamp_min(1))
    top, near = angle == _OVERHEAD, size > 2
    # Of near ones the head is in the middle of the frame.
    aside = (own[:, 5] - 0.5) * torch.where(near, 0.15, 0.5) * (2.0 / (1 + count))
    aside = aside - near * height * _pick(_HEAD_X, subject)
    sinks = torch.where(near, height * _pick(_HEAD_Y, subject), 0.1) * ~top
    time = (frame / FPS)[:, None, None]
    phase = 2 * math.pi * own[:, 6, None, None]
    for slot in range(_MOST):
        turn = phase + 1.9 * slot
        sway = 0.06 * torch.sin((1.2 + own[:, 7, None, None]) * time + turn)
        centre_x = aside + (slot - (count - 1) / 2) * apart
        centre_y = sinks + 0.05 * height * ((slot * 2) % 3 - 1.0)
        # From above there is room in every direction.
        centre_y = centre_y + 0.12 * torch.sin(2.4 * slot + phase[:, 0, 0]) * (top & (count > 1))
        shade = (shared[:, 6:9] * 0.75 + 0.2).roll(slot, 1) * (1 - 0.08 * slot)
        swing = torch.sin(5 * time + turn)
        for above, kinds in ((False, UPRIGHT), (True, FROM_ABOVE)):
            for kind, parts in enumerate(kinds):
                here = (subject == kind) & (count > slot) & (top == above)
                rows = here.nonzero()[:, 0]
                if not len(rows):
                    continue
                high = height[rows, None, None]
                local_x = (x[rows] - centre_x[rows, None, None]) / high - sway[rows]
                squashed = high * _pick(SQUASHED, angle[rows])[:, None, None]
                local_y = (y[rows] - centre_y[rows, None, None]) / squashed
                wide = _reached(local_x.abs().amin((0, 1)))
                tall = _reached(local_y.abs().amin((0, 2)))
                part = image[rows, :, tall, wide]
                sharp = HEIGHT * high
                for distance, colour in parts(
                    local_x[..., wide], local_y[:, tall], swing[rows], shade[rows, :, None, None]
                ):
                    cover = (0.5 - distance * sharp).clamp_(0, 1)[:, None]
                    part = torch.lerp(part, colour, cover)
                image[rows, :, tall, wide] = part


def _reached(nearest: Tensor) -> slice:
    """The columns or rows that a thing may reach, by how near they come to its middle: [N]."""
    inside = (nearest < REACH).nonzero()[:, 0]
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)


def _foreground(image: Tensor, kind: Tensor, across: Tensor, down: Tensor, own: Tensor) -> None:
    """What stands before the camera, by the type of the shot."""
    rows = (kind == _SHOULDER).nonzero()[:, 0]
    if len(rows):
        side = torch.where(own[rows, 8] < 0.5, -0.68, 0.68)[:, None, None]
        head = torch.hypot(across - side, (down + 0.02) * 0.85) - 0.17
        shoulder = torch.hypot((across - side * 1.1) * 0.7, down - 0.52) - 0.3
        cover = (0.5 - torch.minimum(head, shoulder) * 18).clamp_(0, 1)[:, None]
        image[rows] = image[rows] * (1 - cover) + 0.09 * cover
    rows = (kind == _INSERT).nonzero()[:, 0]
    if len(rows):
        iris = torch.hypot(across * 0.72, down) - 0.43
        image[rows] = image[rows] * (1 - (0.5 + iris * 9).clamp_(0, 1) * 0.85)[:, None]
    rows = (kind == _VIEW).nonzero()[:, 0]
    if len(rows):
        eyes = torch.hypot(across.abs() - 0.36, down) - 0.46
        image[rows] = image[rows] * (0.5 - eyes * 40).clamp_(0, 1)[:, None]
