"""Sections of the page of results that speak of agents."""

from typing import Any

from genenvs.cli.page import table

Parts = list[str]


def learning(found: dict[str, Any]) -> Parts:
    """The learning matrix."""
    agents = list(dict.fromkeys(agent for entry in found.values() for agent in entry["agents"]))
    rows, weak, slowest = [], [], 0.0
    for env, entry in found.items():
        cells = []
        for agent in agents:
            row = entry["agents"].get(agent)
            if row is None:
                cells.append("")
                continue
            cells.append(f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]")
            slowest = max(slowest, row["cpu_seconds"])
            if not row["above_random"] or row["failed"]:
                weak.append(f"{agent} on `{env}`")
        # Rows of before had no number of their own.
        played = max(row.get("episodes", 1_024) for row in entry["agents"].values())
        rows.append((f"`{env}`", f"{entry['steps']:,}", f"{played:,}", *cells))
    verdict = (
        "Every interval lies above that of random."
        if not weak
        else f"Not above random, or failed: {', '.join(weak)}."
    )
    return [
        "## The learning matrix",
        table(("id", "steps", "episodes", *agents), rows),
        "Scores on so many episodes of the test split, normalised to 0 for random and 1 for the "
        "reference; mean over three run seeds with Student's 95 % interval. "
        f"{verdict} The slowest run took {slowest:.0f} s of CPU time. Where an action is a latent "
        "(`DenoiseLatent`, `DenoiseNoise`), agents that are no denoisers are not asked: on the "
        "first a network that begins with nothing would have to learn to draw; on the second "
        "they were not tried.",
        "`python -m benchmarks.learning`",
    ]


def classic(found: dict[str, Any]) -> Parts:
    """Ours against Stable-Baselines3's A2C."""
    rows = [
        (
            env,
            f"{entry['steps']:,}",
            agent,
            f"{row['mean']:.1f} [{row['low']:.1f}, {row['high']:.1f}]",
            ", ".join(f"{value:.0f}" for value in sorted(row["seeds"])),
            "" if agent == "a2c" else "yes" if row["reaches_a2c"] else "**no**",
        )
        for env, entry in found.items()
        for agent, row in entry["agents"].items()
    ]
    scattered = [env for env, entry in found.items() if _scatters(entry["agents"]["a2c"])]
    header = ("environment", "steps", "agent", "mean return", "seeds", "reaches a2c")
    return [
        "## Ours against Stable-Baselines3's A2C",
        "![Learning curves](pictures/classic.png)",
        table(header, rows),
        "Same network, hyperparameters and steps; greedy policies on the same hundred episodes by "
        "`genenvs.evaluate`; mean over five run seeds with Student's 95 % interval. `a2c` is "
        "Stable-Baselines3's; an agent reaches it where its mean lies above the lower end "
        "of a2c's interval, or within 1 % of its mean.",
        *(
            f"On {env} seeds of every agent end far apart, so that a2c's interval is wide and the "
            "comparison says little more than that the same happens to all."
            for env in scattered
        ),
        "`python -m benchmarks.classic`",
    ]


def _scatters(row: dict[str, Any]) -> bool:
    """Whether an interval is wider than its mean is large."""
    return row["high"] - row["low"] > abs(row["mean"])
