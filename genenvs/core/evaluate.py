"""The one protocol for scores: a fixed list of episodes, each played exactly once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from genenvs.core import random
from genenvs.core.actions import action_sizes
from genenvs.core.bootstrap import LEVELS, bootstrap
from genenvs.core.registry import arguments_hash, declaration
from genenvs.core.task import State, Task
from genenvs.core.vector import TaskVectorEnv

Policy = Callable[[Any, dict[str, Any]], Any]
SUBSAMPLES = 50  # for the interval of a set metric, which costs milliseconds each


@dataclass(frozen=True)
class Interval:
    """A mean (or set metric) with its 95 % interval by resampling, and its sample size."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        """As a table shows it."""
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        episodes: one value an episode, [E] each, in the order of the fixed list: `return`,
            `length`, `seed`, `episode_index`, `term/<name>` (summed over the episode), and every
            metric by its name (its last value). NaN where an episode has no value: metrics of kind
            `end` where `max_episode_steps` cut it off.
        sets: the metrics of kind `set`.
        score: name of the score metric among `episodes`: the id's own, or where the task cannot
            measure that with its arguments, the one of `Task.stand_ins` that stands in for it.
        arguments: `registry.arguments_hash` of the environment, None without an id of ours.
        split: the split that was played, None for other people's environments.
        instances: the first N instances of the split that it was restricted to, None for all.
        final: the ended episodes' state, with `keep_final`.
    """

    episodes: dict[str, np.ndarray]
    sets: dict[str, Interval] = field(default_factory=dict)
    score: str = "return"
    arguments: str | None = None
    final: State | None = None
    split: str | None = None
    instances: int | None = None

    def interval(self, name: str | None = None) -> Interval:
        """Mean and interval of a value over the episodes that have one; default: of the score.

        Raises:
            KeyError: no such value; lists those there are.
        """
        name = name or self.score
        if name in self.sets:
            return self.sets[name]
        if name not in self.episodes:
            raise KeyError(f"no {name!r} here; there are {', '.join([*self.episodes, *self.sets])}")
        return mean_interval(self.episodes[name])

    def summary(self) -> dict[str, dict[str, float]]:
        """Every value's mean and interval, ready for JSON."""
        skipped = ("seed", "episode_index")
        names = [name for name in self.episodes if name not in skipped]
        return {name: vars(self.interval(name)) for name in [*names, *self.sets]}


def mean_interval(values: np.ndarray, seed: int = 0) -> Interval:
    """Mean of [E] values with a 95 % percentile bootstrap interval over episodes.

    NaN are missing values: `count` is the number of the others, and without any all is NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(np.nan, np.nan, np.nan, 0)
    mean, low, high = bootstrap(lambda strata: strata[0].mean(-1), [values], seed=seed)
    return Interval(float(mean), float(low), float(high), len(values))


def evaluate(
    envs: str | gym.vector.VectorEnv[Any, Any, Any],
    policy: Policy | Literal["random", "reference"],
    *,
    episodes: int | None = None,
    seed: int = 0,
    num_envs: int | None = None,
    split: str = "test",
    keep_final: bool = False,
    progress: bool = False,
    **arguments: Any,
) -> Evaluation:
    """Play a fixed list of episodes, each exactly once, and measure everything.

    The list is the episodes 0 .. E - 1 of one seed; for finite instances the first M of them are
    the split, each instance once. Environments of other libraries play seeds `seed` ..
    `seed + E - 1`. Batches of `num_envs` episodes are played to the end, so that no short episode
    crowds out a long one.

    Args:
        envs: an id, made here with `split` and `arguments`, or any Gymnasium `VectorEnv` with
            autoreset (made with `keep_final=True` if slow metrics are wanted).
        policy: called with (observations, info) of the whole batch, returns actions; or
            `random` (uniform over legal actions, or what the task calls chance), or `reference`
            (the scripted baseline). One that remembers has a method `reset(num_envs)`, called
            before each batch of episodes.
        episodes: E; default: the whole split, `Task.rounds` times, where instances are finite, else
            1,000.
        seed: of the list; policies have their own.
        num_envs: rows of the batch, for an id; default 256, at most E.
        split: which split, for an id.
        keep_final: keep the ended episodes' state in the result, in order.
        progress: show a progress bar.
        **arguments: further arguments of the environment, for an id.

    Returns:
        Values of every episode, and set metrics.

    Raises:
        KeyError: unknown id; names the nearest.
        ValueError: the batch has autoreset disabled, or E is not positive.
    """
    made = isinstance(envs, str)
    score, hashed = "return", None
    if isinstance(envs, str):
        score, hashed = declaration(envs).score, arguments_hash(envs, arguments)
        rows = num_envs or min(256, episodes or 256)
        envs = gym.make_vec(
            envs,
            num_envs=rows,
            split=split,
            keep_final=True,
            autoreset_mode=AutoresetMode.SAME_STEP,
            **arguments,
        )
    elif envs.spec is not None and envs.spec.id in _declared_ids():
        score = declaration(envs.spec.id).score
        hashed = arguments_hash(envs.spec.id, envs.spec.kwargs)
    try:
        return _play(envs, policy, episodes, seed, keep_final, progress, score, hashed)
    finally:
        if made:
            envs.close()


def _declared_ids() -> list[str]:
    from genenvs.core.registry import ids

    return ids()


@torch.no_grad()
def _play(
    envs: gym.vector.VectorEnv[Any, Any, Any],
    policy: Policy | str,
    episodes: int | None,
    seed: int,
    keep_final: bool,
    progress: bool,
    score: str,
    hashed: str | None,
) -> Evaluation:
    from tqdm import tqdm

    if envs.metadata.get("autoreset_mode") is AutoresetMode.DISABLED:
        raise ValueError("evaluate needs an environment with autoreset; this one has it disabled")
    inner = envs.unwrapped
    own = inner if isinstance(inner, TaskVectorEnv) else None
    if episodes is None:
        count = own.episodes.count if own is not None else None
        episodes = count * own.task.rounds if own is not None and count else 1_000
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1; got {episodes}")
    act = _policy(policy, envs, own, seed)
    table: dict[str, np.ndarray] = {}
    finals: list[tuple[np.ndarray, State]] = []
    with tqdm(total=episodes, disable=not progress, unit="episode") as bar:
        for start in range(0, episodes, envs.num_envs):
            count = min(envs.num_envs, episodes - start)
            _wave(envs, own, act, seed, start, count, table, finals, episodes, bar)
    final = _join(finals) if finals else None
    sets: dict[str, Interval] = {}
    if final is not None and own is not None:
        for name, value in own.task.judge(final).items():
            table[name] = value.double().cpu().numpy()
        sets = _set_metrics(own, final, seed)
        if score not in table and score not in sets:
            score = next((name for name in own.task.stand_ins if name in table), score)
    final = final if keep_final else None
    split = limit = None
    if own is not None:
        split, limit = own.task.split, own.episodes.limit
    return Evaluation(table, sets, score, hashed, final, split, limit)


def _wave(
    envs: Any,
    own: TaskVectorEnv | None,
    act: Policy,
    seed: int,
    start: int,
    count: int,
    table: dict[str, np.ndarray],
    finals: list[tuple[np.ndarray, State]],
    episodes: int,
    bar: Any,
) -> None:
    """Play episodes `start` .. `start + count` of the list in the first rows of the batch."""
    rows = envs.num_envs
    index = np.arange(start, start + rows)
    if own is not None:
        observation, info = envs.reset(seed=[seed] * rows, options={"episode": index})
    else:
        observation, info = envs.reset(seed=[seed + int(k) for k in index])
    if hasattr(act, "reset"):
        act.reset(rows)
    active = np.arange(rows) < count
    returns, length = np.zeros(rows), np.zeros(rows, dtype=np.int64)
    sums: dict[str, np.ndarray] = {}
    while active.any():
        observation, reward, terminated, truncated, info = envs.step(act(observation, info))
        returns += np.where(active, _host(reward), 0.0)
        length += active
        for name, value in _merged(info, "terms").items():
            sums[name] = sums.get(name, 0.0) + np.where(active, value, 0.0)
        ended = active & (_host(terminated) | _host(truncated))
        if not ended.any():
            continue
        done = ended.nonzero()[0]
        values = {"return": returns, "length": length, "seed": np.full(rows, seed)}
        values["episode_index"] = index
        if own is None:
            values["seed"], values["episode_index"] = seed + index, np.zeros(rows, dtype=np.int64)
        values |= {f"term/{name}": value for name, value in sums.items()}
        values |= _merged(info, "metrics", missing=np.nan)
        for name, value in values.items():
            empty = np.nan if value.dtype.kind == "f" else 0
            column = table.setdefault(name, np.full(episodes, empty, dtype=value.dtype))
            column[start + done] = value[done]
        if "final_state" in info:
            # The state holds all rows that ended, those of finished episodes among them.
            every = (_host(terminated) | _host(truncated)).nonzero()[0]
            mine = torch.as_tensor(ended[every].nonzero()[0])
            finals.append((start + done, info["final_state"].rows(mine)))
        active &= ~ended
        bar.update(len(done))


def _policy(policy: Policy | str, envs: Any, own: TaskVectorEnv | None, seed: int) -> Policy:
    if not isinstance(policy, str):
        return policy
    if policy == "reference":
        if own is None:
            raise ValueError('"reference" is for genenvs environments')

        def follow(observation: Any, info: dict[str, Any]) -> Tensor:
            action = own.reference_action()
            if action is None:
                raise ValueError(f"{type(own.task).__name__} has no reference policy")
            return action

        return follow
    if policy == "random":
        return random_policy(envs, seed)
    raise ValueError(f'policy must be callable, "random" or "reference"; got {policy!r}')


def random_policy(envs: gym.vector.VectorEnv[Any, Any, Any], seed: int = 0) -> Policy:
    """A policy that draws uniformly among the legal actions; its stream is its own.

    A task that says itself what chance is (`Task.random_action`) plays that.
    """
    space, inner = envs.single_action_space, envs.unwrapped
    chance = isinstance(inner, TaskVectorEnv) and type(inner.task).random_action
    if isinstance(inner, TaskVectorEnv) and chance is not Task.random_action:
        return lambda observation, info: inner.random_action()
    if not isinstance(inner, TaskVectorEnv) or isinstance(space, gym.spaces.Box):
        envs.action_space.seed(seed)
        return lambda observation, info: envs.action_space.sample()
    sizes = action_sizes(space)
    first = torch.as_tensor(np.asarray(getattr(space, "start", 0)), device=inner.device)
    stream = random.mix(torch.arange(envs.num_envs), seed, random.word("random policy"))
    step = 0

    def draw(observation: Any, info: dict[str, Any]) -> Tensor:
        nonlocal step
        step += 1
        mask = inner.action_masks()
        keys = random.uniform(stream, random.counter(step, 0), mask.shape[1]).to(mask.device)
        # In each dimension the largest key among the legal entries.
        parts = [part.argmax(1) for part in (keys + mask).split(sizes, 1)]
        return torch.stack(parts, 1).reshape(envs.action_space.shape or (-1,)) + first

    return draw


def _set_metrics(own: TaskVectorEnv, final: State, seed: int) -> dict[str, Interval]:
    features = own.task.features(final)
    return {} if features is None else set_intervals(own.task.set_metrics, features, seed)


def set_intervals(
    metrics: Callable[[Tensor], dict[str, float]], features: Tensor, seed: int = 0
) -> dict[str, Interval]:
    """Set metrics of features [K, F], with 95 % intervals by subsampling halves.

    A bootstrap would draw episodes twice, which a distance to the nearest neighbour takes for a
    lack of diversity. Halves drawn without replacement hold no duplicates; metrics that depend on
    the sample's size have another mean there, so the values' spread around their own mean is what
    is laid around the metric of all K. Below 4 episodes there is no interval: its ends are NaN.
    """
    whole, count = metrics(features), len(features)
    half = count // 2
    if half < 2:
        return {name: Interval(value, np.nan, np.nan, count) for name, value in whole.items()}
    generator = np.random.default_rng(seed)
    parts = [
        metrics(features[torch.as_tensor(generator.permutation(count)[:half])])
        for _ in range(SUBSAMPLES)
    ]
    # Without replacement a mean of m of n varies by (1/m - 1/n), that of all n by 1/n.
    scale = np.sqrt(half / (count - half))
    found = {}
    for name, value in whole.items():
        values = np.array([part[name] for part in parts])
        low, high = np.percentile(values - values.mean(), LEVELS) * scale
        found[name] = Interval(
            value, float(value + min(low, 0.0)), float(value + max(high, 0.0)), count
        )
    return found


def _merged(info: Mapping[str, Any], key: str, missing: float = 0.0) -> dict[str, np.ndarray]:
    """A table of `info` with the ended rows' values, which stand in `final_info`, put in.

    Rows whose masks are all False have the value `missing`.
    """
    merged: dict[str, np.ndarray] = {}
    for table in (info.get(key, {}), info.get("final_info", {}).get(key, {})):
        for name, value in table.items():
            if not name.startswith("_"):
                value = _host(value).astype(np.float64)
                before = merged.get(name, np.full_like(value, missing))
                merged[name] = np.where(_host(table.get(f"_{name}", True)), value, before)
    return merged


def _host(value: Any) -> np.ndarray:
    return value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _join(parts: list[tuple[np.ndarray, State]]) -> State:
    """The states of all episodes, in the order of their places in the list."""
    tables = [state.tensors() for _, state in parts]
    joined = {k: torch.cat([table[k] for table in tables]) for k in tables[0]}
    order = torch.as_tensor(np.concatenate([places for places, _ in parts]).argsort())
    return type(parts[0][1])(**joined).rows(order)
