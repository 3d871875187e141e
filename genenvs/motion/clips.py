"""Clips of motion for the humanoid: pybullet's, and the user's own files.

Nothing of pybullet's is copied: its clips are read where it is installed.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genenvs.core import folders
from genenvs.core.files import sha256
from genenvs.core.optional import require
from genenvs.motion import bvh, deepmimic, humanoid, resample, retarget

SUFFIXES = (".bvh", ".txt")
MOST_BYTES = 256 * 2**20
LONGEST = 3600.0  # seconds
MOST_SECONDS = 900.0  # of clips that are made into primitives or codes: what memory is for


@dataclass(frozen=True)
class Clip:
    """One motion of the humanoid at a constant rate.

    Attributes:
        name: of the file, without its suffix; mirrored clips end in `-mirrored`.
        digest: SHA-256 of the file.
        fps: frames a second.
        root: float32 [T, 3], metres, z up, T >= 2.
        rotations: float32 [T, 15, 4].
    """

    name: str
    digest: str
    fps: float
    root: Tensor
    rotations: Tensor

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (len(self.root) - 1) / self.fps


@dataclass(frozen=True)
class Folder:
    """What a folder holds.

    Attributes:
        good: by path, at least one; of files with the same content the first.
        bad: files that could not be used, each with the reason.
    """

    good: tuple[Clip, ...]
    bad: tuple[tuple[Path, str], ...]


def read_clip(path: str | Path, fps: float = 30.0) -> Clip:
    """Read a BVH file or one in DeepMimic's text format.

    Args:
        path: with one of `SUFFIXES`. Of a BVH file any skeleton whose joints can be told by their
            names; see `genenvs.motion.retarget`.
        fps: frames a second of the result, whatever the file has.

    Raises:
        ValueError: names the file and says why it cannot be used: missing, empty, huge, unreadable,
            numbers that are not finite, rows of another length, an unknown skeleton, too short.
    """
    path = Path(path)
    if not fps > 0:
        raise ValueError(f"fps must be above 0; got {fps}")
    folders.check_file(path, SUFFIXES, MOST_BYTES, "cut it")
    try:
        digest = sha256(path)
        if path.suffix.lower() == ".bvh":
            recording = retarget.to_humanoid(bvh.read(path), str(path))
        else:
            recording = deepmimic.read(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not bool(recording.root.isfinite().all() and recording.rotations.isfinite().all()):
        raise ValueError(f"{path} does not give finite poses")
    last = float(recording.times[-1])
    if last > LONGEST:
        raise ValueError(f"{path} lasts {last:.0f} s, more than {LONGEST:.0f}; cut it")
    root, rotations = resample.evenly(*recording, fps)
    if len(root) < 2:
        raise ValueError(f"{path} lasts {last:.3g} s, shorter than one frame at {fps:g} fps")
    return Clip(path.stem, digest, fps, root, rotations)


def read_folder(path: str | Path, fps: float = 30.0) -> Folder:
    """Read every clip of a folder and of those in it, by path; or the one file that is named.

    A file that cannot be used spoils nothing: it is listed with the reason.

    Raises:
        ValueError: no file can be used; names the first few with their reasons.
    """
    good, bad = folders.read_all(Path(path), SUFFIXES, lambda file: read_clip(file, fps))
    unique: dict[str, Clip] = {}
    for clip in good:
        unique.setdefault(clip.digest, clip)
    return Folder(tuple(unique.values()), bad)


def read_usable(path: str | Path, fps: float = 30.0) -> tuple[Clip, ...]:
    """The good clips of `read_folder`; warns of each file that is left out, with the reason."""
    found = read_folder(path, fps)
    for _, reason in found.bad:
        warnings.warn(f"left out: {reason}", stacklevel=2)
    return found.good


def check_length(clips: Sequence[Clip]) -> None:
    """Refuse clips that last more than `MOST_SECONDS` together: ValueError."""
    seconds = sum(clip.duration for clip in clips)
    if seconds > MOST_SECONDS:
        raise ValueError(
            f"the clips last {seconds:.0f} s, more than {MOST_SECONDS:.0f}; take fewer"
        )


def pybullet_clips(fps: float = 30.0) -> tuple[Clip, ...]:
    """Read the fifteen `humanoid3d_*` clips of the installed pybullet, some 34 seconds, by name.

    Raises:
        ImportError: pybullet is missing; names the extra.
    """
    data = Path(require("pybullet_data", "pybullet").getDataPath())
    files = sorted((data / "data" / "motions").glob("humanoid3d_*.txt"))
    return tuple(read_clip(file, fps) for file in files)


def write_bvh(path: str | Path, clip: Clip) -> None:
    """Write a clip as BVH that `read_clip`, Blender and others read; see `genenvs.motion.bvh`."""
    body = humanoid.humanoid()
    bvh.write(path, body.skeleton, clip.root, clip.rotations, clip.fps, body.tips)


def partition(clips: tuple[Clip, ...], split: str) -> tuple[Clip, ...]:
    """The clips of a split, by the content of their files: a renamed copy stays where it was.

    Of three clips or more each split has some; of fewer every split has all.

    Args:
        clips: all of them; mirrored ones stay with what they mirror.
        split: `train`, `validation` or `test`.

    Raises:
        ValueError: no such split.
    """
    chosen = set(folders.share(sorted({clip.digest for clip in clips}), split))
    return tuple(clip for clip in clips if clip.digest in chosen)


def mirrored(clip: Clip) -> Clip:
    """The clip with left and right exchanged."""
    root, rotations = humanoid.mirrored(clip.root, clip.rotations)
    return Clip(f"{clip.name}-mirrored", clip.digest, clip.fps, root, rotations)


def retimed(clip: Clip, speed: float) -> Clip:
    """The clip played `speed` times as fast, at the same rate.

    Raises:
        ValueError: less than two frames would be left.
    """
    times = torch.arange(len(clip.root), dtype=torch.float64) / (clip.fps * speed)
    root, rotations = resample.evenly(times, clip.root, clip.rotations, clip.fps)
    if len(root) < 2:
        raise ValueError(f"{clip.name} at {speed:g} times its speed is shorter than two frames")
    return Clip(f"{clip.name}-x{speed:g}", clip.digest, clip.fps, root, rotations)
