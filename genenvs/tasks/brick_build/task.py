"""Build a shape from bricks, layer by layer."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.task import Observation, Outcome, State, Transition
from genenvs.geometry import packed
from genenvs.geometry.packed import popcount
from genenvs.geometry.voxels import share
from genenvs.shapes import gold
from genenvs.shapes.task import ShapeTask
from genenvs.tasks.brick_build import bricks, layers, ldraw, rewards, stability, standing, viewer
from genenvs.tasks.brick_build.bricks import EMPTY, PLACEMENTS, SIZE

NEXT_LAYER, STOP = PLACEMENTS, PLACEMENTS + 1  # actions
PLANES = ("target", "target above", "columns", "distance", "built", "below")
_FAR = SIZE  # as a distance: no target cell above


@dataclass(frozen=True)
class BrickState(State):
    """A batch of builds; a layer is 20 words, see `layers`.

    Attributes:
        layer: int64 [B], the current layer, 0 .. 19.
        built: int64 [B, 20], studs of the current layer.
        below: int64 [B, 20], studs to stand on: of the layer below, or the ground.
        bricks: int32 [B, at most horizon], codes in the order of building, `EMPTY` after the last.
        count: int64 [B], number of bricks.
        volume: int64 [B], cells built.
        hit: int64 [B], cells built inside the target.
        iou: float32 [B].
        invalid: int64 [B], illegal actions.
    """

    layer: Tensor
    built: Tensor
    below: Tensor
    bricks: Tensor
    count: Tensor
    volume: Tensor
    hit: Tensor
    iou: Tensor
    invalid: Tensor


class BrickBuild(ShapeTask):
    """Build a shape from bricks, layer by layer.

    ## Description
    A target shape in a world of 20 x 20 x 20 studs, and eight types of bricks (1x1, 1x2, 1x4, 1x6,
    1x8, 2x2, 2x4, 2x6), all one layer high. Bricks are placed on the current layer, the lowest one
    first; once the builder goes on to the next layer, there is no way back. Every brick has to
    stand on the ground or on a stud, so most overhangs of a target can only be built on something
    that is not part of it: whether such a support pays is what there is to learn. Akizuki et al.
    (CAADRIA 2020) let an agent pile bricks to fill a shape; bricks and what counts as stable are
    those of BrickGPT (Pun et al., 2025).

    ## Action space
    `Discrete(5602)`:
    | value | meaning |
    |---|---|
    | b * 400 + x * 20 + y | the oriented brick b with its lowest corner at (x, y) of this layer |
    | 5600 | go on to the next layer; on the last one: end |
    | 5601 | end |

    b counts 1x1; 1x2 and 2x1; 1x4, 4x1; 1x6, 6x1; 1x8, 8x1; 2x2; 2x4, 4x2; 2x6, 6x2 (studs along x,
    then along y). The mask is exact: a placement is legal if it stays inside the world, shares no
    cell with another brick and has at least one stud, or the ground, below it. The last two actions
    are always legal. An illegal action changes nothing, but takes its step.

    ## Observation space
    `Dict`:
    | key | shape | meaning |
    |---|---|---|
    | `planes` | uint8 [6, 20, 20] | seen from above, x then y, 0 or 255 but for two of them |
    | `progress` | float32 [4] | layer / 20, remaining steps / horizon, IoU, share left above |

    Of the target's cells, `progress` ends with the share that lie above this layer.
    Planes: the target on this layer; on the next one; how many of the column's cells above this
    layer are target (255: all 20); how near the lowest of those is (255: the next layer, in steps
    of 12; 0: there is none); what is built on this layer; the studs to stand on. Two layers and two
    summaries of what follows say what a support is worth without showing all 8,000 cells; what was
    built further down no longer matters, and planes suit a convolution as well as a small dense
    network.

    ## Rewards
    `iou`: the change of the intersection over union with the target. `invalid`: minus 1 for an
    illegal action. At the end, once, however it comes: `strain`, minus the mean strain of the
    bricks, by volume, and `unconnected`, minus the share of the volume without a path of studs to
    the ground, which the mask keeps at 0 unless `floating` is set.
    The strain of a brick estimates how much of the friction of studs is used below it. The build is
    cut below each of its layers, and what hangs together above a cut is one rigid body: if its
    centre of mass lies over the support polygon of the contacts there, it needs no friction; if
    not, friction behind the polygon's side has to hold it. Where that is not enough it falls, and
    so does what stands on it (`genenvs.tasks.brick_build.standing` has the definition). Over builds
    of the reference and of random play its rank correlation with the gold stability is at least
    0.97 (`python -m benchmarks.claims.brick_standing`).

    ## Metrics
    `iou` scores the episode; `precision` and `recall` say where it is lost, `invalid` how many
    actions were illegal, `bricks` how many were built, `strain` and `fallen` what the term saw.
    Gold, never paid: `stability` and `stable`, BrickGPT's linear programme of all forces between
    bricks; `chamfer` and `hausdorff` distance of the surfaces; the number of `structures`.

    ## Starting state
    An empty world and one of the split's finite targets: seeded tables, chairs, shelves,
    aeroplanes, lamps, cars and unions of boxes, or your own meshes (`targets=path`).

    ## Episode end
    Terminates by the action that ends, by going on from the last layer, or at the horizon.

    ## Arguments
    - `targets` (`"mixed"`): a family (`table`, `chair`, `shelf`, `aeroplane`, `lamp`, `car`,
      `union`, `corridor`), `mixed` (all but `corridor`), or the path of a mesh or a folder of
      meshes; those need the extra `shapes`.
    - `up` (`"z"`): the axis of these files that points upwards, `"z"` or `"y"` (of most glb files).
    - `floating` (`False`): bricks may be placed on nothing, and a brick above may hold them later.
    - `horizon` (256): most steps; the reference took at most 249. Large solid meshes need more.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    The linear programme needs scipy (`pip install "genenvs[shapes]"`), in evaluation alone.

    ## Faithful / deviates
    Faithful: BrickGPT's world, bricks, masses, collision rule and stability. Deviates: its
    `brick_floats` also accepts a brick that hangs from one above, which building upwards cannot
    have: `floating=True` allows it. Akizuki et al. publish neither code nor the rules of their
    brick experiment, and BrickGPT's bricks come in any order from a language model.

    ## Version history
    - v0: first version.
    """

    size = SIZE
    terms = rewards.TERMS
    metrics = rewards.METRICS
    ends = "terminates"

    def __init__(self, *, floating: bool = False, **common: Any) -> None:
        """See the page for arguments.

        Raises:
            ValueError: unknown targets.
            TypeError: `floating` is no bool.
        """
        super().__init__(**common)
        if not isinstance(floating, bool):
            raise TypeError(f"floating must be True or False; got {floating!r}")
        self.floating = floating
        self._most = min(self.horizon, SIZE**3)  # bricks: none is smaller than a cell
        every = torch.arange(len(self.targets), device=self.device)
        self._wanted = packed.volume(self.targets.packed(every))  # cells of every target
        self.action_space = spaces.Discrete(PLACEMENTS + 2)
        self.observation_space = spaces.Dict({
            "planes": spaces.Box(0, 255, (len(PLANES), SIZE, SIZE), np.uint8),
            "progress": spaces.Box(0.0, 1.0, (4,), np.float32),
        })  # fmt: skip

    def initial_state(self, instance: Tensor, key: Tensor) -> BrickState:
        """An empty world."""
        rows, zero = len(instance), torch.zeros_like(instance)
        return BrickState(
            instance=instance,
            key=key,
            step=zero,
            layer=zero.clone(),
            built=instance.new_zeros(rows, SIZE),
            below=instance.new_full((rows, SIZE), layers.FULL),
            bricks=instance.new_full((rows, self._most), EMPTY, dtype=torch.int32),
            count=zero.clone(),
            volume=zero.clone(),
            hit=zero.clone(),
            iou=self._iou(instance, zero, zero),
            invalid=zero.clone(),
        )

    def transition(self, state: BrickState, action: Tensor) -> Transition:  # type: ignore[override]
        """Place a brick, or go on."""
        place = action.clamp(max=PLACEMENTS - 1)
        brick, x, y, _ = bricks.decode(place)
        studs = layers.footprint(brick, x, y)
        area = bricks.table("area", self.device)[brick]
        carried = ((studs & self._footing(state)) != 0).any(1)
        free = (layers.studs(studs) == area) & ((studs & state.built) == 0).all(1)
        placing = action < PLACEMENTS
        placed = placing & free & carried
        # The last entry is never read: an ended row may go on placing bricks.
        slot = state.count.clamp(max=self._most - 1)[:, None]
        kept = state.bricks.gather(1, slot)[:, 0]
        new = torch.where(placed, bricks.code(place, state.layer).int(), kept)

        studs = torch.where(placed[:, None], studs, 0)
        hit = state.hit + layers.studs(studs & self.target_words(state, 0))
        volume = state.volume + torch.where(placed, area, 0)
        iou = self._iou(state.instance, hit, volume)
        before = state.iou
        rises = (action == NEXT_LAYER) & (state.layer < SIZE - 1)
        done = (action >= PLACEMENTS) & ~rises
        built = state.built | studs
        illegal = placing & ~placed
        invalid = state.invalid + illegal
        after = state.advance(
            layer=state.layer + rises,
            built=torch.where(rises[:, None], 0, built),
            below=torch.where(rises[:, None], built, state.below),
            bricks=state.bricks.scatter_(1, slot, new[:, None]),
            count=state.count + placed,
            volume=volume,
            hit=hit,
            iou=iou,
            invalid=invalid,
        )
        return Transition(
            state=after,
            terms={"iou": iou - before, "invalid": -illegal.float()},
            terminated=done,
            metrics={"iou": iou.clone(), "invalid": invalid.float()},
        )

    def target_words(self, state: BrickState, up: int) -> Tensor:
        """The target, `up` layers above the current one: int64 [B, 20]; nothing above the top."""
        return layers.pack(self._columns(state) >> up & 1)

    def _columns(self, state: BrickState) -> Tensor:
        """The target from the current layer upwards: int64 [B, 20, 20], this layer in bit 0."""
        return self.targets.packed(state.instance) >> state.layer[:, None, None]

    def _footing(self, state: BrickState) -> Tensor:
        """Where a brick may stand: int64 [B, 20]."""
        return torch.full_like(state.below, layers.FULL) if self.floating else state.below

    def _iou(self, instance: Tensor, hit: Tensor, volume: Tensor) -> Tensor:
        wanted = self._wanted[instance]
        return share(hit, wanted + volume - hit)

    def outcome(self, state: BrickState) -> Outcome:  # type: ignore[override]
        """Whether the build stands, and what it is made of."""
        codes = self._codes(state)
        found = standing.judge(codes)
        # By volume: a share of bricks could be made small by laying many small ones elsewhere.
        present = codes != bricks.EMPTY
        cells = bricks.table("area", self.device)[bricks.decode(codes).brick] * present
        volume = state.volume.clamp(min=1)
        lost = (cells * ~found.stands).sum(1) / volume
        strain = (cells * found.strain).sum(1) / volume
        loose = (cells * ~found.connected).sum(1) / volume
        return Outcome(
            terms={"strain": -strain, "unconnected": -loose},
            metrics={
                "precision": share(state.hit, state.volume),
                "recall": share(state.hit, self._wanted[state.instance]),
                "bricks": state.count.float(),
                "strain": strain,
                "fallen": lost,
                "structures": found.structures.float(),
            },
        )

    def _codes(self, state: BrickState) -> Tensor:
        """The bricks without the padding that no row of the batch needs: int32 [B, N]."""
        most = int(state.count.max()) if len(state.count) else 0
        return state.bricks[:, : max(1, most)]

    def observe(self, state: BrickState) -> Observation:  # type: ignore[override]
        """See the page."""
        columns = self._columns(state)
        later = columns >> 1
        number = popcount(later).to(torch.uint8)
        # The lowest set bit, less one, has as many bits as there are zeros below it.
        zeros = popcount((later & -later) - 1)
        near = torch.where(later > 0, 255 - 12 * zeros.clamp(max=_FAR), 0).to(torch.uint8)
        full = torch.stack([columns & 1, later & 1], 1).to(torch.uint8) * 255
        built = layers.unpack(torch.stack([state.built, state.below], 1)).to(torch.uint8) * 255
        left = (self.horizon - state.step).clamp(min=0) / self.horizon
        ahead = number.flatten(1).sum(1, dtype=torch.int64) / self._wanted[state.instance]
        return {
            "planes": torch.cat([
                full, (number.to(torch.int16) * 255 // SIZE).to(torch.uint8)[:, None],
                near[:, None], built,
            ], 1),
            "progress": torch.stack([state.layer / SIZE, left, state.iou, ahead], 1).float(),
        }  # fmt: skip

    def action_mask(self, state: BrickState) -> Tensor:  # type: ignore[override]
        """Legal placements; the last two actions always are."""
        placements = layers.legal(state.built, self._footing(state)).flatten(1)
        return torch.nn.functional.pad(placements, (0, 2), value=True)

    def reference_action(self, state: BrickState) -> Tensor:  # type: ignore[override]
        """Greedy: the brick that covers the most target cells less others, of those the largest.

        Where none covers more target than other cells it goes on to the next layer, and above the
        target's top it ends.
        """
        gains = layers.gains(state.built, self._footing(state), self.target_words(state, 0))
        area = bricks.table("area", self.device).to(torch.int32)[:, None, None]
        value = torch.where(gains > 0, gains * (bricks.MOST_STUDS + 1) + area, 0).flatten(1)
        best, place = value.max(1)
        above = ((self._columns(state) >> 1) > 0).flatten(1).any(1)
        return torch.where(best > 0, place, torch.where(above, NEXT_LAYER, STOP))

    def render(self, state: BrickState, index: int) -> np.ndarray:  # type: ignore[override]
        """The target beside the bricks."""
        name = self.targets.name(int(state.instance[index]))
        return viewer.picture(
            self.targets.voxels(state.instance[index : index + 1])[0].cpu().numpy(),
            self.codes(state, index),
            f"{name}: {int(state.count[index])} bricks, layer {int(state.layer[index]) + 1},"
            f" IoU {float(state.iou[index]):.3f}",
        )

    def artefact(self, state: BrickState, index: int) -> Any:  # type: ignore[override]
        """The bricks with their studs as a `trimesh.Scene`, in metres; exports glb, obj and more.

        Raises:
            ImportError: trimesh is missing; names the extra.
        """
        return viewer.scene(self.codes(state, index))

    def write_ldraw(self, path: str | os.PathLike[str], state: BrickState, index: int) -> None:
        """Write what row `index` built as an LDraw file, see `ldraw.write_ldraw`."""
        name = self.targets.name(int(state.instance[index]))
        ldraw.write_ldraw(path, self.codes(state, index), f"BrickBuild {name}")

    def codes(self, state: BrickState, index: int) -> np.ndarray:
        """The bricks of one row in the order of building: int32 [N], see `bricks.code`."""
        return state.bricks[index, : int(state.count[index])].cpu().numpy()

    def judge(self, final: BrickState) -> dict[str, Tensor]:  # type: ignore[override]
        """The stability of every build, and how far its surface is from the target's.

        Raises:
            ImportError: scipy is missing; names the extra.
        """
        found = stability.scores_of([self.codes(final, k) for k in range(len(final.count))])
        mean = [float(s.mean()) if len(s) else 0.0 for s in found]
        least = [float(s.min() > 0) if len(s) else 0.0 for s in found]
        built = bricks.voxels(self._codes(final))
        return {
            "stability": torch.tensor(mean, device=self.device),
            "stable": torch.tensor(least, device=self.device),
            **gold.distances(built, self.target(final), final.key),
        }
