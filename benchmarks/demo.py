"""Train an agent to sample digits with few network evaluations, and draw what it does.

    python -m benchmarks.demo [--short] [--out runs/demo]

Three agents, one for each price of an evaluation, are trained with Stable-Baselines3's PPO and
evaluated once over the whole test split. Writes `samples.png`, `pareto.png`, `report.json`, and
`agents/`, where each agent's checkpoint, learning curve and TensorBoard events are.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.speed.peak import peak_memory

PICTURES = ("samples.png", "pareto.png")
PRICES = (0.02, 0.006, 0.002)
STEPS, SHORT_STEPS = 120_000, 8_192  # for each price
BUDGETS = (3, 4, 5, 6, 8, 10, 14, 20, 30)
LIBRARY_BUDGETS = (5, 8, 12, 20)
COMPARED = 512  # test instances that references are compared on; `benchmarks.demo_claim` takes all


class Report:
    """`report.json`, rewritten after every stage, so that an interrupted run leaves one too."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "report.json"
        self.content: dict[str, Any] = {"finished": False, "stages": {}}

    def save(self, **entries: Any) -> None:
        """Add entries and write the file, whole or not at all."""
        from genenvs.core.files import replacing

        self.content |= entries
        with replacing(self.path) as temporary:
            temporary.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and print what it took."""
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.content["stages"][name] = round(took, 1)
            self.save()
            print(f"{name}: {took:.1f} s", flush=True)


def run(folder: Path, steps: int, instances: int | None, report: Report) -> None:
    """Every stage of the demo, on the whole test split or its first instances."""
    with report.stage("load"):
        import torch

        import agents
        from benchmarks import frontier, pictures
        from genenvs.generators.bank import Bank
        from genenvs.generators.denoiser import load
        from genenvs.tasks.denoise_schedule import plans

        denoiser = load("digits")
        bank = Bank.load(denoiser, "test")
    shown = torch.arange(12)
    with report.stage("first picture"):
        rows = pictures.scripted_rows(denoiser, bank, shown, plans.DEFAULT_BUDGET)
        pictures.save(pictures.samples(rows, "before training"), folder / "samples.png")
        print(f"a first picture: {folder / 'samples.png'}")
    evaluations = {}
    for price in PRICES:
        with report.stage(f"train, price {price}"):
            kept = folder / "agents" / f"price-{price}"
            shutil.rmtree(kept, ignore_errors=True)  # of an earlier demo
            trained = agents.train(
                "ppo",
                frontier.ENV,
                steps=steps,
                arguments={"reward_weights": {"evaluations": price}},
                out=kept,
                progress=True,
                tensorboard=True,
                threads=None,  # the evaluations between trainings gain from them
            )
        with report.stage(f"evaluate, price {price}"):
            found = frontier.evaluate_agent(trained.agent.act, instances=instances)
        evaluations[price] = found
        report.save(agents={str(p): e.summary() for p, e in evaluations.items()})
        if price == PRICES[0]:
            _samples(folder, denoiser, bank, shown, found)
    middle = evaluations[PRICES[1]]
    _samples(folder, denoiser, bank, shown, middle)
    with report.stage("references"):
        compared = frontier.first(bank, instances or COMPARED)
        points = frontier.references(denoiser, compared, BUDGETS, LIBRARY_BUDGETS)
        points += [frontier.learned(each, len(compared)) for each in evaluations.values()]
    words = [_sentence(points, point) for point in points if point.family == "learned"]
    with report.stage("pareto"):
        caption = f"{len(compared)} test instances, 95 % intervals. " + " ".join(words)
        pictures.save(
            frontier.draw(points, "Digits: how few evaluations are enough?", caption),
            folder / "pareto.png",
        )
    report.save(points=[p.record() for p in points], summary=words, finished=True)
    print(*words, sep="\n")


def _samples(folder: Path, denoiser: Any, bank: Any, shown: Any, evaluation: Any) -> None:
    """Learned beside uniform at equal evaluations beside 200 steps."""
    from benchmarks import pictures

    mean = float(evaluation.episodes["evaluations"].mean())
    rows = pictures.scripted_rows(denoiser, bank, shown, round(mean))
    rows.insert(0, pictures.learned_row(evaluation, shown))
    pictures.save(pictures.samples(rows, "same noise, same digit"), folder / "samples.png")


def _sentence(points: list[Any], agent: Any) -> str:
    """Who wins, in words."""
    from benchmarks import frontier

    parts = []
    for family in ("uniform", "searched open loop", "DPM-Solver++", "UniPC"):
        saved = frontier.saving(points, agent, family)
        if saved is not None:
            parts.append(f"{abs(saved):.0%} {'fewer' if saved > 0 else 'more'} than {family}")
    text = f"Learned: error {agent.error:.3f} at {agent.evaluations:.1f} evaluations"
    return f"{text}, {', '.join(parts)}." if parts else f"{text}."


def main() -> int:
    """Parse, run, and leave a readable report however it ends."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to write to")
    parser.add_argument("--short", action="store_true", help="a minute, to see that it runs")
    parser.add_argument("--publish", type=Path, help="folder to copy the pictures to, at the end")
    parser.add_argument("--steps", type=int, help=f"steps for each price (default {STEPS:,})")
    arguments = parser.parse_args()
    usual = SHORT_STEPS if arguments.short else STEPS
    steps = usual if arguments.steps is None else arguments.steps
    if steps < 1:
        parser.error(f"--steps must be at least 1; got {steps}")
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
        report = Report(arguments.out)
        for name in PICTURES:
            (arguments.out / name).unlink(missing_ok=True)  # of an earlier run
        report.save(short=arguments.short, steps=steps)
    except OSError as error:
        print(f"demo: {arguments.out} cannot be written: {error}", file=sys.stderr)
        return 1
    started = time.perf_counter()
    try:
        run(arguments.out, steps, 64 if arguments.short else None, report)
    except KeyboardInterrupt:
        report.save(interrupted=True)
        print(f"\ninterrupted; what was done stands in {report.path}", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"demo: cannot write to {arguments.out}: {error}", file=sys.stderr)
        return 1
    if arguments.publish is not None:
        for name in PICTURES:
            shutil.copy(arguments.out / name, arguments.publish / name)
    took = time.perf_counter() - started
    peak = peak_memory()
    report.save(seconds=round(took, 1), peak_memory_gb=peak)
    memory = "" if peak is None else f", {peak:.2f} GB at most"
    print(f"{took:.0f} s in all{memory}: look at {arguments.out}{os.sep}samples.png and pareto.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
