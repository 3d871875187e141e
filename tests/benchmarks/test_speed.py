"""The clock that every ratio is read from; no test asserts a time."""

import pytest
import torch

from agents.networks import ActorCritic, NetworkConfig
from agents.problem import Problem
from benchmarks.speed import agents, denoise
from benchmarks.speed.measure import REPEATS, Timing, interleave, machine, ratio
from tests.needs import needs, needs_device

CPU = torch.device("cpu")


def test_calls_are_timed_in_turns():
    order = []
    found = interleave(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, CPU, seconds=1e-5
    )
    assert len(found["a"]) == len(found["b"]) == REPEATS
    turns = [name for k, name in enumerate(order) if k == 0 or order[k - 1] != name]
    assert turns[-2 * REPEATS :] == ["a", "b"] * REPEATS


def test_a_ratio_is_taken_repeat_by_repeat():
    assert ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == Timing(2.0, 2.0, 3.0)


def test_the_machine_is_described():
    found = machine(CPU)
    assert found["torch"] == torch.__version__ and found["cores"] >= 1 and found["processor"]


def test_a_row_measures_a_step_with_ragged_ends(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.measure.REPEATS", 2)
    monkeypatch.setattr(
        denoise, "interleave", lambda calls, device: interleave(calls, device, seconds=0.02)
    )
    row = denoise.overhead(4, "cpu", "numpy")
    assert row["median"] > 0 and row["low"] <= row["median"] <= row["high"]
    assert 2 < row["mean_episode"] < 30  # episodes did end while the clock ran


def test_a_stopwatch_counts_between_warm_up_and_the_end_of_its_window(monkeypatch):
    now = iter([10.0, 10.5, 11.5, 12.5, 14.5, 18.5])  # the window opens at 11.5 and ends from 17.5
    monkeypatch.setattr(agents.time, "perf_counter", lambda: next(now))
    watch = agents.Stopwatch()
    with pytest.raises(agents.Over):
        for _ in range(6):
            watch.count(70)
    assert watch.rate == 3 * 70 / 7


@needs("stable_baselines3", extra="agents")
def test_training_is_compared_on_networks_of_one_size(monkeypatch):
    monkeypatch.setattr(agents, "WARM_UP", 0.0)
    monkeypatch.setattr(agents, "WINDOW", 0.1)
    monkeypatch.setattr(agents, "REPEATS", 1)
    with agents.a2c_over_processes(1) as model:
        assert agents.theirs(model)() > 0
        numbers = sum(p.numel() for p in model.policy.parameters())
    ours = ActorCritic(*Problem(agents.ENV).spaces, NetworkConfig(hidden=agents.HIDDEN))
    assert sum(p.numel() for p in ours.parameters()) == numbers
    calls = {"a": agents.ours("actor_critic", num_envs=4), "b": lambda: 2.0}
    row = agents.compare("a / b", 4, "", calls)
    assert row["median"] == pytest.approx(row["steps_per_s"]["a"] / 2, rel=0.01)


@needs_device("cuda")
def test_torch_output_copies_no_data_to_the_host():
    assert denoise.host_copies(16)["median"] <= 1
