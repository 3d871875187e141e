"""Motion of other skeletons on the humanoid.

Where joints are decides, not how their frames are turned: rest poses and frames differ from file to
file, but a bent knee is a bent knee. What positions do not show, the twist of a straight limb or
the turn of a head, is not carried over.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genenvs.motion import quaternions
from genenvs.motion.bvh import END, Motion
from genenvs.motion.deepmimic import Recording
from genenvs.motion.humanoid import JOINTS, humanoid, lowest
from genenvs.motion.skeleton import forward

# Names of each part, lower case and letters alone; the first that a skeleton has is taken.
_MIDDLE = {
    "hips": ("hips", "pelvis", "root", "hip"),
    "spine": ("spine", "lowerback", "abdomen", "spine1", "chest", "torso"),
    "neck": ("neck", "neck1", "head"),
}
_SIDED = {
    "hip": ("upleg", "upperleg", "thigh", "femur", "hip"),
    "knee": ("leg", "lowleg", "lowerleg", "knee", "shin", "calf", "tibia"),
    "ankle": ("foot", "ankle"),
    "shoulder": ("arm", "uparm", "upperarm", "humerus", "shoulder"),
    "elbow": ("forearm", "lowerarm", "lowarm", "elbow", "radius"),
    "wrist": ("hand", "wrist"),
}
_TOES = ("toebase", "toe", "toes", "toe0", "ball")
_PREFIX = re.compile(r"^(mixamorig\d*|bip\d*|character\d*|def)(?=.)")
_BEND = 0.1  # sine of the bend above which a limb's own plane outweighs its neighbour's


def to_humanoid(motion: Motion, name: str) -> Recording:
    """Move the humanoid as another skeleton moves.

    Its own, as `genenvs.motion.bvh.write` writes it, comes back as it was. Any other is scaled to
    the humanoid's legs and set on the floor, where its lowest sole touches it.

    Args:
        motion: of a BVH file, y or z up as its rest pose says, in any unit.
        name: of the file, for errors.

    Raises:
        ValueError: parts of a body are missing; names them and the joints that are there.
    """
    own = _same(motion)
    if own is not None:
        return own
    joints = _parts(motion.skeleton.names, name)
    rest = _rest(motion)
    upright = _upright(rest, joints)
    thigh, knee, ankle = (rest[joints[f"left_{part}"]] for part in ("hip", "knee", "ankle"))
    length = float((knee - thigh).norm() + (ankle - knee).norm())
    target = humanoid()
    offsets = target.skeleton.offsets[target.skeleton.index("left_knee", "left_ankle")]
    if not length > 1e-6:
        raise ValueError(f"{name}: the left leg of the rest pose has no length")
    scale = float(offsets.norm(dim=-1).sum()) / length
    positions, _ = forward(motion.skeleton, motion.root, motion.rotations)
    place = {part: upright(positions[:, k]) * scale for part, k in joints.items()}
    pitch = {
        side: _pitch(upright(rest[joints[f"{side}_toe"]] - rest[joints[f"{side}_ankle"]]))
        for side in ("left", "right")
        if f"{side}_toe" in joints
    }
    root, rotations = _solve(place, pitch)
    height = lowest(*forward(target.skeleton, root, rotations)).amin()
    return Recording(motion.times, root - root.new_tensor((0, 0, 1)) * height, rotations)


def _same(motion: Motion) -> Recording | None:
    """The motion where its skeleton is the humanoid as we write it."""
    names = motion.skeleton.names
    if {n for n in names if not n.endswith(END)} != set(JOINTS):
        return None
    order = motion.skeleton.index(*JOINTS)
    offsets, ours = motion.skeleton.offsets[order][:, [2, 0, 1]], humanoid().skeleton.offsets
    if not torch.allclose(offsets[1:], ours[1:], atol=1e-4):
        return None
    rotations = motion.rotations[:, order][..., [0, 3, 1, 2]]
    return Recording(motion.times, motion.root[:, [2, 0, 1]], rotations)


def _parts(names: tuple[str, ...], file: str) -> dict[str, int]:
    """Which joint each part of the body is."""
    known = {_plain(name): k for k, name in reversed(list(enumerate(names)))}
    wanted = dict(_MIDDLE)
    for side, short in (("left", "l"), ("right", "r")):
        for part, words in {**_SIDED, "toe": _TOES}.items():
            forms = (f"{side}{{}}", f"{short}{{}}", f"{{}}{side}", f"{{}}{short}")
            wanted[f"{side}_{part}"] = tuple(f.format(w) for w in words for f in forms)
    found = {
        part: known[match]
        for part, words in wanted.items()
        if (match := next((word for word in words if word in known), None)) is not None
    }
    # Where a leg ends in an end site, that is its toe.
    for side in ("left", "right"):
        ankle = found.get(f"{side}_ankle")
        end = names[ankle] + END if ankle is not None else ""
        if f"{side}_toe" not in found and end in names:
            found[f"{side}_toe"] = names.index(end)
    missing = sorted(part for part in wanted if part not in found and not part.endswith("toe"))
    if missing:
        raise ValueError(
            f"{file}: no joint could be told to be {', '.join(missing)}; there are "
            + ", ".join(n for n in names if not n.endswith(END))
        )
    return found


def _plain(name: str) -> str:
    if name.endswith(END):
        return name
    word = re.sub(r"[^a-z0-9]", "", name.rpartition(":")[2].lower())
    return _PREFIX.sub("", word)


def _rest(motion: Motion) -> Tensor:
    """Joint positions without any rotation: [J, 3]."""
    identity = motion.rotations.new_tensor(quaternions.IDENTITY)
    joints = len(motion.skeleton.parents)
    return forward(motion.skeleton, torch.zeros(3), identity.repeat(joints, 1))[0]


def _upright(rest: Tensor, joints: dict[str, int]) -> Callable[[Tensor], Tensor]:
    """What turns a file's vectors into ours, by which of y and z the rest pose stands along."""
    ankles = (rest[joints["left_ankle"]] + rest[joints["right_ankle"]]) / 2
    spine = rest[joints["neck"]] - ankles
    if abs(float(spine[2])) > abs(float(spine[1])):
        return lambda vector: vector
    return lambda vector: vector[..., [2, 0, 1]]


def _pitch(foot: Tensor) -> Tensor:
    """How far a foot points down in the rest pose, radians: that counts as flat."""
    return torch.atan2(-foot[2], foot[:2].norm())


def _solve(place: dict[str, Tensor], pitch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Root [T, 3] and rotations [T, 15, 4] from positions [T, 3] of the parts."""
    middle = (place["left_hip"] + place["right_hip"]) / 2
    # Some skeletons begin their spine between the hips.
    straight = place["neck"] - middle
    short = (place["spine"] - middle).norm(dim=-1) < 0.1 * straight.norm(dim=-1)
    low = torch.where(short[:, None], straight, place["spine"] - middle)
    base = torch.where(short[:, None], middle, place["spine"])
    world = {
        "root": _frame(place["left_hip"] - place["right_hip"], low),
        "chest": _frame(place["left_shoulder"] - place["right_shoulder"], place["neck"] - base),
    }
    world["neck"] = world["chest"]
    local = {}
    for side in ("left", "right"):
        for trunk, upper, hinge, end, sign in (
            ("root", "hip", "knee", "ankle", 1.0),
            ("chest", "shoulder", "elbow", "wrist", -1.0),
        ):
            first = place[f"{side}_{hinge}"] - place[f"{side}_{upper}"]
            second = place[f"{side}_{end}"] - place[f"{side}_{hinge}"]
            turned, bend = _limb(world[trunk], first, second, sign)
            world[f"{side}_{upper}"] = turned
            local[f"{side}_{hinge}"] = quaternions.exponential(
                bend[:, None] * humanoid().axes[JOINTS.index(f"{side}_{hinge}")]
            )
        shin = quaternions.multiply(world[f"{side}_hip"], local[f"{side}_knee"])
        world[f"{side}_ankle"] = shin
        if side in pitch:
            toes = place[f"{side}_toe"] - place[f"{side}_ankle"]
            world[f"{side}_ankle"] = _foot(shin, toes, pitch[side])
        local[f"{side}_ankle"] = _relative(shin, world[f"{side}_ankle"])
    skeleton = humanoid().skeleton
    identity = middle.new_tensor(quaternions.IDENTITY).expand(len(middle), 4)
    rotations = []
    for joint, parent in zip(JOINTS, skeleton.parents, strict=True):
        if joint in local:
            rotations.append(local[joint])
        elif parent < 0:
            rotations.append(world[joint])
        elif joint in world:
            rotations.append(_relative(world[JOINTS[parent]], world[joint]))
        else:
            rotations.append(identity)
    return middle, torch.stack(rotations, 1)


def _relative(parent: Tensor, child: Tensor) -> Tensor:
    return quaternions.multiply(quaternions.conjugate(parent), child)


def _frame(left: Tensor, up: Tensor) -> Tensor:
    """The rotation whose y is `left` and whose z is nearest to `up`: [T, 3] -> [T, 4]."""
    y = normalize(left, dim=-1)
    x = normalize(torch.linalg.cross(y, up), dim=-1)
    return quaternions.from_matrix(torch.stack([x, y, torch.linalg.cross(x, y)], -1))


def _limb(base: Tensor, first: Tensor, second: Tensor, sign: float) -> tuple[Tensor, Tensor]:
    """How a limb's upper bone is turned [T, 4] and how far its hinge is bent [T], radians.

    The hinge lies across the plane of both bones; the straighter the limb, the more it follows the
    way in which `base` would be turned to point along the upper bone.
    """
    z = -normalize(first, dim=-1)
    across = sign * torch.linalg.cross(-z, normalize(second, dim=-1))
    hang = quaternions.rotate(base, base.new_tensor((0.0, 0.0, -1.0)))
    swing = quaternions.multiply(quaternions.shortest(hang, -z), base)
    usual = quaternions.rotate(swing, base.new_tensor((0.0, 1.0, 0.0)))
    left = across + _BEND * usual
    y = normalize(left - (left * z).sum(-1, keepdim=True) * z, dim=-1)
    turned = quaternions.from_matrix(torch.stack([torch.linalg.cross(y, z), y, z], -1))
    lower = quaternions.rotate(quaternions.conjugate(turned), second)
    return turned, torch.atan2(lower[:, 0], -lower[:, 2])


def _foot(shin: Tensor, toes: Tensor, pitch: Tensor) -> Tensor:
    """How a foot is turned whose toes point along `toes`, [T, 4]."""
    x = normalize(toes, dim=-1)
    left = quaternions.rotate(shin, shin.new_tensor((0.0, 1.0, 0.0)))
    y = normalize(left - (left * x).sum(-1, keepdim=True) * x, dim=-1)
    pointing = quaternions.from_matrix(torch.stack([x, y, torch.linalg.cross(x, y)], -1))
    return quaternions.multiply(pointing, quaternions.exponential(-pitch * y.new_tensor((0, 1, 0))))
