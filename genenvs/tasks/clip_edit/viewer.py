"""Pictures of films, and edits as they are kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from genenvs.core.files import replacing
from genenvs.editing import pictures
from genenvs.editing.briefs import CLIPS
from genenvs.editing.pictures import COLUMNS, FRAMES, SIGNS, Shot, legend
from genenvs.editing.styles import LENGTHS, UNIT
from genenvs.tasks.clip_edit.actions import CHOOSE_CLIP
from genenvs.video.attributes import WIDTH, describe
from genenvs.video.clips import FPS
from genenvs.video.critic import critic
from genenvs.video.film import TRANSITIONS, Edit, write_mp4
from genenvs.video.footage import Excerpts, Footage
from genenvs.video.lists import write_edl, write_otio
from genenvs.video.media import write_clips

if TYPE_CHECKING:
    from genenvs.tasks.clip_edit.task import ClipEdit, EditState


@dataclass(frozen=True)
class Cut:
    """A film as a list of events, with its footage.

    Attributes:
        edit: what is shown when, in frames.
        footage: the sixteen clips of the pool.
    """

    edit: Edit
    footage: Footage

    def save(self, path: str | Path, media: str | Path | None = None) -> None:
        """Write it whole or not at all; the folder is made where it is missing.

        Args:
            path: .mp4: the film with its sound; .edl, .otio: what editing software opens; .txt:
                the list in words.
            media: a folder for the clips of an .edl or .otio, each an .mp4 that the list names.
                Without it a list names your own files, and of drawn clips none.

        Raises:
            ImportError: mp4 without PyAV; names the extra.
            ValueError: another suffix, media for what is no list, or an empty film.
        """
        suffix, taken = Path(path).suffix.lower(), self.footage
        if media is not None:
            if suffix not in (".edl", ".otio"):
                raise ValueError(f"media are for .edl and .otio; got {Path(path).name!r}")
            taken = write_clips(media, self.edit, self.footage)
        if suffix == ".mp4":
            write_mp4(path, self.edit, self.footage)
        elif suffix == ".edl":
            write_edl(path, self.edit, taken)
        elif suffix == ".otio":
            write_otio(path, self.edit, taken)
        elif suffix == ".txt":
            with replacing(Path(path)) as temporary:
                temporary.write_text(f"{self}\n", encoding="utf-8")
        else:
            raise ValueError(f"{path} must end in .mp4, .edl, .otio or .txt")

    def __str__(self) -> str:
        """The list, an event a line."""
        lines = []
        for k in range(len(self.edit)):
            clip, start = int(self.edit.clip[k]), int(self.edit.start[k])
            begins, length = int(self.edit.begins[k]) / FPS, int(self.edit.length[k]) / FPS
            said = describe(self.footage.attributes[clip])
            how = TRANSITIONS[int(self.edit.transition[k])]
            lines.append(
                f"{begins:5.1f} s  {length:.1f} s  {how:8} clip {clip:2} from frame {start}: {said}"
            )
        return "\n".join(lines)


def footage(task: "ClipEdit", state: "EditState", index: int) -> Footage:
    """The sixteen clips of a row: drawn, or of the user's."""
    if task.own is None:
        return pictures.footage(
            state.instance[index], state.attributes[index], state.lengths[index]
        )
    which, own = state.taken[index].cpu(), task.own
    return Excerpts(own.whole, own.clip[which], own.start[which], own.length[which])


def cut(task: "ClipEdit", state: "EditState", index: int) -> Cut:
    """The film of a row."""
    film = state.film[index, : int(state.count[index])].clone()
    film[:, 1:3] *= FRAMES
    edit = Edit(*(column.cpu() for column in film.unbind(1)))
    return Cut(edit, footage(task, state, index))


def smooth(task: "ClipEdit", state: "EditState", index: int) -> float:
    """How smooth the film of a row looks, see `genenvs.video.critic`; 0 of an empty one."""
    made = cut(task, state, index)
    return critic(made.edit, made.footage)["smooth"] if len(made.edit) else 0.0


def picture(task: "ClipEdit", state: "EditState", index: int) -> np.ndarray:
    """The strip, the pool, the film's last shots and the editor's, over both as lines of time."""
    row = state.rows(torch.tensor([index], device=state.step.device))
    taken = footage(task, row, 0)
    film = row.film[0, : int(row.count)].tolist()
    plan = row.plan[0, : int(row.shots)].tolist()
    chosen = int(row.pending[0, 0]) if int(row.phase) != CHOOSE_CLIP else -1
    order = row.story[0].argsort().tolist()
    pool = [_pooled(row, clip, clip == chosen) for clip in order]
    rows = [
        ("the pool, in the order of the story", pool[:COLUMNS]),
        ("", pool[COLUMNS:]),
        (
            f"the film, its last shots; {legend()}",
            [_shown(taken, *shot) for shot in film[-COLUMNS:]],
        ),
        ("the hidden editor's own film", [_shown(taken, *shot) for shot in plan]),
    ]
    board = pictures.board(rows, taken, task.caption(state, index))
    example = pictures.board([("the strip that shows the style", _strip(row))], _drawn(row), "")
    lines = pictures.timeline(
        [
            ("film", [(c, n, j) for c, _, n, j in film]),
            ("the editor's", [(c, n, j) for c, _, n, j in plan]),
        ],
        int(row.target),
        board.shape[1],
    )
    return np.concatenate([example, board, lines])


def _drawn(row: "EditState") -> Footage:
    """The clips of the pool, and the shots of the strip."""
    shots = torch.cat([row.attributes[0], row.strip[0]])
    return pictures.footage(row.instance[0], shots, torch.full((len(shots),), LENGTHS))


def _strip(row: "EditState") -> list[Shot]:
    """As its clips are numbered in `_drawn`."""
    units = (row.example[0, :, WIDTH] * LENGTHS).round().tolist()
    joins = row.example[0, :, WIDTH + 1 :].argmax(1).tolist()
    return [
        Shot(CLIPS + k, round(length * FRAMES / 2), f"{SIGNS[join]} {UNIT * length:g} s")
        for k, (length, join) in enumerate(zip(units, joins, strict=True))
    ]


def _pooled(row: "EditState", clip: int, chosen: bool) -> Shot:
    first, length = row.marked[0, clip].tolist()
    return Shot(clip, (2 * first + length) * FRAMES // 2, str(clip), chosen)


def _shown(taken: Footage, clip: int, start: int, length: int, join: int) -> Shot:
    middle = (2 * start + length) * FRAMES // 2
    return Shot(clip, middle, f"{SIGNS[join]}{clip}  {UNIT * length:g} s")
