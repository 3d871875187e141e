"""Motion in DeepMimic's text format (Peng et al., SIGGRAPH 2018), as pybullet's wheel carries it.

JSON with `Frames`, rows of 44 numbers: how long the frame lasts in seconds; where the root is and
how it is turned; then each joint, a quaternion w first or the angle of a hinge: chest, neck, right
hip, knee, ankle, shoulder and elbow, left ones alike. Its y points up.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genenvs.motion import quaternions
from genenvs.motion.humanoid import JOINTS, humanoid

WIDTH = 44
_ORDER = (
    "chest", "neck",
    *(f"{s}_{j}" for s in ("right", "left") for j in ("hip", "knee", "ankle", "shoulder", "elbow"))
)  # fmt: skip
_HINGES = ("knee", "elbow")
# Of lengths from 1. Frames of pybullet's own were edited by hand, one of the kick's has 0.58;
# farther away it is no rotation.
_OFF = 0.5


class Recording(NamedTuple):
    """Frames as they were recorded.

    Attributes:
        times: float64 [T], seconds, rising; the first is 0.
        root: float32 [T, 3], metres.
        rotations: float32 [T, 15, 4].
    """

    times: Tensor
    root: Tensor
    rotations: Tensor


def read(path: Path) -> Recording:
    """Read a file.

    Raises:
        ValueError: names the file and says what is wrong with it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    rows = _rows(path, content)
    numbers = torch.tensor(rows, dtype=torch.float64)
    return _recording(path, numbers)


def _rows(path: Path, content: Any) -> list[list[float]]:
    """The frames, checked."""
    rows = content.get("Frames") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise ValueError(f'{path} holds no list "Frames"')
    if not rows:
        raise ValueError(f"{path} has no frames")
    for k, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != WIDTH:
            found = f"{len(row)} numbers" if isinstance(row, list) else repr(row)
            raise ValueError(f"{path}: frame {k} has {found}, must have {WIDTH} numbers")
        # Python's JSON reads NaN and Infinity, and integers beyond any float.
        if not all(type(x) in (int, float) and abs(x) < 1e9 and math.isfinite(x) for x in row):
            raise ValueError(f"{path}: frame {k} has a value that is no finite number below 1e9")
        if row[0] < 0 or (row[0] == 0 and k + 1 < len(rows)):
            raise ValueError(f"{path}: frame {k} lasts {row[0]} s, must last longer than 0")
    return rows


def _recording(path: Path, numbers: Tensor) -> Recording:
    """Rows [T, 44] in our axes."""
    rotations = torch.tensor(quaternions.IDENTITY, dtype=torch.float64)
    rotations = rotations.repeat(len(numbers), len(JOINTS), 1)
    rotations[:, 0] = _unit(path, "root", numbers[:, 4:8])
    axes, place = humanoid().axes.double(), 8
    for name in _ORDER:
        joint = JOINTS.index(name)
        if name.endswith(_HINGES):
            rotations[:, joint] = quaternions.exponential(numbers[:, place, None] * axes[joint])
            place += 1
        else:
            rotations[:, joint] = _unit(path, name, numbers[:, place : place + 4])
            place += 4
    # The last frame's duration is nobody's: nothing follows it.
    times = torch.cat([numbers.new_zeros(1), numbers[:-1, 0].cumsum(0)])
    return Recording(times, _upright(numbers[:, 1:4]).float(), rotations.float())


def _unit(path: Path, name: str, q: Tensor) -> Tensor:
    """Quaternions of a file as rotations in our axes."""
    length = q.norm(dim=-1)
    wrong = (length - 1).abs() > _OFF
    if bool(wrong.any()):
        frame = int(wrong.nonzero()[0])
        raise ValueError(
            f"{path}: frame {frame}, {name}: a quaternion of length {float(length[frame]):.3g}, "
            "must be 1"
        )
    q = normalize(q, dim=-1)
    return torch.cat([q[..., :1], _upright(q[..., 1:])], -1)


def _upright(vector: Tensor) -> Tensor:
    """Vectors with y up, z to the right, in ours: z up, y to the left."""
    x, y, z = vector.unbind(-1)
    return torch.stack([x, -z, y], -1)
