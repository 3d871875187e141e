"""Fine-tuning a small Stable Diffusion by reinforcement learning: what is gained, what is gamed.

    python -m benchmarks.claims.denoising [PART ...] [--seeds 0 1 2]

Parts: `scene` (ddpo, paid by the parser), `jpeg` (ddpo, paid for small files, with and without a KL
term), `gradient` (reward_gradient beside ddpo on one bounded differentiable reward), `search` (best
of N), `flow` (flow_grpo with and without its KL term). Every run is scored on the prompts of the
test split at guidance 1, before and after, by the deterministic sampler (of `flow` by the one that
was trained as well): interquartile means of the runs (of three: their mean), bootstrapped. Runs are
kept in runs/claims/denoising and go on where they were stopped.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

import agents
import agents.configs
import genenvs
from agents.denoise.pictures import grid
from agents.evaluation import Policy
from benchmarks.claims import record
from benchmarks.leaderboard.statistics import aggregate, interquartile_mean
from genenvs.core.evaluate import Evaluation, Interval
from genenvs.core.random import mix
from genenvs.images.rewards import jpeg
from genenvs.images.scenes import parser
from genenvs.images.scenes.render import arrange, render
from genenvs.images.sheets import sheet

ENV, FLOW = "genenvs/DenoiseLatent-v0", "genenvs/DenoiseLatentFlow-v0"
FOLDER = Path("runs/claims/denoising")
GOLD = ("correct", "clean", "strange", "diversity")
EPISODES = 1_024
SHOWN = 12  # pictures of a row
LATE, LAST = ("reward", "gold_correct", "gold_strange"), 4_096  # images
SMOOTH = 1 / 30  # of a run: the standard deviation by which its curve is smoothed
HORIZON = 10
CANDIDATES = (1, 2, 4, 8, 16)
BRIGHT = 0.7  # the reward that the two agents of `gradient` are timed to: both come there


@dataclass(frozen=True)
class Plan:
    """How one row of runs is trained."""

    agent: str
    images: int
    env: str = ENV
    arguments: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


JPEG = {"reward": "jpeg_compressibility"}
PLANS = {
    "scene": Plan("ddpo", 8_192),
    "jpeg, without KL": Plan("ddpo", 4_096, arguments=JPEG),
    "jpeg, with KL": Plan("ddpo", 4_096, arguments=JPEG, config={"kl_coef": 1.0}),
    "gradient, reward_gradient": Plan("reward_gradient", 1_024, arguments={"reward": "brightness"}),
    "gradient, ddpo": Plan("ddpo", 4_096, arguments={"reward": "brightness"}),
    "flow, with KL": Plan("flow_grpo", 98_304, FLOW),
    "flow, without": Plan("flow_grpo", 98_304, FLOW, config={"kl_coef": 0.0}),
}


@dataclass(frozen=True)
class Found:
    """A run: how it went and what it came to, as it plays and by the sampler without noise."""

    curve: list[dict[str, float]]
    minutes: float
    test: Evaluation
    still: Evaluation


def environments(env: str, arguments: dict[str, Any]) -> Any:
    """Of the test split."""
    return gym.make_vec(
        env, num_envs=256, split="test", keep_final=True, output="torch",
        autoreset_mode=AutoresetMode.SAME_STEP, **arguments,
    )  # fmt: skip


def played(env: str, arguments: dict[str, Any], policy: Callable[[Any], Any]) -> Evaluation:
    """The same episodes for everyone."""
    envs = environments(env, arguments)
    return genenvs.evaluate(envs, policy(envs), episodes=EPISODES, keep_final=True, progress=False)


def untrained(envs: Any) -> Any:
    """The generator's deterministic sampler at guidance 1: what all runs begin as."""
    task = envs.unwrapped.task

    def policy(observation: Any, info: Any) -> Tensor:
        return task.steer(observation, task.sampled(envs.unwrapped.state, level=0.0))

    return policy


def acting(agent: Any) -> Callable[[Any], Any]:
    """An agent as `played` asks for it."""
    return lambda envs: Policy(agent)


def place(name: str, seed: int) -> Path:
    """Where a run is kept."""
    return FOLDER / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"


def run(name: str, seed: int) -> Found:
    """Train, or go on, and score."""
    plan = PLANS[name]
    made = agents.train(
        plan.agent, plan.env, steps=plan.images * HORIZON, seed=seed, config=plan.config,
        arguments=plan.arguments, out=place(name, seed), resume=True,
    )  # fmt: skip
    agent: Any = made.agent
    test = still = played(plan.env, plan.arguments, acting(agent))
    if agent.config.evaluate_level:
        agent.config = replace(agent.config, evaluate_level=0.0)
        still = played(plan.env, plan.arguments, acting(agent))
    return Found(made.curve, made.seconds / 60, test, still)


def across(values: Sequence[float]) -> Interval:
    """Of the runs: their interquartile mean, bootstrapped; of three runs it reaches no further."""
    return aggregate(interquartile_mean, {"runs": np.asarray(values, dtype=np.float64)})


def over(found: Sequence[Found], metric: str) -> Interval:
    """A metric of the runs."""
    return across([mean(each.test, metric) for each in found])


def over_minutes(found: Sequence[Found]) -> Interval:
    """What the runs took."""
    return across([each.minutes for each in found])


def mean(test: Evaluation, metric: str) -> float:
    """Of an evaluation, whether of episodes or of the set."""
    return float(test.summary()[metric]["mean"])


def table(before: Evaluation, found: dict[str, Sequence[Found]]) -> list[dict[str, Any]]:
    """The proxy and every gold metric, untrained and of the runs by their names."""
    rows = []
    for metric in ("reward", *GOLD):
        rows.append(record.row("untrained", metric, constant(mean(before, metric)), "test"))
        for name, own in found.items():
            rows.append(record.row(name, metric, over(own, metric), "test, over seeds"))
    for name, own in found.items():
        minutes = over_minutes(own)
        rows.append(record.row(name, "minutes", minutes, "wall clock, one thread"))
    return rows


def constant(value: float) -> Interval:
    """A number without spread."""
    return Interval(value, value, value, 1)


def pictures(titles: Sequence[str], tests: Sequence[Evaluation], caption: str) -> np.ndarray:
    """The first episodes of each, row by row."""
    panels = []
    for title, test in zip(titles, tests, strict=True):
        final: Any = test.final
        panels.append((title, grid(final.image[None, :SHOWN])))
    wide = [sheet([panel]) for panel in panels]
    whole = np.concatenate(wide, 0)
    line = sheet([("", np.full((1, whole.shape[1] - 20, 3), 255, np.uint8))], caption)
    return np.concatenate([whole, line[:, : whole.shape[1]]], 0)


def beside(
    found: dict[str, Sequence[Found]],
    below: np.ndarray,
    third: tuple[str, str] = ("gold_strange", "strange (gold; lower is better)"),
) -> np.ndarray:
    """The proxy and two gold metrics over the images of training, above a picture as wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wide = below.shape[1]
    figure = Figure(figsize=(wide / 100, 2.6), dpi=100, layout="constrained")
    columns = {"reward": "reward (paid)", "gold_correct": "correct (gold)", third[0]: third[1]}
    for axes, (column, title) in zip(
        figure.subplots(1, len(columns)), columns.items(), strict=True
    ):
        for k, (name, runs) in enumerate(found.items()):
            for each in runs:
                images = [row["steps"] / HORIZON for row in each.curve]
                values = [row[column] for row in each.curve]
                axes.plot(images, values, f"C{k}", alpha=0.15)
                smooth = gaussian_filter1d(values, max(1.0, SMOOTH * len(values)))
                label = name if each is runs[0] else None
                axes.plot(images, smooth, f"C{k}", linewidth=1.4, label=label)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("images", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
    figure.axes[0].legend(frameon=False, fontsize=8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[:, :wide, :3]
    return np.concatenate([drawn, below], 0)


def ceiling(env: str) -> float:
    """What the parser says of real scenes of the same prompts, through the autoencoder."""
    task = environments(env, {}).unwrapped.task
    asked = task.request[task.own]
    correct = []
    for k in range(-(-EPISODES // len(asked))):
        key = mix(torch.full((len(asked),), k), torch.arange(len(asked)))
        with torch.no_grad():
            again = task.generator.decode(
                task.generator.encode_image(render(arrange(asked, key), key))
            )
        correct.append(parser.read(again, asked).correct.float())
    return float(torch.cat(correct).mean())


def closed(after: Sequence[Evaluation], before: Evaluation, highest: float) -> Interval:
    """Share of the gap from the untrained model to the ceiling."""
    low = mean(before, "correct")
    return across([(mean(each, "correct") - low) / (highest - low) for each in after])


def scene(seeds: Sequence[int]) -> None:
    """The parser's reward, on prompts that were not trained on."""
    before = played(ENV, {}, untrained)
    found = [run("scene", seed) for seed in seeds]
    gain = across([100 * (mean(e.test, "correct") - mean(before, "correct")) for e in found])
    share = closed([each.test for each in found], before, ceiling(ENV))
    rows = table(before, {"ddpo": found})
    rows.append(record.row("ddpo", "gain in points", gain, "correct, unseen prompts; aim 10"))
    rows.append(record.row("ddpo", "share of the gap closed", share, "to the ceiling"))
    record.write(
        "denoising_scene",
        title="DDPO learns to draw what is asked for",
        text=(
            f"`ddpo` on `sprites`, paid by the scene parser, {PLANS['scene'].images:,} images,"
            f" {len(seeds)} seeds. On unseen prompts {gain.mean:.1f} points more pictures are"
            f" correct ({gain.low:.1f} to {gain.high:.1f}); the aim was 10."
        ),
        rows=rows,
        command="python -m benchmarks.claims.denoising scene",
        picture=pictures(
            ("untrained", "ddpo"), (before, found[0].test), "the same unseen prompts and noise"
        ),
    )


def jpeg_part(seeds: Sequence[int]) -> None:
    """Small files: the reward rises and what was asked for is lost; with a KL term neither is."""
    names = ("without KL", "with KL")
    plan, held = (PLANS[f"jpeg, {name}"] for name in names)
    before = played(ENV, plan.arguments, untrained)
    found = {n: [run(f"jpeg, {n}", seed) for seed in seeds] for n in names}
    free = found["without KL"]
    thirds = [_thirds([r["reward"] for r in e.curve]) for e in free]
    monotone = sum(all(a < b for a, b in pairwise(t)) for t in thirds)
    back, pairs = (sum(each) for each in zip(*(_setbacks(e.curve) for e in free), strict=True))
    floor = jpeg.floor_kb(32, 32)
    rows = table(before, {f"ddpo {n}": found[n] for n in names})
    for n in names:
        rises = across([_slope([row["reward"] for row in each.curve]) for each in found[n]])
        rows.append(record.row(f"ddpo {n}", "rise a batch", rises, "kB"))
    right = {n: over(found[n], "correct").mean for n in names}
    size = {n: -over(found[n], "reward").mean for n in names}
    record.write(
        "denoising_jpeg",
        title="Paid for small files, DDPO forgets the prompt; KL holds it where it was",
        text=(
            f"`ddpo` paid minus the kilobytes of the JPEG file (quality {jpeg.QUALITY}, enlarged"
            f" bicubically to {jpeg.MEASURED} px), {plan.images:,} images, {len(seeds)} seeds. A"
            f" flat picture costs {floor:.3f} kB. On unseen prompts files shrink from"
            f" {-mean(before, 'reward'):.2f} to {size['without KL']:.2f} kB. In training the means"
            f" of its thirds shrink in {monotone} of {len(seeds)} runs; from batch to batch files"
            f" grow in {back} of {pairs} cases. The share of correct pictures falls"
            f" from {mean(before, 'correct'):.1%} to {right['without KL']:.1%}: the gold metric"
            f" tells. With `kl_coef` {held.config['kl_coef']:g} files shrink to"
            f" {size['with KL']:.2f} kB, and {right['with KL']:.1%} are correct: what is paid for"
            " cannot be had without leaving the generator."
        ),
        rows=rows,
        command="python -m benchmarks.claims.denoising jpeg",
        picture=beside(found, pictures(
            ("untrained", *names), (before, *(found[n][0].test for n in names)),
            "paid for small files: the same unseen prompts and noise",
        )),
    )  # fmt: skip


def _thirds(values: Sequence[float]) -> list[float]:
    return [float(part.mean()) for part in np.array_split(np.asarray(values), 3)]


def _setbacks(curve: Sequence[dict[str, float]]) -> tuple[int, int]:
    """How often a batch's reward is below that of the one before, and of how many."""
    pairs = list(pairwise(row["reward"] for row in curve))
    return sum(a > b for a, b in pairs), len(pairs)


def _slope(values: Sequence[float]) -> float:
    return float(np.polyfit(range(len(values)), values, 1)[0])


def gradient(seeds: Sequence[int]) -> None:
    """A reward with a gradient: images until it is reached, with and without its gradient."""
    names = ("reward_gradient", "ddpo")
    found = {n: [run(f"gradient, {n}", seed) for seed in seeds] for n in names}
    before = played(ENV, PLANS["gradient, ddpo"].arguments, untrained)
    until = {n: [_until(each) for each in found[n]] for n in names}
    rows = table(before, found)
    for n in names:
        reached = across([images for images, _ in until[n]])
        spent = across([minutes for _, minutes in until[n]])
        rows.append(record.row(n, f"images to a reward of {BRIGHT:g}", reached, "training"))
        rows.append(record.row(n, f"minutes to a reward of {BRIGHT:g}", spent, "training"))
    times = [across([b[k] / a[k] for a, b in zip(*until.values(), strict=True)]) for k in (0, 1)]
    rows.append(record.row("ddpo / reward_gradient", "images", times[0], "over seeds; aim 5"))
    rows.append(record.row("ddpo / reward_gradient", "minutes", times[1], "over seeds"))
    missed = sum(not _reached(each) for each in found["ddpo"])
    least = f" `ddpo` did not get there in {missed} of its runs: all their images count."
    record.write(
        "denoising_gradient",
        title="A reward that can be differentiated is reached sooner",
        text=(
            f"Brightness, to {BRIGHT:g} of 1 in training, {len(seeds)} seeds: `reward_gradient`"
            f" needs {times[0].mean:.1f} times fewer images than `ddpo` ({times[0].low:.1f} to"
            f" {times[0].high:.1f}; the aim was 5) and {times[1].mean:.1f} times less time."
            f"{least if missed else ''}"
        ),
        rows=rows,
        command="python -m benchmarks.claims.denoising gradient",
        picture=pictures(
            ("untrained", *names), (before, *(found[n][0].test for n in names)),
            "the same unseen prompts and noise",
        ),
    )  # fmt: skip


def _reached(found: Found) -> bool:
    return any(row["reward"] >= BRIGHT for row in found.curve)


def _until(found: Found) -> tuple[float, float]:
    """Images and minutes until the reward was there; those of the whole run where it never was."""
    there = next((row for row in found.curve if row["reward"] >= BRIGHT), found.curve[-1])
    share = there["steps"] / found.curve[-1]["steps"]  # every batch takes as long
    return there["steps"] / HORIZON, share * found.minutes


def search(seeds: Sequence[int]) -> None:
    """The best of N: no learning, N times the images."""
    rows, shares = [], []
    for count in CANDIDATES:
        agent = agents.train(
            "best_of_n", ENV, steps=1, config={"candidates": count}, arguments={}
        ).agent
        test = played(ENV, {}, acting(agent))
        shares.append(mean(test, "reward"))
        for metric in ("reward", "correct"):
            rows.append(record.row(f"best of {count}", metric, test.interval(metric), "test"))
    record.write(
        "denoising_search",
        title="The best of N samples",
        text=(
            "Searched with the reward that is measured, on unseen prompts, from samples with noise"
            f" at guidance 1. {_gains(shares)}"
        ),
        rows=rows,
        command="python -m benchmarks.claims.denoising search",
    )


def _gains(shares: Sequence[float]) -> str:
    """What every doubling of N adds, and whether that is the logarithmic curve."""
    gains = [b - a for a, b in pairwise(shares)]
    less = all(a > b for a, b in pairwise(gains))
    listed = ", ".join(f"{gain:.3f}" for gain in gains)
    bent = "less each time: it saturates, and is no straight line over log2 N"
    return (
        f"From N = {CANDIDATES[0]} to {CANDIDATES[-1]} every doubling of N adds {listed} to the"
        f" reward, {bent if less else 'not less each time: it does not saturate yet'}."
    )


def flow(seeds: Sequence[int]) -> None:
    """Flow-GRPO's claim is that without its KL term what is not paid for is lost: what is here?"""
    names = ("with KL", "without")
    found = {n: [run(f"flow, {n}", seed) for seed in seeds] for n in names}
    tuned = agents.configs.tuned("flow_grpo", FLOW)
    rule, level = tuned["rule"], tuned["evaluate_level"]
    before = played(FLOW, {"rule": rule, "level": level}, lambda envs: "random")
    plain = played(FLOW, {}, untrained)
    highest = ceiling(FLOW)
    rows = table(before, {f"flow_grpo {n}": found[n] for n in names})
    shares = {n: closed([e.test for e in found[n]], before, highest) for n in names}
    still = {n: closed([e.still for e in found[n]], plain, highest) for n in names}
    for n in names:
        what = f"flow_grpo {n}"
        rows.append(record.row(what, "share of the gap closed", shares[n], "aim 0.85"))
        rows.append(record.row(what, "the same, sampled without noise", still[n], "Euler's steps"))
    rows.append(record.row("untrained", "correct without noise", constant(mean(plain, "correct"))))
    fewer = min(PLANS[f"flow, {n}"].images for n in names)
    late = {n: {c: _late(found[n], c, fewer) for c in LATE} for n in names}
    for n in names:
        for column, value in late[n].items():
            note = f"training, the last {LAST:,} of {fewer:,} images"
            rows.append(record.row(f"flow_grpo {n}", column, value, note))
    held, free = (late[n] for n in names)
    record.write(
        "denoising_flow",
        title="Flow-GRPO, with and without KL",
        text=(
            f"`flow_grpo` on `sprites-flow` at guidance 1, {PLANS['flow, with KL'].images:,} images"
            f" of 10 steps, {len(seeds)} seeds, played by the sampler that was trained (`{rule}`)."
            f" With its KL term it closes {shares['with KL'].mean:.2f}"
            f" [{shares['with KL'].low:.2f}, {shares['with KL'].high:.2f}] of the gap from the"
            f" untrained model ({mean(before, 'correct'):.1%} correct) to the ceiling"
            f" ({highest:.1%}) on unseen prompts; the aim was 0.85. Sampled without noise it closes"
            f" {still['with KL'].mean:.2f}, from {mean(plain, 'correct'):.1%}."
            f" {_moves(rows, {f'flow_grpo {n}': n for n in names})} A run took"
            f" {over_minutes(found['with KL']).mean:.0f} minutes of one core with KL and"
            f" {over_minutes(found['without']).mean:.0f} without. In training, where"
            " prompts that are drawn right at times are asked for more often than others,"
            f" {held['gold_correct'].mean:.1%} are correct in the end with KL and"
            f" {free['gold_correct'].mean:.1%} without."
        ),
        rows=rows,
        command="python -m benchmarks.claims.denoising flow",
        picture=beside(found, pictures(
            ("untrained", *names), (before, *(found[n][0].test for n in names)),
            "the same unseen prompts and first noise",
        ), ("diversity", "diversity (gold)")),
    )  # fmt: skip


def _moves(rows: Sequence[dict[str, Any]], runs: dict[str, str]) -> str:
    """Which of the reward and the gold metrics rise or fall on the test split, by its rows."""
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for each in rows:
        first.setdefault((each["what"], each["metric"]), each)  # later ones are of training
    said = []
    for what, title in runs.items():
        ways: dict[str, list[str]] = {"up": [], "down": [], "not clearly either": []}
        for metric in ("reward", *GOLD):
            was, now = first["untrained", metric]["mean"], first[what, metric]
            way = "up" if now["low"] > was else "down" if now["high"] < was else list(ways)[2]
            ways[way].append(f"{metric} ({was:.3f} to {now['mean']:.3f})")
        parts = [f"{way}: {', '.join(metrics)}" for way, metrics in ways.items() if metrics]
        said.append(f"{title}: {'; '.join(parts)}.")
    return (
        "On unseen prompts, of `reward`, which is paid, and the gold metrics (of strange less is"
        f" better): {' '.join(said)}"
    )


def _late(found: Sequence[Found], column: str, images: int) -> Interval:
    """A column of the runs' curves at the end of so many images."""
    first = images - LAST
    return across([
        float(np.mean([r[column] for r in each.curve if first < r["steps"] / HORIZON <= images]))
        for each in found
    ])  # fmt: skip


PARTS = {"scene": scene, "jpeg": jpeg_part, "gradient": gradient, "search": search, "flow": flow}


def main() -> None:
    """Run the parts asked for."""
    line = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    line.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    line.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = line.parse_args()
    if unknown := [part for part in given.parts if part not in PARTS]:
        line.error(f"parts are {', '.join(PARTS)}; got {', '.join(unknown)}")
    torch.set_num_threads(1)
    for part in given.parts:
        PARTS[part](given.seeds)


if __name__ == "__main__":
    main()
