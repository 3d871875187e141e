"""The page of results, from what the benchmarks wrote under `benchmarks/results/`."""

import json
from pathlib import Path
from typing import Any

from docs import agents_results, speed_results
from genenvs.cli.page import table

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks/results"


def render() -> str:
    """The page as Markdown."""
    parts = ["# Results"]
    if (claims := _read("demo_claim.json")) is not None:
        parts += _claims(claims)
    for path in sorted((RESULTS / "claims").glob("*.json")):
        parts += _claim(json.loads(path.read_text()))
    if (found := _read("learning.json")) is not None:
        parts += agents_results.learning(found)
    if (found := _read("classic.json")) is not None:
        parts += agents_results.classic(found)
    for device in ("cpu", "cuda"):
        parts += speed_results.section(RESULTS, device)
    return "\n\n".join(parts) + "\n"


def _claims(found: dict[str, Any]) -> list[str]:
    rows = [
        (
            f"{row['price']:g}",
            str(row["seed"]),
            f"{row['evaluations']:.2f}",
            f"{row['error']:.4f}",
            _percent(row["saved_against_uniform"], row["saved_interval"]),
            _percent(row["saved_against_DPM-Solver++"]),
            _percent(row["saved_against_UniPC"]),
            _ratio(row.get("error_over_open_loop")),
            _gap(row.get("adaptivity_gap")),
            f"{row['accuracy']['mean']:.3f}",
            f"{row['frechet']['mean']:.2f}",
            f"{row['diversity']['mean']:.3f}",
        )
        for row in found["claims"]
    ]
    header = ("price", "seed", "evaluations", "error", "saved against uniform",
              "against DPM-Solver++", "against UniPC", "error / best open loop",
              "adaptivity gap", "accuracy", "Frechet", "diversity")  # fmt: skip
    floor, mean = found["gold_of_200_steps"], found["mean"]
    saved, ratio = mean["saved_against_uniform"], mean["error_over_open_loop"]
    return [
        "## Learned schedules on digits",
        "![Error against evaluations](../benchmarks/results/demo_claim.png)",
        table(header, rows),
        f"PPO, three prices of an evaluation, three training seeds, the whole test split of "
        f"`genenvs/DenoiseSchedule-v0`. On average {saved['mean']:.1%} fewer evaluations than "
        f"uniform steps at equal error ({saved['agents']} of {saved['of']} agents), and "
        f"{ratio['mean']:.3f} times the error of the best open-loop schedule that a search found, "
        f"at equal mean evaluations ({ratio['agents']} of {ratio['of']}). *Adaptivity gap*: the "
        f"open-loop schedule's error minus the agent's, paired by starting noise; what looking at "
        f"the image is worth, less what training did not find. Intervals are 95 % over instances. "
        f"Gold metrics of the 200-step solutions themselves: accuracy {floor['accuracy']:.3f}, "
        f"Frechet {floor['frechet']:.2f}, diversity {floor['diversity']:.3f}.",
        f"`{found['command']}`",
    ]


def _claim(found: dict[str, Any]) -> list[str]:
    """One file that `benchmarks.claims.record.write` wrote."""
    rows = [
        (
            row["what"],
            row["metric"],
            f"{row['mean']:.4g}",
            f"{row['low']:.4g} .. {row['high']:.4g}",
            row.get("note", ""),
        )
        for row in found["rows"]
    ]
    parts = [f"## {found['title']}"]
    if found["picture"]:
        parts += [f"![{found['title']}]({found['picture']})"]
    header = ("played by", "metric", "mean", "95 % interval", "note")
    return [*parts, found["text"], table(header, rows), f"`{found['command']}`"]


def _percent(value: float | None, interval: list[float] | None = None) -> str:
    if value is None:
        return "beyond the curve"
    return f"{value:.1%}" + (f" [{interval[0]:.1%}, {interval[1]:.1%}]" if interval else "")


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _gap(value: list[float] | None) -> str:
    return "" if value is None else f"{value[0]:.4f} [{value[1]:.4f}, {value[2]:.4f}]"


def _read(name: str) -> dict[str, Any] | None:
    path = RESULTS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
