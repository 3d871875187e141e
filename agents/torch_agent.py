"""What the agents of ours share: one actor-critic network, one way to take a gradient step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from . import checkpoint
from .agent import EVERYTHING, Teach
from .networks import ActorCritic, NetworkConfig
from .problem import Problem
from .run import Run


@dataclass
class LearnConfig(NetworkConfig):
    """What every agent of ours asks; each sets its own defaults."""

    learning_rate: Annotated[float, Gt(0)] = 7e-4
    anneal: bool = False
    """Lower the learning rate linearly to zero."""
    max_grad_norm: Annotated[float, Gt(0)] = 0.5
    """Longer gradients are scaled down to this norm."""
    gamma: Annotated[float, Ge(0), Le(1)] = 0.99
    """Discount."""
    entropy_coef: Annotated[float, Ge(0)] = 0.0
    reward_scale: Annotated[float, Gt(0)] = 1.0
    """Factor on rewards while learning; reported returns are without."""


@dataclass
class TorchConfig(LearnConfig):
    """Of those that learn in one process."""

    optimizer: Literal["adam", "rmsprop"] = "adam"


def best_actions(model: ActorCritic, observation: Any, info: dict[str, Any]) -> Tensor:
    """The most probable actions of a policy, its dropout and the like switched off."""
    model.eval()
    try:
        policy = model.policy(observation, info.get("action_mask"))
        return model.actions.to_env(policy.mode())
    finally:
        model.train()


class TorchAgent:
    """An agent with an `ActorCritic` network; `learn` is left to each."""

    Config: ClassVar[type]
    spaces: ClassVar[str] = EVERYTHING

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """Make the network and its optimiser, anew or as they were.

        Raises:
            TypeError: a space that no agent of ours handles.
        """
        self.problem, self.config = problem, config
        self.model = ActorCritic(*problem.spaces, config).to(problem.device)
        self.optimizer = self.make_optimizer()
        if state is not None:
            self.model.load_state_dict(checkpoint.part(state, "model"))
            checkpoint.load_optimizer(self.optimizer, checkpoint.part(state, "optimizer"))

    def make_optimizer(self) -> torch.optim.Optimizer:
        """The one that the configuration names; constants of Stable-Baselines3's A2C."""
        parameters, rate = self.model.parameters(), self.config.learning_rate
        if self.config.optimizer == "adam":
            return torch.optim.Adam(parameters, rate, eps=1e-5)
        return torch.optim.RMSprop(parameters, rate, alpha=0.99, eps=1e-5)

    def descend(self, run: Run, loss: Tensor, **parts: Tensor) -> None:
        """One step down a loss; its parts are logged first, so that NaN changes no weight."""
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        run.log(**parts, grad_norm=norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * (1 - self.config.anneal * run.fraction)
        self.optimizer.step()

    def imitate(self, teach: Teach) -> None:
        """Have the network taught what to do; see `imitation.py`."""
        teach(self.model, self.model.judge)

    @torch.no_grad()
    def act(self, observation: Any, info: dict[str, Any]) -> Tensor:
        """The most probable actions."""
        return best_actions(self.model, observation, info)

    def state(self) -> dict[str, Tensor]:
        """Weights and the optimiser's moments."""
        return checkpoint.under("model", self.model.state_dict()) | checkpoint.under(
            "optimizer", checkpoint.optimizer_tensors(self.optimizer)
        )
