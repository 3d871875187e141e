"""The humanoid as a picture and as a film: solids of its limbs on a checkered floor."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genenvs.core.files import making
from genenvs.images import files, solids
from genenvs.images.solids import Solid
from genenvs.motion import quaternions
from genenvs.motion.humanoid import JOINTS, humanoid
from genenvs.motion.skeleton import forward

SUFFIXES = (".gif", ".mp4")
_MIDDLE, _LEFT, _RIGHT = (226, 204, 172), (96, 148, 196), (222, 128, 96)
_JOINT = (84, 88, 98)
_TILES = ((222, 224, 224), (238, 239, 238))
_TILE = 0.5  # metres
_CLEAR, _FADED = 1.2, 2.6  # metres from the middle, where the floor begins to fade and is gone
_BOX_ROUNDING = 0.025  # metres, of corners that the skeleton's boxes have sharp
_KNOB = 1.12  # how much wider a joint is than its limb
# Trunk and shoulders, for which the skeleton has no solids; metres, radius.
_BONES = (
    ("root", "chest", 0.075),
    ("chest", "neck", 0.07),
    ("neck", "left_shoulder", 0.05),
    ("neck", "right_shoulder", 0.05),
    ("root", "left_hip", 0.06),
    ("root", "right_hip", 0.06),
)
_NECK = 0.04  # metres, radius
_ROUND = 5  # squares along an edge of the cube that a ball is blown up from; odd, see `_ball`
VIEW = (1.2, 1.2, 1.9)  # metres, the box that a picture shows


@cache
def _ball() -> np.ndarray:
    """Triangles [F, 3, 3] of a unit ball, none of whose corners has a coordinate 0.

    So every corner belongs to one octant: moved by its signs, the octants part and leave a rounded
    box, whose edges are the triangles in between.
    """
    ticks = np.tan(np.linspace(-np.pi / 4, np.pi / 4, _ROUND + 1))  # about even when blown up
    u, v = np.meshgrid(ticks, ticks, indexing="ij")
    corners = np.stack([u, v, np.ones_like(u)], -1)
    quads = [corners[i : i + _ROUND, j : j + _ROUND] for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
    quad = np.stack(quads, 2).reshape(-1, 4, 3)
    faces = [np.roll(f, axis, -1) for axis in range(3) for f in (quad, -quad[:, ::-1])]
    every = np.concatenate(faces)
    every /= np.linalg.norm(every, axis=-1, keepdims=True)
    return np.concatenate([every[:, [0, 1, 2]], every[:, [0, 2, 3]]])


def _rounded(half: np.ndarray, radius: float) -> np.ndarray:
    """A rounded box around 0: [F, 3, 3]."""
    ball = _ball()
    return ball * radius + np.sign(ball) * half


def _capsule(start: Tensor, end: Tensor, radius: float) -> np.ndarray:
    along = (end - start).double()
    up = torch.tensor((0.0, 0.0, 1.0), dtype=torch.float64)
    m = quaternions.matrix(quaternions.shortest(up, along)).numpy()
    shape = _rounded(np.array([0, 0, float(along.norm()) / 2]), radius)
    return shape @ m.T + (start + end).numpy() / 2


def _colour(name: str) -> tuple[int, int, int]:
    return {"left": _LEFT, "right": _RIGHT}.get(name.partition("_")[0], _MIDDLE)


def figure(root: Tensor, rotations: Tensor) -> list[Solid]:
    """The humanoid in one pose, left side blue, right side red.

    Args:
        root: float [3], metres, z up.
        rotations: float [15, 4].

    Returns:
        Solids for `genenvs.images.solids.picture`.
    """
    body = humanoid()
    root, rotations = root.detach().float().cpu(), rotations.detach().float().cpu()
    positions, orientations = forward(body.skeleton, root, rotations)
    turns = quaternions.matrix(orientations).double().numpy()
    where = positions.double()
    shapes: list[tuple[np.ndarray, tuple[int, int, int]]] = []
    for k, name in enumerate(JOINTS):
        half, radius = body.halves[k].double().numpy(), float(body.radii[k])
        if not radius:
            radius, half = _BOX_ROUNDING, half - _BOX_ROUNDING
        local = _rounded(half, radius) + body.centres[k].double().numpy()
        shapes.append((local @ turns[k].T + where[k].numpy(), _colour(name)))
        if name.endswith(("knee", "elbow", "hip", "shoulder")):
            knob = _rounded(np.zeros(3), _KNOB * radius)
            shapes.append((knob + where[k].numpy(), _JOINT))
    for first, second, radius in _BONES:
        start, end = where[JOINTS.index(first)], where[JOINTS.index(second)]
        shapes.append((_capsule(start, end, radius), _MIDDLE))
    neck = JOINTS.index("neck")
    head = where[neck] + torch.from_numpy(turns[neck]) @ body.centres[neck].double()
    shapes.append((_capsule(where[neck], head, _NECK), _MIDDLE))
    return [Solid(triangles, colour, smooth=True) for triangles, colour in shapes]


def picture(
    root: Tensor,
    rotations: Tensor,
    size: int = 360,
    *,
    centre: Sequence[float] | None = None,
    azimuth: float = -50.0,
    scene: Sequence[Solid] = (),
) -> np.ndarray:
    """A shaded picture of one pose on the floor, z = 0.

    Args:
        root: float [3], metres.
        rotations: float [15, 4].
        size: pixels a side.
        centre: x and y that are in the middle; default: the root's.
        azimuth: degrees, from which side it is seen; 0: from +x.
        scene: what else there is, furniture say.

    Returns:
        uint8 [size, size, 3].
    """
    x, y = root[:2].tolist() if centre is None else centre
    wide, deep, high = VIEW
    return solids.picture(
        [*scene, *figure(root, rotations)],
        size,
        low=(x - wide / 2, y - deep / 2, 0.0),
        high=(x + wide / 2, y + deep / 2, high),
        azimuth=azimuth,
        elevation=18.0,
        ground=_ground(x, y),
    )


def film(
    path: str | Path,
    root: Tensor,
    rotations: Tensor,
    fps: float,
    size: int = 360,
    *,
    azimuth: float = -50.0,
    scene: Sequence[Solid] = (),
    sound: tuple[np.ndarray, int] | None = None,
) -> None:
    """Film a motion; the camera goes with it. Written whole or not at all.

    Args:
        path: ends in .gif or .mp4; its folder is made where it is missing.
        root: float [T, 3], metres, T >= 1.
        rotations: float [T, 15, 4].
        fps: frames a second, all of which are drawn.
        size: pixels a side.
        azimuth: degrees, see `picture`.
        scene: what else there is.
        sound: of an mp4: float [N] in -1 .. 1, mono, and its samples a second.

    Raises:
        ImportError: mp4 without PyAV; names the extra.
        ValueError: another suffix, no frames, or a sound where there can be none.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} must end in one of {', '.join(SUFFIXES)}")
    if not len(root) or len(root) != len(rotations):
        raise ValueError(
            f"root and rotations must have as many frames, at least one; "
            f"got {len(root)} and {len(rotations)}"
        )
    way = _steady(root[:, :2].detach().double().cpu(), fps)
    with making(path) as temporary:
        pictures = files.writer(temporary, path.suffix.lower(), fps, sound)
        for at, place, turned in zip(way.tolist(), root, rotations, strict=True):
            frame = picture(place, turned, size, centre=at, azimuth=azimuth, scene=scene)
            pictures.add(frame)
        pictures.close()


def _steady(way: Tensor, fps: float) -> Tensor:
    """The camera's way [T, 2]: the mean of the root's over a second, so that it does not sway."""
    reach = round(fps / 2)
    padded = torch.cat([way[:1].repeat(reach, 1), way, way[-1:].repeat(reach, 1)])
    return padded.unfold(0, 2 * reach + 1, 1).mean(-1)


def _ground(x: float, y: float) -> Callable[[np.ndarray], np.ndarray]:
    """A checkered floor, its tiles fixed in the world, that fades away from a place."""

    def colours(places: np.ndarray) -> np.ndarray:
        tile = np.floor(places / _TILE).astype(int).sum(1) % 2
        tint = np.array(_TILES, np.float32)[tile]
        far = np.linalg.norm(places - (x, y), axis=1, keepdims=True)
        share = np.clip((far - _CLEAR) / (_FADED - _CLEAR), 0, 1)
        return tint + (np.array(solids.PAPER) - tint) * share

    return colours
