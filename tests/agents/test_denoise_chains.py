"""Claims about chains on the shipped generators: where they lead, and what they are worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest
import torch
from torch import Tensor

from agents.problem import Problem
from agents.registry import find
from genenvs.images.rewards import load
from tests.generators.tiny_pipelines import write_pipeline

LATENT, NOISE = "genenvs/DenoiseLatent-v0", "genenvs/DenoiseNoise-v0"


def agent_of(name: str, problem: Problem, **config: Any) -> Any:
    """An agent with small batches."""
    found = find(name)
    small = {"num_prompts": 3, "group_size": 4, "pictures": 0}
    return found(problem, replace(found.Config(), **(small | config)))


def differences(agent: Any) -> tuple[float, dict[str, Tensor], Any]:
    """How far ratios are from 1 before the first update, what was logged, and the chains."""
    torch.manual_seed(0)
    chains, before = agent.play()
    row = torch.arange(len(chains.prompt)).repeat_interleave(len(agent.learned))
    step = agent.learned.repeat(len(chains.prompt))
    order = torch.randperm(len(row), generator=torch.Generator().manual_seed(1))
    gain = torch.ones(len(chains.prompt))
    sums, worst = agent.differentiate(
        chains, before, gain, row[order], step[order], len(row), first=True
    )
    return float(worst), {name: value / len(row) for name, value in sums.items()}, chains


@pytest.mark.parametrize("generator", ["sprites", "sprites-flow", "epsilon"])
@pytest.mark.parametrize("env", [LATENT, NOISE])
def test_ratios_are_one_whoever_owns_the_denoiser(
    env: str, generator: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if generator == "epsilon":  # its clean latents are far beyond the bounds where all is noise
        folder = tmp_path_factory.mktemp("tiny") / "sd"
        given = {"prediction_type": "epsilon", "timestep_spacing": "trailing"}
        generator = str(write_pipeline(folder, "sd", **given))
    more = {} if "sprites" in generator else {"reward": "brightness"}
    agent = agent_of("ddpo", Problem(env, {"generator": generator, "horizon": 5, **more}), chunk=7)
    worst, logged, chains = differences(agent)
    assert worst < 1e-5
    assert bool(chains.latents.isfinite().all())
    assert float(logged["kl"]) < 1e-9, "nothing was learned yet"


def test_a_divergence_that_is_not_in_the_loss_is_looked_at_in_one_chunk() -> None:
    problem = Problem(LATENT, {"horizon": 5})
    found = {}
    for weight in (0.0, 1e-9):
        agent = agent_of("ddpo", problem, kl_coef=weight, chunk=16)
        torch.manual_seed(3)
        with torch.no_grad():
            for each in agent.policy.parameters():
                each += 0.02 * each.std() * torch.randn_like(each) if each.numel() > 1 else 0.0
        seen: list[int] = []
        plain = agent.policy.gaussian

        def counted(
            x: Tensor, *rest: Any, seen: list[int] = seen, plain: Any = plain, **more: Any
        ) -> Any:
            if rest[2] is None:
                seen.append(len(x))
            return plain(x, *rest, **more)

        agent.policy.gaussian = counted
        found[weight] = (float(differences(agent)[1]["kl"]), sum(seen))
    (looked, few), (whole, all_of_them) = found.values()
    assert (few, all_of_them) == (16, 48)
    assert whole > 1e-6
    assert looked == pytest.approx(whole, rel=0.5)


@pytest.mark.parametrize("generator", ["sprites", "sprites-flow"])
@pytest.mark.parametrize("level", [None, 0.0])
def test_samplers_of_the_shipped_generators_never_meet_the_bound(
    generator: str, level: float | None
) -> None:
    envs: Any = gym.make_vec(
        LATENT, num_envs=161, split="test", generator=generator, output="torch", level=level
    )
    envs.reset(seed=0)
    for _ in range(10):
        *_, info = envs.step(envs.unwrapped.random_action())
    assert not bool(info["metrics"]["clipped"].any())
    assert float(envs.unwrapped.state.x.abs().max()) < 16


@pytest.mark.parametrize(("own", "asked"), [(0.0, 1.0), (0.3, 1.0), (0.3, 0.31)])
def test_noise_that_the_environment_does_not_add_cannot_be_chosen(own: float, asked: float) -> None:
    with pytest.raises(ValueError, match=f"level {asked:g} goes where DenoiseNoise.*level {own:g}"):
        agent_of("ddpo", Problem(NOISE, {"level": own}), level=asked)
    agent_of("ddpo", Problem(LATENT, {"level": own}), level=asked)
    if own:
        less = agent_of("ddpo", Problem(NOISE, {"level": own, "horizon": 5}), level=own / 2)
        assert differences(less)[0] < 1e-5


@pytest.mark.parametrize("name", ["ddpo", "dpok", "flow_grpo"])
def test_rewards_of_sets_are_added_by_the_agent(name: str) -> None:
    problem = Problem(LATENT, {"horizon": 5})
    agent = agent_of(name, problem, set_rewards={"coverage": 2.0})
    chains, _ = agent.play()
    asked = {"group": torch.arange(12) // 4}
    more = load("coverage")(chains.images.float() / 255, asked)
    assert bool(more.any())
    torch.testing.assert_close(agent.rewards(chains)["reward"], chains.reward + 2 * more)
    if name == "dpok":
        torch.testing.assert_close(agent.worth(chains), chains.reward + 2 * more)
    apart = agent_of(name, problem, set_rewards={"coverage": 2.0}, advantages="each")
    assert set(apart.rewards(chains)) == {"reward", "coverage"}
    assert apart.weights == {"reward": 1.0, "coverage": 2.0}
    with pytest.raises(ValueError, match="not of a set"):
        agent_of(name, problem, set_rewards={"brightness": 1.0})


def test_a_reward_that_compares_with_a_target_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="'ssim' compares with a target"):
        gym.make_vec(LATENT, num_envs=1, reward="ssim")
