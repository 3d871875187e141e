"""Training in one call: `agents.train("ppo", "genenvs/DenoiseSchedule-v0", steps=100_000)`."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import checkpoint, configs, imitation, parallel
from . import folder as folders
from .problem import Problem
from .registry import find
from .run import RECORD, Run, seed_everything, write_json

MAKING = 1 << 16  # a start of the random streams beside those of the checkpoints: for weights


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

    @property
    def agreement(self) -> float | None:
        """Share of fresh states in which a warm start agreed with the reference; None without."""
        return next((row["agreement"] for row in self.curve[::-1] if "agreement" in row), None)


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
    imitate: str | None = None,
    imitate_steps: int = imitation.DAgger.steps,
    on_row: Callable[[dict[str, float]], None] | None = None,
) -> Trained:
    """Train an agent on an environment.

    The global random streams of Python, numpy and torch are seeded by the run's seed, and stay so.

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
        imitate: `reference` has the agent clone the environment's scripted policy first,
            `module:function` another one; see `agents.imitation`.
        imitate_steps: at most so many steps over all rows for that, beside `steps`; in the curve
            they count up to 0.
        on_row: called with every new row of the curve.

    Returns:
        The agent and its curve.

    Raises:
        ValueError: unknown agent, environment or field; a folder in use; another config than that
            of the run to resume; nothing to imitate; an argument that `out` cannot hold.
        TypeError: the agent cannot handle the environment's spaces, or cannot imitate.
        agents.run.Diverged: a loss became NaN.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    kind = find(agent)
    processes = parallel.launched()
    if processes.count > 1 and not getattr(kind, "several_processes", False):
        raise ValueError(
            f"{agent} learns in one process, and {processes.count} were launched; agents whose"
            " policy is a denoiser learn in several"
        )
    problem = Problem(env, dict(arguments or {}), seed, parallel.join(device))
    problem.spaces  # noqa: B018  a wrong id or argument is told before anything is written
    if imitate is not None:
        imitation.check(agent, problem, imitate, imitate_steps)
    if not isinstance(config, kind.Config):
        config = configs.make(
            kind.Config, configs.tuned(agent, env, arguments) | dict(config or {})
        )
    record = {
        "format": 1,
        "agent": agent,
        "config": json.loads(json.dumps(dataclasses.asdict(config))),
        **problem.record(),
        "device": device,
        "steps": steps,
        "threads": threads,
        "imitate": imitate,
        "imitate_steps": imitate_steps if imitate else None,
    }
    kept_in = None if out is None else Path(out)
    if kept_in is not None:
        folders.check_arguments(problem.arguments)
    folder = kept_in if processes.main else None
    with nullcontext() if folder is None else folders.claimed(folder):
        usual = json.loads(json.dumps(configs.defaults(kind.Config)))
        kept = None if kept_in is None else folders.begun(kept_in, record, resume, usual)
        if threads is not None:
            torch.set_num_threads(threads)
        title = f"{agent} {env.rpartition('/')[2]}"
        warm_up = imitate_steps if imitate else 0
        shown = progress and processes.main
        run = Run(seed, steps, folder, shown, tensorboard, title, on_row, warm_up)
        state = None
        if kept is not None:
            run.take_up(*kept)
            state = checkpoint.part(kept[0], "agent")
        seed_everything(seed, MAKING)
        made = kind(problem, config, state)
        if folder is not None and kept is None:
            environment = {
                "environment_seed": problem.env_seed()
            }  # of the first worker's first row
            write_json(folder / RECORD, record | environment | folders.circumstances())
            folders.keep_code(folder, [agent, getattr(config, "network", "")])
        try:
            run.start(made)
            if warm_up and kept is None:  # the first checkpoint is written when it is over
                dagger = imitation.DAgger(warm_up)
                imitation.imitate(made, problem, config, run, dagger, str(imitate))
            if run.steps < steps:
                made.learn(run)
            elif finish := getattr(made, "finish", None):
                finish(run)  # it may have been broken off between its last step and this
        except BaseException:
            with suppress(OSError):  # what broke the run off is worth more than a picture
                run.close()
                _draw(run, agent, env)
            raise
        run.close()
        _draw(run, agent, env)
    return Trained(made, problem, agent, run.curve, run.steps, run.seconds, folder)


def load(
    folder: str | Path, trust_code: bool = False, env: str | None = None, device: str = "cpu"
) -> Trained:
    """An agent from the folder that `train` wrote.

    Args:
        folder: holds run.json and a checkpoint.
        trust_code: import modules that the run names, from its `code` folder first, and load files
            that it names.
        env: another id to put the agent before, with its registered arguments.
        device: `cpu`, `cuda` ...; that of the training does not matter.

    Raises:
        ValueError: it is no such folder, is damaged, or brings code that is not trusted; or there
            is no such device.
    """
    folder = Path(folder)
    record = folders.read_record(folder)
    named = folders.foreign_code(record)
    if named and not trust_code:
        raise ValueError(
            f"{folder} brings code or names files of its own ({', '.join(named)});"
            " --trust-code uses them"
        )
    path = folder / checkpoint.NAME
    if not path.is_file():
        raise ValueError(f"{folder} has no checkpoint yet")
    tensors, facts = checkpoint.load(path)
    kinds = {"steps": int, "seconds": int | float, "curve": list}
    if wrong := [name for name, kind in kinds.items() if not isinstance(facts.get(name), kind)]:
        raise ValueError(f"{path} is no checkpoint of a run: {', '.join(wrong)}")
    problem = Problem(
        env or record["env"], {} if env else record["arguments"], record["seed"], device
    )
    problem.check_device()
    with folders.code_of(folder) if named else nullcontext():
        kind = find(record["agent"])
        config = configs.make(kind.Config, record["config"], str(folder / RECORD))
        check_size(config, tensors)
        try:
            made = kind(problem, config, checkpoint.part(tensors, "agent"))
        except (KeyError, RuntimeError) as error:
            text = " ".join(str(error).split())
            raise ValueError(f"the checkpoint does not fit {problem.env}: {text}") from error
    return Trained(
        made, problem, record["agent"], facts["curve"], facts["steps"], facts["seconds"], folder
    )


def check_size(config: Any, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a configuration of larger layers than a file holds, before memory is taken.

    Raises:
        ValueError: it asks for more numbers than there are.
    """
    hidden = getattr(config, "hidden", ())
    needed = sum(a * b for a, b in pairwise(hidden))
    if needed > sum(value.numel() for value in tensors.values()):
        raise ValueError(f"the checkpoint does not hold the layers {list(hidden)}")


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
    warm = [row for row in rows if row["steps"] <= 0]
    learned = rows[len(warm) :]
    figure = Figure(figsize=(6.0, 3.8), layout="constrained")
    axes = figure.subplots()
    if learned:
        steps = [row["steps"] for row in learned]
        (line,) = axes.plot(steps, [row["return"] for row in learned], linewidth=0.8, alpha=0.35)
        colour = line.get_color()
        axes.plot(steps, smoothed(learned), linewidth=1.6, color=colour, label=agent)
    if warm:
        steps = [row["steps"] for row in warm]
        axes.plot(steps, [row["return"] for row in warm], linewidth=1.6, color="#b5651d")
        axes.axvspan(min(steps), 0, color="#b5651d", alpha=0.12, linewidth=0, label="imitation")
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
