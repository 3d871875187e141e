"""The contract: an environment is a `Task`, functions over a batch of episodes."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from genenvs.core.rewards import Metric, Term

Observation = Tensor | dict[str, Tensor]
SPLITS = ("train", "validation", "test")
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class State:
    """A batch of episodes; a task adds its fields, each a tensor whose first axis is the batch.

    Attributes:
        instance: int64 [B], what this episode asks for: an index below `Task.num_instances` where
            instances are finite, a 64-bit hash to draw them from otherwise.
        key: int64 [B], random stream of the episode: all its noise.
        step: int64 [B], actions taken so far.
    """

    instance: Tensor
    key: Tensor
    step: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """Every field by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def replace(self, **changes: Tensor) -> Self:
        """The same state with some fields exchanged."""
        return dataclasses.replace(self, **changes)

    def advance(self, **changes: Tensor) -> Self:
        """`replace`, one action later."""
        return dataclasses.replace(self, step=self.step + 1, **changes)

    def clone(self) -> Self:
        """A copy that shares no storage; what consumes the original leaves it alone."""
        return type(self)(**{k: v.clone() for k, v in self.tensors().items()})

    def rows(self, index: Tensor) -> Self:
        """The rows `index` (int64 [K] or bool [B]) as a state of their own, copied."""
        if index.dtype == torch.bool:
            index = index.nonzero()[:, 0]
        return type(self)(**{k: v.index_select(0, index) for k, v in self.tensors().items()})

    def put(self, index: Tensor, other: "State") -> None:
        """Overwrite the rows `index` in place by those of `other`."""
        for name, value in self.tensors().items():
            value[index] = getattr(other, name)

    def where(self, mask: Tensor, other: Self) -> Self:
        """Rows of this state where `mask` (bool [B]) is True, of `other` elsewhere."""
        mine, theirs = self.tensors(), other.tensors()
        return type(self)(**{
            k: torch.where(mask.reshape(-1, *(1,) * (v.ndim - 1)), v, theirs[k])
            for k, v in mine.items()
        })  # fmt: skip

    def repeat(self, k: int) -> Self:
        """Each row `k` times: row i * k + j is a copy of row i."""
        return type(self)(**{n: v.repeat_interleave(k, 0) for n, v in self.tensors().items()})


@dataclass(frozen=True)
class Transition:
    """What one action did.

    Attributes:
        state: after it.
        terms: reward terms, float32 [B] each.
        terminated: bool [B].
        metrics: the metrics of kind `step`, float32 [B] each.
    """

    state: State
    terms: dict[str, Tensor]
    terminated: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What the end of an episode adds: terminal terms and metrics of kind `end`, float32 [K]."""

    terms: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, Tensor] = field(default_factory=dict)


class Task(ABC):
    """A Markov decision process over a batch of episodes.

    State goes in, state comes out. Nothing hides in `self` but configuration and frozen models;
    every result depends on nothing but the arguments, row by row. The class docstring is the
    environment's page.

    A subclass takes its own keyword arguments beside the four below, sets `observation_space` and
    `action_space` (of ONE environment), and declares `terms` and `metrics`.

    Attributes:
        ends: what reaching the horizon means. `terminates`: the limit is part of the MDP, and the
            remaining steps are observed; `truncates`: an open-ended task is cut off.
        tolerance: what results may differ by between batch sizes: 0 where all is integer or simple
            arithmetic, 1e-4 where a float32 network is evaluated, whose kernels depend on it.
        differentiable: `transition` writes nothing in place and passes gradients.
        rounds: how often `evaluate` plays each instance of a split unless told otherwise; more than
            once where an episode depends on much beside its instance.
        stand_ins: metrics that `evaluate` scores by, the first that was measured, where arguments
            leave the id's own score without meaning.
    """

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    ends: ClassVar[Literal["terminates", "truncates"]] = "terminates"
    tolerance: ClassVar[float] = 0.0
    differentiable: ClassVar[bool] = False
    rounds: ClassVar[int] = 1
    stand_ins: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[Mapping[str, Term]]
    metrics: ClassVar[Mapping[str, Metric]] = {}
    may_report: ClassVar[Mapping[str, Metric]] = {}  # metrics of what is not installed everywhere

    def __init__(
        self,
        *,
        horizon: int,
        split: str = "train",
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "float32",
    ) -> None:
        """Check and keep the arguments that every task takes.

        Args:
            horizon: steps after which an episode ends, at least 1.
            split: `train`, `validation` or `test`.
            device: where all tensors live.
            dtype: of frozen networks; `float32`, `bfloat16`, `float16` or `float64`.

        Raises:
            ValueError: an argument is none of these.
        """
        if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
            raise ValueError(f"horizon must be an integer >= 1; got {horizon!r}")
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
        self.horizon = int(horizon)
        self.split = split
        self.device = _device(device)
        self.dtype = _dtype(dtype)

    @property
    def num_instances(self) -> int | None:
        """How many instances this split has; None where they are drawn without end."""
        return None

    @abstractmethod
    def initial_state(self, instance: Tensor, key: Tensor) -> State:
        """The first state of episodes `instance`, `key` (int64 [K] each); calls no network."""

    @abstractmethod
    def transition(self, state: State, action: Tensor) -> Transition:
        """Take one action in every row; consumes `state`, calls no network, total.

        Args:
            state: may be written into; who wants to keep it clones it first.
            action: int64 [B] for Discrete, int64 [B, n] for MultiDiscrete and MultiBinary,
                float32 [B, ...] for Box; inside the action space.
        """

    def prepare(self, state: State) -> State:
        """The network evaluation, once a step over the whole batch; default: none."""
        return state

    def outcome(self, state: State) -> Outcome:
        """Terminal terms and episode metrics of the rows that ended.

        Args:
            state: a copy of those rows, which `final_state`, `judge` and `features` receive: what
                an outcome had to compute anyway it may leave in there.
        """
        return Outcome()

    @abstractmethod
    def observe(self, state: State) -> Observation:
        """The observation of every row, in the dtypes of the space; calls no network."""

    def action_mask(self, state: State) -> Tensor | None:
        """Mask bool [B, n] in sb3-contrib's flat layout, True where legal; None: all always are."""
        return None

    def reference_action(self, state: State) -> Tensor | None:
        """The scripted baseline's action for every row, where one exists."""
        return None

    def random_action(self, state: State) -> Tensor | None:
        """What `random` plays for every row; None: uniformly among the legal actions.

        For tasks in which a uniform action means nothing, and chance is that of a sampler.
        """
        return None

    @abstractmethod
    def render(self, state: State, index: int) -> np.ndarray:
        """A picture of row `index`: uint8 [H, W, 3]; needs no display."""

    def artefact(self, state: State, index: int) -> Any:
        """What row `index` made, as a user would keep it (image, mesh, film ...)."""
        raise NotImplementedError(f"{type(self).__name__} has no artefact")

    def judge(self, final: State) -> dict[str, Tensor]:
        """The metrics of kind `judge` of ended episodes, float32 [K]; `evaluate` alone calls it."""
        return {}

    def features(self, final: State) -> Tensor | None:
        """Features [K, F] for the metrics of kind `set`; `evaluate` alone calls it."""
        return None

    def set_metrics(self, features: Tensor) -> dict[str, float]:
        """The metrics of kind `set` from the features [K, F] of K episodes."""
        return {}


def _device(device: str | torch.device) -> torch.device:
    try:
        result = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be one that torch knows; got {device!r}") from error
    if result.type == "cuda":
        if torch.cuda._is_in_bad_fork():
            raise RuntimeError(
                "CUDA was initialised before this process was forked: start the workers with "
                'context="spawn" (gym.make_vec(..., vector_kwargs={"context": "spawn"}))'
            )
        if (result.index or 0) >= (count := torch.cuda.device_count()):
            seen = f"{count} CUDA devices" if count else "no CUDA device"
            raise ValueError(f"device={str(device)!r} was asked for, but torch sees {seen}")
    elif result.type == "meta":
        raise ValueError("device must hold numbers; got 'meta'")
    elif result.type != "cpu":
        try:
            torch.zeros(1, device=result)
        except Exception as error:  # each backend has its own
            raise ValueError(
                f"device={str(device)!r} was asked for, but torch cannot use it: {error}"
            ) from error
    return result


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    return DTYPES[name]
