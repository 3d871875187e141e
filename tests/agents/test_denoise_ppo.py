"""Claims about Stable-Baselines3's PPO whose actor is a denoiser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.logger import Logger
from torch import Tensor, nn

from agents.denoise.policy import LIMIT
from agents.denoise.sb3_policy import DenoiserActor
from agents.problem import Problem
from agents.registry import find
from agents.run import Run
from agents.sb3_envs import Spaces
from tests.generators.tiny_pipelines import write_pipeline

LATENT, NOISE = "genenvs/DenoiseLatent-v0", "genenvs/DenoiseNoise-v0"
STEPS, ROWS = 4, 12


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """A random Stable Diffusion, three prompts, four steps of which the last has no noise."""
    scheduler: dict[str, Any] = {
        "prediction_type": "v_prediction", "timestep_spacing": "trailing", "set_alpha_to_one": True,
    }  # fmt: skip
    folder = write_pipeline(tmp_path_factory.mktemp("tiny") / "sd", "sd", **scheduler)
    prompts = ("a red circle", "two small blue square", "a green square")
    arguments = {"generator": str(folder), "prompts": prompts, "reward": "brightness"}
    return Problem(LATENT, arguments | {"horizon": STEPS})


def made(problem: Problem, state: Any = None, **config: Any) -> Any:
    """`denoiser_ppo` with a small rollout."""
    found = find("denoiser_ppo")
    small = {"num_envs": 6, "n_steps": STEPS, "batch_size": 12, "learning_rate": 3e-3}
    return found(problem, replace(found.Config(), **(small | config)), state)


def test_a_minibatch_of_ppo_has_the_gradient_of_ddpo(problem: Problem) -> None:
    found = find("ddpo")
    agent = found(problem, found.Config(num_prompts=3, group_size=4, pictures=0))
    torch.manual_seed(0)
    agent.player.begin(0)
    chains, before = agent.play()
    advantage, _ = agent.advantage(chains)  # by prompt, of the terminal reward
    assert agent.learned.tolist() == [0, 1, 2], "the last step must have no noise"
    rows = torch.arange(ROWS).repeat_interleave(3)
    ours: list[list[Tensor]] = []
    agent.descend = lambda run, **logged: ours.append(
        [p.grad.clone() for p in agent.policy.parameters()]
    )
    agent.accumulate(Run(0, 10), chains, before, advantage, rows, agent.learned.repeat(ROWS))

    arguments = {k: v for k, v in problem.arguments.items() if k != "horizon"}
    model = PPO(
        DenoiserActor, Spaces(problem), n_steps=STEPS * ROWS, batch_size=STEPS * ROWS, n_epochs=1,
        gamma=1.0, gae_lambda=1.0, normalize_advantage=False, ent_coef=0.0,
        clip_range=agent.clip, max_grad_norm=1e9,
        policy_kwargs={"arguments": arguments, "horizon": STEPS, "critic": False},
    )  # fmt: skip
    model.set_logger(Logger(None, []))
    buffer = DictRolloutBuffer(
        STEPS, model.observation_space, model.action_space, gamma=1.0, gae_lambda=1.0, n_envs=ROWS
    )
    time = agent.task.times / agent.task.times[0]
    for t in range(STEPS):
        observation = {
            "latent": chains.latents[t].numpy(),
            "time": time[t].expand(ROWS, 1).numpy(),
            "prompt": chains.prompt.numpy(),
        }
        reward = advantage.numpy() * (t == STEPS - 1)
        action = (chains.latents[t + 1] / LIMIT).numpy()
        start = np.full(ROWS, t == 0)
        old = before[t] / agent.policy.dimensions
        buffer.add(observation, action, reward, start, torch.zeros(ROWS), old)
    buffer.compute_returns_and_advantage(torch.zeros(ROWS), np.ones(ROWS, bool))
    model.rollout_buffer = buffer
    theirs: list[list[Tensor]] = []
    network: nn.Module = model.policy.network
    model.policy.optimizer.step = lambda: theirs.append(
        [p.grad.clone() for p in network.parameters()]
    )
    model.train()
    assert len(ours) == len(theirs) == 1
    largest = max(float(g.abs().max()) for g in ours[0])
    assert largest > 1e-4
    for mine, other in zip(ours[0], theirs[0], strict=True):
        assert float((mine - other).abs().max()) < 1e-5 * largest


def test_a_run_leaves_what_those_of_the_other_denoisers_do(
    problem: Problem, tmp_path: Path
) -> None:
    reward = {"brightness": 1.0, "contrast": 0.5}
    several = replace(problem, arguments=dict(problem.arguments) | {"reward": reward})
    agent = made(several, pictures=2, lora_rank=2, reward_scale=10.0)
    run = Run(0, 3 * 24, tmp_path)
    run.start(agent)
    agent.learn(run)
    row = run.curve[0]
    panel = {"reward", "reward_std", "diversity", "at_bound", "gold_strange", "kl"}
    panel |= {"reward/brightness", "reward/contrast", "ratio_error", "clip_fraction"}
    assert panel <= set(row)
    assert row["ratio_error"] < 1e-5 and row["kl"] < 1e-9  # before the first update
    assert run.curve[-1]["kl"] > 1e-9
    # What was paid is what the pictures of the buffer's last latents are worth.
    assert row["reward"] == pytest.approx(row["return"], rel=1e-4)
    paid = row["reward/brightness"] + 0.5 * row["reward/contrast"]
    assert paid == pytest.approx(row["reward"], rel=1e-4)
    # Of rollouts 0 and 2, and of the end, which is one step count later.
    names = sorted(path.stem for path in (tmp_path / "samples").glob("*.png"))
    assert names == ["000000024", "000000072"]
    assert (tmp_path / "lora").is_dir() and (tmp_path / "pipeline" / "model_index.json").exists()
    assert int(made(several, agent.state(), lora_rank=2).batches) == 3

    other = dict(problem.arguments) | {"generator": str(tmp_path / "pipeline")}
    frozen = find("best_of_n")
    frozen = frozen(replace(problem, arguments=other), frozen.Config(candidates=1, level=0.0))
    x = torch.randn(3, *agent.task.generator.shape)
    observation = {"latent": x, "time": torch.ones(3, 1), "prompt": torch.arange(3)}
    step = torch.zeros(3, dtype=torch.long)
    mean, _ = frozen.policy.gaussian(x, step, torch.arange(3), None, 0.0)
    torch.testing.assert_close(agent.act(observation, {}) * LIMIT, mean, atol=1e-4, rtol=1e-4)


def test_pictures_of_a_rollout_are_those_of_the_environment(problem: Problem) -> None:
    agent = made(problem, n_steps=3 * STEPS // 2, batch_size=36)  # one and a half episodes
    agent.config = replace(agent.config, pictures=0)
    seen: list[Any] = []
    agent.report = lambda run, chains: seen.append(chains)
    run = Run(0, 2 * 36)
    run.start(agent)
    agent.learn(run)
    assert [len(chains.reward) for chains in seen] == [6, 12]
    for chains in seen:
        asked = {"prompts": [agent.task.texts[k] for k in chains.prompt.tolist()]}
        worth = agent.task.reward(chains.images.float() / 255, asked)
        torch.testing.assert_close(worth, chains.reward)
        gold = agent.task.gold(chains.images, chains.prompt)
        assert {k: v.tolist() for k, v in gold.items()} == {
            k: v.tolist() for k, v in chains.gold.items()
        }


def test_latents_at_their_bound_are_counted(problem: Problem) -> None:
    agent = made(problem)
    buffer = agent.model.rollout_buffer
    buffer.actions[:] = 0.5
    buffer.actions[:, 0, ::2] = -1.0
    ended = np.zeros((STEPS, 6), bool)
    ended[-1, :3] = True
    for values in buffer.observations.values():
        values[:] = 0
    assert agent.ended(buffer, ended).at_bound.tolist() == [0.5, 0.0, 0.0]


def test_ratios_that_are_not_one_are_told(problem: Problem) -> None:
    agent = made(problem)
    look = agent.look

    def disturbed(run: Run) -> None:
        with torch.no_grad():
            for each in agent.policy.parameters():
                each.add_(0.01 * torch.randn_like(each))
        look(run)

    agent.look = disturbed
    run = Run(0, 24)
    run.start(agent)
    with pytest.warns(RuntimeWarning, match="before the first update"):
        agent.learn(run)


def test_what_it_cannot_learn_is_told(problem: Problem) -> None:
    with pytest.raises(ValueError, match="deterministic then, and a policy gradient"):
        made(problem, level=0.0)
    still = replace(problem, arguments=dict(problem.arguments) | {"level": 0.0})
    with pytest.raises(ValueError, match="deterministic then, and a policy gradient"):
        made(still)
    with pytest.raises(TypeError, match=r"learns in DenoiseLatent alone.*DenoiseNoise"):
        made(replace(problem, env=NOISE))
    assert find("denoiser_ppo").spaces == "DenoiseLatent"


def test_the_actor_stays_in_evaluation_mode(problem: Problem) -> None:
    agent = made(problem)
    agent.model.policy.set_training_mode(True)
    assert not any(module.training for module in agent.policy.network.modules())
