"""Features of whole motions, by which sets of dances are compared: FID_k and FID_g.

After fairmotion (Gopinath and Won, 2020) as AIST++ (Li et al., ICCV 2021) and Bailando (Li et al.,
CVPR 2022) use it. The published code has mistakes that published numbers contain;
`bug_compatible=True` repeats them. Here z points up where theirs is y.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from genenvs.motion.humanoid import JOINTS, humanoid, soles
from genenvs.motion.skeleton import forward

_WINDOW = 2  # frames on both sides over which velocities and accelerations are averaged
_BUG_FPS = 120.0  # what the published geometric features take motions at 60 for


@dataclass(frozen=True)
class Lengths:
    """Lengths of a body in metres, by which thresholds scale; those of SMPL's mean body.

    Attributes:
        humerus: from shoulder to elbow.
        shoulders: from one to the other.
        hips: from one to the other.
    """

    humerus: float = 0.256838
    shoulders: float = 0.390848
    hips: float = 0.119247


_SMPL_JOINTS = (
    "root", "lhip", "rhip", "belly", "lknee", "rknee", "spine", "lankle", "rankle", "chest",
    "ltoes", "rtoes", "neck", "linshoulder", "rinshoulder", "head", "lshoulder", "rshoulder",
    "lelbow", "relbow", "lwrist", "rwrist", "lhand", "rhand",
)  # fmt: skip
SMPL = {name: k for k, name in enumerate(_SMPL_JOINTS)}
# Of `humanoid_points`. Its spine has one joint less: the root stands in for the belly.
HUMANOID = {
    "root": 0, "belly": 0, "chest": JOINTS.index("chest"), "neck": JOINTS.index("neck"),
    **{
        f"{side[0]}{part}": JOINTS.index(f"{side}_{part}")
        for side in ("left", "right")
        for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    },
    "ltoes": len(JOINTS), "rtoes": len(JOINTS) + 1,
}  # fmt: skip


def humanoid_points(positions: Tensor, orientations: Tensor) -> Tensor:
    """Joints and both toes, as `HUMANOID` numbers them.

    Args:
        positions: float [..., 15, 3], of `genenvs.motion.skeleton.forward`.
        orientations: float [..., 15, 4].

    Returns:
        [..., 17, 3].
    """
    return torch.cat([positions, soles(positions, orientations)[..., 1::2, :]], -2)


def kinetic(positions: Tensor, fps: float = 60.0, *, bug_compatible: bool = False) -> Tensor:
    """Return mean energies of each joint (Onuma et al., 2008): the features of FID_k.

    Of each joint the horizontal and the vertical squared speed and the size of the acceleration,
    taken from velocities and accelerations averaged over five frames, then over all frames but the
    first.

    Args:
        positions: float [B, T, J, 3], metres, z up, T >= 3. Published ones start at the origin.
        fps: frames a second; published ones have 60.
        bug_compatible: repeat the published slip in operator precedence: of the two velocities
            whose difference is the acceleration, the earlier is p[t] - p[t-1] / dt, without
            brackets, which makes a large feature of where the dancer stands.

    Returns:
        float64 [B, 3 J].

    Raises:
        ValueError: fewer than three frames.
    """
    if positions.dim() != 4 or positions.shape[1] < 3:
        raise ValueError(f"positions must be [B, T, J, 3], T >= 3; got {list(positions.shape)}")
    p = positions.double()
    velocities = (p[:, 1:] - p[:, :-1]) * fps  # entry i ends at frame i + 1
    mean = _windowed(velocities)
    across, up = mean[..., :2].square().sum(-1), mean[..., 2].square()
    earlier = velocities[:, :-1]
    if bug_compatible:
        earlier = p[:, 1:-1] - p[:, :-2] * fps
    accelerations = (velocities[:, 1:] - earlier) * fps  # around frames 1 .. T - 2
    # The last frame has no acceleration but its window reaches back to those that do.
    there = torch.ones_like(accelerations[:, :, :1, :1])
    gap = (0, 0, 0, 0, 0, 1)
    filled = _windowed(torch.nn.functional.pad(accelerations, gap))
    share = _windowed(torch.nn.functional.pad(there, gap))
    spent = (filled / share).norm(dim=-1)
    return torch.stack([x.mean(1) for x in (across, up, spent)], -1).flatten(1)


def _windowed(x: Tensor) -> Tensor:
    """Mean over `_WINDOW` frames on both sides, as far as there are any: [B, T, J, C]."""
    batch, frames, joints, channels = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(batch, joints * channels, frames)
    size = 2 * _WINDOW + 1
    pooled = avg_pool1d(flat, size, 1, _WINDOW, count_include_pad=False)
    return pooled.reshape(batch, joints, channels, frames).permute(0, 3, 1, 2)


class _Question(NamedTuple):
    """One of the geometric features: is a number above a threshold, or between two?

    Kinds, of points a, b, c and d:
        toward: how fast c moves in the direction a -> b, seen from a. Mueller et al. mean d as seen
            from c; the published code leaves d out, and so do we: FID_g is what it computes.
        across: how fast d leaves the plane of a, b and c, seen from a.
        plane: how far d is in front of the plane of a, b and c.
        along: how far d is beyond c in the direction a -> b.
        angle: degrees between a -> b and c -> d.
        fast: the speed of a.
    """

    kind: str
    points: tuple[str, ...]
    low: float  # in multiples of `unit`
    unit: str | None = None
    high: float = float("inf")


def _both(kind: str, points: str, low: float, unit: str | None, high: float) -> list[_Question]:
    """A question as it stands, and about the other side: `r` and `l` before a point change."""
    other = {"l": "r", "r": "l"}
    names = points.split()
    swapped = [n if n in ("root", "lowest") else other.get(n[0], n[0]) + n[1:] for n in names]
    return [_Question(kind, tuple(side), low, unit, high) for side in (names, swapped)]


_ENDLESS = float("inf")
# In the published order (`manual.py`): after Mueller et al. (SIGGRAPH 2005).
QUESTIONS = (
    *_both("across", "neck rhip lhip rwrist", 1.8, "humerus", _ENDLESS),
    *_both("along", "chest neck neck rwrist", 0.2, "humerus", _ENDLESS),
    *_both("toward", "belly chest chest rwrist", 1.8, "humerus", _ENDLESS),
    *_both("angle", "relbow rshoulder relbow rwrist", 0, None, 110),
    _Question("along", ("lshoulder", "rshoulder", "lwrist", "rwrist"), 2.5, "shoulders"),
    _Question("toward", ("lwrist", "rwrist", "rwrist", "lwrist"), 1.4, "humerus"),
    *_both("toward", "rwrist root lwrist root", 1.4, "humerus", _ENDLESS),
    *_both("fast", "rwrist", 2.5, "humerus", _ENDLESS),
    *_both("plane", "root lhip ltoes rankle", 0.38, "humerus", _ENDLESS),
    *_both("along", "zero up lowest rankle", 1.2, "humerus", _ENDLESS),
    _Question("along", ("lhip", "rhip", "lankle", "rankle"), 2.1, "hips"),
    *_both("angle", "rknee rhip rknee rankle", 0, None, 110),
    *_both("fast", "rankle", 2.5, "humerus", _ENDLESS),
    *_both("angle", "neck root rshoulder relbow", 25, None, 180),
    *_both("angle", "neck root rhip rknee", 50, None, 180),
    _Question("plane", ("rankle", "neck", "lankle", "root"), 0.5, "humerus"),
    _Question("angle", ("neck", "root", "zero", "up"), 70, None, 110),
    *_both("along", "zero down lowest rwrist", -1.2, "humerus", _ENDLESS),
    _Question("fast", ("root",), 2.3, "humerus"),
)


def geometric(
    positions: Tensor,
    parts: Mapping[str, int] = HUMANOID,
    fps: float = 60.0,
    lengths: Lengths = Lengths(),
    *,
    bug_compatible: bool = False,
) -> Tensor:
    """Return how often a body is in each of 32 relations: the features of FID_g.

    Args:
        positions: float [B, T, P, 3], metres, z up, T >= 2; see `humanoid_points`.
        parts: which point each part is; `SMPL` for its 24 joints.
        fps: frames a second.
        lengths: of the body; the published ones by default.
        bug_compatible: take time for what the published code does, 120 fps whatever `fps` is.

    Returns:
        float64 [B, 32], shares of frames in 0 .. 1.

    Raises:
        ValueError: fewer than two frames.
    """
    if positions.dim() != 4 or positions.shape[1] < 2:
        raise ValueError(f"positions must be [B, T, P, 3], T >= 2; got {list(positions.shape)}")
    p = positions.double()
    rate = _BUG_FPS if bug_compatible else fps
    index = dict(parts)
    extra = p.new_tensor([[0, 0, 0], [0, 0, 1], [0, 0, -1], [0, 0, 0]]).repeat(*p.shape[:2], 1, 1)
    extra[..., 3, 2] = p[..., 2].amin(-1)
    for k, name in enumerate(("zero", "up", "down", "lowest")):
        index[name] = p.shape[2] + k
    p = torch.cat([p, extra], 2)
    answers = []
    for question in QUESTIONS:
        now = [p[:, 1:, index[name]] for name in question.points]
        step = [(p[:, 1:, index[n]] - p[:, :-1, index[n]]) * rate for n in question.points]
        value = _MEASURES[question.kind](now, step)
        unit = 1.0 if question.unit is None else getattr(lengths, question.unit)
        # What has no direction, two points in one place, gives no number and no yes.
        answers.append((value > question.low * unit) & (value < question.high * unit))
    return torch.stack(answers, -1).double().mean(1)


KINETIC, GEOMETRIC = 3 * len(JOINTS), len(QUESTIONS)


def humanoid_features(root: Tensor, rotations: Tensor, fps: float = 60.0) -> Tensor:
    """Both kinds of motions of the humanoid: the `KINETIC` first, then the `GEOMETRIC`.

    Args:
        root: float [B, T, 3], metres, T >= 3.
        rotations: float [B, T, 15, 4].
        fps: frames a second.

    Returns:
        float32 [B, 77].
    """
    positions, orientations = forward(humanoid(str(root.device)).skeleton, root, rotations)
    points = humanoid_points(positions, orientations)
    return torch.cat([kinetic(positions, fps), geometric(points, fps=fps)], 1).float()


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def _normal(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    normal = torch.linalg.cross(c - a, b - a)
    return normal / normal.norm(dim=-1, keepdim=True)


def _direction(a: Tensor, b: Tensor) -> Tensor:
    return (b - a) / (b - a).norm(dim=-1, keepdim=True)


def _degrees(now: list[Tensor], step: list[Tensor]) -> Tensor:
    cosine = _dot(_direction(*now[:2]), _direction(*now[2:]))
    return torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))


_MEASURES = {
    "toward": lambda now, step: _dot(step[2] - step[0], _direction(now[0], now[1])),
    "across": lambda now, step: _dot(step[3] - step[0], _normal(*now[:3])),
    "plane": lambda now, step: _dot(now[3] - now[0], _normal(*now[:3])),
    "along": lambda now, step: _dot(now[3] - now[2], _direction(now[0], now[1])),
    "angle": _degrees,
    "fast": lambda now, step: step[0].norm(dim=-1),
}
