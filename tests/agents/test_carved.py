"""A picture of PrimitiveModelDepth read as a grid, and what the moves seem to add."""

import gymnasium as gym
import pytest
import torch
from gymnasium import spaces

import agents
import genenvs  # noqa: F401
from agents.carved import Carved, ahead, guessed
from agents.networks import prepare

ENV = "genenvs/PrimitiveModelDepth-v0"


@pytest.fixture(scope="module")
def played():
    """Envs, half a round in; their observation, prepared; the targets."""
    envs = gym.make_vec(ENV, num_envs=24, split="validation", output="torch")
    envs.reset(seed=0)
    for _ in range(14):
        observation, *_ = envs.step(envs.unwrapped.reference_action())
    state, task = envs.unwrapped.state, envs.unwrapped.task
    yield envs, prepare(observation, envs.single_observation_space), task.target(state)
    envs.close()


def test_the_hull_holds_the_target_and_the_shell_is_nearer_to_it(played):
    _, observation, target = played
    hull, shell = guessed(observation["depth"])
    assert not (target & ~hull).any()
    assert not (shell & ~hull).any()
    iou = [
        float(((g & target).flatten(1).sum(1) / (g | target).flatten(1).sum(1)).mean())
        for g in (hull, shell)
    ]
    assert 0.3 < iou[0] < iou[1] - 0.05
    nothing = guessed(torch.zeros_like(observation["depth"]))
    assert not any(guess.any() for guess in nothing)


def test_of_the_target_itself_moves_and_ious_are_those_of_the_other_id(played):
    envs, _, target = played
    state = envs.unwrapped.state
    sight = gym.make_vec(
        "genenvs/PrimitiveModel-v0", num_envs=1, split="validation", output="torch"
    ).unwrapped.task
    seen = sight.observe(state)
    found = ahead(state.cuboids, state.cuboid, state.current, target)
    assert seen["moves"].any()
    torch.testing.assert_close(found[:, :75], seen["moves"].flatten(1))
    torch.testing.assert_close(found[:, 75:], seen["numbers"][:, [2, 4]])


def test_rows_are_read_one_by_one_and_as_sb3_shapes_them(played):
    envs, observation, _ = played
    network = Carved(envs.single_observation_space)
    found = network(observation)
    assert found.shape == (24, network.features)
    one = {name: value[3:4] for name, value in observation.items()}
    torch.testing.assert_close(network(one), found[3:4])
    again = observation | {"box": observation["box"][:, None]}
    torch.testing.assert_close(network(again), found)
    assert not list(network.state_dict())


def test_another_space_is_refused():
    with pytest.raises(ValueError, match="reads PrimitiveModelDepth's pictures; got Dict"):
        Carved(spaces.Dict({"depth": spaces.Box(0.0, 1.0, (1, 8, 8))}))


def test_an_agent_with_it_is_loaded_without_trust(tmp_path):
    config = {"num_envs": 2, "n_steps": 4, "hidden": [8]}
    trained = agents.train("actor_critic", ENV, steps=8, config=config, out=tmp_path)
    assert trained.agent.config.network == "agents.carved:Carved"
    loaded = agents.load(tmp_path)
    assert torch.equal(loaded.agent.model.v[0].weight, trained.agent.model.v[0].weight)
