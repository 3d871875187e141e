"""Move edge loops on cuboids until the solid follows a shape."""

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.task import Observation, Outcome, State, Transition
from genenvs.geometry import cuboids, lofts, packed
from genenvs.images.sheets import sheet
from genenvs.shapes import fit, primitives
from genenvs.shapes.targets import MIXTURE
from genenvs.shapes.task import ShapeTask
from genenvs.tasks.edge_loop import evidence, judges, meshes, moves, rewards, viewer
from genenvs.tasks.edge_loop.loops import (
    BOXES,
    LOOPS,
    Cage,
    Layers,
    alternatives,
    around,
    largest,
    layers,
    place,
)
from genenvs.tasks.edge_loop.moves import PER_LOOP, STAY

SIZE = 64  # voxels a side
COARSE = 8  # blocks a side of the target as it is observed
BLOCK = SIZE // primitives.SIDE  # voxels a side of a cell that cuboids are made of
_BATCH = {"cpu": 6, "cuda": 256}  # rows of the expert at a time: 24 grids of 32 KB each


@dataclass(frozen=True)
class LoopState(State):
    """A batch of half-modelled shapes.

    Attributes:
        axis: int64 [B, 5], and `owner` int64 [B, 10], `below` int64 [B, 5, 64], `share` float32
            [B, 5, 64]: see `Cage`.
        corner: float32 [B, 10, 2, 3], lowest and highest corner of each loop, unit cube.
        unit: float32 [B], a hundredth of the diagonal of the target's bounding box.
        target: int64 [B, 64, 64], packed.
        coarse: float32 [B, 8, 8, 8], how much of each block the target fills.
        still: int64 [B, 64, 64], cuboids without loops.
        rest: int64 [B, 64, 64], all but the cuboid of the loop whose turn it is.
        iou: float32 [B].
        initial: float32 [B], `iou` at the start.
    """

    axis: Tensor
    owner: Tensor
    below: Tensor
    share: Tensor
    corner: Tensor
    unit: Tensor
    target: Tensor
    coarse: Tensor
    still: Tensor
    rest: Tensor
    iou: Tensor
    initial: Tensor

    @property
    def cage(self) -> Cage:
        """What stays as it is."""
        return Cage(self.axis, self.owner, self.below, self.share)

    @property
    def current(self) -> Tensor:
        """The loop whose turn it is: int64 [B]."""
        return self.step % LOOPS


class EdgeLoop(ShapeTask):
    """Move edge loops on cuboids until the solid follows a shape.

    ## Description
    A modeller blocks a shape out with a few cuboids, puts edge loops around them and moves these
    until the solid follows the shape: tapered legs, swept wings, a leaning back. Ten loops are
    spread over at most five cuboids; a loop is a rectangle across the longest axis of its cuboid,
    and the solid goes in straight lines from each loop to the next. The loops take turns, ten
    turns each. What comes out is a mesh of few quads with clean edge flow.

    It is the second stage of Lin et al.'s pipeline (Mesh-Agent); `PrimitiveModel` is the first.

    ## Action space
    `Discrete(361)`: `36 * loop + 18 * corner + 6 * axis + step` moves the lowest (0) or highest (1)
    corner of a loop along x, y or z by 1, 2, 3, -3, -2 or -1 hundredths of the diagonal of the
    target's bounding box; 360 moves nothing.

    The mask allows moves of the loop whose turn it is (steps taken mod 10), not along its own axis,
    not out of the unit cube, and not so far that the loop gets thinner than two hundredths; and
    always 360. For agents that do not look at it: the turn decides which loop moves, whatever loop
    an action names, and a move that goes nowhere or too far moves nothing.

    ## Observation space
    `Dict`, all float32 in 0 .. 1, `wedges` in -1 .. 1:
    | key | shape | meaning |
    |---|---|---|
    | `target` | [8, 8, 8] | how much of each block of 8^3 voxels the target fills |
    | `loops` | [10, 8] | of every loop x, y, z of its lowest corner and its axis / 2, then those |
    | | | of its highest corner |
    | `owner` | [10, 5] | the cuboid of every loop, one-hot, the largest first |
    | `current` | [10] | the loop whose turn it is, one-hot |
    | `wedges` | [2, 36] | for each of its 36 moves the voxels that it adds (or, below 0, takes |
    | | | away): those of the target, those beside it; 1 is a 64th of the target's volume or more |
    | `progress` | [1] | steps / horizon |

    The paper shows a picture of the target, from which a convolutional network has to learn what a
    move would do; `wedges` says it, measured in four cross-sections about the loop, so that a small
    network learns to model in minutes; `target` shows the whole, coarsely. What other cuboids fill
    counts in neither part.

    ## Rewards
    `iou`: the change of the intersection over union with the target at 64^3.

    ## Metrics
    `iou` and the `gain` over the cuboids of the start. Gold, never paid: `chamfer` and `hausdorff`
    between the surfaces of solid and target, `components` of the solid, and how cuboids lie in each
    other, which their union hides: `overlap` and `self_intersections`. The surface of every cuboid,
    and their union, which is exported, are closed by construction.

    ## Starting state
    One of the split's finite targets, by a permutation of its own for each seed, and cuboids with
    faces in the planes of a 16^3 grid: fitted greedily (each the one that adds most, of all there
    are, up to five), or those of a file. The five largest get loops in proportion to their volume,
    at least two each, evenly from end to end; of a file with more, the others stay as they are: in
    the solid, in the mesh, and in what `wedges` leaves out.

    ## Episode end
    Terminates at the horizon. Moving nothing keeps what there is.

    ## Arguments
    - `targets` (`"mixed"`): a family of shapes, or the path of a mesh or a folder of meshes.
    - `up` (`"z"`): the axis of these files that points upwards, `"z"` or `"y"` (of most glb files).
    - `initial` (`"fit"`): or the path of a file of primitives made for all targets of the same
      split (`genenvs.shapes.primitives`); where it has no cuboid left for one, that one is fitted.
    - `published` (False): moves as the authors' program makes them: of any loop at any time (its
      mask only advises), and up to the bounds where they would cross them, which are those of a
      cube as wide as the target's diagonal, from the lowest corner of its bounding box; all actions
      are legal. With `horizon=101`, as many steps as it takes.
    - `horizon` (100), and those of every environment: `split`, `instances`, `reward_weights`,
      `device`, `dtype`.

    ## Faithful / deviates
    Faithful (`Mesh-Agent/environment.py` and `config.py` of the authors' repository): ten loops on
    the longest axes, two control corners, 360 actions with their numbers, step lengths and least
    thickness, turns, reward. Deviates, unless `published`: a mask that holds, and the unit cube for
    bounds; exactly 100 steps, not 101. Deviates always: an action that moves nothing; the bounding
    box reaches to the far side of its last voxels, theirs to their number; voxels are set where
    their centre is inside, where the authors truncate to integers; targets are generated, where
    they take ShapeNet's; voxels and cross-sections are observed in place of a picture; shapes
    with more than five cuboids are used, theirs leaves them out.

    ## Version history
    - v0: first version.
    """

    ends = "terminates"
    size = SIZE
    terms = rewards.TERMS
    metrics = rewards.METRICS

    def __init__(
        self,
        *,
        targets: str = MIXTURE,
        initial: str = "fit",
        published: bool = False,
        **common: Any,
    ) -> None:
        """See the page for arguments.

        Raises:
            ValueError: see `ShapeTask`; or the file is of other targets, or no file of primitives.
            FileNotFoundError: there is no such file.
        """
        super().__init__(targets=targets, **common)
        if not isinstance(published, bool):
            raise ValueError(f"published must be True or False; got {published!r}")
        if not isinstance(initial, str | Path):
            raise ValueError(f'initial must be "fit" or a path; got {reprlib.repr(initial)}')
        self.published = published
        self.action_space = spaces.Discrete(STAY + 1)
        shapes = {
            "target": (COARSE, COARSE, COARSE),
            "loops": (LOOPS, 8),
            "owner": (LOOPS, BOXES),
            "current": (LOOPS,),
            "wedges": (2, PER_LOOP),
            "progress": (1,),
        }
        self.observation_space = spaces.Dict(
            {
                name: spaces.Box(-1.0 if name == "wedges" else 0.0, 1.0, shape, np.float32)
                for name, shape in shapes.items()
            }
        )
        # Cuboids of every target. Those that are fitted are computed when first asked for: all of
        # the mixture would take seconds.
        width = BOXES if initial == "fit" else primitives.COUNT
        count = len(self.targets)
        self._cuboids = torch.zeros(count, width, 6, dtype=torch.int64, device=self.device)
        self._known = torch.zeros(count, dtype=torch.bool, device=self.device)
        self._drawn: tuple[int, list[tuple[str, np.ndarray]]] = (-1, [])
        if initial != "fit":
            self._cuboids = primitives.read(initial).matched(self.targets, self.split)
            self._known = (cuboids.volume(self._cuboids) > 0).any(1)

    def initial_cuboids(self, instance: Tensor, target: Tensor) -> Tensor:
        """The cuboids that targets start with.

        Args:
            instance: int64 [K].
            target: int64 [K, 64, 64], those targets.

        Returns:
            int64 [K, N, 6] in a grid of 16^3.
        """
        new = (~self._known[instance]).nonzero()[:, 0]
        if len(new):
            filled = packed.pool(target[new], SIZE, primitives.SIDE) / BLOCK**3
            found = fit.cuboids(filled, BOXES)
            self._cuboids[instance[new], :BOXES] = found
            self._known[instance[new]] = True
        return self._cuboids[instance]

    def initial_state(self, instance: Tensor, key: Tensor) -> LoopState:
        """Cuboids with loops around them."""
        target = self.targets.packed(instance)
        coarse = packed.pool(target, SIZE, COARSE) / (SIZE // COARSE) ** 3
        boxes, others = largest(self.initial_cuboids(instance, target))
        cage, corner = place(boxes, SIZE)
        still = cuboids.rasterise_packed(others * BLOCK, SIZE)
        step = torch.zeros_like(instance)
        rest, box = around(cage, corner, step)
        rest |= still
        iou = packed.iou(rest | box, target)
        return LoopState(
            instance=instance,
            key=key,
            step=step,
            **cage._asdict(),
            corner=corner,
            unit=moves.diagonal(target) * moves.Scale.unit,
            target=target,
            coarse=coarse,
            still=still,
            rest=rest,
            iou=iou,
            initial=iou.clone(),
        )

    def transition(self, state: LoopState, action: Tensor) -> Transition:  # type: ignore[override]
        """Move a loop, rasterise the cuboids, compare."""
        cage = state.cage
        row = torch.arange(len(action), device=self.device)
        moving = action < STAY
        number = torch.where(moving, action // PER_LOOP, 0) if self.published else state.current
        which = action % PER_LOOP
        loop = state.corner[row, number]  # [B, 2, 3]
        axis = self._axis(state, number)
        if self.published:
            floor, _ = moves.extent(state.target)
            moved = moves.forced(loop, which, axis, state.unit, floor)
        else:
            moved = moves.tried(loop, state.unit)
            moving &= moves.legal(moved, axis, state.unit)[row, which]
            moved = moved[row, which].clamp(0, 1)
        corner = state.corner
        corner[row, number] = torch.where(moving[:, None, None], moved, loop)
        before = state.iou
        rest, box = around(cage, corner, (state.step + 1) % LOOPS)
        rest |= state.still
        iou = packed.iou(rest | box, state.target)
        return Transition(
            state=state.advance(corner=corner, rest=rest, iou=iou),
            terms={"iou": iou - before},
            terminated=torch.zeros_like(moving),
            metrics={"iou": iou},
        )

    def outcome(self, state: LoopState) -> Outcome:  # type: ignore[override]
        """What the loops added."""
        return Outcome(metrics={"gain": state.iou - state.initial})

    def observe(self, state: LoopState) -> Observation:  # type: ignore[override]
        """See the page."""
        axis = state.axis.gather(1, state.owner)[..., None, None] / 2  # [B, 10, 1, 1]
        current = torch.nn.functional.one_hot(state.current, LOOPS).float()
        owner = torch.nn.functional.one_hot(state.owner, BOXES).float()
        swept = evidence.wedges(
            state.cage, state.corner, state.current, state.unit, state.target, state.rest
        )
        volume = state.coarse.flatten(1).sum(1)[:, None, None] * (SIZE // COARSE) ** 3
        return {
            "target": state.coarse,
            # As published, corners may leave the unit cube.
            "loops": torch.cat([state.corner, axis.expand(-1, -1, 2, 1)], -1)
            .flatten(2)
            .clamp(0, 1),
            "owner": owner,
            "current": current,
            "wedges": (swept * (evidence.GAIN / volume)).clamp(-1, 1),
            "progress": (state.step[:, None] / self.horizon).clamp(max=1),
        }

    def action_mask(self, state: LoopState) -> Tensor:  # type: ignore[override]
        """See the page; bool [B, 361]."""
        if self.published:
            return torch.ones(len(state.step), STAY + 1, dtype=torch.bool, device=self.device)
        row = torch.arange(len(state.step), device=self.device)
        mask = torch.zeros(len(row), LOOPS, PER_LOOP, dtype=torch.bool, device=self.device)
        mask[row, state.current] = self._legal(state)
        return torch.cat([mask.flatten(1), torch.ones_like(mask[:, 0, :1])], 1)

    def reference_action(self, state: LoopState) -> Tensor:  # type: ignore[override]
        """The one-step-lookahead expert of the paper: the move that pays most, or none."""
        rows = _BATCH.get(self.device.type, _BATCH["cuda"])
        allowed, best = self._legal(state), []
        for start in range(0, len(state.step), rows):
            part = slice(start, start + rows)
            few = type(state)(**{name: value[part] for name, value in state.tensors().items()})
            paid = self.lookahead(few).masked_fill(~allowed[part], -1)
            found = paid.argmax(1)
            better = paid.gather(1, found[:, None])[:, 0] > few.iou
            best.append(torch.where(better, few.current * PER_LOOP + found, STAY))
        return torch.cat(best)

    def lookahead(self, state: LoopState) -> Tensor:
        """The intersection over union after each move of the current loop: float32 [B, 36].

        Moves along the loop's own axis count as 0.
        """
        row = torch.arange(len(state.step), device=self.device)
        moved = moves.tried(state.corner[row, state.current], state.unit).clamp(0, 1)
        across = moves.crosswise(self._axis(state, state.current))  # [B, 24]
        cases = across.shape[1]
        moved = moved[row[:, None], across]
        words = lofts.rasterise_layers(
            *alternatives(state.cage, state.corner, state.current, moved)
        ).unflatten(0, (-1, cases))
        words |= state.rest[:, None]
        found = packed.iou(words, state.target[:, None])
        return found.new_zeros(len(row), PER_LOOP).scatter_(1, across, found)

    def solid(self, state: LoopState) -> Tensor:
        """What is modelled, as packed grids: int64 [B, 64, 64]."""
        order = torch.arange(BOXES, device=self.device).expand(len(state.step), -1)
        words = lofts.rasterise_layers(*layers(state.cage, state.corner, order))
        return words | state.still

    def render(self, state: LoopState, index: int) -> np.ndarray:  # type: ignore[override]
        """Target, cuboids of the start, and the mesh with its edge loops."""
        row = state.rows(torch.tensor([index], device=self.device))
        solids = viewer.ringed(self.surfaces(row, 0), len(row.owner.unique()))
        if int(row.step) < self.horizon:
            loop = row.corner[0, int(row.current)]
            solids.append(viewer.marked(loop, int(self._axis(row, row.current))))
        caption = (
            f"{self.targets.name(int(row.instance))}: after {int(row.step)} steps,"
            f" IoU {float(row.iou):.3f}, at the start {float(row.initial):.3f}"
        )
        return sheet(
            [*self.backdrop(row), ("edge loops", viewer.panel(solids, row.target[0]))], caption
        )

    def backdrop(self, row: LoopState) -> list[tuple[str, np.ndarray]]:
        """Pictures of one row's target and first cuboids; those of the last target are kept."""
        instance = int(row.instance)
        if self._drawn[0] != instance:
            boxes, others = largest(self.initial_cuboids(row.instance, row.target))
            cage, corner = place(boxes, SIZE)
            first = meshes.surfaces(cage, corner, others[0], primitives.SIDE)
            parts = self.targets.parts
            shape = (
                viewer.voxels(row.target[0])
                if parts is None
                else viewer.parts(parts.rows(row.instance[0]))
            )
            solids = viewer.ringed(first, len(cage.owner.unique()))
            goal = row.target[0]
            panels = [
                ("target", viewer.panel([shape], goal)),
                ("cuboids", viewer.panel(solids, goal)),
            ]
            self._drawn = instance, panels
        return self._drawn[1]

    def surfaces(self, state: LoopState, index: int) -> list[meshes.Quads]:
        """The closed surface of every cuboid of a row, quads between its edge loops."""
        row = state.rows(torch.tensor([index], device=self.device))
        _, others = largest(self.initial_cuboids(row.instance, row.target))
        return meshes.surfaces(row.cage, row.corner, others[0], primitives.SIDE)

    def artefact(self, state: LoopState, index: int) -> Any:  # type: ignore[override]
        """The union of all cuboids as one closed `trimesh.Trimesh`, within the unit cube.

        `surfaces` and `meshes.obj` give the quads.

        Raises:
            ImportError: trimesh or manifold3d is missing; names the extra.
        """
        return meshes.to_trimesh(*meshes.union(self.surfaces(state, index)))

    def judge(self, final: LoopState) -> dict[str, Tensor]:  # type: ignore[override]
        """Distances of the surfaces, parts of the solid, and how cuboids lie in each other."""
        built = [self.surfaces(final, k) for k in range(len(final.step))]
        parts = lofts.rasterise_layers(*self._apart(final)).unflatten(0, (-1, BOXES))
        return judges.judge(built, parts, final.still, final.target, final.key)

    def _apart(self, state: LoopState) -> Layers:
        """The layers of every cuboid with loops for itself: [B * 5, 1]."""
        order = torch.arange(BOXES, device=self.device).expand(len(state.step), -1)
        found = layers(state.cage, state.corner, order)
        return Layers(*(part.flatten(0, 1)[:, None] for part in found))

    def _axis(self, state: LoopState, loop: Tensor) -> Tensor:
        """Along which the cuboid of a loop (int64 [B]) lies: int64 [B]."""
        owner = state.owner.gather(1, loop[:, None])
        return state.axis.gather(1, owner)[:, 0]

    def _legal(self, state: LoopState) -> Tensor:
        """Which moves of the current loop are legal: bool [B, 36]."""
        row = torch.arange(len(state.step), device=self.device)
        moved = moves.tried(state.corner[row, state.current], state.unit)
        return moves.legal(moved, self._axis(state, state.current), state.unit)
