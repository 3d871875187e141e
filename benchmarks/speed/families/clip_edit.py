"""ClipEdit: a film is cut, no pixel is touched until it is shown."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from benchmarks.speed.families import Target
from benchmarks.speed.measure import Row, Spread, row
from genenvs.video.clips import FPS
from genenvs.video.film import TRANSITIONS, Edit, write_mp4

ENV = "genenvs/ClipEdit-v0"
WHY = (
    "New films to be cut: footage, brief and hidden editor are drawn in nearly every step; then "
    "what is said of every choice, a table as long as there are actions."
)
TARGETS = (Target(ENV, 4_096, "torch", 100_000), Target(ENV, 64, "torch", 50, "sync"))
FILM = 60  # seconds
REPEATS = 3


def cut_to(seconds: int, footage: Any) -> Edit:
    """A film of so many seconds: whole clips in turn, every transition."""
    lengths, frames = [], seconds * FPS
    while sum(lengths) < frames:
        whole = int(footage.length[len(lengths) % len(footage.length)])
        lengths.append(min(whole, frames - sum(lengths)))
    number = torch.arange(len(lengths))
    return Edit(
        number % len(footage.length), torch.zeros_like(number), torch.tensor(lengths),
        number % len(TRANSITIONS),
    )  # fmt: skip


def rows(device: str) -> Iterator[Row]:
    """Writing a long film with its sound."""
    if device != "cpu":
        return
    env: Any = gym.make(ENV)
    env.reset(seed=0)
    footage = env.unwrapped.artefact().footage
    edit, took = cut_to(FILM, footage), []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(REPEATS):
            started = time.perf_counter()
            write_mp4(Path(folder) / "film.mp4", edit, footage)
            took.append(time.perf_counter() - started)
    what = f"a film of {FILM} s, {footage.size[0]} x {footage.size[1]}, with sound, written"
    yield row(what, 1, Spread.of(took), "under 10", "s")
