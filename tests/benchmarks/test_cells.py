"""Training runs of the benchmarks: each in its own process, once."""

import hashlib
import json
import math
import shutil
import tempfile
import threading

import pytest

import genenvs
from benchmarks import cells, classic, learning
from benchmarks.cells import Cell
from benchmarks.leaderboard import suites

TINY = Cell("reinforce", "CartPole-v1", 0, 300, 4, {"num_envs": 4, "n_steps": 16, "hidden": [4]})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "FOLDER", tmp_path)
    return tmp_path


def test_a_cell_is_played_once_and_failures_are_told(folder):
    wrong = Cell("reinforce", "CartPol-v1", 0, 300, 4)
    first = cells.run([TINY, wrong], 2, 120)
    assert first[0]["mean"] >= 8 and first[0]["cpu_seconds"] > 0 and first[0]["curve"]
    assert "CartPole-v1" in first[1]["failed"], "the nearest id is named"
    before = TINY.path.stat().st_mtime_ns
    assert cells.run([TINY], 1, 120) == first[:1]
    assert TINY.path.stat().st_mtime_ns == before
    assert sorted(path.suffix for path in folder.iterdir()) == [".failed", ".json"]
    TINY.path.write_text(TINY.path.read_text()[:-20])
    assert cells.result(TINY)["failed"] == "not played", "half a result is none"


EMPTY = dict.fromkeys(cells.WHOLE)


def test_a_cell_whose_policy_is_cut_short_or_another_is_played_again():
    cell = Cell("reinforce", "CartPole-v1", 0, 300, 4, keep=True)
    weights = {"sha256": hashlib.sha256(b"weights").hexdigest(), "bytes": 7}
    cell.path.write_text(json.dumps(EMPTY | {"seed": 0, "weights": weights}))
    for content, there in ((b"weights", True), (b"wei", False), (b"WEIGHTS", False)):
        cell.policy.write_bytes(content)
        assert (cells.known(cell) is not None) == there
    cell.policy.unlink()
    assert cells.known(cell) is None
    halves = ({"weights": 3}, {"weights": {"bytes": 7}}, {"weights": None})
    for text in (
        "[]",
        "{}",
        *map(json.dumps, halves),
        *(json.dumps(EMPTY | h) for h in halves[:2]),
    ):
        cell.path.write_text(text)
        assert cells.known(cell) is None


@pytest.mark.parametrize(
    ("agent", "env", "later"),
    [
        (
            "flow_grpo", "genenvs/DenoiseLatent-v0",
            {"advantages": "sum", "step_weight": 0.0, "prioritise": 0.0},
        ),
        ("grpo", "CartPole-v1", {"supervision": "outcome", "batch_size": None}),
    ],
)  # fmt: skip
def test_what_came_later_renames_nothing_that_is_as_it_was(agent, env, later):
    changed = {"advantages": "each"} if agent == "flow_grpo" else {"batch_size": 64}
    usual, other = (Cell(agent, env, 0, 300, 4, config) for config in (later, later | changed))
    settings = usual.whole_config()
    known = [name for name in cells.LATER_IN_CONFIGS if name in settings]
    assert {name: settings.pop(name) for name in known} == later
    text = json.dumps([genenvs.__version__, {
        "agent": agent, "env": env, "seed": 0, "steps": 300, "episodes": 4, "config": settings,
    }], sort_keys=True)  # fmt: skip
    assert usual.name.endswith(hashlib.sha256(text.encode()).hexdigest()[:12])
    assert usual.name != other.name


def test_no_disk_loses_nothing(folder, monkeypatch, capsys):
    """What was played waits elsewhere for room, while the others go on and are kept."""
    (folder / "elsewhere").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "elsewhere"))
    monkeypatch.setattr(cells, "FOLDER", folder / "cells")
    planned = [Cell("reinforce", "CartPole-v1", seed, 300, 4, keep=True) for seed in range(3)]
    weights = {"sha256": hashlib.sha256(b"weights").hexdigest(), "bytes": 7}
    full = threading.Event()

    def play(cell, limits, left):
        if cell.seed == 0:  # seed 1 finds no room while this one is at work
            assert full.wait(60) and not cells.apart.stopped.wait(0.2)
        (left / cells.POLICY).write_bytes(b"weights")
        found = EMPTY | {"seed": cell.seed, "weights": weights}
        (left / cells.RESULT).write_text(json.dumps(found))

    copy = shutil.copyfile

    def no_room(source, target):
        if source.name == cells.RESULT and json.loads(source.read_text())["seed"] == 1:
            target.write_text("{")
            full.set()
            raise OSError(28, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr(cells, "play_apart", play)
    monkeypatch.setattr(cells.shutil, "copyfile", no_room)
    with pytest.raises(OSError, match="No space left") as told:
        cells.run(planned, 2, 60, quiet=True)
    known = [cells.known(cell) and cells.known(cell)["seed"] for cell in planned]
    assert known == [0, None, 2], "the others were played to their end and kept"
    assert not list((folder / "cells").glob(".*")), "nothing is left half-written"
    waiting = cells.held(planned[1])
    assert f"keeps, 1, wait in {waiting.parent}" in str(told.value)
    assert sorted(path.name for path in waiting.iterdir()) == [cells.POLICY, cells.RESULT]
    assert "seed 1: [Errno 28] No space left" in capsys.readouterr().err, "at once"

    monkeypatch.setattr(cells, "play_apart", lambda *arguments: pytest.fail("played again"))
    with pytest.raises(OSError, match="No space left"):  # and still none
        cells.run(planned, 2, 60, quiet=True)
    assert len(list(waiting.iterdir())) == 2
    monkeypatch.setattr(cells.shutil, "copyfile", copy)
    assert [found["seed"] for found in cells.run(planned, 2, 60, quiet=True)] == [0, 1, 2]
    assert planned[1].policy.read_bytes() == b"weights" and not waiting.exists()


@pytest.mark.parametrize("spoil", ["half of it", "a link", "somebody's"])
def test_what_waits_and_is_not_ours_is_played_instead(folder, monkeypatch, spoil):
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    cell = Cell("reinforce", "CartPole-v1", 0, 300, 4, keep=True)
    place = cells.held(cell)
    place.mkdir(parents=True)
    for name in cells.RESULT, cells.POLICY:
        (place / name).write_text(json.dumps(EMPTY | {"seed": 7}))
    if spoil == "half of it":
        (place / cells.POLICY).unlink()
    elif spoil == "a link":
        place.symlink_to(place.rename(folder / "away"))
    else:
        monkeypatch.setattr(cells, "USER", cells.USER + 1)
        place.parent.rename(cells.held(cell).parent)
    cells.run([cell], 1, 60, lambda missing, limits: ((c, "was played") for c in missing), True)
    assert cells.result(cell)["failed"] == "was played"


def test_a_cell_that_cannot_be_started_has_failed_and_the_others_are_kept(monkeypatch):
    planned = [Cell("reinforce", "CartPole-v1", seed, 300, 4) for seed in range(3)]
    errors = {1: OSError(24, "Too many open files"), 2: OSError(28, "No space left on device")}

    def play(cell, limits, left):
        if cell.seed in errors:
            raise errors[cell.seed]
        (left / cells.RESULT).write_text(json.dumps(EMPTY | {"seed": cell.seed}))

    monkeypatch.setattr(cells, "play_apart", play)
    found = cells.run(planned, 1, 60, quiet=True)
    assert found[0] == cells.known(planned[0]) and found[0]["seed"] == 0
    assert [each["failed"] for each in found[1:]] == [str(error) for error in errors.values()]
    assert all(cell.failure.is_file() for cell in planned[1:])


def test_a_cell_that_takes_too_much_has_failed():
    (found,) = cells.run([TINY], 1, cells.Limits(120, 0.01))
    assert found["failed"].startswith("took more than 0.01 GB of memory")
    (found,) = cells.run([TINY], 1, 0.1)
    assert found["failed"] == "took longer than 0.1 s" and not TINY.path.exists()


def test_whatever_decides_a_cell_is_in_its_name():
    paths = {TINY.path}
    for change in ({"seed": 1}, {"steps": 400}, {"config": {}}, {"episodes": 5}):
        paths.add(Cell(**(vars(TINY) | change)).path)
    assert len(paths) == 5


def test_students_interval_by_hand():
    found = cells.across_seeds([1.0, 2.0, 3.0])
    # t(0.975, 2) = 4.302653; standard error 1 / sqrt 3
    assert found.mean == 2.0 and found.high == pytest.approx(2 + 4.302653 / math.sqrt(3))
    assert math.isnan(cells.across_seeds([1.0]).low)


def test_the_classics_are_the_same_setting_for_all_three():
    from agents import configs
    from agents.registry import find

    words = {theirs: ours for ours, theirs in classic.THEIRS.items()}
    for env, (_, shared) in classic.ENVS.items():
        seen = {}
        for cell in classic.grid():
            if cell.env == env:
                made = configs.make(find(cell.agent).Config, cell.config)
                seen[cell.agent] = {words.get(k, k): v for k, v in cell.config.items()}
                assert made.hidden == (64, 64) and made.max_grad_norm == 0.5
                assert made.gae_lambda == 1.0 and not made.normalize_advantage
        assert seen == dict.fromkeys(classic.AGENTS, shared)


def test_a_cell_below_random_is_told():
    env = "genenvs/DenoiseSchedule-v0"
    rows = [
        {"env": env, "agent": agent, "mean": mean, "cpu_seconds": 1.0, "sample": {"n": 9}}
        for agent, means in {"good": (-0.12, -0.13, -0.12), "bad": (-0.26, -0.27, -0.2)}.items()
        for mean in means
    ]
    table = learning.summarise(rows)[env]["agents"]
    assert table["good"]["above_random"] and not table["bad"]["above_random"]
    assert table["good"]["mean"] > 0.8 and table["good"]["episodes"] == 9


def test_the_learning_matrix_is_of_the_cells_that_core_plays():
    env = "genenvs/ShotAttributes-v0"
    core = suites.plan(suites.load("core"), ["ppo"], environments=[env])[0]
    assert [cell.name for cell in learning.grid([env], ["ppo"])] == [cell.name for cell in core[:3]]
