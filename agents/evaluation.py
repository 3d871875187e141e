"""Scoring an agent by `genenvs.evaluate`, and filming its best, median and worst episode."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode

import genenvs
from genenvs.core.evaluate import Evaluation, Interval
from genenvs.core.files import replacing, sha256
from genenvs.core.loading import load_task
from genenvs.core.registry import declaration, normalise, scores

from . import checkpoint
from .problem import Problem
from .training import Trained

ROWS = 256  # of an evaluation's batch
FILMS = "episodes"  # folder
MOST_FRAMES = 300


class Policy:
    """An agent as `genenvs.evaluate` calls it; its memory, if any, starts anew with each batch."""

    def __init__(self, agent: Any) -> None:
        self.agent = agent

    def __call__(self, observation: Any, info: dict[str, Any]) -> Any:
        """The agent's best actions."""
        return self.agent.act(observation, info)

    def reset(self, num_envs: int) -> None:
        """Forget; new episodes begin in all rows."""
        if hasattr(self.agent, "reset"):
            self.agent.reset(num_envs)


@dataclass(frozen=True)
class Scored:
    """What an evaluation came to, as tables and files show it."""

    evaluation: Evaluation
    env: str
    score: Interval
    normalised: float | None  # 0 random, 1 reference; None where no scores were measured

    @property
    def instead_of(self) -> str | None:
        """The id's own score, where it has no meaning and another metric stands in for it."""
        own = declaration(self.env).score if self.env in genenvs.ids() else None
        return None if own == self.evaluation.score else own

    def record(self) -> dict[str, Any]:
        """For JSON."""
        found = self.evaluation
        instead = {} if self.instead_of is None else {"instead_of": self.instead_of}
        return {
            "env": self.env,
            "split": found.split,
            "score": found.score,
            **instead,
            **vars(self.score),
            "normalised": self.normalised,
            "arguments_hash": found.arguments,
            "all": found.summary(),
        }


def score(
    trained: Trained,
    *,
    episodes: int | None = None,
    split: str = "test",
    seeds: Sequence[int] = (0,),
    judged: bool = True,
    progress: bool = False,
) -> Scored:
    """Play a fixed list of episodes for each seed, and average over all of them.

    Args:
        trained: what `agents.train` or `agents.load` gave.
        episodes: of each seed; default: the whole split where its instances are finite, else 1,000.
        split: `train`, `validation` or `test`; other people's environments have none.
        seeds: of environments.
        judged: measure what is slow to measure as well; always so where that is the score.
        progress: show a progress bar.

    Raises:
        ValueError: a wrong argument.
    """
    problem = trained.problem
    if episodes is not None and episodes < 1:
        raise ValueError(f"episodes must be at least 1; got {episodes}")
    if not problem.native and len(seeds) > 1:
        # Their episodes are seeds that follow each other: those of neighbours would be the same.
        seeds = [int(np.random.SeedSequence(s).generate_state(1)[0] >> 1) for s in seeds]
    rows = ROWS if episodes is None else min(ROWS, episodes)
    more: dict[str, Any] = {}
    if problem.native:
        more = {"split": split, "keep_final": judged or _slow_score(problem.env)}
    envs = problem.make(rows, **more)
    try:
        parts = [
            genenvs.evaluate(
                envs, Policy(trained.agent), episodes=episodes, seed=seed, progress=progress
            )
            for seed in seeds
        ]
    finally:
        envs.close()
    found = parts[0]
    if len(parts) > 1:  # set metrics of one sample do not add up: they are left out
        table = {k: np.concatenate([p.episodes[k] for p in parts]) for k in found.episodes}
        found = replace(found, episodes=table, sets={})
    return Scored(found, problem.env, found.interval(), normalised(problem.env, found))


def _slow_score(env: str) -> bool:
    """Whether the score of an id is measured on ended episodes' states."""
    known = declaration(env)
    metric = load_task(known.task).metrics.get(known.score)
    return metric is not None and metric.when in ("judge", "set")


def normalised(env: str, found: Evaluation) -> float | None:
    """On the scale where 0 is random and 1 the reference, where that is defined."""
    if env not in genenvs.ids() or scores(env) is None:
        return None
    if found.score != declaration(env).score:  # another metric stands in for it
        return None
    try:
        return normalise(env, found)
    except ValueError:  # another split, or other arguments
        return None


def film(trained: Trained, found: Evaluation, folder: Path, split: str = "test") -> list[Path]:
    """The best, the median and the worst episode of an evaluation, played again and drawn.

    An episode depends on its seed and number alone, so it can be played again without the others.

    Args:
        trained: the agent.
        found: what it scored.
        folder: where `episodes/best.gif` and so on are written.
        split: that was played.

    Returns:
        The files.

    Raises:
        RuntimeError: the environment draws nothing.
    """
    from genenvs.images.files import writer

    values = found.episodes[found.score if found.score in found.episodes else "return"]
    order = np.argsort(values, kind="stable")
    places = {"best": order[-1], "median": order[len(order) // 2], "worst": order[0]}
    if (folder / FILMS).is_symlink():
        raise ValueError(f"{folder / FILMS} is a link: films are written into folders alone")
    (folder / FILMS).mkdir(exist_ok=True)
    written = []
    for name, place in places.items():
        seed = int(found.episodes["seed"][place])
        episode = int(found.episodes["episode_index"][place])
        path = folder / FILMS / f"{name}.gif"
        with replacing(path) as temporary:
            pictures = writer(temporary, ".gif", 8)
            for frame in frames(
                trained.problem, lambda envs: Policy(trained.agent), seed, episode, split
            ):
                pictures.add(frame)
            pictures.close()
        written.append(path)
    return written


@torch.no_grad()
def frames(
    problem: Problem,
    make_policy: Callable[[Any], Any],
    seed: int,
    episode: int,
    split: str,
    most: int = MOST_FRAMES,
) -> list[np.ndarray]:
    """Pictures of one episode, its last state included; thinned out where it is long.

    Args:
        problem: the environment.
        make_policy: makes what acts, of the batch of one that it acts in.
        seed: of the list of episodes.
        episode: its number in the list.
        split: that is played.
        most: pictures, but for the last.

    Returns:
        uint8 [H, W, 3] each.
    """
    more: dict[str, Any] = {"split": split} if problem.native else {}
    envs: Any = problem.make(1, AutoresetMode.DISABLED, render_mode="rgb_array", **more)
    options = {"episode": [episode]} if problem.native else None
    try:
        policy = make_policy(envs)
        observation, info = envs.reset(seed=[seed], options=options)
        if hasattr(policy, "reset"):
            policy.reset(1)
        found, ended, step, stride = [], False, 0, 1
        while not ended:
            if step % stride == 0:
                found.append(_picture(envs))
            if len(found) > most:  # drawing may cost much more than playing
                found, stride = found[::2], 2 * stride
            step += 1
            observation, _, terminated, truncated, info = envs.step(policy(observation, info))
            ended = bool(terminated[0]) or bool(truncated[0])
        found.append(_picture(envs))
    finally:
        envs.close()
    return found


def _picture(envs: Any) -> np.ndarray:
    pictures = envs.render()
    if pictures is None or pictures[0] is None:
        raise RuntimeError(f"{envs} draws nothing")
    return np.asarray(pictures[0])


def read_seeds(path: Path) -> list[int]:
    """Environment seeds from a text file, one a line; `#` begins a comment.

    Raises:
        ValueError: a line is no whole number, or there is none.
    """
    seeds = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if text and not text.isdecimal():
            raise ValueError(f"{path}:{number} must be a whole number >= 0; got {text!r}")
        seeds += [int(text)] if text else []
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"{path} must hold seeds, each once; got {len(seeds)}, "
            f"{len(set(seeds))} of them different"
        )
    return seeds


def facts(trained: Trained) -> dict[str, Any]:
    """What a table says of an agent beside its score."""
    assert trained.folder is not None
    imitated = {} if trained.agreement is None else {"agreement": trained.agreement}
    return imitated | {
        "agent": trained.name,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
        "sha256": sha256(trained.folder / checkpoint.NAME),
    }
