"""Declared ids: making them, describing them, and their scores."""

import dataclasses
import json
import pickle
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch

from genenvs.core import registry
from genenvs.core.env import TaskEnv
from genenvs.core.evaluate import evaluate
from genenvs.core.registry import Declaration
from genenvs.core.vector import TaskVectorEnv
from genenvs.testing import LawError, check_task
from tests.core import throwaway

GRID = "throwaway/Grid-v0"


@pytest.fixture
def ids(monkeypatch):
    """Two ids over the throw-away grid, gone afterwards."""
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    for name, arguments in (
        (GRID, {"horizon": 12}),
        ("throwaway/SmallGrid-v0", {"horizon": 6, "size": 3}),
    ):
        registry.declare(Declaration(
            id=name, task="tests.core.throwaway:Grid", arguments=arguments, score="covered",
            text="Walk.", source="nobody"))  # fmt: skip
    return registry


@pytest.fixture
def scores(ids, monkeypatch):
    entry = {
        "arguments": registry.arguments_hash(GRID),
        "random": {"mean": 0.2, "low": 0.1, "high": 0.3},
        "reference": {"mean": 0.6, "low": 0.5, "high": 0.7},
    }
    monkeypatch.setattr(registry, "_scores", lambda: {GRID: entry})
    return entry


def test_an_id_is_made_in_every_way_that_gymnasium_knows(ids):
    single = gym.make(GRID, horizon=4)
    assert isinstance(single.unwrapped, TaskEnv) and single.unwrapped.task.horizon == 4
    with_module = gym.make("genenvs:" + GRID)
    assert with_module.unwrapped.task.horizon == 12
    native = gym.make_vec(GRID, num_envs=3, size=4, autoreset_mode="SAME_STEP")
    assert isinstance(native, TaskVectorEnv) and native.num_envs == 3 and native.task.size == 4
    assert gym.make_vec("genenvs:" + GRID, num_envs=2).num_envs == 2
    first = native.reset(seed=5)[0]
    for row in range(3):
        alone = gym.make(GRID, size=4).reset(seed=5 + row)[0]
        assert np.array_equal(alone, first[row])


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasiums_own_vector_environments_play_the_same(ids, mode):
    envs = gym.make_vec(GRID, num_envs=2, vectorization_mode=mode)
    native = gym.make_vec(GRID, num_envs=2)
    try:
        assert np.array_equal(envs.reset(seed=3)[0], native.reset(seed=3)[0])
        for action in ([0, 1], [1, 2], [2, 3]):
            for mine, theirs in zip(
                native.step(action)[:4], envs.step(np.array(action))[:4], strict=True
            ):
                assert np.array_equal(mine, theirs)
    finally:
        envs.close()


def test_the_spec_travels_as_json_and_names_its_task(ids):
    spec = gym.make(GRID, size=4).spec
    known = json.loads(spec.to_json())
    assert known["kwargs"]["task"] == "tests.core.throwaway:Grid" and known["kwargs"]["size"] == 4
    assert known["max_episode_steps"] is None
    vector = gym.make_vec(GRID, num_envs=2, autoreset_mode="SAME_STEP").spec
    assert json.loads(vector.to_json())["kwargs"]["autoreset_mode"] == "SAME_STEP"


def test_a_task_given_as_a_class_pickles(ids):
    env = TaskEnv(throwaway.Grid, horizon=3)
    assert pickle.loads(pickle.dumps(env)).task.horizon == 3


def test_unknown_arguments_are_an_error_that_lists_the_known_ones(ids):
    with pytest.raises(
        TypeError, match=r"unexpected keyword argument 'sise'.*own size.*horizon.*num_envs"
    ):
        gym.make(GRID, sise=3)
    with pytest.raises(TypeError, match="only the vector face"):
        gym.make(GRID, output="torch")
    with pytest.raises(ValueError, match="split must be one of train, validation, test"):
        gym.make_vec(GRID, split="trian")


def test_max_episode_steps_is_an_outer_cap_on_both_faces(ids):
    single = gym.make(GRID, max_episode_steps=2)
    native = gym.make_vec(GRID, num_envs=1, max_episode_steps=2)
    single.reset(seed=1)
    native.reset(seed=1)
    for last in (False, True):
        action = np.array([0])
        _, reward, terminated, truncated, _ = single.step(0)
        rewards, terminations, truncations, _ = native.step(action)[1:]
        assert (truncated, terminated) == (last, False)
        assert (bool(truncations[0]), bool(terminations[0])) == (last, False)
        assert rewards[0] == reward


def test_an_unknown_id_names_the_nearest(ids):
    with pytest.raises(KeyError, match=r"nearest: .*throwaway/SmallGrid-v0"):
        registry.declaration("throwaway/SmalGrid-v0")


def test_an_id_is_declared_once_and_with_a_horizon(ids):
    known = registry.declaration(GRID)
    with pytest.raises(ValueError, match="declared already"):
        registry.declare(known)
    with pytest.raises(ValueError, match="no horizon"):
        registry.declare(Declaration("throwaway/New-v0", known.task, {}, "covered", "", ""))


def test_the_hash_of_arguments_sees_what_changes_the_mdp_alone(ids):
    own = registry.arguments_hash(GRID)
    assert registry.arguments_hash(GRID, {"split": "test", "device": "cuda", "num_envs": 4}) == own
    assert registry.arguments_hash(GRID, {"vectorization_mode": "vector_entry_point"}) == own
    assert registry.arguments_hash(GRID, {"horizon": 12}) == own
    assert registry.arguments_hash(GRID, {"horizon": 13}) != own
    assert registry.arguments_hash("throwaway/SmallGrid-v0") != own


def test_the_hash_of_arguments_does_not_see_whether_a_default_is_spelled_out(ids):
    own = registry.arguments_hash(GRID)
    for same in (
        {"size": 6},
        {"dtype": "float32"},
        {"dtype": torch.float32},
        {"max_episode_steps": None},
        {"horizon": np.int64(12), "size": np.int32(6)},
    ):
        assert registry.arguments_hash(GRID, same) == own, same
    other = {"size": 5}, {"dtype": "bfloat16"}, {"max_episode_steps": 4}, {"horizon": 6}
    assert len({own, *(registry.arguments_hash(GRID, each) for each in other)}) == 5
    small = "throwaway/SmallGrid-v0"  # registers size=3: the task's default is a change there
    assert registry.arguments_hash(small, {"size": 6}) != registry.arguments_hash(small)


def test_reward_weights_enter_the_hash_where_the_score_is_the_return(ids):
    known, weights = registry.declaration(GRID), {"reward_weights": {"goal": 1.0}}
    registry.declare(dataclasses.replace(known, id="throwaway/Return-v0", score="return"))
    for env_id, same in ((GRID, True), ("throwaway/Return-v0", False)):
        found = registry.arguments_hash(env_id, weights)
        assert (found == registry.arguments_hash(env_id)) == same


def test_an_evaluation_is_normalised_where_it_played_the_registered_episodes(scores):
    found = evaluate(GRID, "random", episodes=4)
    assert (found.split, found.instances) == ("test", None)
    mean = found.interval("covered").mean
    assert registry.normalise(GRID, found) == pytest.approx((mean - 0.2) / 0.4)
    for arguments, words in (
        ({"split": "train"}, "split='train'"),
        ({"instances": 3}, "instances=3"),
        ({"size": 5}, "other arguments"),
        ({"max_episode_steps": 3}, "other arguments"),
    ):
        with pytest.raises(ValueError, match=words):
            registry.normalise(GRID, evaluate(GRID, "random", episodes=4, **arguments))
    nameless = TaskVectorEnv(throwaway.Grid, horizon=12, split="test", autoreset_mode="SAME_STEP")
    with pytest.raises(ValueError, match="other arguments"):
        registry.normalise(GRID, evaluate(nameless, "random", episodes=2))
    # Gymnasium's own batch plays episode 0 of many seeds, which is another list.
    foreign = gym.make_vec(GRID, num_envs=2, vectorization_mode="sync", split="test")
    with pytest.raises(ValueError, match="split=None"):
        registry.normalise(GRID, evaluate(foreign, "random", episodes=2))


def test_scores_are_normalised_between_random_and_reference(scores):
    assert registry.normalise(GRID, 0.2) == pytest.approx(0)
    assert registry.normalise(GRID, 0.6, registry.arguments_hash(GRID)) == pytest.approx(1)


def test_a_score_of_other_arguments_has_no_normalised_value(scores):
    other = registry.arguments_hash(GRID, {"size": 9})
    with pytest.raises(ValueError, match="other arguments"):
        registry.normalise(GRID, 0.5, other)
    with pytest.raises(ValueError, match="no measured scores"):
        registry.normalise("throwaway/SmallGrid-v0", 0.5)


def test_scores_of_arguments_that_are_no_longer_registered_do_not_count(scores, monkeypatch):
    scores["arguments"] = "0" * 16
    assert registry.scores(GRID) is None


def test_an_id_keeps_the_laws_once_it_has_scores_and_a_page(scores, monkeypatch):
    from genenvs.testing.pages import SECTIONS

    names = " ".join(f"`{name}`" for name in (*throwaway.Grid.terms, *throwaway.Grid.metrics))
    page = "\n\n".join(f"## {title}\n{names}" for title in SECTIONS)
    monkeypatch.setattr(throwaway.Grid, "__doc__", f"A grid.\n\n{page}")
    assert check_task(GRID, asynchronous=False) == []


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("the_reference_beats_random", "law 10.*clear of random's"),
        ("the_page_is_complete", "law 10.*without .*Arguments"),
    ],
)
def test_an_id_with_poor_scores_or_half_a_page_is_seen(scores, check, message):
    scores["reference"]["low"] = 0.25
    with pytest.raises(LawError, match=message):
        check_task(GRID, only=[check])


def test_an_id_without_scores_is_seen_unless_it_may(ids):
    check = ["the_reference_beats_random"]
    with pytest.raises(LawError, match=r"measured scores.*scores=False"):
        check_task(GRID, only=check)
    assert check_task(GRID, only=check, scores=False) == []


def test_a_spec_that_is_no_json_is_seen(ids):
    gym.register("throwaway/NoJSON-v0", entry_point=lambda **kwargs: TaskEnv(**kwargs),
                 kwargs={"task": "tests.core.throwaway:Grid", "horizon": 4})  # fmt: skip
    with pytest.raises(LawError, match=r"law 8.*a_spec_travels_as_json"):
        check_task("throwaway/NoJSON-v0", only=["a_spec_travels_as_json"])


def test_importing_genenvs_loads_nothing_heavy():
    program = (
        "import sys, genenvs\n"
        "from genenvs.core import registry\n"
        "for env_id in genenvs.ids():\n"
        "    registry.scores(env_id), registry.arguments_hash(env_id, {'horizon': 3})\n"
        "heavy = {'torch', 'diffusers', 'scipy', 'transformers', 'sklearn', 'safetensors', 'PIL'}\n"
        "print(','.join(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_making_an_id_without_a_generator_loads_no_diffusers():
    program = (
        "import sys, genenvs\n"
        "from genenvs.core.env import TaskEnv\n"
        "TaskEnv('tests.core.throwaway:Grid', horizon=3).reset(seed=0)\n"
        "assert 'torch' in sys.modules\n"
        "print(','.join(sorted({'diffusers', 'transformers', 'scipy'} & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
