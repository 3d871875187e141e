"""Cutting films in styles that were never seen, and guessing what their editors show next.

    python -m benchmarks.claims.clip_edit

Three agents, five seeds each, with the configurations of `agents/defaults`, on ClipEdit and
ShotAttributes; scored on the test split, whose styles no episode of training has. The runs are
those of the leaderboard's suite `core`, kept under runs/cells.

ClipEdit: is the agreement above that of *greedy*, which matches clips with the example strip, and
that of *long takes*, which makes fewer shots of what matches best; and is what they are paid?
ShotAttributes: is the accuracy at least `SHARE` of what who knows the grammar has in expectation?
Beside them what else was measured, which betrays a policy that is paid for something else.
"""

import argparse
import importlib
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

import genenvs
from benchmarks import cells
from benchmarks.cells import LIST_SEED, Cell, across_seeds
from benchmarks.claims import record
from benchmarks.leaderboard import suites
from benchmarks.leaderboard.statistics import aggregate, interquartile_mean
from genenvs.core.evaluate import Evaluation
from genenvs.core.registry import declaration

CLIPS, SHOTS = "genenvs/ClipEdit-v0", "genenvs/ShotAttributes-v0"
AGENTS = {
    CLIPS: ("maskable_ppo", "actor_critic", "a3c"),
    SHOTS: ("ppo", "actor_critic", "a3c"),
}
SHARE = 0.8
METRICS = {
    CLIPS: ("agreement", "order", "pacing", "transition_fit", "aesthetics", "cadence", "habits",
            "repetition", "distinct_2", "smooth"),
    SHOTS: ("accuracy", "bound", "change_error", "variety", "plausible"),
}  # fmt: skip
BASELINES = ("greedy", "long takes")  # that the agents of ClipEdit are compared with


def grid(env: str) -> list[Cell]:
    """The runs on an environment."""
    return suites.plan(suites.load("core"), AGENTS[env], environments=[env])[0]


def scripted(env: str) -> dict[str, Evaluation]:
    """Random, the reference and every cheat on the episodes that the agents are scored on."""
    known = declaration(env)
    made = {}
    for name, path in {"random": "", "reference": "", **known.cheats}.items():
        envs = gym.make_vec(
            env, num_envs=256, split="test", keep_final=True, output="torch",
            autoreset_mode=AutoresetMode.SAME_STEP,
        )  # fmt: skip
        policy: Any = name
        if path:
            module, _, function = path.partition(":")
            policy = getattr(importlib.import_module(module), function)(envs)
        made[name] = genenvs.evaluate(envs, policy, seed=LIST_SEED)
    return made


def summarise(
    env: str, results: list[dict[str, Any]], others: dict[str, Evaluation]
) -> tuple[list[dict[str, Any]], dict[str, list[float]]]:
    """Rows of an environment, and by agent what its claim is about, a number a run."""
    name, rows = env.partition("/")[2], []
    claimed = {}
    for agent in AGENTS[env]:
        own = [r for r in results if r["agent"] == agent]
        if failed := [r["failed"] for r in own if "failed" in r]:
            raise SystemExit(f"{agent} on {env}: {failed[0]}")
        means = {m: [r["metrics"][m]["mean"] for r in own] for m in METRICS[env]}
        means["return"] = [r["paid"]["mean"] for r in own]
        claimed[agent] = means[METRICS[env][0]]
        if env == SHOTS:
            means["accuracy / bound"] = claimed[agent] = [
                a / b for a, b in zip(means["accuracy"], means["bound"], strict=True)
            ]
        rows += [
            record.row(agent, metric, across_seeds(values), f"{name}, over seeds")
            for metric, values in means.items()
        ]
    for who, found in others.items():
        for metric in (*METRICS[env], "return"):
            rows.append(record.row(who, metric, found.interval(metric), f"{name}, over episodes"))
    return rows, claimed


def main() -> None:
    """Train what is missing, play, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    middle, above = {}, {}
    for env in (CLIPS, SHOTS):
        played = grid(env)
        results = cells.run(played, arguments.jobs, suites.load("core").limits)
        others = scripted(env)
        found, claimed = summarise(env, results, others)
        runs = {agent: np.asarray(values) for agent, values in claimed.items()}
        middle[env] = aggregate(interquartile_mean, runs)
        name = "agreement" if env == CLIPS else "accuracy / bound"
        rows += [record.row("all, interquartile mean", name, middle[env], env.partition("/")[2])]
        rows += found
        if env == CLIPS:
            baselines = {name: others[name] for name in BASELINES}
            told = {m: _table(m, results, baselines) for m in ("agreement", "return", "order")}
        else:
            above = {agent: across_seeds(v).low > SHARE for agent, v in claimed.items()}
    clips, shots = middle[CLIPS], middle[SHOTS]
    record.write(
        "clip_edit",
        title="Cuts in the style of an editor who was never seen",
        text=(
            f"Three agents, {len(played) // 3} seeds each, {played[0].steps:,} steps, the"
            " configurations of `agents/defaults`; test films in styles that are in no other split."
            f" ClipEdit: agreement {clips.mean:.2f} [{clips.low:.2f}, {clips.high:.2f}]"
            " (interquartile mean of the runs, stratified bootstrap), the hidden editor 1."
            f" {told['agreement']} {told['return']} {told['order']} *Long takes* are fewer shots of"
            " what matches the strip best; `cadence` and `pacing` tell which agents lean that way."
            f" ShotAttributes: {shots.mean:.0%} [{shots.low:.0%}, {shots.high:.0%}] of what who"
            f" knows the grammar is right in expectation. {_verdict(above, f'above {SHARE:.0%}')}"
            " To lie above, an interval over the seeds must as a whole."
        ),
        rows=rows,
        command="python -m benchmarks.claims.clip_edit",
    )
    for row in rows:
        print(row)


def _table(metric: str, results: list[dict[str, Any]], baselines: dict[str, Evaluation]) -> str:
    """A metric of the agents and of who they are compared with, and which agents lie above whom."""
    key = "paid" if metric == "return" else metric
    own = {
        agent: across_seeds(
            [r["paid"]["mean"] if key == "paid" else r["metrics"][key]["mean"]
             for r in results if r["agent"] == agent]
        )
        for agent in AGENTS[CLIPS]
    }  # fmt: skip
    theirs = {name: found.interval(metric) for name, found in baselines.items()}
    text = f"{metric.capitalize()}: " + ", ".join(
        f"{name} {found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"
        for name, found in (own | theirs).items()
    )
    verdicts = [
        _verdict({agent: found.low > other.high for agent, found in own.items()}, f"above {name}")
        for name, other in theirs.items()
    ]
    return f"{text}. {' '.join(verdicts)}"


def _verdict(above: dict[str, bool], where: str) -> str:
    yes = [name for name, ok in above.items() if ok]
    no = [name for name, ok in above.items() if not ok]
    text = f"{', '.join(yes)}: {where}." if yes else f"None is {where}."
    return text + (f" Not: {', '.join(no)}." if yes and no else "")


if __name__ == "__main__":
    main()
