"""What stands on the board, what is refused, and that each refusal has a name."""

import copy
import hashlib
import io
import json
import math
import os
import re
import sys
from pathlib import Path

import gymnasium as gym
import pytest

import genenvs
from benchmarks.leaderboard import board, validate, verify
from benchmarks.leaderboard.__main__ import main
from benchmarks.leaderboard.collect import RESULTS
from benchmarks.leaderboard.submission import POLICIES, Submission
from genenvs.core.registry import declaration, scores

from .leaderboard_examples import ENV, POLICY, table


@pytest.fixture
def put(tmp_path):
    """Writes a submission's table, changed at some places, and gives its path."""

    def write(file="a.json", content=None, **changes):
        content = copy.deepcopy(table() if content is None else content)
        for place, value in changes.items():
            *outer, last = (int(p) if p.isdecimal() else p for p in place.split("__"))
            inner = content
            for part in outer:
                inner = inner[part]
            inner[last] = value
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    return write


def checked(path):
    return validate.check(Submission.model_validate(json.loads(path.read_text())), path)


def test_an_honest_submission_is_validated(put, tmp_path):
    put("ppo.json")
    put("random.json", table("random", levels=(0.0,)))
    entries, problems = board.load([tmp_path])
    assert [entry.state for entry in entries] == ["validated", "validated"] and not problems


REFUSED = {
    "an unknown id": ({"environment__id": "genenvs/DenoiseShedule-v0"}, "nearest.*DenoiseSchedule"),
    "another score": ({"environment__score": "accuracy"}, "the score of .* is 'objective'"),
    "another hash": ({"environment__arguments_hash": "0" * 16}, "have the hash"),
    "an argument that there is not": ({"environment__arguments": {"horizn": 3}}, "hash"),
    "code for a task": ({"environment__arguments": {"task": "evil:Task"}}, "task cannot be set"),
    "one instance of the split": ({"environment__arguments": {"instances": 1}}, "instances cannot"),
    "a score that cannot be": ({"runs__0__score__mean": 0.5}, "must lie in -inf .. 0"),
    "a score on training instances that cannot be": (
        {"runs__0__train_score": {"mean": 0.5, "std": 0.1, "n": 8}},
        "train score must lie",
    ),
    "a score normalised otherwise": ({"runs__0__normalised": 0.99}, "normalised is given as 0.99"),
    "no normalised score": ({"runs__0__normalised": None}, "normalised is given as None"),
    "another summary": ({"summary__score": -0.1}, "summary.score is given as -0.1"),
    "another normalised summary": ({"summary__normalised": 2.0}, "summary.normalised"),
    "more seeds than runs": ({"summary__seeds": 5}, "summary.seeds is given as 5"),
    "a seed twice": ({"runs__1__seed": 0}, r"once; got \[0, 0\]"),
    "a seed that failed and did not": ({"failed": [{"seed": 0, "why": "x"}]}, "once"),
    "one policy for two seeds": ({"runs__1__weights__sha256": f"{0:064x}"}, "the same weights"),
    "more episodes than were played": ({"runs__0__score__n": 65}, "has 65 episodes"),
    "fewer episodes than were played": ({"runs__0__paid__n": 8}, "8 episodes were paid"),
    "episodes of another mean": ({"runs__0__episodes": [-0.1] * 64}, "score.mean is given"),
    "too few episodes": ({"runs__0__episodes": [-0.1] * 3}, "score.n is given as 64"),
    "a curve that runs backwards": ({"runs__0__curve__3__steps": 1}, "steps must rise"),
    "a curve that goes on when training is over": (
        {"training__steps": 100},
        "the curve goes on at 3,686 of 100 steps",
    ),
    "a metric that there is not": (
        {"runs__0__metrics": {"beauty": {"mean": 1.0, "std": 0.0, "n": 64}}},
        "no metric 'beauty'",
    ),
    "a score of few episodes": ({"runs__0__score__n": 1}, "1 episodes have a score, the protocol"),
    "an episode that cannot be": (
        {"runs__0__episodes": [table()["runs"][0]["score"]["mean"]] * 62 + [-0.9, 0.5]},
        "seed 0: episodes must lie in -inf .. 0; got 0.5",
    ),
    "a day that never was": ({"date": "2026-02-30"}, "date: Value error"),
    "a day before all others": ({"date": "0000-00-00"}, "date: .*pattern"),
    "a policy that is not there": ({"runs__0__weights__file": "p.safetensors"}, "no policy p"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_cannot_be_true_is_named(put, case):
    changes, said = REFUSED[case]
    good = put("good.json", name="other")
    (entry,), (problem,) = board.load([good, put("z.json", **changes)])
    assert entry.submission.name == "other", "the rest of the board stands"
    assert re.search(said, problem.why), problem.why


def test_a_spread_that_values_in_a_range_cannot_have_is_refused(put):
    env = "genenvs/VoxelStroke-v0"
    path = put("a.json", table(env=env), runs__0__score__std=0.9)
    assert any("can spread by" in error for error in checked(path).errors)
    assert not checked(put("b.json", table(env=env), runs__0__score__std=0.4)).errors


def of_episodes(count):
    """Changes that make a submission one that was scored on so many."""
    runs = table()["runs"]
    for run in runs:
        for sample in (run["score"], run["paid"], *run["metrics"].values()):
            sample["n"] = count
    return {"runs": runs, "protocol__episodes": count}


REPORTED = {
    "of an older version": ({"environment__id": "genenvs/DenoiseSchedule-v99"}, "another version"),
    "a gold metric left out": ({"runs__0__metrics": {}}, "seed 0 does not say"),
    "of other episodes": ({"protocol__env_seeds": [12345]}, "episodes are of seed 12345"),
    "trained on the test split": ({"training__split": "test"}, "trained on the split 'test'"),
    "trained for longer than its suite says": (
        {"training__steps": 10**9},
        "with 1,000,000,000 steps; the suite smoke has 4,096",
    ),
    "trained on fewer instances": ({"training__instances": 5}, "5 instances; the suite smoke has"),
    "not in its suite": (
        {"environment__id": "genenvs/DenoiseScheduleDPM-v0"},
        "the suite smoke has no environment",
    ),
    "of a seed that was chosen": ({"runs__1__seed": 12345}, "its seeds are 0, 12345; those of"),
    "of fewer seeds": (
        {"runs": table(levels=(0.8,))["runs"], "summary": table(levels=(0.8,))["summary"]},
        "its seeds are 0; those of the suite smoke are 0, 1",
    ),
    "of more seeds": (
        {"failed": [{"seed": 2, "why": "x"}]},
        "its seeds are 0, 1, 2; those of the suite smoke are 0, 1",
    ),
    "of a script that was played twice": (
        {"agent": "random"},
        "its seeds are 0, 1; those of the suite smoke are 0",
    ),
    "of fewer episodes": (
        of_episodes(2),
        "on 2 episodes; the suite smoke has 64",
    ),
    "of fewer episodes than the split has": (
        of_episodes(64) | {"suite": "core"},
        "on 64 episodes; the suite core has 2,048",
    ),
    "without a training score": (
        {"runs__1__train_score": None},
        "training score is of 0, 32 episodes; that of the suite smoke is of 32",
    ),
    "of a training score of few episodes": (
        {"runs__0__train_score__n": 1},
        "training score is of 1, 32 episodes",
    ),
    "of a gold metric of few episodes": (
        {"runs__1__metrics__accuracy__n": 1},
        "seed 1: accuracy of fewer than 64 episodes",
    ),
    "of another package": ({"software__genenvs": "0.0.1"}, "of genenvs 0.0.1"),
    "from tomorrow": ({"date": "2999-01-01"}, "is to come"),
    "without weights": ({"runs__0__weights": None}, "seed 0 has no weights"),
    "of a script that nobody knows": (
        {"agent": "random", "agent__name": "superpolicy"},
        "of scripts random, reference are known here",
    ),
    "of drawn actions": ({"protocol__actions": "stochastic"}, "actions are of kind 'stochastic'"),
    "of the best moment": ({"protocol__checkpoint": "best"}, "checkpoint are of kind 'best'"),
    "with half of its configuration": (
        {"config": {"gamma": 1.0}},
        "its configuration does not say anneal",
    ),
}


@pytest.mark.parametrize("case", REPORTED, ids=str)
def test_what_cannot_be_compared_is_reported(put, case):
    changes, said = dict(REPORTED[case][0]), REPORTED[case][1]
    env, agent = changes.get("environment__id", ENV), changes.pop("agent", "ppo")
    content = table(agent, env if env in genenvs.ids() else ENV)
    (entry,), problems = board.load([put(content=content, **changes)])
    assert not problems and entry.state == "reported" and said in " ".join(entry.notes)


def test_another_split_has_no_normalised_score(put):
    changes = {f"runs__{k}__normalised": None for k in (0, 1)} | {"summary__normalised": None}
    (entry,), _ = board.load([put(protocol__split="validation", **changes)])
    assert entry.state == "reported"
    assert "must be null" in checked(put(protocol__split="validation")).errors[0]


def weights(content, name):
    return {
        "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "file": name,
    }  # fmt: skip


def test_a_policy_must_be_the_one_that_was_submitted(put, tmp_path):
    (tmp_path / POLICIES).mkdir()
    policy = tmp_path / POLICIES / "p-0.safetensors"
    policy.write_bytes(POLICY)
    path = put(runs__0__weights=weights(POLICY, policy.name))
    assert not checked(path).errors
    policy.write_bytes(POLICY[:-1] + b"1")
    assert "does not match its hash" in checked(path).errors[0]
    policy.write_bytes(POLICY + b"more")
    assert f"{len(POLICY) + 4} bytes, {len(POLICY)} are stated" in checked(path).errors[0]
    policy.write_bytes(b"weights")
    path = put(runs__0__weights=weights(b"weights", policy.name))
    assert "p-0.safetensors is no safetensors file" in checked(path).errors[0]
    policy.unlink()
    policy.symlink_to("/etc/hostname")
    assert "is a link" in checked(path).errors[0]


def test_of_two_of_a_name_the_first_stands_and_both_are_named(put, tmp_path):
    put("a.json")
    put("b.json")
    (entry,), (problem,) = board.load([tmp_path])
    assert entry.path.name == "a.json" and problem.path.name == "b.json"
    assert "a.json has the same name, 'ppo-DenoiseSchedule-v0'" in problem.why


def test_nobody_takes_the_place_of_one_that_is_known_better(kept, put, tmp_path):
    """Whatever folder it stands in, in whatever order folders are named, and however old it is."""
    verified = kept(file="ours/z.json", date="2026-03-03")
    board.record_of(verified).write_text(json.dumps(record(verified)))
    told = put("a/a.json", date="2026-01-01", training__instances=5)  # only reported
    young, old = put("a/b.json", date="2026-02-02"), put("b/c.json", date="2026-01-02")
    same = put("b/d.json", date="2026-01-02", name="PPO-DenoiseSchedule-v0")

    def stands(*places):
        (entry,), problems = board.load(places)
        refused = {each.path for each in problems}
        assert all(f"{entry.path} has the same name" in each.why for each in problems)
        return entry.path, entry.state, refused

    a, b, ours = tmp_path / "a", tmp_path / "b", tmp_path / "ours"
    for places in ((tmp_path,), (a, ours, b), (ours, b, a)):
        assert stands(*places) == (verified, "verified", {told, young, old, same})
    assert stands(a, b) == stands(b, a) == (old, "validated", {told, young, same})
    assert stands(told) == (told, "reported", set())
    _, problems = board.load([a, ours])
    assert "and stands: it is verified, of 2026-03-03" in problems[0].why


def test_who_dates_his_file_back_takes_nobody_s_name(put):
    name = "smoke-ppo-DenoiseSchedule-v0"
    ours = put("ppo/DenoiseSchedule-v0.json", name=name, date="2026-03-03")
    forged = put("a/a.json", name=name, date="1999-01-01")
    (entry,), (problem,) = board.load([forged.parent, ours.parent])
    assert entry.path == ours and problem.path == forged


def test_odd_files_are_named_and_nothing_waits_for_them(put, tmp_path):
    put("good.json", name="good")
    put("CAPITALS.JSON", name="capitals")
    os.mkfifo(tmp_path / "pipe.json")
    entries, problems = board.load([tmp_path])
    assert {entry.submission.name for entry in entries} == {"good", "capitals"}
    assert [problem.why for problem in problems] == ["pipe.json is no file"]


def test_what_a_killed_run_leaves_is_no_submission(put, tmp_path):
    good = put("a.json")
    (tmp_path / ".a-x2k1.json").write_text(good.read_text()[:100])  # of a file that was replaced
    (tmp_path / POLICIES).mkdir()
    (tmp_path / POLICIES / "x.json").write_text("{")
    (tmp_path / "half.json").write_text(good.read_text()[:-50])
    (tmp_path / "empty.json").write_text("")
    entries, problems = board.load([tmp_path])
    assert [entry.path.name for entry in entries] == ["a.json"]
    assert [problem.path.name for problem in problems] == ["empty.json", "half.json"]
    assert all("cut short" in problem.why for problem in problems)


def test_a_file_that_cannot_be_read_is_named(put, tmp_path):
    put("a.json")
    (tmp_path / "b.json").symlink_to(tmp_path / "nowhere.json")
    (tmp_path / "c.json").mkdir()
    entries, problems = board.load([tmp_path])
    assert len(entries) == 1 and [p.path.name for p in problems] == ["b.json", "c.json"]


def test_a_folder_that_cannot_be_read_is_named(put, tmp_path, monkeypatch):
    """Whatever its name is, for there may be submissions in it."""
    put("a.json")
    secret = put("secret/b.json", name="b").parent

    def deny(look):
        def looked(place):
            if Path(place) == secret:
                raise PermissionError(13, "Permission denied", str(place))
            return look(place)

        return looked

    for look in ("scandir", "listdir"):  # root may read everything: no mode would stop it
        monkeypatch.setattr(os, look, deny(getattr(os, look)))
    entries, (problem,) = board.load([tmp_path])
    assert [entry.path.name for entry in entries] == ["a.json"]
    assert problem.path == secret and problem.why == f"[Errno 13] Permission denied: '{secret}'"


# Within what JSON can be read with, and beyond what a page could print.
DEEP = json.loads("[" * 900 + "]" * 900)


def record(path, **changes):
    return {
        "who": "somebody", "date": "2026-11-21", "commit": "0" * 40, "seeds": [0], "episodes": 64,
        "submission": hashlib.sha256(path.read_bytes()).hexdigest(),
        "max_difference": 0.0, "tolerance": 0.05, "worst": "nothing", "passed": True,
    } | changes  # fmt: skip


@pytest.fixture
def kept(put):
    """A submission with the policy of its first seed beside it; the second is known by its hash."""
    name = "a-0.safetensors"

    def write(file="a.json", **changes):
        path = put(file, runs__0__weights=weights(POLICY, name), **changes)
        (path.parent / POLICIES).mkdir(exist_ok=True)
        (path.parent / POLICIES / name).write_bytes(POLICY)
        return path

    return write


def test_a_verified_submission_is_so_until_it_is_changed(kept):
    path = kept()
    board.record_of(path).write_text(json.dumps(record(path)))
    ((entry,), _) = board.load([path.parent])
    assert entry.state == "verified" and entry.verification["who"] == "somebody"
    assert entry.verified_seeds == [0] and len(entry.submission.runs) == 2
    kept(notes="better than it was")
    ((entry,), _) = board.load([path.parent])
    assert entry.state == "validated" and "changed since" in entry.notes[0]
    assert entry.verified_seeds == []


UNFOUNDED = {
    "of no run": ({"seeds": []}, "no run was played"),
    "of a run that there is not": ({"seeds": [0, 7]}, "not all have a policy here"),
    "of a run whose policy nobody has": ({"seeds": [1]}, "not all have a policy here"),
    "of one run twice": ({"seeds": [0, 0]}, "a seed counts once"),
    "of fewer episodes": ({"episodes": 1}, "of 1 episodes; there are 64"),
    "that allows anything": ({"tolerance": 9.0}, "9 of a spread were allowed"),
    "of no number": ({"max_difference": math.nan}, "no number"),
}


@pytest.mark.parametrize("case", UNFOUNDED, ids=str)
def test_a_record_of_what_cannot_have_been_played_does_not_count(kept, case):
    changes, said = UNFOUNDED[case]
    path = kept()
    board.record_of(path).write_text(json.dumps(record(path, **changes)))
    ((entry,), problems) = board.load([path.parent])
    assert not problems and entry.state == "validated" and entry.verification is None
    assert said in entry.notes[0]


def test_the_record_of_another_submission_does_not_count(kept, put, tmp_path):
    mine, other = kept(), put("b.json", table("random", levels=(0.0,)))
    board.record_of(mine).write_text(json.dumps(record(other)))
    assert [entry.state for entry in board.load([tmp_path])[0]] == ["validated"] * 2


def test_links_in_a_folder_are_named_and_not_followed(kept, put, tmp_path):
    path, away = kept(), tmp_path.parent / f"{tmp_path.name}-away"
    away.mkdir()
    put("ppo.json", name="ppo").rename(away / "ppo.json")
    (away / "record.json").write_text(json.dumps(record(path)))
    (tmp_path / "b.json").symlink_to(away / "ppo.json")
    (tmp_path / "folder").symlink_to(away)
    board.record_of(path).symlink_to(away / "record.json")
    entries, problems = board.load([tmp_path])
    assert [(entry.path.name, entry.state) for entry in entries] == [("a.json", "validated")]
    assert [p.path.name for p in problems] == ["a.verified.json", "b.json", "folder"]
    assert all("links are not followed" in problem.why for problem in problems)
    with pytest.raises(ValueError, match="is a link"):
        verify.verify(tmp_path / "b.json", "a reader")
    (tmp_path / POLICIES).rename(away / POLICIES)
    (tmp_path / POLICIES).symlink_to(away / POLICIES)
    _, problems = board.load([tmp_path])
    named = {problem.path.name: problem.why for problem in problems}
    assert "the folder policies is a link" in named["a.json"] and POLICIES in named


@pytest.mark.parametrize(
    ("content", "state", "said"),
    [
        ({"passed": False, "worst": "too good"}, "reported", "too good"),
        ({"max_difference": "none"}, "validated", "no record"),
        ({"seeds": [False]}, "validated", "no record"),
        ({"seeds": DEEP}, "validated", "no record"),
        ({"more": DEEP}, "validated", "no record"),
        ("{", "validated", "no record"),
        ("[" * 100_000, "validated", "no record"),
        ({"who": "\ud800"}, "validated", "no record"),
    ],
    ids=["another result", "of the wrong kind", "of no seed", "of nested seeds", "of nested more",
         "half", "nested", "of what no page shows"],
)  # fmt: skip
def test_a_record_counts_for_what_it_says(kept, content, state, said):
    path = kept()
    text = content if isinstance(content, str) else json.dumps(record(path, **content))
    board.record_of(path).write_text(text)
    ((entry,), problems) = board.load([path.parent])
    assert not problems and entry.state == state and said in " ".join(entry.notes)


def test_the_page_says_what_there_is_and_what_is_not(put, tmp_path):
    from docs import leaderboard_results

    assert leaderboard_results.section(tmp_path) == (
        "There is no result of `core`, `full` and `smoke` yet."
    )
    (tmp_path / RESULTS).mkdir(parents=True)
    for name, content in (("a", table()), ("b", table("random", levels=(0.0,)))):
        put(f"{name}.json", content).rename(tmp_path / RESULTS / f"{name}.json")
    path = tmp_path / RESULTS / "b.json"
    board.record_of(path).write_text(json.dumps(record(path)))
    (tmp_path / RESULTS / "half.json").write_text("{")
    text = leaderboard_results.section(tmp_path)
    assert "| `smoke` | `ppo` | the genenvs authors | 1 | 2 | 0 | 0 | 0 of 2 |  |" in text
    assert (
        "| `smoke` | `random` | the genenvs authors | 1 | 1 | 0 | 0 | 1 of 1 | somebody |" in text
    )
    assert "run --suite smoke --agents ppo,random\n" in text
    assert "no result of `core` and `full` yet" in text and "Refused: `half.json`." in text


def test_the_command_says_all_of_it(put, capsys):
    good, bad = put("a.json"), put("b.json", name="b", summary__seeds=9)
    assert main(["validate", str(good)]) == 0
    assert main(["validate", str(good), str(bad)]) == 1
    said = capsys.readouterr().out
    assert f"{good}: validated" in said and f"{bad}: refused: summary.seeds" in said
    with pytest.raises(ValueError, match="there is no"):
        main(["validate", "nowhere.json"])


def test_what_others_wrote_stays_within_its_line(put, tmp_path, capsys):
    names = [os.fsdecode(b"a\xff.json"), "b\x1b[2K.json", "c\nz.json: verified.json"]
    for name in names:
        put(name, software__genenvs="0\nother.json: verified", name=f"n{names.index(name)}")
    put("d.json", **{"\x1b[2J\n": 1})
    assert main(["validate", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.isprintable() for line in lines)
    for line, name in zip(lines, (r"a\udcff.json", r"b\x1b[2K.json", r"c\nz.json"), strict=False):
        assert line.startswith(f"{tmp_path}/{name}") and r"0\nother.json: verified" in line
    assert r"d.json: refused: " in lines[3] and r"\x1b[2J\n: Extra" in lines[3]


def test_what_the_output_has_no_letter_for_is_said_all_the_same(put, tmp_path, monkeypatch):
    put("é.json")
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, "ascii", write_through=True))
    assert main(["validate", str(tmp_path)]) == 0
    assert rb"\xe9.json: validated" in said.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("env", genenvs.ids())
def test_the_registrys_scores_are_of_as_many_episodes_as_an_evaluation_plays(env):
    made = gym.make_vec(env, num_envs=1, split="test")
    inner = made.unwrapped
    count = inner.episodes.count
    assert validate.whole_split(env) == (count * inner.task.rounds if count else 1_000)
    made.close()


def test_every_id_states_what_a_score_can_be_and_its_own_scores_are_that():
    for env in genenvs.ids():
        metrics, measured = validate.known_metrics(env), scores(env)
        assert not [name for name, metric in metrics.items() if metric.range is None], env
        low, high = metrics[declaration(env).score].range
        for name in ("random", "reference") if measured is not None else ():
            found = measured[name]
            assert low <= found["low"] <= found["mean"] <= found["high"] <= high, (env, name)
            assert set(found["metrics"]) <= {*metrics, "length", "return"}, env
    assert validate.known_metrics(ENV)["objective"].range == (-math.inf, 0.0)
