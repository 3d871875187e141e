"""Make the codebooks of dances: `python -m genenvs.motion.training.codes`.

Reads pybullet's clips where it is installed (extra `pybullet`), or with `--clips` a folder of one's
own, and writes codes.safetensors and codes.json, which says how well they fit. With mirrored
copies; seconds on one core. The weights that ship were made by the command as it stands here.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from genenvs.core import manifest
from genenvs.core.files import making
from genenvs.motion import clips, features, quaternions
from genenvs.motion.clips import Clip
from genenvs.motion.codes import (
    FILE,
    FPS,
    FRAMES,
    LEAST,
    LOWER,
    SEED_CODES,
    UPPER,
    WEIGHTS,
    Codes,
)
from genenvs.motion.codes_prior import Prior
from genenvs.motion.humanoid import JOINTS, humanoid, soles
from genenvs.motion.skeleton import forward

SIZE = 128  # codes of each half
ITERATIONS = 100  # of k-means, at most
# Of the copies from which the likelihoods of `judge` come. They are the same clips: what is likely
# in others these few cannot tell (-9.1 nats of a clip left out whole, -9.7 by chance).
OTHER_SPEEDS = (0.9, 1.1)
STANDING, UPRIGHT = 0.6, 0.5  # metres of the root, cosine of its tilt: on one's feet
WINDOW, STRIDE = 2.0, 0.25  # seconds, of the features of FID_k and FID_g
_UPPER, _LOWER = ([JOINTS.index(name) for name in half] for half in (UPPER, LOWER))
_ARMS = [k for k, n in enumerate(JOINTS) if n.endswith(("neck", "shoulder", "elbow", "wrist"))]
_LEGS = [k for k, n in enumerate(JOINTS) if n.endswith(("hip", "knee", "ankle"))]


class Windows(NamedTuple):
    """All runs of nine frames of a clip, seen from the root's place and heading at the first.

    Attributes:
        path: float32 [N, 9, 3].
        rotations: float32 [N, 9, 15, 4].
        upper: float32 [N, F], what k-means compares of the upper half: metres.
        lower: float32 [N, G].
    """

    path: Tensor
    rotations: Tensor
    upper: Tensor
    lower: Tensor


def windows(clip: Clip) -> Windows:
    """Cut a clip up, at every frame."""
    index = torch.arange(len(clip.root) - FRAMES)[:, None] + torch.arange(FRAMES + 1)
    root, rotations = clip.root[index], clip.rotations[index].clone()
    back = quaternions.conjugate(quaternions.yaw(rotations[:, 0, 0]))[:, None]
    rotations[:, :, 0] = quaternions.multiply(back, rotations[:, :, 0])
    height = root[..., 2].clone()
    path = quaternions.rotate(back, root - root[:, :1])
    path[..., 2] = height
    return Windows(path, rotations, *compared(path, rotations))


def compared(path: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
    """Positions by which halves are told apart: arms seen from the pelvis, legs and toes from it.

    The root's way counts like a joint, twice: all else follows it.
    """
    positions, frames = forward(humanoid().skeleton, path, rotations)
    seen = positions - positions[:, :, :1]
    toes = soles(positions, frames)[:, :, 1::2] - positions[:, :, :1]
    arms = quaternions.rotate(quaternions.conjugate(frames[:, :, :1]), seen)[:, :, _ARMS]
    legs = [seen[:, :, _LEGS], toes, 2**0.5 * path[:, :, None]]
    return arms.flatten(1), torch.cat(legs, 2).flatten(1)


def k_means(points: Tensor, size: int, seed: int = 0) -> Tensor:
    """Lloyd's algorithm from k-means++ (Arthur and Vassilvitskii, 2007).

    Args:
        points: float32 [N, F].
        size: K, at most N.
        seed: of the start.

    Returns:
        Centres [K, F], none without a point.

    Raises:
        ValueError: fewer than K different points.
    """
    generator = torch.Generator().manual_seed(seed)
    centres = points[torch.randint(len(points), (1,), generator=generator)]
    least = (points - centres).square().sum(1)
    for k in range(1, size):
        if not bool(least.sum() > 0):
            raise ValueError(f"the clips show only {k} postures for {size} codes a half")
        new = points[torch.multinomial(least, 1, generator=generator)]
        centres = torch.cat([centres, new])
        least = torch.minimum(least, (points - new).square().sum(1))
    for _ in range(ITERATIONS):
        before, members = centres, nearest(points, centres)
        centres = mean(points, members, size)
        empty = torch.bincount(members, minlength=size) == 0
        centres[empty] = before[empty]
        if torch.equal(centres, before):
            break
    return centres


def nearest(points: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre of each point, int64 [N]."""
    return torch.cdist(points, centres).argmin(1)


def mean(values: Tensor, members: Tensor, size: int) -> Tensor:
    """Means [K, ...] of values [N, ...] by their centre; 0 where a centre has none."""
    sums = values.new_zeros(size, *values.shape[1:]).index_add_(0, members, values)
    count = torch.bincount(members, minlength=size).clamp(min=1)
    return sums / count.view(-1, *[1] * (values.ndim - 1))


def mean_rotations(rotations: Tensor, members: Tensor, size: int) -> Tensor:
    """The same of quaternions [N, ..., 4], each turned to the sign of its centre's first one."""
    first = torch.zeros(size, dtype=torch.int64)
    first[members.flip(0)] = torch.arange(len(members)).flip(0)
    same = (rotations * rotations[first[members]]).sum(-1, keepdim=True) >= 0
    return normalize(mean(torch.where(same, rotations, -rotations), members, size), dim=-1)


def train(recorded: Sequence[Clip], size: int = SIZE) -> tuple[Codes, dict[str, Any]]:
    """Codebooks, and how well they fit.

    Args:
        recorded: clips at 60 fps, longer than a code each; mirrored copies are added here.
        size: codes of each half.

    Raises:
        ValueError: the clips are too short, too long or too much alike, or the codes too few.
    """
    clips.check_length(recorded)
    if size < LEAST:
        raise ValueError(f"a half must have {LEAST} codes or more; got {size}")
    recorded = [one for one in recorded if len(one.root) > FRAMES + SEED_CODES * FRAMES // 2]
    every = [*recorded, *map(clips.mirrored, recorded)]
    if sum(len(clip.root) - FRAMES for clip in every) < 4 * size:
        raise ValueError(f"the clips are too short for {size} codes a half")
    cut = [windows(clip) for clip in every]
    path, rotations, upper, lower = (torch.cat(part) for part in zip(*cut, strict=True))
    centres = k_means(upper, size), k_means(lower, size)
    members = nearest(upper, centres[0]), nearest(lower, centres[1])
    tokens = [_tokens(part, centres) for part in cut]
    follows = [_follows(one) for one in tokens]
    other = [
        _follows(_tokens(windows(clips.retimed(clip, speed)), centres))
        for clip in every
        for speed in OTHER_SPEEDS
    ]
    codes = Codes(
        upper=mean_rotations(rotations[:, :, _UPPER], members[0], size),
        lower=mean_rotations(rotations[:, :, _LOWER], members[1], size),
        path=mean(path, members[1], size),
        apart=_apart(upper, lower, centres),
        follows=torch.cat(follows),
        held_out=torch.cat(other),
        seeds=torch.cat([_seeds(c, t) for c, t in zip(every, tokens, strict=True)]).unique(dim=0),
        windows=torch.cat([window_features(clip.root, clip.rotations) for clip in every]),
    )
    if not len(codes.seeds) or len(codes.windows) < 2:
        raise ValueError("no clip shows somebody on his feet for a second, or none lasts 2 s")
    report = _report(codes, Windows(path, rotations, upper, lower), members, follows, len(recorded))
    return codes, report


def window_features(root: Tensor, rotations: Tensor) -> Tensor:
    """Features of FID_k (45) and FID_g (32) of every two seconds of a motion at 60 fps: [W, 77]."""
    frames, stride = round(WINDOW * FPS), round(STRIDE * FPS)
    if len(root) < frames:
        return torch.zeros(0, features.KINETIC + features.GEOMETRIC)
    return features.humanoid_features(
        root.unfold(0, frames, stride).movedim(-1, 1),
        rotations.unfold(0, frames, stride).movedim(-1, 1),
        FPS,
    )


def _tokens(cut: Windows, centres: tuple[Tensor, Tensor]) -> Tensor:
    """Codes of every window: int64 [N, 2]."""
    return torch.stack([nearest(cut.upper, centres[0]), nearest(cut.lower, centres[1])], 1)


def _follows(tokens: Tensor) -> Tensor:
    return torch.cat([tokens[:-FRAMES], tokens[FRAMES:]], 1)


def _seeds(clip: Clip, tokens: Tensor) -> Tensor:
    """Codes of the moments of a clip before which somebody was on his feet: [S, 9, 2]."""
    span = SEED_CODES * FRAMES
    if len(clip.root) <= span:
        return torch.zeros(0, SEED_CODES, 2, dtype=torch.int64)
    up = quaternions.matrix(clip.rotations[:, 0])[:, 2, 2]
    standing = (clip.root[:, 2] > STANDING) & (up > UPRIGHT)
    start = torch.arange(len(clip.root) - span)
    index = start[:, None] + torch.arange(span + 1)
    start = start[standing[index].all(1)][:: FRAMES // 2]
    return tokens[start[:, None] + torch.arange(SEED_CODES) * FRAMES]


def _apart(upper: Tensor, lower: Tensor, centres: tuple[Tensor, Tensor]) -> Tensor:
    """Distance of two halves, together, from the nearest window: [U, L], see `Codes`."""
    points = (upper.shape[1] + lower.shape[1]) / 3  # both count their points once a frame
    one = torch.cdist(upper, centres[0]).square()  # [N, U]
    other = torch.cdist(lower, centres[1]).square()
    least = torch.stack([(one[:, k, None] + other).amin(0) for k in range(one.shape[1])])
    return (least / points).sqrt()


def _report(
    codes: Codes,
    cut: Windows,
    members: tuple[Tensor, Tensor],
    follows: list[Tensor],
    clip_count: int,
) -> dict[str, Any]:
    """Errors in centimetres, likelihoods in nats a step."""
    rebuilt = cut.rotations.clone()
    rebuilt[:, :, _UPPER], rebuilt[:, :, _LOWER] = codes.upper[members[0]], codes.lower[members[1]]
    skeleton = humanoid().skeleton
    there, _ = forward(skeleton, cut.path, cut.rotations)
    here, _ = forward(skeleton, codes.path[members[1]], rebuilt)
    error = (there - here).norm(dim=-1).mean((1, 2)) * 100
    left_out = []
    for k in range(clip_count if clip_count > 1 else 0):  # a clip and its mirror image
        others = [f for i, f in enumerate(follows) if i % clip_count != k]
        prior = Prior(torch.cat(others), codes.sizes)
        own = torch.cat([f for i, f in enumerate(follows) if i % clip_count == k])
        left_out.append(prior.log_prob(own[:, :2], own[:, 2:]))
    prior = Prior(codes.follows, codes.sizes)
    speeds = [motion.diff(dim=1).norm(dim=-1).mean() for motion in (here, there)]
    gap = codes.gap(codes.follows[:, :2], codes.follows[:, 2:])
    return {
        "codes": list(codes.sizes),
        "frames": len(cut.path),
        "error_cm": round(float(error.mean()), 2),
        "error_cm_95": round(float(error.quantile(0.95)), 2),
        "speed_kept": round(float(speeds[0] / speeds[1]), 3),
        "nats_other_speeds": _nats(prior, codes.held_out),
        "nats_clip_left_out": round(float(torch.cat(left_out).mean()), 3) if left_out else None,
        "nats_uniform": round(-float(torch.tensor(codes.sizes).log().sum()), 3),
        "gap_cm": round(float(gap.mean()) * 100, 2),
        "apart_cm": round(float(codes.apart[members[0], members[1]].mean()) * 100, 2),
        "seeds": len(codes.seeds),
        "windows": len(codes.windows),
    }


def _nats(prior: Prior, follows: Tensor) -> float:
    return round(float(prior.log_prob(follows[:, :2], follows[:, 2:]).mean()), 3)


def main(given: Sequence[str] | None = None) -> None:
    """Read clips, train, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=Path, help="a folder of BVH files; default: pybullet's")
    parser.add_argument("--size", type=int, default=SIZE, help="codes of each half")
    parser.add_argument("--out", type=Path, default=FILE)
    arguments = parser.parse_args(given)
    if arguments.clips and arguments.out == FILE:
        parser.error("clips of your own need --out, or they would replace the codebooks that ship")
    torch.set_num_threads(1)
    started = time.perf_counter()
    if arguments.clips is None:
        recorded = clips.pybullet_clips(FPS)
    else:
        recorded = clips.read_usable(arguments.clips, FPS)
    codes, report = train(recorded, arguments.size)
    with making(arguments.out) as temporary:
        save_file({f.name: getattr(codes, f.name).contiguous() for f in fields(Codes)}, temporary)
    beside = arguments.out.with_suffix(".json")
    manifest.write_json(beside, report)
    if arguments.out == FILE:
        manifest.seal([FILE, beside], WEIGHTS)
    print(report, f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
