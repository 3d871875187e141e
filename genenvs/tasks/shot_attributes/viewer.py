"""Pictures of predicted shots."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genenvs.editing import pictures
from genenvs.editing.briefs import LONGEST
from genenvs.editing.pictures import COLUMNS, FRAMES, Shot
from genenvs.video.attributes import COUNT, words

if TYPE_CHECKING:
    from genenvs.tasks.shot_attributes.task import ShotAttributes, ShotsState


def picture(task: "ShotAttributes", state: "ShotsState", index: int) -> np.ndarray:
    """The strip over the last predictions and the edit's own shots: uint8 [H, W, 3]."""
    steps = min(int(state.step[index]), task.horizon)
    first = max(0, steps - COLUMNS)
    given = state.edit.shape[1] - task.horizon
    strip, guesses = state.strip[index], state.guesses[index, first:steps]
    edit = state.edit[index, given + first : given + steps]
    right = (guesses == edit).sum(1).tolist()
    every = torch.cat([strip, guesses, edit])
    middle = LONGEST * FRAMES // 2
    shots = [Shot(k, middle, "") for k in range(len(every))]
    said = [f"{first + k + 1}: {n} right" for k, n in enumerate(right)]
    guessed = [
        Shot(s.clip, s.frame, text) for s, text in zip(shots[len(strip) :], said, strict=False)
    ]
    rows = [
        ("the editor's style: a strip of eight shots of another film", shots[: len(strip)]),
        (f"predicted: number of the shot, how many of its {COUNT} attributes are right", guessed),
        ("the hidden edit", shots[len(strip) + len(guesses) :]),
    ]
    lengths = torch.full((len(every),), LONGEST, device=every.device)
    taken = pictures.footage(state.instance[index], every, lengths)
    accuracy = int(state.right[index].sum()) / max(1, COUNT * steps)
    bound = float(state.bound[index]) / max(1, COUNT * steps)
    caption = (
        f"{steps} of {task.horizon} shots: {accuracy:.0%} of the attributes are right;"
        f" {bound:.0%} expected of who knows the grammar"
    )
    return pictures.board(rows, taken, caption)


def shots(state: "ShotsState", index: int) -> list[dict[str, str]]:
    """The predictions of a row in words."""
    made: Tensor = state.guesses[index, : int(state.step[index])]
    return [words(row) for row in made]
