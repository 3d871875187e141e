"""A program in a process of its own, with limits of time and memory that hold for all it starts."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from genenvs.core.optional import require

psutil = require("psutil", "benchmarks")

ROOT = Path(__file__).resolve().parents[1]
LOOK = 0.25  # seconds between two looks at the clock
WEIGH = 1.0  # seconds between two looks at the memory, which costs milliseconds
stopped = threading.Event()
"""Once set, everything that `run` has started ends: Ctrl-C reaches the main thread alone."""


class Failed(RuntimeError):
    """The program did not do what it should; the text says why."""


def run(command: Sequence[str], seconds: float, memory_gb: float | None = None) -> None:
    """Run a module of this checkout as `python -m ...`, and wait for it.

    Args:
        command: the module and its arguments.
        seconds: after which it is ended, with all that it started.
        memory_gb: that all of it may take together, or None; shared pages count once where the
            system tells (Linux).

    Raises:
        Failed: it took too much, or ended with an error, whose last line is told; where a signal
            ended it, that too.
        OSError: it could not be started.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    more = {
        "OMP_NUM_THREADS": "1",  # cores are for other programs
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        WATCHED: str(os.getpid()),
    }
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT, env=os.environ | more, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=said,
            start_new_session=True,  # Ctrl-C is dealt with here
        )  # fmt: skip
        try:
            _wait(process, seconds, memory_gb)
        finally:
            _end(process)
        if process.returncode != 0:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise Failed(_why(process.returncode, lines[-1] if lines else ""))


def _why(code: int, last: str) -> str:
    """Why a program failed, from the code that it ended with and the last line that it said."""
    if code < 0:  # what it said before, a warning say, need not be why
        ended = f"ended by signal {-code} ({signal.strsignal(-code)})"
        return f"{ended}; the last that it said: {last}" if last else ended
    return last or f"ended with code {code}"


def _wait(process: "subprocess.Popen[bytes]", seconds: float, memory_gb: float | None) -> None:
    started = weighed = time.monotonic()
    while process.poll() is None:
        if stopped.is_set():
            raise Failed("stopped")
        now = time.monotonic()
        if now - started > seconds:
            raise Failed(f"took longer than {seconds:g} s")
        if memory_gb is not None and now - weighed >= WEIGH:
            weighed = now
            taken = memory(process.pid)
            if taken > memory_gb:
                raise Failed(f"took more than {memory_gb:g} GB of memory ({taken:.1f} GB)")
        try:
            process.wait(min(LOOK, max(0.0, started + seconds - now)))
        except subprocess.TimeoutExpired:
            continue


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it and its session: what it started may have outlived it."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        for each in family(process.pid):
            with suppress(psutil.Error):
                each.kill()
    process.wait()


def family(pid: int) -> list[Any]:
    """A process and all that it started, as far as they still live."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory(pid: int) -> float:
    """GB that a process and all that it started hold."""
    total = 0
    for each in family(pid):
        try:
            found = each.memory_full_info() if sys.platform == "linux" else each.memory_info()
        except psutil.Error:
            continue  # it has ended meanwhile
        total += getattr(found, "pss", found.rss)
    return total / 1e9


# --- in the program that was started ---

WATCHED = "GENENVS_PARENT"  # environment variable: who started it


def end_with_parent() -> None:
    """See to it that this process ends when the one that started it was killed."""
    parent = int(os.environ.get(WATCHED, "0"))
    if not parent:
        return

    def watch() -> None:
        # On Windows a process keeps the number of a parent that has died.
        while os.getppid() == parent and psutil.pid_exists(parent):
            time.sleep(1.0)
        for each in reversed(family(os.getpid())):  # itself last
            with suppress(psutil.Error):
                each.kill()

    threading.Thread(target=watch, daemon=True).start()
