"""Playing episodes from the command line, and putting on film what happens."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genenvs.cli.problems import USAGE, Problem, writing
from genenvs.core.files import replacing
from genenvs.core.registry import Declaration

if TYPE_CHECKING:
    import numpy as np

    from genenvs.core.env import TaskEnv
    from genenvs.images.files import Writer

SUFFIXES = (".gif", ".mp4", ".png")
RESERVED = {"split": "--split", "render_mode": "--out"}
HOLD = 4  # frames for which a film stands still at the end of an episode
Policy = Callable[["TaskEnv", Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Played:
    """What one episode came to; `score` is None where a step's metrics do not hold it."""

    total: float
    length: int
    score: float | None


def read_arguments(pairs: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments from `key=value`: a value is JSON where it reads as such, else a string.

    Raises:
        Problem: no `=`, or a key that an option of the command sets.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise Problem(f"--arg must be key=value, as in horizon=10; got {pair!r}", USAGE)
        if key in RESERVED:
            raise Problem(f"--arg {key}: use {RESERVED[key]}", USAGE)
        try:
            arguments[key] = json.loads(value)
        except ValueError:
            arguments[key] = value
    return arguments


def make(declared: Declaration, **arguments: Any) -> "TaskEnv":
    """The single environment of an id.

    Raises:
        Problem: an argument is wrong, or something that the id needs is missing.
    """
    from genenvs.core.env import TaskEnv

    try:
        return TaskEnv(declared.task, **dict(declared.arguments) | arguments)
    except (TypeError, ValueError) as error:
        raise Problem(f"{declared.id}: {error}", USAGE) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise Problem(f"{declared.id} cannot be made: {error}") from error


def random_policy(env: "TaskEnv", seed: int) -> Policy:
    """Uniform over the actions that are legal, or what the task calls chance."""
    from genenvs.core.actions import sample_mask

    space = env.action_space
    space.seed(seed)

    def act(env: "TaskEnv", info: Mapping[str, Any]) -> Any:
        chance = env.random_action()
        if chance is not None:
            return chance
        if "action_mask" not in info:
            return space.sample()
        return space.sample(mask=sample_mask(space, info["action_mask"]))

    return act


def reference_policy(env: "TaskEnv", seed: int) -> Policy:
    """The task's own scripted baseline.

    Raises:
        Problem: it has none.
    """
    from genenvs.core.task import Task

    if type(env.task).reference_action is Task.reference_action:
        raise Problem(
            f"{type(env.task).__name__} has no reference agent; use --agent random", USAGE
        )

    def act(env: "TaskEnv", info: Mapping[str, Any]) -> Any:
        action = env.reference_action()
        if action is None:
            raise Problem("the reference agent has no answer for these arguments", USAGE)
        return action

    return act


POLICIES = {"random": random_policy, "reference": reference_policy}


@contextmanager
def output(path: Path | None, fps: float = 4) -> Iterator["Writer | None"]:
    """What takes the pictures; whatever fails, what stood at `path` before still stands there.

    Raises:
        Problem: nothing can be written there; known before anything is played, but for a disk that
            fills up later.
    """
    if path is None:
        yield None
        return
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise Problem(f"--out must end in {known}; got {str(path)!r}", USAGE)
    if path.is_dir():
        raise Problem(f"cannot write {path}: it is a folder")
    from genenvs.images.files import writer

    try:
        with replacing(path) as temporary:
            temporary.write_bytes(bytes(1 << 16))  # a full disk says so now
            try:
                pictures = writer(temporary, suffix, fps)
            except ImportError as error:
                raise Problem(f"{suffix}: {error}") from error
            yield pictures
            pictures.close()
    except OSError as error:
        raise writing(path, error) from error


def play(
    env: "TaskEnv",
    policy: Policy,
    seed: int,
    episodes: int,
    score: str,
    pictures: "Writer | None" = None,
    film: bool = False,
) -> Iterator[Played]:
    """The first `episodes` episodes of a seed, one after the other.

    Args:
        env: made with `render_mode="rgb_array"` where there are pictures.
        policy: of (env, info) -> action.
        seed: of the environment; episode k is the k-th of its sequence.
        episodes: how many.
        score: name of the score metric, or `return`.
        pictures: takes every frame (`film`), or what each episode made.
        film: see there.
    """
    for episode in range(episodes):
        _, info = env.reset(seed=seed if episode == 0 else None)
        total, length, ended = 0.0, 0, False
        while not ended:
            if film and pictures is not None:
                pictures.add(frame(env))
            _, reward, terminated, truncated, info = env.step(policy(env, info))
            total, length, ended = total + reward, length + 1, terminated or truncated
        if pictures is not None:
            pictures.add(frame(env) if film else made(env), HOLD)
        yield Played(total, length, total if score == "return" else info["metrics"].get(score))


def made(env: "TaskEnv") -> Any:
    """What an episode made where that is an image, else the picture of its last state."""
    from PIL import Image

    try:
        artefact = env.artefact()
    except NotImplementedError:
        artefact = None
    return artefact if isinstance(artefact, Image.Image) else frame(env)


def frame(env: "TaskEnv") -> "np.ndarray":
    """The picture of the present state, uint8 [H, W, 3]."""
    picture = env.render()
    assert picture is not None  # `rgb_array` was asked for
    return picture
