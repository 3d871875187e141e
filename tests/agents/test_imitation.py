"""The warm start `imitate="reference"`: whom it teaches what, and the run around it."""

import csv
import json
import math

import gymnasium as gym
import pytest
import torch
from gymnasium import spaces

import agents
import genenvs
from agents import checkpoint, imitation, training
from agents.agent import Teach
from agents.cli import guarded
from agents.distributions import Actions
from agents.imitation import DAgger, Memory, Step
from agents.play import Player
from agents.problem import Problem
from agents.registry import find
from agents.run import Run
from tests.agents.problems import TAUGHT, env_id, single

STEPS = 1_000
FEW = DAgger(STEPS)
SMALL = {
    "grpo": {"num_groups": 2, "group_size": 3},
    "a3c": {"workers": 1, "num_envs": 4},
    "ppo": {"num_envs": 4, "n_steps": 16},
    "maskable_ppo": {"num_envs": 4, "n_steps": 16},
    "reinforce": {"num_envs": 4, "n_steps": 8},
}


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch):
    if request.function is not test_the_picture_marks_what_was_imitation:
        monkeypatch.setattr(training, "draw", lambda *arguments: None)


def taught(agent, name="Taught", steps=64, imitate_steps=STEPS, config=None, **more):
    config = SMALL.get(agent, {"num_envs": 4}) | (config or {})
    return agents.train(
        agent, env_id(name), steps=steps, config=config,
        imitate_steps=imitate_steps, **{"imitate": "reference"} | more,
    )  # fmt: skip


def cloned(agent, name="Taught", dagger=FEW, seed=0):
    """An agent straight after its warm start, and the run."""
    problem = Problem(env_id(name), seed=seed)
    kind = find(agent)
    config = kind.Config(**SMALL.get(agent, {"num_envs": 4}))
    run = Run(seed, 100, warm_up=dagger.steps)
    made = kind(problem, config)
    run.start(made)
    imitation.imitate(made, problem, config, run, dagger)
    return made, run


def judge_of(agent):
    """How an agent judges samples."""
    found = []

    def teach(network, judge):
        found.append(judge)

    teach_: Teach = teach
    agent.imitate(teach_)
    return found[0]


def questions(step=0):
    return {"question": torch.arange(7), "step": torch.full((7,), step)}


# --- who is taught what ---


def test_these_agents_can_imitate():
    assert imitation.able() == [
        "ppo", "a2c", "maskable_ppo", "actor_critic", "a3c", "grpo", "reinforce",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("agent", "name"),
    [(a, "Taught") for a in imitation.able() if a != "a3c"]  # whose workers know no such id
    + [(a, name) for a in ("ppo", "actor_critic") for name in TAUGHT if name != "Taught"]
    + [("maskable_ppo", "TaughtPairs"), ("maskable_ppo", "TaughtBits")],
)
def test_a_clone_does_what_the_reference_does(agent, name):
    found = taught(agent, name)
    assert found.agreement == 1.0
    rows = [row for row in found.curve if row["steps"] <= 0]
    # Of the reference: all questions but the last are answered, and that in a seventh of states.
    assert rows[-1]["beta"] == 0 and rows[-1]["return"] == pytest.approx(24 / 7, abs=0.25)


@pytest.mark.parametrize("agent", ["maskable_ppo", "actor_critic"])
def test_probabilities_are_those_among_legal_actions(agent):
    found = find(agent)(Problem(env_id("Taught")), find(agent).Config(**SMALL.get(agent, {})))
    mask = (torch.arange(6) < 5).expand(7, 6)
    logs = [judge_of(found)(questions(), mask, torch.full((7, 1), a))[0] for a in range(6)]
    probability = torch.stack(logs).exp()
    torch.testing.assert_close(probability[:5].sum(0), torch.ones(7))
    assert (probability[5] < 1e-6).all()


def test_the_critic_knows_the_returns_when_learning_begins():
    agent, run = cloned("actor_critic", dagger=DAgger(4_000))
    value = judge_of(agent)(questions(step=3), None, torch.zeros(7, 1, dtype=torch.long))[1]
    expected = torch.tensor([1.0] * 6 + [0.0])  # of the last step, in which all but one are right
    assert (value - expected).abs().max() < 0.35
    assert run.curve[-1]["value_loss"] < 0.1 * run.curve[1]["value_loss"]


def test_a_clone_is_as_sure_as_it_was_told_and_no_surer():
    agent, _ = cloned("actor_critic", dagger=DAgger(STEPS, confidence=0.8, epochs=40))
    label = torch.tensor([[3], [0], [4], [1], [2], [0], [3]])
    mask = (torch.arange(6) < 5).expand(7, 6)
    log_prob, _ = judge_of(agent)(questions(step=1), mask, label)
    assert log_prob.exp().detach().numpy() == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("agent", ["ppo", "actor_critic"])
def test_a_clone_keeps_a_spread_of_numbers_to_explore_by(agent):
    found, _ = cloned(agent, "TaughtBox")
    network = found.model.policy if agent == "ppo" else found.model
    assert network.log_std.detach().numpy() == pytest.approx(DAgger.min_log_std, abs=0.1)


def test_a_reference_is_surpassed():
    faster = {"num_envs": 64, "learning_rate": 3e-3}
    found = taught("actor_critic", steps=60_000, config=faster)
    assert found.agreement == 1.0
    score = genenvs.evaluate(found.problem.make(64), found.agent.act, episodes=128)
    assert score.episodes["return"].min() == 4.0  # the reference errs in one of seven questions


@pytest.mark.parametrize("agent", ["grpo", "a3c"])
def test_what_an_agent_derives_from_its_network_is_the_clone_s(agent):
    found, _ = cloned(agent)
    weights = torch.nn.utils.parameters_to_vector(found.model.parameters())
    if agent == "a3c":
        torch.testing.assert_close(found.shared.weights, weights)
    else:
        torch.testing.assert_close(
            torch.nn.utils.parameters_to_vector(found.reference.parameters()), weights
        )


# --- DAgger ---


def test_the_reference_plays_first_and_the_agent_last():
    beta = [DAgger().beta(k) for k in range(DAgger.rounds)]
    assert beta[0] == 1 and beta == sorted(beta, reverse=True) and beta[5:] == [0.0] * 5


class Stubborn:
    """Does one and the same, right or wrong."""

    def act(self, observation, info):
        return torch.full((len(observation["step"]),), 2)


@pytest.mark.parametrize(("beta", "share"), [(1.0, 6 / 7), (0.0, 1 / 7)])
def test_whoever_plays_the_labels_are_the_reference_s(beta, share):
    player, memory = Player(Problem(env_id("Taught")), 8), Memory(10_000, 1 << 20)
    player.begin(0)
    expert = imitation.teacher("reference", player.envs.unwrapped)
    agreement = imitation.play(player, Stubborn(), expert, beta, 100, memory)
    assert agreement == pytest.approx(1 / 7, abs=0.05)
    reward = torch.stack([step.reward for step in memory.steps]).mean()
    assert float(reward) == pytest.approx(share, abs=0.05)
    answers = torch.tensor([3, 0, 4, 1, 2, 0, 3])
    for step in memory.steps:
        assert torch.equal(step.label[:, 0], answers[step.observation["question"]])


def stepped(reward, terminated=(False, False), cut=(False, False), final=None):
    terminated, cut = torch.tensor(terminated), torch.tensor(cut)
    reward = torch.tensor(reward)
    return Step(
        torch.zeros(2, 1), None, torch.zeros(2, 1, dtype=torch.long),
        reward, terminated, terminated | cut, cut, final,
    )  # fmt: skip


def test_returns_run_on_and_are_continued_where_an_episode_is_cut_off():
    memory = Memory(100, 1 << 20)
    memory.add(stepped([1.0, 1.0]))
    memory.add(stepped([2.0, 2.0], (True, False), (False, True), final=torch.tensor([[7.0]])))
    memory.add(stepped([4.0, 4.0]))
    judge = lambda observation, mask, action: (None, observation[:, 0])  # noqa: E731
    found = memory.returns(judge, torch.tensor([[10.0], [20.0]]), 0.5).reshape(3, 2)
    # Row 0 ends at the second step; row 1 is cut off there, in a state worth 7.
    expected = [[1 + 0.5 * 2, 1 + 0.5 * (2 + 0.5 * 7)], [2, 2 + 0.5 * 7], [4 + 5, 4 + 10]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_a_memory_forgets_the_oldest():
    for most in (Memory(6, 1 << 20), Memory(100, 3 * 2 * 4)):  # three steps of two rows either way
        for reward in range(5):
            most.add(stepped([float(reward)] * 2))
        assert [float(step.reward[0]) for step in most.steps] == [2, 3, 4]


def test_long_episodes_have_fewer_rows():
    problem = Problem(env_id("Taught"), {"horizon": 1_000})
    assert DAgger(20_000).batch(problem) == 5 and DAgger(100).batch(problem) == 1
    assert DAgger(20_000).batch(Problem(env_id("Taught"))) == DAgger.rows


@pytest.mark.parametrize(
    "space", [*TAUGHT.values(), spaces.Discrete(3, start=5), spaces.MultiDiscrete([[2, 3], [4, 5]])]
)
def test_samples_of_actions_give_the_actions(space):
    actions = Actions(space)
    given = torch.stack([torch.as_tensor(space.sample()) for _ in range(5)])
    assert torch.equal(actions.to_env(actions.from_env(given)), given)


def test_numbers_agree_to_a_twentieth_of_their_range():
    label, box = torch.tensor([[0.95, 0.0]]), TAUGHT["TaughtBox"]
    for own, same in (([0.86, 0.09], True), ([9.0, 0.0], True), ([0.95, 0.11], False)):
        assert bool(imitation.agrees(torch.tensor([own]), label, box)) is same


# --- the run ---


def weights(found):
    return {k: v.clone() for k, v in found.agent.state().items()}


@pytest.mark.parametrize("agent", ["ppo", "actor_critic"])
def test_a_seed_decides_the_weights(agent):
    one, same, other = (taught(agent, seed=seed) for seed in (1, 1, 2))
    assert one.curve == same.curve != other.curve
    assert all(torch.equal(weights(same)[k], v) for k, v in weights(one).items())


class Stop(Exception):
    """Breaks a run off, as a kill would."""


@pytest.mark.parametrize("agent", ["ppo", "actor_critic", "grpo"])
@pytest.mark.parametrize("steps", [-150, 20, 500])
def test_a_run_that_was_broken_off_goes_on_to_the_same_curve(tmp_path, agent, steps):
    def look(row):
        if row["steps"] >= steps:
            raise Stop

    same = {"steps": 600, "imitate_steps": 300}
    whole = taught(agent, out=tmp_path / "whole", **same)
    with pytest.raises(Stop):
        taught(agent, out=tmp_path / "broken", on_row=look, **same)
    assert (tmp_path / "broken" / checkpoint.NAME).exists() is (steps > 0)
    resumed = taught(agent, out=tmp_path / "broken", resume=True, **same)
    curves = [(tmp_path / name / "curve.csv").read_text() for name in ("whole", "broken")]
    assert curves[0] == curves[1]
    assert all(torch.equal(weights(resumed)[k], v) for k, v in weights(whole).items())


def test_what_was_imitation_counts_up_to_0_and_learning_from_there(tmp_path):
    found = taught("actor_critic", steps=1_000, out=tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["imitate"] == "reference" and record["imitate_steps"] == STEPS
    rows = list(csv.DictReader((tmp_path / "curve.csv").open()))
    warm = [row for row in rows if int(row["steps"]) <= 0]
    assert len(warm) == DAgger.rounds and -STEPS < int(warm[0]["steps"]) < -STEPS / 2
    assert all(row["agreement"] and row["imitation_loss"] for row in warm[1:])
    assert not any(row["agreement"] or row["imitation_loss"] for row in rows[len(warm) :])
    assert found.steps == int(rows[-1]["steps"]) >= 1_000
    assert found.agreement == float(warm[-1]["agreement"])
    # Whoever imitates nothing has the curve's columns and record of before.
    plain = agents.train("actor_critic", env_id("Taught"), steps=100, out=tmp_path / "plain")
    assert plain.agreement is None and "agreement" not in plain.curve[0]
    assert json.loads((tmp_path / "plain/run.json").read_text())["imitate"] is None


def test_another_warm_start_is_not_resumed(tmp_path):
    taught("actor_critic", out=tmp_path)
    with pytest.raises(ValueError, match="imitate_steps: 1000 -> 500"):
        taught("actor_critic", out=tmp_path, imitate_steps=500, resume=True)


def test_the_command_line_tells_of_it_and_resumes_it(tmp_path, capsys):
    words = ["--agent", "actor_critic", "--env", env_id("Taught"), "--steps", "400"]
    words += ["--imitate", "reference", "--imitate-steps", str(STEPS), "--num-envs", "4"]
    quiet = ["--out", str(tmp_path), "--quiet", "--no-tensorboard", "--episodes", "8"]
    assert guarded(["train", *words, *quiet]) == 0
    assert "100.0% of states" in capsys.readouterr().out
    assert json.loads((tmp_path / "evaluation.json").read_text())["agreement"] == 1.0
    assert guarded(["train", "--agent", "actor_critic", "--resume", *quiet]) == 0
    assert "100.0% of states" in capsys.readouterr().out


def test_the_picture_marks_what_was_imitation(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: drawn.append(self))
    curve = [
        {"steps": s, "episodes": 1, "return": 1.0, "agreement": 1.0} for s in range(-1_000, 1, 100)
    ] + [{"steps": s, "episodes": 1, "return": 2.0} for s in (100, 200)]
    training.draw(curve, env_id("Taught"), "ppo", tmp_path / "curve.png")
    (axes,) = drawn[0].axes
    assert axes.get_legend_handles_labels()[1] == ["ppo", "imitation"]
    assert axes.patches[0].get_x() == -1_000 and axes.patches[0].get_width() == 1_000


def test_the_progress_bar_counts_both(monkeypatch):
    import tqdm

    bars = []

    class Bar:
        def __init__(self, total, initial, **more):
            self.total, self.n, self.seen = total, initial, []
            bars.append(self)

        def update(self, n):
            self.n += n
            assert n >= 0

        def set_postfix(self, *arguments):
            pass

        def close(self):
            pass

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    taught("actor_critic", steps=100, progress=True)
    assert bars[0].total == bars[0].n == STEPS + 100


def test_another_policy_is_cloned_by_its_name(monkeypatch):
    monkeypatch.setattr("json.stubborn", stubborn, raising=False)
    assert taught("actor_critic", imitate="json:stubborn").agreement == 1.0


def stubborn(envs):
    """The same action always, whatever the reference would do."""
    return lambda observation, info: torch.zeros(envs.num_envs, dtype=torch.int64)


# --- refusals ---


@pytest.mark.parametrize(
    ("agent", "env", "more", "error", "text"),
    [
        (
            "dqn",
            "Taught",
            {},
            TypeError,
            "dqn cannot imitate; ppo, a2c, maskable_ppo, actor_critic",
        ),
        ("recurrent_ppo", "Taught", {}, TypeError, "recurrent_ppo cannot imitate"),
        ("ppo", "Endless", {}, ValueError, "Endless-v0 has no reference policy"),
        ("ppo", "CartPole-v1", {}, ValueError, "CartPole-v1 is no environment of genenvs"),
        ("actor_critic", single(), {}, ValueError, "is no environment of genenvs"),
        ("ppo", "Taught", {"imitate_steps": 9}, ValueError, "at least 10, one a round; got 9"),
        ("ppo", "Taught", {"imitate": "expert"}, ValueError, 'must be "reference", "module'),
        ("ppo", "Taught", {"imitate": "json:nothing"}, ValueError, "json:nothing"),
    ],
)
def test_what_cannot_be_imitated_is_told_before_anything_is_written(
    tmp_path, agent, env, more, error, text
):
    env = env if env in gym.registry else env_id(env)
    with pytest.raises(error, match=text):
        agents.train(agent, env, steps=100, out=tmp_path / "run", **{"imitate": "reference"} | more)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_stops_the_warm_start(tmp_path, monkeypatch):
    monkeypatch.setattr(Memory, "returns", lambda *arguments: torch.full((100_000,), math.nan))
    with pytest.raises(agents.run.Diverged, match="value_loss became nan at step -"):
        taught("actor_critic", out=tmp_path)


# --- what it is for ---


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["ppo", "actor_critic", "a3c"])
def test_a_schedule_is_cloned_and_learning_does_not_lose_it(agent):
    env = "genenvs/DenoiseSchedule-v0"
    found = agents.train(agent, env, steps=16_384, imitate="reference")
    assert found.agreement > 0.98
    reference, random, learned = (
        genenvs.evaluate(env, policy, episodes=500, split="validation").interval().mean
        for policy in ("reference", "random", lambda o, i: found.agent.act(_torch(o), i))
    )
    assert (learned - random) / (reference - random) > 0.95


def _torch(observation):
    return {name: torch.as_tensor(value) for name, value in observation.items()}
