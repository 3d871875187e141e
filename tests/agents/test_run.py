"""Runs: folders, curves, checkpoints; killed, resumed, diverged, on a full disk."""

import csv
import errno
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import agents
from agents import checkpoint, training
from agents.folder import claimed, git_commit
from agents.play import Player
from agents.reinforce import Reinforce
from agents.run import ROWS, Diverged, Run
from tests.agents.problems import env_id, single
from tests.repository.project import ROOT

SMALL = {"num_envs": 4, "hidden": [8]}


def trained(out, env=None, steps=2_000, **more):
    more = {"config": SMALL} | more
    return agents.train("actor_critic", env or env_id("Grid"), steps=steps, out=out, **more)


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch):
    """A picture takes longer than most runs here; the test that looks at one draws it."""
    if request.function is not test_a_run_leaves_what_a_reader_needs:
        monkeypatch.setattr(training, "draw", lambda *arguments: None)


class Stop(Exception):
    """Breaks a run off, as a kill would."""


def stop_after(rows):
    def look(row):
        look.seen += 1
        if look.seen == rows:
            raise Stop

    look.seen = 0
    return look


def test_a_run_leaves_what_a_reader_needs(tmp_path):
    found = trained(tmp_path / "run", seed=3)
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["agent"] == "actor_critic" and record["seed"] == 3 and record["steps"] == 2_000
    assert record["config"] == {**record["config"], "num_envs": 4, "hidden": [8]}
    assert record["environment_seed"] == found.problem.env_seed() != 3
    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert record["git"] is None or len(record["git"]) >= 40
    rows = list(csv.DictReader((tmp_path / "run/curve.csv").open()))
    assert int(rows[-1]["steps"]) >= 2_000 and len(rows) <= ROWS
    assert {"return", "length", "episodes", "policy_loss", "value_loss"} <= set(rows[0])
    assert (tmp_path / "run/curve.png").stat().st_size > 5_000
    assert not list((tmp_path / "run").glob(".*")), "something temporary was left"


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_a_commit_is_marked_where_code_differs_from_it(tmp_path, monkeypatch):
    def git(*words):
        return subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words],
            check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip

    code, result = tmp_path / "code.py", tmp_path / "benchmarks/results/found.json"
    result.parent.mkdir(parents=True)
    code.write_text("1")
    result.write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    monkeypatch.setattr("agents.folder.ROOT", tmp_path)
    commit = git("rev-parse", "HEAD")
    assert git_commit() == commit
    result.write_text("2")
    assert git_commit() == commit, "published results alone"
    code.write_text("2")
    assert git_commit() == f"{commit}+"


def test_episodes_of_the_curve_add_up(tmp_path):
    found = trained(None, env_id("Ending"), steps=1_600)
    assert sum(row["episodes"] for row in found.curve) == 400  # four steps each
    assert all(row["return"] == 4.0 for row in found.curve if row["episodes"])


def test_two_identical_commands_give_identical_curves(tmp_path):
    for name in ("a", "b"):
        torch.rand(3)  # whatever was drawn before
        trained(tmp_path / name)
    assert (tmp_path / "a/curve.csv").read_text() == (tmp_path / "b/curve.csv").read_text()
    trained(tmp_path / "c", seed=1)
    assert (tmp_path / "a/curve.csv").read_text() != (tmp_path / "c/curve.csv").read_text()


@pytest.mark.parametrize("agent", ["actor_critic", "reinforce", "grpo"])
@pytest.mark.parametrize("env", ["Grid", "Network", "other people's"])
def test_a_run_that_was_broken_off_goes_on_to_the_same_curve(tmp_path, agent, env):
    env = single() if env == "other people's" else env_id(env)
    config = {"hidden": [8], "learning_rate": 0.01}
    config |= (
        {"num_groups": 2, "group_size": 3, "batch_size": 20} if agent == "grpo" else {"num_envs": 4}
    )
    if agent == "reinforce":
        config["n_steps"] = 8
    same = {"steps": 3_000, "config": config}
    agents.train(agent, env, out=tmp_path / "whole", **same)
    with pytest.raises(Stop):
        agents.train(agent, env, out=tmp_path / "broken", on_row=stop_after(47), **same)
    kept = checkpoint.load(tmp_path / "broken" / checkpoint.NAME)[1]
    assert 0 < kept["steps"] < 3_000 and kept["curve"][-1]["steps"] == kept["steps"]
    agents.train(agent, env, out=tmp_path / "broken", resume=True, **same)
    whole, resumed = ((tmp_path / each / "curve.csv").read_text() for each in ("whole", "broken"))
    assert whole == resumed


@pytest.mark.slow
def test_a_run_killed_again_and_again_has_the_curve_of_one_that_was_not(tmp_path):
    env = "genenvs/DenoiseSchedule-v0"
    command = [
        sys.executable, "-m", "agents", "train", "--agent", "actor_critic", "--env", env,
        "--steps", "4000", "--num-envs", "4", "--n-steps", "5", "--episodes", "0",
        "--quiet", "--no-tensorboard", "--resume",
    ]  # fmt: skip
    subprocess.run([*command, "--out", tmp_path / "whole"], cwd=ROOT, check=True)
    curve = tmp_path / "killed" / "curve.csv"
    resumed_at = []
    for rows in (33, 90, 141):  # between two checkpoints, each ten rows apart
        process = subprocess.Popen([*command, "--out", tmp_path / "killed"], cwd=ROOT)
        while len(curve.read_text().splitlines() if curve.exists() else ()) <= rows:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        resumed_at.append(checkpoint.load(curve.with_name(checkpoint.NAME))[1]["steps"])
    assert 0 < resumed_at[0] < resumed_at[1] < resumed_at[2] < 4_000
    subprocess.run([*command, "--out", tmp_path / "killed"], cwd=ROOT, check=True)
    assert curve.read_text() == (tmp_path / "whole/curve.csv").read_text()


def test_a_finished_run_is_only_looked_at_when_resumed(tmp_path):
    trained(tmp_path)
    before = (tmp_path / checkpoint.NAME).read_bytes()
    found = trained(tmp_path, resume=True)
    assert found.steps >= 2_000 and (tmp_path / checkpoint.NAME).read_bytes() == before


def test_a_folder_in_use_is_not_written_over(tmp_path):
    trained(tmp_path)
    before = (tmp_path / "curve.csv").read_text()
    with pytest.raises(ValueError, match="holds a run; --resume goes on with it"):
        trained(tmp_path, seed=1)
    assert (tmp_path / "curve.csv").read_text() == before


def test_another_configuration_is_not_resumed_and_the_difference_is_shown(tmp_path):
    trained(tmp_path)
    with pytest.raises(ValueError) as error:
        trained(tmp_path, resume=True, config=SMALL | {"gamma": 0.5}, steps=3_000)
    said = str(error.value)
    assert "config.gamma: 0.99 -> 0.5" in said and "steps: 2000 -> 3000" in said
    assert "num_envs" not in said


def test_a_field_that_came_later_does_not_keep_an_older_run_from_going_on(tmp_path):
    trained(tmp_path, steps=500)
    record = json.loads((tmp_path / "run.json").read_text())
    field, value = "gamma", record["config"].pop("gamma")  # as if it had not been there then
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert trained(tmp_path, steps=500, resume=True).steps >= 500
    with pytest.raises(ValueError, match=field):
        trained(tmp_path, steps=500, resume=True, config={field: value / 2})


def test_a_damaged_checkpoint_is_named(tmp_path):
    trained(tmp_path)
    path = tmp_path / checkpoint.NAME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is no checkpoint of an agent"):
        trained(tmp_path, resume=True)


def test_a_reference_that_moves_is_resumed_with_its_count(tmp_path):
    same = {"steps": 3_000, "config": {"num_groups": 2, "group_size": 3, "hidden": [8],
                                       "reference": 3, "kl_coef": 0.1}}  # fmt: skip
    agents.train("grpo", env_id("Grid"), out=tmp_path / "whole", **same)
    with pytest.raises(Stop):
        agents.train("grpo", env_id("Grid"), out=tmp_path / "broken", on_row=stop_after(27), **same)
    agents.train("grpo", env_id("Grid"), out=tmp_path / "broken", resume=True, **same)
    whole, resumed = ((tmp_path / each / "curve.csv").read_text() for each in ("whole", "broken"))
    assert whole == resumed


def test_episodes_of_other_peoples_environments_come_to_an_end():
    # A checkpoint begins them anew: it must leave room for whole ones, 200 steps each here.
    found = agents.train("actor_critic", "Pendulum-v1", steps=8_000, config={"num_envs": 8})
    assert sum(row["episodes"] for row in found.curve) == 40


def test_one_folder_is_trained_into_by_one_process(tmp_path):
    with claimed(tmp_path / "run"), pytest.raises(ValueError, match="another process is training"):
        trained(tmp_path / "run")
    trained(tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.lock"))
    with pytest.raises(ValueError, match="must be a folder; it is a file"):
        trained(tmp_path / "run" / "curve.csv")


def test_a_first_try_that_failed_does_not_block_its_folder(tmp_path):
    with pytest.raises(Stop):
        trained(tmp_path, on_row=stop_after(1))
    (tmp_path / ".checkpoint-half.safetensors").write_bytes(b"half")
    assert trained(tmp_path).steps >= 2_000


def test_a_checkpoint_without_its_record_is_left_alone(tmp_path):
    trained(tmp_path)
    (tmp_path / "run.json").unlink()
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"a checkpoint without run.json; move it away"):
            trained(tmp_path, resume=resume)


class Poisoned:
    """An agent whose loss becomes NaN at step 30."""

    Config = Reinforce.Config

    spaces = "any"

    def __init__(self, problem, config, state=None):
        self.weight = torch.zeros(2) if state is None else state["weight"]

    def learn(self, run):
        while run.going():
            run.advance(10)
            run.log(good_loss=1.0, bad_loss=float("nan") if run.steps == 30 else 0.0)
            self.weight += 1

    def act(self, observation, info):
        return None

    def state(self):
        return {"weight": self.weight}


def test_nan_stops_the_run_and_names_step_and_tensor(tmp_path):
    with pytest.raises(Diverged, match="bad_loss became nan at step 30") as error:
        agents.train("tests.agents.test_run:Poisoned", env_id("Grid"), steps=100, out=tmp_path)
    path = tmp_path / "diverged.safetensors"
    assert str(path) in str(error.value)
    tensors, facts = checkpoint.load(path)
    assert facts == {"steps": 30, "tensor": "bad_loss", "value": "nan"}
    assert tensors["agent.weight"].tolist() == [2.0, 2.0], "the state is that before the step"


def test_nan_in_a_reward_reaches_no_weight(monkeypatch):
    found = {}

    def poison(self, model, steps, collect=Player.collect):
        rollout = collect(self, model, steps)
        found["before"] = {k: v.clone() for k, v in model.state_dict().items()}
        found["model"] = model
        rollout.reward[0, 0] = float("nan")
        return rollout

    monkeypatch.setattr(Player, "collect", poison)
    with pytest.raises(Diverged, match=r"policy_loss became nan at step 20"):
        trained(None)
    for name, value in found["model"].state_dict().items():
        assert torch.equal(value, found["before"][name]), name


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    written = []

    import safetensors.torch

    real = safetensors.torch.save_file

    def full(tensors, path, metadata):
        if len(written) == 3:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        real(tensors, path, metadata)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        trained(tmp_path)
    monkeypatch.undo()
    tensors, facts = checkpoint.load(tmp_path / checkpoint.NAME)
    assert facts["checkpoints"] == 3 and tensors
    assert not list(tmp_path.glob(".*"))
    trained(tmp_path, resume=True)
    trained(tmp_path / "whole")
    assert (tmp_path / "curve.csv").read_text() == (tmp_path / "whole/curve.csv").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_write_that_the_system_refuses_ends_the_command_in_one_sentence(tmp_path):
    # A limit on the size of files is what a full disk looks like from inside.
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000));"
        "from agents.cli import guarded; sys.exit(guarded(sys.argv[1:]))"
    )
    command = ["train", "--agent", "actor_critic", "--env", "CartPole-v1", "--steps", "2000",
               "--quiet", "--no-tensorboard", "--out", str(tmp_path / "run")]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.strip().startswith("agents: ") and "Traceback" not in done.stderr
    assert "--resume goes on" in done.stderr
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agent": "actor_critik"}, "no agent 'actor_critik'; nearest: actor_critic"),
        ({"config": {"gama": 0.5}}, "has no field 'gama'; nearest: gamma"),
        ({"config": {"gamma": 1.5}}, "gamma: .* less than or equal to 1, got 1.5"),
        ({"config": {"num_envs": "many"}}, "num_envs: .* valid integer"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"agent": "tests.agents.test_run:Stop"}, "lacks learn, act, state, Config"),
        ({"agent": "no.such:Agent"}, 'agent must be "module:Class"'),
    ],
)
def test_bad_input_says_what_was_expected(tmp_path, change, message):
    arguments = {"agent": "actor_critic", "env": env_id("Grid"), "steps": 100} | change
    with pytest.raises(ValueError, match=message):
        agents.train(arguments.pop("agent"), arguments.pop("env"), out=tmp_path / "x", **arguments)
    assert not (tmp_path / "x").exists(), "nothing was begun"


def test_checkpoints_hold_shared_tensors_and_optimisers(tmp_path):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], 0.1)
    weight.sum().backward()
    optimizer.step()
    shared = torch.arange(4.0)
    path = tmp_path / "x.safetensors"
    tensors = checkpoint.under("opt", checkpoint.optimizer_tensors(optimizer))
    checkpoint.save(path, tensors | {"a": shared, "b": shared[:2]}, {"n": 1})
    loaded, facts = checkpoint.load(path)
    assert facts == {"n": 1} and loaded["b"].tolist() == [0, 1]
    other = torch.optim.Adam([torch.nn.Parameter(weight.detach().clone())], 0.1)
    checkpoint.load_optimizer(other, checkpoint.part(loaded, "opt"))
    for each, param in ((optimizer, weight), (other, other.param_groups[0]["params"][0])):
        param.grad = torch.tensor([1.0, -2.0, 3.0])
        each.step()
    assert torch.equal(weight, other.param_groups[0]["params"][0])


def test_rows_and_checkpoints_come_at_fixed_steps():
    run = Run(seed=0, total=ROWS * 10)

    class Still:
        def state(self):
            return {}

    run.start(Still())
    while run.going():
        run.advance(5)
    assert [row["steps"] for row in run.curve] == [10 * k for k in range(1, ROWS + 1)]
    assert run.fraction == 1.0
