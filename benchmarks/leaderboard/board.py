"""A board: the submissions of a folder, and how far each of them can be trusted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .submission import Submission

State = Literal["verified", "validated", "reported"]


@dataclass(frozen=True)
class Entry:
    """A submission on the board.

    Attributes:
        submission: what its file holds.
        path: that file; its policies lie in `policies` beside it.
        state: `verified`: its policy was played again and gave the same; `validated`: every check
            passes; `reported`: what it says cannot be compared here, `notes` say why.
        notes: for people, one sentence each.
        verification: who played it again, when, at which commit, and the largest difference.
    """

    submission: Submission
    path: Path
    state: State
    notes: list[str] = field(default_factory=list)
    verification: dict[str, object] | None = None
