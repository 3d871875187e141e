"""Four small tasks of different kinds, on which the contract is tried."""

from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core import random
from genenvs.core.rewards import Metric, Term
from genenvs.core.task import Outcome, State, Task, Transition


@dataclass(frozen=True)
class GridState(State):
    cursor: Tensor  # int64 [B, 2]
    goal: Tensor  # int64 [B, 2]
    visited: Tensor  # bool [B, 6, 6]
    distance: Tensor  # float32 [B]


class Grid(Task):
    """An integer grid with an exact mask: walk to a goal; ends by reaching it or by the limit.

    ## Description
    Walk.
    """

    ends = "truncates"
    terms = {
        "closer": Term(1.0, "Change of the distance to the goal.", change_of="nearness"),
        "goal": Term(5.0, "Paid once at the goal."),
    }
    metrics = {
        "nearness": Metric("Minus the distance to the goal.", "step"),
        "covered": Metric("Share of cells visited.", "end", gold=True),
    }
    moves = torch.tensor([[0, 1], [1, 0], [0, -1], [-1, 0]])

    def __init__(self, *, size: int = 6, **common):
        super().__init__(**common)
        self.size = size
        self.action_space = spaces.Discrete(4)
        self.observation_space = spaces.MultiDiscrete([size] * 4)

    def initial_state(self, instance, key):
        cells = random.permutation(instance, random.counter(0, 1), self.size**2)[:, :2]
        place = torch.stack([cells // self.size, cells % self.size], -1)  # [B, 2, 2]
        visited = torch.zeros(len(key), self.size, self.size, dtype=torch.bool)
        rows = torch.arange(len(key))
        visited[rows, place[:, 0, 0], place[:, 0, 1]] = True
        return GridState(
            instance, key, torch.zeros_like(key), place[:, 0].clone(), place[:, 1].clone(),
            visited, self._distance(place[:, 0], place[:, 1]),
        )  # fmt: skip

    def transition(self, state, action):
        cursor = (state.cursor + self.moves[action]).clamp(0, self.size - 1)
        distance = self._distance(cursor, state.goal)
        closer = state.distance - distance
        state.visited[torch.arange(len(cursor)), cursor[:, 0], cursor[:, 1]] = True  # consumes
        done = distance == 0
        return Transition(
            state.advance(cursor=cursor, distance=distance), {"closer": closer}, done,
            {"nearness": -distance},
        )  # fmt: skip

    def outcome(self, state):
        return Outcome(
            {"goal": (state.distance == 0).float()},
            {"covered": state.visited.float().mean((1, 2))},
        )

    def observe(self, state):
        return torch.cat([state.cursor, state.goal], 1)

    def action_mask(self, state):
        target = state.cursor[:, None] + self.moves  # [B, 4, 2]
        return ((target >= 0) & (target < self.size)).all(-1)

    def reference_action(self, state):
        target = state.cursor[:, None] + self.moves
        gap = (target - state.goal[:, None]).abs().sum(-1) + 100 * ~self.action_mask(state)
        return gap.argmin(1)

    def render(self, state, index):
        picture = np.zeros((self.size, self.size, 3), np.uint8)
        picture[state.visited[index].numpy()] = 90
        picture[tuple(state.cursor[index])] = (255, 0, 0)
        picture[tuple(state.goal[index])] = (0, 255, 0)
        return picture.repeat(8, 0).repeat(8, 1)

    @staticmethod
    def _distance(a, b):
        return (a - b).abs().sum(-1).float()


@dataclass(frozen=True)
class BanditState(State):
    context: Tensor  # float32 [B, 3]
    chosen: Tensor  # float32 [B, 3]


class Bandit(Task):
    """A fixed-horizon contextual bandit with Box actions and finite instances.

    ## Description
    Guess.
    """

    terms = {"near": Term(1.0, "Minus the squared error, once.")}
    metrics = {"error": Metric("Absolute error.", "end", gold=True)}

    def __init__(self, **common):
        super().__init__(**common)
        self.action_space = spaces.Box(-1, 1, (3,))
        self.observation_space = spaces.Box(0, 1, (3,))

    @property
    def num_instances(self):
        return 37

    def initial_state(self, instance, key):
        context = random.uniform(random.mix(instance, random.word(self.split)), 0, 3)
        return BanditState(instance, key, torch.zeros_like(key), context, torch.zeros_like(context))

    def transition(self, state, action):
        state = state.advance(chosen=action)
        return Transition(state, {}, state.step >= self.horizon)

    def outcome(self, state):
        gap = state.chosen - state.context
        return Outcome({"near": -gap.square().mean(1)}, {"error": gap.abs().mean(1)})

    def observe(self, state):
        return state.context  # shares storage with the state, on purpose: the core copies

    def render(self, state, index):
        column = (state.context[index] * 255).numpy().astype(np.uint8)
        return np.tile(column, (32, 32, 1))


@dataclass(frozen=True)
class NetworkState(State):
    x: Tensor  # float32 [B, 4]
    prediction: Tensor  # float32 [B, 4]


class Network(Task):
    """A task with a frozen network, a `Dict` observation and MultiDiscrete actions; cut off.

    ## Description
    Steer.
    """

    ends = "truncates"
    terms = {"small": Term(1.0, "Minus the norm."), "bonus": Term(0.5, "At the end.")}
    metrics = {
        "norm": Metric("Norm of x.", "step"),
        "spread": Metric("Largest less smallest entry of x.", "end", gold=True),
    }
    tolerance = 1e-4
    calls = 0

    def __init__(self, **common):
        super().__init__(**common)
        self.action_space = spaces.MultiDiscrete([3, 2])
        self.observation_space = spaces.Dict(
            {
                "x": spaces.Box(-20, 20, (4,)),
                "prediction": spaces.Box(-1, 1, (4,)),
                "kind": spaces.Discrete(3),
            }
        )
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(4, 4, generator=generator)

    def initial_state(self, instance, key):
        x = random.normal(key, 0, 4)
        return NetworkState(instance, key, torch.zeros_like(key), x, torch.zeros_like(x))

    def prepare(self, state):
        type(self).calls += 1
        return state.replace(prediction=torch.tanh(state.x @ self.weight))

    def transition(self, state, action):
        noise = random.normal(state.key, random.counter(state.step, 1), 4)
        push = (action[:, :1] - 1.0) * state.prediction + 0.1 * action[:, 1:] * noise
        state = state.advance(x=(state.x + push).clamp(-20, 20))
        norm = state.x.norm(dim=1)
        return Transition(state, {"small": -norm}, norm < 0.5, {"norm": norm})

    def outcome(self, state):
        spread = state.x.amax(1) - state.x.amin(1)
        return Outcome({"bonus": torch.ones(len(state.key))}, {"spread": spread})

    def observe(self, state):
        return {"x": state.x, "prediction": state.prediction, "kind": state.instance % 3}

    def render(self, state, index):
        bar = (state.prediction[index] * 127 + 128).numpy().astype(np.uint8)
        return np.tile(bar[:, None, None], (16, 64, 3))


@dataclass(frozen=True)
class WalkState(State):
    position: Tensor  # float32 [B]


class Walk(Task):
    """An open-ended walk with MultiBinary actions: nothing ends it but the limit.

    ## Description
    Walk on.
    """

    ends = "truncates"
    terms = {"forward": Term(1.0, "Change of the position.", change_of="position")}
    metrics = {"position": Metric("Where the walk is.", "step", gold=True)}

    def __init__(self, **common):
        super().__init__(**common)
        self.action_space = spaces.MultiBinary(4)
        self.observation_space = spaces.Box(-1000, 1000, (1,))

    def initial_state(self, instance, key):
        return WalkState(instance, key, torch.zeros_like(key), random.uniform(instance, 0, 1)[:, 0])

    def transition(self, state, action):
        push = action.float().mean(1) - 0.5
        state = state.advance(position=state.position + push)
        return Transition(
            state, {"forward": push}, torch.zeros_like(push, dtype=torch.bool),
            {"position": state.position},
        )  # fmt: skip

    def observe(self, state):
        return state.position[:, None]

    def render(self, state, index):
        level = int(abs(float(state.position[index])) * 40) % 256
        return np.full((16, 16, 3), level, np.uint8)
