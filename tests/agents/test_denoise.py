"""Claims about the agents whose policy is a denoiser, on a tiny random Stable Diffusion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

import agents
from agents.denoise import losses
from agents.denoise.rollout import ChainPlayer, Chains
from agents.problem import Problem
from agents.registry import find
from agents.run import Run
from genenvs.core.vector import TaskVectorEnv
from genenvs.generators.transition import log_prob, stochastic
from genenvs.images.rewards import load
from tests.generators.tiny_pipelines import write_pipeline

TASK = "genenvs.tasks.denoise.latent:DenoiseLatent"
PROMPTS = ("a red circle", "two small blue square", "a green square")
LEARNERS = ("ddpo", "dpok", "flow_grpo", "dance_grpo", "reward_gradient")
SEARCHES = ("best_of_n", "path_integral", "noise_search")


@dataclass(frozen=True)
class Tiny(Problem):
    """The environment without its id, so that no test depends on what is registered."""

    @property
    def native(self) -> bool:
        """It is one of ours."""
        return True

    @property
    def spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:  # type: ignore[override]
        """Of one environment."""
        envs = self.make(1)
        return envs.single_observation_space, envs.single_action_space

    def spacing(self, num_envs: int) -> int:
        """It is one of ours."""
        return 0

    def make(
        self, num_envs: int, autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP, **more: Any
    ) -> Any:
        """A batch."""
        arguments: Mapping[str, Any] = dict(self.arguments) | more
        return TaskVectorEnv(
            TASK, num_envs=num_envs, output="torch", autoreset_mode=autoreset_mode, **arguments
        )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """A random Stable Diffusion, three prompts, four steps, paid for brightness."""
    scheduler: dict[str, Any] = {
        "prediction_type": "v_prediction", "timestep_spacing": "trailing", "set_alpha_to_one": True,
    }  # fmt: skip
    folder = write_pipeline(tmp_path_factory.mktemp("tiny") / "sd", "sd", **scheduler)
    arguments = {"generator": str(folder), "prompts": PROMPTS, "reward": "brightness", "horizon": 4}
    yield Tiny("tiny", arguments)


def agent_of(name: str, problem: Problem, **config: Any) -> Any:
    """An agent with small batches."""
    found = find(name)
    chosen = found.Config()
    small = {"num_prompts": 3, "group_size": 4} if name not in SEARCHES else {}
    small |= {"steps": 2} if name == "reward_gradient" else {}
    return found(problem, replace(chosen, **(small | config)))


def rewards_of(agent: Any, problem: Problem, rows: int = 12) -> Tensor:
    """What the agent is paid for fixed episodes."""
    envs = problem.make(rows, AutoresetMode.DISABLED)
    observation, info = envs.reset(seed=5)
    torch.manual_seed(0)
    for _ in range(4):
        observation, reward, *_, info = envs.step(agent.act(observation, info))
    return reward


def test_statistics_of_prompts_are_those_of_plain_lists() -> None:
    known = losses.PromptStatistics(3, length=6, least=4)
    late: dict[int, list[float]] = {0: [], 1: [], 2: []}
    drawn = np.random.default_rng(0)
    for _ in range(5):
        prompt = drawn.choice(3, 7, p=[0.6, 0.3, 0.1])
        reward = drawn.normal(size=7)
        for where, value in zip(prompt, reward, strict=True):
            late[where] = [*late[where], value][-6:]
        ours = known.advantage(torch.tensor(prompt), torch.tensor(reward))
        for where, value, found in zip(prompt, reward, ours.tolist(), strict=True):
            own = late[where] if len(late[where]) >= 4 else list(reward)
            assert found == pytest.approx((value - np.mean(own)) / (np.std(own) + 1e-6), abs=1e-4)


def test_a_clipped_step_has_a_gradient_in_ppo_where_it_still_hurts_and_none_in_dpok() -> None:
    ratio = torch.tensor([1.2, 0.8, 1.2, 0.8], requires_grad=True)
    advantage = torch.tensor([1.0, -1.0, -1.0, 1.0])
    losses.clipped(ratio, advantage, 0.1).sum().backward()
    assert ratio.grad is not None
    assert ratio.grad.tolist() == [0.0, 0.0, 1.0, -1.0]
    ratio.grad = None
    losses.dpok(ratio, advantage, 0.1).sum().backward()
    assert ratio.grad.tolist() == [0.0, 0.0, 0.0, 0.0]


def played(agent: Any) -> tuple[Any, Tensor]:
    """One batch of chains and the log-probabilities of its steps, [T, N]."""
    agent.player.begin(0)
    torch.manual_seed(0)
    return agent.play()


def test_ratios_are_one_before_the_first_update(tiny: Tiny) -> None:
    agent = agent_of("ddpo", tiny)
    chains, before = played(agent)
    for t in range(4):
        for rows in torch.arange(12).split(5):  # in other batches than it was played in
            step = torch.full_like(rows, t)
            prompt = chains.prompt[rows]
            mean, std = agent.policy.gaussian(
                chains.latents[t, rows], step, prompt, agent.policy.network
            )
            new = log_prob(chains.latents[t + 1, rows], mean, std)
            ratio = ((new - before[t, rows]) / agent.policy.dimensions).exp()
            assert float((ratio - 1).abs().max()) < 1e-5


@pytest.mark.parametrize("kl_coef", [0.0, 1.0])
def test_ratios_are_of_the_guidance_that_chains_were_sampled_with(
    kl_coef: float, tiny: Tiny
) -> None:
    agent = agent_of("ddpo", tiny, guidance=3.0, kl_coef=kl_coef)
    chains, before = played(agent)
    assert chains.guidance == 3.0
    row = torch.arange(12).repeat_interleave(len(agent.learned))
    step, gain = agent.learned.repeat(12), torch.ones(12)
    found = []
    for scale in (3.0, 1.0):
        agent.policy.guidance = scale
        agent.optimizer.zero_grad()
        sums, worst = agent.differentiate(chains, before, gain, row, step, len(row), True)
        slopes = [p.grad.clone() for p in agent.policy.parameters()]
        found.append((float(worst), float(sums["kl"]), slopes))
    (first, kl, slopes), (second, other, again) = found
    assert first == second < 1e-5 and kl == other
    assert all(torch.equal(a, b) for a, b in zip(slopes, again, strict=True))
    assert agent.play()[0].guidance == 1.0, "the next batch is sampled with the new one"


@pytest.mark.parametrize("name", ["ddpo", "reward_gradient"])
def test_latents_at_their_bound_are_counted(name: str, tiny: Tiny, monkeypatch: Any) -> None:
    agent = agent_of(name, tiny, pictures=0)
    wide = agent.policy.gaussian

    def further(x: Tensor, step: Tensor, *rest: Any, **more: Any) -> tuple[Tensor, Tensor]:
        mean, std = wide(x, step, *rest, **more)
        outside = torch.zeros_like(mean)
        outside[:, 0] = 1e6  # one of four channels, in one of four steps
        return mean + outside * (step == 3)[:, None, None, None], std

    monkeypatch.setattr(agent.policy, "gaussian", further)
    run = Run(0, 48)
    run.start(agent)
    agent.learn(run)
    assert run.curve[0]["at_bound"] == pytest.approx(1 / 16)


@pytest.mark.parametrize("horizon", [4, 10])
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_ratios_are_one_with_the_usual_scheduler_of_stable_diffusion(
    family: str, horizon: int, tmp_path: Path
) -> None:
    # Epsilon, leading, offset 1, no alpha of one: the last steps have little noise, and random
    # weights under it drive latents to their bound, to which means must not add up beyond it.
    folder = write_pipeline(tmp_path / family, family, timestep_spacing="leading")
    arguments = {"generator": str(folder), "prompts": PROMPTS, "reward": "brightness"}
    agent = agent_of("ddpo", Tiny("tiny", arguments | {"horizon": horizon}))
    assert agent.task.times[-2:].tolist() == [2, 1] and len(agent.learned) == horizon
    chains, before = played(agent)
    assert float(chains.latents.abs().max()) == 16
    for t in range(horizon):
        for rows in torch.arange(12).split(1):
            step = torch.full_like(rows, t)
            mean, std = agent.policy.gaussian(
                chains.latents[t, rows], step, chains.prompt[rows], agent.policy.network
            )
            new = log_prob(chains.latents[t + 1, rows], mean, std)
            ratio = ((new - before[t, rows]) / agent.policy.dimensions).exp()
            assert float((ratio - 1).abs().max()) < 1e-5


def test_a_generator_of_yours_is_not_trained_with_what_was_tuned_for_another(tiny: Tiny) -> None:
    small = {"num_prompts": 3, "group_size": 4, "pictures": 0}
    made = agents.train(
        "ddpo", "genenvs/DenoiseLatent-v0", steps=48, config=small, arguments=tiny.arguments
    ).agent
    assert made.config.learning_rate == find("ddpo").Config().learning_rate


def test_groups_share_their_prompt_and_their_noise_where_that_is_asked_for(tiny: Tiny) -> None:
    fresh = agent_of("flow_grpo", tiny)
    shared = agent_of("dance_grpo", tiny)
    for agent, alike in ((fresh, False), (shared, True)):
        chains, _ = played(agent)
        prompt = chains.prompt.view(3, 4)
        assert bool((prompt == prompt[:, :1]).all()) and len(set(prompt[:, 0].tolist())) == 3
        start = chains.latents[0].view(3, 4, -1)
        assert bool((start == start[:, :1]).all()) == alike


def test_chains_are_what_the_environment_was_given(tiny: Tiny) -> None:
    agent = agent_of("ddpo", tiny)
    chains, _ = played(agent)
    images = agent.task.generator.decode(chains.latents[-1])
    assert torch.equal((images * 255).round().byte(), chains.images)
    asked = {"prompts": [agent.task.texts[k] for k in chains.prompt.tolist()]}
    paid = agent.task.reward(chains.images.float() / 255, asked)
    torch.testing.assert_close(paid, chains.reward)


def loud(images: Tensor, context: Mapping[str, Any]) -> Tensor:
    """Contrast in other units."""
    return 1000 * load("contrast")(images, context)


@pytest.mark.parametrize("name", ["ddpo", "dpok", "flow_grpo", "dance_grpo"])
def test_rewards_that_are_normalised_by_themselves_have_no_units(name: str, tiny: Tiny) -> None:
    def found(other: Any, **config: Any) -> tuple[Tensor, Chains]:
        reward = {"brightness": 1.0, other: 0.5}
        problem = replace(tiny, arguments=dict(tiny.arguments) | {"reward": reward})
        agent = agent_of(name, problem, **config)
        chains, _ = played(agent)
        gain = agent.worth(chains) if name == "dpok" else agent.advantage(chains)[0]
        return gain, chains

    plain, chains = found("contrast", advantages="each")
    torch.testing.assert_close(plain, found(loud, advantages="each")[0], rtol=1e-2, atol=1e-2)
    assert not torch.allclose(
        found("contrast", advantages="sum")[0], found(loud, advantages="sum")[0], rtol=0.1
    )
    assert set(chains.parts) == {"brightness", "contrast"}
    paid = chains.parts["brightness"] + 0.5 * chains.parts["contrast"]
    torch.testing.assert_close(paid, chains.reward)
    by_hand = np.zeros(12)
    for part, weight in (("brightness", 1.0), ("contrast", 0.5)):
        values = chains.parts[part].double().numpy().reshape(3, 4)
        centre = values - values.mean(1, keepdims=True)
        if name == "ddpo":  # too few of each prompt are known: by the batch
            centre, spread = values - values.mean(), values.std()
        elif name == "flow_grpo":
            spread = values.std()
        else:
            spread = values.std(1, ddof=int(name == "dance_grpo"), keepdims=True)
        eps = {"ddpo": 1e-6, "dance_grpo": 1e-8}.get(name, 1e-4)
        by_hand += weight * (centre / (spread + eps)).flatten()
    np.testing.assert_allclose(plain.numpy(), by_hand, rtol=1e-3, atol=1e-3)


def test_statistics_of_each_reward_are_kept(tiny: Tiny) -> None:
    reward = {"brightness": 1.0, "contrast": -2.0}
    problem = replace(tiny, arguments=dict(tiny.arguments) | {"reward": reward})
    agent = agent_of("ddpo", problem, advantages="each")
    chains, _ = played(agent)
    agent.advantage(chains)
    again = find("ddpo")(problem, agent.config, agent.state())
    for name in reward:
        assert bool(agent.known[name].kept.any())
        assert torch.equal(again.known[name].kept, agent.known[name].kept)
    assert set(agent_of("ddpo", tiny).state()) > {"statistics.kept", "statistics.count"}


def test_each_reward_of_a_sum_is_a_metric(tiny: Tiny) -> None:
    reward = {"brightness": 1.0, "contrast": 0.5}
    names = {"reward/brightness", "reward/contrast"}
    for given, there in ((reward, True), ("brightness", False)):
        problem = replace(tiny, arguments=dict(tiny.arguments) | {"reward": given})
        envs = problem.make(2, AutoresetMode.DISABLED)
        observation, info = envs.reset(seed=0)
        for _ in range(4):
            observation, *_, info = envs.step(envs.unwrapped.task.steer(
                observation, observation["latent"]))  # fmt: skip
            assert (names <= set(info["metrics"])) == there
        if there:
            assert bool(info["metrics"]["_reward/contrast"].all())


def test_sb3_learns_with_the_denoiser_as_actor(tiny: Tiny) -> None:
    from stable_baselines3 import PPO

    from agents.denoise.sb3_policy import DenoiserActor
    from genenvs.interop.sb3 import SB3VecEnv

    envs = SB3VecEnv(
        TaskVectorEnv(TASK, num_envs=6, autoreset_mode=AutoresetMode.SAME_STEP, **tiny.arguments)
    )
    arguments = {k: v for k, v in tiny.arguments.items() if k != "horizon"}
    model = PPO(
        DenoiserActor, envs, n_steps=8, batch_size=24, n_epochs=1, clip_range=1e-3, gamma=1.0,
        gae_lambda=1.0, policy_kwargs={"arguments": arguments, "horizon": 4}, learning_rate=1e-4,
    )  # fmt: skip
    before = [p.detach().clone() for p in model.policy.actor.parameters()]
    model.learn(96)
    after = list(model.policy.actor.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(bool(torch.isfinite(p).all()) for p in after)


def test_sb3_ppo_is_an_agent_like_the_others(tiny: Tiny, tmp_path: Path) -> None:
    def made(state: Any = None) -> Any:
        found = find("denoiser_ppo")
        config = found.Config(num_envs=6, n_steps=4, batch_size=12, learning_rate=3e-3)
        return found(tiny, config, state)

    torch.manual_seed(0)
    agent = made()
    before = rewards_of(agent, tiny)
    run = Run(0, 96, tmp_path)
    run.start(agent)
    agent.learn(run)
    assert run.steps == 96 and run.curve
    learned = rewards_of(agent, tiny)
    assert not torch.allclose(learned, before, atol=1e-4)
    torch.testing.assert_close(rewards_of(made(agent.state()), tiny), learned)
    with pytest.raises(TypeError, match="no environment for a denoiser"):
        ChainPlayer(Problem("Pendulum-v1"), 1)


def test_a_step_without_noise_is_left_out(tiny: Tiny) -> None:
    agent = agent_of("ddpo", tiny)
    chains, before = played(agent)
    for t in range(4):
        step = torch.full((12,), t)
        _, std = agent.policy.gaussian(chains.latents[t], step, chains.prompt, None)
        assert bool(stochastic(std).all()) == (t in agent.learned.tolist())
        assert bool((before[t] != 0).all()) == (t in agent.learned.tolist())
    assert 3 not in agent.learned.tolist()  # DDIM's last step, to clean data
    steps = agent.steps_of(5, torch.device("cpu"))
    assert steps.shape == (5, 3) and set(steps.flatten().tolist()) == {0, 1, 2}
    dance = agent_of("dance_grpo", tiny)
    assert dance.steps_of(5, torch.device("cpu")).shape == (5, 2)


def test_steps_count_by_their_noise_where_that_is_asked_for(tiny: Tiny) -> None:
    plain, weighted = agent_of("ddpo", tiny), agent_of("ddpo", tiny, step_weight=2.0)
    assert plain.step_weights[plain.learned].eq(1).all()
    std = plain.task.deviations(plain.policy.rule, plain.policy.level)[plain.learned].numpy()
    by_hand = std**2 / np.mean(std**2)
    assert by_hand.max() / by_hand.min() > 1.5
    np.testing.assert_allclose(weighted.step_weights[plain.learned], by_hand, rtol=1e-5)
    chains, before = played(plain)
    row, gain = torch.arange(12), torch.linspace(-1, 1, 12)
    for step, weight in zip(plain.learned.tolist(), by_hand, strict=True):
        found = []
        for agent in (plain, weighted):
            agent.optimizer.zero_grad()
            steps = torch.full_like(row, step)
            agent.differentiate(chains, before, gain, row, steps, 12, first=False)
            found.append(torch.cat([p.grad.flatten() for p in agent.policy.parameters()]))
        scale = float(found[0].abs().max())
        torch.testing.assert_close(found[1], float(weight) * found[0], rtol=1e-3, atol=1e-4 * scale)


def test_training_on_few_instances_plays_those_alone(tiny: Tiny) -> None:
    problem = replace(tiny, arguments=dict(tiny.arguments) | {"instances": 2})
    chains, _ = played(agent_of("flow_grpo", problem))
    assert set(chains.prompt.tolist()) == {0, 1}


def test_a_resumed_run_goes_on_as_the_unbroken_one(tiny: Tiny, tmp_path: Path) -> None:
    from agents import checkpoint

    def begin(folder: Path, total: int) -> tuple[Any, Run]:
        folder.mkdir()
        torch.manual_seed(0)  # of the value network's first weights
        return agent_of("dpok", tiny, pictures=0), Run(3, total, folder)

    whole, run = begin(tmp_path / "whole", 48 * 5)
    run.start(whole)
    whole.learn(run)
    rows = [row for row in run.curve if row["steps"] > run.total // 2]
    # A checkpoint from the middle, as a run that was killed leaves it.
    half, broken = begin(tmp_path / "half", 48 * 5)
    broken.start(half)
    kept: dict[str, Any] = {}

    def stop() -> bool:
        before = broken._checkpoints
        going = type(broken).going(broken)
        if broken._checkpoints > before and broken.steps >= broken.total // 2 and not kept:
            kept["all"] = checkpoint.load(tmp_path / "half" / checkpoint.NAME)
            return False
        return going

    broken.going = stop  # type: ignore[method-assign]
    half.learn(broken)
    tensors, facts = kept["all"]
    again = find("dpok")(tiny, half.config, checkpoint.part(tensors, "agent"))
    resumed = Run(3, 48 * 5, tmp_path / "half")
    resumed.take_up(tensors, facts)
    resumed.start(again)
    again.learn(resumed)
    found = [row for row in resumed.curve if row["steps"] > run.total // 2]
    assert [r["steps"] for r in found] == [r["steps"] for r in rows]
    for mine, theirs in zip(found, rows, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("more", [{"lora_rank": 2}, {"checkpointing": True}, {"guidance": 2.0}])
def test_adapters_checkpointing_and_guidance_have_ratios_of_one(
    more: dict[str, Any], tiny: Tiny, tmp_path: Path
) -> None:
    agent = agent_of("flow_grpo", tiny, pictures=0, chunk=7, **more)
    run = Run(0, 4 * 12 * 2, tmp_path)
    run.start(agent)
    frozen = [p.detach().clone() for p in agent.task.generator.network.parameters()]
    agent.learn(run)
    assert run.curve[0]["ratio_error"] < 1e-5
    assert run.curve[-1]["kl"] > 0
    same = zip(frozen, agent.task.generator.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    again = find("flow_grpo")(tiny, agent.config, agent.state())
    torch.testing.assert_close(rewards_of(again, tiny), rewards_of(agent, tiny))


def test_ratios_that_are_not_one_are_told(tiny: Tiny) -> None:
    agent = agent_of("ddpo", tiny)
    chains, before = played(agent)
    run = Run(0, 10_000)
    with pytest.warns(RuntimeWarning, match="before the first update"):
        agent.improve(run, chains, before + 1.0)


def test_half_precision_is_computed_in_and_not_stepped_in(tiny: Tiny, tmp_path: Path) -> None:
    agent = agent_of("ddpo", tiny, pictures=0, autocast="bfloat16")
    run = Run(0, 48, tmp_path)
    run.start(agent)
    chains, before = played(agent)
    assert chains.latents.dtype == before.dtype == torch.float32
    exact = agent_of("ddpo", tiny)
    mean, _ = agent.policy.gaussian(
        chains.latents[0], torch.zeros(12).long(), chains.prompt, agent.policy.network
    )
    other, _ = exact.policy.gaussian(
        chains.latents[0], torch.zeros(12).long(), chains.prompt, exact.policy.network
    )
    assert mean.dtype == torch.float32 and 0 < float((mean - other).detach().abs().max()) < 1.0
    agent.improve(run, chains, before)
    assert all(p.dtype == torch.float32 for p in agent.policy.parameters())


def test_searches_depend_on_the_episode_and_not_on_the_batch(tiny: Tiny) -> None:
    for name in ("best_of_n", "path_integral"):
        agent = agent_of(name, tiny, candidates=3)
        many = rewards_of(agent, tiny, 6)
        torch.manual_seed(99)
        few = rewards_of(agent, tiny, 3)
        torch.testing.assert_close(many[:3], few, atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_agents_are_paid_more_by_and_by(name: str, tiny: Tiny, tmp_path: Path) -> None:
    rate = {"reward_gradient": 1e-2}.get(name, 3e-4)
    # Brightness varies by a hundredth here: any hold on the generator would outweigh it.
    loose: dict[str, Any] = {"kl_coef": 0.0}
    if name == "dpok":  # nothing is learned before the value network knows what is usual
        loose |= {"value_epochs": 12, "value_rate": 3e-3}
    agent = agent_of(
        name, tiny, **loose, learning_rate=rate, group_size=8, num_prompts=3, pictures=0, chunk=96,
        evaluate_level=0.0 if name == "reward_gradient" else 1.0, average=0.5,
    )  # fmt: skip
    before = float(rewards_of(agent, tiny).mean())
    steps = 4 * 24 * (6 if name == "reward_gradient" else 14)
    run = Run(0, steps, tmp_path)
    run.start(agent)
    agent.learn(run)
    assert float(rewards_of(agent, tiny).mean()) > before
    # What was saved is what acts.
    again = find(name)(tiny, agent.config, agent.state())
    torch.testing.assert_close(rewards_of(again, tiny), rewards_of(agent, tiny))
    panel = {"reward", "reward_std", "diversity", "grad_norm"}
    panel |= set() if name == "reward_gradient" else {"ratio_error", "clipped", "kl"}
    assert panel <= set(run.curve[-1])
    assert list((tmp_path / "samples").glob("*.png"))


def test_the_saved_folder_is_a_pipeline_that_makes_the_same_pictures(
    tiny: Tiny, tmp_path: Path
) -> None:
    from genenvs.generators.text_to_image import load

    agent = agent_of("flow_grpo", tiny, learning_rate=1e-3, pictures=0)
    run = Run(0, 4 * 12 * 2, tmp_path)
    run.start(agent)
    agent.learn(run)
    other = replace(
        tiny, arguments=dict(tiny.arguments) | {"generator": str(tmp_path / "pipeline")}
    )
    frozen = agent_of("best_of_n", other, candidates=1, level=0.0)
    torch.testing.assert_close(
        rewards_of(frozen, other), rewards_of(agent, tiny), atol=1e-4, rtol=0
    )
    assert load(str(tmp_path / "pipeline")).digest != load(tiny.arguments["generator"]).digest


def test_an_adapter_that_was_trained_goes_on_top_of_the_generator(
    tiny: Tiny, tmp_path: Path
) -> None:
    agent = agent_of("flow_grpo", tiny, learning_rate=3e-2, pictures=0, lora_rank=2)
    run = Run(0, 4 * 12 * 2, tmp_path)
    run.start(agent)
    agent.learn(run)
    other = replace(tiny, arguments=dict(tiny.arguments) | {"lora": str(tmp_path / "lora")})
    frozen = agent_of("best_of_n", other, candidates=1, level=0.0)
    made = rewards_of(frozen, other)
    torch.testing.assert_close(made, rewards_of(agent, tiny), atol=1e-4, rtol=0)
    plain = rewards_of(agent_of("best_of_n", tiny, candidates=1, level=0.0), tiny)
    assert float((made - plain).abs().max()) > 1e-3
    with pytest.raises(FileNotFoundError, match="neither a folder nor a file"):
        replace(tiny, arguments=dict(tiny.arguments) | {"lora": "nowhere"}).make(1)


def test_searching_more_finds_better(tiny: Tiny) -> None:
    one = rewards_of(agent_of("best_of_n", tiny, candidates=1), tiny)
    eight = rewards_of(agent_of("best_of_n", tiny, candidates=8), tiny)
    assert float(eight.mean()) > float(one.mean())
    guided = rewards_of(agent_of("path_integral", tiny, candidates=8, steps=3), tiny)
    assert float(guided.mean()) > float(one.mean())
    plain = rewards_of(agent_of("best_of_n", tiny, candidates=1, level=0.0), tiny)
    climbed = rewards_of(agent_of("noise_search", tiny, iterations=8, steps=4), tiny)
    assert float(climbed.mean()) > float(plain.mean())


def test_reward_gradients_go_through_the_last_steps_alone(tiny: Tiny) -> None:
    agent = agent_of("reward_gradient", tiny, steps=2)
    agent.player.begin(0)
    observation = agent.player.first()
    loss, *_ = agent.pictures(observation)
    loss.backward()
    ours = [p.grad.clone() for p in agent.policy.parameters()]
    for p in agent.policy.parameters():
        p.grad = None
    x, prompt = observation["latent"], observation["prompt"]
    for t in range(4):
        if t == 2:
            x = x.detach()
        x, _ = agent.policy.gaussian(x, torch.full_like(prompt, t), prompt, agent.policy.network)
    images = agent.task.generator.decode(x)
    asked = {"prompts": [agent.task.texts[k] for k in prompt.tolist()]}
    (-agent.task.reward(images, asked).mean()).backward()
    for mine, p in zip(ours, agent.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad)


@pytest.mark.parametrize(
    ("name", "config", "arguments", "says"),
    [
        ("flow_grpo", {"group_size": 1}, {}, "at least 2"),
        ("dance_grpo", {"group_size": 1}, {}, "at least 2"),
        ("ddpo", {"level": 0.0}, {}, "deterministic"),
        ("ddpo", {"guidance": float("nan")}, {}, "guidance must be in 0..100"),
        ("best_of_n", {"guidance": -3.0}, {}, "guidance must be in 0..100"),
        ("ddpo", {"evaluate_level": 9.0}, {}, "evaluate_level of ddim_eta is in 0..1"),
        ("ddpo", {"advantages": "each"}, {}, "for a weighted sum"),
        ("dpok", {"advantages": "each", "group_size": 1}, {}, "at least 2"),
        ("ddpo", {"rule": "flow_grpo"}, {}, "must be one of ddim_eta, ddpm"),
        ("reward_gradient", {}, {"reward": "jpeg_compressibility"}, "not differentiable"),
        ("noise_search", {}, {"reward": "jpeg_compressibility"}, "not differentiable"),
        ("reward_gradient", {"steps": 9}, {}, "at most 4"),
    ],
)
def test_what_cannot_learn_is_told(
    name: str, config: dict[str, Any], arguments: dict[str, Any], says: str, tiny: Tiny
) -> None:
    problem = replace(tiny, arguments=dict(tiny.arguments) | arguments)
    with pytest.raises(ValueError, match=says):
        agent_of(name, problem, **config)


def test_too_little_memory_makes_the_chunk_smaller_and_no_gradient_counts_twice(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agent_of("ddpo", tiny, chunk=12, updates=1)
    chains, before = played(agent)
    found: list[list[Tensor]] = []
    agent.descend = lambda run, **logged: found.append([p.grad for p in agent.policy.parameters()])
    rows, steps = torch.arange(12).repeat_interleave(3), torch.arange(3).repeat(12)
    gain = torch.linspace(-1, 1, 12)

    def gradient() -> None:
        agent.optimizer.zero_grad()
        agent.accumulate(Run(0, 10), chains, before, gain, rows, steps)

    gradient()
    ratios, calls = agent.surrogate, []

    def small(ratio: Tensor, advantage: Tensor) -> Tensor:
        calls.append(len(ratio))
        if len(ratio) > 3 and len(calls) > 1:  # one chunk has been added by then
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return ratios(ratio, advantage)

    monkeypatch.setattr(agent, "surrogate", small)
    with pytest.warns(UserWarning, match="chunk is 3"):
        gradient()
    assert calls[:3] == [12, 12, 6] and set(calls[3:]) == {3}
    for mine, plain in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-3, atol=1e-6)

    def never(ratio: Tensor, advantage: Tensor) -> Tensor:
        raise MemoryError

    monkeypatch.setattr(agent, "surrogate", never)
    with pytest.warns(UserWarning, match="chunk is 1"), pytest.raises(MemoryError):
        gradient()


def test_another_environment_is_refused() -> None:
    with pytest.raises(TypeError, match="no environment for a denoiser"):
        ChainPlayer(Problem("genenvs/DenoiseSchedule-v0"), 2)


def test_a_denoiser_makes_the_same_pictures_by_choosing_the_noise(tiny: Tiny) -> None:
    class Noise(Tiny):
        def make(
            self,
            num_envs: int,
            autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP,
            **more: Any,
        ) -> Any:
            arguments: Mapping[str, Any] = dict(self.arguments) | more
            return TaskVectorEnv(
                TASK.replace("latent", "noise").replace("Latent", "Noise"), num_envs=num_envs,
                output="torch", autoreset_mode=autoreset_mode, **arguments,
            )  # fmt: skip

    pictures = []
    for problem in (tiny, Noise("noise", tiny.arguments)):
        torch.manual_seed(0)
        agent = agent_of("ddpo", problem)
        with torch.no_grad():  # not the frozen network any more
            for each in agent.policy.parameters():
                each.add_(0.02 * torch.randn_like(each))
        chains, _ = played(agent)
        pictures.append(chains.latents)
    late, noise = pictures
    torch.testing.assert_close(late[:-1], noise[:-1], atol=2e-3, rtol=1e-3)
