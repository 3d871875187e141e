"""Laws 1 and 10, and the page of an id: what other people's checkers, and readers, look for."""

import importlib.util
import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from genenvs.core import registry
from genenvs.testing.laws import LawError, check, require
from genenvs.testing.play import Subject

# Warnings that law 1 lets pass, each with its reason.
TOLERATED = {
    r"Not able to test alternative render modes due to the environment not having a spec":
        "a task that is checked without an id has no spec; rendering is checked by law 8",
    r"(?s)Your observation .* has an unconventional shape":
        "SB3's advice on observations that are neither vectors nor images: its policies flatten"
        " them, which is right for a latent",
    r"It seems that your observation .* is an image but":
        "SB3's image advice, given to every observation of rank 3: a latent is no picture",
    r"(?s)The minimal resolution for an image is 36x36":
        "the same advice",
}  # fmt: skip

SECTIONS = (
    "Description",
    "Action space",
    "Observation space",
    "Rewards",
    "Metrics",
    "Starting state",
    "Episode end",
    "Arguments",
    "Faithful / deviates",
    "Version history",
)


@check(1)
def gymnasiums_checker_passes(subject: Subject) -> None:
    """`gymnasium.utils.env_checker.check_env` finds nothing and warns of nothing."""
    _run(subject, "gymnasium's check_env", gymnasium_check_env)


@check(1)
def stable_baselines3s_checker_passes(subject: Subject) -> None:
    """SB3's `check_env`, where it is installed, finds nothing and warns of nothing."""
    if importlib.util.find_spec("stable_baselines3") is None:
        return
    from stable_baselines3.common.env_checker import check_env

    _run(subject, "Stable-Baselines3's check_env", check_env)


@check(10)
def the_reference_beats_random(subject: Subject) -> None:
    """An id's measured intervals of reference and random do not overlap, on the better side."""
    if subject.env_id is None or subject.env_id not in registry.ids() or not subject.scores:
        return
    entry = registry.scores(subject.env_id)
    if entry is None:
        raise LawError(10, "an id has measured scores for the arguments that it registers",
                       id=subject.env_id, expected="an entry of random and reference",
                       got="none (check_task(..., scores=False) lets this pass)")  # fmt: skip
    name = registry.declaration(subject.env_id).score
    metric = subject.kind.metrics.get(name)
    lower = metric is not None and metric.better == "lower"
    random, reference = ((entry[k]["low"], entry[k]["high"]) for k in ("random", "reference"))
    beats = reference[1] < random[0] if lower else reference[0] > random[1]
    require(beats, 10, "the reference beats random beyond both intervals", score=name,
            expected=f"clear of random's {random}", got=reference)  # fmt: skip


@check(10)
def the_page_is_complete(subject: Subject) -> None:
    """The docstring of a declared id's task has every section, its terms and its metrics."""
    if subject.env_id is None or subject.env_id not in registry.ids():
        return
    page = inspect.getdoc(subject.kind) or ""
    found = re.findall(r"^## (.+)$", page, re.MULTILINE)
    missing = [name for name in SECTIONS if name not in found]
    require(not missing, 10, "the page has all its sections", expected=list(SECTIONS),
            got=f"without {missing}")  # fmt: skip
    for name in (*subject.kind.terms, *subject.kind.metrics):
        require(f"`{name}`" in page, 10, "the page explains every term and metric", missing=name)


def _run(subject: Subject, name: str, checker: Callable[..., Any]) -> None:
    env = subject.single()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        level, gym.logger.min_level = gym.logger.min_level, gym.logger.WARN
        try:
            checker(env)
        except Exception as error:
            raise LawError(1, f"{name} passes", got=f"{type(error).__name__}: {error}") from error
        finally:
            gym.logger.min_level = level
    for warning in caught:
        text = re.sub(r"\x1b\[\d+m", "", str(warning.message))
        if issubclass(warning.category, DeprecationWarning):
            continue  # of the checker's own libraries
        if not any(re.search(pattern, text) for pattern in TOLERATED):
            raise LawError(1, f"{name} warns of nothing but what is tolerated", got=text)
