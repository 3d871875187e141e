"""Cells as tasks of a Ray cluster: the checkout travels, the files of a cell come back.

The scheduler, the transport and the retries are Ray's. A task plays its cell in a process apart, as
this machine does, so limits hold and nothing of one cell is left for the next. When a worker or
its machine dies, Ray starts the task anew elsewhere; a cell is known by the result that comes back,
so what a dead worker had half done is never seen.
"""

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from agents.folder import git_commit
from benchmarks import apart
from benchmarks.apart import ROOT
from benchmarks.cells import RESULT, Cell, Limits, Outcomes, Player, play_apart
from genenvs.core.optional import require

RETRIES = 3
# What a run needs not, as patterns of .gitignore; Ray leaves out what .gitignore names too.
STAYS = ["/.git", "/.venv", "/runs", "/docs", "/tests", "/benchmarks/results", "/dist", "/build"]


def on_ray(address: str, jobs: int) -> Player:
    """Play on a cluster.

    Args:
        address: `local` makes one of this machine, for as long as the cells take; others as Ray
            has them: `auto`, `HOST:6379`, `ray://HOST:10001`.
        jobs: cells at a time of a local one; others know their own size.
    """
    ray = require("ray", "ray")

    def player(cells: Sequence[Cell], limits: Limits) -> Outcomes:
        where = {"num_cpus": jobs, "include_dashboard": False} if address == "local" else {}
        ray.init(
            address=address,
            runtime_env={"working_dir": str(ROOT), "excludes": STAYS},
            log_to_driver=False,
            configure_logging=False,
            **where,
        )
        commit = git_commit()  # of what travels: history stays here
        try:
            task = ray.remote(num_cpus=1, max_retries=RETRIES)(play_on_worker)
            waiting = {task.remote(vars(cell), vars(limits)): cell for cell in cells}
            while waiting:
                (done,), _ = ray.wait(list(waiting), num_returns=1)
                cell = waiting.pop(done)
                with ExitStack() as kept:
                    yield cell, _unpack(ray, done, kept, commit)
        finally:
            ray.shutdown()

    return player


def _unpack(ray: Any, done: Any, kept: ExitStack, commit: str | None) -> Path | str:
    """The files of a cell, its result with the commit that was played, or why there are none."""
    try:
        why, files = ray.get(done)
    except ray.exceptions.RayError as error:
        return " ".join(str(error).split())[:1_000]
    if why is not None:
        return why
    try:
        folder = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="cells-")))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        result["circumstances"]["software"]["commit"] = commit
        (folder / RESULT).write_text(json.dumps(result) + "\n", encoding="utf-8")
    except OSError as error:  # no room here: the cells that are still played do not end with it
        return str(error)
    return folder


def play_on_worker(cell: dict[str, Any], limits: dict[str, Any]) -> Any:
    """Play a cell where this runs; gives why it failed, or its files by name."""
    with tempfile.TemporaryDirectory(prefix="cells-") as name:
        folder = Path(name)
        try:
            play_apart(Cell(**cell), Limits(**limits), folder)
        except apart.Failed as error:
            return str(error), {}
        return None, {path.name: path.read_bytes() for path in folder.iterdir()}
