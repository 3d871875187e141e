"""Furnish a room by choosing what comes next; its place is found by a greedy search."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.task import Observation, Transition
from genenvs.rooms import placing, rewards
from genenvs.rooms.bits import LATTICE
from genenvs.rooms.catalogue import TYPES
from genenvs.rooms.task import PLANES, RoomState, RoomTask

FINISH = TYPES  # the last action


class RoomSelect(RoomTask):
    """Furnish a room by choosing what comes next; the environment finds its best place.

    ## Description
    RLSS (Ostonov et al., WACV 2022): which thing to add is the agent's choice, where it stands is
    found by a greedy search, which keeps the action space small. The search looks at all 4,096
    places for those that keep all of the thing's rules, or else as many as can be, in the order
    doors, partner, wall, access, then for those with something at their side, and takes the first.
    It never looks ahead: a bed put where the wardrobe should have gone is not moved again, a chair
    that comes before its table stands at none, and a thing for which there is no place is set aside
    with all others of its type. Only rooms are played in which uniform draws from the types that
    are left, the mask without finishing early, succeed in less than 40 % of the time, and some
    order does: in 64 plays of each room and in 192 others they succeeded in less than a third.
    Chosen so, a room may look better than it is; played anew, 13 % of plays succeed on average, and
    39 % in the easiest of the 1,408 rooms (`python -m genenvs.rooms.choose --again`). The filter
    does not hold with `furniture`, whose sizes it has not seen, or with rooms of yours.
    `RoomLayout` has the catalogue, the rules and the files that a room is kept as.

    ## Action space
    `Discrete(17)`: the type of the next thing (bed, sofa, wardrobe, table, desk, dresser,
    bookshelf, tv stand, armchair, coffee table, nightstand, chair, plant, tv, lamp, picture), or
    16: finish. The mask is exact: types that are still asked for; finishing is always legal and
    pays nothing. An illegal action changes nothing, but takes its step.

    ## Observation space
    `Dict`:
    | key | shape | meaning |
    |---|---|---|
    | `planes` | uint8 [5, 32, 32] | seen from above, x then y, cells of 0.2 m |
    | `numbers` | float32 [50] | left to place / 14, width / 32, depth / 32 of every type; share of
    the steps left, share placed |

    Planes: free floor, doors' strips, windows, what is to stay free, types of what stands (15 for
    the first, 240 for the last).

    ## Rewards
    Shares are of the things asked for. `placed`, `wall`, `pairs`, `door`, `clearance`: the change
    of the metric of that name; the last two cost. `success` at the end: 1 if everything that was
    asked for stands and keeps its rules. `invalid`: for illegal actions.

    ## Metrics
    `quality`, which scores the episode: the share of the things that stand and keep all their
    rules. `placed`, `wall`, `pairs`; `door` and `clearance`, shares that break those rules;
    `success`; `set_aside`; `invalid`. Gold, never paid: `reachable`, `walkable`, `entered`,
    `pull_out`, `door_swing`, and `drift_mujoco`, `tipped_mujoco`, `penetration_mujoco` or the same
    with `pybullet`, which are near zero without meshes of yours; `RoomLayout` explains them.

    ## Starting state
    An empty room of the split. Outlines and lists of no two splits agree.

    ## Episode end
    Terminates by finishing, once nothing is left to place, or at the horizon.

    ## Arguments
    - `rooms`, `furniture`, `engine`: as `RoomLayout`.
    - `horizon` (20): most steps; a room has at most 14 things.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    Faithful: the choice of the thing as the action, its place by greedy search for the highest
    reward, a two-dimensional picture of the scene with metadata as the state, rewards for counts,
    success and failure. Deviates: no code of RLSS is public, so rooms, catalogue and weights are
    ours; the search ranks rules instead of adding up weights, and never collides or leaves the
    room, so that `invalid` is for things that are not asked for alone.

    ## Version history
    - v0: first version.
    """

    terms = rewards.TERMS | rewards.OUT_OF_TURN
    which = "select"

    def __init__(self, **common: Any) -> None:
        """See the page for arguments."""
        super().__init__(**common)
        self.action_space = spaces.Discrete(FINISH + 1)
        self.observation_space = spaces.Dict({
            "planes": spaces.Box(0, 255, (len(PLANES), LATTICE, LATTICE), np.uint8),
            "numbers": spaces.Box(0.0, 1.0, (3 * TYPES + 2,), np.float32),
        })  # fmt: skip

    def initial_state(self, instance: Tensor, key: Tensor) -> RoomState:
        """An empty room."""
        return RoomState(**self.empty(instance, key))

    def transition(self, state: RoomState, action: Tensor) -> Transition:  # type: ignore[override]
        """Add a thing at its best place."""
        finish = action == FINISH
        kind = action.clamp(max=TYPES - 1)
        chosen = ~finish & (state.left.gather(1, kind[:, None])[:, 0] > 0)
        looking = self.looking(state, kind)
        found, things = placing.survey(*looking), looking[-1]
        place, exists = placing.best(found)
        after = self.put(state, things, place, found, chosen & exists)
        after["left"] = self.set_aside(after["left"], kind, chosen & ~exists)
        invalid = ~(chosen | finish)
        terms, metrics = self.paid(state, after, invalid)
        terms["invalid"] = invalid.float()
        return Transition(
            state=state.advance(**after),
            terms=terms,
            terminated=finish | (after["left"] == 0).all(1),
            metrics=metrics,
        )

    def observe(self, state: RoomState) -> Observation:  # type: ignore[override]
        """See the page."""
        return {"planes": self.planes(state), "numbers": self.numbers(state)}

    def action_mask(self, state: RoomState) -> Tensor:  # type: ignore[override]
        """Types that are left; finishing always."""
        return torch.nn.functional.pad(state.left > 0, (0, 1), value=True)

    def reference_action(self, state: RoomState) -> Tensor:  # type: ignore[override]
        """The first type of the catalogue that is left: from large to small."""
        left = state.left > 0
        return torch.where(left.any(1), left.int().argmax(1), FINISH)
