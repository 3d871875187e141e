"""The agent and the network of one's own in docs/examples, used as docs/agents.md says."""

import pytest

import agents
from agents import training
from agents.evaluation import score
from tests.agents.problems import env_id
from tests.repository.project import ROOT


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs/examples"))
    monkeypatch.setattr(training, "draw", lambda *arguments: None)


def test_the_agent_learns_and_is_kept_with_its_code(tmp_path):
    config = {"population": 16, "elite": 4}
    found = agents.train(
        "cross_entropy:CrossEntropy", "CartPole-v1", steps=20_000, config=config, out=tmp_path
    )
    assert score(found, episodes=32).score.mean > 60  # random: 22
    with pytest.raises(ValueError, match=r"\(cross_entropy:CrossEntropy\); --trust-code"):
        agents.load(tmp_path)
    loaded = agents.load(tmp_path, trust_code=True)
    assert score(loaded, episodes=8).score == score(found, episodes=8).score


def test_the_agent_resumes_to_the_same_curve(tmp_path):
    same = {"steps": 1_500, "config": {"population": 4, "elite": 2}}
    name, env = "cross_entropy:CrossEntropy", env_id("Grid")

    def stop(row):
        if row["steps"] > 800:
            raise KeyboardInterrupt

    agents.train(name, env, out=tmp_path / "whole", **same)
    with pytest.raises(KeyboardInterrupt):
        agents.train(name, env, out=tmp_path / "broken", on_row=stop, **same)
    agents.train(name, env, out=tmp_path / "broken", resume=True, **same)
    whole, resumed = ((tmp_path / each / "curve.csv").read_text() for each in ("whole", "broken"))
    assert whole == resumed


@pytest.mark.parametrize("agent", ["actor_critic", "grpo", "ppo"])
def test_the_network_serves_our_agents_and_stable_baselines3s(agent):
    config = {"network": "wide_network:Wide", "hidden": [8]}
    config |= {"num_groups": 2, "group_size": 2} if agent == "grpo" else {"num_envs": 2}
    config |= {"n_steps": 8, "batch_size": 16} if agent == "ppo" else {}
    found = agents.train(agent, env_id("Network"), steps=64, config=config)
    names = found.agent.state()
    assert any("body.1.weight" in name for name in names)
