"""a3c: its update, its learning, and that its processes end however they are ended."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import clip_grad_norm_, parameters_to_vector

from agents import checkpoint, load, train
from agents.a3c import A3C, Config, Job, Shared, play
from agents.actor_critic import a2c_loss
from agents.fleet import WorkerError
from agents.networks import ActorCritic
from agents.play import Player
from agents.problem import Problem
from agents.run import Diverged, seed_everything
from tests.needs import MACHINE, hear_ctrl_c, import_or_skip, needs_device
from tests.repository.project import ROOT

CUE = "tests.agents.unruly:Cue-v0"
FAST = {"learning_rate": 3e-3, "hidden": (32,)}
ALONE = FAST | {"workers": 1}
posix = pytest.mark.skipif(os.name == "nt", reason=f"{MACHINE}POSIX signals")


class Told:
    """A `Line` without a process behind it."""

    index, start = 0, 0
    stop = torch.zeros(1, dtype=torch.bool)

    def __init__(self) -> None:
        self.messages: list = []

    def send(self, message) -> None:
        self.messages.append(message)


def job(total: int, env: str = CUE, **fields) -> Job:
    problem, config = Problem(env), Config(**(FAST | fields))
    torch.manual_seed(0)
    model = ActorCritic(*problem.spaces, config)
    return Job(problem, config, model, Shared.of(model, None, 1), total)


def seeds_in(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.iterdir()}


# --- the algorithm ---


def test_one_worker_takes_the_steps_of_pytorchs_rmsprop():
    given = job(total=400)
    model = ActorCritic(*given.problem.spaces, given.config)
    model.load_state_dict(given.model.state_dict())
    play(given, Told())

    optimizer = torch.optim.RMSprop(model.parameters(), 3e-3, alpha=0.99, eps=1e-5)
    seed_everything(given.problem.env_seed(), 0)
    player = Player(given.problem, given.config.num_envs)
    player.begin(0)
    for _ in range(10):  # 400 steps of 8 rows x 5
        loss, _ = a2c_loss(model, player.collect(model, 5), given.config)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    weights = parameters_to_vector(model.parameters()).detach()
    assert torch.allclose(given.shared.weights, weights, atol=1e-6)
    assert (weights - parameters_to_vector(given.model.parameters())).abs().max() > 1e-3
    squares = [optimizer.state[p]["square_avg"] for p in model.parameters()]
    assert torch.allclose(given.shared.squares, parameters_to_vector(squares), atol=1e-9)


def test_the_learning_rate_follows_the_steps_of_all_workers(monkeypatch):
    given = job(total=400, anneal=True)
    rates = []
    monkeypatch.setattr(Shared, "descend", lambda self, gradient, rate, *_: rates.append(rate))
    given.shared.steps[0] = 200  # others were there before
    play(given, Told())
    assert rates == pytest.approx([3e-3 * (1 - steps / 400) for steps in range(200, 400, 40)])


def test_nan_is_told_and_changes_no_weight():
    given, line = job(total=10**6, env="tests.agents.unruly:Poisons-v0"), Told()
    play(given, line)
    assert np.isnan(line.messages[-1].losses["value_loss"])
    assert given.shared.weights.isfinite().all() and given.shared.squares.isfinite().all()
    assert given.shared.steps.sum() == 35 * 8  # the seven rollouts of 5 steps before the 40th


def test_a_stop_is_obeyed_before_the_next_rollout():
    given, line = job(total=10**6), Told()
    line.stop = torch.ones(1, dtype=torch.bool)
    play(given, line)
    assert given.shared.steps.sum() == 0


# --- processes ---


def test_two_workers_learn_what_the_masks_allow(tmp_path):
    trained = train("a3c", CUE, steps=12_000, config=FAST, out=tmp_path, seed=1)
    played = [row for row in trained.curve if "return" in row]
    assert played[-1]["return"] > 7  # of 8; chance is 8 / 3
    assert 12_000 <= trained.steps < 12_000 + 2 * 8 * 5  # each worker may be within a rollout
    assert sum(row["episodes"] for row in played) > 0.9 * 12_000 / 8  # those of both were told
    assert {"policy_loss", "value_loss", "entropy", "grad_norm"} <= set(trained.curve[-1])
    cues = torch.eye(4)
    assert trained.agent.act(cues, {}).tolist() == [0, 1, 2, 3]
    assert load(tmp_path, trust_code=True).agent.act(cues, {}).tolist() == [0, 1, 2, 3]
    assert multiprocessing.active_children() == []


@posix
def test_a_killed_worker_is_named_and_replaced_by_one_with_episodes_of_its_own(tmp_path):
    killed = []

    def kill_once(row) -> None:
        if not killed and len(seeds_in(tmp_path)) == 2 * 8:  # both have begun
            (victim,) = [p for p in multiprocessing.active_children() if p.name == "a3c worker 1"]
            os.kill(victim.pid, signal.SIGKILL)
            killed.append(victim.pid)

    with pytest.warns(RuntimeWarning, match="started again") as caught:
        trained = train(
            "a3c", CUE, steps=80_000, arguments={"folder": str(tmp_path)}, on_row=kill_once
        )
    assert [str(w.message) for w in caught if w.category is RuntimeWarning] == [
        f"a3c worker 1 (pid {killed[0]}) was killed by SIGKILL; started again (1 of 3 times)"
    ]
    assert trained.steps >= 80_000
    assert len(seeds_in(tmp_path)) == 3 * 8  # the environment refuses a seed that it had before


@posix
def test_without_restarts_a_death_ends_the_run_and_names_the_worker():
    def kill(row) -> None:
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"a3c worker 0 \(pid \d+\) was killed by SIGKILL"):
        train("a3c", CUE, steps=200_000, config=ALONE | {"restarts": 0}, on_row=kill)
    assert multiprocessing.active_children() == []


def test_an_exception_comes_to_the_parent_with_its_traceback():
    with pytest.raises(WorkerError) as caught:
        train("a3c", "tests.agents.unruly:Fails-v0", steps=200_000, config=ALONE)
    first, *rest = str(caught.value).splitlines()
    assert first.startswith("a3c worker 0 (pid ") and first.endswith(
        "failed: OSError: the kiln is cold"
    )
    assert any("unruly.py" in line for line in rest)
    assert multiprocessing.active_children() == []


def test_nan_ends_the_run_with_its_state_saved(tmp_path):
    with pytest.raises(Diverged, match="became nan"):
        train("a3c", "tests.agents.unruly:Poisons-v0", steps=200_000, config=ALONE, out=tmp_path)
    tensors, facts = checkpoint.load(tmp_path / "diverged.safetensors")
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert facts["value"] == "nan" and multiprocessing.active_children() == []


def test_a_resumed_run_goes_on_from_weights_averages_and_steps(tmp_path):
    folder, seeds = tmp_path / "run", tmp_path / "seeds"
    seeds.mkdir()
    given = {"steps": 8_000, "arguments": {"folder": str(seeds)}, "out": folder, "config": ALONE}

    def stop(row) -> None:
        if row["steps"] > 5_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("a3c", CUE, on_row=stop, **given)
    assert multiprocessing.active_children() == []
    tensors, facts = checkpoint.load(folder / checkpoint.NAME)
    assert 0 < facts["steps"] < 8_000
    problem = Problem(CUE)
    agent = A3C(problem, Config(**ALONE), checkpoint.part(tensors, "agent"))
    assert torch.equal(agent.shared.squares, tensors["agent.squares"])
    weights = parameters_to_vector(agent.model.parameters())
    assert torch.equal(agent.shared.weights, weights) and agent.shared.squares.max() > 0

    trained = train("a3c", CUE, resume=True, **given)
    assert 8_000 <= trained.steps < 8_040
    steps = [row["steps"] for row in trained.curve]
    assert steps == sorted(set(steps)) and facts["steps"] in steps
    assert len(seeds_in(seeds)) == 2 * 8  # again episodes of their own


# --- how programs end ---

PROGRAM = """
import sys
from agents import train

def say(row):
    print("row", flush=True)

if __name__ == "__main__":
    print("begin", flush=True)
    try:
        train(
            "a3c", sys.argv[1], steps=400_000, on_row=say,
            arguments={"folder": sys.argv[2]}, config={"workers": int(sys.argv[3])},
        )
    except KeyboardInterrupt:
        sys.exit(130)
"""


def begin(program: str, env: str, folder: Path, workers: int = 1) -> subprocess.Popen:
    (folder / "program.py").write_text(program)
    (folder / "seeds").mkdir()
    return subprocess.Popen(
        [sys.executable, str(folder / "program.py"), env, str(folder / "seeds"), str(workers)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, preexec_fn=hear_ctrl_c,
    )  # fmt: skip


def family(process: subprocess.Popen, workers: int = 1) -> list:
    """The processes below one, once they are there: the workers, and Python's tracker."""
    psutil = import_or_skip("psutil", extra="benchmarks")
    parent, until = psutil.Process(process.pid), time.monotonic() + 60
    while len(found := parent.children(recursive=True)) <= workers and time.monotonic() < until:
        time.sleep(0.01)
    assert len(found) == workers + 1
    return found


def seconds_until_gone(processes: list) -> float:
    psutil = import_or_skip("psutil", extra="benchmarks")
    started = time.monotonic()
    _, alive = psutil.wait_procs(processes, timeout=20)
    for process in alive:
        process.kill()
    assert not alive, f"orphans: {alive}"
    return time.monotonic() - started


def wait_for(what, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.02)
    assert what()


@posix
@pytest.mark.parametrize(
    ("moment", "workers", "group"),
    [("importing", 1, True), ("playing", 2, True), ("hanging", 1, False)],
)
def test_ctrl_c_ends_all_processes_quietly(moment, workers, group, tmp_path):
    env = "tests.agents.unruly:Hangs-v0" if moment == "hanging" else CUE
    process = begin(PROGRAM, env, tmp_path, workers)
    assert process.stdout.readline() == "begin\n"
    children = family(process, workers)
    if moment == "importing":
        time.sleep(0.5)  # PyTorch takes longer
    elif moment == "playing":
        assert process.stdout.readline() == "row\n"
    elif moment == "hanging":
        wait_for((tmp_path / "seeds" / "hangs").exists)
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    assert seconds_until_gone(children) < 5  # 1 for who stops of itself, 1 for who does not
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and errors == ""


@posix
def test_workers_end_when_their_parent_is_killed_even_within_a_step(tmp_path):
    process = begin(PROGRAM, "tests.agents.unruly:Hangs-v0", tmp_path)
    children = family(process)
    wait_for((tmp_path / "seeds" / "hangs").exists)
    process.kill()
    assert seconds_until_gone(children) < 10
    process.communicate()


@posix
def test_a_script_that_starts_workers_while_they_import_it_is_told_so(tmp_path):
    config = ALONE | {"restarts": 0}
    program = f"from agents import train\ntrain('a3c', '{CUE}', steps=1000, config={config})\n"
    process = begin(program, CUE, tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'must do so under `if __name__ == "__main__":`' in errors.splitlines()[-1]


@pytest.mark.slow
def test_cartpole_is_learned():
    trained = train("a3c", "CartPole-v1", steps=100_000, seed=3)
    later = [row for row in trained.curve if row["steps"] > 20_000 and row["episodes"]]
    episodes = sum(row["episodes"] for row in later)
    assert sum(row["return"] * row["episodes"] for row in later) / episodes > 100  # chance: 22


@needs_device("cuda")
def test_workers_compute_on_the_gpu():
    trained = train("a3c", CUE, steps=8_000, config=FAST, device="cuda")
    assert trained.steps >= 8_000 and trained.agent.model.v[0].weight.is_cuda
    assert [row for row in trained.curve if "return" in row][-1]["return"] > 4
