"""How a command fails: one sentence on stderr and an exit code, a traceback on demand only."""

import errno
import functools
import os
from collections.abc import Callable
from typing import ParamSpec

import typer

FAILED, USAGE, INTERRUPTED = 1, 2, 130
debug = False  # set by `genenvs --debug`: errors are raised as they are

P = ParamSpec("P")


class Problem(Exception):
    """What ends a command with one sentence; `code` is its exit code."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors end it in one sentence; with `debug` they are raised as they are."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            typer.echo("genenvs: stopped.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if debug:
                raise
            typer.echo(f"genenvs: {sentence(error)}", err=True)
            raise typer.Exit(error.code if isinstance(error, Problem) else FAILED) from None

    return run


def sentence(error: BaseException) -> str:
    """What to tell a user about an error."""
    if isinstance(error, Problem):
        return str(error)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return f"{type(error).__name__}: {text} (--debug or GENENVS_DEBUG=1 shows where)"


def writing(path: os.PathLike[str], error: OSError) -> Problem:
    """Why nothing could be written at `path`."""
    folder = os.path.dirname(os.path.abspath(path))
    if error.errno == errno.ENOENT:
        return Problem(f"cannot write {path}: the folder {folder} does not exist")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Problem(f"cannot write {path}: the folder {folder} is read-only ({error.strerror})")
    why = error.strerror or str(error)
    return Problem(f"cannot write {path}: {why}; what stood there before is untouched")
