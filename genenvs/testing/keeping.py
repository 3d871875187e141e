"""Laws 7 and 8: snapshots, pictures, copies and worker processes."""

import copy
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from genenvs.core.vector import TaskVectorEnv
from genenvs.testing.laws import check, numpy, require, same
from genenvs.testing.play import MODES, Play, Subject, legal_actions, row_info, row_of


@check(7)
def a_snapshot_replays_exactly(subject: Subject) -> None:
    """From the middle and from the moment in which rows have ended, in every mode."""
    for mode in MODES:
        options: dict[str, Any] = {"horizon": subject.short, "autoreset_mode": mode}
        for before in sorted({1, subject.short}):
            envs = subject.batch(**options)
            start = Play(envs, subject.seed).on(before)
            snapshot = envs.get_state()
            kept = numpy(snapshot)
            play = Play(envs, ended=start.ended).on(subject.short + 2)
            where: dict[str, Any] = {"mode": mode.name, "after": before}
            same(7, "later steps leave a snapshot alone", kept, numpy(snapshot), **where)
            envs.set_state(snapshot)
            other = subject.batch(**options)
            other.set_state(snapshot)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "state.safetensors"
                other.save_state(path)
                third = subject.batch(**options)
                third.load_state(path)
            for name, again in (("itself", envs), ("another", other), ("a file", third)):
                replay = Play(again).again(play.events)
                for one, two in zip(play.events, replay.events, strict=True):
                    same(7, "a snapshot replays exactly", one.result, two.result, step=one.step,
                         into=name, **where)  # fmt: skip
            same(7, "replaying leaves the snapshot alone", kept, numpy(snapshot), **where)


@check(7)
def a_snapshot_of_the_single_face_replays_exactly(subject: Subject) -> None:
    """`get_state` and `set_state` of the single face, on a new environment too."""
    env, other = (subject.single(horizon=subject.short) for _ in range(2))
    env.reset(seed=subject.seed)
    snapshot = env.get_state()
    other.set_state(snapshot)
    env.set_state(snapshot)
    _walk_together(subject, 7, "a snapshot replays exactly", env, other)


@check(8)
def every_row_renders(subject: Subject) -> None:
    """uint8 [H, W, 3], without a display, without changing anything."""
    display = {k: os.environ.pop(k) for k in ("DISPLAY", "WAYLAND_DISPLAY") if k in os.environ}
    try:
        envs = subject.batch(render_mode="rgb_array", horizon=subject.short)
        play = Play(envs, subject.seed)
        play.reset(seed=subject.seed)
        for step in range(subject.short + 1):
            if step in (0, 1, subject.short):  # a start, what a step changes, and an end
                _pictures_are_right(envs, step)
            play.step(legal_actions(envs, play.rng))
        env = subject.single(render_mode="rgb_array", horizon=subject.short)
        env.reset(seed=subject.seed)
        envs.reset(seed=subject.seed)
        mine: Any = env.render()
        theirs: Any = envs.render()[0]  # type: ignore[index]
        if subject.tolerance and mine.shape == theirs.shape:
            # What one size of batch rounds up, another may round down.
            near = np.abs(mine.astype(int) - theirs) <= 1
            theirs = np.where(near, mine, theirs)
        same(8, "both faces draw the same picture", mine, theirs)
        require(subject.single().render_mode is None, 8, "the default render mode is None")
    finally:
        os.environ.update(display)


def _pictures_are_right(envs: TaskVectorEnv, step: int) -> None:
    before = numpy(envs.get_state())
    frames = envs.render()
    require(isinstance(frames, tuple) and len(frames) == envs.num_envs, 8,
            "render gives a tuple of one picture for every row", step=step,
            expected=envs.num_envs, got=type(frames).__name__)  # fmt: skip
    for row, frame in enumerate(frames or ()):
        good = (isinstance(frame, np.ndarray) and frame.dtype == np.uint8
                and frame.ndim == 3 and frame.shape[2] == 3 and frame.size > 0)  # fmt: skip
        require(good, 8, "a picture is uint8 [H, W, 3]", row=row, step=step,
                expected="uint8 [H, W, 3]",
                got=f"{getattr(frame, 'dtype', None)} {np.shape(frame)}")  # fmt: skip
        frame[...] = 77
    same(8, "render and what is done to its pictures change nothing", before,
         numpy(envs.get_state()), step=step)  # fmt: skip


@check(8)
def a_spec_travels_as_json(subject: Subject) -> None:
    """`gym.make(EnvSpec.from_json(spec.to_json()))` is the same environment."""
    if subject.env_id is None:
        return
    env = subject.single()
    assert env.spec is not None
    other = gym.make(EnvSpec.from_json(env.spec.to_json()))
    same(8, "an environment made from its spec as JSON is the same",
         env.reset(seed=subject.seed), other.reset(seed=subject.seed),
         subject.tolerance)  # fmt: skip


@check(8)
def pickles_and_copies_go_on_alike(subject: Subject) -> None:
    """Both faces, in the middle of an episode: arguments and state travel."""
    for name, duplicate in (("pickle", _pickled), ("deepcopy", copy.deepcopy)):
        env = subject.single(horizon=subject.short)
        env.reset(seed=subject.seed)
        _walk_together(subject, 8, f"{name} of an environment goes on alike", env, duplicate(env))
        envs = subject.batch(horizon=subject.short)
        start = Play(envs, subject.seed).on(1)
        other = duplicate(envs)
        play = Play(envs, ended=start.ended).on(subject.short + 1)
        again = Play(other).again(play.events)
        for one, two in zip(play.events, again.events, strict=True):
            same(8, f"{name} of a vector environment goes on alike", one.result, two.result,
                 step=one.step)  # fmt: skip
        same(8, f"{name} before the first reset", numpy(subject.single().reset(seed=1)),
             numpy(duplicate(subject.single()).reset(seed=1)))  # fmt: skip


@check(8)
def worker_processes_play_the_same_episodes(subject: Subject) -> None:
    """Gymnasium's `AsyncVectorEnv` over the single face."""
    if not subject.asynchronous:
        return
    envs = subject.batch(2, horizon=subject.short)
    # Threaded kernels have run in this process by now: what a fork would inherit.
    play = Play(envs, subject.seed).on(min(3, subject.short) + 2)
    makers = [lambda: subject.single(horizon=subject.short)] * 2
    workers = AsyncVectorEnv(
        makers, autoreset_mode=AutoresetMode.NEXT_STEP, shared_memory=True,
        context="spawn" if envs.device.type == "cuda" else None)  # fmt: skip
    try:
        again = Play(workers)
        for event in play.events:
            got = again.again([event]).events[-1].result
            expected = dict(event.result)
            mine, theirs = expected.pop("info"), got.pop("info")
            same(8, "worker processes play the same episodes", expected, got, subject.tolerance,
                 step=event.step)  # fmt: skip
            for row in range(2):
                same(8, "worker processes report the same info", row_info(theirs, row),
                     row_info(mine, row), subject.tolerance, step=event.step, row=row)  # fmt: skip
    finally:
        workers.close(terminate=True)


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def _walk_together(subject: Subject, law: int, what: str, env: Any, other: Any) -> None:
    rng = np.random.default_rng(0)
    ended = False
    for step in range(subject.short + 2):
        if ended:
            same(law, what, env.reset(), other.reset(), step=step)
        batch: TaskVectorEnv = env.batch
        action = row_of(legal_actions(batch, rng), 0)
        mine, theirs = env.step(action), other.step(action)
        same(law, what, mine, theirs, step=step)
        ended = mine[2] or mine[3]
