"""The folder of a run: claiming it, what is written beside the results, and whom to trust in it."""

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from . import checkpoint, configs
from .problem import Problem
from .registry import BUILT_IN, NETWORKS
from .run import RECORD, read_json

LIBRARIES = ("genenvs", "torch", "numpy", "gymnasium", "stable-baselines3", "sb3-contrib")
ROOT = Path(__file__).resolve().parents[1]
CODE = "code"  # where a folder keeps the modules of its user
LOCK = "run.lock"
KINDS = {"agent": str, "config": dict, "env": str, "arguments": dict, "seed": int}


# --- while a run is going ---


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make the folder and keep other processes from training into it meanwhile.

    Raises:
        ValueError: one does already, or the path is no folder.
    """
    from filelock import FileLock, Timeout

    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} must be a folder; it is a file")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)  # let go of by the system when a process dies
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(f"another process is training into {folder}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()
        lock.release()


def begun(folder: Path, record: Mapping[str, Any], resume: bool, usual: Mapping[str, Any]) -> Any:
    """Tensors and facts to go on from, or None for a new run in a folder that may be used for it.

    Args:
        folder: of the run.
        record: of the run that begins.
        resume: whether it may go on with what stands there.
        usual: the configuration's defaults, which hold for fields that the old run did not know.

    Raises:
        ValueError: the folder holds another run, or this one and `resume` is off.
    """
    known, kept = (folder / RECORD).exists(), (folder / checkpoint.NAME).exists()
    if kept and not known:
        raise ValueError(f"{folder} holds a checkpoint without {RECORD}; move it away")
    if not kept and not resume:
        return None  # nothing that would be lost
    if not resume:
        raise ValueError(f"{folder} holds a run; --resume goes on with it, or name another folder")
    if known:
        old = read_record(folder)
        old["config"] = {**usual, **old["config"]}
        now = json.loads(json.dumps(record))  # where a tuple is a list
        changed = configs.differences({k: old.get(k) for k in record}, now)
        if changed:
            lines = "\n".join(f"  {line}" for line in changed)
            raise ValueError(f"{folder} was run with another configuration:\n{lines}")
    for half in folder.glob(f".{Path(checkpoint.NAME).stem}-*"):
        half.unlink()  # of a run that was killed while it wrote
    return checkpoint.load(folder / checkpoint.NAME) if kept else None


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that no record can hold, as a function, before anything is written.

    Raises:
        ValueError: there is one.
    """
    for name, value in arguments.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name}={value!r:.80} cannot be written into {RECORD} ({error}): name it, as"
                ' "module:attr" does, or train without a folder'
            ) from error


def circumstances() -> dict[str, Any]:
    """What a result depends on beside its configuration."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "versions": versions,
        "git": git_commit(),
        "platform": platform.platform(),
        "command": sys.argv,
    }


def git_commit() -> str | None:
    """The checkout's commit, `+` behind it where files differ from it; None without git.

    Published measurements may: whoever writes them changes nothing of what is measured.
    """

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        everything_else = (".", ":(exclude)benchmarks/results")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *everything_else)
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def keep_code(folder: Path, names: list[str]) -> None:
    """Copy the user's own single-file modules beside the results."""
    for name in names:
        module = sys.modules.get(name.partition(":")[0]) if ":" in name else None
        source = Path(getattr(module, "__file__", None) or "")
        if module is not None and source.suffix == ".py" and "." not in module.__name__:
            (folder / CODE).mkdir(exist_ok=True)
            shutil.copy(source, folder / CODE)


# --- reading what somebody else wrote ---


def read_record(folder: Path) -> dict[str, Any]:
    """run.json, its entries of the kinds they should be.

    Raises:
        ValueError: it is missing, or is not what `train` writes.
    """
    if not (folder / RECORD).is_file():
        raise ValueError(f"{folder} holds no run: there is no {RECORD}")
    record = read_json(folder / RECORD)
    if not isinstance(record, dict):
        raise ValueError(f"{folder / RECORD} must hold a table; got {type(record).__name__}")
    check_record(record, folder / RECORD)
    return record


def check_record(record: Mapping[str, Any], source: Path) -> None:
    """Whether what says how to make an agent has the entries that this takes.

    Raises:
        ValueError: one is missing or of another kind.
    """
    for key, kind in KINDS.items():
        if not isinstance(record.get(key), kind):
            raise ValueError(
                f"{source} must have {key!r} as {kind.__name__}; got {record.get(key)!r}"
            )


def foreign_code(record: Mapping[str, Any]) -> list[str]:
    """What a record names that is neither a number nor ours: code, files, things to download.

    Strings among the arguments of the environment count unless the id registers that very value.
    """
    found = [] if record["agent"] in BUILT_IN else [record["agent"]]
    found += [record["env"]] if ":" in record["env"] else []
    network = record["config"].get("network")
    found += [network] if network and network not in NETWORKS else []
    if found:
        return [str(each) for each in found]
    registered = Problem(record["env"]).spec.kwargs
    for key, value in record["arguments"].items():
        if key == "task" or value != registered.get(key):
            found += [f"{key}={leaf!r}" for leaf in _leaves(value) if isinstance(leaf, str)]
    return found


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


@contextmanager
def code_of(folder: Path) -> Iterator[None]:
    """Import what the folder brings before anything else of the same name, and leave no trace."""
    path, before = (folder / CODE).resolve(), dict(sys.modules)
    brought = {each.stem for each in path.glob("*.py")}
    for name in brought:
        sys.modules.pop(name, None)
    sys.path.insert(0, str(path))
    try:
        yield
    finally:
        sys.path.remove(str(path))
        for name in brought:
            sys.modules.pop(name, None)
            if name in before:
                sys.modules[name] = before[name]
