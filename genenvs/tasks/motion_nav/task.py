"""Walk through a room to a goal, by choosing latents of motion primitives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core import random
from genenvs.core.task import Observation, Outcome, State, Task, Transition
from genenvs.geometry import packed
from genenvs.motion import feet, metrics, primitives
from genenvs.motion import frames as vectors
from genenvs.motion.frames import PLACE
from genenvs.motion.humanoid import humanoid
from genenvs.motion.primitives import FPS, LATENT, MADE, SEEDS
from genenvs.motion.skeleton import forward
from genenvs.tasks.motion_nav import planning, rewards, scenes, viewer
from genenvs.tasks.motion_nav.artefact import Walk

LATENT_SCALE = 2.0  # standard deviations that an action of 1 is
MAP = 16  # points a side
EXTENT = 0.8  # metres from the body to the map's edge
FAR = 5.0  # metres that the observation counts as one
LARGEST = 5.0  # standard deviations at which an observation is clipped
_START = 1  # what a draw is for


@dataclass(frozen=True)
class NavState(State):
    """A batch of walks.

    Attributes:
        walkable: int64 [B, 64], see `genenvs.rooms.bits`.
        goal: float64 [B, 2], metres.
        seeds: float64 [B, 2, 34], the last two frames, see `genenvs.motion.frames`.
        map: bool [B, 256], what may be walked on at the points round the body.
        latents: float32 [B, horizon, 8], what was chosen so far.
        first: float64 [B, 2, 34], the seeds of the first step.
        closest: float64 [B], metres to the goal at the nearest frame so far.
        contact: float64 [B], sum of the contact score over the frames so far.
        on_floor: float64 [B], frames with all soles on walkable ground.
    """

    walkable: Tensor
    goal: Tensor
    seeds: Tensor
    map: Tensor
    latents: Tensor
    first: Tensor
    closest: Tensor
    contact: Tensor
    on_floor: Tensor


class MotionNav(Task):
    """Walk through a furnished room to a goal, by choosing latents of motion primitives.

    ## Description
    The locomotion of DIMOS (Zhao et al., ICCV 2023), on the motion primitives of GAMMA (Zhang and
    Tang, CVPR 2022). A primitive is ten frames of a walk, a fifth of a second of which is new. A
    frozen decoder makes it from the last two frames and a latent; an agent chooses the latent, and
    so how the body steps, turns and hurries, until it stands where it should, without walking into
    furniture and without sliding over the floor.

    The decoder ships: it was trained on six clips of one person's walk, 7.5 seconds, which pybullet
    carries, with mirror images, tempo and bend as the only additions (`genenvs.motion.walks`). It
    walks at 0.5 to 1.3 m/s and turns some 60 degrees a second. It knows no standing, no running and
    nobody else's gait. `python -m genenvs.motion.training.primitives` trains it on one thread in
    8,000 steps, 1,000 of which took 59 to 105 CPU seconds: 8 to 14 minutes of a core.
    `env.unwrapped.artefact().save(path)` keeps a walk as .mp4, .gif or .bvh.

    ## Action space
    `Box(-1, 1, [8])`: the latent, of which 1 is two standard deviations. All zeros walk on.

    ## Observation space
    `Dict`:
    | key | shape | range | meaning |
    |---|---|---|---|
    | `body` | [65] | -5 .. 5 | the last two frames, in deviations from the mean; clipped |
    | `goal` | [3] | -1 .. 2 | unit vector to the goal, and how far it is: 1 is 5 m |
    | `map` | [1, 16, 16] | -1, 1 | 1 where the floor is free, -1 elsewhere |

    All of it as the body sees it: from where it was in the first of the two frames, looking along
    x. `body` is the pose in that frame (31 numbers), then how far the second is from it (x, y,
    heading) and its pose. Poses are height, tilt about x and y, rotation vectors of chest, neck,
    and right and left hip, ankle and shoulder, angles of knees and elbows; see
    `genenvs.motion.frames`. The map's points lie 10.7 cm apart, 0.8 m each way; the first of its
    two axes is x, forwards.

    ## Rewards
    The terms of DIMOS, all of weight 1, each less its best value, so that none is above 0 and time
    costs: `goal`, `facing`, `floor`, `skate`, `penetration`, `pose`. `success` pays 10 for the
    goal. Published, every step pays up to six, and the goal 1 and an end of that: to loiter a few
    centimetres beside it until the horizon earns more than to arrive. `published_rewards=True` pays
    that; `docs/results.md` shows what is learned from it. A proxy all the same: `penetration` costs
    at most 1 a step, so where the way round furniture is much longer than the way through it, to
    walk through pays more (the cheat `straight` loses on average, not on every walk): `walkable`,
    which `quality` multiplies with, tells.

    ## Metrics
    `quality` scores an episode: success times the contact score times the walkable share. DIMOS's:
    `success`, `time`, `distance` at the end and `closest`, `contact`, `walkable`. Gold, never paid:
    `slide`, of all planted soles where the contact score asks for one, and `jerk`.

    ## Starting state
    A furnished room of the split, of `RoomLayout`'s, and in it a start with 0.3 m of room and a
    goal to which a body so wide can walk in fifty steps of a cell, every other of which may be
    diagonal, but not straight: on a third of the straight ways something stands, on the others it
    leaves too little room. Straight it is 1.5 to 5 m away. The heading is within 60 degrees of the
    goal; the first pose is one of 64 of walks. 1,360 walks in 848 rooms train, 372 in 122 validate,
    678 in 426 test; outlines of rooms of two splits never agree.

    ## Episode end
    Terminates where the root passes within 5 cm of the goal, whatever else; truncates at the
    horizon. To leave the floor is charged, not ended.

    ## Arguments
    - `rooms` (`"furnished"`): or `"boxes"`, rectangular rooms with up to eight boxes.
    - `generator` (`"cvae"`): or `"pca"`, a linear decoder to compare with, or the path of a
      .safetensors file that `python -m genenvs.motion.training.primitives` wrote.
    - `clips` (None): a BVH file, one in DeepMimic's text format or a folder of them, of walks; with
      `generator="pca"`, which is then fitted to them in seconds. Files that cannot be read are left
      out with a warning, in `Dance` too.
    - `published_rewards` (False): see above.
    - `horizon` (48): primitives, 9.6 seconds.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    Faithful (DIMOS and its code): ten frames at 40 a second of which two are given, the frame of
    reference, the six terms and their constants, the map, that the goal counts at any frame of a
    primitive, contact and walkable scores. Deviates: the body has 15 joints and soles in place of
    67 markers on SMPL-X; 8 latents in place of 128; the observation has the direction to the goal
    once, not from every marker, and adds how far it is; the pose prior is a Gaussian of 12
    principal axes in place of VPoser's network; the goal is one place on the floor, not a path's
    next corner; a term that asks for motion (`nonstatic`) is left out, as this walker cannot stand
    still; each row ends by itself, where the code ends the whole batch; horizon 48, not 15; `goal`
    is measured in the plane, not to the height of the pelvis. Numbers of the paper were measured
    with another body in other rooms along paths found by a planner: the definitions of the scores
    agree, the tasks do not.

    The decoder is a network that `transition` calls, not `prepare`: its input is the action, and
    what it makes is what is paid. It runs once a step all the same, as no reset needs it. It and
    all positions are float64, so that no cell of the map depends on the size of the batch.

    ## Version history
    - v0: first version.
    """

    ends = "truncates"
    terms = rewards.TERMS
    metrics = rewards.METRICS
    tolerance = 1e-6

    def __init__(
        self,
        *,
        rooms: Literal["furnished", "boxes"] = "furnished",
        generator: Literal["cvae", "pca"] = "cvae",
        clips: str | Path | None = None,
        published_rewards: bool = False,
        **common: Any,
    ) -> None:
        """Load rooms and the decoder; see the page for arguments."""
        super().__init__(**common)
        if rooms not in ("furnished", "boxes"):
            raise ValueError(f"rooms must be 'furnished' or 'boxes'; got {rooms!r}")
        if not isinstance(published_rewards, bool | np.bool_):
            raise ValueError(f"published_rewards must be True or False; got {published_rewards!r}")
        self.published_rewards = bool(published_rewards)
        self.scenes = scenes.load(rooms, self.split, str(self.device))
        self.primitives = primitives.load(generator, clips, str(self.device))
        ticks = torch.linspace(-EXTENT, EXTENT, MAP, dtype=torch.float64, device=self.device)
        self.ways = planning.Ways(self.scenes)
        self._points = torch.cartesian_prod(ticks, ticks)  # [256, 2]
        self.action_space = spaces.Box(-1.0, 1.0, (LATENT,), np.float32)
        self.observation_space = spaces.Dict({
            "body": spaces.Box(-LARGEST, LARGEST, (primitives.GIVEN,), np.float32),
            "goal": spaces.Box(-1.0, 2.0, (3,), np.float32),
            "map": spaces.Box(-1.0, 1.0, (1, MAP, MAP), np.float32),
        })  # fmt: skip

    @property
    def num_instances(self) -> int:
        """Rooms of the split."""
        return len(self.scenes.goal)

    def initial_state(self, instance: Tensor, key: Tensor) -> NavState:
        """At the start, in one of the generator's first poses."""
        walkable, start, goal = (field[instance] for field in self.scenes[1:])
        poses = self.primitives.starts
        which = random.randint(key, random.counter(0, _START), 1, len(poses))[:, 0]
        seeds = vectors.placed_at(poses[which], start)
        zero = torch.zeros(len(goal), dtype=torch.float64, device=self.device)
        return NavState(
            instance=instance,
            key=key,
            step=torch.zeros_like(instance),
            walkable=walkable,
            goal=goal,
            seeds=seeds,
            map=self._map(walkable, seeds),
            latents=torch.zeros(len(goal), self.horizon, LATENT, device=self.device),
            first=seeds.clone(),
            closest=(goal - seeds[:, -1, :2]).norm(dim=-1),
            contact=zero,
            on_floor=zero.clone(),
        )

    def transition(self, state: NavState, action: Tensor) -> Transition:  # type: ignore[override]
        """Walk one primitive on."""
        frames = self.walk_on(state, action)
        soles = vectors.soles(frames)  # [B, 10, 4, 3]
        terms, nearest = self.pay(state, frames, soles)
        arrived = nearest <= rewards.CONSTANTS.reached
        closest = torch.minimum(state.closest, nearest)
        place = state.step.clamp(max=self.horizon - 1)
        # Consumes the state.
        state.latents[torch.arange(len(place), device=self.device), place] = action
        seeds = frames[:, -SEEDS:].clone()
        new = soles[:, SEEDS:]
        on_floor = scenes.look_up(state.walkable, new[..., :2].flatten(1, 2))
        on_floor = on_floor.unflatten(1, (MADE, -1)).all(-1).sum(1)
        distance = (state.goal - seeds[:, -1, :2]).norm(dim=-1)
        return Transition(
            state=state.advance(
                seeds=seeds,
                map=self._map(state.walkable, seeds),
                closest=closest,
                contact=state.contact + MADE * feet.contact_score(soles, FPS),
                on_floor=state.on_floor + on_floor,
            ),
            terms=terms,
            terminated=arrived,
            metrics={"distance": distance.float(), "success": arrived.float()},
        )

    def walk_on(self, state: NavState, action: Tensor) -> Tensor:
        """The frames of the primitive that an action [B, 8] makes: float64 [B, 10, 34]."""
        return self.primitives.decode(state.seeds, LATENT_SCALE * action.double())

    def pay(
        self, state: NavState, frames: Tensor, soles: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The terms of a primitive.

        Args:
            state: before it.
            frames: float64 [B, 10, 34].
            soles: float64 [B, 10, 4, 3].

        Returns:
            float32 [B] each, and the metres to the goal at the nearest frame, float64 [B].
        """
        origin = frames[:, 0, :PLACE]
        way = state.goal[:, None] - frames[..., :2]
        nearest = way.norm(dim=-1).amin(1)
        moved = soles[..., :2] - origin[:, None, None, :2]
        local = vectors.turn(moved, -origin[:, None, None, 2])
        found = {
            "goal": rewards.goal(nearest),
            "facing": rewards.facing(rewards.heading_cosine(frames[:, -1, 2], way[:, -1])),
            "floor": rewards.floor(soles),
            "skate": rewards.skate(soles, FPS),
            "penetration": rewards.penetration(self._points, state.map, local),
            "pose": rewards.pose(self.primitives.prior(frames)),
        }
        less = 0.0 if self.published_rewards else 1.0
        terms = {name: (value - less).float() for name, value in found.items()}
        bonus = 1.0 if self.published_rewards else rewards.CONSTANTS.success
        terms["success"] = (nearest <= rewards.CONSTANTS.reached).float() * bonus
        return terms, nearest

    def _map(self, walkable: Tensor, seeds: Tensor) -> Tensor:
        """What may be walked on round the body, as the next primitive sees it: bool [B, 256]."""
        origin = seeds[:, 0, :PLACE]
        turned = vectors.turn(self._points, origin[:, 2:])  # [B, 256, 2]
        return scenes.look_up(walkable, turned + origin[:, None, :2])

    def outcome(self, state: NavState) -> Outcome:  # type: ignore[override]
        """What DIMOS reports of a walk."""
        frames = (MADE * state.step).double()
        arrived = state.closest <= rewards.CONSTANTS.reached
        found = {
            "contact": state.contact / frames,
            "walkable": state.on_floor / frames,
            "time": frames / FPS,
            "closest": state.closest,
        }
        found["quality"] = arrived * found["contact"] * found["walkable"]
        return Outcome(metrics={name: value.float() for name, value in found.items()})

    def observe(self, state: NavState) -> Observation:  # type: ignore[override]
        """See the page."""
        origin = state.seeds[:, 0, :PLACE]
        way = vectors.turn(state.goal - state.seeds[:, -1, :2], -origin[:, 2])
        length = way.norm(dim=-1, keepdim=True)
        goal = torch.cat([way / length.clamp(min=1e-9), (length / FAR).clamp(max=2)], 1)
        body = self.primitives.told(state.seeds).clamp(-LARGEST, LARGEST)
        return {
            "body": body.float(),
            "goal": goal.float().clamp(-1, 2),
            "map": (2.0 * state.map - 1).reshape(-1, 1, MAP, MAP),
        }

    def reference_action(self, state: NavState) -> Tensor:  # type: ignore[override]
        """Look one primitive ahead; see `genenvs.tasks.motion_nav.planning`."""
        return planning.best(self, state)

    def motion(self, state: NavState) -> Tensor:
        """The whole walk of each row so far, made again from its latents: float64 [B, T, 34].

        Rows that took fewer steps than others stand still at their end.
        """
        frames = [state.first]
        for step in range(int(state.step.max()) if len(state.step) else 0):
            seeds = frames[-1][:, -SEEDS:]
            latent = LATENT_SCALE * state.latents[:, min(step, self.horizon - 1)].double()
            made = self.primitives.decode(seeds, latent)[:, SEEDS:]
            still = frames[-1][:, -1:].expand(-1, MADE, -1)
            frames.append(torch.where((step < state.step)[:, None, None], made, still))
        return torch.cat(frames, 1)

    def render(self, state: NavState, index: int) -> np.ndarray:  # type: ignore[override]
        """The room from above with the way so far, beside the walker in it."""
        row = state.rows(torch.tensor([index], device=self.device))
        return viewer.picture(self.walk(row), int(row.step[0]))

    def artefact(self, state: NavState, index: int) -> Walk:  # type: ignore[override]
        """The walk, to be saved as a film or as BVH: see `Walk`."""
        return self.walk(state.rows(torch.tensor([index], device=self.device)))

    def walk(self, row: NavState) -> Walk:
        """A state of one row as a `Walk`."""
        root, rotations = vectors.unpack(self.motion(row)[0])
        room = [packed.unpack(x) for x in (self.scenes.floor[row.instance[0]], row.walkable[0])]
        return Walk(*(x.cpu() for x in (root, rotations, *room, row.goal[0])))

    def judge(self, final: NavState) -> dict[str, Tensor]:  # type: ignore[override]
        """The gold metrics."""
        slide = torch.zeros(len(final.step), device=self.device)
        jerk = slide.clone()
        # Rows of one length at a time: those that stand still at their end would slide less.
        for steps in final.step.unique().tolist():
            rows = (final.step == steps).nonzero()[:, 0]
            motion = self.motion(final.rows(rows))
            positions, _ = forward(humanoid(str(self.device)).skeleton, *vectors.unpack(motion))
            seconds = motion.shape[1] / FPS
            slide[rows] = (feet.slide(vectors.soles(motion), FPS) / seconds).float()
            jerk[rows] = metrics.jerk(positions, FPS).float()
        return {"slide": slide, "jerk": jerk}
