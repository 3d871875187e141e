"""Many runs of agents: a process each, resumable one by one, two at a time where there is room.

A *cell* is one agent on one environment with one run seed. What it came to is a JSON file under
runs/cells, named by all settings that decide it, so that a benchmark which is stopped, or gets
another row, plays only what is missing. A cell that fails leaves a file too, which says why, and is
played again by the next command. What was played and finds no room there waits among the temporary
files, and the next command keeps it. A change of the code is not seen: delete the folder then.
"""

import dataclasses
import datetime
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from tqdm import tqdm

import genenvs
from benchmarks import apart, machine
from benchmarks.speed.peak import peak_memory
from genenvs.core.evaluate import Evaluation, Interval
from genenvs.core.files import making, replacing, sha256

FOLDER = Path("runs/cells")
SCRIPTED = ("random", "reference")
LIST_SEED = 0  # of the evaluation's episodes, the same for every agent and run
# What came later enters a cell's name only where it is not as it always was.
LATER = {"instances": None, "judged": False, "train_episodes": 0, "keep": False}
LATER_IN_CONFIGS = {  # likewise, of agents' configurations
    "advantages": "sum", "step_weight": 0.0, "prioritise": 0.0, "supervision": "outcome",
    "batch_size": None,
}  # fmt: skip
NOT_METRICS = ("return", "seed", "episode_index")


@dataclass(frozen=True)
class Cell:
    """One run: what to train, and how to score it."""

    agent: str
    """A name of `python -m agents list`, or `random` and `reference`, which are only scored."""
    env: str
    seed: int
    steps: int
    episodes: int | None  # of the evaluation, on the test split; None: all of it, or 1,000
    config: Mapping[str, Any] = field(default_factory=dict)
    instances: int | None = None
    """Train on the first so many of the training split."""
    judged: bool = False
    """Measure what is slow to measure too."""
    train_episodes: int = 0
    """Score so many episodes of the training instances as well."""
    keep: bool = False
    """Keep what acts beside the result."""

    @property
    def name(self) -> str:
        """Of its files, by its settings, defaults of the agent included."""
        config = self.whole_config()
        for field_, was in LATER_IN_CONFIGS.items():
            if field_ in config and config[field_] == was:
                del config[field_]
        settings = asdict(self) | {"config": config}
        for name, usual in LATER.items():
            if settings[name] == usual:
                del settings[name]
        text = json.dumps([genenvs.__version__, settings], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{self.agent.replace(':', '.')}-{self.env.rpartition('/')[2]}-{self.seed}-{digest}"

    def whole_config(self) -> dict[str, Any]:
        """Every field of the agent's configuration."""
        if self.agent in SCRIPTED:
            return {}
        from agents import configs
        from agents.registry import find

        return asdict(configs.make(find(self.agent).Config, self.config))

    @property
    def path(self) -> Path:
        """Where its result is kept."""
        return FOLDER / f"{self.name}.json"

    @property
    def policy(self) -> Path:
        """Where what acts is kept, if it is."""
        return FOLDER / f"{self.name}.safetensors"

    @property
    def failure(self) -> Path:
        """Where it stands why it failed."""
        return FOLDER / f"{self.name}.failed"


@dataclass(frozen=True)
class Limits:
    """What a cell may take.

    Attributes:
        seconds: of time.
        memory_gb: of memory, its workers included; None: all that there is.
    """

    seconds: float
    memory_gb: float | None = None


# --- in the process of a cell ---


def play(cell: Cell, policy: Path | None = None) -> dict[str, Any]:
    """Train and score a cell in this process.

    Args:
        cell: the run.
        policy: a file to write what acts to.
    """
    started = time.perf_counter()
    found, more = _follow(cell) if cell.agent in SCRIPTED else _learn(cell, policy)
    used = os.times()
    interval = found.interval()
    from agents.evaluation import normalised

    return {
        **asdict(cell),
        "score": found.score,
        "mean": interval.mean,
        "normalised": normalised(cell.env, found),
        "arguments_hash": found.arguments,
        "paid": sample(found, "return"),
        "sample": sample(found, found.score),
        "metrics": {
            name: sample(found, name)
            for name in [*found.episodes, *found.sets]
            if name not in NOT_METRICS and found.interval(name).count
        },
        "seconds": time.perf_counter() - started,
        # Of this process and of workers that it started.
        "cpu_seconds": used.user + used.system + used.children_user + used.children_system,
        "peak_gb": peak_memory(),
        "circumstances": machine.describe(),
        "date": datetime.date.today().isoformat(),
        **more,
        **({"values": episode_scores(found)} if cell.keep else {}),
    }


def episode_scores(found: Evaluation) -> list[float] | None:
    """The score of every episode, where each has one."""
    values = found.episodes.get(found.score)
    if values is None or np.isnan(values).any():
        return None
    return [float(f"{value:.7g}") for value in values]


def _follow(cell: Cell) -> tuple[Evaluation, dict[str, Any]]:
    policy: Any = cell.agent
    found = genenvs.evaluate(cell.env, policy, episodes=cell.episodes, seed=LIST_SEED)
    return found, {"steps_per_second": None, "curve": [], "train": None, "weights": None}


def _learn(cell: Cell, policy: Path | None) -> tuple[Evaluation, dict[str, Any]]:
    import agents
    from agents.evaluation import score
    from agents.policy import save

    arguments = {} if cell.instances is None else {"instances": cell.instances}
    trained = agents.train(
        cell.agent, cell.env, steps=cell.steps, seed=cell.seed, config=cell.config,
        arguments=arguments,
    )  # fmt: skip
    train = None
    if cell.train_episodes:
        seen = score(trained, episodes=cell.train_episodes, split="train", judged=False)
        train = sample(seen.evaluation, seen.evaluation.score)
    weights = None
    if policy is not None:  # its header says on what it was trained
        save(trained, policy)
        weights = {"sha256": sha256(policy), "bytes": policy.stat().st_size}
    # The policy is the same on whatever it plays: it is scored on all of the split.
    trained = dataclasses.replace(
        trained, problem=dataclasses.replace(trained.problem, arguments={})
    )
    found = score(trained, episodes=cell.episodes, judged=cell.judged, seeds=(LIST_SEED,))
    return found.evaluation, {
        "steps_per_second": trained.steps / trained.seconds,
        "curve": [
            [row["steps"], round(row["return"], 5), row["episodes"]]
            for row in trained.curve
            if "return" in row
        ],
        "train": train,
        "weights": weights,
    }


def sample(found: Evaluation, name: str) -> dict[str, Any]:
    """Mean, standard deviation and number of an evaluation's values; none of a set metric's."""
    if name in found.sets:
        return {"mean": found.sets[name].mean, "std": None, "n": found.sets[name].count}
    values = np.asarray(found.episodes[name], dtype=np.float64)
    values = values[~np.isnan(values)]
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "std": spread, "n": len(values)}


# --- in the process of a benchmark ---

Outcomes = Generator[tuple[Cell, "Path | str"], None, None]
Player = Callable[[Sequence[Cell], Limits], Outcomes]
"""Plays cells in any order: each with the folder of what it left, or why it failed."""


def play_apart(cell: Cell, limits: Limits, folder: Path) -> None:
    """Play a cell in a process of its own, which leaves its files in a folder.

    Raises:
        benchmarks.apart.Failed: it broke, or took too much.
        OSError: its process could not be started.
    """
    command = ["benchmarks.cells", json.dumps(asdict(cell)), str(folder)]
    apart.run(command, limits.seconds, limits.memory_gb)


def locally(jobs: int) -> Player:
    """Play on this machine, so many at a time; a cell of several workers counts as one."""

    def player(cells: Sequence[Cell], limits: Limits) -> Outcomes:
        def one(cell: Cell, folder: Path) -> Path | str:
            try:
                folder.mkdir()
                play_apart(cell, limits, folder)
            except (apart.Failed, OSError) as error:  # no room or too many files: its own affair
                return str(error)
            return folder

        apart.stopped.clear()
        with tempfile.TemporaryDirectory(prefix="cells-") as name, ThreadPoolExecutor(jobs) as pool:
            played = {}
            for number, cell in enumerate(cells):
                folder = Path(name) / str(number)
                played[pool.submit(one, cell, folder)] = cell
            try:
                for future in as_completed(played):
                    yield played[future], future.result()
            except BaseException:  # Ctrl-C reaches this thread alone
                apart.stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    return player


def run(
    cells: Sequence[Cell],
    jobs: int,
    limits: Limits | float,
    player: Player | None = None,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Results of all cells, in order; those that are known are not played again.

    Args:
        cells: what to play.
        jobs: processes at a time; a cell of several workers counts as one.
        limits: of each cell; a number: seconds alone.
        player: who plays them, in place of this machine.
        quiet: no progress bar; what fails is said all the same.

    Returns:
        What `play` gave, or `{..., "failed": why}`.

    Raises:
        OSError: a result cannot be written. All others are there, and this one waits where the
            text says: the next run takes it up.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    limits = limits if isinstance(limits, Limits) else Limits(limits)
    missing = _missing(cells)
    waiting: Waiting = {cell.name: (cell, held(cell)) for cell in missing if _waits(cell)}
    if waiting:
        _keep_waiting(waiting)
        missing = [cell for cell in _missing(missing) if cell.name not in waiting]
    failed = 0
    played = (player or locally(jobs))(missing, limits)
    with tqdm(total=len(missing), unit="run", disable=quiet) as bar, closing(played):
        for cell, found in played:
            if isinstance(found, str):
                failed += 1
                bar.set_postfix(failed=failed)
                tqdm.write(f"{cell.agent} on {cell.env}, seed {cell.seed}: {found}", sys.stderr)
            try:
                keep(cell, found)
            except OSError as error:  # the others go on: somebody may make room meanwhile
                tqdm.write(f"{cell.agent} on {cell.env}, seed {cell.seed}: {error}", sys.stderr)
                waiting[cell.name] = cell, found if isinstance(found, str) else _hold(cell, found)
            bar.update()
    if (why := _keep_waiting(waiting)) is not None:
        count = sum(isinstance(found, Path) for _, found in waiting.values())
        rest = f"; finished runs that the next command keeps, {count}, wait in {_waiting_room()}"
        raise OSError(f"{why}{rest if count else ''}") from why
    return [result(cell) for cell in cells]


def _missing(cells: Iterable[Cell]) -> list[Cell]:
    return list({cell.name: cell for cell in cells if known(cell) is None}.values())


def keep(cell: Cell, found: Path | str) -> None:
    """Keep what a cell left, or why it failed; the result last, for by it a cell is known."""
    if isinstance(found, str):
        with making(cell.failure) as temporary:
            temporary.write_text(found + "\n", encoding="utf-8")
        return
    for name, place in _files(cell).items():
        with replacing(place) as temporary:
            shutil.copyfile(found / name, temporary)
    cell.failure.unlink(missing_ok=True)
    shutil.rmtree(found, ignore_errors=True)


def _files(cell: Cell) -> dict[str, Path]:
    """What a cell leaves, and where each is kept."""
    policy = {POLICY: cell.policy} if cell.keep and cell.agent not in SCRIPTED else {}
    return {**policy, RESULT: cell.path}


Waiting = dict[str, "tuple[Cell, Path | str]"]
"""By the names of cells: what they left, or why they failed, and could not be kept yet."""
USER = getattr(os, "getuid", int)()  # 0 where files have no such owner


def _waiting_room() -> Path:
    """A folder of temporary files, of this user and this FOLDER alone.

    There what was played lies already: to move it takes no room, which FOLDER's disk has not.
    """
    where = hashlib.sha256(str(FOLDER.resolve()).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"genenvs-cells-{USER}-{where}"


def held(cell: Cell) -> Path:
    """Where what a cell left waits until it can be kept."""
    return _waiting_room() / cell.name


def _hold(cell: Cell, found: Path) -> Path:
    place = held(cell)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    shutil.move(found, place)
    return place


def _waits(cell: Cell) -> bool:
    """Whether all that a cell left is there; of this user, for anybody may write such a folder."""
    place = held(cell)
    if not all((place / name).is_file() for name in _files(cell)):
        return False
    return not place.is_symlink() and place.stat().st_uid == USER


def _keep_waiting(waiting: Waiting) -> OSError | None:
    """Keep what can be kept by now, which waits no longer; gives why something cannot."""
    why = None
    for name, (cell, found) in list(waiting.items()):
        try:
            keep(cell, found)
        except OSError as error:
            why = error
        else:
            del waiting[name]
    return why


# Of what `play` gives, what nobody can do without.
WHOLE = {"score", "sample", "paid", "metrics", "curve", "weights", "train", "seconds"}


def known(cell: Cell) -> dict[str, Any] | None:
    """What `play` gave, if all of it is there; half of it, of a folder that was copied, is none."""
    try:
        found = json.loads(cell.path.read_text(encoding="utf-8"))
        whole = set(found) >= WHOLE and _has_policy(cell, found["weights"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if whole else None


def _has_policy(cell: Cell, weights: Mapping[str, Any] | None) -> bool:
    """Whether the policy that a result tells of lies there, to the last byte."""
    if weights is None:
        return True
    same_size = cell.policy.stat().st_size == weights["bytes"]
    return same_size and sha256(cell.policy) == weights["sha256"]


def result(cell: Cell) -> dict[str, Any]:
    """What is known of a cell: what `play` gave, or `{..., "failed": why}`."""
    found = known(cell)
    if found is not None:
        return found
    why = "not played"
    if cell.failure.exists():
        why = cell.failure.read_text(encoding="utf-8").strip()
    return asdict(cell) | {"failed": why}


def across_seeds(values: Sequence[float]) -> Interval:
    """Mean over run seeds with Student's 95 % interval: seeds, not episodes, are the replicates."""
    array = np.asarray(values, dtype=np.float64)
    mean, count = float(array.mean()), len(array)
    if count < 2:
        return Interval(mean, float("nan"), float("nan"), count)
    half = float(stats.t.ppf(0.975, count - 1) * array.std(ddof=1) / np.sqrt(count))
    return Interval(mean, mean - half, mean + half, count)


RESULT, POLICY = "result.json", "policy.safetensors"


def main(settings: str, folder: str) -> None:
    """Play a cell and leave its files in a folder."""
    apart.end_with_parent()
    cell = Cell(**json.loads(settings))
    scripted = cell.agent in SCRIPTED
    found = play(cell, Path(folder) / POLICY if cell.keep and not scripted else None)
    (Path(folder) / RESULT).write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
