"""Long walks made of short clips, to train motion primitives on.

Six clips of a walk last 7.5 seconds, a step and a half each. They are cut where two poses are alike
and joined: a motion graph (Kovar et al., SIGGRAPH 2002), walked at random. What is added: mirror
images, tempo, and a slow bend of the way. No step is invented.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from genenvs.motion import frames as vectors
from genenvs.motion.clips import Clip, check_length, mirrored
from genenvs.motion.frames import PLACE
from genenvs.motion.humanoid import humanoid
from genenvs.motion.skeleton import forward


@dataclass(frozen=True)
class Mixing:
    """How walks are made.

    Attributes:
        fps: frames a second.
        alike: metres, root mean square over joints up to which two poses may be joined, velocities
            counted by `window` seconds; neighbouring frames of the clips are 0.025 apart.
        window: see there.
        least: frames that a clip is followed at least before the next joint.
        blend: frames over which the difference at a joint fades.
        tempo: slowest and fastest, of the clips' own.
        bend: largest rate of turning that is added, degrees a second.
    """

    fps: float = 40.0
    alike: float = 0.085
    window: float = 0.15
    least: int = 8
    blend: int = 12
    tempo: tuple[float, float] = (0.7, 1.3)
    bend: float = 35.0


_ROWS = 1024  # of distances at a time


class Graph:
    """Clips and where one can go on into another."""

    def __init__(self, clips: tuple[Clip, ...], mixing: Mixing = Mixing()) -> None:
        """Compare every pose of the clips and their mirror images with every other.

        Raises:
            ValueError: no clip is long enough, or all of them are too long.
        """
        check_length(clips)
        self.mixing = mixing
        both = [*clips, *(mirrored(clip) for clip in clips)]
        self.clips = [vectors.pack(c.root.double(), c.rotations.double()) for c in both]
        self.last = [len(c) - 1 for c in self.clips]
        if max(self.last, default=0) <= mixing.least + 2:
            raise ValueError(
                f"no clip has more than {mixing.least + 3} frames at {mixing.fps:g} a second;"
                " walks need longer ones"
            )
        self._shapes = [_shape(c, mixing) for c in self.clips]
        whose = torch.tensor([k for k, c in enumerate(self.clips) for _ in c])
        frame = torch.cat([torch.arange(len(c)) for c in self.clips])
        later = frame.new_tensor(self.last)[whose] - frame > mixing.least + 2
        self._places = torch.stack([whose, frame], 1)[later]  # [P, 2], where a clip may be entered
        self._entered = torch.cat(self._shapes)[later]
        # Of every frame, how unlike the place is that is most like it: [T] each. All distances at
        # once would be gigabytes for some minutes of clips.
        self._least = [
            torch.cat([torch.cdist(part, self._entered).amin(1) for part in own.split(_ROWS)])
            for own in self._shapes
        ]

    def walk(self, frames: int, generator: torch.Generator) -> Tensor:
        """One walk: vectors float64 [frames, 34] from the origin along x."""
        low, high = self.mixing.tempo

        def uniform(a: float, b: float) -> float:
            return a + (b - a) * float(torch.rand((), generator=generator))

        entry = int(torch.randint(len(self._places), (), generator=generator))
        clip, at = self._places[entry].tolist()
        first = self._at(clip, at)
        made = vectors.seen_from(first[None], first[:PLACE])
        while len(made) < frames:
            tempo, bend = uniform(low, high), uniform(-1, 1) * self.mixing.bend
            stop = self._leave(clip, at, generator)
            count = max(1, int((stop - at) / tempo))
            times = at + tempo * torch.arange(1, count + 1, dtype=torch.float64)
            piece = vectors.seen_from(self._at(clip, times), self._at(clip, at)[:PLACE])
            piece = self._joined(made, piece, self._at(clip, at), bend)
            made = torch.cat([made, piece])
            clip, at = self._follow(clip, float(times[-1]), generator)
        return made[:frames]

    def _at(self, clip: int, times: Tensor | float) -> Tensor:
        """Vectors between frames."""
        times = torch.as_tensor(times, dtype=torch.float64).clamp(0, self.last[clip])
        before = times.long().clamp(max=self.last[clip] - 1)
        rows = self.clips[clip]
        return torch.lerp(rows[before], rows[before + 1], (times - before)[..., None])

    def _leave(self, clip: int, at: float, generator: torch.Generator) -> float:
        """The frame after which the clip is left: any that has a follower, likelier the nearer."""
        first = min(int(at) + self.mixing.least, self.last[clip] - 1)
        weight = self._weight(self._least[clip][first:])
        if not bool(weight.sum() > 0):
            return float(self.last[clip])
        return first + float(torch.multinomial(weight, 1, generator=generator))

    def _follow(self, clip: int, at: float, generator: torch.Generator) -> tuple[int, float]:
        row = min(round(at), self.last[clip])
        apart = torch.cdist(self._shapes[clip][row : row + 1], self._entered)[0]
        weight = self._weight(apart)
        if bool(weight.sum() > 0):
            chosen = int(torch.multinomial(weight, 1, generator=generator))
        else:  # nothing is alike: the least unlike
            chosen = int(apart.argmin())
        other, frame = self._places[chosen].tolist()
        return other, float(frame)

    def _weight(self, apart: Tensor) -> Tensor:
        """How likely one goes on at a place that is so unlike."""
        return (-apart / 0.02).exp() * (apart < self.mixing.alike)

    def _joined(self, made: Tensor, piece: Tensor, first: Tensor, bend: float) -> Tensor:
        """A piece of a clip as it follows what was made: [K, 34]."""
        count = torch.arange(1, len(piece) + 1, dtype=torch.float64)
        gap = made[-1, PLACE:] - first[PLACE:]
        fade = (1 - count / self.mixing.blend).clamp(min=0)
        fade = fade * fade * (3 - 2 * fade)
        pose = piece[:, PLACE:] + fade[:, None] * gap
        turned = torch.deg2rad(count * bend / self.mixing.fps)
        step = torch.cat([piece[:1, :2], piece[1:, :2] - piece[:-1, :2]])
        way = vectors.turn(step, turned).cumsum(0)
        place = torch.cat([way, (piece[:, 2] + turned)[:, None]], 1)
        return vectors.placed_at(torch.cat([place, pose], 1), made[-1, :PLACE])


def _shape(clip: Tensor, mixing: Mixing) -> Tensor:
    """Where all joints are and how fast they move, seen from the body: [T, 45 + 45]."""
    here = torch.cat([torch.zeros_like(clip[:, :PLACE]), clip[:, PLACE:]], 1)
    joints, _ = forward(humanoid().skeleton, *vectors.unpack(here))
    whole, _ = forward(humanoid().skeleton, *vectors.unpack(clip))
    speed = torch.gradient(whole, dim=0)[0] * mixing.fps
    speed = torch.cat([vectors.turn(speed[..., :2], -clip[:, None, 2]), speed[..., 2:]], -1)
    both = torch.cat([joints.flatten(1), mixing.window * speed.flatten(1)], 1)
    return both / joints.shape[1] ** 0.5


def corpus(
    clips: tuple[Clip, ...], walks: int, frames: int, seed: int = 0, mixing: Mixing = Mixing()
) -> Tensor:
    """Walks that nobody walked, of steps that somebody did: float64 [walks, frames, 34].

    Raises:
        ValueError: no clip is long enough.
    """
    graph, generator = Graph(clips, mixing), torch.Generator().manual_seed(seed)
    made = [planted(graph.walk(frames, generator), mixing.fps) for _ in range(walks)]
    return torch.stack(made)


def planted(walk: Tensor, fps: float) -> Tensor:
    """The same poses on the way that the standing foot makes of them: [T, 34].

    Where clips are joined, bent or played faster, feet that stood slide. A foot that stands pushes
    the body: from frame to frame the root moves so that the slowest points of the soles rest.
    """
    soles = vectors.soles(walk)[..., :2]  # [T, 4, 2]
    step = soles[1:] - soles[:-1]  # how far each point moves as it is
    speed = step.norm(dim=-1) * fps
    speed = _smooth(speed)
    share = torch.softmax(-((speed / 0.12) ** 2), -1)
    rest = (share[..., None] * step).sum(1)  # [T - 1, 2]
    way = walk[:, :2].clone()
    way[1:] -= rest.cumsum(0)
    return torch.cat([way, walk[:, 2:]], 1)


def _smooth(x: Tensor) -> Tensor:
    padded = torch.cat([x[:1], x, x[-1:]])
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3
