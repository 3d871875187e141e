"""Footage: clips to cut a film from, drawn ones or the user's (`genenvs.video.user`)."""

from typing import Protocol

import numpy as np
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

    def source(self, clip: int) -> tuple[str, int]:
        """The file that a clip is from (empty: none) and the clip's first frame in it."""


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

    def source(self, clip: int) -> tuple[str, int]:
        return "", 0
