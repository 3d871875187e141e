"""Pictures of dances, and dances as files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from genenvs.images.sheets import INK, sheet
from genenvs.images.solids import PAPER
from genenvs.motion import beats, bvh, figure, music
from genenvs.motion.codes import FPS, FRAMES, Motion
from genenvs.motion.humanoid import humanoid
from genenvs.motion.rhythms import RATE
from genenvs.tasks.dance import rewards

if TYPE_CHECKING:
    from genenvs.tasks.dance.task import Dance, DanceState

FIGURES, EVERY = 5, 12  # in a picture, frames between them
SIZE = 170  # pixels of each
HIGH = 96  # pixels of the line of time
MUSIC, DANCE, SPEED = (226, 148, 60), (40, 104, 190), (120, 124, 134)
EVERY_THIRD = 3  # frame of 60 a second is in a film


@dataclass(frozen=True)
class Recording:
    """A dance and what it is danced to.

    Attributes:
        root: float32 [F, 3], metres.
        rotations: float32 [F, 15, 4].
        sound: float32 [N] at `genenvs.motion.RATE`, mono.
    """

    root: Tensor
    rotations: Tensor
    sound: np.ndarray

    def save(self, path: str | Path, size: int = 360) -> None:
        """Write it whole or not at all; the folder is made where it is missing.

        Args:
            path: .mp4: a film with the sound; .gif: without; .bvh: the motion; .wav: the sound.
            size: pixels a side of a film.

        Raises:
            ImportError: mp4 without PyAV; names the extra.
            ValueError: another suffix.
        """
        suffix = Path(path).suffix.lower()
        if suffix == ".wav":
            music.write_wav(path, self.sound)
        elif suffix == ".bvh":
            body = humanoid()
            bvh.write(path, body.skeleton, self.root, self.rotations, FPS, body.tips)
        elif suffix in figure.SUFFIXES:
            sound = (self.sound, RATE) if suffix == ".mp4" else None
            root, rotations = self.root[::EVERY_THIRD], self.rotations[::EVERY_THIRD]
            figure.film(path, root, rotations, FPS / EVERY_THIRD, size, sound=sound)
        else:
            known = ", ".join((*figure.SUFFIXES, ".bvh", ".wav"))
            raise ValueError(f"{path} must end in one of {known}")


def picture(task: "Dance", state: "DanceState", index: int) -> np.ndarray:
    """The last second as figures, over the beats of music and dance: uint8 [H, W, 3]."""
    row = state.rows(torch.tensor([index], device=state.step.device))
    step = int(row.step)
    poses = task.motion(row, lead=True)
    last = poses.root.shape[1] - 1 - (task.horizon - step) * FRAMES
    figures = []
    for k in range(FIGURES - 1, -1, -1):
        frame = max(0, last - k * EVERY)
        shown = figure.picture(poses.root[0, frame], poses.rotations[0, frame], SIZE)
        figures.append((f"{(frame - task.lead) / FPS:.1f} s", shown))
    title = [("", _timeline(task, row, sum(f.shape[1] + 10 for _, f in figures) - 10))]
    caption = f"{task.music.name(row.instance)}: {step} of {task.horizon} codes"
    if step == task.horizon:
        found = task.outcome(row).metrics
        caption += (
            f"; F1 {float(found['f1']):.2f}, of music's beats {float(found['music_beats_met']):.2f}"
            f" met, of the dance's {float(found['dance_beats_meant']):.2f} meant"
        )
    caption += "\norange: beats of the music; blue: beats of the dance; grey: its speed"
    pages = [sheet(figures), sheet(title, caption)]
    return np.concatenate(pages)


def _timeline(task: "Dance", row: "DanceState", wide: int) -> np.ndarray:
    """Beats of both and the dance's smoothed speed: uint8 [HIGH, wide, 3]."""
    page = Image.new("RGB", (wide, HIGH), PAPER)
    draw = ImageDraw.Draw(page)
    known = int(row.step) * FRAMES
    across = wide / (task.horizon * FRAMES)
    for frame in row.beats[0].nonzero()[:, 0].tolist():
        x = (frame + 0.5) * across
        draw.line((x, 8, x, HIGH - 8), MUSIC, 2)
    draw.line((0, HIGH - 8, wide, HIGH - 8), INK, 1)
    if known:
        codes = row.codes[:, : known // FRAMES + task.lead // FRAMES]
        before = torch.cat([codes[:, :1], codes[:, :-1]], 1)
        # Not the state's: a batch of another size may round another way, and pixels tell.
        speed = task.codes.speed(before, codes).flatten(1).double()
        smooth = beats.smooth(speed, beats.SMOOTHING * FPS)[0, task.lead :]
        height = HIGH - 10 - (HIGH - 24) * smooth / smooth.amax().clamp(min=1e-9)
        places = [((k + 0.5) * across, y) for k, y in enumerate(height.tolist())]
        draw.line(places, SPEED, 2)
        rise = rewards.RISE["balanced"]
        for k in beats.slowest(speed, FPS, rise=rise)[0, task.lead :].nonzero()[:, 0].tolist():
            x, y = places[k]
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), DANCE)
    return np.asarray(page).copy()


def recording(task: "Dance", state: "DanceState", index: int) -> Recording:
    """A row's dance so far."""
    row = state.rows(torch.tensor([index], device=state.step.device))
    frames = int(row.step) * FRAMES + 1
    motion = Motion(*(x[0, :frames].cpu() for x in task.motion(row)))
    length = round((frames - 1) / FPS * RATE)
    return Recording(*motion, task.music.sound(row.instance.cpu())[:length])
