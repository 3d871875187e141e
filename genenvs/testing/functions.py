"""The contract of `Task` itself, and law 6: functions row by row, masks, declarations."""

import dataclasses
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import Tensor

from genenvs.core.actions import flat_actions, sample_mask
from genenvs.core.task import Outcome, State, Task
from genenvs.core.vector import TaskVectorEnv
from genenvs.testing.laws import LawError, check, numpy, require, same
from genenvs.testing.play import Play, Subject, legal_actions, random_actions, storages

_SLACK = 1e-5  # a sum over one row may round otherwise than over a batch of rows


@check(0)
def transition_depends_on_its_arguments_alone(subject: Subject) -> None:
    """`transition(state.clone(), a)` equals `transition(state, a)`, and row i is of row i alone."""
    for envs, state, action, step in _moments(subject):
        task = envs.task
        whole = _as_dict(task.transition(state.clone(), action))
        again = _as_dict(task.transition(state.clone(), action.clone()))
        same(0, "transition(state.clone(), a) equals transition(state, a)", whole, again, step=step)
        for rows in (torch.arange(len(action)).flip(0), torch.tensor([len(action) - 1])):
            rows = rows.to(action.device)
            part = _as_dict(task.transition(state.rows(rows), action[rows]))
            same(0, "a row's transition does not depend on the other rows",
                 _take(whole, rows), part, max(_SLACK, subject.tolerance), step=step,
                 rows=rows.tolist())  # fmt: skip
        observed = _each(task.observe(state), numpy)
        task.observe(state)
        task.action_mask(state)
        same(0, "observe and action_mask do not change the state", observed,
             _each(task.observe(state), numpy), step=step)  # fmt: skip


@check(0)
def transition_calls_no_network(subject: Subject) -> None:
    """Nor do `initial_state` and `observe`: `prepare` alone does."""
    for envs, state, action, step in _moments(subject, steps=2):
        task = envs.task
        calls: list[int] = []

        def spy(given: State, call: Any = task.prepare, seen: list[int] = calls) -> Any:
            seen.append(1)
            return call(given)

        task.prepare = spy
        with _ModuleCalls() as modules:
            task.initial_state(state.instance.clone(), state.key.clone())
            after = task.transition(state.clone(), action).state
            task.observe(after)
            task.action_mask(after)
        del task.prepare
        seen = ["prepare"] * len(calls) + modules.names
        require(not seen, 0, "initial_state, transition and observe call no network", step=step,
                expected="no calls", got=seen)  # fmt: skip


@check(0)
def transition_counts_the_step(subject: Subject) -> None:
    """`state.step` rises by one; `instance` and `key` stay."""
    for envs, state, action, step in _moments(subject):
        after = envs.task.transition(state.clone(), action).state
        require(type(after) is type(state), 0, "transition keeps the type of the state",
                expected=type(state).__name__, got=type(after).__name__)  # fmt: skip
        for name, value, expected in (
            ("step", after.step, state.step + 1),
            ("instance", after.instance, state.instance),
            ("key", after.key, state.key),
        ):
            same(0, "transition adds one to state.step and keeps instance and key",
                 numpy(expected), numpy(value), field=name, step=step)  # fmt: skip


@check(0)
def state_fields_are_tensors_of_their_own(subject: Subject) -> None:
    """First axis the batch, on the device, none sharing storage with another."""
    for envs, state, action, step in _moments(subject, steps=2):
        task = envs.task
        start = task.initial_state(state.instance.clone(), state.key.clone())
        result = task.transition(state.clone(), action)
        after = task.prepare(result.state.clone())
        states = {"initial_state": start, "transition": result.state, "prepare": after}
        for name, each in states.items():
            _fields(each, len(action), envs.device, name, step)
        again = storages(task.initial_state(state.instance.clone(), state.key.clone()))
        for field, place in storages(start).items():
            require(place != again[field], 0, "two calls of initial_state share no storage",
                    field=field)  # fmt: skip


@check(0)
def stepping_ended_rows_is_harmless(subject: Subject) -> None:
    """Functions are total: an ended row may be stepped on, disturbs no other row."""
    envs = subject.batch(horizon=subject.short, autoreset_mode=AutoresetMode.DISABLED)
    play = Play(envs, subject.seed)
    play.reset(seed=subject.seed)
    old = None
    for _ in range(subject.short):
        if play.ended.any():  # type: ignore[union-attr]
            break
        old = envs.state.clone()
        play.step(legal_actions(envs, play.rng))
    if old is None or play.ended is None or not play.ended.any():
        return
    task, over = envs.task, envs.state.clone()
    for name in ("transition", "prepare", "observe"):
        state = over.clone()
        for extra in range(2):
            action = _random(envs, None, envs.num_envs, play.rng)
            try:
                state = task.prepare(task.transition(state, action).state)
                task.observe(state)
                task.action_mask(state)
            except Exception as error:
                raise LawError(0, "an ended row may be stepped",
                               expected="a result that is thrown away",
                               got=f"{type(error).__name__}: {error}", extra_step=extra + 1,
                               function=name) from error  # fmt: skip
    ended = torch.as_tensor(play.ended, device=envs.device)
    fresh = envs.episodes.draw(envs._stream, envs._episode + 1)
    mixed = task.prepare(task.initial_state(*fresh)).where(~ended, over)
    first = int(np.flatnonzero(play.ended)[0])
    neighbour = over.rows(torch.tensor([first], device=envs.device))
    alone = task.prepare(task.initial_state(*fresh)).rows(torch.tensor([first], device=envs.device))
    pair = type(mixed)(**{k: torch.cat([getattr(alone, k), getattr(neighbour, k)])
                          for k in mixed.tensors()})  # fmt: skip
    chosen = _random(envs, _mask(task, alone), 1, play.rng)
    expected = _as_dict(task.transition(alone, chosen))
    both = _as_dict(task.transition(pair, torch.cat([chosen, chosen])))
    same(0, "stepping an ended row disturbs no other row", expected,
         _take(both, torch.tensor([0])), max(_SLACK, subject.tolerance))  # fmt: skip


@check(0)
def what_is_seen_is_what_is_declared(subject: Subject) -> None:
    """Terms and metrics by name and kind, float32 [B] and finite."""
    kind = subject.kind
    require(bool(kind.terms), 0, "a task declares its reward terms", got=dict(kind.terms))
    terms: set[str] = set()
    metrics: dict[str, set[str]] = {"step": set(), "end": set()}
    finals: list[State] = []
    envs = subject.batch(
        max(4, subject.num_envs), horizon=subject.short, autoreset_mode=AutoresetMode.SAME_STEP,
        keep_final=True)  # fmt: skip
    original = envs.task.outcome

    def spy(state: State) -> Outcome:
        result = original(state)
        finals.append(state.clone())
        _values(result.terms | result.metrics, len(state.key), "outcome")
        terms.update(result.terms)
        metrics["end"].update(result.metrics)
        return result

    envs.task.outcome = spy  # type: ignore[method-assign]
    play = Play(envs, subject.seed)
    play.reset(seed=subject.seed)
    for _ in range(subject.play_steps):
        actions = legal_actions(envs, play.rng)
        result = envs.task.transition(envs.state.clone(), _typed(actions, envs.device))
        _values(result.terms | result.metrics, envs.num_envs, "transition")
        require(result.terminated.dtype == torch.bool, 0, "terminated is bool [B]",
                got=result.terminated.dtype)  # fmt: skip
        terms.update(result.terms)
        metrics["step"].update(result.metrics)
        play.step(actions)
    del envs.task.outcome
    same(0, "the terms declared are the terms seen", sorted(kind.terms), sorted(terms))
    for when, names in metrics.items():
        declared = sorted(k for k, m in kind.metrics.items() if m.when == when)
        same(0, f"the metrics declared of kind `{when}` are those seen", declared, sorted(names))
    require(any(metric.gold for metric in kind.metrics.values()), 0,
            "a task has a gold metric, which nobody is paid for",
            got=sorted(kind.metrics))  # fmt: skip
    if subject.judge and finals:
        _judged(envs.task, finals[-1])


@check(6)
def masks_are_exact(subject: Subject) -> None:
    """Bool [B, n], never empty before the end, the same everywhere; illegal means `invalid`."""
    envs = subject.batch(
        horizon=subject.short, autoreset_mode=AutoresetMode.SAME_STEP, render_mode=None
    )
    if isinstance(envs.single_action_space, spaces.Box):
        return
    count = flat_actions(envs.single_action_space)
    play, invalid = Play(envs, subject.seed), "invalid" in subject.kind.metrics
    info = play.reset(seed=subject.seed).result["info"]
    has_mask = envs.task.action_mask(envs.state) is not None
    for step in range(subject.play_steps):
        masks = numpy(envs.action_masks())
        require(masks.shape == (envs.num_envs, count) and masks.dtype == bool, 6,
                "a mask is bool [B, n]", expected=f"bool {[envs.num_envs, count]}",
                got=f"{masks.dtype} {list(masks.shape)}")  # fmt: skip
        if has_mask:
            same(6, "info['action_mask'] is the mask of the state shown", masks,
                 info["action_mask"], step=step)  # fmt: skip
        for row, mask in enumerate(masks):
            _never_empty(envs, mask, row, step)
            form = sample_mask(envs.single_action_space, mask)
            sampled = envs.single_action_space.sample(mask=form)
            require(_legal(envs.single_action_space, mask, sampled), 6,
                    "sample(mask=sample_mask(...)) is legal", row=row, step=step,
                    got=sampled)  # fmt: skip
        reference = envs.reference_action()
        for row in range(envs.num_envs if reference is not None else 0):
            chosen = numpy(reference)[row]
            require(_legal(envs.single_action_space, masks[row], chosen), 6,
                    "the reference's action is legal", row=row, step=step, got=chosen)  # fmt: skip
        if invalid and has_mask:
            _illegal_is_invalid(envs, masks, step)
        info = play.step(legal_actions(envs, play.rng)).result["info"]
        for table in (info, info.get("final_info", {})) if invalid and has_mask else ():
            met = table.get("metrics", {}).get("invalid", np.zeros(1))
            require(not met.any(), 6, "a masked random agent never meets an invalid action",
                    step=step, row=int(met.argmax()), expected=0.0, got=met.max())  # fmt: skip


class _ModuleCalls:
    """Notes every call of a torch module while it is open."""

    def __enter__(self) -> "_ModuleCalls":
        self.names: list[str] = []
        self._handle = torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, _: self.names.append(type(module).__name__)
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._handle.remove()


def _moments(subject: Subject, steps: int | None = None) -> Any:
    """States along a play, each with legal actions and the step number; they may be consumed."""
    envs = subject.batch(horizon=subject.short, autoreset_mode=AutoresetMode.SAME_STEP)
    play = Play(envs, subject.seed)
    play.reset(seed=subject.seed)
    for step in range(subject.short + 1 if steps is None else steps):
        actions = legal_actions(envs, play.rng)
        with torch.no_grad():
            yield envs, envs.state.clone(), _typed(actions, envs.device), step
        play.step(actions)


def _typed(actions: np.ndarray, device: torch.device) -> Tensor:
    """Actions in the form that `transition` takes."""
    dtype = torch.float32 if actions.dtype.kind == "f" else torch.int64
    return torch.as_tensor(actions).to(device, dtype)


def _random(
    envs: TaskVectorEnv, masks: np.ndarray | None, count: int, rng: np.random.Generator
) -> Tensor:
    return _typed(random_actions(envs.single_action_space, masks, count, rng), envs.device)


def _as_dict(result: Any) -> dict[str, Any]:
    return {
        "state": numpy(result.state.tensors()),
        "terms": numpy(result.terms),
        "metrics": numpy(result.metrics),
        "terminated": numpy(result.terminated),
    }


def _take(value: Any, rows: Tensor) -> Any:
    if isinstance(value, dict):
        return {k: _take(v, rows) for k, v in value.items()}
    return value[rows.cpu().numpy()]


def _each(value: Any, function: Any) -> Any:
    return (
        {k: function(v) for k, v in value.items()} if isinstance(value, dict) else function(value)
    )


def _mask(task: Task, state: State) -> np.ndarray | None:
    mask = task.action_mask(state)
    return None if mask is None else numpy(mask)


def _fields(state: State, count: int, device: torch.device, name: str, step: int) -> None:
    where = {"after": name, "step": step}
    for item in dataclasses.fields(state):
        value = getattr(state, item.name)
        good = isinstance(value, Tensor) and value.ndim > 0 and len(value) == count
        require(good, 0, "a field of the state is a tensor whose first axis is the batch", **where,
                field=item.name, expected=[count, "..."],
                got=list(value.shape) if isinstance(value, Tensor) else value)  # fmt: skip
        require(value.device.type == device.type, 0, "the state lives on the task's device",
                **where, field=item.name, expected=device, got=value.device)  # fmt: skip
        require(not value.is_inference(), 0, "no field of the state is an inference tensor",
                **where, field=item.name)  # fmt: skip
        overlap = any(s == 0 and n > 1 for s, n in zip(value.stride(), value.shape, strict=True))
        require(not overlap, 0, "no field of the state is expanded: rows are written in place",
                **where, field=item.name, got=f"strides {value.stride()}")  # fmt: skip
    for name in ("instance", "key", "step"):
        value = getattr(state, name)
        require(value.dtype == torch.int64 and value.shape == (count,), 0,
                "instance, key and step are int64 [B]", **where, field=name,
                got=f"{value.dtype} {list(value.shape)}")  # fmt: skip
    owner: dict[int, str] = {}
    for field, place in storages(state).items():
        other = owner.setdefault(place, field)
        require(other == field, 0, "no two fields of the state share storage", **where,
                fields=f"{other}, {field}")  # fmt: skip


def _values(table: dict[str, Tensor], count: int, name: str) -> None:
    expected = f"torch.float32 {[count]}"
    for key, value in table.items():
        form = f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else type(value)
        require(form == expected, 0, "terms and metrics are float32 [B]", function=name, key=key,
                expected=expected, got=form)  # fmt: skip
        require(bool(torch.isfinite(value).all()), 0, "terms and metrics are finite",
                function=name, key=key, got=numpy(value))  # fmt: skip


def _judged(task: Task, final: State) -> None:
    by_kind = {when: sorted(k for k, m in task.metrics.items() if m.when == when)
               for when in ("judge", "set")}  # fmt: skip
    with torch.no_grad():
        judged = task.judge(final.clone())
        _values(judged, len(final.key), "judge")
        same(0, "the metrics declared of kind `judge` are those seen", by_kind["judge"],
             sorted(judged))  # fmt: skip
        features = task.features(final.clone())
    require((features is not None) == bool(by_kind["set"]), 0,
            "a task has features where it declares metrics of kind `set`",
            expected=by_kind["set"],
            got=None if features is None else list(features.shape))  # fmt: skip
    if features is not None:
        require(features.ndim == 2 and len(features) == len(final.key)
                and bool(torch.isfinite(features).all()), 0, "features are finite [K, F]",
                expected=[len(final.key), "F"], got=list(features.shape))  # fmt: skip


def _split(space: Any) -> np.ndarray:
    if isinstance(space, spaces.Discrete):
        return np.array([int(space.n)])
    if isinstance(space, spaces.MultiBinary):
        return np.full(int(np.prod(space.shape)), 2)
    return np.asarray(space.nvec).reshape(-1)


def _never_empty(envs: TaskVectorEnv, mask: np.ndarray, row: int, step: int) -> None:
    parts = np.split(mask, np.cumsum(_split(envs.single_action_space))[:-1])
    for dimension, part in enumerate(parts):
        require(bool(part.any()), 6, "a mask is never empty before the end", row=row, step=step,
                dimension=dimension, expected="a legal action", got="none")  # fmt: skip


def _legal(space: Any, mask: np.ndarray, action: Any) -> bool:
    start = np.asarray(getattr(space, "start", 0)).reshape(-1)
    values = np.asarray(action).reshape(-1) - start
    offsets = np.concatenate([[0], np.cumsum(_split(space))[:-1]])
    return bool(mask[offsets + values].all())


def _illegal_is_invalid(envs: TaskVectorEnv, masks: np.ndarray, step: int) -> None:
    """Where a mask says no, the transition must say `invalid`."""
    space = envs.single_action_space
    if not isinstance(space, spaces.Discrete):
        return
    rng = np.random.default_rng(step)
    free = np.all(masks, axis=1, keepdims=True)  # rows in which nothing is illegal
    rows = np.flatnonzero(~free)
    if not len(rows):
        return
    actions = random_actions(space, masks ^ ~free, len(masks), rng)
    result = envs.task.transition(envs.state.clone(), _typed(actions, envs.device))
    seen: np.ndarray = numpy(result.metrics["invalid"])[rows]
    worst = int(rows[np.argmin(seen)])
    require(bool(np.min(seen) > 0), 6, "an action that the mask forbids is invalid", row=worst,
            step=step, action=int(actions[worst]), expected="invalid > 0",
            got=np.min(seen))  # fmt: skip
