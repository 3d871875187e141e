"""Footage: clips to cut a film from, drawn ones or the user's (`genenvs.video.user`)."""

from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from genenvs.video import attributes as shots
from genenvs.video import sound
from genenvs.video.clips import HEIGHT, WIDTH, Clips
from genenvs.video.render import render


class Footage(Protocol):
    """Clips to cut a film from, at `FPS` frames a second; of a drawer or of the user."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every picture, even numbers of pixels."""

    @property
    def attributes(self) -> Tensor:
        """int64 [N, 8] of every clip, see `genenvs.video.attributes`."""

    @property
    def length(self) -> Tensor:
        """int64 [N], frames of every clip."""

    def pictures(self, clip: Tensor, frame: Tensor) -> np.ndarray:
        """uint8 [B, H, W, 3] of frames of clips, int64 [B] each; beyond its end a clip stands."""

    def sound(self, clip: int) -> np.ndarray:
        """float32 [N], mono, -1 .. 1, `genenvs.video.sound.PER_FRAME` samples a frame."""

    def name(self, clip: int) -> str:
        """What a cutting list calls a clip."""

    def source(self, clip: int) -> tuple[str, int, int]:
        """The file that a clip is from (empty: none), the clip's first frame in it, its frames."""


class Drawn:
    """Drawn clips as `Footage`."""

    def __init__(self, clips: Clips) -> None:
        self.clips = clips

    @property
    def size(self) -> tuple[int, int]:
        return WIDTH, HEIGHT

    @property
    def attributes(self) -> Tensor:
        return self.clips.attributes

    @property
    def length(self) -> Tensor:
        return self.clips.length

    def pictures(self, clip: Tensor, frame: Tensor) -> np.ndarray:
        drawn = render(self.clips[clip], frame).mul_(255).round_().byte()
        return drawn.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def sound(self, clip: int) -> np.ndarray:
        return sound.of_clip(self.clips, clip)

    def name(self, clip: int) -> str:
        return f"clip {clip}: {shots.describe(self.clips.attributes[clip])}"

    def source(self, clip: int) -> tuple[str, int, int]:
        return "", 0, int(self.length[clip])


class Excerpts:
    """Parts of other footage, each a clip of its own."""

    def __init__(self, whole: Footage, clip: Tensor, start: Tensor, length: Tensor) -> None:
        """Take parts.

        Args:
            whole: what they are of.
            clip: int64 [N], of it.
            start: int64 [N], first frame of the clip.
            length: int64 [N], frames, within the clip.

        Raises:
            ValueError: a part that the footage does not have.
        """
        ends = whole.length[clip]
        if bool(((start < 0) | (length < 1) | (start + length > ends)).any()):
            raise ValueError("every part must lie within its clip and have a frame at least")
        self.whole, self.clip, self.start, self._length = whole, clip, start, length

    @property
    def size(self) -> tuple[int, int]:
        return self.whole.size

    @property
    def attributes(self) -> Tensor:
        return self.whole.attributes[self.clip]

    @property
    def length(self) -> Tensor:
        return self._length

    def pictures(self, clip: Tensor, frame: Tensor) -> np.ndarray:
        at = torch.minimum(frame.clamp(min=0), self._length[clip] - 1)
        return self.whole.pictures(self.clip[clip], self.start[clip] + at)

    def sound(self, clip: int) -> np.ndarray:
        first, count = (int(x[clip]) * sound.PER_FRAME for x in (self.start, self._length))
        return self.whole.sound(int(self.clip[clip]))[first : first + count]

    def name(self, clip: int) -> str:
        return self.whole.name(int(self.clip[clip]))

    def source(self, clip: int) -> tuple[str, int, int]:
        path, first, frames = self.whole.source(int(self.clip[clip]))
        return path, first + int(self.start[clip]), frames


def pieces(whole: Footage, least: int, most: int) -> Excerpts:
    """Every clip in as few equal parts as are no longer than `most` frames; none below `least`."""
    parts = []
    for clip, length in enumerate(whole.length.tolist()):
        count = -(-length // most)
        edges = [length * k // count for k in range(count + 1)]
        parts += [(clip, a, b - a) for a, b in pairwise(edges) if b - a >= least]
    return Excerpts(whole, *torch.tensor(parts, dtype=torch.int64).view(-1, 3).unbind(1))
