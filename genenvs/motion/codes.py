"""Dances as sequences of pose codes: what each half of a body does for eight frames.

After Bailando (Li et al., CVPR 2022): a codebook for the upper and one for the lower half, 8 frames
a code at 60 fps. Where Bailando has two VQ-VAEs, these are the simple option, centres of k-means
over every window of some clips; `genenvs.motion.training.codes` makes them.

A code holds nine frames, the last of which is where the next code should begin. Where it begins
elsewhere, the difference decays over the next code's frames: a decoded motion never jumps, and what
happens within a code depends on it and on the one before alone.
"""

from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import normalize

from genenvs.core import folders, manifest
from genenvs.motion import quaternions
from genenvs.motion.clips import SUFFIXES, read_usable
from genenvs.motion.features import GEOMETRIC, KINETIC
from genenvs.motion.humanoid import JOINTS, humanoid
from genenvs.motion.skeleton import Skeleton, forward

FPS = 60.0
FRAMES = 8  # from the beginning of a code to that of the next
SEED_CODES = 9  # what a dance begins with: as much as its first beat depends on
LEAST = 8  # codes of a half, of which planners look at as many at once
UPPER = ("chest", "neck", "right_shoulder", "right_elbow", "left_shoulder", "left_elbow")
LOWER = ("root", *(f"{s}_{j}" for s in ("right", "left") for j in ("hip", "knee", "ankle")))
WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = "shipped"
FILE = WEIGHTS / "codes.safetensors"
_PART = 4096  # pairs at a time
_WRISTS = ("right_wrist", "left_wrist")  # which do not turn
_ORDER = [(*LOWER, *UPPER, *_WRISTS).index(name) for name in JOINTS]
_ARMS = [JOINTS.index(name) for name in (*UPPER, *_WRISTS)]
_LEGS = [JOINTS.index(name) for name in LOWER]


class Motion(NamedTuple):
    """A motion at 60 fps.

    Attributes:
        root: float32 [..., F, 3], metres, z up.
        rotations: float32 [..., F, 15, 4].
    """

    root: Tensor
    rotations: Tensor


@dataclass(frozen=True)
class Codes:
    """Codebooks of both halves, and what the clips say of how codes follow each other.

    A code's frames are seen from where the root stands and looks (about z) at the first of them.

    Attributes:
        upper: float32 [U, 9, 6, 4], rotations of `UPPER`, each in its parent's frame.
        lower: float32 [L, 9, 7, 4], of `LOWER`.
        path: float32 [L, 9, 3], the root's way: metres; x and y begin at 0, z is its height.
        apart: float32 [U, L], how far two halves are, together, from the nearest moment of the
            clips: metres, root mean square over joints.
        follows: int64 [N, 4], codes (upper, lower) at a moment of a clip and 8 frames later.
        held_out: int64 [M, 4], the same from copies of these clips at other speeds.
        seeds: int64 [S, T, 2], codes of moments of the clips at which people are on their feet.
        windows: float32 [W, F], features of FID_k and FID_g of two seconds each of the clips.
    """

    upper: Tensor
    lower: Tensor
    path: Tensor
    apart: Tensor
    follows: Tensor
    held_out: Tensor
    seeds: Tensor
    windows: Tensor

    @property
    def sizes(self) -> tuple[int, int]:
        """Codes of the upper and of the lower half."""
        return len(self.upper), len(self.lower)

    @cached_property
    def turns(self) -> Tensor:
        """How far each lower code turns about z from its first frame to the last: [L], radians."""
        end = quaternions.yaw(self.lower[:, -1, 0])
        return 2 * torch.atan2(end[:, 3], end[:, 0])

    @cached_property
    def ends(self) -> Tensor:
        """The rotations of `LOWER` at the last frame, the root's without the turn: [L, 7, 4]."""
        last = self.lower[:, -1].clone()
        last[:, 0] = quaternions.multiply(
            quaternions.conjugate(quaternions.yaw(last[:, 0])), last[:, 0]
        )
        return last

    @cached_property
    def gaps(self) -> tuple[Tensor, Tensor]:
        """How far apart one code's end and the next one's beginning are: [U, U] and [L, L].

        Metres, the sum over the joints of a half, so that both together over 15 is a mean.
        """
        halves = (
            (self.arms(self.upper[:, -1]), self.arms(self.upper[:, 0])),
            (
                self.legs(self.path[:, -1, 2], self.ends),
                self.legs(self.path[:, 0, 2], self.lower[:, 0]),
            ),
        )
        upper, lower = ((a[:, None] - b).norm(dim=-1).sum(-1) for a, b in halves)
        return upper, lower

    def arms(self, upper: Tensor) -> Tensor:
        """Joints of the upper half as the pelvis sees them: [..., 6, 4] -> [..., 8, 3]."""
        identity = upper.new_tensor(quaternions.IDENTITY)
        lower = identity.expand(*upper.shape[:-2], len(LOWER), 4)
        root = upper.new_zeros(*upper.shape[:-2], 3)
        return forward(self._skeleton, root, whole(upper, lower))[0][..., _ARMS, :]

    def legs(self, height: Tensor, lower: Tensor) -> Tensor:
        """Joints of the lower half over the floor: [...] and [..., 7, 4] -> [..., 7, 3]."""
        identity = lower.new_tensor(quaternions.IDENTITY)
        upper = identity.expand(*lower.shape[:-2], len(UPPER), 4)
        root = torch.stack([height * 0, height * 0, height], -1)
        return forward(self._skeleton, root, whole(upper, lower))[0][..., _LEGS, :]

    def gap(self, before: Tensor, after: Tensor) -> Tensor:
        """Mean distance of joints at joins: codes int64 [..., 2] twice -> metres [...]."""
        upper, lower = self.gaps
        both = upper[before[..., 0], after[..., 0]] + lower[before[..., 1], after[..., 1]]
        return both / len(JOINTS)

    def local(self, before: Tensor, codes: Tensor) -> Motion:
        """The frames of codes, begun where those before them end.

        Args:
            before: int64 [..., 2], upper and lower.
            codes: int64 [..., 2].

        Returns:
            Nine frames each, seen from where the root is and looks at the first.
        """
        (up, low), (next_up, next_low) = before.unbind(-1), codes.unbind(-1)
        turned = whole(self._begun_upper(up, next_up), self._begun_lower(low, next_low))
        return Motion(self._begun_path(low, next_low), turned)

    def speed(self, before: Tensor, codes: Tensor) -> Tensor:
        """Mean way of the joints from each frame of codes to the next: [..., 2] twice -> [..., 8].

        Metres a frame. It does not depend on where the body is, nor on any other code.
        """
        arms, legs, turned = self._pairs
        upper = before[..., 0] * len(self.upper) + codes[..., 0]
        lower = before[..., 1] * len(self.lower) + codes[..., 1]
        seen, below, axes = arms[upper], legs[lower], turned[lower]
        x, y, z = seen.unbind(-1)  # [..., 9, A]
        a, b, c = axes.unbind(-2)  # [..., 9, 3]
        above = x[..., None] * a[..., None, :] + y[..., None] * b[..., None, :]
        above = above + z[..., None] * c[..., None, :] + below[..., :1, :]  # the root comes first
        positions = torch.cat([above, below], -2)
        return (positions[..., 1:, :, :] - positions[..., :-1, :, :]).norm(dim=-1).mean(-1)

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of every pair of codes that may follow each other, the joints at nine frames.

        Arms as the pelvis sees them [U^2, 9, 8, 3], legs as the heading at the first frame does
        [L^2, 9, 7, 3], and there the pelvis' axes as rows [L^2, 9, 3, 3]. Halves do not depend on
        each other: so many sums of joints are done once here and not at every step.
        """
        found: tuple[list[Tensor], ...] = ([], [], [])
        for codes in _pairs(len(self.upper), self.upper.device).split(_PART):
            found[0].append(self.arms(self._begun_upper(codes[:, 0], codes[:, 1])))
        for codes in _pairs(len(self.lower), self.upper.device).split(_PART):
            lower = self._begun_lower(codes[:, 0], codes[:, 1])
            path = self._begun_path(codes[:, 0], codes[:, 1])
            flat = path * path.new_tensor((1, 1, 0))
            found[1].append(self.legs(path[..., 2], lower) + flat[..., None, :])
            found[2].append(quaternions.matrix(lower[..., 0, :]).transpose(-1, -2))
        arms, legs, turned = (torch.cat(part) for part in found)
        return arms, legs, turned

    def decode(self, codes: Tensor) -> Motion:
        """The whole motion of sequences, from the origin, looking along x at first.

        Args:
            codes: int64 [B, T, 2].

        Returns:
            8 T + 1 frames.
        """
        before = torch.cat([codes[:, :1], codes[:, :-1]], 1)
        path, rotations = self.local(before, codes)  # [B, T, 9, ...]
        # Nothing is before the first.
        path[:, 0] = self.path[codes[:, 0, 1]]
        rotations[:, 0] = whole(self.upper[codes[:, 0, 0]], self.lower[codes[:, 0, 1]])
        turns = self.turns[codes[..., 1]]
        angle = turns.cumsum(1) - turns  # [B, T], the heading at the first frame of each code
        about = torch.stack([angle * 0, angle * 0, angle], -1)
        heading = quaternions.exponential(about)[:, :, None]  # [B, T, 1, 4]
        flat = path * path.new_tensor((1, 1, 0))
        way = quaternions.rotate(heading, flat)
        start = way[:, :, -1].cumsum(1) - way[:, :, -1]
        root = start[:, :, None] + way + (path - flat)
        rotations = torch.cat([
            quaternions.multiply(heading, rotations[..., 0, :])[..., None, :], rotations[..., 1:, :]
        ], -2)  # fmt: skip
        return Motion(_joined(root), _joined(rotations))

    def _begun_upper(self, before: Tensor, code: Tensor) -> Tensor:
        return self._begun(self.upper[before, -1], self.upper[code])

    def _begun_lower(self, before: Tensor, code: Tensor) -> Tensor:
        return self._begun(self.ends[before], self.lower[code])

    def _begun_path(self, before: Tensor, code: Tensor) -> Tensor:
        path = self.path[code].clone()
        path[..., 2] += (self.path[before, -1, 2] - path[..., 0, 2])[..., None] * self._decay
        return path

    def _begun(self, end: Tensor, frames: Tensor) -> Tensor:
        """Frames [..., 9, J, 4] that begin at `end` [..., J, 4] and come back to what they were."""
        offset = quaternions.multiply(end, quaternions.conjugate(frames[..., 0, :, :]))
        offset = torch.where(offset[..., :1] < 0, -offset, offset)[..., None, :, :]
        share = self._decay[:, None, None]
        identity = offset.new_tensor(quaternions.IDENTITY)
        part = normalize(identity + share * (offset - identity), dim=-1)
        return quaternions.multiply(part, frames)

    @cached_property
    def _decay(self) -> Tensor:
        """How much of a difference is left at each of nine frames: 1 .. 0, level at both ends."""
        x = torch.arange(FRAMES + 1, device=self.upper.device) / FRAMES
        return 1 - x * x * (3 - 2 * x)

    @cached_property
    def _skeleton(self) -> Skeleton:
        return humanoid(str(self.upper.device)).skeleton

    def to(self, device: str | torch.device) -> "Codes":
        """The same on a device."""
        return Codes(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def _pairs(size: int, device: torch.device) -> Tensor:
    """Every pair of 0 .. size - 1, the first the slower: int64 [size^2, 2]."""
    index = torch.arange(size, device=device)
    return torch.cartesian_prod(index, index)


def whole(upper: Tensor, lower: Tensor) -> Tensor:
    """Rotations of all joints from the halves: [..., 6, 4] and [..., 7, 4] -> [..., 15, 4]."""
    wrists = upper.new_tensor(quaternions.IDENTITY).expand(*upper.shape[:-2], len(_WRISTS), 4)
    return torch.cat([lower, upper, wrists], -2)[..., _ORDER, :]


def _joined(frames: Tensor) -> Tensor:
    """Codes of nine frames as one motion: [B, T, 9, ...] -> [B, 8 T + 1, ...]."""
    return torch.cat([frames[:, :, :-1].flatten(1, 2), frames[:, -1, -1:]], 1)


def load(name: str | Path = SHIPPED, device: str = "cpu", clips: str | Path | None = None) -> Codes:
    """Codebooks by their name, or of the user's own clips; files are read once a process.

    Args:
        name: `shipped`, or the path of a file that `genenvs.motion.training.codes` wrote.
        device: where they are to lie.
        clips: a BVH file, one in DeepMimic's text format, or a folder of them. Codebooks are made
            of them, which takes seconds for a minute of motion.

    Raises:
        ValueError: the file is missing, holds no codebooks or such as cannot be danced with, or,
            of those that ship, is not the one that was shipped; clips that cannot be used, with
            the reasons; clips with a name other than `shipped`.
    """
    if clips is not None:
        if name != SHIPPED:
            raise ValueError(f"give clips or codes, not both; got codes={str(name)!r}")
        return _of_clips(Path(clips), device, folders.stamp(Path(clips), SUFFIXES))
    path = FILE if name == SHIPPED else Path(name)
    stamp = folders.stamp(path)
    if not stamp:
        raise ValueError(f"codes must be {SHIPPED!r} or the path of a file; got {str(name)!r}")
    return _load(name == SHIPPED, device, stamp)


@lru_cache(maxsize=8)
def _load(shipped: bool, device: str, stamp: tuple[tuple[Path, int, int], ...]) -> Codes:
    path = stamp[0][0]
    if shipped:
        manifest.verify([FILE], WEIGHTS)
    try:
        codes = Codes(**load_file(path))
        if wrong := _wrong(codes):
            raise TypeError(wrong)
    except (OSError, TypeError, SafetensorError) as error:
        raise ValueError(f"{path} holds no codebooks: {error}") from error
    return codes.to(device)


@lru_cache(maxsize=2)
def _of_clips(path: Path, device: str, stamp: tuple[tuple[Path, int, int], ...]) -> Codes:
    from genenvs.motion.training import codes as training

    recorded = read_usable(path, FPS)
    try:
        return training.train(recorded)[0].to(device)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _wrong(codes: Codes) -> str:
    """What keeps codebooks of a file from being danced with; empty where nothing does."""
    uppers, lowers = (len(book) if book.ndim else 0 for book in (codes.upper, codes.lower))
    if min(uppers, lowers) < LEAST:
        return f"{uppers} upper and {lowers} lower codes; there must be {LEAST} of each"
    for name, shape in (
        ("upper", (uppers, FRAMES + 1, len(UPPER), 4)),
        ("lower", (lowers, FRAMES + 1, len(LOWER), 4)),
        ("path", (lowers, FRAMES + 1, 3)),
        ("apart", (uppers, lowers)),
        ("windows", (max(2, len(codes.windows)), KINETIC + GEOMETRIC)),
    ):
        value = getattr(codes, name)
        if value.dtype != torch.float32 or value.shape != shape:
            return f"{name} is {value.dtype} {list(value.shape)}, not float32 {list(shape)}"
        if not value.isfinite().all():
            return f"{name} is not finite"
    for name, shape in (
        ("follows", (max(1, len(codes.follows)), 4)),
        ("held_out", (max(1, len(codes.held_out)), 4)),
        ("seeds", (max(1, len(codes.seeds)), SEED_CODES, 2)),
    ):
        value = getattr(codes, name)
        if value.dtype != torch.int64 or value.shape != shape:
            return f"{name} is {value.dtype} {list(value.shape)}, not int64 {list(shape)}"
        pairs = value.view(-1, 2)
        if bool((pairs < 0).any() or (pairs >= torch.tensor(codes.sizes)).any()):
            return f"{name} names codes that there are not"
    return ""
