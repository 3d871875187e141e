"""Files as users have them: rows of DeepMimic's format and BVH of other people's skeletons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

# Joint, parent, offset; y up, the left side towards +x, z forwards, in centimetres. A T-pose with
# clavicles, three bones in the spine and toes: a skeleton as motion capture has it.
CAPTURED = (
    ("Hips", None, (0, 95, 0)),
    ("LeftUpLeg", "Hips", (10, -2, 0)),
    ("LeftLeg", "LeftUpLeg", (0, -43, 0)),
    ("LeftFoot", "LeftLeg", (0, -42, -2)),
    ("LeftToeBase", "LeftFoot", (0, -6, 14)),
    ("RightUpLeg", "Hips", (-10, -2, 0)),
    ("RightLeg", "RightUpLeg", (0, -43, 0)),
    ("RightFoot", "RightLeg", (0, -42, -2)),
    ("RightToeBase", "RightFoot", (0, -6, 14)),
    ("Spine", "Hips", (0, 10, 0)),
    ("Spine1", "Spine", (0, 15, 0)),
    ("Spine2", "Spine1", (0, 15, 0)),
    ("Neck", "Spine2", (0, 14, 0)),
    ("Head", "Neck", (0, 10, 2)),
    ("LeftShoulder", "Spine2", (4, 10, 0)),
    ("LeftArm", "LeftShoulder", (14, 0, 0)),
    ("LeftForeArm", "LeftArm", (28, 0, 0)),
    ("LeftHand", "LeftForeArm", (25, 0, 0)),
    ("RightShoulder", "Spine2", (-4, 10, 0)),
    ("RightArm", "RightShoulder", (-14, 0, 0)),
    ("RightForeArm", "RightArm", (-28, 0, 0)),
    ("RightHand", "RightForeArm", (-25, 0, 0)),
)


def bvh(
    angles: np.ndarray,
    root: np.ndarray,
    seconds: float = 1 / 120,
    joints=CAPTURED,
    prefix: str = "",
    scale: float = 1.0,
) -> str:
    """BVH text: angles [T, J, 3] in degrees about z, y and x in turn; root [T, 3]."""
    below = {name: [j for j in joints if j[1] == name] for name, _, _ in joints}
    order = []

    def block(joint, depth):
        name, parent, offset = joint
        order.append([j[0] for j in joints].index(name))
        place = " ".join(f"{x * scale:.6f}" for x in (offset if parent else (0, 0, 0)))
        turns = "Zrotation Yrotation Xrotation"
        channels = f"3 {turns}" if parent else f"6 Xposition Yposition Zposition {turns}"
        lines = [f"{'JOINT' if parent else 'ROOT'} {prefix}{name} {{", f"OFFSET {place}"]
        lines.append(f"CHANNELS {channels}")
        for child in below[name]:
            lines += block(child, depth + 1)
        if not below[name]:
            lines += ["End Site", "{", f"OFFSET 0.0 0.0 {5 * scale}", "}"]
        return [*lines, "}"]

    text = ["HIERARCHY", *block(joints[0], 0), "MOTION"]
    text += [f"Frames: {len(root)}", f"Frame Time: {seconds:.7f}"]
    for place, turns in zip(root, angles[:, order], strict=True):
        text.append(" ".join(f"{x:.6f}" for x in [*(place * scale), *turns.ravel()]))
    return "\n".join(text) + "\n"


def rows(frames: int = 12, seed: int = 0) -> list[list[float]]:
    """Frames of DeepMimic's format with unequal durations."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(frames):
        q = rng.normal(size=(9, 4)) * 0.2 + np.eye(4)[0]
        q = [list(x / np.linalg.norm(x)) for x in q]
        root, chest, neck, rhip, rankle, rshoulder, lhip, lankle, lshoulder = q
        last = k == frames - 1
        row = [0.0 if last else [1 / 60, 1 / 24, 0.0625][k % 3], 0.1 * k, 0.9, -0.02 * k]
        row += [*root, *chest, *neck]
        row += [*rhip, -0.3, *rankle, *rshoulder, 0.5]
        row += [*lhip, -0.2, *lankle, *lshoulder, 0.4]
        out.append(row)
    return out


def write_rows(path: Path, frames) -> Path:
    path.write_text(json.dumps({"Loop": "none", "Frames": frames}))
    return path
