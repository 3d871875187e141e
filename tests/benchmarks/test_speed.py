"""The clock that every ratio is read from; no test asserts a time."""

import torch

from benchmarks.speed import denoise
from benchmarks.speed.measure import REPEATS, Timing, interleave, machine, ratio
from tests.needs import needs_device

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


@needs_device("cuda")
def test_torch_output_copies_no_data_to_the_host():
    assert denoise.host_copies(16)["median"] <= 1
