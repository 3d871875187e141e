"""Furnish a room: choose a thing, then its place."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.task import Observation, Transition
from genenvs.rooms import placing, rewards
from genenvs.rooms.bits import LATTICE
from genenvs.rooms.catalogue import TYPES
from genenvs.rooms.placing import PLACES, Survey, Things
from genenvs.rooms.task import PLANES, RoomState, RoomTask

FINISH = PLACES + TYPES  # the last action
NONE = -1  # no thing is in hand
_LEGAL = 128  # of 255, in the observation


@dataclass(frozen=True)
class LayoutState(RoomState):
    """A batch of rooms, and the thing in hand.

    Attributes:
        hand: int64 [B], type of the thing to be placed, -1 while one is to be chosen.
        places: int64 [B, 6, 4, 32], the `Survey` of the thing in hand; zeros without one.
    """

    hand: Tensor
    places: Tensor


class RoomLayout(RoomTask):
    """Furnish a room: choose a thing, then its place.

    ## Description
    An empty room, an outline of right angles with doors and windows up to 6.4 m wide, and a list of
    things that it is to hold: a bed and two nightstands, say, a wardrobe, a lamp, a picture. The
    agent takes one thing at a time in hand and puts it down somewhere, turned one of four ways.
    Things may not overlap. Beyond that there are rules: beds, sofas, wardrobes belong with their
    backs to a wall, tall ones before no window; a chair faces a table or desk, a nightstand stands
    beside the head of a bed, a television faces a sofa; doors and what is in front of furniture
    stay free. Walls and furniture in between do not stop a tv stand or coffee table from seeing its
    sofa. A lamp needs a nightstand, desk or dresser to stand on, pictures hang on walls: what
    is taken in hand while there is no place for it anywhere is set aside for good, with all
    others of its type. So the order matters, and a rule counts as kept if it holds at the moment
    of placing.

    `env.unwrapped.artefact()` is the room as a `trimesh.Scene`, in metres with z up, for
    `.export("room.glb")` (viewers of glb take y for up).
    `env.unwrapped.task.write_sdf("room.sdf", env.unwrapped.batch.state, 0)` writes it as a world in
    SDF, which pybullet loads; of many environments, the state is `envs.unwrapped.state` and the
    last argument which of them.

    ## Action space
    `Discrete(4113)`:
    | value | meaning |
    |---|---|
    | q * 1024 + i * 32 + j | put what is in hand at cell (i, j), its front facing q |
    | 4096 + t | take a thing of type t in hand |
    | 4112 | finish |

    Cells are 0.2 m wide: the low end of the thing's width and the line of its back are on the lines
    between them, so that furniture in steps of 0.1 m stands flush with the wall behind it. Fronts
    face +x, +y, -x, -y. Types: bed, sofa, wardrobe, table, desk, dresser, bookshelf, tv stand,
    armchair, coffee table, nightstand, chair, plant, tv, lamp, picture. The mask is exact: with
    nothing in hand the types that are still asked for, else the places inside the room where
    nothing else is. Finishing is always legal and pays nothing. An illegal action changes nothing,
    but takes its step.

    ## Observation space
    `Dict`:
    | key | shape | meaning |
    |---|---|---|
    | `planes` | uint8 [9, 32, 32] | seen from above, x then y |
    | `numbers` | float32 [50] | left to place / 14, width / 32, depth / 32 of every type; share of
    the steps left, share placed |
    | `hand` | Discrete(17) | type in hand, 16: none |

    Planes: free floor, doors' strips, windows, what is to stay free, types of what stands (15 for
    the first, 240 for the last); then, for the thing in hand, its places by turn: 0 illegal, 128
    legal, 255 legal and keeping all rules.

    ## Rewards
    Shares are of the things asked for. `placed`, `wall`, `pairs`, `door`, `clearance`: the change
    of the metric of that name; the last two cost. `success` at the end: 1 if everything that was
    asked for stands and keeps its rules. For illegal actions, which agents that heed the mask never
    meet: `collision`, a place in the room where something else is, or nothing that carries what is
    in hand; `outside`, a place that reaches beyond the room; `out_of_turn`, any other.

    ## Metrics
    `quality`, which scores the episode: the share of the things that stand and keep all their
    rules. `placed`, `wall`, `pairs`; `door` and `clearance`, shares that break those rules;
    `success`; `set_aside`; `invalid`. Gold, never paid, of the finished room (floor furniture):
    PhyScene's `reachable` and `walkable` for a body of 0.3 m radius; `entered`, the share of doors
    from which the largest walkable part is reached; `pull_out`, chairs that cannot be drawn back by
    0.4 m; `door_swing`, doors that hit furniture. And physics: the room is built in an engine and
    settles for 240 steps; `drift_mujoco`, `tipped_mujoco`, `penetration_mujoco`, or the same with
    `pybullet`, say how far things moved, how many tipped over and how deep anything overlapped.
    Things of the catalogue are boxes there, what hangs on a wall is fixed to it and does not fall,
    and legal places do not overlap: only what stands on others, or meshes of yours, can move these
    far off zero. Where no engine is installed they are left out.

    ## Starting state
    An empty room of the split. Outlines and lists of no two splits agree, and a solver met every
    list with all rules kept; not so with `furniture`, whose sizes it has not seen, or with rooms of
    yours.

    ## Episode end
    Terminates by finishing, once nothing is left to place, or at the horizon.

    ## Arguments
    - `rooms` (`"mixed"`): `bedroom`, `living`, `dining`, `study`, `mixed` for all, or the path of a
      JSON file with rooms of yours (`genenvs.rooms.user` has the format).
    - `furniture` (`None`): the path of a folder of meshes named after types (`bed.obj`,
      `coffee_table.glb`): their bounding boxes are the sizes, and the artefact shows them. Needs
      the extra `shapes`.
    - `engine` (`"auto"`): `mujoco`, `pybullet`, the first of them that is installed, or `None`.
    - `horizon` (32): most steps; two for each thing, of which a room has at most 14.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    RLSS (Ostonov et al., WACV 2022) lets an agent choose things and finds their places by a greedy
    search (`RoomSelect`); here the agent does both. Metrics follow PhyScene (Yang et al., CVPR
    2024). No code of RLSS is public: rooms, catalogue and weights are ours. Deviates: what collides
    or leaves the room is charged and never carried out. There is no id without a mask: an agent
    that does not read it plays the same environment.

    ## Version history
    - v0: first version.
    """

    terms = rewards.TERMS | rewards.RAW
    which = "layout"

    def __init__(self, **common: Any) -> None:
        """See the page for arguments."""
        super().__init__(**common)
        self.action_space = spaces.Discrete(FINISH + 1)
        self.observation_space = spaces.Dict({
            "planes": spaces.Box(0, 255, (len(PLANES) + 4, LATTICE, LATTICE), np.uint8),
            "numbers": spaces.Box(0.0, 1.0, (3 * TYPES + 2,), np.float32),
            "hand": spaces.Discrete(TYPES + 1),
        })  # fmt: skip

    def initial_state(self, instance: Tensor, key: Tensor) -> LayoutState:
        """An empty room, nothing in hand."""
        return LayoutState(
            **self.empty(instance, key),
            hand=torch.full_like(key, NONE),
            places=key.new_zeros(len(key), len(Survey._fields), 4, LATTICE),
        )

    def transition(self, state: LayoutState, action: Tensor) -> Transition:  # type: ignore[override]
        """Take a thing in hand, or put it down."""
        holding, finish = state.hand != NONE, action == FINISH
        at_place = action < PLACES
        place = action.clamp(max=PLACES - 1)
        found = Survey(*state.places.unbind(1))
        placed = holding & at_place & placing.at(found.legal, place)
        kind = (action - PLACES).clamp(0, TYPES - 1)
        wanted = state.left.gather(1, kind[:, None])[:, 0] > 0
        chosen = ~holding & ~at_place & ~finish & wanted

        refused = holding & at_place & ~placed
        held = self.things(state, state.hand)
        outside = self._outside(state, held, place, refused)
        after = self.put(state, held, place, found, placed)
        hand = torch.where(chosen, kind, torch.where(placed, NONE, state.hand))
        places = state.places  # consumes the state
        places[placed] = 0
        rows = placing.needed(chosen)
        seen = torch.stack(placing.survey(*self.looking(state, kind, rows)), 1)
        places[rows] = torch.where(chosen[rows][:, None, None, None], seen, places[rows])
        lost = chosen & ~(places[:, 0] != 0).flatten(1).any(1)
        places[lost] = 0
        after["left"] = self.set_aside(after["left"], hand, lost)
        hand = torch.where(lost, NONE, hand)
        done = finish | ((after["left"] == 0).all(1) & (hand == NONE))
        invalid = ~(placed | chosen | finish)
        terms, metrics = self.paid(state, after, invalid)
        terms["collision"] = (refused & ~outside).float()
        terms["outside"] = outside.float()
        terms["out_of_turn"] = (invalid & ~refused).float()
        return Transition(
            state=state.advance(**after, hand=hand, places=places),
            terms=terms,
            terminated=done,
            metrics=metrics,
        )

    def _outside(self, state: LayoutState, held: Things, place: Tensor, refused: Tensor) -> Tensor:
        """Where refused places (bool [B]) reach beyond the room: bool [B]."""
        rows = placing.needed(refused)
        if isinstance(rows, Tensor) and not len(rows):
            return refused
        floor = self.rooms.plans.floor[state.instance[rows]]
        things = Things(*(field[rows] for field in held))
        found = torch.zeros_like(refused)
        found[rows] = ~placing.inside(floor, things, place[rows])
        return found & refused

    def observe(self, state: LayoutState) -> Observation:  # type: ignore[override]
        """See the page."""
        found = Survey(*state.places.unbind(1))
        legal, right = placing.unpack(found.legal), placing.unpack(found.right)
        shown = legal.view(torch.uint8) * _LEGAL + right.view(torch.uint8) * (255 - _LEGAL)
        return {
            "planes": torch.cat([self.planes(state), shown.view(-1, 4, LATTICE, LATTICE)], 1),
            "numbers": self.numbers(state),
            "hand": torch.where(state.hand == NONE, TYPES, state.hand),
        }

    def action_mask(self, state: LayoutState) -> Tensor:  # type: ignore[override]
        """Types while nothing is in hand, else places; finishing always."""
        mask = torch.ones(len(state.hand), FINISH + 1, dtype=torch.bool, device=self.device)
        mask[:, :PLACES] = placing.unpack(state.places[:, 0])
        mask[:, PLACES:FINISH] = (state.left > 0) & (state.hand == NONE)[:, None]
        return mask

    def reference_action(self, state: LayoutState) -> Tensor:  # type: ignore[override]
        """Greedy: the first type of the catalogue that is left, at the best place.

        The catalogue goes from large to small, with what others stand on or beside first.
        """
        place, _ = placing.best(Survey(*state.places.unbind(1)))
        left = state.left > 0
        choice = torch.where(left.any(1), PLACES + left.int().argmax(1), FINISH)
        return torch.where(state.hand == NONE, choice, place)
