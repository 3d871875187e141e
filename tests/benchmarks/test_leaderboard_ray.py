"""Cells on a Ray cluster of this machine, a worker of which is killed."""

import json
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from types import SimpleNamespace

import psutil
import pytest

from agents.folder import git_commit
from benchmarks import cells
from benchmarks.cells import POLICY, RESULT, Cell, Limits
from benchmarks.leaderboard import cluster
from tests.needs import needs

CONFIG = {"num_envs": 4, "n_steps": 16, "hidden": [4]}
GRID = [Cell("reinforce", "CartPole-v1", seed, 3_000, 4, CONFIG, keep=True) for seed in range(3)]
# Its generator's weights travel with the checkout.
DRAWN = Cell("random", "genenvs/DenoiseSchedule-v0", 0, 0, 4, {})
WRONG = Cell("reinforce", "CartPol-v1", 0, 300, 4, CONFIG)


class Killer(threading.Thread):
    """Kills the first worker that is seen at work on a cell, once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.cell: psutil.Process | None = None  # what the worker had started

    def run(self) -> None:
        while not self.over.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if "benchmarks.cells" in process.cmdline():
                        self.cell = process
                        process.parent().kill()
                        return


def test_the_commit_that_travelled_stands_in_the_result():
    """A worker has no history to ask."""
    software = {"commit": None, "genenvs": "0.1.0"}
    found = {"seed": 3, "circumstances": {"software": software, "hardware": {}}}
    files = {RESULT: json.dumps(found).encode(), POLICY: b"weights"}
    ray = SimpleNamespace(get=lambda done: (None, files))
    with ExitStack() as stack:
        folder = cluster._unpack(ray, None, stack, "abc+")
        kept = json.loads((folder / RESULT).read_text())
        assert kept["circumstances"]["software"] == software | {"commit": "abc+"}
        assert kept["seed"] == 3 and (folder / POLICY).read_bytes() == b"weights"
    assert not folder.exists()


def test_no_room_for_what_came_back_is_that_cells_affair(tmp_path, monkeypatch):
    ray = SimpleNamespace(get=lambda done: (None, {RESULT: b"{}"}))
    monkeypatch.setattr(cluster.tempfile, "tempdir", str(tmp_path / "not there"))
    with ExitStack() as stack:
        why = cluster._unpack(ray, None, stack, None)
    assert isinstance(why, str) and "not there" in why


@pytest.mark.slow
@needs("ray", extra="ray")
def test_a_worker_that_dies_loses_nothing_and_nothing_counts_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "FOLDER", tmp_path)
    kept: Counter[str] = Counter()
    keep = cells.keep

    def count(cell, found):
        kept[cell.name] += 1
        keep(cell, found)

    monkeypatch.setattr(cells, "keep", count)
    killer = Killer()
    killer.start()
    grid = [*GRID, DRAWN, WRONG]
    results = cells.run(grid, 2, Limits(300, 4), cluster.on_ray("local", 2), quiet=True)
    killer.over.set()
    killer.join()
    assert killer.cell is not None, "no worker was killed"
    assert "failed" in results[-1] and "CartPole-v1" in results[-1]["failed"]
    assert not [found for found in results[:-1] if "failed" in found]
    commits = {found["circumstances"]["software"]["commit"] for found in results[:-1]}
    assert commits == {git_commit()}
    assert kept == Counter({cell.name: 1 for cell in grid})
    assert all(cell.policy.exists() for cell in GRID)
    deadline = time.monotonic() + 30
    while killer.cell.is_running() and killer.cell.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the dead worker's cell is still played"
        time.sleep(0.1)


@pytest.mark.slow
@needs("ray", extra="ray")
def test_a_cluster_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "FOLDER", tmp_path)
    monkeypatch.setenv("RAY_gcs_rpc_server_connect_timeout_s", "1")
    with pytest.raises(ConnectionError):
        cells.run(GRID[:1], 1, 300, cluster.on_ray("auto", 1), quiet=True)
