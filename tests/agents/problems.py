"""Small environments that the tests of agents train on, one for every kind of space."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.rewards import Term
from genenvs.core.task import State, Task, Transition

# name -> action and observation space
KINDS = {
    "Grid": "Discrete with a mask; MultiDiscrete",
    "Bandit": "Box; Box",
    "Network": "MultiDiscrete; Dict",
    "Walk": "MultiBinary; Box",
}
TAUGHT = {
    "Taught": spaces.Discrete(6),
    "TaughtPairs": spaces.MultiDiscrete([3, 4]),
    "TaughtBits": spaces.MultiBinary(3),
    "TaughtBox": spaces.Box(-1, 1, (2,)),
}
HORIZON = {"Grid": 8, "Bandit": 1, "Network": 6, "Walk": 5}


def env_id(name: str) -> str:
    """The id of a throwaway task, registered when first asked for."""
    found = f"genenvs-agents-test/{name}-v0"
    if found not in gym.registry:
        own = name in ("Endless", "Clocked", "Ending", "Picture", *TAUGHT)
        gym.register(
            found,
            entry_point="genenvs.core.env:TaskEnv",
            vector_entry_point="genenvs.core.vector:TaskVectorEnv",
            kwargs={
                "task": f"tests.agents.problems:{name}" if own else f"tests.core.throwaway:{name}",
                "horizon": HORIZON.get(name, 4),
            },
        )
    return found


@dataclass(frozen=True)
class ClockState(State):
    """Nothing but the step."""


class Endless(Task):
    """Reward 1 a step whatever is done, cut off at the limit: worth 1 / (1 - gamma) everywhere."""

    ends = "truncates"
    terms = {"alive": Term(1.0, "One a step.")}

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.action_space = spaces.Discrete(2)
        self.observation_space = spaces.Box(0, 1, (5,))

    def initial_state(self, instance: Tensor, key: Tensor) -> ClockState:
        return ClockState(instance=instance, key=key, step=torch.zeros_like(instance))

    def transition(self, state: ClockState, action: Tensor) -> Transition:
        ones = torch.ones(len(action))
        over = torch.zeros(len(action), dtype=torch.bool)
        return Transition(state.replace(step=state.step + 1), {"alive": ones}, over, {})

    def observe(self, state: ClockState) -> Tensor:
        # The state at the limit looks like the first one: an endless task does not know its limit.
        return torch.nn.functional.one_hot(state.step % 4, 5).float()

    def render(self, state: ClockState, index: int) -> np.ndarray:
        return np.full((8, 8, 3), 50 * int(state.step[index]), np.uint8)


class Clocked(Endless):
    """The same, seeing the step."""

    def observe(self, state: ClockState) -> Tensor:
        return torch.nn.functional.one_hot(state.step.clamp(max=4), 5).float()


class Ending(Endless):
    """The same with an end: worth the rewards that are left."""

    ends = "terminates"


class Picture(Endless):
    """A uint8 picture, channels last; action 1 pays where its left half is the brighter one."""

    ends = "terminates"
    terms = {"right": Term(1.0, "One for the right answer.")}

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.observation_space = spaces.Box(0, 255, (36, 36, 3), np.uint8)

    def transition(self, state: ClockState, action: Tensor) -> Transition:
        right = (action == self._answer(state)).float()
        over = torch.zeros(len(action), dtype=torch.bool)
        return Transition(state.replace(step=state.step + 1), {"right": right}, over, {})

    def _answer(self, state: ClockState) -> Tensor:
        return (state.key + state.step) % 2

    def observe(self, state: ClockState) -> Tensor:
        left = self._answer(state)[:, None, None, None].expand(-1, 36, 18, 3)
        return torch.cat([left, 1 - left], 2).to(torch.uint8) * 200


class Taught(Endless):
    """Seven questions, whose answers a reference knows, but for the last, where it is wrong.

    A step pays 1 for the answer (of a Box: for one that is near it). The last of the `Discrete`'s
    actions is never legal.
    """

    ends = "terminates"
    terms = {"right": Term(1.0, "One for the right answer.")}

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.action_space = TAUGHT[type(self).__name__]
        self.observation_space = spaces.Dict(
            {"question": spaces.Discrete(7), "step": spaces.Discrete(9)}
        )
        table = {  # [7, ...]
            "Taught": torch.tensor([3, 0, 4, 1, 2, 0, 4]),
            "TaughtPairs": torch.tensor([[0, 3], [2, 1], [1, 1], [2, 0], [0, 2], [1, 3], [2, 2]]),
            "TaughtBits": torch.tensor([[int(b) for b in f"{n:03b}"] for n in range(7)]),
            "TaughtBox": torch.linspace(-0.9, 0.9, 14).reshape(7, 2),
        }
        self.answers = table[type(self).__name__]

    def transition(self, state: ClockState, action: Tensor) -> Transition:
        gap = (action - self.answers[self._question(state)]).abs().reshape(len(action), -1).amax(1)
        over = torch.zeros(len(action), dtype=torch.bool)
        right = {"right": (gap < 0.2).float()}
        return Transition(state.replace(step=state.step + 1), right, over, {})

    def _question(self, state: ClockState) -> Tensor:
        return (state.key + state.step) % 7

    def observe(self, state: ClockState) -> dict[str, Tensor]:
        return {"question": self._question(state), "step": state.step.clamp(max=8)}

    def action_mask(self, state: ClockState) -> Tensor | None:
        if not isinstance(self.action_space, spaces.Discrete):
            return None
        return (torch.arange(6) < 5).expand(len(state.step), 6)

    def reference_action(self, state: ClockState) -> Tensor:
        question = self._question(state)
        return self.answers[torch.where(question == 6, 0, question)]


class TaughtPairs(Taught):
    """The same in two choices at once."""


class TaughtBits(Taught):
    """The same in bits."""


class TaughtBox(Taught):
    """The same in two numbers."""


class Single(gym.Env):
    """Somebody else's environment: two steps, then it terminates; remembers a number of its own."""

    observation_space = spaces.Dict({"clock": spaces.Box(0, 9, (1,)), "kind": spaces.Discrete(3)})
    action_space = spaces.Discrete(2, start=3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.clock, self.kind = 0, int(self.np_random.integers(3))
        return self._look(), {}

    def step(self, action):
        assert action in (3, 4)
        self.clock += 1
        return self._look(), float(action == 4), self.clock == 2, False, {}

    def _look(self):
        return {"clock": np.array([self.clock], np.float32), "kind": self.kind}


def single() -> str:
    """The id of `Single`."""
    if "genenvs-agents-test/Single-v0" not in gym.registry:
        gym.register("genenvs-agents-test/Single-v0", entry_point=Single, max_episode_steps=9)
    return "genenvs-agents-test/Single-v0"
