"""Claims about rewards of sets, and about advantages within groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from genenvs.images.rewards import load
from genenvs.images.rewards.advantages import CONVENTIONS, Convention, advantages
from genenvs.images.rewards.sets import CELLS, cells, features
from genenvs.images.scenes import grammar, render


def scene(*texts: str, key: int = 0) -> torch.Tensor:
    asked = grammar.request([grammar.read(text) for text in texts])
    keys = torch.arange(len(texts)) + key
    return render.render(render.arrange(asked, keys), keys)


def mixed(rows: int = 12) -> torch.Tensor:
    texts = ("a red circle", "a blue square", "two green crosses", "a red circle")
    return scene(*(texts[k % 4] for k in range(rows)))


UNEVEN = torch.tensor([7, -2, 7, 7, 5, -2, 5, 7, 7, 5, -2, -2])


def test_cells_are_what_stands_where():
    picture = scene("a purple triangle")
    found = cells(picture)
    assert found.shape == (1, CELLS) == (1, 216) and found.sum() == 1
    cell = int(found[0].nonzero())
    colour, shape = list(grammar.COLOURS).index("purple"), grammar.SHAPES.index("triangle")
    assert cell // 9 == shape * 6 + colour
    turned = int(cells(picture.flip(-1))[0].nonzero())
    assert cell // 3 == turned // 3 and cell % 3 + turned % 3 == 2  # its column is mirrored
    assert cells(torch.full((2, 3, 32, 32), 0.5)).sum() == 0


def test_features_are_patches_and_cells():
    found = features(mixed(4))
    assert found.shape == (4, 264)
    first, second = torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.3)
    assert (features(first) - features(second)).norm().item() == pytest.approx(0.3)


def test_coverage_is_what_leaving_a_row_out_would_cost():
    seen = mixed()
    value = load("coverage")(seen, {"group": UNEVEN})
    held = cells(seen).numpy()
    for row in range(len(seen)):
        group = [k for k in range(len(seen)) if UNEVEN[k] == UNEVEN[row]]
        rest = [k for k in group if k != row]
        lost = held[group].any(0).mean() - held[rest].any(0).mean()
        assert value[row].item() == pytest.approx(lost, abs=1e-6)


def test_a_copy_covers_nothing_that_its_twin_does_not():
    seen = mixed(4)
    seen[1] = seen[0]
    value = load("coverage")(seen)
    assert value[0] == value[1] == 0 and value[2] == pytest.approx(1 / 216, rel=2)


def plain_mmd(first: np.ndarray, second: np.ndarray, width: float) -> float:
    def kernel(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * width)).mean()

    return kernel(first, first) + kernel(second, second) - 2 * kernel(first, second)


def median(rows: np.ndarray) -> float:
    """The lower median of squared distances, as torch takes it."""
    apart = ((rows[:, None] - rows[None]) ** 2).sum(-1)[np.triu_indices(len(rows), 1)]
    return float(np.sort(apart)[(len(apart) - 1) // 2])


def test_mmd_is_what_the_row_brings_its_group_nearer_to_the_reference():
    seen, reference = mixed(), scene(*["a cyan cross", "a red square"] * 4, key=50)
    value = load("mmd")(seen, {"group": UNEVEN, "reference": reference})
    rows, aim = features(seen).double().numpy(), features(reference).double().numpy()
    for row in range(len(seen)):
        group = [k for k in range(len(seen)) if UNEVEN[k] == UNEVEN[row]]
        rest = [k for k in group if k != row]
        width = median(aim)
        expected = plain_mmd(rows[rest], aim, width) - plain_mmd(rows[group], aim, width)
        assert value[row].item() == pytest.approx(expected, abs=1e-5)
    ready = load("mmd")(seen, {"group": UNEVEN, "reference": features(reference)})
    assert torch.allclose(ready, value)


def test_mmd_without_a_reference_is_the_distance_to_the_rest_of_the_group():
    seen = mixed()
    value = load("mmd")(seen, {"group": UNEVEN})
    rows = features(seen).double().numpy()
    for row in range(len(seen)):
        group = [k for k in range(len(seen)) if UNEVEN[k] == UNEVEN[row]]
        rest = [k for k in group if k != row]
        expected = plain_mmd(rows[[row]], rows[rest], median(rows[group]))
        assert value[row].item() == pytest.approx(expected, abs=1e-5)


def test_copies_are_no_different_and_the_odd_one_out_is():
    reward = load("mmd")
    same = mixed(1).expand(4, -1, -1, -1)
    assert reward(same).abs().max() < 1e-6
    odd = torch.cat([same, scene("a yellow cross", key=9)])
    assert reward(odd).argmax() == 4


@pytest.mark.parametrize("name", ["mmd", "coverage"])
def test_a_group_of_one_is_an_error(name: str):
    with pytest.raises(ValueError, match=f"'{name}' .* 1 of 2 groups have one"):
        load(name)(mixed(3), {"group": torch.tensor([0, 0, 1])})
    with pytest.raises(ValueError, match=r"group must be int64 \[B\]; got torch.float32"):
        load(name)(mixed(2), {"group": torch.zeros(2)})


def test_a_reference_of_another_kind_is_an_error():
    with pytest.raises(ValueError, match=r"\[N, 3, H, W\] or \[N, 264\].*got \[5, 7\]"):
        load("mmd")(mixed(2), {"reference": torch.zeros(5, 7)})


# Advantages.


def test_the_advantage_of_the_sum_is_that_of_hand():
    group = torch.tensor([0, 0, 1, 1])
    rewards = {"a": torch.tensor([1.0, 3.0, 10.0, 10.0]), "b": torch.tensor([0.0, 0, 0, 4])}
    found = advantages(rewards, group, {"a": 1.0, "b": 0.5}, "flow_grpo")
    total = np.array([1, 3, 10, 12.0])
    expected = np.array([-1, 1, -1, 1]) / (total.std() + 1e-4)
    assert found.total.tolist() == pytest.approx(expected)
    assert found.zero_variance == {"sum": 0} and found.groups == 2 and found.alive.all()


def test_the_sum_of_advantages_is_that_of_hand():
    group = torch.tensor([0, 0, 1, 1])
    rewards = {"a": torch.tensor([1.0, 3.0, 10.0, 10.0]), "b": torch.tensor([0.0, 0, 0, 4])}
    found = advantages(rewards, group, {"a": 1.0, "b": 0.5}, "dance_grpo")
    half = 1 / math.sqrt(2)  # of two rows, by the unbiased deviation
    assert found.of_reward["a"].tolist() == pytest.approx([-half, half, 0, 0])
    assert found.of_reward["b"].tolist() == pytest.approx([0, 0, -half, half])
    assert found.total.tolist() == pytest.approx([-half, half, -half / 2, half / 2])
    assert found.zero_variance == {"a": 1, "b": 1} and found.alive.all()


def plain_advantages(rewards, group, weights, rule: Convention) -> np.ndarray:
    if rule.combine == "rewards":
        rewards, weights = {"sum": sum(weights[k] * v for k, v in rewards.items())}, {"sum": 1.0}
    total = np.zeros(len(group))
    for name, reward in rewards.items():
        for which in np.unique(group):
            rows = group == which
            if reward[rows].min() == reward[rows].max():
                continue
            of = reward[rows] if rule.std == "group" else reward
            std = of.std(ddof=int(rule.unbiased))
            total[rows] += (
                weights[name] * (reward[rows] - reward[rows].mean()) / (std + rule.epsilon)
            )
    return total


@pytest.mark.parametrize("combine", ["rewards", "advantages"])
@pytest.mark.parametrize("std", ["group", "global"])
@pytest.mark.parametrize("unbiased", [False, True])
@given(values=arrays.arrays(np.float64, (2, 12), elements=st.integers(-3, 3)))
def test_advantages_are_those_of_a_loop_over_groups(combine, std, unbiased, values):
    rule = Convention(combine, std, unbiased, 1e-4)
    rewards = {"a": values[0], "b": values[1]}
    weights = {"a": 1.0, "b": -0.25}
    found = advantages({k: torch.tensor(v) for k, v in rewards.items()}, UNEVEN, weights, rule)
    expected = plain_advantages(rewards, UNEVEN.numpy(), weights, rule)
    assert np.allclose(found.total.numpy(), expected, atol=1e-4)
    if combine == "advantages":
        assert found.alive.numpy()[expected != 0].all()


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_groups_without_variance_give_exactly_zero_and_are_counted(convention: str):
    group = torch.arange(12) // 3
    reward = torch.full((12,), 0.1)
    reward[:3] = torch.tensor([0.0, 1.0, 2.0])
    found = advantages({"r": reward}, group, convention=convention)
    assert (found.total[3:] == 0).all() and (found.total[:3] != 0).sum() == 2
    assert (
        list(found.zero_variance.values()) == [3]
        and found.alive.tolist() == [True] * 3 + [False] * 9
    )
    flat = advantages({"r": torch.full((12,), 0.1)}, group, convention=convention)
    assert (flat.total == 0).all() and not flat.alive.any()


def test_scale_matters_to_the_advantage_of_the_sum_alone():
    random = torch.Generator().manual_seed(0)
    a, b = torch.rand(12, generator=random), torch.rand(12, generator=random)
    for name, same in (("dance_grpo", True), ("flow_grpo", False)):
        one = advantages({"a": a, "b": b}, UNEVEN, convention=name).total
        other = advantages({"a": a, "b": 1000 * b}, UNEVEN, convention=name).total
        assert torch.allclose(one, other, atol=1e-4) == same


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"group": torch.tensor([0, 0, 0, 1])}, "two rows or more.* 1 of 2 groups have one"),
        ({"group": torch.zeros(4)}, r"group must be int64 \[B\]"),
        ({"rewards": {}}, "none given"),
        ({"rewards": {"r": torch.zeros(3)}}, r"rewards\['r'\] must be float \[4\]"),
        ({"rewards": {"r": torch.tensor([0, 1, math.nan, 2])}}, "not finite in 1 rows"),
        ({"weights": {"s": 1.0}}, "weights must name the rewards"),
        ({"weights": {"r": math.inf}}, "finite number"),
        ({"convention": "ppo"}, "no convention 'ppo'; there are flow_grpo, dance_grpo"),
    ],
)
def test_what_makes_no_sense_is_an_error(arguments, problem):
    fine = {"rewards": {"r": torch.rand(4)}, "group": torch.tensor([0, 0, 1, 1])}
    with pytest.raises(ValueError, match=problem):
        advantages(**(fine | arguments))
