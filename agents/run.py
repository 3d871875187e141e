"""A training run: its folder, curve, progress, checkpoints; what every agent reports to."""

import csv
import json
import math
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from genenvs.core.files import replacing

from . import checkpoint
from .play import Episodes

ROWS = 200  # of a curve
ROWS_PER_CHECKPOINT = 10
CURVE, RECORD = "curve.csv", "run.json"
FIRST_COLUMNS = ("steps", "episodes", "return", "length")


class Diverged(RuntimeError):
    """A loss is no longer a finite number."""


class Played(Protocol):
    """Environments that a run saves with its agent: `agents.play.Player`, or what acts like it.

    Where beginning anew is all that a snapshot can do, `spacing` says how many steps should lie
    between two checkpoints, so that episodes come to an end.
    """

    def begin(self, start: int) -> None:
        """Start new episodes; `start` decides their seeds."""

    def snapshot(self, start: int) -> dict[str, Tensor]:
        """What `restore` goes on from; begins anew where states cannot be saved."""

    def restore(self, kept: dict[str, Tensor], start: int) -> None:
        """Go on from what `snapshot` gave."""

    def episodes(self) -> Episodes:
        """Those that ended since the last call."""


class Run:
    """What an agent's `learn` talks to.

        run.attach(player)                     # environments that a checkpoint should keep
        while run.going():                     # writes curve rows and checkpoints when they are due
            ...play...
            run.advance(rollout.steps)
            run.log(policy_loss=loss, ...)     # before the optimiser's step: NaN stops the run
            ...learn...

    At every checkpoint the global random streams are seeded anew, from the run's seed and the
    checkpoint's number: what follows depends on the checkpoint alone, so a run that is killed and
    resumed has the curve of one that was not.

    Attributes:
        steps: environment steps so far, over all rows; those of a warm start count up to 0, so
            that schedules and budgets are those of a run without one.
        total: when to stop.
        curve: rows so far, by column.
        seconds: that training took, over all resumes.
    """

    def __init__(
        self,
        seed: int,
        total: int,
        folder: Path | None = None,
        progress: bool = False,
        tensorboard: bool = False,
        title: str = "",
        on_row: Callable[[dict[str, float]], None] | None = None,
        warm_up: int = 0,
    ) -> None:
        self.seed, self.total, self.folder = seed, total, folder
        self.agent: Any = None
        self.warm_up = warm_up
        self.steps = -warm_up
        self.curve: list[dict[str, float]] = []
        self.seconds = 0.0
        self._saved_at = 0  # steps at the last checkpoint
        self._spacing = 0  # least steps between two, where a checkpoint ends episodes
        self._checkpoints = 0  # written so far; counts the starts of the random streams too
        self._losses: dict[str, list[float]] = {}
        self._played: Played | None = None
        self._kept: dict[str, Tensor] = {}
        self._on_row = on_row
        self._title, self._progress = title, progress
        self._bar: Any = None
        self._tensorboard = tensorboard
        self._writer: Any = None

    # --- what agents call ---

    def attach(self, played: Played) -> None:
        """Have checkpoints keep these environments, and put them where the last one left them."""
        self._played = played
        self._spacing = getattr(played, "spacing", 0)
        # Environments may draw from the global streams when they begin, and before that.
        seed_everything(self.seed, self._checkpoints)
        if self._checkpoints:
            played.restore(self._kept, self._checkpoints)
        else:
            played.begin(0)
        self._kept = {}
        seed_everything(self.seed, self._checkpoints)

    @property
    def fraction(self) -> float:
        """How much of the budget is used, 0 to 1: what schedules follow."""
        return min(self.steps / self.total, 1.0)

    def going(self) -> bool:
        """Whether steps are left; writes a row of the curve, and a checkpoint, when due."""
        at = max(0, self.curve[-1]["steps"]) if self.curve else 0
        over = self.steps >= self.total
        if self.steps > at and (over or self._row_of(self.steps) > self._row_of(int(at))):
            self.add_row()
            tens = [self._row_of(steps) // ROWS_PER_CHECKPOINT for steps in (int(at), self.steps)]
            due = tens[1] > tens[0]
            if over or (due and self.steps - self._saved_at >= self._spacing):
                self.save()
        return not over

    def advance(self, steps: int) -> None:
        """Count environment steps."""
        self.steps += steps
        if self._bar is not None:
            self._bar.update(min(self.steps, self.total) + self.warm_up - self._bar.n)

    def log(self, **values: Tensor | float) -> None:
        """Remember losses and the like for the next row of the curve, which shows their means.

        One copy from the device for all of them.

        Raises:
            Diverged: one is not finite; the state is saved for debugging.
        """
        tensors = [torch.as_tensor(v, dtype=torch.float32).detach() for v in values.values()]
        device = next((t.device for t in tensors if t.device.type != "cpu"), torch.device("cpu"))
        numbers = torch.stack([t.to(device) for t in tensors]).tolist()
        for name, number in zip(values, numbers, strict=True):
            if not math.isfinite(number):
                raise Diverged(self._diverged(name, number))
            self._losses.setdefault(name, []).append(number)

    def picture(self, name: str, image: np.ndarray) -> None:
        """Show a picture, uint8 [H, W, 3], in TensorBoard."""
        if self._writer is not None:
            self._writer.add_image(name, image, max(self.steps, 0), dataformats="HWC")

    # --- starting, saving, ending ---

    def start(self, agent: Any) -> None:
        """Take the agent over, and start everything that shows progress."""
        self.agent = agent
        seed_everything(self.seed, self._checkpoints)
        self._clock = time.perf_counter() - self.seconds
        if self._progress:
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.total + self.warm_up, initial=self.steps + self.warm_up, unit="step",
                desc=self._title, smoothing=0.05, dynamic_ncols=True, unit_scale=True,
            )  # fmt: skip
        if self._tensorboard and self.folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(
                str(self.folder / "tensorboard"), purge_step=self.steps if self.curve else None
            )

    def take_up(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; before `start`."""
        self.steps, self.curve = facts["steps"], list(facts["curve"])
        self._saved_at = self.steps
        self.seconds, self._checkpoints = facts["seconds"], facts["checkpoints"]
        self._kept = checkpoint.part(tensors, "envs")
        if self.folder is not None:
            self._write_curve()  # rows after the checkpoint are played again

    def warmed_up(self) -> None:
        """The warm start is over: keep it, and go on as a run without one begins."""
        self.advance(-self.steps)
        self._played = None
        self._write({})

    def save(self) -> None:
        """Write a checkpoint, and seed what follows it."""
        self._checkpoints += 1
        self._saved_at = self.steps
        seed_everything(self.seed, self._checkpoints)
        envs = self._played.snapshot(self._checkpoints) if self._played is not None else {}
        self._write(envs)
        seed_everything(self.seed, self._checkpoints)

    def _write(self, envs: dict[str, Tensor]) -> None:
        self.seconds = time.perf_counter() - self._clock
        if self.folder is not None:
            checkpoint.save(
                self.folder / checkpoint.NAME,
                checkpoint.under("agent", self.agent.state()) | checkpoint.under("envs", envs),
                {
                    "steps": self.steps,
                    "checkpoints": self._checkpoints,
                    "seconds": round(self.seconds, 3),
                    "curve": self.curve,
                },
            )

    def close(self) -> None:
        """Stop showing progress; the run may be over or broken off."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # --- rows ---

    def _row_of(self, steps: int) -> int:
        return steps * ROWS // self.total

    def add_row(self) -> None:
        """End a row of the curve: the episodes that ended and the means of what was logged."""
        found = self._played.episodes() if self._played is not None else Episodes()
        row: dict[str, float] = {"steps": self.steps, "episodes": found.count}
        if found.count:
            row["return"] = found.returns / found.count
            row["length"] = found.lengths / found.count
        row |= {name: sum(v) / len(v) for name, v in self._losses.items()}
        self._losses = {}
        self.curve.append(row)
        if self.folder is not None:
            self._write_curve()
        if self._bar is not None and found.count:
            self._bar.set_postfix({"return": f"{row['return']:.4g}"})
        if self._writer is not None:
            for name, value in row.items():
                if name not in ("steps", "episodes"):
                    kind = "rollout" if name in FIRST_COLUMNS else "losses"
                    self._writer.add_scalar(f"{kind}/{name}", value, self.steps)
            speed = (self.steps + self.warm_up) / max(time.perf_counter() - self._clock, 1e-9)
            self._writer.add_scalar("time/steps_per_second", speed, self.steps)
        if self._on_row is not None:
            self._on_row(row)

    def _write_curve(self) -> None:
        assert self.folder is not None
        columns = list(FIRST_COLUMNS)
        columns += [k for k in dict.fromkeys(k for row in self.curve for k in row)
                    if k not in columns]  # fmt: skip
        with (
            replacing(self.folder / CURVE) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {k: f"{v:.8g}" if isinstance(v, float) else v for k, v in row.items()}
                for row in self.curve
            )

    def _diverged(self, name: str, number: float) -> str:
        text = f"{name} became {number} at step {self.steps:,}"
        if self.folder is None:
            return text
        path = self.folder / "diverged.safetensors"
        state = checkpoint.under("agent", self.agent.state())
        checkpoint.save(path, state, {"steps": self.steps, "tensor": name, "value": str(number)})
        return f"{text}; the agent's state at that moment is in {path}"


def seed_everything(seed: int, start: int) -> None:
    """Seed the global streams of Python, numpy and torch, by which agents sample and shuffle."""
    word = np.random.SeedSequence(seed, spawn_key=(1 << 16, start)).generate_state(2)
    random.seed(int(word[0]))
    np.random.seed(int(word[0]))
    torch.manual_seed(int(word[1]))


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
