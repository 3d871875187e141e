"""The arithmetic of the claim about films in unseen styles."""

import numpy as np
import pytest

from benchmarks.claims import clip_edit
from benchmarks.claims.clip_edit import AGENTS, METRICS, SHOTS, grid, summarise

SEEDS = range(5)  # of the suite `core`


def results(accuracy, bound):
    return [
        {
            "agent": agent,
            "metrics": {m: {"mean": {"accuracy": accuracy, "bound": bound}.get(m, 0.0)}
                        for m in METRICS[SHOTS]},
            "paid": {"mean": accuracy},
        }
        for agent in AGENTS[SHOTS]
        for _ in SEEDS
    ]  # fmt: skip


def test_accuracy_is_a_share_of_the_bound_run_by_run():
    rows, claimed = summarise(SHOTS, results(0.4, 0.5), {})
    assert all(np.allclose(values, 0.8) for values in claimed.values())
    shares = [row["mean"] for row in rows if row["metric"] == "accuracy / bound"]
    assert shares == pytest.approx([0.8] * len(AGENTS[SHOTS]))


def test_a_run_that_failed_ends_the_claim():
    broken = results(0.4, 0.5)
    broken[4] = {"agent": broken[4]["agent"], "failed": "not played"}
    with pytest.raises(SystemExit, match="not played"):
        summarise(SHOTS, broken, {})


def test_every_agent_plays_with_the_network_that_scores_choices():
    for env in AGENTS:
        assert len(grid(env)) == len(AGENTS[env]) * len(SEEDS)
        assert {c.config["network"] for c in grid(env)} == {"agents.choices:Choices"}
    assert clip_edit._verdict({"a": True, "b": False}, "here") == "a: here. Not: b."
