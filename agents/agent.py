"""What an agent is: a configuration and three methods."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from .problem import Problem
from .run import Run


class Agent(Protocol):
    """The protocol; an agent of yours needs not inherit from it.

    `Agent(problem, config, state)` makes the agent: anew, or with the tensors that `state()` once
    gave. It raises `TypeError` for spaces that it cannot handle. An agent that remembers within an
    episode also has `reset(num_envs)`, called before every batch of episodes that `act` plays. One
    that can be taught by imitation has `imitate(teach)`, and `gamma` and `reward_scale` in its
    `Config`. One that leaves files of its own has `finish(run)`, with which its `learn` ends and
    which is called again when a run that was over is resumed: it may have been broken off there.
    """

    Config: ClassVar[type]
    """A dataclass: its fields are the agent's flags and YAML keys."""
    spaces: ClassVar[str]
    """The actions and observations that it handles, for people."""

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None: ...

    def learn(self, run: Run) -> None:
        """Train until `run.going()` says that the budget is used."""

    def act(self, observation: Any, info: dict[str, Any]) -> Any:
        """The best actions of a batch: what `genenvs.evaluate` calls.

        Args:
            observation: tensors [B, ...] (or dict) on the device.
            info: of the step; `action_mask` (bool [B, n]) where the environment has one.
        """

    def state(self) -> dict[str, Tensor]:
        """Every tensor that a resumed run needs: weights, optimiser, buffers, counters."""


Judge = Callable[[Any, Tensor | None, Tensor], tuple[Tensor, Tensor]]
"""(observation, mask, samples [B, D]) to log-probability and value, [B] each, with gradients."""
Teach = Callable[[nn.Module, Judge], None]
"""What an agent's `imitate(teach)` calls once, with its network and how to judge samples by it."""

EVERYTHING = "Box, Discrete, MultiDiscrete, MultiBinary"
