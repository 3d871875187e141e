"""Move, resize and delete cuboids until their union looks like a target."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.task import Observation, Outcome, State, Transition
from genenvs.geometry import cuboids as boxes
from genenvs.shapes import gold
from genenvs.shapes.primitives import COUNT, SIDE
from genenvs.shapes.targets import MIXTURE
from genenvs.shapes.task import ShapeTask
from genenvs.tasks.primitive_model import depth, moves, rewards, viewer
from genenvs.tasks.primitive_model.goals import goals
from genenvs.tasks.primitive_model.lookahead import Place, contents, gains
from genenvs.tasks.primitive_model.moves import EACH, FACES, PASS, Outlook
from genenvs.tasks.primitive_model.survey import Survey, survey

SCALE = 32  # voxels that `moves` counts as one
LEAST_GAIN = 1e-7  # of the reference: what float32 makes of no gain at all is none


@dataclass(frozen=True)
class PrimitiveState(State):
    """A batch of half-modelled shapes.

    Attributes:
        cuboids: int64 [B, 27, 6], lowest corner, then highest, exclusive; zeros where deleted, or,
            `published`, a point, a line or a rectangle.
        single: float32 [B, 27], IoU of each cuboid alone with the target; 0 where deleted.
        volume: int64 [B], voxels of the target.
        iou: float32 [B], what the terms are changes of.
        local_iou: float32 [B].
        deleted: float32 [B].
        hit: int64 [B], see `Survey`: of the cuboid whose turn it is.
        filled: int64 [B].
        layers: int16 [B, 3, 3, 17].
    """

    cuboids: Tensor
    single: Tensor
    volume: Tensor
    iou: Tensor
    local_iou: Tensor
    deleted: Tensor
    hit: Tensor
    filled: Tensor
    layers: Tensor

    @property
    def current(self) -> Tensor:
        """Whose turn it is: int64 [B]."""
        return self.step % COUNT

    @property
    def present(self) -> Tensor:
        """Which cuboids are left: bool [B, 27]."""
        return moves.filled(self.cuboids)

    @property
    def cuboid(self) -> Tensor:
        """The one whose turn it is: int64 [B, 6]."""
        place = self.current[:, None, None].expand(-1, 1, 6)
        return self.cuboids.gather(1, place)[:, 0]

    @property
    def survey(self) -> Survey:
        """What stands in its way."""
        return Survey(self.hit, self.filled, self.layers)


class PrimitiveModel(ShapeTask):
    """Move, resize and delete cuboids until their union looks like a target.

    ## Description
    The first stage of Lin et al.'s modelling by reinforcement learning (Prim-Agent, ECCV 2020): 27
    cuboids fill the middle of a grid of 16^3 in three layers of three by three, and an agent turns
    them into a coarse model of a target. Cuboids take turns; in its turn a cuboid moves one face by
    one voxel or two, is deleted, or stays. Eleven rounds, and what is left goes to an artist, or to
    the second stage, `EdgeLoop`.

    What makes it hard is that cuboids stand in each other's way: a voxel that two of them cover
    pays nothing to the second, so that the best next move often leads to many small cuboids where a
    few large ones would do, and a cuboid that could serve elsewhere may have to lose first.

    ## Action space
    `Discrete(757)`, of which at most 26 are legal at a time:
    | action | meaning |
    |---|---|
    | 28 b + 4 c + k, c < 6 | coordinate c of cuboid b changes by (1, 2, -2, -1)[k] voxels |
    | 28 b + 24 | cuboid b is deleted |
    | 756 | nothing |

    Coordinates are the lowest x, y, z of a cuboid, then the highest, exclusive. The mask leaves the
    actions of cuboid b = step mod 27 that change it and leave it at least one voxel thick within
    the grid; of a deleted cuboid only 756. The authors number four identical deletions a cuboid; 28
    b + 25 .. 27 are never legal. For agents that know no masks: an action of another cuboid is
    taken as the same one of the cuboid whose turn it is, and what that cuboid cannot do changes
    nothing.

    ## Observation space
    `Dict`:
    | key | shape | range | meaning |
    |---|---|---|---|
    | `target` | [16, 16, 16] | 0, 255 (uint8) | voxels along x, y, z |
    | `cuboids` | [27, 6] | 0 .. 1 | coordinates / 16; zeros where deleted (but `published`) |
    | `present` | [27] | 0, 1 | which are left |
    | `box` | index | | whose turn it is |
    | `current` | [6] | 0 .. 1 | its coordinates |
    | `moves` | [25, 3] | -128 .. 128 | what its 24 moves and its deletion would add; see below |
    | `numbers` | [5] | 0 .. 1 | step / horizon, share deleted, three IoUs; see below |

    `moves`, in units of 32 voxels: hits of the union (target voxels that it covers), its misses
    (voxels outside of the target), hits of the cuboid alone; zeros where illegal. This is the
    target in the terms of the cuboid whose turn it is: every cuboid sees alike, so that a small
    network learns from all of them at once what the authors' learned from pictures in days. The
    IoUs are the union's, the cuboids' mean, and the current cuboid's own.

    `PrimitiveModelDepth` has in place of `target` and `moves`, as the paper's agent:
    | key | shape | range | meaning |
    |---|---|---|---|
    | `depth` | [1, 128, 128] | 0 .. 255 (uint8) | the target, from the front and above |

    255 is near, 40 far, 0 nothing. Its `numbers` are the first two: IoUs would tell the target.

    ## Rewards
    `iou`: change of the union's IoU with the target. `local_iou` (weight 0.1): change of the mean
    IoU of the single cuboids with the target, over those that are left; a deletion takes a cuboid
    out of the mean, which rises where it was worse than the others, and falls to 0 with the last
    one. `deleted` (weight 0.01): 1 for a deletion. All three telescope.

    ## Metrics
    `iou` scores an episode, whatever was paid for; `local_iou`, `deleted`, and the `primitives`
    that are left. Gold, never paid: `chamfer` and `hausdorff` distance of the surfaces,
    `components` of the union, and `overlap`, the share of the cuboids' volume that lies in others
    as well.

    ## Starting state
    27 cuboids of 4 x 4 x 4 voxels that fill 2 .. 13 along every axis; a target of the split
    (`mixed`: 3,584 train, 448 validation, 896 test). Nothing else is random.

    ## Episode end
    Terminates at the horizon, which is part of the task: `numbers` says how far it is.

    ## Arguments
    - `targets` (`"mixed"`): a family of shapes (`union`, `table`, `chair`, `shelf`, `aeroplane`,
      `lamp`, `car`), `mixed` for all of these, or the path of a mesh or a folder of meshes.
    - `up` (`"z"`): the axis of these files that points upwards, `"z"` or `"y"` (of most glb files).
    - `horizon` (300): steps, eleven rounds and a bit.
    - `observe` (`"voxels"`): or `"depth"`, which makes `PrimitiveModelDepth`.
    - `published` (False): as the authors' code does it. The target is thickened by a cross of one
      voxel; the first reward of an episode also holds what the cuboids were worth at the start
      (their potential begins at 0); a face may meet the opposite one, and a cuboid of no volume,
      which is what a deletion leaves at its lowest corner, counts as deleted until all three of its
      sides grow again; all four deletions of a cuboid are legal.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    Faithful (Lin et al., 2020, and their code): grid, first cuboids, turns, the 756 actions and
    their numbers, the three terms and their weights, the horizon, and the expert that looks one
    step ahead, which deletes in the second half only. Deviates, unless `published`: a face cannot
    move until nothing is left of its cuboid, nor bring a deleted one back; three of four identical
    deletions are masked; targets are not thickened; the start pays nothing. Deviates always: there
    is an action that does nothing, so that nobody is forced to make things worse; targets are
    generated; the target is observed as voxels, their 128 x 128 picture is `PrimitiveModelDepth`;
    whose turn it is and the share of the horizon stand for their one-hot step of 300; `moves` is
    ours; an action of another cuboid is taken for the one whose turn it is, where theirs, told one
    against its mask, takes it as it is. Their expert rates moves by the local term of the cuboids
    before the move; ours by the reward itself.

    ## Version history
    - v0: first version.
    """

    size = SIDE
    terms = rewards.TERMS
    metrics = rewards.METRICS
    ends = "terminates"

    def __init__(
        self,
        *,
        targets: str = MIXTURE,
        observe: Literal["voxels", "depth"] = "voxels",
        published: bool = False,
        **common: Any,
    ) -> None:
        """Load the targets; see the page for arguments."""
        super().__init__(targets=targets, **common)
        if observe not in ("voxels", "depth"):
            raise ValueError(f"observe must be 'voxels' or 'depth'; got {observe!r}")
        if not isinstance(published, bool | np.bool_):
            raise ValueError(f"published must be True or False; got {published!r}")
        self.published = bool(published)
        self._goals = goals(self.targets, thick=self.published)
        self._first = moves.first_cuboids().to(self.device)
        self._depth = depth.pictures(self.targets) if observe == "depth" else None
        self.action_space = spaces.Discrete(PASS + 1)
        self.observation_space = self._space()

    def _space(self) -> spaces.Dict:
        fields: dict[str, Any] = {
            "cuboids": spaces.Box(0.0, 1.0, (COUNT, 6), np.float32),
            "present": spaces.MultiBinary(COUNT),
            "box": spaces.Discrete(COUNT),
            "current": spaces.Box(0.0, 1.0, (6,), np.float32),
        }
        if self._depth is not None:
            fields["depth"] = spaces.Box(0, 255, self._depth.shape, np.uint8)
            fields["numbers"] = spaces.Box(0.0, 1.0, (2,), np.float32)
        else:
            most = SIDE**3 / SCALE  # a deletion takes all that a cuboid holds
            fields["target"] = spaces.Box(0, 255, (SIDE,) * 3, np.uint8)
            fields["moves"] = spaces.Box(-most, most, (FACES + 1, 3), np.float32)
            fields["numbers"] = spaces.Box(0.0, 1.0, (5,), np.float32)
        return spaces.Dict(fields)

    def initial_state(self, instance: Tensor, key: Tensor) -> PrimitiveState:
        """The 27 first cuboids before a target."""
        rows = len(instance)
        cuboids = self._first.expand(rows, -1, -1).clone()
        current = torch.zeros_like(instance)
        seen = survey(cuboids, current, self._goals.words[instance])
        volume = self._goals.volume[instance]
        single = self._goals.single[instance]
        zero = torch.zeros(rows, device=self.device)
        state = PrimitiveState(
            instance=instance,
            key=key,
            step=current.clone(),
            cuboids=cuboids,
            single=single,
            volume=volume,
            iou=zero,
            local_iou=zero.clone(),
            deleted=zero.clone(),
            hit=seen.hit,
            filled=seen.filled,
            layers=seen.layers,
        )
        if self.published:
            return state
        return state.replace(
            iou=self._stay(state).iou[:, 0], local_iou=rewards.mean_single(single, state.present)
        )

    def transition(self, state: PrimitiveState, action: Tensor) -> Transition:  # type: ignore[override]
        """Change the cuboid whose turn it is."""
        current, cuboid = state.current, state.cuboid
        own = torch.where(action == PASS, -1, action % EACH)
        after, face, to, deleted = moves.carry_out(cuboid, own, self.published)
        held = moves.content(state.layers, cuboid, face, to)  # [B, 3, 1]
        held = held.masked_fill(deleted[:, None], 0)
        found = moves.outlook(state.survey, state.volume, held, boxes.volume(after)[:, None])
        # Consumes the state.
        state.cuboids.scatter_(1, current[:, None, None].expand(-1, 1, 6), after[:, None])
        state.single.scatter_(1, current[:, None], found.single)
        present = state.present
        metrics = {
            "iou": found.iou[:, 0],
            "local_iou": rewards.mean_single(state.single, present),
            "deleted": (~present).sum(1).float(),
        }
        terms = {name: value - getattr(state, name) for name, value in metrics.items()}
        target = self._goals.words.index_select(0, state.instance)
        seen = survey(state.cuboids, (state.step + 1) % COUNT, target)
        return Transition(
            state=state.advance(**metrics, hit=seen.hit, filled=seen.filled, layers=seen.layers),
            terms=terms,
            terminated=state.step + 1 >= self.horizon,
            metrics=metrics,
        )

    def outcome(self, state: PrimitiveState) -> Outcome:  # type: ignore[override]
        """How many cuboids are left."""
        return Outcome(metrics={"primitives": COUNT - state.deleted})

    def observe(self, state: PrimitiveState) -> Observation:  # type: ignore[override]
        """See the page."""
        current, cuboid = state.current, state.cuboid
        observation = {
            "cuboids": state.cuboids / SIDE,
            "present": state.present.to(torch.int8),
            "box": current,
            "current": cuboid / SIDE,
        }
        numbers = [state.step / self.horizon, state.deleted / COUNT]
        if self._depth is not None:
            observation["depth"] = self._depth(state.instance)
        else:
            numbers += [state.iou, state.local_iou, state.single.gather(1, current[:, None])[:, 0]]
            observation["target"] = self._goals.picture.index_select(0, state.instance)
            observation["moves"] = self._ahead(state, cuboid)
        # An ended row may have been stepped beyond the horizon.
        observation["numbers"] = torch.stack(numbers, 1).clamp(max=1)
        return observation

    def _ahead(self, state: PrimitiveState, cuboid: Tensor) -> Tensor:
        """The observation `moves`: float32 [B, 25, 3]."""
        held, fits = contents(cuboid, state.layers, self.published)
        now = self._stay_content(state, cuboid)
        fresh, bare, own = ((held - now) * fits[:, None]).unbind(1)
        return torch.stack([fresh, bare - fresh, own], 2) / SCALE

    def _stay_content(self, state: PrimitiveState, cuboid: Tensor) -> Tensor:
        """What the current cuboid holds: int64 [B, 3, 1]."""
        last = torch.full_like(state.step, 3)[:, None]
        return moves.content(state.layers, cuboid, last, cuboid[:, 3:4])

    def _stay(self, state: PrimitiveState) -> Outlook:
        """What doing nothing leads to, [B, 1] each."""
        cuboid = state.cuboid
        held = self._stay_content(state, cuboid)
        return moves.outlook(state.survey, state.volume, held, boxes.volume(cuboid)[:, None])

    def reference_action(self, state: PrimitiveState) -> Tensor:  # type: ignore[override]
        """The paper's virtual expert: the legal action that pays most at once, none if none pays.

        As theirs it deletes only in the second half: a cuboid that is in the way at first may serve
        later.
        """
        gain = self._gains(state)  # [B, 25]
        gain[:, FACES].masked_fill_(state.step <= self.horizon // 2, -torch.inf)
        best, which = gain.max(1)
        return torch.where(best > LEAST_GAIN, EACH * state.current + which, PASS)

    def _gains(self, state: PrimitiveState) -> Tensor:
        """What each move and the deletion would pay by the default weights; -inf if illegal."""
        others = state.present.scatter(1, state.current[:, None], False)
        place = Place(
            state.cuboid,
            state.survey,
            state.volume,
            state.iou,
            state.local_iou,
            others.sum(1, keepdim=True),
            (state.single.double() * others).sum(1, keepdim=True),
        )
        weights = {name: term.weight for name, term in self.terms.items()}
        return gains(place, weights, self.published)

    def action_mask(self, state: PrimitiveState) -> Tensor:  # type: ignore[override]
        """The changes of the cuboid whose turn it is, and doing nothing."""
        mask = torch.zeros(len(state.step), PASS + 1, dtype=torch.bool, device=self.device)
        own = torch.arange(EACH, device=self.device) + EACH * state.current[:, None]
        mask.scatter_(1, own, moves.legal(state.cuboid, self.published))
        mask[:, PASS] = True
        return mask

    def union(self, state: PrimitiveState) -> Tensor:
        """What the cuboids fill: bool [B, 16, 16, 16]."""
        return boxes.rasterise(state.cuboids, SIDE)

    def render(self, state: PrimitiveState, index: int) -> np.ndarray:  # type: ignore[override]
        """The target beside the cuboids, each in its colour."""
        target = self.target(state.rows(torch.tensor([index], device=self.device)))[0]
        cuboids = state.cuboids[index][state.present[index]]
        caption = (
            f"{self.targets.name(int(state.instance[index]))}: step {int(state.step[index])},"
            f" IoU {float(state.iou[index]):.3f}, {len(cuboids)} primitives"
        )
        colours = viewer.PALETTE[state.present[index].cpu().numpy()]
        seen = None
        if self._depth is not None:
            seen = self._depth(state.instance[index : index + 1])[0, 0].cpu().numpy()
        return viewer.picture(target.cpu().numpy(), cuboids.cpu().numpy(), colours, caption, seen)

    def artefact(self, state: PrimitiveState, index: int) -> Any:  # type: ignore[override]
        """The cuboids as a `trimesh.Scene`, one coloured box each, in the unit cube, z upwards."""
        return viewer.scene((state.cuboids[index] * state.present[index, :, None]).cpu().numpy())

    def judge(self, final: PrimitiveState) -> dict[str, Tensor]:  # type: ignore[override]
        """The gold metrics."""
        union = self.union(final)
        return {
            "components": rewards.components(union),
            "overlap": rewards.overlap(final.cuboids, union),
            **gold.distances(union, self.target(final), final.key),
        }
