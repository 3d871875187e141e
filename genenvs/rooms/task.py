"""What the tasks that furnish a room share: the state, the observation, rewards and artefacts."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genenvs.core.task import Outcome, State, Task
from genenvs.rooms import (
    bits,
    export,
    furnish,
    gold,
    instances,
    physics,
    placing,
    rewards,
    user,
    viewer,
)
from genenvs.rooms import furniture as own
from genenvs.rooms.bits import EVEN, LATTICE
from genenvs.rooms.catalogue import TYPES, table
from genenvs.rooms.furnished import Furnished
from genenvs.rooms.furniture import Models
from genenvs.rooms.instances import Rooms
from genenvs.rooms.placing import Furnishing, Survey, Things
from genenvs.rooms.plans import Plans
from genenvs.rooms.requests import ITEMS, KINDS
from genenvs.simulators.engine import ENGINES, engine, installed

AUTO = "auto"
PLANES = ("free", "door", "window", "access", "class")
_SHADE = 255 // TYPES


@dataclass(frozen=True)
class RoomState(State):
    """A batch of rooms; grids as in `genenvs.rooms.bits`, furniture as in `placing.Furnishing`.

    Attributes:
        items: int64 [B, 14, 4].
        right: bool [B, 14].
        number: int64 [B].
        taken: int64 [B, 64].
        access: int64 [B, 64].
        upper: int64 [B, 64].
        tops: int64 [B, S, 64].
        marks: int64 [B, 6, 64].
        left: int64 [B, TYPES], what is still to be placed.
        kept: int64 [B, 6], see `rewards.KEPT`.
        picture: uint8 [B, 32, 32], number of the type that covers a cell, from 1, times 15.
    """

    items: Tensor
    right: Tensor
    number: Tensor
    taken: Tensor
    access: Tensor
    upper: Tensor
    tops: Tensor
    marks: Tensor
    left: Tensor
    kept: Tensor
    picture: Tensor

    @property
    def furnishing(self) -> Furnishing:
        """What stands where."""
        return Furnishing(*(getattr(self, name) for name in Furnishing._fields))


class RoomTask(Task):
    """A task whose instance is an empty room and what it is to hold."""

    metrics = rewards.METRICS
    may_report = {name: m for each in ENGINES for name, m in rewards.physics(each).items()}
    ends = "terminates"
    which = "layout"  # the set of rooms, see `instances.load`

    def __init__(
        self,
        *,
        rooms: str = instances.MIXTURE,
        furniture: str | None = None,
        engine: str | None = AUTO,
        **common: Any,
    ) -> None:
        """Load the rooms.

        Args:
            rooms: `mixed`, a kind of room, or the path of a file, see `genenvs.rooms.user`.
            furniture: path of a folder of meshes, see `genenvs.rooms.furniture`.
            engine: of the physics in `judge`: `mujoco`, `pybullet`, `auto` for the first that is
                installed, None for no physics.
            **common: see `Task`.

        Raises:
            ValueError: no such rooms, furniture or engine; says what is wrong with them.
            ImportError: the engine, or what reads meshes, is missing; names the extra.
        """
        super().__init__(**common)
        self.models: Models = own.load(furniture) if furniture is not None else {}
        self.rooms: Rooms = self._load(rooms)
        self.engine = _chosen(engine)
        if self.engine is not None:
            # What a judge finds depends on the engine; what a step finds does not.
            self.metrics = {**type(self).metrics, **rewards.physics(self.engine)}  # type: ignore[misc]
        self._total = self.rooms.requests.counts.sum(1)
        plans = self.rooms.plans
        east, north, west, south = plans.glass.unbind(1)
        fixed = torch.stack([plans.strips, east | north | west | south], 1)
        self._fixed = _cells(_any(fixed))  # [N, 2, 32, 32]: doors and windows

    def _load(self, rooms: str) -> Rooms:
        if not isinstance(rooms, str | Path):
            raise ValueError(f"rooms must be a kind of room or a path; got {rooms!r}")
        if str(rooms) in (instances.MIXTURE, *KINDS):
            found = instances.load(self.split, str(rooms), self.which)
            if self.models:
                found = replace(found, requests=own.resize(found.requests, self.models))
        elif os.path.exists(rooms):
            found = user.load(rooms, self.models)
        else:
            names = ", ".join([instances.MIXTURE, *KINDS])
            raise ValueError(
                f"rooms must be one of {names}, or the path of a JSON file; got {str(rooms)!r},"
                " which does not exist"
            )
        return found.to(self.device)

    @property
    def num_instances(self) -> int:
        """Rooms of the split."""
        return len(self.rooms)

    def total(self, state: State) -> Tensor:
        """Things asked for: int64 [B]."""
        return self._total[state.instance]

    def things(self, state: State, kind: Tensor) -> Things:
        """The thing of type `kind` (int64 [B]; what is no type counts as the first) of each row."""
        kind = kind.clamp(0, TYPES - 1)
        return furnish.things(self.rooms.requests, kind, state.instance)

    def looking(
        self, state: RoomState, kind: Tensor, rows: Tensor | slice = slice(None)
    ) -> tuple[Plans, Furnishing, Things]:
        """What `placing.survey` takes, of some rows and a type for each (int64 [B])."""
        index = state.instance[rows]
        now = Furnishing(*(field[rows] for field in state.furnishing))
        things = furnish.things(self.rooms.requests, kind[rows], index)
        return self.rooms.plans.rows(index), now, things

    def empty(self, instance: Tensor, key: Tensor) -> dict[str, Tensor]:
        """The fields of `RoomState` in empty rooms."""
        now = placing.nothing(self.rooms.plans.rows(instance))
        return {
            "instance": instance,
            "key": key,
            "step": torch.zeros_like(key),
            **now._asdict(),
            "left": self.rooms.requests.counts[instance],
            "kept": key.new_zeros(len(key), len(rewards.KEPT)),
            "picture": torch.zeros(
                len(key), LATTICE, LATTICE, dtype=torch.uint8, device=key.device
            ),
        }

    def put(
        self, state: RoomState, things: Things, place: Tensor, found: Survey, placed: Tensor
    ) -> dict[str, Tensor]:
        """What changes when a thing is put down.

        Args:
            state: before.
            things: one for each row.
            place: int64 [B].
            found: survey of the things, before.
            placed: bool [B], rows in which it happens.
        """
        facts = table(place.device)
        wall, paired, off_strip, clear = (
            placing.at(words, place)
            for words in (found.on_wall, found.paired, found.off_strip, found.clear)
        )
        right = wall & paired & off_strip & clear
        floor = self.rooms.plans.floor[state.instance]
        now = placing.put(floor, state.furnishing, things, place, right, placed)
        kind = things.type
        kept = torch.stack([
            torch.ones_like(right), wall & facts.wall[kind], paired & facts.paired[kind],
            ~off_strip, ~clear, right,
        ], 1)  # fmt: skip
        one = torch.nn.functional.one_hot(kind, TYPES) * placed[:, None]
        x, y, turn = placing.decode(place, things)
        along_x, along_y = things.extent(turn)
        covered = (_covered(x, along_x) & placed[:, None])[:, :, None] & _covered(y, along_y)[
            :, None
        ]
        shade = ((kind + 1) * _SHADE).to(torch.uint8)[:, None, None]
        return {
            **now._asdict(),
            "left": state.left - one,
            "kept": state.kept + (kept & placed[:, None]),
            "picture": torch.where(covered, shade, state.picture),
        }

    def set_aside(self, left: Tensor, kind: Tensor, rows: Tensor) -> Tensor:
        """What is left once things that find no place are given up: int64 [B, TYPES]."""
        one = torch.nn.functional.one_hot(kind.clamp(0, TYPES - 1), TYPES).bool()
        return left.masked_fill(one & rows[:, None], 0)

    def paid(
        self, state: RoomState, after: dict[str, Tensor], invalid: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Terms but `success` and those of illegal actions (bool [B]), and metrics, of a step."""
        total = self.total(state)
        before = rewards.shares(state.kept, total)
        metrics = rewards.shares(after["kept"], total)
        terms = {name: value - before[name] for name, value in metrics.items() if name != "quality"}
        metrics["invalid"] = invalid.float()
        return terms, metrics

    def outcome(self, state: RoomState) -> Outcome:  # type: ignore[override]
        """Whether all of it stands as it should."""
        total = self.total(state)
        success = rewards.success(state.kept, total)
        lost = total - state.kept[:, 0] - state.left.sum(1)
        return Outcome(
            {"success": success}, {"success": success.clone(), "set_aside": lost / total}
        )

    def planes(self, state: RoomState) -> Tensor:
        """The room as seen from above: uint8 [B, 5, 32, 32], see `PLANES`."""
        floor = self.rooms.plans.floor[state.instance]
        # A cell of the lattice is free where all four of its cells are.
        free = EVEN & ~_any(~(floor & ~state.taken))
        changing = _cells(torch.stack([free, _any(state.access)], 1))
        return torch.cat([
            changing[:, :1], self._fixed[state.instance], changing[:, 1:], state.picture[:, None]
        ], 1)  # fmt: skip

    def numbers(self, state: RoomState) -> Tensor:
        """What is left, of which size, and how far it has come: float32 [B, 3 * TYPES + 2]."""
        requests = self.rooms.requests.rows(state.instance)
        wanted = requests.counts > 0
        left = state.left.float() / ITEMS
        sizes = [requests.width / 32 * wanted, requests.depth / 32 * wanted]
        remaining = (self.horizon - state.step).clamp(min=0) / self.horizon
        share = state.kept[:, :1] / self.total(state)[:, None]
        return torch.cat([left, *sizes, remaining[:, None], share], 1).float()

    def furnished(self, state: RoomState) -> Furnished:
        """The rooms as they stand, in metres."""
        return Furnished(
            self.rooms.plans.rows(state.instance),
            self.rooms.requests.rows(state.instance),
            state.furnishing,
        )

    def render(self, state: RoomState, index: int) -> np.ndarray:  # type: ignore[override]
        """The room from above and at an angle."""
        row = state.rows(torch.tensor([index], device=self.device))
        total = int(self.total(row))
        number = int(self.rooms.requests.kind[row.instance])
        kind = list(KINDS)[number] if number >= 0 else f"room {int(row.instance) + 1}"
        caption = (
            f"{kind}: {int(row.number)} of {total} things,"
            f" {int(row.right.sum())} of them keep all their rules"
        )
        return viewer.picture(self.furnished(row), caption, self.models)

    def judge(self, final: RoomState) -> dict[str, Tensor]:  # type: ignore[override]
        """The gold metrics, physics among them where there is an engine."""
        rooms = self.furnished(final)
        found = gold.gold(rooms)
        if self.engine is not None:
            found |= physics.settle(rooms, self.models, self.engine)
        return found

    def artefact(self, state: RoomState, index: int) -> Any:  # type: ignore[override]
        """The room as a `trimesh.Scene` in metres, z up; exports glb, obj and more.

        Raises:
            ImportError: trimesh is missing; names the extra.
        """
        return export.scene(self._one(state, index), self.models)

    def write_sdf(self, path: str | os.PathLike[str], state: RoomState, index: int) -> None:
        """Write row `index` as an SDF world, see `genenvs.rooms.export.write_sdf`."""
        export.write_sdf(path, self._one(state, index), self.models)

    def _one(self, state: RoomState, index: int) -> Furnished:
        return self.furnished(state.rows(torch.tensor([index], device=self.device)))


def _chosen(wanted: str | None) -> str | None:
    """The engine to use; None where none is wanted or, for `auto`, installed."""
    if wanted == AUTO:
        return next(iter(installed()), None)
    if wanted is not None:
        engine(wanted)
    return wanted


def _covered(first: Tensor, length: Tensor) -> Tensor:
    """Which of 32 pairs of cells a run of cells touches: int64 [B] twice -> bool [B, 32]."""
    pair = torch.arange(LATTICE, device=first.device)
    return (pair >= (first // 2)[:, None]) & (pair <= ((first + length - 1) // 2)[:, None])


def _cells(words: Tensor) -> Tensor:
    """Lattices int64 [B, K, 32] as planes: uint8 [B, K, 32, 32], 0 or 255."""
    cells = placing.unpack(words.flatten(1)).view(*words.shape, LATTICE)
    return cells.view(torch.uint8) * 255


def _any(words: Tensor) -> Tensor:
    """The lattice cells of which any cell is set: int64 [..., 64] -> int64 [..., 32], even bits."""
    rows = words[..., ::2] | words[..., 1::2]
    return (rows | bits.shift_y(rows, torch.ones((), dtype=torch.int64, device=rows.device))) & EVEN
