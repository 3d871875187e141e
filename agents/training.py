"""Training in one call: `agents.train("ppo", "genenvs/DenoiseSchedule-v0", steps=100_000)`."""

import dataclasses
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from . import checkpoint, configs
from .problem import Problem
from .registry import BUILT_IN, find
from .run import RECORD, Run, read_json, seed_everything, write_json

LIBRARIES = ("genenvs", "torch", "numpy", "gymnasium", "stable-baselines3", "sb3-contrib")
ROOT = Path(__file__).resolve().parents[1]
MAKING = 1 << 16  # a start of the random streams beside those of the checkpoints: for weights
CODE = "code"  # where a folder keeps the modules of its user


@dataclasses.dataclass(frozen=True)
class Trained:
    """What `train` and `load` give.

    Attributes:
        agent: its `act` is a policy for `genenvs.evaluate`.
        problem: what it was trained on.
        name: of the agent.
        curve: rows of the learning curve.
        steps: environment steps that it was trained for.
        seconds: that this took.
        folder: where it is kept, if it is.
    """

    agent: Any
    problem: Problem
    name: str
    curve: list[dict[str, float]]
    steps: int
    seconds: float
    folder: Path | None


def train(
    agent: str,
    env: str,
    *,
    steps: int,
    seed: int = 0,
    config: Any = None,
    arguments: Mapping[str, Any] | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    tensorboard: bool = False,
    threads: int | None = 1,
    on_row: Callable[[dict[str, float]], None] | None = None,
) -> Trained:
    """Train an agent on an environment.

    Args:
        agent: a name of `python -m agents list`, or `module:Class`.
        env: an id.
        steps: environment steps over all rows.
        seed: of the run; environment seeds are derived from it.
        config: fields that differ from the tuned defaults, or a whole `Config`.
        arguments: of the environment.
        device: `cpu`, `cuda` ...
        out: folder for checkpoint, curve and record; None keeps everything in memory.
        resume: go on with what stands in `out`, if anything does.
        progress: show a progress bar with the return and the speed.
        tensorboard: write events into `out`/tensorboard.
        threads: of torch on the CPU; networks this small are slower with more. None: as it is.
        on_row: called with every new row of the curve.

    Returns:
        The agent and its curve.

    Raises:
        ValueError: unknown agent, environment or field; a folder in use; another config than that
            of the run to resume.
        TypeError: the agent cannot handle the environment's spaces.
        agents.run.Diverged: a loss became NaN.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    kind = find(agent)
    problem = Problem(env, dict(arguments or {}), seed, device)
    problem.spaces  # noqa: B018  a wrong id or argument is told before anything is written
    if not isinstance(config, kind.Config):
        config = configs.make(kind.Config, configs.tuned(agent, env) | dict(config or {}))
    record = {
        "format": 1,
        "agent": agent,
        "config": json.loads(json.dumps(dataclasses.asdict(config))),
        **problem.record(),
        "steps": steps,
        "threads": threads,
    }
    folder = None if out is None else Path(out)
    kept = None if folder is None else _take(folder, record, resume)
    if threads is not None:
        torch.set_num_threads(threads)
    run = Run(
        seed, steps, folder, progress, tensorboard, f"{agent} {env.rpartition('/')[2]}", on_row
    )
    state = None
    if kept is not None:
        tensors, facts = kept
        run.take_up(tensors, facts)
        state = checkpoint.part(tensors, "agent")
    seed_everything(seed, MAKING)
    made = kind(problem, config, state)
    if folder is not None and kept is None:
        folder.mkdir(parents=True, exist_ok=True)
        environment = {"environment_seed": problem.env_seed()}  # of the first worker's first row
        write_json(folder / RECORD, record | environment | _circumstances())
        _keep_code(folder, [agent, getattr(config, "network", "")])
    try:
        run.start(made)
        if run.steps < steps:
            made.learn(run)
    except BaseException:
        with suppress(OSError):  # what broke the run off is worth more than a picture
            run.close()
            _draw(run, agent, env)
        raise
    run.close()
    _draw(run, agent, env)
    return Trained(made, problem, agent, run.curve, run.steps, run.seconds, folder)


def load(folder: str | Path, trust_code: bool = False, env: str | None = None) -> Trained:
    """An agent from the folder that `train` wrote.

    Args:
        folder: holds run.json and a checkpoint.
        trust_code: import modules that the run names, from its `code` folder first.
        env: another id to put the agent before, with its registered arguments.

    Raises:
        ValueError: it is no such folder, is damaged, or brings code that is not trusted.
    """
    folder = Path(folder)
    if not (folder / RECORD).is_file():
        raise ValueError(f"{folder} holds no run: there is no {RECORD}")
    record = read_json(folder / RECORD)
    wanted = {"agent", "config", "env", "arguments", "seed"}
    if not isinstance(record, dict) or not wanted <= set(record):
        raise ValueError(f"{folder / RECORD} must have the keys {sorted(wanted)}")
    named = foreign_code(record)
    if named and not trust_code:
        raise ValueError(
            f"{folder} brings code of its own ({', '.join(named)}); --trust-code runs it"
        )
    if named and (folder / CODE).is_dir():
        sys.path.insert(0, str((folder / CODE).resolve()))
    path = folder / checkpoint.NAME
    if not path.is_file():
        raise ValueError(f"{folder} has no checkpoint yet")
    tensors, facts = checkpoint.load(path)
    problem = Problem(
        env or record["env"], {} if env else record["arguments"], record["seed"], "cpu"
    )
    kind = find(record["agent"])
    config = configs.make(kind.Config, record["config"], str(folder / RECORD))
    try:
        made = kind(problem, config, checkpoint.part(tensors, "agent"))
    except (KeyError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise ValueError(f"the checkpoint does not fit {problem.env}: {text}") from error
    return Trained(
        made, problem, record["agent"], facts["curve"], facts["steps"], facts["seconds"], folder
    )


def foreign_code(record: Mapping[str, Any]) -> list[str]:
    """What a record names that would be imported and is not ours."""
    found = [] if record["agent"] in BUILT_IN else [str(record["agent"])]
    values = [record["env"], *_leaves(record["config"]), *_leaves(record["arguments"])]
    return found + [v for v in values if isinstance(v, str) and ":" in v]


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _take(folder: Path, record: dict[str, Any], resume: bool) -> Any:
    """The checkpoint to go on from, or None for a new run in a folder that may be used for it."""
    path = folder / RECORD
    if not path.exists():
        if not resume and (folder / checkpoint.NAME).exists():
            raise ValueError(f"{folder} holds a checkpoint without {RECORD}; move it away")
        return None
    if not resume:
        raise ValueError(f"{folder} holds a run; --resume goes on with it, or name another folder")
    old = read_json(path)
    changed = configs.differences({k: old.get(k) for k in record}, record)
    if changed:
        lines = "\n".join(f"  {line}" for line in changed)
        raise ValueError(f"{folder} was run with another configuration:\n{lines}")
    if not (folder / checkpoint.NAME).exists():
        return None  # it was stopped before its first checkpoint
    return checkpoint.load(folder / checkpoint.NAME)


def _circumstances() -> dict[str, Any]:
    """What a result depends on beside its configuration."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "git": git_commit(),
        "platform": platform.platform(),
        "command": sys.argv,
    }


def git_commit() -> str | None:
    """The checkout's commit, `+` behind it where files differ from it; None without git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _keep_code(folder: Path, names: list[str]) -> None:
    """Copy the user's own single-file modules beside the results."""
    for name in names:
        module = sys.modules.get(name.partition(":")[0]) if ":" in name else None
        source = getattr(module, "__file__", None)
        if source is not None and Path(source).suffix == ".py" and "." not in module.__name__:  # type: ignore[union-attr]
            (folder / CODE).mkdir(exist_ok=True)
            shutil.copy(source, folder / CODE)


def _draw(run: Run, agent: str, env: str) -> None:
    if run.folder is not None and run.curve:
        draw(run.curve, env, agent, run.folder / "curve.png")


def draw(curve: list[dict[str, float]], env: str, agent: str, path: Path) -> None:
    """The learning curve as a picture, beside the random and the reference score if known."""
    import genenvs
    from genenvs.core.files import replacing
    from genenvs.core.optional import require
    from genenvs.core.registry import declaration, scores

    require("matplotlib", "agents")
    from matplotlib.figure import Figure

    rows = [row for row in curve if "return" in row]
    figure = Figure(figsize=(6.0, 3.8), layout="constrained")
    axes = figure.subplots()
    if rows:
        steps = [row["steps"] for row in rows]
        (line,) = axes.plot(steps, [row["return"] for row in rows], linewidth=0.8, alpha=0.35)
        colour = line.get_color()
        axes.plot(steps, smoothed(rows), linewidth=1.6, color=colour, label=agent)
    if env in genenvs.ids() and declaration(env).score == "return":
        measured = scores(env)
        for name, colour in (("random", "#999999"), ("reference", "#2a9d55")):
            if measured is not None:
                axes.axhline(measured[name]["mean"], color=colour, linestyle="--", label=name)
    axes.set(xlabel="environment steps", ylabel="mean return of the episodes that ended")
    axes.set_title(env, fontsize=10)
    axes.grid(alpha=0.25)
    if rows:
        axes.legend(frameon=False, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def smoothed(rows: list[dict[str, float]], share: float = 0.05) -> list[float]:
    """The mean return over the episodes of the last rows, a share of all, for each row."""
    window = max(1, round(share * len(rows)))
    sums = []
    for k in range(len(rows)):
        near = rows[max(0, k + 1 - window) : k + 1]
        count = sum(row["episodes"] for row in near)
        sums.append(sum(row["return"] * row["episodes"] for row in near) / count)
    return sums
