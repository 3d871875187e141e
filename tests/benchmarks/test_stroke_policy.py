"""Claims about the policy that looks ahead in VoxelStroke."""

from __future__ import annotations

import pytest
import torch

from tests.needs import import_or_skip

import_or_skip("stable_baselines3", extra="sb3")

from benchmarks.claims import stroke_policy  # noqa: E402
from genenvs.tasks.voxel_stroke.grids import TARGET  # noqa: E402
from genenvs.tasks.voxel_stroke.task import VoxelStroke  # noqa: E402


@pytest.fixture(scope="module")
def task():
    return VoxelStroke(split="train", horizon=1_024, targets="lamp")


def walked(task, rows: int, steps: int):
    key = torch.arange(rows)
    state = task.initial_state(key, key * 7_919 + 13)
    for _ in range(steps):
        made = task.transition(state, task.reference_action(state))
        state = stroke_policy.rows(made.state, ~made.terminated)
    return state


def test_without_gains_it_is_the_rule(task):
    policy = stroke_policy.Moves(task.observation_space)
    torch.nn.init.zeros_(policy.gain[-1].weight)
    torch.nn.init.zeros_(policy.gain[-1].bias)
    for steps in (0, 5, 25):
        state = walked(task, 200, steps)
        chosen = policy(task.observe(state))[:, : stroke_policy.MOVES].argmax(1)
        assert len(chosen) > 50 and torch.equal(chosen, task.reference_action(state))


def test_an_expected_gain_beyond_the_margin_leaves_the_rule_for_a_legal_move(task):
    policy = stroke_policy.Moves(task.observation_space)
    torch.nn.init.zeros_(policy.gain[-1].weight)
    with torch.no_grad():
        policy.gain[-1].bias.copy_(torch.tensor([0.0, 0, 0, 0, 0, stroke_policy.MARGIN + 0.01]))
    state = walked(task, 200, 5)
    chosen = policy(task.observe(state))[:, : stroke_policy.MOVES].argmax(1)
    down = task.around(state)[:, 5] == TARGET
    assert bool((chosen[down] == 5).all()) and 0 < int(down.sum()) < len(down)
    assert torch.equal(chosen[~down], task.reference_action(state)[~down])


def test_gains_are_what_the_rule_reaches_after_each_move(task):
    state = walked(task, 12, 10)
    found = stroke_policy.gains(task, state)
    legal = task.around(state) == TARGET
    assert torch.equal(legal, ~found.isnan())
    for row, move in legal.nonzero().tolist():
        one = stroke_policy.rows(state, torch.tensor([row]))
        made = task.transition(one, torch.tensor([move]))
        while not bool(made.terminated):
            made = task.transition(made.state, task.reference_action(made.state))
        expected = int(made.state.covered) / int(made.state.volume)
        assert float(found[row, move]) == pytest.approx(expected)


@pytest.mark.slow
def test_it_learns_what_is_written_once(task, tmp_path, monkeypatch):
    monkeypatch.setattr(stroke_policy, "HIDDEN", 16)
    path = tmp_path / "gains.safetensors"
    stroke_policy.learn(path, 0, strokes=1_000, epochs=1)
    before = path.read_bytes()
    stroke_policy.learn(path, 1, strokes=1_000, epochs=1)
    assert path.read_bytes() == before
