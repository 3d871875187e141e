"""The command line: `python -m agents train | evaluate | list`."""

import argparse
import dataclasses
import difflib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genenvs.cli.problems import Problem
from genenvs.cli.rollout import read_arguments
from genenvs.core.optional import require
from genenvs.core.registry import scores

from . import configs, evaluation, grading, parallel
from .folder import ROOT
from .imitation import DAgger
from .registry import BUILT_IN, find
from .run import RECORD, read_json, write_json
from .training import load, train

COMMANDS = ("train", "evaluate", "list")
HELP = """Train and score agents on any environment of Gymnasium.

    python -m agents train --agent ppo --env genenvs/DenoiseSchedule-v0 --steps 100000 --out runs/a
    python -m agents evaluate runs/a --split test
    python -m agents list

`train --agent NAME --help` shows an agent's own flags. docs/agents.md explains all of it.
"""
LIMIT = 600.0  # seconds for each of several folders
KEPT = (
    "agent",
    "env",
    "steps",
    "seed",
    "device",
    "threads",
    "imitate",
    "imitate_steps",
)  # what a resumed run takes from run.json


@dataclasses.dataclass
class Train:
    """What every agent is trained with."""

    agent: str
    """A name of `python -m agents list`, or `module:Class` of yours."""
    env: str
    """An id: of genenvs, of Gymnasium, or `module:Id-v0`."""
    out: Path
    """Folder for checkpoint, curve, record, evaluation."""
    steps: int = 100_000
    """Environment steps over all rows."""
    seed: int = 0
    """Of the run; environment seeds are derived from it."""
    config: Path | None = None
    """A YAML file of the agent's own flags, with _ for -; flags go before it."""
    arg: tuple[str, ...] = ()
    """KEY=VALUE: an argument of the environment, as horizon=10; repeatable."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 ..."""
    threads: int = 1
    """Of torch on the CPU; small networks are slower with more."""
    imitate: str | None = None
    """`reference`: clone the environment's scripted policy before learning begins; or
    module:function, which of the environments makes another policy."""
    imitate_steps: Annotated[int, Ge(1)] = DAgger.steps
    """Environment steps over all rows for that, beside --steps."""
    resume: bool = False
    """Go on with the run in --out, if there is one."""
    tensorboard: bool = True
    """Write events for TensorBoard."""
    episodes: Annotated[int, Ge(0)] = 256
    """Of the evaluation at the end; 0: none."""
    split: Literal["train", "validation", "test"] = "validation"
    """That the evaluation plays."""
    video: bool = False
    """Film the best, median and worst episode of the evaluation."""
    quiet: bool = False
    """No progress bar."""


@dataclasses.dataclass
class Evaluate:
    """Score what `train` wrote; several folders are graded, one process each."""

    folders: tuple[Path, ...]
    """What `train` wrote."""
    episodes: Annotated[int, Ge(1)] | None = None
    """Of each seed; by default the whole split where it is finite, else 1,000."""
    split: Literal["train", "validation", "test"] = "test"
    """That is played."""
    seeds: Path | None = None
    """A text file of environment seeds, one a line; by default the seed 0."""
    env: str | None = None
    """Score on this id with its registered arguments, whatever the folder says."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 ..."""
    csv: Path | None = None
    """Write a row for each folder."""
    timeout: Annotated[float, Gt(0)] | None = None
    """Seconds after which a folder has failed; several folders: 600 unless told."""
    jobs: Annotated[int, Ge(1)] = 1
    """Folders at a time."""
    video: bool = False
    """Film the best, median and worst episode."""
    trust_code: bool = False
    """Run code that a folder brings: agents, networks and rewards named as module:attribute."""
    json: Path | None = None
    """Write what was found to this file, not into the folder; of one folder."""
    quiet: bool = False
    """No progress bar."""


def main(arguments: Sequence[str]) -> int:
    """Run a command; gives the exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    command, rest = arguments[0], list(arguments[1:])
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"no command {command!r}{hint} There are {', '.join(COMMANDS)}")
    if command == "list":
        return list_agents(rest)
    return run_train(rest) if command == "train" else run_evaluate(rest)


# --- train ---


def run_train(arguments: list[str]) -> int:
    """Parse, train, evaluate, show."""
    settings, config, env_arguments = parse_train(arguments)
    trained = train(
        settings.agent,
        settings.env,
        steps=settings.steps,
        seed=settings.seed,
        config=config,
        arguments=env_arguments,
        device=settings.device,
        out=settings.out,
        resume=settings.resume,
        progress=not settings.quiet,
        tensorboard=settings.tensorboard,
        threads=settings.threads,
        imitate=settings.imitate,
        imitate_steps=settings.imitate_steps,
    )
    parallel.part()
    if not parallel.launched().main:
        return 0
    found = None
    if settings.episodes:
        found = evaluation.score(
            trained,
            episodes=settings.episodes,
            split=settings.split,
            progress=not settings.quiet,
        )
    console().print(_summary(trained, found))  # before anything that can still fail
    if found is not None:
        write_json(settings.out / "evaluation.json", found.record() | evaluation.facts(trained))
        if settings.video:
            evaluation.film(trained, found.evaluation, settings.out, settings.split)
    return 0


def parse_train(arguments: list[str]) -> tuple[Train, Any, dict[str, Any]]:
    """Settings, the agent's configuration and the environment's arguments.

    An agent's flags are known once the agent is: its name is looked for first. A run that is
    resumed supplies what the command leaves out.

    Raises:
        ValueError: an unknown agent or field, or a wrong value.
        SystemExit: tyro has shown help, or an unknown flag with the nearest.
    """
    tyro = require("tyro", "agents")
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in ("--agent", "--env", "--config", "--out"):
        peek.add_argument(flag)
    peek.add_argument("--arg", action="append", default=[])
    peek.add_argument("--resume", action="store_true")
    first, _ = peek.parse_known_args(arguments)
    kept: dict[str, Any] = {}
    if first.resume and first.out and (Path(first.out) / RECORD).exists():
        kept = read_json(Path(first.out) / RECORD)
    name: str | None = first.agent or kept.get("agent")
    env: str | None = first.env or kept.get("env")
    append = tyro.conf.UseAppendAction
    settings = _command(
        Train, {"arg": append}, {k: kept[k] for k in KEPT if kept.get(k) is not None}
    )
    parts: list[Any] = [("settings", tyro.conf.OmitArgPrefixes[settings])]
    base = None
    if name is not None:
        kind = find(name)
        values = kept.get("config") or configs.tuned(name, env or "", read_arguments(first.arg))
        base = configs.make(kind.Config, values, f"defaults of {name}")
        if first.config is not None:
            read = configs.read_yaml(Path(first.config))
            base = configs.make(kind.Config, dataclasses.asdict(base) | read, first.config)
        own = tyro.conf.OmitArgPrefixes[kind.Config]
        parts.append(("own", own, dataclasses.field(default_factory=lambda: base)))
    whole = dataclasses.make_dataclass("train", parts)
    parsed = tyro.cli(
        whole, prog="python -m agents train", args=arguments, description=Train.__doc__
    )
    if name is None:  # tyro has told that --agent is missing, unless it stands there as --agent=
        raise ValueError("name an agent with --agent")
    configs.check(parsed.settings)
    config = configs.make(kind.Config, dataclasses.asdict(parsed.own), "flags")
    given = read_arguments(parsed.settings.arg) if parsed.settings.arg else {}
    return parsed.settings, config, given or dict(kept.get("arguments", {}))


def _command(kind: type, markers: dict[str, Any], kept: dict[str, Any]) -> type:
    """A dataclass with the fields of another, other defaults, and tyro's markers on some."""
    fields = [
        (
            field.name,
            markers[field.name][field.type] if field.name in markers else field.type,
            dataclasses.field(default=kept.get(field.name, field.default), kw_only=True),
        )
        for field in dataclasses.fields(kind)
    ]
    return dataclasses.make_dataclass(
        kind.__name__, fields, bases=(kind,), namespace={"__doc__": kind.__doc__}
    )


def _summary(trained: Any, found: evaluation.Scored | None) -> Table:
    """The table at the end of a run."""
    title = escape(f"{trained.name} on {trained.problem.env}")
    table = Table(title=title, show_header=False)
    table.add_row("steps", f"{trained.steps:,} in {trained.seconds:.1f} s")
    if trained.agreement is not None:
        table.add_row("clone agreed with the reference in", f"{trained.agreement:.1%} of states")
    last = next((row["return"] for row in reversed(trained.curve) if "return" in row), None)
    table.add_row("return while training", "no episode ended" if last is None else f"{last:.4g}")
    if found is not None:
        table.add_section()
        count, split = found.score.count, found.evaluation.split
        played = f"{count} episodes" + (f" of the {split} split" if split else "")
        name, own = found.evaluation.score, found.instead_of
        name += f" ({own} cannot be measured here)" if own else ""
        table.add_row(f"{name}, {played}", escape(str(found.score)))
        known = found.evaluation.arguments is not None and own is None
        measured = scores(found.env) if known else None
        if measured is not None:
            for each in ("random", "reference"):
                table.add_row(f"{each}, test split", f"{measured[each]['mean']:.4g}")
        if found.normalised is not None:
            table.add_row("normalised (0 random, 1 reference)", f"{found.normalised:.3f}")
    table.add_section()
    table.add_row("kept in", escape(str(trained.folder)))
    return table


# --- evaluate ---


def run_evaluate(arguments: list[str]) -> int:
    """Score one folder here, or grade several."""
    tyro = require("tyro", "agents")
    command = _command(Evaluate, {"folders": tyro.conf.Positional}, {})
    options = tyro.cli(
        command, prog="python -m agents evaluate", args=arguments, description=Evaluate.__doc__
    )
    configs.check(options)
    if not options.folders:
        raise ValueError("name at least one folder that `python -m agents train` wrote")
    for target in (options.csv, options.json):
        if target is not None and not target.absolute().parent.is_dir():
            raise ValueError(f"{target} cannot be written: there is no folder {target.parent}")
    if options.seeds is not None:
        evaluation.read_seeds(options.seeds)  # said once, not by every folder
    if len(options.folders) == 1 and options.csv is None and options.timeout is None:
        return _evaluate_one(options.folders[0], options)
    if options.json is not None:
        raise ValueError("--json is of one folder without --csv and --timeout; use --csv")
    return _grade(options)


def _evaluate_one(folder: Path, options: Any) -> int:
    trained = load(folder, options.trust_code, options.env, options.device)
    found = evaluation.score(
        trained,
        episodes=options.episodes,
        split=options.split,
        seeds=(0,) if options.seeds is None else evaluation.read_seeds(options.seeds),
        progress=not options.quiet and options.json is None,
    )
    if options.json is None:
        console().print(_summary(trained, found))  # before anything that can still fail
    record = found.record() | evaluation.facts(trained)
    write_json(options.json or folder / "evaluation.json", record)
    if options.video:
        evaluation.film(trained, found.evaluation, folder, options.split)
    return 0


def _grade(options: Any) -> int:
    passed: list[str] = ["--split", options.split, "--device", options.device]
    passed += [] if options.episodes is None else ["--episodes", str(options.episodes)]
    passed += [] if options.seeds is None else ["--seeds", str(options.seeds.resolve())]
    passed += [] if options.env is None else ["--env", options.env]
    passed += ["--trust-code"] if options.trust_code else []
    passed += ["--video"] if options.video else []
    from tqdm import tqdm

    limit = options.timeout or LIMIT
    graded = grading.grade(options.folders, passed, limit, options.jobs)
    rows = list(
        tqdm(graded, total=len(options.folders), unit="folder", disable=options.quiet or None)
    )
    if options.csv is not None:
        grading.write_csv(options.csv, rows)
    table = Table("folder", "agent", "environment", "score", "normalised", "failed because")
    for row in rows:
        interval = (
            f"{row['mean']:.4g} [{row['low']:.4g}, {row['high']:.4g}]" if "mean" in row else ""
        )
        share = row.get("normalised")
        cells = (row["folder"], row.get("agent", ""), row.get("env", ""), interval,
                 "" if share is None else f"{share:.3f}", row.get("reason", ""))  # fmt: skip
        table.add_row(*(escape(str(cell)) for cell in cells))
    console().print(table)
    return 1 if any(row["status"] == "failed" for row in rows) else 0


# --- list ---


def list_agents(arguments: list[str]) -> int:
    """Every agent and what it handles."""
    parser = argparse.ArgumentParser(prog="python -m agents list", description=list_agents.__doc__)
    parser.parse_args(arguments)
    table = Table("agent", "what it is", "actions")
    for name, (_, _, text) in BUILT_IN.items():
        try:
            handled = find(name).spaces
        except ImportError as error:
            handled = str(error)
        table.add_row(name, text, handled)
    console().print(table)
    return 0


def console() -> Console:
    """Where tables go; wide where there is no terminal to say how wide."""
    made = Console(highlight=False)
    if not made.is_terminal:
        made.width = max(made.width, 160)
    return made


def guarded(arguments: Sequence[str]) -> int:
    """`main`, with errors as one sentence on stderr; GENENVS_DEBUG=1 shows where they arose."""
    import gymnasium as gym

    training = list(arguments[:1]) == ["train"]
    try:
        return main(arguments)
    except KeyboardInterrupt:
        hint = "; --resume goes on from the last checkpoint" if training else ""
        print(f"\nagents: stopped{hint}", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("GENENVS_DEBUG"):
            raise
        ours = (ValueError, TypeError, OSError, ImportError, RuntimeError, Problem, MemoryError)
        if not isinstance(error, (*ours, gym.error.Error)) or _of_user(error):
            traceback.print_exc()
            return 1
        text = str(error) or type(error).__name__
        if isinstance(error, OSError) and training:
            text += "; what was saved before is intact, --resume goes on from there"
        print(f"agents: {text}", file=sys.stderr)
        return 2 if isinstance(error, ValueError | TypeError | Problem) else 1


def _of_user(error: BaseException) -> bool:
    """Whether an error arose in a module of neither ours nor an installed library."""
    frames = traceback.extract_tb(error.__traceback__)
    last = Path(frames[-1].filename).resolve() if frames else ROOT
    return not (last.is_relative_to(ROOT) or "site-packages" in last.parts or _standard(last))


def _standard(path: Path) -> bool:
    return path.is_relative_to(Path(os.__file__).resolve().parent) or "<" in path.name
