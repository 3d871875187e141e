"""What a metric can be: every one says so, and what is played and what is published is that."""

import math

import pytest
import torch
from gymnasium.vector import AutoresetMode

import genenvs
from genenvs.core.evaluate import evaluate
from genenvs.core.loading import load_task
from genenvs.core.registry import declaration, scores
from genenvs.core.rewards import Metric
from genenvs.editing import briefs, styles
from genenvs.images import rewards as image_rewards
from genenvs.tasks.denoise.rewards import METRICS, of_parts
from genenvs.testing.play import subject_of
from genenvs.video.attributes import COUNT, SIZES

ROUNDING = 1e-6  # what a published mean may lie beyond its range
EPISODES = 3  # below 4 there is no interval of a set's metrics, which would take 50 of them
SLOW = ("ClipEdit", "Dance", "EdgeLoop", "Room")  # whose judges draw, solve or simulate


def beyond(values: dict[str, float], metrics: dict[str, Metric]) -> dict[str, float]:
    """The values, of those that are metrics, that none of their metric can have."""
    spans = {name: metrics[name].range for name in values if name in metrics}
    assert None not in spans.values(), spans
    return {
        name: values[name]
        for name, (low, high) in spans.items()
        if not low - ROUNDING <= values[name] <= high + ROUNDING
    }


@pytest.mark.parametrize("env_id", genenvs.ids())
def test_what_random_play_is_measured_by_can_be(env_id):
    subject = subject_of(env_id, {"num_envs": EPISODES})
    judged = not any(name in env_id for name in SLOW)
    envs = subject.batch(
        horizon=subject.short, keep_final=judged, autoreset_mode=AutoresetMode.SAME_STEP
    )
    metrics = envs.task.metrics
    found = evaluate(envs, "random", episodes=EPISODES, seed=7)
    envs.close()
    seen = {name for name in found.episodes if name in metrics} | set(found.sets)
    kinds = ("step", "end", "judge", "set") if judged else ("step", "end")
    assert seen == {name for name, metric in metrics.items() if metric.when in kinds}
    for row in range(EPISODES):
        values = {name: float(column[row]) for name, column in found.episodes.items()}
        assert not beyond(values, metrics)
    assert not beyond({name: interval.mean for name, interval in found.sets.items()}, metrics)


@pytest.mark.parametrize("env_id", genenvs.ids())
def test_what_is_published_of_an_id_can_be(env_id):
    metrics, measured = load_task(declaration(env_id).task).metrics, scores(env_id)
    score = declaration(env_id).score
    for name in ("random", "reference") if measured is not None else ():
        assert not beyond(measured[name]["metrics"] | {score: measured[name]["mean"]}, metrics)


def test_a_value_out_of_its_range_is_found():
    metrics = {"correct": METRICS["correct"], "frechet": METRICS["frechet"]}
    assert beyond({"correct": 4.68, "frechet": -1.0}, metrics) == {"correct": 4.68, "frechet": -1.0}
    assert beyond({"correct": math.nan}, metrics) and not beyond({"length": -1.0}, metrics)


def test_no_shot_of_an_edit_is_further_from_chance_than_the_range_of_agreement():
    table = styles.load("test", torch.device("cpu")).log_probability
    table = table.view(-1, COUNT, (styles.VALUES + 1) ** 2, styles.VALUES)
    there = torch.arange(styles.VALUES) < torch.tensor(SIZES)[:, None]
    least = table.masked_fill(~there[:, None], 0.0).amin((2, 3)).double().sum(1)
    low, high = load_task(declaration("genenvs/ClipEdit-v0").task).metrics["agreement"].range
    assert low <= float(least.min()) < 0 and high == -low and float(table.max()) <= ROUNDING
    assert briefs.LEAST_SPAN == 1.0


def test_a_reward_of_images_says_what_its_metrics_can_be():
    one = image_rewards.load("scene")
    assert of_parts(one)["reward"].range == one.range == (0.0, 1.0)
    both = image_rewards.load({"brightness": 2.0, "jpeg_compressibility": 1.0})
    ranges = {name: metric.range for name, metric in of_parts(both).items()}
    assert ranges == {
        "reward": (-math.inf, 2.0),
        "reward/brightness": (0.0, 1.0),
        "reward/jpeg_compressibility": (-math.inf, 0.0),
    }
    assert METRICS["reward"].range == (-math.inf, math.inf)
