"""Clips without end, drawn from keys: what is shot, how long, and the numbers of its look.

`genenvs.video.render` draws their pictures, `genenvs.video.sound` makes what they sound like. Clips
of one scene share its colours and its place, as the takes of one day of shooting do.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.core.random import counter, uniform
from genenvs.video import attributes as shots

FPS = 24
WIDTH, HEIGHT = 128, 72
SHORTEST, LONGEST = 48, 192  # frames of a drawn clip: two to eight seconds
OWN, SHARED = 16, 12  # numbers of a look that are a clip's own, and its scene's
_ATTRIBUTES, _LENGTH, _LOOK = 1, 2, 3  # what a draw is for
_SCENE = random.word("scene of footage")


@dataclass(frozen=True)
class Clips:
    """A batch of clips.

    Attributes:
        key: int64 [B], random stream of each.
        attributes: int64 [B, 8], see `genenvs.video.attributes`.
        length: int64 [B], frames.
        look: float32 [B, 28] in [0, 1): the first `OWN` are the clip's (where things stand, how
            they and the camera move), the others its scene's (colours, the place).
    """

    key: Tensor
    attributes: Tensor
    length: Tensor
    look: Tensor

    def __getitem__(self, rows: Tensor) -> "Clips":
        """Some rows: int64 or bool [K]."""
        return Clips(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        """How many."""
        return len(self.length)

    def to(self, device: torch.device | str) -> "Clips":
        """With its tensors on `device`."""
        return Clips(*(getattr(self, field.name).to(device) for field in fields(self)))

    @property
    def exposure(self) -> Tensor:
        """Brightness of the light, of 1 as it should be: float32 [B], 0.55 .. 1.25."""
        return exposure(self.look)


def exposure(look: Tensor) -> Tensor:
    """See `Clips.exposure`: most takes are well exposed, some too dark, a few too bright."""
    return 1.25 - 0.7 * look[:, 0] ** 3


def draw(key: Tensor, scene: Tensor | None = None, attributes: Tensor | None = None) -> Clips:
    """Draw clips.

    Args:
        key: int64 [B], random streams.
        scene: int64 [B], random streams that clips of one scene share; default: a scene each.
        attributes: int64 [B, 8]; default: uniform, and independent of one another.

    Raises:
        ValueError: what are no attributes.
    """
    if attributes is None:
        sizes = torch.tensor(shots.SIZES, device=key.device)
        draws = uniform(key, counter(0, _ATTRIBUTES), shots.COUNT)
        attributes = (draws * sizes).long()
    else:
        shots.check(attributes)
    among = LONGEST - SHORTEST + 1
    length = SHORTEST + random.randint(key, counter(0, _LENGTH), 1, among)[:, 0]
    place = random.mix(key if scene is None else scene, _SCENE)
    own = uniform(key, counter(0, _LOOK), OWN)
    shared = uniform(place, counter(0, _LOOK), SHARED)
    return Clips(key, attributes, length, torch.cat([own, shared], 1))
