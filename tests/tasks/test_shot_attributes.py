"""Claims about predicting what an editor shows next."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import genenvs
from genenvs.core import random
from genenvs.core.vector import TaskVectorEnv
from genenvs.tasks.shot_attributes import cheats, rewards
from genenvs.tasks.shot_attributes.task import CONTEXT, ShotAttributes
from genenvs.video.attributes import COUNT, NAMES, SIZES

TASK = "genenvs.tasks.shot_attributes.task:ShotAttributes"


def make(num_envs=64, **arguments) -> TaskVectorEnv:
    arguments = {"split": "validation", "horizon": 12, "autoreset_mode": "SAME_STEP"} | arguments
    return TaskVectorEnv(TASK, num_envs=num_envs, output="torch", **arguments)


@pytest.mark.parametrize("teacher_forced", [False, True])
def test_a_batch_equals_the_plain_reference(teacher_forced):
    task, rows = ShotAttributes(horizon=6, split="test", teacher_forced=teacher_forced), 5
    instance = random.mix(torch.arange(rows), 3)
    state = task.initial_state(instance, instance)
    edit = state.edit.numpy().copy()
    seen = [list(edit[row, :CONTEXT]) for row in range(rows)]
    chances = [[np.eye(5)[edit[row, CONTEXT - 2 + k]] for k in (0, 1)] for row in range(rows)]
    taste, habits = (x[state.style].numpy().astype(float)
                     for x in (task.styles.taste, task.styles.habits))  # fmt: skip
    rng, right = np.random.default_rng(1), np.zeros((rows, COUNT))
    bound, plausible = np.zeros(rows), np.zeros(rows)
    for step in range(6):
        shown = task.observe(state)
        action = rng.integers(np.array(SIZES), size=(rows, COUNT))
        moved = task.transition(state, torch.from_numpy(action))
        for row in range(rows):
            expected = np.concatenate(
                [np.eye(n)[shot[a]] for shot in seen[row][-CONTEXT:] for a, n in enumerate(SIZES)]
            )
            np.testing.assert_array_equal(shown["shots"][row].flatten().numpy(), expected)
            truth = edit[row, CONTEXT + step]
            right[row] += action[row] == truth
            before, last = chances[row]
            after = np.zeros((COUNT, 5))
            for a, n in enumerate(SIZES):
                for value in range(n):
                    parts = (
                        taste[row, a, value],
                        last[a, value],
                        before[a, value],
                        last[a, value - 1],
                    )
                    if value == 0:
                        parts = (*parts[:3], last[a, n - 1])
                    after[a, value] = np.dot(habits[row, a], parts)
            np.testing.assert_allclose(after.sum(1), 1, atol=1e-5)
            bound[row] += after.max(1).sum()
            plausible[row] += after[np.arange(COUNT), action[row]].sum()
            chances[row] = [last, np.eye(5)[truth] if teacher_forced else after]
            seen[row].append(truth if teacher_forced else action[row])
        state = moved.state
        accuracy = right.sum(1) / (6 * COUNT)
        np.testing.assert_allclose(moved.metrics["accuracy"].numpy(), accuracy, atol=1e-6)
        assert bool(moved.terminated.all()) == (step == 5)
    found = task.outcome(state).metrics
    np.testing.assert_allclose(found["bound"].numpy(), bound / (6 * COUNT), atol=1e-5)
    np.testing.assert_allclose(found["plausible"].numpy(), plausible / (6 * COUNT), atol=1e-5)
    for a, name in enumerate(NAMES):
        np.testing.assert_allclose(found[f"accuracy_{name}"].numpy(), right[:, a] / 6, atol=1e-6)
    over = task.transition(state.clone(), torch.zeros(rows, COUNT, dtype=torch.int64))
    assert torch.equal(over.state.right, state.right)  # an ended row may be stepped


@pytest.mark.parametrize("teacher_forced", [False, True])
def test_who_knows_the_grammar_reaches_the_bound_and_nobody_else_does(teacher_forced):
    envs = make(teacher_forced=teacher_forced)
    found = genenvs.evaluate(envs, "reference", episodes=512).episodes
    apart = found["accuracy"] - found["bound"]
    assert abs(apart.mean()) < 4 * apart.std() / len(apart) ** 0.5
    for name in ("constant", "repeat", "most_frequent"):
        other = genenvs.evaluate(envs, getattr(cheats, name)(envs), episodes=256).episodes
        assert other["accuracy"].mean() < 0.85 * other["bound"].mean()


def test_who_reads_the_hidden_edit_is_told_by_gold():
    envs = make()

    def thief(observation, info):
        state = envs.state
        place = state.step.clamp(max=envs.task.horizon - 1)
        return state.edit[torch.arange(len(place)), CONTEXT + place]

    stolen = genenvs.evaluate(envs, thief, episodes=256).episodes
    fair = genenvs.evaluate(envs, "reference", episodes=256).episodes
    assert stolen["accuracy"].mean() == 1.0
    assert stolen["plausible"].mean() < fair["plausible"].mean()
    np.testing.assert_allclose(fair["plausible"], fair["bound"], atol=1e-6)


def test_random_guesses_are_right_by_chance():
    found = genenvs.evaluate(make(), "random", episodes=512).interval("accuracy")
    assert found.mean == pytest.approx(np.mean([1 / n for n in SIZES]), abs=0.01)


def test_one_answer_is_betrayed_by_gold():
    envs = make()
    one = genenvs.evaluate(envs, cheats.constant(envs), episodes=64).episodes
    assert one["change_error"].mean() > 0.4 and one["variety"].mean() < 0.15
    shots = torch.tensor([[[0] * COUNT, [0] * COUNT, [1] * 4 + [0] * 4]])
    assert float(rewards.changes(shots)) == 0.25 and float(rewards.different(shots)) == 2


def test_own_predictions_are_fed_back_unless_teacher_forced():
    instance = random.mix(torch.arange(3), 3)
    for forced in (False, True):
        task = ShotAttributes(horizon=4, teacher_forced=forced)
        first = task.initial_state(instance, instance)
        one = torch.zeros(3, COUNT, dtype=torch.int64)
        seen = [
            task.observe(task.transition(first.clone(), a).state)["shots"] for a in (one, one + 1)
        ]
        assert torch.equal(*seen) == forced
    with pytest.raises(ValueError, match="teacher_forced must be True or False"):
        ShotAttributes(horizon=4, teacher_forced="yes")


def test_predictions_are_kept_in_words_and_shown():
    task = ShotAttributes(horizon=4)
    instance = random.mix(torch.arange(2), 3)
    state = task.initial_state(instance, instance)
    empty = task.render(state, 0)
    for _ in range(2):
        state = task.transition(state, task.reference_action(state)).state
    kept = task.artefact(state, 0)
    assert len(kept) == 2 and tuple(kept[0]) == NAMES
    shown = task.render(state, 0)
    assert shown.shape == empty.shape and (shown != empty).any()
