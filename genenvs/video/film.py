"""Films: an edit (which clip, from where, how long, how it begins) as frames, sound and a file.

Each event of an edit takes exactly its length of the film. A transition is what its first frames
look like: the clip before it plays on beyond its out-point (or stands, where it has no more) and
gives way; the first event comes out of black.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genenvs.core.files import making
from genenvs.images.files import Mp4
from genenvs.video.clips import FPS
from genenvs.video.footage import Footage
from genenvs.video.sound import PER_FRAME, RATE

TRANSITIONS = ("cut", "dissolve", "fade", "wipe")
CUT, DISSOLVE, FADE, WIPE = range(4)
LASTS = 12  # frames of a transition that is no cut, at most those of its event
_SPLICE = 120  # samples, 5 ms: over which sound changes at a cut, so that it does not click
_AT_ONCE = 16  # frames that are drawn together: what fits into a cache


@dataclass(frozen=True)
class Edit:
    """A list of S events, one after the other.

    Attributes:
        clip: int64 [S], of the footage.
        start: int64 [S], in-points, frames of the clip.
        length: int64 [S], frames of the film.
        transition: int64 [S], into each, index into `TRANSITIONS`.
    """

    clip: Tensor
    start: Tensor
    length: Tensor
    transition: Tensor

    def __len__(self) -> int:
        """How many events."""
        return len(self.clip)

    @property
    def begins(self) -> Tensor:
        """int64 [S], the frame of the film at which each event begins."""
        return self.length.cumsum(0) - self.length

    @property
    def frames(self) -> int:
        """Frames of the film."""
        return int(self.length.sum())

    @property
    def lasts(self) -> Tensor:
        """int64 [S], frames of the transition into each; 0 for a cut."""
        return torch.where(self.transition == CUT, 0, self.length.clamp_max(LASTS))

    def check(self, footage: Footage) -> None:
        """Refuse what cannot be cut.

        Raises:
            ValueError: no event, fields that are no int64 [S], a clip or frames that the footage
                does not have, an event without length, an unknown transition.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if value.dtype != torch.int64 or value.shape != (len(self.clip),):
                got = f"{value.dtype} {list(value.shape)}"
                raise ValueError(f"{field.name} must be int64 [{len(self.clip)}]; got {got}")
        if not len(self):
            raise ValueError("a film needs at least one event")
        wrong = (
            (self.clip < 0) | (self.clip >= len(footage.length)),
            (self.transition < 0) | (self.transition >= len(TRANSITIONS)),
            self.length < 1,
        )
        for bad, said in zip(wrong, ("an unknown clip", "an unknown transition", "no length"),
                             strict=True):  # fmt: skip
            if bool(bad.any()):
                raise ValueError(f"event {int(bad.int().argmax())} has {said}")
        ends = footage.length[self.clip]
        beyond = (self.start < 0) | (self.start + self.length > ends)
        if bool(beyond.any()):
            k = int(beyond.int().argmax())
            first, last = int(self.start[k]), int(self.start[k] + self.length[k])
            raise ValueError(
                f"event {k} takes frames {first} .. {last - 1} of a clip of {int(ends[k])}"
            )


@dataclass(frozen=True)
class Plan:
    """What each of F frames of a film shows.

    Attributes:
        clip, frame: int64 [F], of the event that it belongs to.
        before, frame_before: int64 [F], of the clip that gives way; -1 for black.
        transition: int64 [F], under way; `CUT` for none.
        progress: float32 [F], share of the transition that is done, 0 .. 1 without either end.
    """

    clip: Tensor
    frame: Tensor
    before: Tensor
    frame_before: Tensor
    transition: Tensor
    progress: Tensor


def plan(edit: Edit) -> Plan:
    """Which frames of which clips the frames of a film are made of."""
    event = torch.arange(len(edit)).repeat_interleave(edit.length)  # [F]
    offset = torch.arange(edit.frames) - edit.begins[event]
    last = torch.cat([torch.full((1,), -1), edit.clip[:-1]])
    handle = torch.cat([torch.zeros(1, dtype=torch.int64), (edit.start + edit.length)[:-1]])
    lasts = edit.lasts[event]
    return Plan(
        clip=edit.clip[event],
        frame=edit.start[event] + offset,
        before=last[event],
        frame_before=handle[event] + offset,
        transition=torch.where(offset < lasts, edit.transition[event], CUT),
        progress=(offset + 1) / (lasts + 1),
    )


def frames(edit: Edit, footage: Footage) -> Iterator[np.ndarray]:
    """The pictures of a film: some uint8 [N, H, W, 3] at a time.

    Raises:
        ValueError: an edit that cannot be cut, see `Edit.check`.
    """
    edit.check(footage)
    whole = plan(edit)
    for first in range(0, edit.frames, _AT_ONCE):
        part = Plan(*(getattr(whole, f.name)[first : first + _AT_ONCE] for f in fields(Plan)))
        pictures = footage.pictures(part.clip, part.frame)
        changing = (part.transition != CUT).nonzero()[:, 0]
        if len(changing):
            before, at = part.before[changing], part.frame_before[changing]
            old = footage.pictures(before.clamp_min(0), at) * (before >= 0).numpy()[
                :, None, None, None
            ].astype(np.uint8)
            pictures[changing.numpy()] = _blend(
                old,
                pictures[changing.numpy()],
                part.transition[changing].numpy(),
                part.progress[changing].numpy(),
            )
        yield pictures


def _blend(
    old: np.ndarray, new: np.ndarray, transition: np.ndarray, progress: np.ndarray
) -> np.ndarray:
    """Pictures between two: uint8 [N, H, W, 3]."""
    done = progress[:, None, None, None].astype(np.float32)
    kind = transition[:, None, None, None]
    across = (np.arange(old.shape[2], dtype=np.float32) + 0.5)[:, None] / old.shape[2]
    share_new = np.where(kind == DISSOLVE, done, np.clip(2 * done - 1, 0, 1))
    share_new = np.where(kind == WIPE, across < done, share_new)
    share_old = np.where(kind == FADE, np.clip(1 - 2 * done, 0, 1), 1 - share_new)
    return np.rint(share_old * old + share_new * new).astype(np.uint8)


def sound(edit: Edit, footage: Footage) -> np.ndarray:
    """The sound of a film: float32 [N] in -1 .. 1, `PER_FRAME` samples for each of its frames.

    Raises:
        ValueError: an edit that cannot be cut, see `Edit.check`.
    """
    edit.check(footage)
    total = np.zeros(edit.frames * PER_FRAME + _SPLICE, np.float32)
    lasts = [max(_SPLICE, PER_FRAME * n) for n in edit.lasts.tolist()]
    kinds = edit.transition.tolist()
    for k, (clip, start, length, begins) in enumerate(
        zip(edit.clip.tolist(), edit.start.tolist(), edit.length.tolist(),
            edit.begins.tolist(), strict=True)
    ):  # fmt: skip
        tail = lasts[k + 1] if k + 1 < len(edit) else 0
        want = length * PER_FRAME + tail
        samples = footage.sound(clip)[start * PER_FRAME : start * PER_FRAME + want]
        samples = np.pad(samples, (0, want - len(samples)))
        head = min(lasts[k], len(samples))
        samples[:head] *= _rise(head, kinds[k] == FADE)
        if tail:
            samples[-tail:] *= _rise(tail, kinds[k + 1] == FADE)[::-1]
        first = begins * PER_FRAME
        total[first : first + want] += samples[: len(total) - first]
    return np.clip(total[: edit.frames * PER_FRAME], -1, 1)


def _rise(count: int, late: bool) -> np.ndarray:
    """A gain from 0 to 1; a late one is silent for its first half."""
    gain = np.linspace(0, 1, count, dtype=np.float32)
    return np.clip(2 * gain - 1, 0, 1) if late else gain


def write_mp4(path: str | Path, edit: Edit, footage: Footage) -> None:
    """Write a film with its sound, frame for frame; whole or not at all.

    Raises:
        ImportError: PyAV is missing; names the extra.
        OSError: the file cannot be written.
        ValueError: another suffix than .mp4, or an edit that cannot be cut.
    """
    if Path(path).suffix.lower() != ".mp4":
        raise ValueError(f"a film's name must end in .mp4; got {Path(path).name!r}")
    edit.check(footage)
    with making(path) as temporary:
        writer = Mp4(temporary, FPS, (sound(edit, footage), RATE), smallest=1)
        for pictures in frames(edit, footage):
            for picture in pictures:
                writer.add(picture)
        writer.close()
