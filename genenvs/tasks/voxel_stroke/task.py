"""Draw a shape in a single stroke through a voxel grid."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core import random
from genenvs.core.task import Observation, Outcome, State, Transition
from genenvs.geometry.components import voxel_components
from genenvs.shapes import gold
from genenvs.shapes.targets import MIXTURE
from genenvs.shapes.task import ShapeTask
from genenvs.tasks.voxel_stroke import grids, rewards, viewer
from genenvs.tasks.voxel_stroke.grids import SIZE, TARGET, VISITED, WINDOW

GOAL = 0.95  # coverage at which a shape counts as drawn
START = 0  # what a draw is for


@dataclass(frozen=True)
class StrokeState(State):
    """A batch of half-drawn shapes; for words and places see `grids`.

    Attributes:
        words: int32 [B, 400], target and visited cells; only cells of the target are visited.
        cursor: int64 [B], the place where the stroke ends.
        volume: int64 [B], cells of the target.
        covered: int64 [B], cells of the stroke.
        clean: int64 [B], cells of the stroke before the first fault.
        crossed: int64 [B], self-intersections so far.
        left: int64 [B], exits so far.
        path: int16 [B, L], the places of the stroke in order; 0 beyond `covered` of them.
    """

    words: Tensor
    cursor: Tensor
    volume: Tensor
    covered: Tensor
    clean: Tensor
    crossed: Tensor
    left: Tensor
    path: Tensor


class VoxelStroke(ShapeTask):
    """Draw a shape in a single stroke through a voxel grid.

    ## Description
    A cursor stands in a cell of a target shape, in a grid of 16^3. It walks from neighbour to
    neighbour, and every cell it enters becomes solid: the stroke should visit as much of the
    target as it can, never leave it and never cross itself. What makes it hard is that a stroke
    that goes into a thin part may not come back, and one that passes by leaves it out for good.

    ## Action space
    `Discrete(6)`: a step along +x, -x, +y, -y, +z, -z. `VoxelStroke26`: `Discrete(26)`, to every
    cell that shares a face, an edge or a corner, in order of (dx, dy, dz), on unions of boxes:
    diagonals get through almost everywhere, and a rule of one line, the reference, solves it. It is
    a warm-up, not a benchmark.

    All actions are always legal, and there is no mask: a fault is part of the task, costs
    something, and leaves the cursor where it is.

    ## Observation space
    `Dict`:
    | key | shape | range | meaning |
    |---|---|---|---|
    | `window` | [2, 5, 5, 5] | 0, 1 (int8) | the 5^3 cells around the cursor: target, visited |
    | `position` | [3] | 0 .. 1 | the cursor / 15 |
    | `progress` | [2] | 0 .. 1 | coverage, steps / horizon |

    ## Rewards
    `filled`: 1 for a new cell of the target. `crossed`: minus 0.5 for a self-intersection.
    `left`: minus 1 for a step outside the target. Until the episode ends some step pays +1, so
    that neither ending early nor hovering pays; the best-paid episode is the longest stroke without
    a fault.

    ## Metrics
    `clean_coverage` scores an episode: the share of the target that was drawn before the first
    fault. `coverage` alone would also count what a stroke reaches by trying every direction at
    every cell. Faults by kind, `self_intersections` and `exits`; the stroke's `length`. Gold, never
    paid: `untouched_parts`, the pieces that the stroke left out; `chamfer` and `hausdorff` distance
    of stroke and target.

    ## Starting state
    A target of the split (`mixed`: 3,584 train, 448 validation, 896 test; see `targets`), of which
    the largest part whose cells share faces is kept; a cell of it, drawn from the episode's key.

    ## Episode end
    Terminates when 0.95 of the target is covered, or when no neighbour of the cursor is a new
    cell of the target; truncates at the horizon, which is too short to cover 0.95 of 8 of the
    mixture's 4,928 targets.

    ## Arguments
    - `moves` (6): neighbours that a step can reach, 6 or 26.
    - `targets` (`"mixed"`): a family of shapes (`union`, `table`, `chair`, `shelf`, `aeroplane`,
      `lamp`, `car`), `mixed` for all of these, or the path of a mesh or a folder of meshes.
      `corridor` is held out: no mixture has it.
    - `up` (`"z"`): the axis of these files that points upwards, `"z"` or `"y"` (of most glb files).
    - `horizon` (1,024): most steps.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    Faithful (Akizuki et al., 2020): a single stroke inside a voxelised boundary, 6 or 26 neighbour
    moves, a 5 x 5 x 5 window around the agent, +1 inside, -0.5 for a self-intersection, -1 outside.
    Deviates: targets are generated, theirs are modelled by hand; position and progress are observed
    beside the window; the paper says neither what a fault does (here the cursor stays) nor when
    an episode ends.

    ## Version history
    - v0: first version.
    """

    size, whole = SIZE, True
    terms = rewards.TERMS
    metrics = rewards.METRICS
    ends = "truncates"

    def __init__(self, *, moves: int = 6, targets: str = MIXTURE, **common: Any) -> None:
        """Load the targets; see the page for arguments."""
        super().__init__(targets=targets, **common)
        steps = grids.moves(moves)  # [A, 3]
        self.steps = grids.offset(steps).to(self.device)  # [A]
        self.windows = grids.Windows(self.device)
        # In the flat window: the cells next to the cursor, and those next to these.
        strides = torch.tensor([WINDOW**2, WINDOW, 1])
        next_to = ((steps + grids.PAD) * strides).sum(1)
        self._next = next_to.to(self.device)  # [A]
        self._beyond = (next_to[:, None] + (steps * strides).sum(1)).to(self.device)  # [A, A]
        self.longest = min(self.horizon + 1, SIZE**3)  # cells of a stroke
        self.action_space = spaces.Discrete(len(steps))
        self.observation_space = spaces.Dict({
            "window": spaces.Box(0, 1, (2, WINDOW, WINDOW, WINDOW), np.int8),
            "position": spaces.Box(0.0, 1.0, (3,), np.float32),
            "progress": spaces.Box(0.0, 1.0, (2,), np.float32),
        })  # fmt: skip

    def initial_state(self, instance: Tensor, key: Tensor) -> StrokeState:
        """The cursor in one of the target's cells, drawn."""
        words = grids.words_of(self.targets.packed(instance))
        volume = grids.volume(words)
        which = random.randint(key, random.counter(0, START), 1, volume[:, None])
        cursor = grids.nth(words, which)
        grids.visit(words, cursor)
        path = torch.zeros(len(key), self.longest, dtype=torch.int16, device=self.device)
        path[:, 0] = cursor
        one, none = torch.ones_like(volume), torch.zeros_like(volume)
        return StrokeState(
            instance=instance,
            key=key,
            step=none,
            words=words,
            cursor=cursor,
            volume=volume,
            covered=one,
            clean=one.clone(),
            crossed=none.clone(),
            left=none.clone(),
            path=path,
        )

    def transition(self, state: StrokeState, action: Tensor) -> Transition:  # type: ignore[override]
        """Enter the neighbour, or stay where that is a fault."""
        aim = state.cursor + self.steps[action]
        cell = grids.read(state.words, aim[:, None])[:, 0]
        terms = rewards.stroke(cell)
        new = cell == TARGET
        cursor = torch.where(new, aim, state.cursor)
        covered = state.covered + new
        crossed = state.crossed + (cell == TARGET | VISITED)
        left = state.left + (cell == 0)
        # Where nothing moved, both write what is there already. (An ended row may be stepped on.)
        grids.visit(state.words, cursor)
        last = (covered - 1).clamp(max=self.longest - 1)
        state.path.scatter_(1, last[:, None], cursor[:, None].short())
        after = state.advance(
            cursor=cursor,
            covered=covered,
            clean=torch.where(crossed + left == 0, covered, state.clean),
            crossed=crossed,
            left=left,
        )
        coverage = covered / state.volume
        stuck = (self.around(after) != TARGET).all(1)
        return Transition(after, terms, (coverage >= GOAL) | stuck, {"coverage": coverage})

    def around(self, state: StrokeState) -> Tensor:
        """What stands where the actions lead to: int32 [B, A], bits as in `grids.read`."""
        return grids.read(state.words, state.cursor[:, None] + self.steps)

    def outcome(self, state: StrokeState) -> Outcome:  # type: ignore[override]
        """How the stroke went."""
        return Outcome(
            metrics={
                "clean_coverage": state.clean / state.volume,
                "self_intersections": state.crossed.float(),
                "exits": state.left.float(),
                "length": state.covered.float(),
            }
        )

    def observe(self, state: StrokeState) -> Observation:  # type: ignore[override]
        """See the page."""
        coverage = state.covered / state.volume
        elapsed = (state.step / self.horizon).clamp(max=1)
        return {
            "window": self.windows.read(state.words, state.cursor),
            "position": grids.cell(state.cursor) / (SIZE - 1),
            "progress": torch.stack([coverage, elapsed], 1),
        }

    def reference_action(self, state: StrokeState) -> Tensor:  # type: ignore[override]
        """Warnsdorff's rule: the new cell with the fewest ways on, the first of equals."""
        target, visited = self.windows.read(state.words, state.cursor).flatten(2).unbind(1)
        new = (target > visited).int()  # [B, 125]
        ways = new[:, self._beyond.flatten()].view(-1, *self._beyond.shape).sum(2)
        actions = len(self.steps)
        rank = ways * actions + torch.arange(actions, device=self.device)
        return rank.masked_fill(new[:, self._next] == 0, actions**2 + actions).argmin(1)

    def judge(self, final: StrokeState) -> dict[str, Tensor]:  # type: ignore[override]
        """Pieces left out, and distances of stroke and target."""
        target, visited = grids.shapes_of(final.words)
        untouched = voxel_components(target & ~visited, 26).number
        return {
            "untouched_parts": untouched.float(),
            **gold.distances(visited, target, final.key),
        }

    def render(self, state: StrokeState, index: int) -> np.ndarray:  # type: ignore[override]
        """The target beside the stroke, which goes from dark to light."""
        return viewer.picture(*self.drawn(state, index), self._caption(state, index))

    def artefact(self, state: StrokeState, index: int) -> Any:  # type: ignore[override]
        """The cells of the stroke and a tube along it: a trimesh scene."""
        return viewer.scene(self.drawn(state, index)[1])

    def drawn(self, state: StrokeState, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Of a row the target bool [16, 16, 16] and the stroke's cells in order, int64 [N, 3]."""
        target = grids.shapes_of(state.words[index : index + 1])[0][0]
        path = state.path[index, : int(state.covered[index])].long()
        return target.cpu().numpy(), grids.cell(path).cpu().numpy()

    def _caption(self, state: StrokeState, index: int) -> str:
        covered, volume = int(state.covered[index]), int(state.volume[index])
        name = self.targets.name(int(state.instance[index]))
        return (
            f"{name}: {covered} of {volume} cells ({covered / volume:.0%}),"
            f" {int(state.clean[index]) / volume:.0%} before the first fault\n"
            f"self-intersections {int(state.crossed[index])}, exits {int(state.left[index])}"
        )
