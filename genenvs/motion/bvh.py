"""BVH files (Biovision hierarchy): a skeleton and its motion as text.

As Blender's importer has it: y points up, a root's position channels replace its offset, a joint's
rotation channels are about its own axes in the order in which they are listed, in degrees.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from genenvs.core.files import making
from genenvs.motion import quaternions
from genenvs.motion.skeleton import Skeleton

END = "-end"  # what the name of an end site adds to its joint's
_AXES = "XYZ"
_CHANNEL = re.compile(r"([XYZ])(position|rotation)", re.IGNORECASE)
_ORDER = "ZXY"  # of what we write
_TIP = 0.08  # metres from a last joint to its end site, for readers that draw bones
_MOST_JOINTS = 1000


@dataclass(frozen=True)
class Motion:
    """What a file holds, in its own axes and unit.

    Attributes:
        skeleton: end sites are joints too.
        times: float64 [T], seconds.
        root: float32 [T, 3].
        rotations: float32 [T, J, 4]; those of end sites are the identity.
    """

    skeleton: Skeleton
    times: Tensor
    root: Tensor
    rotations: Tensor


@dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float]
    channels: list[tuple[str, str]]  # (axis, position or rotation)


def read(path: Path) -> Motion:
    """Read a file. Position channels of other joints than the root are left out.

    Raises:
        ValueError: names the file and says what is wrong with it.
    """
    text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    lines = [line.strip() for line in text.split("\n")]
    upper = [line.upper() for line in lines]
    if "MOTION" not in upper or "HIERARCHY" not in upper[: upper.index("MOTION")]:
        raise ValueError(f"{path} is no BVH file: it lacks HIERARCHY, or MOTION after it")
    start = upper.index("MOTION")
    try:
        joints = _hierarchy(lines[upper.index("HIERARCHY") + 1 : start])
        seconds, values = _frames(
            [line for line in lines[start + 1 :] if line], sum(len(j.channels) for j in joints)
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return _motion(joints, seconds, torch.from_numpy(values))


def write(
    path: str | Path,
    skeleton: Skeleton,
    root: Tensor,
    rotations: Tensor,
    fps: float,
    tips: Tensor | None = None,
) -> None:
    """Write a motion of ours (x forwards, y left, z up) with y up and z forwards, in metres.

    Whole or not at all; the folder is made where it is missing.

    Args:
        path: the file.
        skeleton: J joints.
        root: float [T, 3], metres.
        rotations: float [T, J, 4].
        fps: frames a second.
        tips: float [J, 3], where the bones of last joints end, in their frames; by default they go
            on as they came.

    Raises:
        ValueError: the shapes do not fit, there is no frame, or a value is not finite.
    """
    joints = len(skeleton.parents)
    if not len(root) or root.shape[1:] != (3,) or rotations.shape != (len(root), joints, 4):
        raise ValueError(
            f"root must be [T, 3] and rotations [T, {joints}, 4], T >= 1; "
            f"got {list(root.shape)} and {list(rotations.shape)}"
        )
    if not bool(root.isfinite().all() and rotations.isfinite().all()):
        raise ValueError("root and rotations must be finite")
    rotations = normalize(rotations.detach().double().cpu(), dim=-1)
    turned = torch.cat([rotations[..., :1], _to_file(rotations[..., 1:])], -1)
    order = _depth_first(skeleton)
    angles = torch.rad2deg(_angles(quaternions.matrix(turned)))[:, order]  # [T, J, 3]
    values = torch.cat([_to_file(root.detach().double().cpu()), angles.flatten(1)], 1)
    if tips is None:
        tips = normalize(skeleton.offsets, dim=-1) * _TIP
    lines = ["HIERARCHY", *_write_joint(skeleton, tips, 0, 0), "MOTION"]
    lines += [f"Frames: {len(root)}", f"Frame Time: {1 / fps:.8f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in values.tolist()]
    with making(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _hierarchy(lines: list[str]) -> list[_Joint]:
    """The joints in the order of the file, which is that of the channels."""
    joints: list[_Joint] = []
    above: list[int] = []  # joints whose braces are open
    opening: _Joint | None = None
    text = "\n".join(lines).replace("{", "\n{\n").replace("}", "\n}\n")
    for line in filter(str.strip, text.split("\n")):
        word, _, rest = line.strip().replace("\t", " ").partition(" ")
        word, rest = word.upper(), rest.strip()
        if word not in ("ROOT", "JOINT", "END", "OFFSET", "CHANNELS", "{", "}"):
            raise ValueError(f"{line[:40]!r} in the hierarchy is not understood")
        if word in ("ROOT", "JOINT", "END"):
            if opening or (word == "ROOT") == bool(joints) or (word != "ROOT" and not above):
                raise ValueError(f"{line!r} does not stand where it can; one ROOT holds all joints")
            parent = above[-1] if above else -1
            name = joints[parent].name + END if word == "END" else rest
            if not name or name in {joint.name for joint in joints}:
                name = f"{name}-{len(joints)}"
            opening = _Joint(name, parent, [], [])
        elif word == "{":
            if opening is None:
                raise ValueError("a brace opens without a joint")
            above.append(len(joints))
            joints.append(opening)
            opening = None
            if len(joints) > _MOST_JOINTS:
                raise ValueError(f"more than {_MOST_JOINTS} joints")
        elif word == "}":
            if not above:
                raise ValueError("a brace closes that was not opened")
            above.pop()
        else:
            if not above:
                raise ValueError(f"{word} outside a joint")
            _fill(joints[above[-1]], word, rest.split())
    if above or opening or not joints:
        raise ValueError("the hierarchy is cut off")
    for joint in joints:
        if not joint.offset:
            raise ValueError(f"{joint.name} has no OFFSET")
    return joints


def _fill(joint: _Joint, word: str, values: list[str]) -> None:
    if word == "OFFSET":
        joint.offset = [_number(value) for value in values]
        if len(joint.offset) != 3:
            raise ValueError(f"{joint.name}: OFFSET has {len(values)} numbers, must have 3")
        return
    found = [_CHANNEL.fullmatch(value) for value in values[1:]]
    if not values or values[0] != str(len(found)) or None in found:
        raise ValueError(f"{joint.name}: CHANNELS {' '.join(values)!r} is not understood")
    joint.channels = [(m[1].upper(), m[2].lower()) for m in found if m]


def _frames(lines: list[str], channels: int) -> tuple[float, np.ndarray]:
    """Seconds a frame and float64 [T, channels]."""
    count = _field(lines[:1], "Frames:")
    seconds = _field(lines[1:2], "Frame Time:")
    if not 0 < seconds < 60:
        raise ValueError(f"Frame Time is {seconds:g} s, must be above 0 and below 60")
    rows = lines[2:]
    if not rows or count < 1:
        raise ValueError("it has no frames")
    if count != len(rows):
        raise ValueError(f"Frames says {count:g}, but there are {len(rows)}")
    values = np.empty((len(rows), channels))
    for k, row in enumerate(rows):
        words = row.split()
        if len(words) != channels:
            raise ValueError(f"frame {k} has {len(words)} numbers, must have {channels}")
        values[k] = [_number(word) for word in words]
    return seconds, values


def _field(lines: list[str], name: str) -> float:
    line = " ".join(lines[0].split()) if lines else ""
    if not line.upper().startswith(name.upper()):
        raise ValueError(f"{name!r} is missing after MOTION")
    return _number(line[len(name) :].strip())


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e9:
        raise ValueError(f"{word[:20]!r} is no finite number below 1e9")
    return value


def _motion(joints: list[_Joint], seconds: float, values: Tensor) -> Motion:
    skeleton = Skeleton(
        tuple(j.name for j in joints),
        tuple(j.parent for j in joints),
        torch.tensor([j.offset for j in joints], dtype=torch.float32),
    )
    rotations = torch.tensor(quaternions.IDENTITY, dtype=torch.float64)
    rotations = rotations.repeat(len(values), len(joints), 1)
    root = torch.tensor(joints[0].offset, dtype=torch.float64).repeat(len(values), 1)
    column = 0
    for k, joint in enumerate(joints):
        for name, kind in joint.channels:
            axis = _AXES.index(name)
            if kind == "rotation":
                vector = torch.zeros(len(values), 3, dtype=torch.float64)
                vector[:, axis] = torch.deg2rad(values[:, column])
                turn = quaternions.exponential(vector)
                rotations[:, k] = quaternions.multiply(rotations[:, k], turn)
            elif k == 0:
                root[:, axis] = values[:, column]
            column += 1
    times = torch.arange(len(values), dtype=torch.float64) * seconds
    return Motion(skeleton, times, root.float(), rotations.float())


def _to_file(vector: Tensor) -> Tensor:
    """From z up and x forwards to y up and z forwards; left stays left."""
    return vector[..., [1, 2, 0]]


def _angles(m: Tensor) -> Tensor:
    """Angles a, b, c of m = Rz(a) Rx(b) Ry(c) in radians: [..., 3, 3] -> [..., 3].

    Near gimbal lock a is made of rounding; b and c are of what it leaves, so the product holds.
    """
    a = torch.atan2(-m[..., 0, 1], m[..., 1, 1])
    cosine, sine = a.cos()[..., None], a.sin()[..., None]
    first = cosine * m[..., 0, :] + sine * m[..., 1, :]  # rows of Rz(-a) m = Rx(b) Ry(c)
    second = cosine * m[..., 1, :] - sine * m[..., 0, :]
    b = torch.atan2(m[..., 2, 1], second[..., 1])
    return torch.stack([a, b, torch.atan2(first[..., 2], first[..., 0])], -1)


def _children(skeleton: Skeleton, joint: int) -> list[int]:
    return [k for k, parent in enumerate(skeleton.parents) if parent == joint]


def _depth_first(skeleton: Skeleton, joint: int = 0) -> list[int]:
    """Joints in the order in which their braces open."""
    below = [k for child in _children(skeleton, joint) for k in _depth_first(skeleton, child)]
    return [joint, *below]


def _write_joint(skeleton: Skeleton, tips: Tensor, joint: int, depth: int) -> list[str]:
    outer, inner = "\t" * depth, "\t" * (depth + 1)
    offset = _to_file(skeleton.offsets[joint].cpu()) * (1 if depth else 0)
    turns = " ".join(f"{axis}rotation" for axis in _ORDER)
    channels = f"CHANNELS 3 {turns}"
    if not depth:
        channels = f"CHANNELS 6 Xposition Yposition Zposition {turns}"
    lines = [
        f"{outer}{'JOINT' if depth else 'ROOT'} {skeleton.names[joint]}",
        f"{outer}{{",
        f"{inner}OFFSET {_words(offset)}",
        f"{inner}{channels}",
    ]
    children = _children(skeleton, joint)
    for child in children:
        lines += _write_joint(skeleton, tips, child, depth + 1)
    if not children:
        tip = _to_file(tips[joint].cpu())
        lines += [f"{inner}End Site", f"{inner}{{", f"{inner}\tOFFSET {_words(tip)}", f"{inner}}}"]
    return [*lines, f"{outer}}}"]


def _words(vector: Tensor) -> str:
    return " ".join(f"{value:.6f}" for value in vector.tolist())
