"""`a3c`: asynchronous advantage actor-critic, in processes.

Mnih et al., "Asynchronous Methods for Deep Reinforcement Learning", ICML 2016, algorithm S3. Every
worker is a process with environments of its own. It copies the shared weights, plays a few steps,
computes the gradient of the loss of `actor_critic` with n-step returns, and applies it to the
shared weights at once, whatever the others have done to them meanwhile. The optimiser is the
paper's shared RMSProp: the moving average g of squared gradients is common to all as well.

    g <- alpha g + (1 - alpha) d^2          theta <- theta - rate d / (sqrt(g) + eps)

Nobody waits for a lock; updates that cross may lose a few numbers of one of them, which the paper
accepts. In which order they come is up to the operating system, so this is the one agent here
whose runs are not reproducible, and its checkpoints keep no states of environments.

Differs from the paper: a worker plays a small batch and not one environment, so that no network
call is for a single transition; eps stands outside the root, as in PyTorch's RMSprop.
"""

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

from . import checkpoint
from .actor_critic import a2c_loss
from .agent import EVERYTHING, Teach
from .fleet import Fleet, Line
from .networks import ActorCritic
from .play import Episodes, Player
from .problem import Problem
from .run import Run, seed_everything
from .torch_agent import LearnConfig, best_actions

REPORT = 0.25  # seconds between two reports of a worker
LATE = 30.0  # seconds for the last rollouts; a worker that hangs is then terminated


@dataclass
class Config(LearnConfig):
    """Defaults are those of `actor_critic`, which are Stable-Baselines3's for A2C."""

    workers: Annotated[int, Ge(1)] = 2
    """Processes that play and learn; as many as there are cores to spare."""
    num_envs: Annotated[int, Ge(1)] = 8
    """Rows of each worker's batch."""
    n_steps: Annotated[int, Ge(1)] = 5
    """Steps that each row plays between two updates."""
    alpha: Annotated[float, Ge(0), Le(1)] = 0.99
    """Decay of RMSProp's moving average."""
    eps: Annotated[float, Gt(0)] = 1e-5
    """Added to the root of RMSProp's moving average."""
    value_coef: Annotated[float, Gt(0)] = 0.5
    restarts: Annotated[int, Ge(0)] = 3
    """How often each worker that died is started again before the run ends."""

    # What else `a2c_loss` asks: n-step returns, as they are.
    gae_lambda: ClassVar[float] = 1.0
    normalize_advantage: ClassVar[bool] = False


@dataclass(frozen=True)
class Shared:
    """What all processes read and write, in shared memory of the host, without a lock.

    Attributes:
        weights: float32 [P], all parameters one after the other.
        squares: float32 [P], the moving average of squared gradients.
        steps: int64 [workers], learned from so far; every entry has one writer.
    """

    weights: Tensor
    squares: Tensor
    steps: Tensor

    @staticmethod
    def of(model: ActorCritic, squares: Tensor | None, workers: int) -> "Shared":
        """A model's weights and what belongs to them."""
        weights = parameters_to_vector(model.parameters()).detach().cpu()
        squares = torch.zeros_like(weights) if squares is None else squares.clone()
        steps = torch.zeros(workers, dtype=torch.int64)
        return Shared(weights.share_memory_(), squares.share_memory_(), steps.share_memory_())

    def put_into(self, model: ActorCritic, device: str) -> Tensor:
        """Give a model the weights; its parameters become views of the copy that is returned."""
        weights = self.weights.to(device, copy=True)
        vector_to_parameters(weights, model.parameters())
        return weights

    def descend(self, gradient: Tensor, rate: float, alpha: float, eps: float) -> None:
        """RMSProp in place, while other processes may do the same.

        Args:
            gradient: float32 [P], finite.
            rate: of learning.
            alpha: decay of the moving average.
            eps: added to its root.
        """
        self.squares.mul_(alpha).addcmul_(gradient, gradient, value=1 - alpha)
        self.weights.addcdiv_(gradient, self.squares.sqrt().add_(eps), value=-rate)


class A3C:
    """Asynchronous advantage actor-critic (Mnih et al. 2016), in worker processes."""

    Config = Config
    spaces: ClassVar[str] = EVERYTHING

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """Make the network, anew or as it was.

        Raises:
            TypeError: a space that no agent of ours handles.
        """
        self.problem, self.config = problem, config
        self.model = ActorCritic(*problem.spaces, config).to(problem.device)
        if buffers := [name for name, _ in self.model.named_buffers()]:
            raise ValueError(
                f"a3c shares parameters between its workers, not buffers; the network has {buffers}"
            )
        if state is not None:
            self.model.load_state_dict(checkpoint.part(state, "model"))
        squares = None if state is None else state["squares"]
        self.shared = Shared.of(self.model, squares, config.workers)

    def learn(self, run: Run) -> None:
        """Start the workers, count and report what they do, and end them.

        Raises:
            agents.fleet.WorkerError: names a worker that failed, or died too often.
            agents.run.Diverged: a loss is not finite; the shared weights still are.
        """
        config, shared = self.config, self.shared
        shared.steps.fill_(0)[0] = run.steps  # those of an earlier run count as the first worker's
        job = Job(
            replace(self.problem),  # without what it has cached: a spec need not pickle
            config,
            copy.deepcopy(self.model).cpu(),
            shared,
            run.total,
        )
        late = math.inf
        with Fleet("a3c worker", play, job, config.workers, config.restarts) as fleet:
            players = Players(fleet)
            run.attach(players)
            while fleet.busy() and time.monotonic() < late:
                for report in fleet.listen():
                    players.add(report.episodes)
                    if report.losses:
                        run.log(**report.losses)
                if (steps := int(shared.steps.sum())) < run.total:
                    run.advance(steps - run.steps)
                    run.going()
                elif late == math.inf:  # the last row waits for the last reports
                    late = time.monotonic() + LATE
        run.advance(int(shared.steps.sum()) - run.steps)
        run.going()
        shared.put_into(self.model, self.problem.device)

    def imitate(self, teach: Teach) -> None:
        """Have the network taught what to do, and share it; see `imitation.py`."""
        teach(self.model, self.model.judge)
        self.shared = Shared.of(self.model, None, self.config.workers)

    @torch.no_grad()
    def act(self, observation: Any, info: dict[str, Any]) -> Tensor:
        """The most probable actions."""
        return best_actions(self.model, observation, info)

    def state(self) -> dict[str, Tensor]:
        """The shared weights and RMSProp's moving average, as they are at this moment."""
        self.shared.put_into(self.model, self.problem.device)
        kept = checkpoint.under("model", self.model.state_dict())
        return kept | {"squares": self.shared.squares}


class Players:
    """What a run has in place of a `Player`: environments that live in other processes."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._episodes = Episodes()

    def begin(self, start: int) -> None:
        """Start the workers; `start` decides their seeds."""
        self.fleet.start(start)

    def snapshot(self, start: int) -> dict[str, Tensor]:
        """Nothing: every worker is at a step of its own."""
        return {}

    def restore(self, kept: dict[str, Tensor], start: int) -> None:
        """Begin anew, with other seeds."""
        self.begin(start)

    def add(self, episodes: Episodes) -> None:
        """Those that a worker told of."""
        self._episodes = self._episodes.plus(episodes)

    def episodes(self) -> Episodes:
        """Those of all workers since the last call."""
        found, self._episodes = self._episodes, Episodes()
        return found


# --- in a worker ---


@dataclass(frozen=True)
class Job:
    """What all workers are given.

    Attributes:
        problem: what to play.
        config: of the agent.
        model: on the CPU, for its structure and its buffers, which are no parameters.
        shared: the memory of all.
        total: steps of all workers together at which to stop.
    """

    problem: Problem
    config: Config
    model: ActorCritic
    shared: Shared
    total: int


class Report(NamedTuple):
    """What a worker tells: episodes that ended since the last report, and means of its losses."""

    episodes: Episodes
    losses: dict[str, float]


def play(job: Job, line: Line) -> None:
    """Copy the weights, play a rollout, apply its gradient; until the budget of all is used."""
    config, shared, device = job.config, job.shared, job.problem.device
    seed_everything(job.problem.env_seed(line.index, line.start), 0)  # by which actions are drawn
    player = Player(job.problem, config.num_envs, line.index, config.reward_scale)
    player.begin(line.start)
    model = copy.deepcopy(job.model).to(device)  # a copy: what was pickled lies in shared memory
    weights = shared.put_into(model, device)
    losses: list[dict[str, float]] = []
    due, finite = 0.0, True
    while finite and not line.stop and (steps := int(shared.steps.sum())) < job.total:
        weights.copy_(shared.weights)
        rollout = player.collect(model, config.n_steps)
        loss, parts = a2c_loss(model, rollout, config)
        model.zero_grad()
        loss.backward()
        parts["grad_norm"] = clip_grad_norm_(model.parameters(), config.max_grad_norm)
        numbers = torch.stack([part.detach() for part in parts.values()]).tolist()
        losses.append(dict(zip(parts, numbers, strict=True)))
        finite = all(map(math.isfinite, numbers))
        if finite:  # else nothing is applied, and the report ends the run
            rate = config.learning_rate * (1 - config.anneal * steps / job.total)
            shared.descend(gradient(model), rate, config.alpha, config.eps)
            shared.steps[line.index] += rollout.steps
        if time.monotonic() > due:
            line.send(Report(player.episodes(), means(losses)))
            losses, due = [], time.monotonic() + REPORT
    line.send(Report(player.episodes(), means(losses)))


def gradient(model: nn.Module) -> Tensor:
    """Of all parameters, one after the other, on the CPU; zero where one has none."""
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return parameters_to_vector(found).cpu()


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of every column; nothing of no rows."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in (rows or [{}])[0]}
