"""The board as a site: its numbers by hand, hostile strings, and what a browser makes of it."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

import genenvs
from benchmarks.leaderboard.__main__ import main
from benchmarks.leaderboard.board import Entry, Problem, load
from benchmarks.leaderboard.collect import BOARD, RESULTS
from benchmarks.leaderboard.film import place as place_of_film
from benchmarks.leaderboard.site import build, films
from benchmarks.leaderboard.site.rows import GRID, rows
from benchmarks.leaderboard.site.standings import THRESHOLDS, suites
from benchmarks.leaderboard.site.text import commits, fixed, place, shown
from benchmarks.leaderboard.submission import Submission, dump
from genenvs.core import registry
from genenvs.core.loading import load_task
from tests.needs import browser
from tests.repository.project import ROOT

ROOM, STROKE, BUDGET = (
    f"genenvs/{name}-v0" for name in ("RoomLayout", "VoxelStroke", "DenoiseBudget")
)
EVIL = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
TURNED = "rm \u202e fr- txt.exe"


def sample(mean, n=64):
    return {"mean": float(mean), "std": 0.1, "n": n}


WEIGHTS = {"sha256": "ab" * 32, "bytes": 9_000, "file": "p.safetensors"}


def run_of(env, seed, level, paid=None, gold=None, curve=True, train=None):
    """A run at `level` between random (0) and the reference (1), with return and gold likewise."""
    measured = registry.scores(env)
    ends = {k: measured[k] for k in ("random", "reference")}

    def at(name, share):
        low, high = (x["mean"] if name is None else x["metrics"][name] for x in ends.values())
        return low + share * (high - low)

    task = load_task(registry.declaration(env).task)
    golds = [name for name, metric in task.metrics.items() if metric.gold and metric.when != "set"]
    paid = level if paid is None else paid
    steps = np.linspace(1_000, 10_000, 10)
    return {
        "seed": seed,
        "score": sample(at(None, level)),
        "normalised": level,
        "paid": sample(at("return", paid)),
        "metrics": {name: sample(at(name, level if gold is None else gold)) for name in golds},
        "train_score": None if train is None else sample(at(None, train)),
        "curve": [
            {"steps": int(s), "mean_return": float(at("return", paid * s / 10_000)), "episodes": 9}
            for s in (steps if curve else ())
        ],
        "seconds": 60.0,
        "cpu_seconds": 55.0 + seed,
        "weights": WEIGHTS,
    }


def entry(env, agent, runs, state="validated", failed=(), remarks=(), folder=Path("."), **changes):
    """A submission on the board, of runs as `run_of` makes them."""
    learner = agent not in ("random", "reference")
    means = [run["score"]["mean"] for run in runs]
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{agent}-{env.rpartition('/')[2]}")[:90]
    known = env in genenvs.ids()
    table = {
        "format": 1,
        "name": name,
        "suite": "core",
        "author": "the example",
        "date": "2026-01-31",
        "command": f"python -m benchmarks.leaderboard run --suite core --agents {agent}"[:900],
        "agent": {"name": agent, "kind": "learner" if learner else "scripted"},
        "config": {"learning_rate": 0.0003, "hidden": [64, 64]} if learner else {},
        "tuning": {"trials": 0, "steps": 0},
        "environment": {
            "id": env,
            "arguments_hash": registry.arguments_hash(env) if known else "0" * 16,
            "score": registry.declaration(env).score if known else "score",
        },
        "training": {"steps": 10_000, "split": "train", "instances": None} if learner else None,
        "protocol": {
            "split": "test", "episodes": 64, "env_seeds": [0],
            "actions": "greedy" if learner else "scripted",
            "checkpoint": "last" if learner else "none",
        },
        "hardware": {"cpu": "a processor", "cores": 2, "memory_gb": 8.0, "platform": "Linux"},
        "software": {"genenvs": genenvs.__version__, "commit": "0" * 40, "python": "3.11"},
        "runs": list(runs),
        "failed": [{"seed": 90 + k, "why": why} for k, why in enumerate(failed)],
        "summary": {"score": float(np.mean(means)), "normalised": None, "seeds": len(runs)}
        if runs
        else None,
    }  # fmt: skip
    submission = Submission.model_validate(table | changes)
    played = {"seeds": [run["seed"] for run in runs[:1]], "who": 'A "reader"', "date": "2026-02-01"}
    record = played if state == "verified" else None
    return Entry(submission, folder / f"{submission.name}.json", state, list(remarks), record)


def runs_at(env, levels, **more):
    return [run_of(env, seed, level, **more) for seed, level in enumerate(levels)]


def example(folder=Path(".")):
    """A small board: two suites, three environments, a gamed reward, a hostile agent."""
    found = [
        entry(env, "ppo", runs_at(env, [0.6, 0.7, 0.8, 0.7], train=0.9), "verified", folder=folder)
        for env in (ROOM, STROKE, BUDGET)
    ]
    found += [
        entry(ROOM, "gamer", runs_at(ROOM, [0.2, 0.3], paid=1.0, gold=0.0), folder=folder),
        entry(STROKE, "gamer", runs_at(STROKE, [0.1, 0.1]), failed=["out of memory"]),
        entry(
            ROOM, "random", runs_at(ROOM, [0.0, 0.02], curve=False), folder=folder,
            tuning={"trials": None, "steps": None},
        ),
        entry(
            ROOM, EVIL, runs_at(ROOM, [0.4]), name="evil-RoomLayout", author="javascript:alert(1)",
            command=TURNED, notes="</script><script>alert(2)</script>", folder=folder,
        ),
        entry(
            ROOM, "x" * 300, runs_at(ROOM, [0.5]), "reported", remarks=["scored elsewhere"],
            name="far-RoomLayout",
        ),
        entry("others/Maze-v3", "ppo", [run_of(ROOM, 0, 0.5)], "reported", name="ppo-Maze"),
        entry(STROKE, "ppo", [], failed=["it broke"], name="ppo-broken", suite="full"),
        entry(STROKE, "a2c", runs_at(STROKE, [0.3]), name="a2c-full", suite="full"),
    ]  # fmt: skip
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The example, built once, with a film beside one of its submissions."""
    folder = tmp_path_factory.mktemp("board")
    (folder / "in" / "films").mkdir(parents=True)
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "green", "blue")]
    entries = example(folder / "in")
    names = {each.submission.name: films.name_of(each.submission) for each in entries}
    film = folder / "in" / "films" / f"{names['ppo-RoomLayout-v0']}.webp"
    frames[0].save(film, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    (film.parent / f"{names['gamer-RoomLayout-v0']}.webp").write_bytes(b"no film")
    build(entries, folder / "out", problems(folder))
    return folder / "out"


def problems(folder):
    return [Problem(folder / "<b>cut.json", 'is no JSON: <img src="x">')]


def page(site, name="index.html"):
    return (site / name).read_text(encoding="utf-8")


# --- numbers ---


def test_a_row_stands_on_the_registrys_scale():
    (row,) = rows([entry(ROOM, "ppo", runs_at(ROOM, [0.6, 0.8], paid=0.5, gold=0.1, train=0.9))])
    assert row.runs == pytest.approx([0.6, 0.8])
    assert row.normalised.mean == pytest.approx(0.7)
    assert row.gap.mean == pytest.approx(0.2) and row.gaps == pytest.approx([0.3, 0.1])
    assert row.paid.mean == pytest.approx(0.5)
    assert row.gold.mean == pytest.approx(0.1)
    assert row.gamed.mean == pytest.approx(0.4), "reward outran gold"
    scaled = {gold.name for gold in row.golds if gold.normalised is not None}
    # The reference is worse than random at these two: there is no scale from random to it.
    assert {gold.name for gold in row.golds} - scaled == {"reachable", "pull_out"}


def test_what_a_submission_says_of_its_own_scale_is_not_believed():
    runs = [run | {"normalised": 99.0} for run in runs_at(ROOM, [0.5])]
    (row,) = rows([entry(ROOM, "ppo", runs)])
    assert row.normalised.mean == pytest.approx(0.5)


def test_a_gold_metric_of_a_set_counts_at_the_registrys_sample_size_alone():
    episodes = registry.scores(BUDGET)["random"]["episodes"]
    low, high = (registry.scores(BUDGET)[k]["metrics"]["frechet"] for k in ("random", "reference"))
    for count, known in ((episodes, True), (64, False)):
        run = run_of(BUDGET, 0, 0.5)
        run["metrics"]["frechet"] = {"mean": (low + high) / 2, "std": None, "n": count}
        (row,) = rows([entry(BUDGET, "ppo", [run])])
        gold = next(gold for gold in row.golds if gold.name == "frechet")
        assert (gold.normalised is not None) == known
        assert gold.value.mean == pytest.approx((low + high) / 2)


def judged(agent, distance, count, state="validated", suite="smoke", **more):
    """A submission whose Fréchet distance is that of so many episodes."""
    run = run_of(BUDGET, 0, 0.5)
    run["metrics"]["frechet"] = {"mean": distance, "std": None, "n": count}
    return entry(BUDGET, agent, [run], state, suite=suite, **more)


def frechet(entries):
    """Normalised Fréchet distance of the first submission, and the ends that it is laid between."""
    gold = next(gold for gold in rows(entries)[0].golds if gold.name == "frechet")
    scaled = None if gold.normalised is None else gold.normalised.tolist()
    return scaled, gold.random, gold.reference


def test_a_gold_metric_of_a_smaller_set_is_laid_between_the_scripts_of_its_suite():
    low, high = (registry.scores(BUDGET)[k]["metrics"]["frechet"] for k in ("random", "reference"))
    empty = (None, low, high)
    ppo, random, reference = (
        judged(agent, distance, 64)
        for agent, distance in (("ppo", 30.0), ("random", 50.0), ("reference", 10.0))
    )
    assert frechet([ppo, random, reference]) == ([0.5], 50.0, 10.0)
    assert frechet([ppo]) == frechet([ppo, random]) == frechet([ppo, reference]) == empty
    for other in (
        judged("reference", 10.0, 32),  # of other episodes
        judged("reference", 10.0, 64, suite="core"),
        judged("reference", 10.0, 64, "reported"),
        judged("reference", 60.0, 64),  # worse than random
    ):
        scaled, *_ = frechet([ppo, random, other])
        assert scaled is None
    # Nobody moves the scale by handing in scripts of his own.
    sure = judged("reference", 20.0, 64, "verified", name="sure", date="2026-12-31")
    assert frechet([ppo, random, reference, sure])[1:] == (50.0, 20.0)
    late = judged("reference", 20.0, 64, name="late", date="2026-12-31", author="somebody")
    assert frechet([ppo, random, late, reference])[1:] == (50.0, 10.0)
    # Where the registry's sample is as large, its scale stands.
    episodes = registry.scores(BUDGET)["random"]["episodes"]
    whole = [judged(each, 30.0, episodes) for each in ("ppo", "random", "reference")]
    assert frechet(whole)[1:] == (low, high) and frechet(whole)[0] is not None


def test_one_short_scale_does_not_drown_the_others():
    run = run_of(ROOM, 0, 0.5)
    run["metrics"]["walkable"] = sample(-1e6)
    (row,) = rows([entry(ROOM, "ppo", [run])])
    assert row.gold.mean == pytest.approx((0.5 + 0.5 - 1.0) / 3)


def test_another_reward_has_no_place_on_the_scale_of_returns():
    environment = {
        "id": ROOM, "arguments_hash": registry.arguments_hash(ROOM),
        "arguments": {"reward_weights": {"legal": 5.0}}, "score": "quality",
    }  # fmt: skip
    (row,) = rows([entry(ROOM, "ppo", runs_at(ROOM, [0.5]), environment=environment)])
    assert row.paid is None and row.gamed is None and not len(row.curves)
    assert row.normalised.mean == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"environment": {"id": ROOM, "arguments_hash": "0" * 16, "score": "quality"}}, "other a"),
        ({"environment": {"id": "a/B-v0", "arguments_hash": "0" * 16, "score": "x"}}, "not know"),
        (
            {"protocol": {"split": "train", "episodes": 9, "env_seeds": [0], "actions": "greedy",
                          "checkpoint": "last"}},
            "split train",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_shown_and_says_why(changes, why):
    found = rows([entry(ROOM, "ppo", runs_at(ROOM, [0.5]), **changes)])
    assert why in found[0].why and found[0].normalised is None and found[0].score is not None
    assert suites(found)[0].standings == []


def test_of_two_submissions_for_one_place_the_newest_that_counts_stands_in_the_aggregates():
    old = entry(ROOM, "ppo", runs_at(ROOM, [0.9]), name="a", date="2026-01-01")
    new = entry(ROOM, "ppo", runs_at(ROOM, [0.1]), name="b", date="2026-02-01")
    spoilt = entry(ROOM, "ppo", runs_at(ROOM, [0.5]), "reported", name="c", date="2026-03-01")
    other = entry(ROOM, "ppo", runs_at(ROOM, [0.4]), name="d", author="somebody else")
    found = rows([new, old, spoilt, other])
    assert [row.current for row in found] == [True, False, False, True]
    standings = suites(found)[0].standings
    assert [s.label for s in standings] == ["ppo (somebody else)", "ppo (the example)"]
    assert standings[1].iqm.mean == pytest.approx(0.1)


def test_a_newer_file_takes_no_verified_one_s_place():
    """An author's name is text that anybody may write."""
    ours = entry(ROOM, "ppo", runs_at(ROOM, [0.6, 0.7]), "verified", date="2026-01-01")
    forged = entry(ROOM, "ppo", runs_at(ROOM, [1.9, 1.9]), name="zz", date="2026-02-01")
    assert [row.current for row in rows([ours, forged])] == [True, False]
    assert [row.current for row in rows([forged, ours])] == [False, True]


def test_failures_count_where_an_agent_has_no_score():
    found = [
        entry(ROOM, "ppo", runs_at(ROOM, [0.6, 0.7]), failed=["one"]),
        entry(STROKE, "ppo", [], failed=["out of memory", "too long"]),
    ]
    (suite,) = suites(rows(found))
    assert suite.standings[0].failed == 3 and suite.envs == [ROOM, STROKE]
    assert list(suite.standings[0].scores) == [ROOM]


def test_how_far_rewards_were_gamed_has_an_interval():
    levels, golds = (0.2, 0.4, 0.9), (0.1, 0.2, 0.2)
    runs = [
        run_of(ROOM, k, a, paid=a, gold=b)
        for k, (a, b) in enumerate(zip(levels, golds, strict=True))
    ]
    (suite,) = suites(rows([entry(ROOM, "ppo", runs)]))
    gamed = suite.standings[0].gamed
    assert gamed.mean == pytest.approx(np.mean(np.subtract(levels, golds)))
    assert gamed.low < gamed.mean < gamed.high


def test_who_played_more_environments_stands_first_whatever_the_score():
    found = [entry(ROOM, "lucky", runs_at(ROOM, [2.0, 2.0]))]
    found += [entry(env, "steady", runs_at(env, [0.3])) for env in (ROOM, STROKE)]
    (suite,) = suites(rows(found))
    assert [s.label for s in suite.standings] == ["steady", "lucky"]
    assert suite.standings[1].improvement["steady"].mean == 1.0
    assert suite.standings[0].improvement["lucky"].mean == 0.0


def test_a_curve_ends_where_training_ended():
    short = entry(ROOM, "short", runs_at(ROOM, [0.5]))
    long = runs_at(ROOM, [0.5])
    training = {"steps": 20_000, "split": "train", "instances": None}
    found = rows([short, entry(ROOM, "long", long, training=training)])
    (suite,) = suites(found)
    lengths = {s.label: len(s.efficiency.value) for s in suite.standings}
    assert lengths["short"] == lengths["long"] == pytest.approx(26, abs=1)
    assert np.isnan(found[0].curves[0, -1])


def test_what_is_only_reported_does_not_squeeze_the_curves_of_others():
    honest = entry(ROOM, "ppo", runs_at(ROOM, [0.5]))
    training = {"steps": 10**9, "split": "train", "instances": None}
    vast = entry(ROOM, "vast", runs_at(ROOM, [0.5]), "reported", training=training)
    curve = [{"steps": 10**9 - k, "mean_return": 1.0, "episodes": 1} for k in (1, 0)]
    old = [run_of(ROOM, 0, 0.5) | {"curve": curve}]
    older = entry(ROOM, "ppo", old, name="older", date="2025-01-01", training=training)
    # It may be true, but no curve of it goes so far.
    boast = entry(ROOM, "boast", runs_at(ROOM, [0.5]), training=training)
    alone, found = rows([honest]), rows([honest, vast, boast, older])
    np.testing.assert_array_equal(found[0].curves, alone[0].curves)
    assert np.isfinite(found[0].curves).all() and found[0].curves[0, -1] > 0.3


def test_no_two_players_have_one_label():
    found = rows(
        [
            entry(ROOM, agent, runs_at(ROOM, [level]), name=f"n{k}", author=author)
            for k, (agent, author, level) in enumerate(
                [
                    ("ppo", "x", 0.1),
                    ("ppo", "y", 0.2),
                    ("ppo (x)", "z", 0.9),
                    ("PPO  (x)", "z", 0.8),
                ]
            )
        ]
    )
    labels = [row.label for row in found]
    assert labels == ["ppo (x)", "ppo (y)", "ppo (x) #2", "PPO  (x) #3"]
    standings = {s.label: s.iqm.mean for s in suites(found)[0].standings}
    assert standings == pytest.approx(dict(zip(labels, (0.1, 0.2, 0.9, 0.8), strict=True)))


# --- files ---


def test_the_site_stands_alone(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r'(?:src|href|data-still)="([^"]*)"', text)
        for link in (each.partition("#")[0] for each in loaded):
            if link and link != "data:,":
                assert "//" not in link, f"{path.name} loads {link}"
                assert (path.parent / link).exists(), f"{path.name} links {link}"
    styles = (site / "static" / "board.css").read_text()
    assert "url(" not in styles and "@import" not in styles


def test_the_same_submissions_give_the_same_bytes(site, tmp_path):
    build(example(site.parent / "in"), tmp_path / "again", problems(site.parent))
    first, second = (sorted(x.rglob("*.*")) for x in (site, tmp_path / "again"))
    assert site / "index.html" in first
    assert [p.relative_to(site) for p in first] == [
        p.relative_to(tmp_path / "again") for p in second
    ]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_what_the_plots_and_rows_show_is_published_too(site):
    table = json.loads(page(site, "board.json"))
    found = rows(example())
    for suite, record in zip(suites(found), table["suites"], strict=True):
        for standing, agent in zip(suite.standings, record["agents"], strict=True):
            assert agent["runs"] == standing.run_count
            profile, efficiency = agent["performance_profile"], agent["sample_efficiency"]
            for name in ("value", "low", "high"):
                due = getattr(standing.profile, name)
                np.testing.assert_array_equal(np.array(profile[name], float), due)
            assert profile["at"] == THRESHOLDS.tolist()
            assert (efficiency is None) == (standing.efficiency is None)
            if efficiency is not None:
                assert efficiency["value"] == standing.efficiency.value.tolist()
                assert efficiency["at"] == GRID[: len(efficiency["value"])].tolist()
    named = {row["name"]: row for row in table["results"]}
    row = named["gamer-RoomLayout-v0"]
    assert row["steps"] == 10_000 and row["cpu_minutes"] == pytest.approx(55.5 / 60)
    golds = row["gold_metrics"]
    assert golds["walkable"]["normalised"] == pytest.approx(0.0)
    assert golds["walkable"]["value"]["mean"] == pytest.approx(golds["walkable"]["random"])
    assert golds["reachable"]["normalised"] is None, "it has no scale"
    assert named["random-RoomLayout-v0"]["steps"] is None


def test_every_number_and_every_submission_is_published(site):
    table = json.loads(page(site, "board.json"))
    named = {row["name"]: row for row in table["results"]}
    assert named["gamer-RoomLayout-v0"]["reward_minus_gold"]["mean"] == pytest.approx(1.0)
    assert named["ppo-broken"]["score"] is None and named["ppo-broken"]["failed"] == 1
    assert [suite["name"] for suite in table["suites"]] == ["core", "full"]
    for each in example():
        path = site / "submissions" / f"{each.submission.name}.json"
        assert path.read_text(encoding="utf-8") == dump(each.submission)


def test_failures_and_refused_files_are_shown(site):
    text = page(site)
    assert "out of memory" in text and "+1 failed" in text
    assert "&lt;b&gt;cut.json" in text and "is no JSON: &lt;img" in text


def test_hostile_strings_are_text(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert text.count("<script") == 2, "the page's own two"
        assert "<img src=x" not in text and "alert('x')" not in text
        assert not re.search(r'(?:href|src)="\s*javascript', text)
        assert "\u202e" not in text
    assert "⟨U+202E⟩" in page(site) and "&lt;script&gt;alert(" in page(site)


def test_a_film_beside_a_submission_is_shown_and_a_broken_one_is_left_out(site):
    film, still = sorted((site / "films").iterdir(), key=lambda path: len(path.name))
    assert re.fullmatch(r"ppo-RoomLayout-v0-[0-9a-f]{16}\.webp", film.name)
    assert still.name == f"{film.stem}-last.webp"
    with Image.open(still) as last:
        assert last.convert("RGB").getpixel((3, 3))[2] > 200, "the last picture, which is blue"
    assert f'href="films/{film.name}"' in page(site)


def test_a_film_is_that_of_its_policy_and_of_nobody_else(tmp_path):
    def publish(submission, film):
        path = tmp_path / "in" / "films" / film
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
        shown = films.publish(
            [Entry(submission, tmp_path / "in" / "a.json", "validated")], tmp_path
        )
        path.unlink()
        return submission.name in shown

    first = entry(ROOM, "ppo", runs_at(ROOM, [0.5])).submission
    again = runs_at(ROOM, [0.5])
    again[0]["weights"] = WEIGHTS | {"sha256": "cd" * 32}
    retrained = entry(ROOM, "ppo", again).submission
    # The last picture of `ppo` was named as the film of this one is.
    last = entry(ROOM, "ppo", again, name=f"{first.name}-last").submission
    names = [films.name_of(each) for each in (first, retrained, last)]
    assert len({*names, *(f"{name}-last" for name in names)}) == 6
    assert publish(first, f"{names[0]}.webp") and not publish(first, f"{first.name}.webp")
    assert not publish(retrained, f"{names[0]}.webp"), "of a policy that is no more"
    for name in (first.name, *names):
        (tmp_path / f"{name}.webp").touch()
    assert {p.stem for p in films.outdated(tmp_path, retrained)} == {first.name, names[0]}


def test_a_link_to_a_film_is_not_followed(tmp_path):
    one = entry(ROOM, "ppo", runs_at(ROOM, [0.5]), folder=tmp_path / "in")
    (tmp_path / "in").mkdir()
    (tmp_path / "away").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "away" / f"{films.name_of(one.submission)}.webp")
    (tmp_path / "in" / "films").symlink_to(tmp_path / "away")
    assert films.publish([one], tmp_path) == {}


def test_a_board_on_which_everything_is_refused_says_why(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name, content in (("<b>.json", '"<img src=x>"'), ("half.json", "{")):
        (tmp_path / "in" / name).write_text(content)
    assert main(["report", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    text = page(tmp_path / "out")
    assert "2 files are not on the board" in text and "<img src=x>" not in text
    assert "&lt;b&gt;.json must hold a table; got str" in text and "cut short" in text
    refused = json.loads(page(tmp_path / "out", "board.json"))["refused"]
    assert [each["file"] for each in refused] == ["<b>.json", "half.json"]
    assert "half.json: refused" in capsys.readouterr().out


def test_a_refused_file_is_named_with_its_agent(tmp_path):
    for folder in ("in/core/ppo", "in/core/a2c", "far"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "VoxelStroke-v0.json").write_text("{")
    far = tmp_path / "far" / "VoxelStroke-v0.json"
    assert main(["report", f"{tmp_path}/in", str(far), "--out", str(tmp_path / "out")]) == 1
    refused = json.loads(page(tmp_path / "out", "board.json"))["refused"]
    named = [f"core/{agent}/VoxelStroke-v0.json" for agent in ("a2c", "ppo")]
    assert [each["file"] for each in refused] == [*named, far.name]
    assert all(f"<code>{name}</code>" in page(tmp_path / "out") for name in named)


def test_how_many_seeds_were_played_again_is_shown(site):
    text = page(site)
    assert 'title="played again by A &#34;reader&#34;, 2026-02-01">1 of 4 seeds<' in text
    assert '<td class="number" data-value="3">3 / 12</td>' in text
    named = {row["name"]: row for row in json.loads(page(site, "board.json"))["results"]}
    assert named["ppo-RoomLayout-v0"]["verified_seeds"] == [0]
    assert named["gamer-RoomLayout-v0"]["verified_seeds"] == []


def test_suites_of_other_budgets_have_curves_of_their_own(site, tmp_path):
    text = page(site, "environments/VoxelStroke-v0.html")
    titles = re.findall(r"<h2>(Training[^<]*)</h2>", text)
    assert titles == ["Training, suite core", "Training, suite full"]
    core, full = text[text.index("Training, suite core") :].split("Training, suite full")
    assert "agent-0" in core and ">a2c<" not in core and ">a2c<" in full.partition("</section>")[0]
    assert len(re.findall(r'id="plot-learning-VoxelStroke-v0-\d"', text)) == 2
    assert "<h2>Training</h2>" in page(site, "environments/RoomLayout-v0.html"), "it has one suite"


def test_a_folder_that_is_no_board_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(ValueError, match="no leaderboard"):
        build(example(), tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "all of it"


def test_a_build_that_fails_leaves_the_board_that_was_there(tmp_path, monkeypatch):
    out = tmp_path / "out"
    only = [entry(ROOM, "ppo", runs_at(ROOM, [0.5], curve=False))]
    build(only, out)
    before = page(out)
    monkeypatch.setattr("benchmarks.leaderboard.site.pages._write_data", _fail)
    with pytest.raises(OSError, match="no space"):
        build(only, out)
    assert page(out) == before and [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_the_published_results_make_a_board(tmp_path):
    entries, refused = load([ROOT / RESULTS])
    build(entries, tmp_path / "out", refused)
    text = page(tmp_path / "out")
    assert all(f'id="row-{each.submission.name}"' in text for each in entries) and not refused
    assert text.count("<svg") >= 3, "profiles and sample efficiency are drawn"
    shown = 0
    learned = {
        each.submission.environment.id
        for each in entries
        if each.submission.agent.kind == "learner"
    }
    for env in {each.submission.environment.id for each in entries}:
        own = (tmp_path / "out/environments" / f"{env.rpartition('/')[2]}.html").read_text("utf-8")
        assert ("<svg" in own) == (env in learned), f"curves of {env}"
        names = re.findall(r"films/[^\"' ]+\.webp", own)
        assert all((tmp_path / "out" / name).is_file() for name in names)
        shown += len(set(names))
    kept = [each for each in entries if place_of_film(each.path, each.submission).is_file()]
    assert kept and shown == 2 * len(kept), "each film, and its last picture"


@pytest.mark.slow
def test_the_board_in_the_repository_is_of_the_published_results(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["report", "--out", str(tmp_path / "out")]) == 0
    anew, shipped = _files(tmp_path / "out"), _files(ROOT / BOARD)
    command = f"python -m benchmarks.leaderboard report --out {BOARD}"
    assert sorted(anew) == sorted(shipped), command
    # Pictures are left to the libraries that draw them.
    texts = [name for name in anew if name.suffix not in (".webp", ".png")]
    assert not [name for name in texts if anew[name] != shipped[name]], command


def _files(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def _fail(*arguments):
    raise OSError("no space left on device")


def test_an_empty_board_and_two_of_one_name_are_errors(tmp_path):
    with pytest.raises(ValueError, match="no submission"):
        build([], tmp_path / "out")
    twice = [entry(ROOM, "ppo", runs_at(ROOM, [0.5]))] * 2
    with pytest.raises(ValueError, match="ppo-RoomLayout-v0"):
        build(twice, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_strings_and_numbers_as_pages_show_them():
    assert commits(f"{'0a' * 20}+, {'b' * 12}") == f"{'0a' * 6}+, {'b' * 12}"
    assert commits("c" * 41) == "c" * 41
    assert shown("a\u202eb\u200bc") == "a⟨U+202E⟩b⟨U+200B⟩c"
    assert [fixed(x) for x in (-0.001, -0.5, 1e12, float("nan"))] == [
        "0.00",
        "−0.50",
        "1.0e+12",
        "–",
    ]
    assert [place(x) for x in (0.0, 1.0, -99.0, 99.0)] == ["20.0%", "80.0%", "0.0%", "100.0%"]


# --- in a browser ---


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    driver = browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


def anew(driver, load, *address):
    """Load a page, and wait: on a busy machine the driver may come back to the one before."""
    from selenium.webdriver.support.wait import WebDriverWait

    driver.execute_script("window.before = true")
    load(*address)
    loaded = "return !window.before && document.readyState === 'complete'"
    WebDriverWait(driver, 60).until(lambda driver: driver.execute_script(loaded))


@pytest.fixture
def visit(site, chromium):
    """Opens a page of the site at a width and a colour scheme, scripts and all."""

    def opened(address="index.html", width=1280, scheme="light", site=site):
        chromium.get("about:blank")  # a change of what follows "#" alone would load nothing
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        anew(chromium, chromium.get, (site / "index.html").as_uri().replace("index.html", address))
        return chromium

    yield opened
    errors = chromium.get_log("browser")
    assert errors == [], "the console holds nothing"


def texts(driver, selector):
    """Of the elements that can be seen, in their order."""
    return driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])]"
        ".filter(e => e.checkVisibility()).map(e => e.innerText.trim())",
        selector,
    )


def choose(driver, name, value):
    driver.execute_script(
        "const s = document.querySelector(`select[name=${arguments[0]}]`); s.value = arguments[1];"
        "s.dispatchEvent(new Event('change'))",
        name,
        value,
    )


IQM = "#agents section:not([hidden]) table[data-name=agents] tbody tr"
SHOWN = "table[data-name=results] tr.row th"


@pytest.mark.slow
def test_headers_sort_by_keyboard_and_the_address_follows(visit):
    driver = visit()
    header = driver.find_element("css selector", "#results th[data-column=vs]")
    header.find_element("css selector", "button").send_keys("\ue007")  # Enter
    numbers = driver.execute_script(
        "return [...document.querySelectorAll('#results tr.row:not([hidden]) td:nth-child(3)')]"
        ".map(e => e.dataset.value)"
    )
    numbers = [float(text or "nan") for text in numbers]
    known = [x for x in numbers if x == x]
    assert known == sorted(known, reverse=True) and len(known) > 5
    assert all(x != x for x in numbers[len(known) :]), "what is not known stands last"
    assert header.get_attribute("aria-sort") == "descending"
    assert "results=vs.desc" in driver.current_url
    header.find_element("css selector", "button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    first = driver.find_element("css selector", "#results tr.row:not([hidden]) td:nth-child(3)")
    assert float(first.get_attribute("data-value")) == pytest.approx(min(known))
    pairs = driver.execute_script(
        "return [...document.querySelectorAll('#results tr.row')]"
        ".map(r => [r.id.slice(4), r.nextElementSibling.id.slice(7)])"
    )
    assert all(row == detail for row, detail in pairs), "details stay with their rows"


@pytest.mark.slow
def test_filters_leave_what_they_say_and_can_be_cleared(visit):
    driver = visit()
    assert len(texts(driver, "#agents h2")) == 1, "one suite is shown at a time"
    whole = texts(driver, SHOWN)
    choose(driver, "agent", EVIL)
    assert len(texts(driver, SHOWN)) == 1 and texts(driver, IQM)[0].startswith("<script>")
    assert texts(driver, "[data-count]") == ["1 of 11 results"]
    choose(driver, "state", "verified")
    assert texts(driver, SHOWN) == [] and texts(driver, "[data-empty]") != []
    driver.find_element("css selector", "button.reset").click()
    assert texts(driver, SHOWN) == whole and "#" not in driver.current_url
    choose(driver, "suite", "full")
    assert sorted(texts(driver, SHOWN)) == ["a2c", "ppo"]
    choose(driver, "suite", "")
    anew(driver, driver.refresh)
    assert len(texts(driver, SHOWN)) == 11, "the address keeps that all suites are shown"


@pytest.mark.slow
def test_a_deep_link_sorts_filters_and_opens_its_row(visit):
    driver = visit(
        "index.html#env=genenvs%2FRoomLayout-v0&results=gamed.desc&row=gamer-RoomLayout-v0"
    )
    assert texts(driver, SHOWN)[0] == "gamer" and set(texts(driver, "#results td.env")) == {
        "RoomLayout-v0"
    }
    row = driver.find_element("id", "row-gamer-RoomLayout-v0")
    assert driver.find_element("id", "detail-gamer-RoomLayout-v0").is_displayed()
    focused = driver.switch_to.active_element
    assert focused.get_attribute("aria-controls") == "detail-gamer-RoomLayout-v0"
    assert 0 <= driver.execute_script("return arguments[0].getBoundingClientRect().top", row) < 900
    focused.click()
    assert not driver.find_element("id", "detail-gamer-RoomLayout-v0").is_displayed()
    assert "row=" not in driver.current_url and "env=" in driver.current_url
    driver = visit("index.html#row=a2c-full")
    assert driver.find_element("id", "detail-a2c-full").is_displayed(), "its suite is shown"


@pytest.mark.slow
def test_a_link_within_the_page_leaves_what_is_shown(visit):
    driver = visit(f"index.html#agent={quote(EVIL)}")
    assert len(texts(driver, SHOWN)) == 1
    driver.find_element("css selector", "nav a[href='#results']").click()
    assert len(texts(driver, SHOWN)) == 1 and "agent=" in driver.current_url
    driver.back()
    assert len(texts(driver, SHOWN)) == 1, "and so does going back"


@pytest.mark.slow
@pytest.mark.parametrize(
    "nonsense", ["suite=%3Cb%3E&results=nothing.up&row=%22%5D", "=&=&row=..", "x"]
)
def test_a_deep_link_to_nothing_shows_the_whole_board(visit, nonsense):
    assert len(texts(visit(f"index.html#{nonsense}"), SHOWN)) == 9


@pytest.mark.slow
@pytest.mark.parametrize("address", ["index.html", "environments/RoomLayout-v0.html"])
def test_on_a_phone_nothing_but_tables_scrolls_sideways(visit, address):
    driver = visit(address, width=360)
    driver.execute_script(
        "document.querySelectorAll('tr.detail').forEach(d => d.classList.add('shown'))"
    )
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    assert wide == 360


@pytest.mark.slow
def test_on_a_phone_the_names_in_the_table_of_chances_can_be_read(visit, tmp_path):
    agents = ["ppo", "a2c", "a3c", "actor_critic", "grpo", "recurrent_ppo", "maskable_ppo",
              "random", "reference"]  # fmt: skip
    levels = np.linspace(0.2, 0.9, len(agents))
    table = [
        entry(STROKE, agent, runs_at(STROKE, [level, level], curve=False))
        for agent, level in zip(agents, levels, strict=True)
    ]
    build(table, tmp_path / "out")
    driver = visit(width=375, site=tmp_path / "out")
    heights = driver.execute_script(
        "return [...document.querySelectorAll('table.chances tr')].map(r => r.clientHeight)"
    )
    assert len(heights) == 1 + len(agents) and min(heights) > 0 and max(heights) < 60, heights
    assert driver.execute_script("return document.documentElement.scrollWidth") == 375


@pytest.mark.slow
def test_an_open_row_does_not_widen_its_table(visit):
    driver = visit(width=1280)
    wide = "return document.querySelector('#results .wide').scrollWidth"
    before = driver.execute_script(wide)
    driver.find_element("css selector", "#row-ppo-RoomLayout-v0 button.open").click()
    assert driver.execute_script(wide) == before <= 1280


@pytest.mark.slow
def test_both_colour_schemes_and_the_choice_that_stays(visit):
    paper = "return getComputedStyle(document.body).backgroundColor"
    light, dark = (visit(scheme=scheme).execute_script(paper) for scheme in ("light", "dark"))
    assert (
        sum(map(int, re.findall(r"\d+", light)))
        > 700
        > 150
        > sum(map(int, re.findall(r"\d+", dark)))
    )
    driver = visit(scheme="dark")
    driver.find_element("css selector", "button.theme").click()
    assert driver.execute_script(paper) == light
    driver = visit("environments/RoomLayout-v0.html", scheme="dark")
    assert driver.execute_script(paper) == light
    driver.execute_script("localStorage.clear()")


@pytest.mark.slow
def test_the_keyboard_reaches_everything_and_sees_where_it_is(visit):
    driver = visit()
    driver.switch_to.active_element.send_keys("\ue004")  # Tab
    skip = driver.switch_to.active_element
    assert skip.text == "Skip to the results" and skip.is_displayed()
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    for _ in range(8):
        driver.switch_to.active_element.send_keys("\ue004")
        assert driver.execute_script(outline) != "none"
    unnamed = driver.execute_script(
        "return [...document.querySelectorAll('a,button,select,[tabindex]')].filter(e =>"
        "!(e.textContent.trim() || e.ariaLabel || e.querySelector('img[alt]'))).length"
    )
    assert unnamed == 0


@pytest.mark.slow
def test_a_film_plays_in_its_place_and_an_agent_stands_out_in_the_curves(visit):
    driver = visit("index.html#row=ppo-RoomLayout-v0")
    link = driver.find_element("css selector", "#detail-ppo-RoomLayout-v0 a.film")
    link.click()
    film = link.get_attribute("href")
    assert link.find_element("tag name", "img").get_attribute("src") == film
    link.click()
    assert link.find_element("tag name", "img").get_attribute("src").endswith("-last.webp")
    key = driver.find_element("css selector", "button.key[data-key='0']")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", key)
    key.click()
    faded = "return document.querySelectorAll('#agents section:not([hidden]) svg g.faded').length"
    assert driver.execute_script(faded) > 0


def test_a_folder_with_anything_else_is_not_replaced(tmp_path):
    out = tmp_path / "board"
    (out / ".git").mkdir(parents=True)
    (out / "board.json").write_text("{}")
    with pytest.raises(ValueError, match=r"other files too \(\.git\)"):
        build(example(tmp_path), out)
    assert (out / ".git").is_dir()
