"""Worker processes that are watched: started, listened to, started again, and always ended.

Nothing here has a lock that two processes share, as queues and events have: a process that is
killed while it holds one stops all others. Every worker has a pipe of its own to the parent, and
the parent one word of shared memory that tells all to stop.
"""

import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, parent_process, resource_tracker
from typing import Any

import torch
from torch import Tensor, multiprocessing

# Spawned, as everywhere on Windows: a fork inherits neither CUDA nor the threads that hold locks.
CONTEXT = multiprocessing.get_context("spawn")
LISTEN = 0.1  # seconds that the parent waits for messages
PATIENCE = 1.0  # seconds that workers have to stop by themselves, then to be terminated


class WorkerError(RuntimeError):
    """A worker raised an exception, or died more often than it may."""


@dataclass(frozen=True)
class Line:
    """What a worker is given beside its job.

    Attributes:
        index: the worker's number, from 0.
        start: counts the starts of this worker.
        stop: bool [1], shared; set when all should return.
        pipe: to the parent.
    """

    index: int
    start: int
    stop: Tensor
    pipe: connection.Connection

    def send(self, message: Any) -> None:
        """Tell the parent; a few times a second, not after every step."""
        self.pipe.send((message,))


Work = Callable[[Any, Line], None]


@dataclass
class Worker:
    """A worker as the parent sees it."""

    name: str
    process: Any
    pipe: connection.Connection
    restarts: int  # so far
    heard: bool = False  # whether it ever told something
    done: bool = False  # whether it has returned


class Fleet:
    """Processes that each run `work(job, line)`, from `start` to the end of the `with` block."""

    def __init__(self, name: str, work: Work, job: Any, count: int, restarts: int) -> None:
        """Plan them.

        Args:
            name: what to call them; "a3c worker" is followed by a number.
            work: a function of a module, not of `__main__`.
            job: its first argument; must pickle.
            count: processes.
            restarts: how often each that died is started again.
        """
        self.name, self.work, self.job = name, work, job
        self.count, self.restarts = count, restarts
        self.workers: list[Worker] = []
        self._stop = torch.zeros(1, dtype=torch.bool).share_memory_()
        self._first = 0

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.fill_(True)
        deadline = time.monotonic() + PATIENCE
        processes = [worker.process for worker in self.workers]
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        for process in processes:
            process.terminate()  # no harm where it has ended
        for process in processes:
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()

    def start(self, epoch: int = 0) -> None:
        """Start all; the starts that `Line.start` counts differ between epochs."""
        self._first = epoch * (self.restarts + 1)
        for index in range(self.count):
            self.workers.append(self._launch(index, 0))

    def busy(self) -> bool:
        """Whether a worker has not returned yet."""
        return not all(worker.done for worker in self.workers)

    def listen(self) -> Iterator[Any]:
        """Messages that came; waits a little for them, and starts dead workers again.

        Raises:
            WorkerError: a worker raised an exception, or died too often.
        """
        waiting = {w.pipe: index for index, w in enumerate(self.workers) if not w.done}
        for pipe in connection.wait(list(waiting), LISTEN):
            index = waiting[pipe]  # type: ignore[index]
            worker = self.workers[index]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):  # the other end closed; in mid-message, OSError
                self.workers[index] = self._again(index, worker)
                continue
            worker.heard = True
            if isinstance(message, str):
                last = message.rstrip().rpartition("\n")[2]
                raise WorkerError(f"{worker.name} failed: {last}\n\n{message}")
            if message is None:
                worker.done = True
            else:
                yield message[0]

    def _again(self, index: int, dead: Worker) -> Worker:
        dead.pipe.close()
        dead.process.join(PATIENCE)
        dead.process.kill()  # should it live on without its pipe
        dead.process.join()
        code = dead.process.exitcode
        how = (
            f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        )
        if dead.restarts == self.restarts:
            hint = (
                ""
                if dead.heard
                else "; it never began: a script that starts workers must do so under"
                ' `if __name__ == "__main__":`, because they import it'
            )
            raise WorkerError(f"{dead.name} {how}, after {dead.restarts} restarts{hint}")
        worker = self._launch(index, dead.restarts + 1)
        warnings.warn(
            f"{dead.name} {how}; started again ({worker.restarts} of {self.restarts} times)",
            RuntimeWarning,
            stacklevel=3,
        )
        return worker

    def _launch(self, index: int, restarts: int) -> Worker:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        line = Line(index, self._first + restarts, self._stop, theirs)
        process = CONTEXT.Process(
            target=_live,
            args=(self.work, self.job, line),
            name=f"{self.name} {index}",
            daemon=True,  # ended with this program where `__exit__` is not reached
        )
        with _ctrl_c_held():
            process.start()
        theirs.close()  # else the worker's death would not close the pipe
        return Worker(f"{self.name} {index} (pid {process.pid})", process, ours, restarts)


def _live(work: Work, job: Any, line: Line) -> None:
    """The whole life of a worker process; an exception travels to the parent as text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who says when to stop
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        work(job, line)
        line.pipe.send(None)
    except BaseException:  # sys.exit() too
        with suppress(OSError):  # nobody is left to be told
            line.pipe.send(traceback.format_exc())


def _die_with_parent() -> None:
    """End this process once the parent is gone, even killed, and even within a long step."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Hold SIGINT back: a process that is started here never hears it, not while it imports either.

    Windows has no such thing: there, Ctrl-C in a worker's first second prints a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it lets SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
