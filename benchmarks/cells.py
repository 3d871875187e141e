"""Many training runs: a process each, resumable one by one, two at a time where there is room.

A *cell* is one agent on one environment with one run seed. What it came to is a JSON file under
runs/cells, named by all settings that decide it, so that a benchmark which is stopped, or gets
another row, plays only what is missing. A change of the code is not seen: delete the folder then.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from tqdm import tqdm

import genenvs
from benchmarks.speed.peak import peak_memory
from genenvs.core.evaluate import Interval
from genenvs.core.files import replacing

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path("runs/cells")


@dataclass(frozen=True)
class Cell:
    """One run: what to train, and how to score it."""

    agent: str
    env: str
    seed: int
    steps: int
    episodes: int  # of the evaluation, on the test split
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where its result is kept, by its settings, defaults of the agent included."""
        from agents import configs
        from agents.registry import find

        config = asdict(configs.make(find(self.agent).Config, self.config))
        settings = asdict(self) | {"config": config}
        text = json.dumps([genenvs.__version__, settings], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        name = f"{self.agent}-{self.env.rpartition('/')[2]}-{self.seed}-{digest}.json"
        return FOLDER / name


def play(cell: Cell) -> dict[str, Any]:
    """Train and score a cell in this process."""
    import agents
    from agents.evaluation import score

    started = time.perf_counter()
    trained = agents.train(
        cell.agent, cell.env, steps=cell.steps, seed=cell.seed, config=cell.config
    )
    found = score(trained, episodes=cell.episodes, judged=False)
    used = os.times()
    return {
        **asdict(cell),
        "score": found.evaluation.score,
        "mean": found.score.mean,
        "normalised": found.normalised,
        "steps_per_second": trained.steps / trained.seconds,
        "seconds": time.perf_counter() - started,
        # Of this process and of workers that it started.
        "cpu_seconds": used.user + used.system + used.children_user + used.children_system,
        "peak_gb": peak_memory(),
        "curve": [
            [row["steps"], round(row["return"], 5), row["episodes"]]
            for row in trained.curve
            if "return" in row
        ],
    }


def run(cells: Sequence[Cell], jobs: int, limit: float) -> list[dict[str, Any]]:
    """Results of all cells, in order; those that are known are not played again.

    Args:
        cells: what to play.
        jobs: processes at a time; a cell of several workers counts as one.
        limit: seconds after which a cell has failed.

    Returns:
        What `play` gave, or `{..., "failed": why}`.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    missing = [cell for cell in cells if not cell.path.exists()]
    failed: dict[Path, str] = {}
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(missing), unit="run") as bar:

        def one(cell: Cell) -> None:
            why = _play_apart(cell, limit)
            if why is not None:
                failed[cell.path] = why
                tqdm.write(f"{cell.agent} on {cell.env}, seed {cell.seed}: {why}")
            bar.update()

        list(pool.map(one, missing))
    return [
        json.loads(cell.path.read_text())
        if cell.path.exists()
        else asdict(cell) | {"failed": failed.get(cell.path, "not played")}
        for cell in cells
    ]


def _play_apart(cell: Cell, limit: float) -> str | None:
    """Play a cell in a process of its own; says why it failed."""
    command = [sys.executable, "-m", "benchmarks.cells", json.dumps(asdict(cell))]
    one_thread = {"OMP_NUM_THREADS": "1"}  # cores are for other cells
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | one_thread, timeout=limit, capture_output=True,
            text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"took longer than {limit:g} s"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return lines[-1] if lines else f"ended with code {done.returncode}"
    result = json.loads(done.stdout.splitlines()[-1])
    with replacing(cell.path) as temporary:
        temporary.write_text(json.dumps(result) + "\n")
    return None


def across_seeds(values: Sequence[float]) -> Interval:
    """Mean over run seeds with Student's 95 % interval: seeds, not episodes, are the replicates."""
    array = np.asarray(values, dtype=np.float64)
    mean, count = float(array.mean()), len(array)
    if count < 2:
        return Interval(mean, float("nan"), float("nan"), count)
    half = float(stats.t.ppf(0.975, count - 1) * array.std(ddof=1) / np.sqrt(count))
    return Interval(mean, mean - half, mean + half, count)


if __name__ == "__main__":
    print(json.dumps(play(Cell(**json.loads(sys.argv[1])))))
