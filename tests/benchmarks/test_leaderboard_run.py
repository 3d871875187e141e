"""From a suite's file to submissions that are played again."""

import json
import re
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from PIL import Image

from agents import checkpoint
from benchmarks import apart, cells
from benchmarks.leaderboard import board, collect, film, suites, verify
from benchmarks.leaderboard.__main__ import main
from benchmarks.leaderboard.submission import POLICIES, read
from genenvs.core.files import sha256
from genenvs.core.registry import arguments_hash

ENV = "genenvs/VoxelStroke-v0"
TINY = f"""
environments: [{ENV}]
seeds: 3
steps: {{default: 64}}
episodes: {{default: 6}}
train_episodes: 4
instances: 20
"""


def here(planned, limits):
    """Plays cells in this process, which is quicker; processes have tests of their own."""
    for cell in planned:
        folder = Path(tempfile.mkdtemp(prefix="cells-"))
        if cell.seed == 2:
            yield cell, "ended with code 9"
            continue
        cells.main(json.dumps(asdict(cell)), str(folder))
        yield cell, folder


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A folder with submissions, and the suite that they are of; the third seed has failed."""
    base = tmp_path_factory.mktemp("board")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "FOLDER", base / "cells")
        path = base / "tiny.yaml"
        path.write_text(TINY)
        suite = suites.load(str(path))
        planned, left = suites.plan(suite, ["random", "actor_critic", "sac"])
        results = cells.run(planned, 1, suite.limits, here, quiet=True)
        written, lines = collect.collect(suite, planned, base / "tiny")
    return base, suite, planned, left, results, written, lines


@pytest.fixture
def copied(played, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(played[0] / "tiny", tmp_path / "tiny")
    return tmp_path / "tiny"


def test_everything_stands_in_the_submissions(played):
    base, _, planned, left, results, written, lines = played
    assert len(planned) == 4 and not lines and len(written) == 2
    assert [(each.agent, each.why.partition(",")[0]) for each in left] == [
        ("sac", "sac handles Box actions")
    ]
    entries, problems = board.load([base / "tiny"])
    assert not problems and [entry.state for entry in entries] == ["validated"] * 2
    learner, random = (entry.submission for entry in entries)
    assert [run.seed for run in learner.runs] == [0, 1]
    assert [(each.seed, each.why) for each in learner.failed] == [(2, "ended with code 9")]
    assert learner.training.instances == 20 and learner.runs[0].train_score.n == 4
    assert learner.config["gamma"] and learner.training.steps == 64
    assert set(learner.runs[0].metrics) >= {"length", "term/filled", "untouched_parts"}
    assert [run.weights.file is not None for run in learner.runs] == [True, False]
    assert random.training is None and random.runs[0].weights is None and len(random.runs) == 1
    assert "--seeds 3" in learner.command and str(base / "tiny.yaml") in learner.command
    assert sum("failed" in found for found in results) == 1


def test_what_was_played_is_not_played_again_and_what_failed_is(played, monkeypatch):
    base, suite, planned, *_ = played
    monkeypatch.setattr(cells, "FOLDER", base / "cells")
    again = []

    def count(missing, limits):
        again.extend(missing)
        yield from ((cell, "again") for cell in missing)

    cells.run(planned, 1, suite.limits, count, quiet=True)
    assert [(cell.agent, cell.seed) for cell in again] == [("actor_critic", 2)]
    planned[1].policy.rename(base / "away")
    try:  # half of what a killed run leaves
        cells.run(planned[:2], 1, suite.limits, count, quiet=True)
        assert again[1:] == [planned[1]]
    finally:
        (base / "away").rename(planned[1].policy)
        planned[1].failure.unlink()
    cells.keep(planned[3], "ended with code 9")


def test_what_is_not_played_yet_is_said_and_nothing_is_written(played, tmp_path, monkeypatch):
    _, suite, planned, *_ = played
    monkeypatch.setattr(cells, "FOLDER", tmp_path)
    written, lines = collect.collect(suite, planned, tmp_path / "out")
    assert not written and not (tmp_path / "out").exists()
    assert lines[1] == f"actor_critic on {ENV}: 0 of 3 seeds are played"


def in_this_process(path, seed, episodes, limits):
    out = Path(tempfile.mkdtemp()) / "found.json"
    verify.main(str(path), str(seed), str(episodes or 0), str(out))
    return json.loads(out.read_text())


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(verify, "replay", in_this_process)


@pytest.mark.parametrize("agent", ["actor_critic", "random"])
def test_an_honest_submission_is_verified_to_the_last_digit(copied, quick, agent):
    path = copied / agent / "VoxelStroke-v0.json"
    record = verify.verify(path, "a reader")
    assert record["passed"] and record["max_difference"] == 0 and record["seeds"] == [0]
    ((entry,), _) = board.load([path])
    assert entry.state == "verified" and entry.verification["who"] == "a reader"
    part = verify.spot_check(path, 0, 3)
    assert part.found == pytest.approx(part.stated, abs=1e-7) and part.ratio < 1


def spoil(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_score_that_was_made_up_is_found_out(copied, quick):
    path = copied / "actor_critic" / "VoxelStroke-v0.json"

    def better(content):
        for run in content["runs"]:
            run["paid"]["mean"] += 100.0

    spoil(path, better)
    record = verify.verify(path, "a reader")
    assert not record["passed"] and record["worst"].startswith("the return of seed 0")
    ((entry,), _) = board.load([path])
    assert entry.state == "reported" and "found something else" in entry.notes[0]


def swap_weights(path):
    """Put another policy in, with the right hash: the agent played worse than its file says."""
    run = read(path).runs[0]
    policy = path.parent / POLICIES / run.weights.file
    tensors, facts = checkpoint.load(policy)
    checkpoint.save(policy, {k: torch.randn_like(v) for k, v in tensors.items()}, facts)
    spoil(path, lambda content: content["runs"][0]["weights"].update(sha256=sha256(policy)))


def test_another_policy_is_found_out(copied, quick):
    path = copied / "actor_critic" / "VoxelStroke-v0.json"
    swap_weights(path)
    assert not verify.verify(path, "a reader")["passed"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["config"].update(gamma=0.123), "policy's config"),
        (lambda c: c["agent"].update(name="grpo"), "policy's agent"),
        (lambda c: c["protocol"].update(actions="stochastic"), "draws its actions"),
        (lambda c: c["software"].update(genenvs="0.0.1"), "another version"),
        (lambda c: [run["weights"].update(file=None) for run in c["runs"]], "no policy beside it"),
        (lambda c: c["summary"].update(seeds=7), "summary.seeds"),
    ],
)
def test_what_cannot_be_played_again_says_why(copied, quick, change, said):
    path = copied / "actor_critic" / "VoxelStroke-v0.json"
    spoil(path, change)
    with pytest.raises(ValueError, match=said):
        verify.verify(path, "a reader")
    assert not board.record_of(path).exists()


def of_seed_1(content):
    """The policy of seed 0, shown as that of another run."""
    first, second = content["runs"]
    second["weights"], first["weights"] = first["weights"], second["weights"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_seed_1, "policy's seed is 0; 1 is stated"),
        (lambda c: c["training"].update(instances=5), "policy's instances is 20; 5 is stated"),
        (lambda c: c["training"].update(steps=10**8), "policy's steps is .*; 100000000 is stated"),
    ],
)
def test_a_policy_of_another_run_is_not_played(copied, quick, change, said):
    path = copied / "actor_critic" / "VoxelStroke-v0.json"
    spoil(path, change)
    with pytest.raises(verify.Unplayable, match=said):
        verify.verify(path, "a reader")


def test_the_training_score_is_played_again(copied, quick):
    path = copied / "actor_critic" / "VoxelStroke-v0.json"
    spoil(path, lambda c: c["runs"][0]["train_score"].update(mean=0.99, std=0.0))
    record = verify.verify(path, "a reader")
    assert not record["passed"] and "the training score of seed 0" in record["worst"]


def test_a_part_is_compared_episode_by_episode(copied, quick):
    """Their mean is right where they are made up of each other."""
    path = copied / "random" / "VoxelStroke-v0.json"

    def turn(content):
        content["runs"][0]["episodes"][:3] = content["runs"][0]["episodes"][2::-1]

    assert verify.spot_check(path, 0, 3).ratio < 1
    spoil(path, turn)
    found = verify.spot_check(path, 0, 3)
    assert found.ratio > 1 and re.fullmatch("the score of episode [02] of seed 0", found.what)


def test_a_policy_that_names_code_is_not_loaded(copied, quick):
    path = copied / "actor_critic" / "VoxelStroke-v0.json"
    policy = path.parent / POLICIES / read(path).runs[0].weights.file
    tensors, facts = checkpoint.load(policy)
    checkpoint.save(policy, tensors, facts | {"agent": "os:system"})

    def name_it(content):
        weights = {"sha256": sha256(policy), "bytes": policy.stat().st_size}
        content["runs"][0]["weights"].update(weights)

    spoil(path, name_it)
    with pytest.raises(ValueError, match="names code"):
        verify.verify(path, "a reader")


@pytest.mark.parametrize("agent", ["actor_critic", "random"])
def test_the_first_episode_is_filmed(copied, monkeypatch, agent):
    path = copied / agent / "VoxelStroke-v0.json"
    monkeypatch.setattr(apart, "run", lambda command, *limits: film.main(*command[1:]))
    monkeypatch.setattr(film, "FRAMES", 3)  # drawing costs more than playing
    old = film.place(path, read(path)).with_name(f"{read(path).name}-{'0' * 16}.webp")
    old.parent.mkdir()
    old.touch()
    target = film.film(path)
    assert [*target.parent.iterdir()] == [target], "films of older policies are removed"
    with Image.open(target) as made:
        assert made.format == "WEBP" and 1 < made.n_frames <= 5 and max(made.size) <= film.SIDE
    assert len(board.load([copied])[0]) == 2, "a film is no submission"


def test_a_policy_that_is_kept_elsewhere_is_filmed_by_its_hash(copied, monkeypatch, tmp_path):
    path = copied / "actor_critic" / "VoxelStroke-v0.json"
    monkeypatch.setattr(apart, "run", lambda command, *limits: film.main(*command[1:]))
    monkeypatch.setattr(film, "FRAMES", 3)
    kept = film.place(path, read(path))
    away = tmp_path / "away"
    away.mkdir()
    for policy in (path.parent / "policies").iterdir():
        policy.rename(away / f"mine-{policy.name}")

    def let_go(content):
        for run in content["runs"]:
            run["weights"]["file"] = None
            run["episodes"] = None

    spoil(path, let_go)
    assert film.place(path, read(path)) == kept, "the policy is the same"
    with pytest.raises(verify.Unplayable, match="no policy beside it"):
        film.film(path)
    with pytest.raises(
        verify.Unplayable, match=r"no .safetensors file in .* has the hash of seed 0"
    ):
        film.film(path, policies=tmp_path)
    assert film.film(path, policies=away) == kept and kept.is_file()


def test_no_disk_loses_nothing(played, copied, monkeypatch, capsys):
    base, suite, planned, *_ = played
    monkeypatch.setattr(cells, "FOLDER", base / "cells")
    path = copied / "random" / "VoxelStroke-v0.json"
    before = path.read_bytes()

    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        collect.collect(suite, planned, copied)
    assert path.read_bytes() == before
    assert not [each for each in copied.rglob("*") if each.name.startswith(".")]


def test_no_disk_loses_no_verified_policy(played, copied, quick, monkeypatch, tmp_path):
    """Until the file of a learner that was played anew stands, the old one does, policy and all."""
    base, suite, planned, *_ = played
    path = copied / "actor_critic" / "VoxelStroke-v0.json"
    old = path.parent / POLICIES / "VoxelStroke-v0-0.safetensors"  # as they were named at first
    (path.parent / POLICIES / read(path).runs[0].weights.file).rename(old)
    spoil(path, lambda content: content["runs"][0]["weights"].update(file=old.name))
    verify.verify(path, "a reader")
    other = old.with_name("VoxelStroke26-v0-0.safetensors")  # another submission's
    other.write_bytes(b"weights")
    ((before,), _) = board.load([path])
    assert before.state == "verified"

    shutil.copytree(base / "cells", tmp_path / "cells")
    monkeypatch.setattr(cells, "FOLDER", tmp_path / "cells")
    learners = [cell for cell in planned if cell.agent == "actor_critic"]
    anew = learners[0]
    tensors, facts = checkpoint.load(anew.policy)
    checkpoint.save(anew.policy, {k: torch.randn_like(v) for k, v in tensors.items()}, facts)
    digest = sha256(anew.policy)
    spoil(anew.path, lambda content: content["weights"].update(sha256=digest))

    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            collect.collect(suite, learners, copied)
    assert board.load([path]) == ([before], []), "it stands, and is verified"

    collect.collect(suite, learners, copied)
    ((after,), problems) = board.load([path])
    new = f"VoxelStroke-v0-0-{digest[:12]}.safetensors"
    assert not problems and after.submission.runs[0].weights.file == new
    assert {each.name for each in old.parent.iterdir()} == {new, other.name}


def test_a_second_author_has_files_and_names_of_his_own(played, copied, monkeypatch, capsys):
    base, suite, planned, *_ = played
    monkeypatch.setattr(cells, "FOLDER", base / "cells")

    def everything():
        return {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}

    ours = everything()
    (random, learner), lines = collect.collect(suite, planned, copied, "Zoë B.")
    assert learner == copied / "actor_critic-zoe-b" / "VoxelStroke-v0.json"
    assert read(random).name == "tiny-random-zoe-b-VoxelStroke-v0"
    assert {path: everything()[path] for path in ours} == ours and not lines
    entries, problems = board.load([copied])
    assert len(entries) == 4 and not problems and entries[1].submission.author == "Zoë B."

    # Whose name would be written alike is told, and so are we in another's place.
    spoil(copied / "random" / "VoxelStroke-v0.json", lambda it: it.update(author="somebody"))
    theirs = everything()
    asked = ["--suite", str(base / "tiny.yaml"), "--agents", "random,actor_critic"]
    more = ["--out", str(copied), "--policies", "0"]
    assert main(["collect", *asked, *more, "--author", "zoe b"]) == 1
    assert (
        f"random on {ENV}: {random} is by 'Zoë B.': it is not replaced" in capsys.readouterr().out
    )
    assert everything() == theirs
    assert main(["collect", *asked, *more]) == 1
    assert "VoxelStroke-v0.json is by 'somebody': it is not" in capsys.readouterr().out
    changed = {
        path.parent.name for path, content in everything().items() if theirs[path] != content
    }
    assert changed == {"actor_critic"}, "our own is written anew"
    assert collect.place(copied, "ppo", ENV, "王").parent.name.startswith("ppo-")


def test_scores_of_more_seeds_are_not_lost_unasked(played, copied, quick, monkeypatch, capsys):
    base, *_ = played
    monkeypatch.setattr(cells, "FOLDER", base / "cells")
    path = copied / "actor_critic" / "VoxelStroke-v0.json"
    verify.verify(path, "a reader")
    verified = board.load([path])
    asked = ["--suite", str(base / "tiny.yaml"), "--agents", "actor_critic", "--out", str(copied)]

    def collected(*more):
        code = main(["collect", *asked, *more])
        return code, [run.seed for run in read(path).runs]

    assert collected("--seeds", "1") == (1, [0, 1])
    said = f"{path} has scores of 2 seeds, the new one of 1: it is not replaced without --replace"
    assert said in capsys.readouterr().out
    assert board.load([path]) == verified, "policy, record and all"
    assert collected("--seeds", "1", "--replace") == (0, [0])
    assert collected("--seeds", "2") == (0, [0, 1]), "step by step"
    assert collected() == (0, [0, 1]), "the third has failed: there are as many scores"


def test_what_no_submission_could_hold_is_told_before_anything_is_played(
    played, tmp_path, monkeypatch
):
    base, *_ = played
    monkeypatch.setattr(cells, "FOLDER", tmp_path)
    monkeypatch.setattr(cells, "run", lambda *arguments: pytest.fail("played"))
    long = tmp_path / f"{'a' * 90}.yaml"
    long.write_text(TINY)
    for suite, author, said in (
        (base / "tiny.yaml", "x" * 301, f"random on {ENV}: author: .* at most 300 characters"),
        (base / "tiny.yaml", "\x1b[2J", "author: .* no control characters"),
        (long, "me", "name: .* pattern"),
    ):
        with pytest.raises(ValueError, match=said):
            main(["run", "--suite", str(suite), "--agents", "random", "--author", author])


def test_policies_are_counted_from_none(capsys):
    with pytest.raises(SystemExit):
        main(["collect", "--suite", "smoke", "--agents", "random", "--policies", "-1"])
    assert "must be a whole number of at least 0; got '-1'" in capsys.readouterr().err


def test_the_command_tells_what_failed_and_what_is_missing(played, monkeypatch, capsys, tmp_path):
    base, *_ = played
    monkeypatch.setattr(cells, "FOLDER", base / "cells")
    monkeypatch.setattr(cells, "locally", lambda jobs: here)
    asked = ["--suite", str(base / "tiny.yaml"), "--agents", "random,actor_critic", "--out"]
    assert main(["run", *asked, str(tmp_path / "a"), "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "4 runs of tiny, 3 of them known" in said
    assert f"failed: actor_critic on {ENV}, seed 2: ended with code 9" in said
    assert main(["run", *asked, str(tmp_path / "b"), "--dry-run"]) == 0
    assert not (tmp_path / "b").exists()
    assert main(["collect", *asked, str(tmp_path / "c")]) == 0
    spoil(tmp_path / "c" / "random" / "VoxelStroke-v0.json", lambda it: it.update(author="you"))
    alone = [*asked[:2], "--agents", "random", "--out", str(tmp_path / "c"), "--quiet"]
    assert main(["run", *alone]) == 1, "it was played, but not written"
    assert "is by 'you': it is not replaced" in capsys.readouterr().out


def test_no_two_agents_write_one_file(tmp_path):
    agents = ["a.b:C", "a:b.C", "ppo"]
    assert len({collect.place(tmp_path, agent, ENV).parent.name for agent in agents}) == 3


def test_a_thin_curve_has_the_same_episodes_and_mean():
    curve = [[100 * k, float(k), 1 + k % 3] for k in range(1, 101)]
    rows = collect.thinned(curve, 7)
    assert len(rows) == 7 and rows[-1]["steps"] == 10_000
    assert sum(row["episodes"] for row in rows) == sum(row[2] for row in curve)
    mean = sum(row["mean_return"] * row["episodes"] for row in rows)
    assert mean == pytest.approx(sum(row[1] * row[2] for row in curve), rel=1e-4)
    assert collect.thinned([]) == [] and len(collect.thinned(curve[:3])) == 3


def test_verify_gives_a_run_as_long_as_is_asked(tmp_path, monkeypatch, capsys):
    asked = []

    def verified(path, who, seed, limits):
        asked.append(limits.seconds)
        raise ValueError("not now")

    monkeypatch.setattr(verify, "verify", verified)
    (tmp_path / "any.json").write_text("{}")
    assert main(["verify", str(tmp_path / "any.json"), "--limit", "7"]) == 1
    assert asked == [7] and "not played: not now" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_from_the_first_run_to_the_page(tmp_path, monkeypatch, capsys):
    """Nothing is replaced here: cells, and the verification, are played in processes."""
    monkeypatch.setattr(cells, "FOLDER", tmp_path / "cells")
    out, env = tmp_path / "smoke", "genenvs/DenoiseSchedule-v0"
    asked = ["--suite", "smoke", "--agents", "random,reference,reinforce", "--environments", env,
             "--seeds", "1", "--out", str(out)]  # fmt: skip

    def say(*arguments, code=0):
        assert main([*arguments]) == code
        return capsys.readouterr().out

    assert "3 runs of smoke, 0 of them known" in say("run", *asked, "--jobs", "2", "--quiet")
    paths = [out / agent / "DenoiseSchedule-v0.json" for agent in ("random", "reference")]
    learner = out / "reinforce" / "DenoiseSchedule-v0.json"
    written = learner.read_bytes()
    assert "3 submissions in" in say("collect", *asked) and learner.read_bytes() == written
    assert "3 runs of smoke, 3 of them known" in say("run", *asked, "--dry-run")
    assert f"{paths[0]}: validated\n" in say("validate", str(out))
    said = say("verify", str(out), "--who", "a reader")
    assert said.count(": verified; largest difference of a score 0;") == 3
    said = say("validate", str(out))
    assert all(f"{path}: verified, 1 of 1 seeds\n" in said for path in paths)
    assert f"{learner}: reported; its seeds are 0; those of the suite smoke are 0, 1" in said
    assert "3 submissions on the board" in say("report", str(out), "--out", str(tmp_path / "site"))
    table = json.loads((tmp_path / "site" / "board.json").read_text())
    found = {row["agent"]: row for row in table["results"]}
    assert found["random"]["state"] == "verified" and found["random"]["gold"]["mean"] == 0
    assert found["reinforce"]["in_aggregates"] is False and not table["refused"]


# --- suites ---


def test_core_has_every_environment_and_names_who_stands_in(monkeypatch):
    monkeypatch.setattr(suites, "unsuited", lambda agent, env: None)
    core = suites.load("core")
    planned, left = suites.plan(core, ["ppo", "random"])
    assert {cell.env for cell in planned} == set(suites.genenvs.ids())
    assert len(planned) == len(core.environments) * (5 + 1)
    who = {cell.agent for cell in planned if cell.env == "genenvs/RoomLayout-v0"}
    assert who == {"maskable_ppo", "random"}
    assert "ppo knows no mask; maskable_ppo plays in its place" in {each.why for each in left}
    both, _ = suites.plan(core, ["ppo", "maskable_ppo"], 1, ["genenvs/RoomLayout-v0"])
    assert [cell.agent for cell in both] == ["maskable_ppo"]
    assert core.steps_of("genenvs/PrimitiveModelDepth-v0") == 49_152
    assert core.steps_of("genenvs/PrimitiveModel-v0") == 65_536


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sedes: 3", "no field 'sedes'; nearest: seeds"),
        ("seeds: 0", "greater than or equal to 1"),
        ("steps: {Room: 5}", "must have an entry `default`"),
        ("environments: [genenvs/No-v0]\nsteps: {default: 1}\nepisodes: {default: 1}", "No-v0"),
        ("- a", "must hold a mapping"),
        ("limits: {secs: 3}", "secs"),
    ],
)
def test_a_wrong_suite_is_told(tmp_path, text, said):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        suites.load(str(path))


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match="no suite 'cor'; there are core, full, smoke"):
        suites.load("cor")
    with pytest.raises(ValueError, match="no agent 'pppo'"):
        suites.plan(suites.load("smoke"), ["pppo"])
    with pytest.raises(ValueError, match="has no environment 'genenvs/Dance-v0'"):
        suites.plan(suites.load("smoke"), ["random"], None, ["genenvs/Dance-v0"])


# --- processes ---


def test_a_program_ends_with_who_started_it(tmp_path):
    import subprocess
    import sys
    import time

    import psutil

    starter = (
        "import sys; from benchmarks import apart;"
        f"apart.run(['tests.benchmarks.sleeper', {str(tmp_path / 'pid')!r}], 100)"
    )
    process = subprocess.Popen([sys.executable, "-c", starter], cwd=apart.ROOT)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    child = psutil.Process(int((tmp_path / "pid").read_text()))
    process.kill()
    process.wait()
    child.wait(60)  # raises where it lives on


def test_who_was_killed_is_not_said_to_have_failed_of_a_warning():
    def play(line):
        apart.run(["timeit", "-n1", "-r1", f"import os, sys; {line}; os.kill(os.getpid(), 9)"], 60)

    with pytest.raises(apart.Failed, match=r"^ended by signal 9 \(Killed\)$"):
        play("pass")
    with pytest.raises(apart.Failed, match=r"^ended by signal 9 .*; the last .*: Warning: old$"):
        play(r"print('Warning: old', file=sys.stderr)")


def test_a_spread_that_was_made_up_allows_nothing(copied, quick):
    path = copied / "random" / "VoxelStroke-v0.json"

    def wide(content):
        for run in content["runs"]:
            run["paid"]["std"] = 1e9
            run["paid"]["mean"] += 1.0

    spoil(path, wide)
    record = verify.verify(path, "a reader")
    assert not record["passed"] and "the return" in record["worst"]


def test_nothing_of_a_submission_is_executed(copied):
    path = copied / "random" / "VoxelStroke-v0.json"

    def foreign(content):
        env = content["environment"]
        env["arguments"] = {"targets": "somebody.s:module"}
        env["arguments_hash"] = arguments_hash(env["id"], env["arguments"])
        for run in content["runs"]:
            run["normalised"] = None
        content["summary"]["normalised"] = None

    spoil(path, foreign)
    for play in (verify.verify, lambda path, who: film.film(path)):
        with pytest.raises(ValueError, match="code, files and downloads are not played"):
            play(path, "a reader")


def test_an_environment_that_is_named_twice_is_played_once():
    suite = suites.load("smoke")
    env = suite.environments[0]
    once, _ = suites.plan(suite, ["random"], environments=[env])
    twice, _ = suites.plan(suite, ["random"], environments=[env, env])
    assert twice == once


def test_where_there_is_nothing_to_check_it_is_said(tmp_path, capsys):
    assert main(["validate", str(tmp_path)]) == 1
    assert "no submission" in capsys.readouterr().out
