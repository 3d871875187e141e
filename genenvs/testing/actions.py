"""Law 9: what is outside the action space is refused before anything is written."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from genenvs.testing.laws import LawError, check, numpy, require, same
from genenvs.testing.play import Subject, legal_actions

_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_REALS = ("float16", "float32", "float64", "int8", "int64")


@check(9)
def bad_actions_raise_and_change_nothing(subject: Subject) -> None:
    """Wrong shape, count, kind or value: `ValueError` says what was expected and what came."""
    envs = subject.batch(horizon=subject.short, validate=True)
    envs.reset(seed=subject.seed)
    env = subject.single(horizon=subject.short)
    env.reset(seed=subject.seed)
    good = legal_actions(envs, np.random.default_rng(1))
    before, before_single = numpy(envs.get_state()), numpy(env.get_state())
    for name, bad in _bad(envs.single_action_space, good):
        forms = [("numpy or Python", bad)]
        if isinstance(bad, np.ndarray) and bad.dtype.kind in "iufb":
            forms.append(("torch", torch.from_numpy(bad)))
        for form, action in forms:
            _refused(envs, action, f"{name} ({form})")
        same(9, "a refused action changes nothing", before, numpy(envs.get_state()), action=name)
        if name != "wrong count":
            _refused(env, bad[0] if isinstance(bad, np.ndarray) else bad, f"{name} (single face)")
            same(9, "a refused action changes nothing", before_single, numpy(env.get_state()),
                 action=f"{name} (single face)")  # fmt: skip
    envs.step(good)  # and the environment goes on


@check(9)
def any_number_type_does(subject: Subject) -> None:
    """Any integer type for discrete actions, any real type for Box; numpy, torch or Python."""
    envs = subject.batch(horizon=subject.short)
    envs.reset(seed=subject.seed)
    snapshot = envs.get_state()
    action = legal_actions(envs, np.random.default_rng(2))
    real = isinstance(envs.single_action_space, spaces.Box)
    if real:
        action = np.sign(action) * (np.abs(action) > 0.3)  # whole numbers, exact in every type
    expected = numpy([envs.step(action), envs.get_state()])
    forms: list[tuple[str, Any]] = [("list", action.tolist())]
    for dtype in _REALS if real else _INTEGERS:
        cast = action.astype(dtype)
        if (cast.astype(np.float64) != action).any():
            continue  # this type cannot hold these values
        forms.append((f"numpy {dtype}", cast))
        forms.append((f"torch {dtype}", torch.from_numpy(cast)))
    for name, form in forms:
        envs.set_state(snapshot)
        same(9, "any number type does", expected, numpy([envs.step(form), envs.get_state()]),
             action=name)  # fmt: skip


@check(9)
def box_actions_out_of_bounds_are_clipped(subject: Subject) -> None:
    """Finite ones; the result is that of the bound."""
    envs = subject.batch(horizon=subject.short)
    space = envs.single_action_space
    if not isinstance(space, spaces.Box):
        return
    envs.reset(seed=subject.seed)
    snapshot = envs.get_state()
    for bound, far in ((space.high, space.high + 1e6), (space.low, space.low - 1e6)):
        results = []
        for value in (bound, far):
            envs.set_state(snapshot)
            envs.step(np.broadcast_to(value, envs.action_space.shape or ()))
            results.append(numpy(envs.get_state()))
        same(9, "a Box action out of bounds is clipped", *results)


def _bad(space: Any, good: np.ndarray) -> Iterator[tuple[str, Any]]:
    yield "wrong count", np.concatenate([good, good[:1]])
    yield "wrong shape", good[..., None]
    yield "text", np.full(good.shape, "up")
    yield "complex", good.astype(np.complex128)
    yield "nothing", None
    if isinstance(space, spaces.Box):
        for name, value in (("NaN", np.nan), ("infinite", np.inf)):
            bad = good.copy()
            bad.reshape(len(bad), -1)[:, -1] = value
            yield name, bad
        yield "bool", np.zeros(good.shape, bool)
        return
    yield "fractional", good + 0.5
    yield "floating point", good.astype(np.float32)
    yield "NaN", np.full(good.shape, np.nan)
    if isinstance(space, spaces.Discrete):
        low, high = int(space.start), int(space.start) + int(space.n) - 1
        yield "bool", np.zeros(good.shape, bool)
    elif isinstance(space, spaces.MultiDiscrete):
        low, high = int(space.start.flat[-1]), int((space.start + space.nvec).flat[-1]) - 1
    else:
        low, high = 0, 1
    for name, value in (("above the range", high + 1), ("below the range", low - 1)):
        bad = good.astype(np.int64)
        bad.reshape(len(bad), -1)[:, -1] = value
        yield name, bad


def _refused(env: Any, action: Any, name: str) -> None:
    try:
        env.step(action)
    except ValueError as error:
        require("got" in str(error), 9, "the error says what was expected and what came",
                action=name, got=str(error))  # fmt: skip
        return
    except Exception as error:
        seen = f"{type(error).__name__}: {error}"
        raise LawError(9, "an action outside the space raises ValueError", action=name,
                       expected="ValueError", got=seen) from error  # fmt: skip
    raise LawError(9, "an action outside the space raises ValueError", action=name,
                   expected="ValueError", got="a step")  # fmt: skip
