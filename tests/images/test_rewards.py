"""Claims about every reward of images: names, checks, sums."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genenvs.images import rewards
from genenvs.images.rewards import Reward, WeightedSum, checked, load
from genenvs.images.scenes import grammar

LEARNED = ("clip_score", "pick_score", "hps", "aesthetic", "image_reward")
NAMES = [name for name in rewards.NAMES if name not in LEARNED]
TEXTS = ("a red circle", "two blue squares", "a red circle left of a green cross")
every_name = pytest.mark.parametrize("name", NAMES)


def images(rows: int = 4, height: int = 32, width: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, 3, height, width, generator=torch.Generator().manual_seed(seed))


def context(given: torch.Tensor) -> dict:
    prompts = [TEXTS[k % len(TEXTS)] for k in range(len(given))]
    return {
        "prompts": prompts,
        "text": ["AB1"] * len(given),
        "target": given.detach().flip(-1),
        "group": torch.arange(len(given)) // 2,
    }


@every_name
def test_a_reward_says_what_it_is_and_keeps_to_it(name: str):
    reward = load(name)
    assert reward.name == name and reward.range[0] < reward.range[1]
    seen = images().requires_grad_()
    value = reward(seen, context(seen))
    assert value.shape == (4,) and value.dtype == torch.float32
    assert value.requires_grad == reward.differentiable
    low, high = reward.range
    assert ((value >= low - 1e-4) & (value <= high + 1e-4)).all()
    if reward.differentiable:
        value.sum().backward()
        assert seen.grad is not None and seen.grad.isfinite().all() and seen.grad.abs().max() > 0


@every_name
def test_only_rewards_of_sets_depend_on_the_other_rows(name: str):
    reward, seen = load(name), images(6)
    whole = reward(seen, context(seen))
    turned = reward(seen.roll(2, 0), context(seen) | {"target": seen.flip(-1).roll(2, 0),
        "prompts": context(seen)["prompts"][-2:] + context(seen)["prompts"][:-2]})  # fmt: skip
    assert torch.allclose(whole.roll(2, 0), turned, atol=1e-5)
    if not reward.of_set:
        for row in range(3):
            one = seen[row : row + 1]
            alone = reward(one, {k: v[row : row + 1] for k, v in context(seen).items()})
            assert torch.allclose(alone, whole[row : row + 1], atol=1e-5)


@every_name
def test_flat_images_halves_empty_batches_and_odd_sizes_are_no_trouble(name: str):
    reward = load(name)
    for level in (0.0, 0.5, 1.0):
        flat = torch.full((2, 3, 32, 32), level, requires_grad=True)
        value = reward(flat, context(flat))
        if reward.differentiable:
            value.sum().backward()
            assert flat.grad is not None and flat.grad.isfinite().all()
    half = images(2).to(torch.bfloat16)
    exact = reward(half.float(), context(half.float()))
    assert torch.equal(reward(half, context(half)), exact)
    assert reward(images(0), context(images(0))).shape == (0,)
    odd = images(2, 9, 21)
    assert reward(odd, context(odd)).isfinite().all()


@every_name
def test_a_reward_travels(name: str):
    reward, seen = load(name), images(2)
    for other in (pickle.loads(pickle.dumps(reward)), copy.deepcopy(reward)):
        assert torch.equal(other(seen, context(seen)), reward(seen, context(seen)))


@settings(max_examples=40)
@given(
    st.sampled_from(NAMES),
    st.integers(2, 3),
    st.integers(8, 40),
    st.integers(8, 40),
    st.integers(0, 99),
)
def test_values_lie_in_the_range_for_any_size(name, rows, height, width, seed):
    seen = images(rows, height, width, seed).round(decimals=1)
    value = load(name)(seen, context(seen) | {"group": torch.zeros(rows, dtype=torch.int64)})
    assert value.isfinite().all()


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'jpeg_compressibility'"):
        load("jpeg_compresibility")
    with pytest.raises(ValueError, match=r"no reward 'xyzzy'; there are jpeg_compressibility"):
        load("xyzzy")


@pytest.mark.parametrize("spec", ["no_such_module:f", "math:no_such_name", "math:", ":f"])
def test_a_path_that_leads_nowhere_is_an_error(spec: str):
    with pytest.raises(ValueError, match="reward"):
        load(spec)


def own(images, context):
    return images.mean((1, 2, 3))


def declared():
    return Reward("red", lambda images, context: images[:, 0].mean((1, 2)), range=(0, 1))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("my_rewards")
    vars(module).update(own=own, declared=declared, number=3, loose=lambda *a: own(*a))
    vars(module)["broken"] = lambda: 3
    monkeypatch.setitem(sys.modules, "my_rewards", module)
    return module


def test_a_reward_of_ones_own_is_a_path_a_factory_a_callable_or_a_network(module: ModuleType):
    seen = images()
    expected = seen.mean((1, 2, 3))
    for spec in ("my_rewards:own", "my_rewards:loose", own):
        reward = load(spec)
        assert torch.equal(reward(seen), expected)
        assert not reward.differentiable and not reward.bounded and not reward.of_set
        assert reward.device == "any" and reward.range == (-math.inf, math.inf)
    assert load("my_rewards:own").name == "own"
    assert load("my_rewards:declared").range == (0, 1) and load(declared).name == "red"

    class Network(torch.nn.Module):
        differentiable, range, device = True, [0.0, 1.0], torch.device("cpu")

        def forward(self, images, context):
            return own(images, context)

    network = load(Network())
    assert network.name == "Network" and network.differentiable and network.bounded
    assert torch.equal(network(seen), expected)
    for spec in ("my_rewards:number", "my_rewards:broken", 7):
        with pytest.raises(ValueError, match="reward"):
            load(spec)  # type: ignore[arg-type]


def test_arguments_reach_the_reward_by_name_and_in_its_string():
    assert load("jpeg_compressibility", quality=10)(images())[0] > -4
    assert load("glyphs=2").function.scale == 2  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="'mse' takes no argument"):
        load("mse=3")
    with pytest.raises(ValueError, match="quality must be"):
        load("jpeg_compressibility", quality=0)
    with pytest.raises(ValueError, match="takes no further arguments; got quality"):
        load(own, quality=3)


@pytest.mark.parametrize(
    ("value", "came"),
    [
        (lambda x: x.mean((1, 2)), r"float32 \[4, 32\]"),
        (lambda x: x.mean(), r"float32 \[\]"),
        (lambda x: np.zeros(4), r"ndarray \[4\]"),
        (lambda x: [0.0] * 4, "list"),
        (lambda x: torch.zeros(4, dtype=torch.int64), r"int64 \[4\]"),
        (lambda x: None, "NoneType"),
    ],
)
def test_a_result_of_the_wrong_type_or_shape_names_the_reward_and_both(value, came):
    reward = checked(lambda images, context: value(images), "mine")
    with pytest.raises(ValueError, match=rf"'mine' must return .*tensor \[4\]; got {came}"):
        reward(images())


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2.0])
def test_a_value_that_is_no_number_or_out_of_range_is_an_error(bad: float):
    def values(images, context):
        return torch.tensor([0.0, 1.0, bad, bad])

    reward = Reward("mine", values, range=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"'mine' must return finite values in \[0, 1\].* 2 of 4"):
        reward(images())
    unchecked = Reward("mine", values, range=(0.0, 1.0), validate=False)
    assert len(unchecked(images())) == 4


@pytest.mark.parametrize(
    ("given", "came"),
    [
        (torch.zeros(3, 32, 32), r"float32 \[3, 32, 32\]"),
        (torch.zeros(2, 1, 32, 32), r"float32 \[2, 1, 32, 32\]"),
        (torch.zeros(2, 32, 32, 3), r"float32 \[2, 32, 32, 3\]"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), r"uint8 \[2, 3, 32, 32\]"),
        (torch.zeros(2, 3, 0, 32), "not empty"),
        (torch.full((2, 3, 8, 8), 255.0), "values from 255 to 255"),
        (torch.linspace(-1, 1, 192).view(1, 3, 8, 8), r"from -1 to 1; \(x \+ 1\) / 2"),
        (torch.full((2, 3, 8, 8), math.nan), "values from nan"),
    ],
)
def test_images_of_the_wrong_shape_type_or_range_are_an_error(given, came):
    with pytest.raises(ValueError, match=rf"'brightness': images must be float .*{came}"):
        load("brightness")(given)


def test_what_is_no_tensor_is_a_type_error():
    with pytest.raises(TypeError, match=r"'brightness'.*got ndarray \[2, 3, 8, 8\]"):
        load("brightness")(np.zeros((2, 3, 8, 8)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="context must be a dict; got list"):
        load("brightness")(images(), [])  # type: ignore[arg-type]


def test_a_context_that_lacks_something_or_has_too_few_rows_is_an_error():
    with pytest.raises(ValueError, match="'mse' needs target in its context, which holds prompts"):
        load("mse")(images(), {"prompts": ["a red circle"] * 4})
    with pytest.raises(ValueError, match=r"'scene' needs request .* holds nothing"):
        load("scene")(images())
    with pytest.raises(ValueError, match=r"row for each of the 4 images; got 3"):
        load("scene")(images(), {"prompts": ["a red circle"] * 3})
    with pytest.raises(ValueError, match=r"target must be \[4, 3, 32, 32\].*got \[4, 3, 8, 8\]"):
        load("mse")(images(), {"target": images(4, 8, 8)})
    with pytest.raises(ValueError, match=r"target must be float .*values from 3"):
        load("mse")(images(), {"target": images() + 3})
    with pytest.raises(ValueError, match="did you mean 'circle'"):
        load("scene")(images(1), {"prompts": ["a red circel"]})


def test_a_reward_that_only_says_that_it_is_differentiable_is_found_out():
    reward = Reward("mine", lambda x, c: x.detach().mean((1, 2, 3)), differentiable=True)
    assert len(reward(images())) == 4
    with pytest.raises(ValueError, match="says that it is differentiable, but no gradient"):
        reward(images().requires_grad_())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"range": (1.0, 0.0)}, "range must be"),
        ({"range": (0.0,)}, "range must be"),
        ({"device": "gpu"}, "device must be"),
        ({"function": 3}, "must be callable"),
        ({"name": ""}, "name must be"),
        ({"device": "host", "differentiable": True}, "not differentiable"),
    ],
)
def test_attributes_that_make_no_sense_are_an_error(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        Reward(**({"name": "mine", "function": own} | arguments))


def test_the_gradient_of_others_is_not_computed():
    seen = images().requires_grad_()
    inside = []
    checked(lambda x, c: (inside.append(torch.is_grad_enabled()), own(x, c))[1])(seen)
    assert inside == [False]


@pytest.mark.parametrize("name", [n for n in NAMES if load(n).differentiable])
def test_nothing_but_the_images_device_is_touched(name: str):
    reward = dataclasses.replace(load(name), validate=False)
    seen = torch.empty(4, 3, 32, 32, device="meta")  # mixing it with another is an error
    given = {"prompts": context(images())["prompts"], "target": images()}
    assert reward(seen, given).device == seen.device


def test_a_weighted_sum_adds_up_values_and_attributes():
    both = load({"brightness": 2.0, "mse": -0.5})
    assert isinstance(both, WeightedSum)
    seen = images()
    terms = both.terms(seen, context(seen))
    assert list(terms) == ["brightness", "mse"]
    assert torch.allclose(both(seen, context(seen)), 2 * terms["brightness"] - 0.5 * terms["mse"])
    assert both.range == (0.0, 2.5) and both.bounded and both.differentiable
    assert both.name == "2 brightness + -0.5 mse" and both.needs == ("target",)
    mixed = load({"jpeg_compressibility": 1, "coverage": 1.0, own: 0.25})
    assert (mixed.device, mixed.of_set, mixed.differentiable) == ("host", True, False)
    assert set(mixed.parts) == {"jpeg_compressibility", "coverage", "own"}  # type: ignore[attr-defined]
    assert mixed(seen).shape == (4,)
    nested = load(both)
    again = pickle.loads(pickle.dumps(nested))
    assert torch.equal(again(seen, context(seen)), both(seen, context(seen)))


def test_a_weight_of_nothing_leaves_the_range_alone():
    assert load({"jpeg_compressibility": 0.0, "brightness": 1.0}).range == (0.0, 1.0)


@pytest.mark.parametrize("weight", [math.nan, math.inf, "1", None, True])
def test_weights_must_be_finite_numbers(weight):
    with pytest.raises(ValueError, match="weight of 'mse' must be a finite number"):
        load({"mse": weight})


def test_a_weighted_sum_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least one reward"):
        load({})


def test_requests_are_read_from_prompts():
    seen = images(3)
    asked = grammar.request([grammar.read(text) for text in TEXTS])
    for name in ("scene", "scene_correct", "colour"):
        reward = load(name)
        assert torch.equal(reward(seen, {"prompts": TEXTS}), reward(seen, {"request": asked}))
