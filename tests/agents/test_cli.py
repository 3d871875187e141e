"""`python -m agents`, as a user types it."""

import csv
import json
import subprocess
import sys

import gymnasium as gym
import pytest
import torch

from agents import cli, configs, evaluation, grading, training
from agents.cli import guarded
from agents.problem import Problem
from agents.registry import BUILT_IN, find
from tests.agents.problems import env_id
from tests.repository.project import ROOT

GRID = env_id("Grid")
QUICK = ["--steps", "400", "--num-envs", "4", "--episodes", "16", "--quiet", "--no-tensorboard"]


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(training, "draw", lambda *arguments: None)


def train(out, *more, env=GRID, agent="actor_critic"):
    return guarded(["train", "--agent", agent, "--env", env, "--out", str(out), *QUICK, *more])


def test_train_evaluates_and_shows_a_table(tmp_path, capsys):
    assert train(tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert "actor_critic on" in said and "16 episodes of the validation split" in said
    record = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert record["count"] == 16 and record["split"] == "validation" and len(record["sha256"]) == 64


def test_evaluate_plays_the_episodes_that_were_asked_for(tmp_path, capsys):
    train(tmp_path / "run")
    seeds = tmp_path / "seeds.txt"
    seeds.write_text("7  # lucky\n\n8\n")
    path = tmp_path / "found.json"
    words = ["--episodes", "5", "--seeds", str(seeds), "--json", str(path), "--split", "train"]
    assert guarded(["evaluate", str(tmp_path / "run"), *words]) == 0
    found = json.loads(path.read_text())
    assert found["count"] == 10 and found["split"] == "train"
    # A list of seeds is those seeds one after the other.
    trained = training.load(tmp_path / "run")
    both = evaluation.score(trained, episodes=5, split="train", seeds=[7, 8]).evaluation
    parts = [evaluation.score(trained, episodes=5, split="train", seeds=[s]).evaluation
             for s in (7, 8)]  # fmt: skip
    assert both.episodes["return"].tolist() == [
        value for part in parts for value in part.episodes["return"]
    ]
    assert both.episodes["seed"].tolist() == [7] * 5 + [8] * 5


def test_a_film_is_of_the_episodes_that_were_scored(tmp_path):
    from PIL import Image

    assert train(tmp_path / "run", "--video") == 0
    trained = training.load(tmp_path / "run")
    found = evaluation.score(trained, episodes=16, split="validation").evaluation
    order = found.episodes["return"].argsort(kind="stable")
    for name, place in (("best", order[-1]), ("median", order[8]), ("worst", order[0])):
        with Image.open(tmp_path / f"run/episodes/{name}.gif") as film:
            frames = evaluation.frames(
                trained.problem, lambda envs: evaluation.Policy(trained.agent),
                int(found.episodes["seed"][place]),
                int(found.episodes["episode_index"][place]), "validation",
            )  # fmt: skip
            assert len(frames) == found.episodes["length"][place] + 1
            assert film.n_frames <= len(frames)  # equal frames are merged


def test_a_yaml_file_goes_before_defaults_and_flags_before_it(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("gamma: 0.5\nlearning_rate: 1e-3\nhidden: [32, 16]\n")
    arguments = ["--agent", "actor_critic", "--env", GRID, "--out", "x", "--config", str(path)]
    _, config, _ = cli.parse_train([*arguments, "--gamma", "0.25"])
    assert config.gamma == 0.25 and config.learning_rate == 0.001 and config.hidden == (32, 16)
    assert config.gae_lambda == 1.0


def test_arguments_of_the_environment_reach_it(tmp_path):
    assert train(tmp_path / "run", "--arg", "horizon=3") == 0
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["arguments"] == {"horizon": 3}
    found = evaluation.score(training.load(tmp_path / "run"), episodes=32).evaluation
    assert found.episodes["length"].max() <= 3


def test_resume_takes_from_the_run_what_the_command_leaves_out(tmp_path, capsys):
    train(tmp_path / "run", "--seed", "5", "--gamma", "0.5", "--arg", "horizon=3")
    before = (tmp_path / "run/curve.csv").read_text()
    words = ["--out", str(tmp_path / "run"), "--resume", "--quiet", "--episodes", "0"]
    assert guarded(["train", *words]) == 0
    assert (tmp_path / "run/curve.csv").read_text() == before
    assert guarded(["train", *words, "--gamma", "0.75", "--seed", "6"]) == 2
    said = capsys.readouterr().err
    assert "config.gamma: 0.5 -> 0.75" in said and "seed: 5 -> 6" in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["trian"], 2, "did you mean train?"),
        (["train", "--agent", "pppo", "--env", GRID, "--out", "x"], 2, "nearest: ppo"),
        (["train", "--agent", "grpo", "--env", "CartPole-v9", "--out", "x"], 2, "CartPole-v1"),
        (["train", "--agent", "grpo", "--env", GRID, "--out", "x", "--gama", "1"], 2, "--gamma"),
        (["train", "--env", GRID, "--out", "x"], 2, "--agent"),
        (["train", "--agent", "grpo", "--env", GRID, "--out", "x", "--gamma", "2"], 2, "got 2.0"),
        (
            ["train", "--agent", "grpo", "--env", GRID, "--out", "x", "--arg", "size"],
            2,
            "key=value",
        ),
        (["train", "--agent", "grpo", "--env", GRID, "--out", "x", "--arg", "sise=3"], 2, "'sise'"),
        (["train", "--agent", "grpo", "--env", GRID, "--out", "x", "--config", "no"], 2, "YAML"),
        (
            ["train", "--agent", "grpo", "--env", GRID, "--out", "x", "--arg", "num_envs=3"],
            2,
            "num_envs: set by the agent",
        ),
        (
            ["train", "--agent", "grpo", "--env", GRID, "--out", "x", "--device", "cuda"],
            2,
            "no CUDA device",
        ),
        (["train", "--agent", "grpo", "--env", GRID, "--out", "x", "--hidden", "0"], 2, "hidden"),
        (
            ["train", "--agent", "grpo", "--env", GRID, "--out", "x", "--episodes", "-1"],
            2,
            "episodes",
        ),
        (["evaluate", "a", "b", "--json", "x.json"], 2, "--json is of one folder"),
        (["evaluate", "a", "--csv", "nowhere/x.csv"], 2, "there is no folder"),
        (["evaluate"], 2, "name at least one folder"),
        (["evaluate", "nowhere"], 2, "nowhere holds no run"),
        (["list", "more"], 2, "unrecognized arguments: more"),
    ],
)
def test_mistakes_are_told_in_words(words, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        found = guarded(words)
    except SystemExit as stop:  # tyro and argparse end the program themselves
        found = stop.code
    said = capsys.readouterr()
    assert found == code and message in said.err + said.out
    assert not (tmp_path / "x").exists()


def test_help_shows_the_flags_of_the_agent(capsys):
    with pytest.raises(SystemExit) as stop:
        guarded(["train", "--agent", "grpo", "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "--group-size" in said and "--kl-coef" in said and "--steps" in said


def test_list_names_every_agent_and_what_it_handles(capsys):
    assert guarded(["list"]) == 0
    said = capsys.readouterr().out
    for name in BUILT_IN:
        assert name in said and find(name).spaces in said


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_tuned_entry_is_a_configuration(name):
    path = configs.TUNED / f"{name}.yaml"
    table = configs.read_yaml(path) if path.exists() else {}
    for env in table:
        made = configs.make(find(name).Config, configs.tuned(name, env), f"{path}: {env}")
        assert isinstance(made, find(name).Config)


@pytest.mark.parametrize("name", ["ddpo", "flow_grpo", "denoiser_ppo"])
def test_what_was_tuned_for_a_generator_is_not_for_yours(name):
    env, usual = "genenvs/DenoiseLatent-v0", find(name).Config().learning_rate
    sprites = configs.tuned(name, env)
    assert sprites["learning_rate"] > usual
    assert configs.tuned(name, env, {"generator": "sprites", "reward": "brightness"}) == sprites
    assert "learning_rate" not in configs.tuned(name, env, {"generator": "/my/sd"})
    command = ["--agent", name, "--env", env, "--out", "nowhere"]
    for given in (["--arg", "generator=/my/sd"], ["--arg=horizon=4", "--arg=generator=/my/sd"]):
        _, config, arguments = cli.parse_train([*command, *given])
        assert config.learning_rate == usual and arguments["generator"] == "/my/sd"
    _, config, _ = cli.parse_train([*command, "--arg", "horizon=4"])
    assert config.learning_rate == sprites["learning_rate"]


def test_the_module_runs_and_stops_at_ctrl_c_without_a_traceback(tmp_path):
    import signal
    import time

    from tests.needs import hear_ctrl_c

    command = [sys.executable, "-m", "agents", "train", "--agent", "actor_critic", "--env",
               "CartPole-v1", "--steps", "10000000", "--out", str(tmp_path / "run")]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c
    )
    while not (tmp_path / "run/run.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "agents: stopped" in said and "Traceback" not in said


def test_python_agents_without_m_says_how(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "agents"], capture_output=True, text=True)
    assert done.returncode == 1 and "python -m agents" in done.stderr


# --- grading ---


def test_many_folders_are_graded_one_process_each(tmp_path, capsys):
    for name, seed in (("good", "0"), ("also good", "1")):
        guarded(["train", "--agent", "actor_critic", "--env", "CartPole-v1", "--seed", seed,
                 "--out", str(tmp_path / name), *QUICK])  # fmt: skip
    for name in ("empty", "broken", "code", "=danger"):
        (tmp_path / name).mkdir()
    record = json.loads((tmp_path / "good/run.json").read_text())
    (tmp_path / "broken/run.json").write_text("{")
    (tmp_path / "code/run.json").write_text(json.dumps(record | {"agent": "evil:Agent"}))
    (tmp_path / "code/evil.py").write_text("open('/tmp/evil', 'w')")
    names = ["good", "also good", "empty", "broken", "code", "=danger", "missing"]
    table = tmp_path / "grades.csv"
    code = guarded(
        ["evaluate", *(str(tmp_path / name) for name in names), "--csv", str(table),
         "--episodes", "4", "--timeout", "120", "--jobs", "2", "--quiet"]
    )  # fmt: skip
    assert code == 1, "some failed"
    rows = list(csv.DictReader(table.open()))
    assert [row["status"] for row in rows] == ["graded"] * 2 + ["failed"] * 5
    assert rows[0]["episodes"] == "4" and float(rows[0]["low"]) <= float(rows[0]["mean"])
    reasons = [row["reason"] for row in rows]
    assert "holds no run" in reasons[2] and "is no JSON" in reasons[3]
    assert "names files of its own (evil:Agent); --trust-code uses them" in reasons[4]


def test_a_folder_that_takes_too_long_has_failed(tmp_path):
    guarded(["train", "--agent", "actor_critic", "--env", "CartPole-v1",
             "--out", str(tmp_path / "run"), *QUICK])  # fmt: skip
    table = tmp_path / "grades.csv"
    words = ["--csv", str(table), "--timeout", "0.2", "--quiet"]
    assert guarded(["evaluate", str(tmp_path / "run"), *words]) == 1
    (row,) = csv.DictReader(table.open())
    assert row["status"] == "failed" and row["reason"] == "took longer than 0.2 s"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("agent", "mine:Agent"),
        ("env", "mine:Env-v0"),
        ("config", {"network": "mine:Net"}),
        ("arguments", {"reward_weights": {"x": "mine:reward"}}),
        ("arguments", {"rewards": ["mine:reward"]}),
        # No colon is needed for a module to be imported, or a model to be downloaded.
        ("config", {"network": "tests.agents.unfriendly"}),
        ("arguments", {"task": "tests.agents.unfriendly"}),
        ("arguments", {"generator": "somebody/model"}),
    ],
)
def test_whatever_names_code_needs_trust(where, value, tmp_path):
    train(tmp_path / "run")
    path = tmp_path / "run/run.json"
    record = json.loads(path.read_text())
    record[where] = record[where] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="brings code or names files of its own"):
        training.load(tmp_path / "run")
    assert "tests.agents.unfriendly" not in sys.modules


@pytest.mark.parametrize("name", ["tests.agents.unfriendly", ":x", "x:", ""])
def test_a_name_that_is_none_imports_nothing(name):
    from agents.networks import load_class
    from genenvs.core.loading import load_task

    for load in (lambda: load_class(name, "network"), lambda: load_task(name)):
        with pytest.raises(ValueError, match="module:Class"):
            load()
    assert "tests.agents.unfriendly" not in sys.modules


def test_two_folders_that_bring_modules_of_one_name_bring_their_own(tmp_path, monkeypatch):
    source = (ROOT / "docs/examples/cross_entropy.py").read_text()
    for name, mark in (("one", 1), ("two", 2)):
        folder = tmp_path / f"source-{name}"
        folder.mkdir()
        (folder / "mine.py").write_text(f"{source}\n\nCrossEntropy.mark = {mark}\n")
        monkeypatch.syspath_prepend(str(folder))
        sys.modules.pop("mine", None)
        found = training.train(
            "mine:CrossEntropy", "CartPole-v1", steps=400, out=tmp_path / name,
            config={"population": 4, "elite": 2},
        )  # fmt: skip
        assert found.agent.mark == mark
        monkeypatch.undo()
        monkeypatch.setattr(training, "draw", lambda *arguments: None)
    sys.modules.pop("mine", None)
    before = list(sys.path)
    marks = [training.load(tmp_path / n, trust_code=True).agent.mark for n in ("one", "two")]
    assert marks == [1, 2] and sys.path == before and "mine" not in sys.modules


def test_hostile_text_does_not_break_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("[bold]a", "b"):
        (tmp_path / name).mkdir()
        record = {"agent": "[/x]", "config": {}, "env": "CartPole-v1", "arguments": {}, "seed": 0}
        (tmp_path / name / "run.json").write_text(json.dumps(record))
    assert guarded(["evaluate", "[bold]a", "b", "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "[bold]a" in said and "[/x]" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "must hold a table"),
        ('{"agent": ["a"]}', "must have 'agent' as str"),
        ('{"agent": "a2c", "config": {}, "env": 7}', "must have 'env' as str; got 7"),
    ],
)
def test_a_record_of_other_kinds_is_refused_in_words(content, message, tmp_path):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        training.load(tmp_path)


def test_layers_that_the_checkpoint_does_not_hold_take_no_memory(tmp_path):
    train(tmp_path / "run")
    path = tmp_path / "run/run.json"
    record = json.loads(path.read_text())
    record["config"]["hidden"] = [1_000_000, 1_000_000]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="does not hold the layers"):
        training.load(tmp_path / "run")


def test_ctrl_c_ends_grading_and_everything_it_started(tmp_path):
    import signal
    import time

    import psutil

    from tests.needs import hear_ctrl_c

    train(tmp_path / "run", env="CartPole-v1")
    command = [sys.executable, "-m", "agents", "evaluate", str(tmp_path / "run"),
               "--episodes", "1000000", "--timeout", "500", "--quiet"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c
    )
    children = []
    while not children:
        assert process.poll() is None
        children = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in said
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_a_text_that_a_spreadsheet_would_run_is_disarmed(tmp_path):
    from agents import grading

    grading.write_csv(tmp_path / "x.csv", [{"folder": "=cmd()", "status": "failed"}])
    assert "'=cmd()" in (tmp_path / "x.csv").read_text()


def test_a_folder_can_be_scored_on_another_id(tmp_path):
    train(tmp_path / "run", "--arg", "horizon=3")
    loaded = training.load(tmp_path / "run", env=GRID)
    assert loaded.problem.arguments == {}
    with pytest.raises(ValueError, match="the checkpoint does not fit"):
        training.load(tmp_path / "run", env=env_id("Walk"))


def test_a_folder_is_scored_on_the_device_that_is_asked_for(tmp_path, monkeypatch, capsys):
    train(tmp_path / "run")
    words = ["evaluate", str(tmp_path / "run"), "--episodes", "2", "--quiet"]
    if not torch.cuda.is_available():
        assert guarded([*words, "--device", "cuda"]) == 2
        assert "PyTorch finds no CUDA device here" in capsys.readouterr().err
    seen = []
    plain = Problem.make

    def make(problem, *given, **more):
        seen.append(problem.device)
        return plain(problem, *given, **more)

    monkeypatch.setattr(Problem, "make", make)
    monkeypatch.setattr(Problem, "check_device", lambda problem: seen.append(problem.device))
    assert guarded([*words, "--device", "cpu:0"]) == 0
    assert len(seen) >= 2 and set(seen) == {"cpu:0"}
    assert training.load(tmp_path / "run").problem.device == "cpu"
    graded = []
    monkeypatch.setattr(grading, "grade", lambda folders, words, *more: graded.append(words) or [])
    assert guarded([*words, "--device", "cuda:1", "--csv", str(tmp_path / "x.csv")]) == 0
    (passed,) = graded
    assert passed[passed.index("--device") + 1] == "cuda:1"


def test_spaces_are_looked_at_where_a_native_environment_will_live(monkeypatch):
    seen = []
    plain = gym.make
    monkeypatch.setattr(gym, "make", lambda name, **given: seen.append(given) or plain(name))
    for name, given in ((GRID, {"device": "cpu:0"}), ("CartPole-v1", {})):
        seen.clear()
        Problem(name, device="cpu:0").spaces  # noqa: B018
        assert seen == [given]


def test_seeds_are_read_or_refused(tmp_path):
    path = tmp_path / "seeds"
    for text, message in (
        ("1\nx\n", ":2 must be a whole number"),
        ("# none\n", "must hold seeds"),
        ("1\n1\n", "1 of them different"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            evaluation.read_seeds(path)
