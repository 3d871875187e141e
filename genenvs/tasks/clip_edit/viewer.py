"""Pictures of films, and edits as they are kept."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genenvs.editing import pictures
from genenvs.editing.pictures import COLUMNS, FRAMES, Shot
from genenvs.editing.styles import JOINS, UNIT
from genenvs.tasks.clip_edit.actions import CHOOSE_CLIP
from genenvs.video.attributes import ATTRIBUTES, SIZE, describe
from genenvs.video.clips import Clips

if TYPE_CHECKING:
    from genenvs.tasks.clip_edit.task import ClipEdit, EditState


@dataclass(frozen=True)
class Edit:
    """A film as a list of shots, with its footage.

    Attributes:
        footage: the sixteen clips of the pool.
        shots: int64 [N, 4], of each shot its clip, its in-point and its length in frames, and the
            transition into it, an index of `genenvs.editing.styles.JOINS`.
    """

    footage: Clips
    shots: Tensor

    @property
    def seconds(self) -> float:
        """How long it is."""
        return float(self.shots[:, 2].sum()) / FRAMES * UNIT

    def __str__(self) -> str:
        """The list, a shot a line."""
        lines, at = [], 0
        for clip, start, length, join in self.shots.tolist():
            time = f"{at / FRAMES * UNIT:5.1f} s  {length / FRAMES * UNIT:.1f} s"
            said = describe(self.footage.attributes[clip])
            lines.append(f"{time}  {JOINS[join]:8}  clip {clip:2} from frame {start}: {said}")
            at += length
        return "\n".join(lines)


def edit(state: "EditState", index: int) -> Edit:
    """The film of a row."""
    film = state.film[index, : int(state.count[index])].clone()
    film[:, 1:3] *= FRAMES
    taken = pictures.footage(state.instance[index], state.attributes[index], state.lengths[index])
    return Edit(taken, film)


def picture(task: "ClipEdit", state: "EditState", index: int) -> np.ndarray:
    """The pool, the film's last shots and the editor's, over both as lines of time."""
    row = state.rows(torch.tensor([index], device=state.step.device))
    taken = pictures.footage(row.instance[0], row.attributes[0], row.lengths[0])
    film = row.film[0, : int(row.count)].tolist()
    plan = row.plan[0, : int(row.shots)].tolist()
    chosen = int(row.pending[0, 0]) if int(row.phase) != CHOOSE_CLIP else -1
    order = row.story[0].argsort().tolist()
    pool = [_pooled(row, clip, clip == chosen) for clip in order]
    rows = [
        ("the pool, in the order of the story: clip and size", pool[:COLUMNS]),
        ("", pool[COLUMNS:]),
        ("the film, its last shots", [_shown(taken, *shot) for shot in film[-COLUMNS:]]),
        ("the hidden editor's own film", [_shown(taken, *shot) for shot in plan]),
    ]
    board = pictures.board(rows, taken, task.caption(state, index))
    lines = pictures.timeline(
        [
            ("film", [(c, n, j) for c, _, n, j in film]),
            ("the editor's", [(c, n, j) for c, _, n, j in plan]),
        ],
        int(row.target),
        board.shape[1],
    )
    return np.concatenate([board, lines])


def _pooled(row: "EditState", clip: int, chosen: bool) -> Shot:
    first, length = row.marked[0, clip].tolist()
    kind = row.attributes[0, clip]
    said = f"{clip} {_word(kind, SIZE)}"
    return Shot(clip, (2 * first + length) * FRAMES // 2, said, chosen)


def _shown(taken: Clips, clip: int, start: int, length: int, join: int) -> Shot:
    middle = (2 * start + length) * FRAMES // 2
    return Shot(clip, middle, f"{JOINS[join]} to {clip}, {UNIT * length:g} s")


def _word(attributes: Tensor, which: int) -> str:
    return ATTRIBUTES[which].categories[int(attributes[which])]
