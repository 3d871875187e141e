"""An agent that learns the 36 numbers of `primitive_policy` from whole episodes.

Evolution strategies of Salimans et al., "Evolution Strategies as a Scalable Alternative to
Reinforcement Learning", 2017: play with the weights moved to either side along random directions,
the same targets on both, and go where the returns were higher.

    g = mean over directions e of (R(theta + sigma e) - R(theta - sigma e)) / scale e
    m = momentum m + (1 - momentum) g        theta = theta + learning_rate m

`scale` is the mean size of those differences. An episode is 300 decisions whose effect shows up to
a hundred steps later; gradients of single decisions drown in what all others did, which whole
episodes on equal targets do not. The environment and the policy are deterministic, so nothing but
the directions and the targets is random. What acts in the end is a running mean of theta.

    python -m agents train --out runs/cuboids --env genenvs/PrimitiveModel-v0
        --agent benchmarks.claims.primitive_agent:Evolution --imitate reference
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from gymnasium.vector import AutoresetMode
from torch import Tensor

from agents.agent import Teach
from agents.play import Episodes
from agents.problem import Problem
from agents.run import Run
from benchmarks.claims.primitive_policy import WEIGHTS, Bent, actions, packed_target, scores

_WEIGHTS = "theta", "taught", "momentum"


@dataclass
class EvolutionConfig:
    """A batch is 2 x `directions` x `targets` whole episodes."""

    directions: Annotated[int, Ge(1)] = 12
    targets: Annotated[int, Ge(1)] = 16
    """That each direction is tried on, the same for all."""
    sigma: Annotated[float, Gt(0)] = 0.3
    """How far the weights are moved to either side."""
    learning_rate: Annotated[float, Gt(0)] = 0.3
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.8
    average: Annotated[float, Ge(0), Lt(1)] = 0.9
    """Of the running mean that acts."""
    gamma: float = 1.0
    reward_scale: float = 1.0


class Evolution:
    """Evolution strategies on `Bent`'s weights."""

    Config = EvolutionConfig
    spaces = "those of PrimitiveModel"

    def __init__(
        self, problem: Problem, config: EvolutionConfig, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """Make the policy, anew or as it was; `model.theta` is the running mean."""
        self.problem, self.config = problem, config
        self.model = Bent().to(problem.device)
        self.theta = self.model.theta.detach().clone()
        self.taught = self.theta.clone()
        self.momentum = torch.zeros_like(self.theta)
        if state is not None:
            for name in _WEIGHTS:
                setattr(self, name, state[name].clone())
            self.model.load_state_dict(
                {k[6:]: v for k, v in state.items() if k.startswith("model.")}
            )

    def imitate(self, teach: Teach) -> None:
        """Have the policy taught what to do."""
        teach(self.model, self.model.judge)
        self.theta = self.model.theta.detach().clone()
        self.taught = self.theta.clone()

    def as_taught(self) -> "Evolution":
        """The agent as it was when imitation was over."""
        found = Evolution(self.problem, self.config, self.state())
        found.model.theta.data.copy_(self.taught)
        return found

    @torch.no_grad()
    def learn(self, run: Run) -> None:
        """Alternate: play both sides of all directions, take a step."""
        config = self.config
        player = Pairs(self.problem, config)
        run.attach(player)
        while run.going():
            directions = torch.randn(config.directions, WEIGHTS, device=self.theta.device)
            moved = torch.cat([directions, -directions]) * config.sigma + self.theta
            returns = player.play(self.model, moved)  # [2 directions]
            run.advance(player.steps)
            first, second = returns.chunk(2)
            difference = first - second
            scale = difference.abs().mean().clamp(min=1e-9)
            gradient = (difference / scale) @ directions / config.directions
            run.log(difference=scale, weights=self.theta.norm(), gradient=gradient.norm())
            self.momentum = torch.lerp(gradient, self.momentum, config.momentum)
            self.theta = self.theta + config.learning_rate * self.momentum
            self.model.theta.lerp_(self.theta, 1 - config.average)

    @torch.no_grad()
    def act(self, observation: Any, info: dict[str, Any]) -> Tensor:
        """The best actions."""
        seen = {name: torch.as_tensor(value) for name, value in observation.items()}
        return self.model.best(seen)

    def state(self) -> dict[str, Tensor]:
        """All weights, and the momentum."""
        model = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        return model | {name: getattr(self, name) for name in _WEIGHTS}


class Pairs:
    """Plays the same targets with several weights, whole episodes."""

    def __init__(self, problem: Problem, config: EvolutionConfig) -> None:
        self.problem = problem
        self.members, self.targets = 2 * config.directions, config.targets
        rows = self.members * self.targets
        self.envs: Any = problem.make(rows, AutoresetMode.DISABLED)
        inner: Any = self.envs.unwrapped
        self.task = inner.task
        self.steps = rows * self.task.horizon
        self._found = Episodes()

    def play(self, model: Bent, theta: Tensor) -> Tensor:
        """Mean returns [members] of weights [members, 36] on targets drawn anew."""
        count = self.task.num_instances
        chosen = torch.randperm(count)[: self.targets].repeat(-(-self.targets // count))
        group = {"instances": chosen[: self.targets].tolist(), "repeats": self.members}
        observation, _ = self.envs.reset(seed=self._seed, options=group)
        # Row i * members + j is target i with weights j.
        theta = theta.repeat(self.targets, 1)
        words = packed_target(observation["target"])  # stays as it is for an episode
        returns = torch.zeros(len(theta), device=theta.device)
        for _ in range(self.task.horizon):
            gain, features = model.sight(observation, words)
            score = scores(gain, features, theta, observation["numbers"])
            action = actions(score, observation["box"])
            observation, reward, _, _, _ = self.envs.step(action)
            returns += reward
        self._found = self._found.plus(
            Episodes(len(returns), float(returns.sum()), float(self.steps))
        )
        return returns.view(self.targets, self.members).mean(0)

    def begin(self, start: int) -> None:
        """Targets are drawn from the global stream, which the run seeds."""
        self._seed = self.problem.env_seed(0, start)

    def snapshot(self, start: int) -> dict[str, Tensor]:
        """Between two batches no episode runs."""
        self.begin(start)
        return {}

    def restore(self, kept: dict[str, Tensor], start: int) -> None:
        """As `snapshot` left it."""
        self.begin(start)

    def episodes(self) -> Episodes:
        """Those that ended since the last call."""
        found, self._found = self._found, Episodes()
        return found
