"""Laws 3, 4 and 5: autoreset, what a step pays, what it shows, and when the limit strikes."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from genenvs.core.info import step_terms
from genenvs.core.vector import TaskVectorEnv
from genenvs.testing.laws import LawError, check, numpy, require, same
from genenvs.testing.play import MODES, Event, Play, Subject, legal_actions, row_of


@check(3)
def autoreset_is_that_of_gymnasiums_sync(subject: Subject) -> None:
    """In all three modes, step for step, `info`, `final_obs` and partial resets included."""
    for mode in MODES:
        envs = subject.batch(horizon=subject.short, autoreset_mode=mode)
        where = {"mode": mode.name}
        require(envs.metadata.get("autoreset_mode") is mode, 3, "metadata names the mode",
                expected=mode, got=envs.metadata.get("autoreset_mode"))  # fmt: skip
        play = Play(envs, subject.seed).on(subject.play_steps, cut=subject.short // 2 + 1)
        theirs = Play(subject.sync(mode, horizon=subject.short)).again(play.events)
        for event, model in zip(play.events, theirs.events, strict=True):
            mine, model_info = dict(event.result), model.result.pop("info")
            info = mine.pop("info")
            same(3, "a step returns what SyncVectorEnv over the single face returns",
                 model.result, mine, subject.tolerance, strict=True, step=event.step,
                 **where)  # fmt: skip
            _same_info(model_info, info, subject.tolerance, "info", step=event.step, **where)


@check(3)
def torch_output_equals_numpy_output(subject: Subject) -> None:
    """The same numbers, as tensors on the environment's device."""
    for mode in MODES:
        options: dict[str, Any] = {"horizon": subject.short, "autoreset_mode": mode}
        play = Play(subject.batch(**options), subject.seed)
        play.on(subject.short + 2, cut=subject.short // 2 + 1)
        envs = subject.batch(output="torch", **options)
        other = Play(envs)
        for event in play.events:
            twin = other.again([event]).events[-1]
            _all_tensors(other.raw, envs.device, twin.step, mode)
            expected, got = dict(event.result), dict(twin.result)
            _align_final_obs(expected, got)
            same(3, 'output="torch" is output="numpy" as tensors', expected, got,
                 step=event.step, mode=mode.name)  # fmt: skip


@check(3)
def a_partial_reset_leaves_the_other_rows_alone(subject: Subject) -> None:
    """Bit by bit; numpy and torch masks; the caller's options stay as they are."""
    count = max(2, subject.num_envs)
    for mask in (np.arange(count) == 0, torch.arange(count) == count - 1):
        play = Play(subject.batch(count, horizon=subject.short), subject.seed)
        play.on(min(2, subject.short))
        envs = play.envs
        assert isinstance(envs, TaskVectorEnv)
        rows = ~np.asarray(mask)
        before, shown = envs.get_state(), play.events[-1].result["observation"]
        options = {"reset_mask": mask}
        observation, info = envs.reset(options=options)
        require(list(options) == ["reset_mask"] and options["reset_mask"] is mask, 3,
                "reset leaves the caller's options as they are",
                expected=["reset_mask"], got=list(options))  # fmt: skip
        after = envs.get_state()
        for name, value in before.items():
            same(3, "rows outside reset_mask stay bit-equal", numpy(value)[rows],
                 numpy(after[name])[rows], field=name, mask=type(mask).__name__)  # fmt: skip
        for row in np.flatnonzero(rows).tolist():
            same(3, "a partial reset shows the other rows as they were", row_of(shown, row),
                 row_of(numpy(observation), row), row=row)  # fmt: skip
        same(3, "info of a partial reset is of the rows reset", np.asarray(mask),
             numpy(info["_episode_index"]))  # fmt: skip


@check(3)
def disabled_autoreset_refuses_to_step_an_ended_row(subject: Subject) -> None:
    """And changes nothing."""
    envs = subject.batch(horizon=subject.short, autoreset_mode=AutoresetMode.DISABLED)
    play = Play(envs, subject.seed)
    play.reset(seed=subject.seed)
    for _ in range(subject.short):
        if not play.ended.any():  # type: ignore[union-attr]
            play.step(legal_actions(envs, play.rng))
    before = envs.get_state()
    try:
        envs.step(legal_actions(envs, play.rng))
    except RuntimeError:
        same(3, "a refused step changes nothing", numpy(before), numpy(envs.get_state()))
    else:
        raise LawError(3, "with autoreset disabled, stepping an ended row raises",
                       expected="RuntimeError", got="a step")  # fmt: skip


@check(3)
def next_step_ignores_the_action_of_an_ended_row(subject: Subject) -> None:
    """Whatever it is: the row is reset, with reward 0."""
    plays = []
    for wild in (False, True):
        envs = subject.batch(horizon=subject.short)
        play = Play(envs, subject.seed)
        play.reset(seed=subject.seed)
        for _ in range(subject.play_steps):
            actions = legal_actions(envs, play.rng)
            if wild:
                actions[play.ended] = np.flip(actions)[play.ended] if actions.ndim == 1 else 0
                if isinstance(envs.single_action_space, spaces.Box):
                    actions[play.ended] = np.nan
                elif play.ended.any():  # type: ignore[union-attr]
                    actions = actions.astype(np.int64)
                    actions[play.ended] = 10**6
            play.step(actions)
        plays.append(play)
    for one, two in zip(plays[0].events, plays[1].events, strict=True):
        same(3, "NEXT_STEP ignores the action of an ended row", one.result, two.result,
             step=one.step)  # fmt: skip
        if one.before is not None and one.before.any():
            same(3, "NEXT_STEP pays 0 for the step that resets", 0.0 * one.before,
                 one.result["reward"] * one.before, step=one.step)  # fmt: skip


@check(4)
def reward_is_the_weighted_sum_of_its_terms(subject: Subject) -> None:
    """In all modes, with the default weights and with others."""
    own = {name: 0.5 + 0.75 * i for i, name in enumerate(subject.kind.terms)}
    for weights in (subject.arguments.get("reward_weights"), own):
        for mode in MODES:
            envs = subject.batch(horizon=subject.short, autoreset_mode=mode, reward_weights=weights)
            play = Play(envs, subject.seed).on(subject.play_steps)
            for event in play.events:
                if event.actions is None:
                    continue
                terms = step_terms(event.result["info"])
                require(set(terms) == set(envs.weights), 4, "every declared term is paid",
                        expected=sorted(envs.weights), got=sorted(terms),
                        step=event.step)  # fmt: skip
                total = sum(envs.weights[name] * terms[name].astype(float) for name in terms)
                same(4, "reward is the weighted sum of its terms", total, event.result["reward"],
                     1e-5, step=event.step, mode=mode.name)  # fmt: skip


@check(4)
def changes_telescope(subject: Subject) -> None:
    """The sum of a change over an episode is its metric's final minus its initial value."""
    changes = {k: t.change_of for k, t in subject.kind.terms.items() if t.change_of is not None}
    for name, metric in changes.items():
        declared = subject.kind.metrics.get(metric)
        require(declared is not None and declared.when == "step", 4,
                "a change is that of a metric of kind `step`", term=name, got=metric)  # fmt: skip
    if not changes:
        return
    starts: dict[str, list[np.ndarray]] = {name: [] for name in changes}
    for attempt in range(4):
        envs = subject.batch(horizon=subject.short, autoreset_mode=AutoresetMode.DISABLED)
        play = Play(envs, subject.seed, np.random.default_rng(attempt))
        play.reset(seed=subject.seed)
        total = dict.fromkeys(changes, 0.0)
        for step in range(subject.short):
            if play.ended.any():  # type: ignore[union-attr]
                break
            info = play.step(legal_actions(envs, play.rng)).result["info"]
            for name, metric in changes.items():
                paid, value = info["terms"][name], info["metrics"][metric]
                if step == 0:
                    # What stood there at the start does not depend on the action taken.
                    starts[name].append(value - paid)
                total[name] = total[name] + paid
                same(4, "a change sums to its metric's final minus its initial value",
                     value - starts[name][0], total[name], 1e-4, term=name, metric=metric,
                     step=step)  # fmt: skip


@check(5)
def observations_lie_in_their_space(subject: Subject) -> None:
    """Of its dtype, finite, within bounds; at resets, steps and ends."""
    envs = subject.batch(horizon=subject.short, autoreset_mode=AutoresetMode.SAME_STEP)
    for path, space in _leaves(envs.single_observation_space):
        bounded = not isinstance(space, spaces.Box) or space.is_bounded()
        require(bounded, 5, "every Box is bounded", got=space, key=path or None)
    space = envs.single_action_space
    if isinstance(space, spaces.Box):
        require(bool((space.low == -1).all() and (space.high == 1).all()), 5,
                "a Box of actions is [-1, 1]", got=space)  # fmt: skip
    for event in Play(envs, subject.seed).on(subject.play_steps, subject.short // 2).events:
        _contained(envs, event.result["observation"], range(envs.num_envs), step=event.step)
        finals = event.result["info"].get("final_obs")
        for row in np.flatnonzero(event.result["info"].get("_final_obs", [])):
            _inside(envs.single_observation_space, finals[row], row=int(row), step=event.step,
                    final="final_obs")  # fmt: skip
        if event.actions is not None:
            for name, dtype in (
                ("terminated", "bool"),
                ("truncated", "bool"),
                ("reward", "float64"),
            ):
                require(str(event.result[name].dtype) == dtype, 5, f"{name} is {dtype} [B]",
                        got=str(event.result[name].dtype))  # fmt: skip
            require(bool(np.isfinite(event.result["reward"]).all()), 5, "rewards are finite",
                    got=event.result["reward"], step=event.step)  # fmt: skip


@check(5)
def what_is_returned_shares_no_storage_with_later_steps(subject: Subject) -> None:
    """Nothing returned changes later, and scribbling over it changes nothing later."""
    for output in ("numpy", "torch"):
        for mode in MODES:
            options: dict[str, Any] = {
                "horizon": subject.short, "autoreset_mode": mode, "output": output,
                "keep_final": True}  # fmt: skip
            tame = Play(subject.batch(**options), subject.seed)
            kept = []
            for number in range(subject.play_steps):
                tame.on(1, cut=0 if number == subject.short // 2 + 1 else None)
                kept.append((tame.raw, numpy(tame.raw), number))
            for raw, copy, number in kept:
                same(5, "what a call returned is not changed by later calls", copy, numpy(raw),
                     step=number, mode=mode.name, output=output)  # fmt: skip
            wild = Play(subject.batch(**options))
            for event in tame.events:
                copied = Event(event.step, {}, event.seed, event.mask, event.actions)
                if event.actions is None:
                    twin = wild.again([copied]).events[-1]
                else:
                    given = event.actions.copy()
                    twin = wild.step(torch.from_numpy(given) if output == "torch" else given)  # type: ignore[arg-type]
                    _scribble(given)
                same(5, "scribbling over what was returned, or over the actions given, changes"
                     " nothing later", event.result, twin.result, step=event.step, mode=mode.name,
                     output=output)  # fmt: skip
                _scribble(wild.raw)


@check(5)
def the_limit_strikes_at_the_horizon(subject: Subject) -> None:
    """For every row on its own, as the flag that the task declares, at any horizon."""
    flag = "terminated" if subject.kind.ends == "terminates" else "truncated"
    never = "truncated" if flag == "terminated" else None
    lengths = {subject.short}
    for horizon in (2, 3):
        try:
            subject.batch(1, horizon=horizon)
        except ValueError:
            continue  # the task says that it cannot be that short
        lengths.add(horizon)
    if subject.horizon <= subject.steps:
        lengths.add(subject.horizon)
    for horizon in sorted(lengths):
        envs = subject.batch(horizon=horizon, autoreset_mode=AutoresetMode.SAME_STEP)
        play = Play(envs, subject.seed)
        taken = np.zeros(envs.num_envs, int)
        cut = horizon // 2
        for event in play.on(2 * horizon + 1, cut=cut or None).events:
            if event.actions is None:
                taken[slice(None) if event.mask is None else event.mask] = 0
                continue
            taken += 1
            terminated, truncated = event.result["terminated"], event.result["truncated"]
            where = {"step": event.step, "horizon": horizon}
            over = taken > horizon
            require(not over.any(), 5, "no episode outlasts its horizon", **where,
                    row=int(over.argmax()), expected=f"<= {horizon}",
                    got=int(taken.max()))  # fmt: skip
            last = taken == horizon
            struck = terminated | event.result[flag]
            for row in np.flatnonzero(last & ~struck):
                seen = f"terminated={terminated[row]}, truncated={truncated[row]}"
                raise LawError(5, f"the limit strikes at exactly the horizon as `{flag}`", **where,
                               row=int(row), expected=f"{flag}=True",
                               got=seen)  # fmt: skip
            early = truncated & ~last
            require(not early.any(), 5, "nothing is truncated before the horizon", **where,
                    row=int(early.argmax()), expected=horizon,
                    got=int(taken[early.argmax()]))  # fmt: skip
            both = terminated & truncated
            require(not both.any(), 5, "a row ends by one flag", row=int(both.argmax()), **where)
            if never is not None:
                require(not truncated.any(), 5, "a task that terminates is never truncated",
                        row=int(truncated.argmax()), **where)  # fmt: skip
            taken[terminated | truncated] = 0
        same(5, "state.step counts the actions of the episode", taken,
             numpy(envs.state.step), horizon=horizon)  # fmt: skip


def _same_info(
    model: dict[str, Any], mine: dict[str, Any], tolerance: float, path: str, **where: Any
) -> None:
    """Ours holds what theirs does; beyond that, only keys under a False mask."""
    for key, mask in model.items():
        if not key.startswith("_"):
            continue
        name = key[1:]
        require(key in mine and name in mine, 3, "info holds what SyncVectorEnv's holds",
                key=f"{path}.{name}", expected="present", got="absent", **where)  # fmt: skip
        same(3, "the masks of info are those of SyncVectorEnv", mask, mine[key], **where,
             table=f"{path}.{key}")  # fmt: skip
        if isinstance(model[name], dict):
            _same_info(model[name], mine[name], tolerance, f"{path}.{name}", **where)
            continue
        rows = np.flatnonzero(mask)
        same(3, "info is that of SyncVectorEnv", [model[name][i] for i in rows],
             [mine[name][i] for i in rows], tolerance, table=f"{path}.{name}", **where)  # fmt: skip
    for key in set(mine) - set(model):
        mask = mine[key] if key.startswith("_") else mine.get(f"_{key}")
        require(mask is not None and not np.any(mask), 3,
                "info holds nothing under a True mask that SyncVectorEnv's does not",
                key=f"{path}.{key}", expected="all False", got=mask, **where)  # fmt: skip


def _all_tensors(value: Any, device: torch.device, step: int, mode: AutoresetMode) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            _all_tensors(item, device, step, mode)
        return
    good = isinstance(value, torch.Tensor) and value.device.type == device.type
    require(good, 3, 'with output="torch" everything is a tensor on the device', step=step,
            mode=mode.name, expected=device, got=getattr(value, "device", type(value)))  # fmt: skip
    require(not value.is_inference() and not value.requires_grad, 3,
            "no inference tensor and nothing with a gradient is returned", step=step)  # fmt: skip


def _align_final_obs(expected: dict[str, Any], got: dict[str, Any]) -> None:
    """Bring the object array of final observations and the batch of them to one form."""
    if "final_obs" not in got["info"]:
        return
    rows = np.flatnonzero(got["info"]["_final_obs"])
    for result in (expected, got):
        table = result["info"] = dict(result["info"])
        table["final_obs"] = [row_of(table["final_obs"], int(i)) for i in rows]


def _leaves(space: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(space, spaces.Dict):
        return [leaf for k, v in space.spaces.items() for leaf in _leaves(v, f"{path}{k}")]
    return [(path, space)]


def _contained(envs: TaskVectorEnv, observation: Any, rows: Any, **where: Any) -> None:
    for (_, space), (key, batched) in zip(
        _leaves(envs.observation_space), _leaves(envs.single_observation_space), strict=True
    ):
        value = observation[key] if isinstance(observation, dict) else observation
        require(value.dtype == space.dtype, 5, "observations have the dtype of their space",
                expected=space.dtype, got=value.dtype, key=key or None, **where)  # fmt: skip
        require(value.shape == space.shape, 5, "observations have the shape of their space",
                expected=space.shape, got=value.shape, key=key or None, **where)  # fmt: skip
        del batched
    for row in rows:
        _inside(envs.single_observation_space, row_of(observation, row), row=row, **where)


def _inside(space: Any, observation: Any, **where: Any) -> None:
    for key, leaf in _leaves(space):
        value = observation[key] if key else observation
        finite = np.asarray(value).dtype.kind != "f" or np.isfinite(value).all()
        require(bool(finite), 5, "observations are finite", got=value, key=key or None, **where)
        require(leaf.contains(value), 5, "observations lie in their space", expected=leaf,
                got=value, key=key or None, **where)  # fmt: skip


def _scribble(value: Any) -> None:
    """Overwrite everything in a result."""
    if isinstance(value, dict):
        value = list(value.values())
    if hasattr(value, "tensors"):
        value = list(value.tensors().values())
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object):
        for item in value:
            _scribble(item)
    elif isinstance(value, torch.Tensor):
        value.copy_(~value if value.dtype == torch.bool else torch.full_like(value, 77))
    elif isinstance(value, np.ndarray) and value.flags.writeable:
        value[...] = ~value if value.dtype == bool else 77
