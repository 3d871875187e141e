"""Grading many folders: one process each, so that none can hang, break or cheat the others."""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from genenvs.core.files import replacing

from .folder import ROOT

COLUMNS = (
    "folder", "status", "agent", "env", "split", "score", "mean", "low", "high", "normalised",
    "episodes", "steps", "sha256", "reason",
)  # fmt: skip


def grade(
    folders: Sequence[Path], options: Sequence[str], timeout: float | None, jobs: int
) -> Iterator[dict[str, Any]]:
    """One row a folder, in their order, as soon as it is known.

    Args:
        folders: what `python -m agents train` wrote.
        options: of `python -m agents evaluate`, for each.
        timeout: seconds after which a folder has failed.
        jobs: how many at a time.
    """
    running: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(lambda folder: _one(folder, options, timeout, running), folders)
        except BaseException:  # Ctrl-C reaches this thread alone
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                _kill(process)
            raise


def _one(
    folder: Path,
    options: Sequence[str],
    timeout: float | None,
    running: "list[subprocess.Popen[str]]",
) -> dict[str, Any]:
    """Evaluate a folder in a process of its own; says why where that fails."""
    row: dict[str, Any] = {"folder": str(folder), "status": "failed"}
    with tempfile.TemporaryDirectory(prefix="agents-grade-") as scratch:
        out = Path(scratch) / "found.json"
        command = [sys.executable, "-m", "agents", "evaluate", str(folder.resolve())]
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        process = subprocess.Popen(
            [*command, *options, "--json", str(out)],
            cwd=scratch,  # nothing of the folder is on the path of modules
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(p for p in paths if p), "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # what it starts is stopped with it
        )
        running.append(process)
        try:
            _, said = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.communicate()
            return row | {"reason": f"took longer than {timeout:g} s"}
        finally:
            running.remove(process)
        if process.returncode != 0 or not out.exists():
            lines = [line for line in said.splitlines() if line.strip()]
            reason = lines[-1] if lines else f"ended with code {process.returncode}"
            return row | {"reason": reason.removeprefix("agents: ")}
        found = json.loads(out.read_text(encoding="utf-8"))
    row |= {k: found[k] for k in COLUMNS if k in found}
    return row | {"status": "graded", "episodes": found["count"]}


def _kill(process: "subprocess.Popen[str]") -> None:
    """A process and all that it started."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """All rows as a table, whole or not at all.

    Text that a spreadsheet would take for a formula is led by an apostrophe.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: _plain(v) for k, v in row.items()} for row in rows)


def _plain(value: Any) -> Any:
    risky = isinstance(value, str) and value[:1] in "=+-@\t\r"
    return f"'{value}" if risky else value
