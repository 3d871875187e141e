"""Claims about cutting films in the style of a hidden editor."""

from __future__ import annotations

import json
import math
from itertools import combinations, permutations
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
import torch

import genenvs
from genenvs.core import random, registry
from genenvs.core.vector import TaskVectorEnv
from genenvs.editing import briefs, styles
from genenvs.tasks.clip_edit import cheats, rewards
from genenvs.tasks.clip_edit.actions import FINISH, JOIN, RANGE
from genenvs.tasks.clip_edit.task import ClipEdit
from genenvs.video.attributes import ANGLE, COUNT, LOCATION, SIZE, SIZES, SOUND, SUBJECT
from genenvs.video.film import CUT
from tests.needs import needs

TASK = "genenvs.tasks.clip_edit.task:ClipEdit"


def make(num_envs=16, **arguments) -> TaskVectorEnv:
    arguments = {"split": "validation", "horizon": 48, "autoreset_mode": "SAME_STEP"} | arguments
    return TaskVectorEnv(TASK, num_envs=num_envs, output="torch", **arguments)


def drawn(rows: int, **arguments):
    task = ClipEdit(**{"horizon": 48, "split": "validation"} | arguments)
    instance = random.mix(torch.arange(rows), 5)
    return task, task.initial_state(instance, instance)


class Plain:
    """One film, written plainly in numpy."""

    def __init__(self, task: ClipEdit, state, row: int) -> None:
        own = {name: value[row].clone().numpy() for name, value in state.tensors().items()}
        self.attributes, self.lengths, self.story = (
            own[name] for name in ("attributes", "lengths", "story")
        )
        self.marked, self.target = own["marked"], int(own["target"])
        self.low, self.span = float(own["low"]), float(own["span"])
        style = int(own["style"])
        self.taste = task.styles.taste[style].numpy().astype(float)
        self.habits = task.styles.habits[style].numpy().astype(float)
        self.joins = task.styles.joins[style].numpy()
        self.pace = float(task.styles.pace[style])
        self.shots: list[tuple[int, int, int, int]] = []
        self.chosen: list[int] = []

    def probability(self, a: int, value: int, before: int | None, last: int | None) -> float:
        taste, keep, again, on = self.habits[a]
        total, weight = taste * self.taste[a, value], taste
        if last is not None:
            total += keep * (value == last) + on * (value == (last + 1) % SIZES[a])
            weight += keep + on
        if before is not None:
            total, weight = total + again * (value == before), weight + again
        return total / weight

    def free(self, clip: int, start: int, length: int) -> bool:
        unused = clip not in {shot[0] for shot in self.shots}
        return unused and start + length <= self.lengths[clip]

    @property
    def left(self) -> int:
        return self.target - sum(shot[2] for shot in self.shots)

    def legal(self) -> set[int]:
        if not self.chosen:
            clips = {c for c in range(16) if self.free(c, 0, 1)}
            return (clips if self.left > 0 else set()) | {FINISH}
        if len(self.chosen) == 1:
            return {
                RANGE + 8 * s + n - 1
                for s in range(8)
                for n in range(1, min(8, self.left) + 1)
                if self.free(self.chosen[0], s, n)
            }
        return {JOIN, JOIN + 2} | ({JOIN + 1, JOIN + 3} if self.shots else set())

    def act(self, action: int) -> bool:
        """Whether the film is over."""
        if action not in self.legal():
            return False
        if action == FINISH:
            return True
        if action >= JOIN:
            clip, cell = self.chosen
            self.shots.append((clip, cell // 8, cell % 8 + 1, action - JOIN))
            self.chosen = []
            return self.left == 0
        self.chosen.append(action if action < FINISH else action - RANGE)
        return False

    def measured(self) -> dict[str, float]:
        found = dict.fromkeys(
            ("agreement", "continuity", "jump_cuts", "transition_fit", "aesthetics"), 0.0
        )
        for k, (clip, start, length, join) in enumerate(self.shots):
            new = self.attributes[clip]
            last = self.attributes[self.shots[k - 1][0]] if k else [None] * COUNT
            before = self.attributes[self.shots[k - 2][0]] if k > 1 else [None] * COUNT
            likely = sum(
                math.log(self.probability(a, new[a], before[a], last[a])) for a in range(COUNT)
            )
            found["agreement"] += length * (likely - self.low) / self.span
            found["continuity"] += length * (
                not k or new[LOCATION] != last[LOCATION] or new[SOUND] == last[SOUND]
            )
            seen = (SIZE, ANGLE, SUBJECT, LOCATION)
            found["jump_cuts"] += length * (
                k > 0 and join == 0 and all(new[a] == last[a] for a in seen)
            )
            case = 2 if not k else int(new[LOCATION] != last[LOCATION])
            found["transition_fit"] += length * self.joins[case, join] / self.joins[case].max()
            first, many = self.marked[clip]
            found["aesthetics"] += len(
                set(range(start, start + length)) & set(range(first, first + many))
            )
        found = {name: value / self.target for name, value in found.items()}
        filled = (self.target - self.left) / self.target
        pairs = list(combinations([self.story[shot[0]] for shot in self.shots], 2))
        order = sum(np.sign(b - a) for a, b in pairs) / max(1, len(pairs))
        pacing = 0.0
        if self.shots:
            mean = (self.target - self.left) / len(self.shots)
            pacing = 1 - min(1, abs(math.log2(mean / self.pace)))
        return found | {"filled": filled, "order": order * filled, "pacing": pacing * filled}


@pytest.mark.parametrize("greedy", [False, True])
def test_a_batch_equals_the_plain_reference(greedy):
    rows = 6
    task, state = drawn(rows)
    plain = [Plain(task, state, row) for row in range(rows)]
    rng, over, paid = np.random.default_rng(3), np.zeros(rows, bool), {}
    for _ in range(60):
        mask = task.action_mask(state).numpy()
        for row in np.flatnonzero(~over):
            assert set(np.flatnonzero(mask[row])) == plain[row].legal()
        action = torch.from_numpy((rng.random(mask.shape) * mask).argmax(1))
        action[0] = int(rng.integers(85))  # mostly illegal
        action = torch.where(action == FINISH, torch.tensor(3), action) if greedy else action
        moved = task.transition(state, action)
        state = moved.state
        for row in np.flatnonzero(~over):
            assert plain[row].act(int(action[row])) == bool(moved.terminated[row])
            for name, value in plain[row].measured().items():
                assert float(moved.metrics[name][row]) == pytest.approx(value, abs=2e-4), name
        for name, value in moved.terms.items():
            paid[name] = paid.get(name, 0) + value.numpy() * ~over
        over |= moved.terminated.numpy()
    assert over[1:].all() or greedy
    for row in np.flatnonzero(over):
        assert paid["agreement"][row] == pytest.approx(plain[row].measured()["agreement"], abs=1e-3)


def test_the_editor_s_own_film_agrees_as_expected_and_is_legal():
    task, state = drawn(600)
    over = torch.zeros(600, dtype=torch.bool)
    for _ in range(3 * styles.SHOTS):
        action = task.reference_action(state)
        assert bool((task.action_mask(state).gather(1, action[:, None])[:, 0] | over).all())
        moved = task.transition(state.clone(), action)
        state = state.where(over, moved.state)
        over |= moved.terminated
    assert bool(over.all())
    found = task.measured(state) | task.outcome(state).metrics
    assert float(found["agreement"].mean()) == pytest.approx(1, abs=0.04)
    assert torch.equal(found["filled"], torch.ones(600)) and bool((found["order"] == 1).all())
    assert torch.equal(found["shots"], state.shots.float())


def test_what_random_clips_agree_is_zero_on_average():
    envs = make(512)
    found = genenvs.evaluate(envs, "random", episodes=4_096).interval("agreement")
    assert found.low < 0 < found.high and found.high - found.low < 0.03


def test_chance_is_the_mean_over_all_orders_of_different_clips():
    bank = styles.load("validation", torch.device("cpu"))
    brief = briefs.draw(bank, random.mix(torch.arange(3), 2))
    for row, shots in enumerate((2, 3, 7)):
        pool, none = brief.attributes[row, :6], torch.full((COUNT,), styles.NONE)

        def mean(length: int, pool=pool, none=none, row=row) -> float:
            orders = [[none, none, *pool[list(o)]][-3:] for o in permutations(range(6), length)]
            before, last, shot = (torch.stack(column) for column in zip(*orders, strict=True))
            return float(bank.of(brief.style[row].expand(len(shot)), before, last, shot).mean())

        found = bank.by_chance(brief.style[[row]], pool[None], torch.tensor([shots]))
        expected = (mean(1) + mean(2) + (shots - 2) * mean(3)) / shots
        assert float(found) == pytest.approx(expected, abs=1e-4)


def test_no_cheat_comes_near_the_editor():
    envs = make(64)
    scores = {}
    for name in registry.declaration("genenvs/ClipEdit-v0").cheats:
        policy = getattr(cheats, name.replace(" ", "_"))(envs)
        found, name = genenvs.evaluate(envs, policy, episodes=64), name.replace(" ", "_")
        scores[name] = found.interval("agreement").mean
        scores[name, "return"] = found.interval("return").mean
        scores[name, "cadence"] = found.interval("cadence").mean
    assert scores["finish_at_once"] == scores["stall"] == 0
    assert scores["finish_at_once", "return"] == 0 > scores["stall", "return"]
    blind = ("shortest_cuts", "longest_cuts", "never_cut")
    assert all(scores[name] < 0.1 for name in blind)
    assert 0.2 < scores["greedy"] < scores["long_takes"] < 0.7
    editor = genenvs.evaluate(envs, "reference", episodes=64)
    paid = editor.interval("return").mean
    assert all(paid > 0.3 + scores[k, "return"] for k in (*blind, "greedy", "long_takes"))
    # Who knows the style is paid for giving the time to the likeliest shots; `cadence` tells.
    assert scores["stretched", "return"] > paid and scores["stretched"] > 1.1
    assert scores["stretched", "cadence"] > 2 * editor.interval("cadence").mean


def test_choices_say_what_an_action_would_do():
    task, state = begun(6)  # two shots
    for phase in range(3):
        said = task.observe(state)["choices"]
        legal = task.action_mask(state)
        assert torch.equal(said.any(2), legal) and bool((said[..., 0] == legal).all())
        for row in range(2):
            action = int(task.reference_action(state)[row])
            facts = said[row, action].tolist()
            strip, last = state.strip[row], state.last[row, 1]
            if phase == 0:
                clip = state.attributes[row, action]
                taste = (strip == clip).float().mean()
                keep = (strip[1:] == strip[:-1]).float().mean(0)
                assert facts[1] == pytest.approx(float(taste), abs=1e-6)
                assert facts[2] == pytest.approx(float((keep * (clip == last)).mean()), abs=1e-6)
                ahead = state.story[row, action] - state.story[row, state.film[row, 1, 0]]
                assert facts[5] == pytest.approx(float(ahead), abs=1e-6)
            if phase == 1:
                after = task.transition(state.clone(), task.reference_action(state)).state
                joined = task.transition(after, torch.full((2,), JOIN)).state
                good = (joined.sums - state.sums)[row, 4] / 8
                pacing = task.measured(joined)["pacing"] / task.measured(joined)["filled"]
                assert facts[7] == pytest.approx(float(good), abs=1e-5)
                assert facts[8] == pytest.approx(float(pacing[row]), abs=1e-5)
        state = task.transition(state, task.reference_action(state)).state


def test_gold_metrics_by_hand():
    exists = torch.tensor([[True, True, True, True, False]])
    shots = torch.zeros(1, 5, COUNT, dtype=torch.int64)
    shots[0, 1, SIZE] = 1
    assert float(rewards.repetition(shots, exists)) == 0.5
    # sizes 0 1 0 0: three pairs, all different; the fifth shot does not exist
    assert float(rewards.distinct_2(shots, exists)) == 1
    assert float(rewards.distinct_2(shots[:, 2:], exists[:, 1:4])) == 0.5
    kept = torch.zeros(1, COUNT)
    # seven attributes are kept always, one in one of three pairs
    assert float(rewards.habits(shots, exists, kept)) == pytest.approx((7 + 1 / 3) / 8)
    assert float(rewards.tau(torch.tensor([-6]), torch.tensor([4]))) == -1
    near, far = torch.tensor([4.0]), torch.tensor([8.0])
    assert float(rewards.pacing(near, near)) == 1 and float(rewards.pacing(far, near)) == 0


def test_cadence_is_the_wasserstein_distance():
    from scipy.stats import wasserstein_distance

    bank = styles.load("test", torch.device("cpu"))
    lengths = torch.tensor([[1, 3, 3, 8, 5]])
    exists = torch.tensor([[True, True, True, True, False]])
    found = rewards.cadence(lengths, exists, torch.tensor([7]), bank)
    units = np.arange(1, 9)
    expected = wasserstein_distance([1, 3, 3, 8], units, None, bank.lengths[7].numpy())
    assert float(found) == pytest.approx(0.5 * expected, abs=1e-5)


def test_a_pool_holds_the_editor_s_shots_and_splits_share_no_style():
    for split, count in styles.STYLES.items():
        bank = styles.load(split, torch.device("cpu"))
        assert len(bank) == count
        brief = briefs.draw(bank, random.mix(torch.arange(50), 2))
        for row in range(50):
            plan = brief.plan[row, : brief.shots[row]]
            assert len(set(plan[:, 0].tolist())) == len(plan)
            assert int(plan[:, 2].sum()) == brief.target[row]
            assert bool((plan[:, 1] + plan[:, 2] <= brief.lengths[row, plan[:, 0]]).all())
            assert bool((brief.story[row, plan[:, 0]].diff() > 0).all())
    tastes = torch.cat(
        [styles.load(s, torch.device("cpu")).taste.flatten(1) for s in styles.STYLES]
    )
    assert len(tastes.unique(dim=0)) == len(tastes)


def test_a_film_s_log_probability_and_habits_are_those_computed():
    bank, rows = styles.load("validation", torch.device("cpu")), 20_000
    style = torch.arange(rows) % len(bank)
    made = styles.films(bank, style, random.mix(torch.arange(rows), 9), styles.SHOTS).attributes
    last = torch.full_like(made[:, 0], styles.NONE)
    before, total = last, torch.zeros(rows)
    for k in range(styles.SHOTS):
        total += bank.of(style, before, last, made[:, k]) / styles.SHOTS
        before, last = last, made[:, k]
    away = total - bank.expected[style, styles.SHOTS]
    assert float(away.mean()) == pytest.approx(0, abs=5 * float(away.std()) / rows**0.5)
    kept = (made[:, 1:] == made[:, :-1]).float().mean((0, 1))
    torch.testing.assert_close(kept, bank.kept[style].mean(0), atol=0.01, rtol=0)


def begun(steps: int, rows: int = 2):
    task, state = drawn(rows)
    for _ in range(steps):
        state = task.transition(state, task.reference_action(state)).state
    return task, state


def test_pictures_have_one_size():
    pictures = [task.render(state, 0) for task, state in (begun(0), begun(7))]
    assert pictures[0].shape == pictures[1].shape and pictures[0].dtype == np.uint8
    assert (pictures[0] != pictures[1]).any()


def test_what_a_film_is_kept_as(tmp_path):
    task, state = begun(7)
    kept = task.artefact(state, 0)
    assert len(kept.edit) == 2 and kept.edit.frames == 12 * int(state.filled[0])
    assert torch.equal(kept.footage.attributes, state.attributes[0])
    for suffix in ("edl", "EDL", "otio", "txt"):
        kept.save(tmp_path / f"film.{suffix}")
    assert len((tmp_path / "film.txt").read_text().splitlines()) == 2
    assert "C00" in (tmp_path / "film.edl").read_text()
    with pytest.raises(ValueError, match=r"must end in \.mp4, \.edl"):
        kept.save(tmp_path / "film.avi")
    empty = task.artefact(begun(0)[1], 0)
    assert len(empty.edit) == 0 and str(empty) == ""
    with pytest.raises(ValueError, match="at least one event"):
        empty.save(tmp_path / "film.edl")
    judged = task.judge(state)["smooth"]
    assert bool(((judged > 0) & (judged <= 1)).all())
    assert task.judge(begun(0)[1])["smooth"].tolist() == [0, 0]


@needs("av", extra="video")
def test_a_film_has_every_frame_and_cuts_where_the_edit_put_them(tmp_path):
    import av

    task, state = begun(13, rows=8)
    joins = state.film[:, 1:4, 3]
    row = int((joins == CUT).sum(1).argmax())
    kept = task.artefact(state, row)
    kept.save(tmp_path / "film.MP4")
    with av.open(str(tmp_path / "film.MP4")) as film:
        found = [f.to_ndarray(format="rgb24").astype(float) for f in film.decode(video=0)]
    assert len(found) == kept.edit.frames
    cuts = [k for k in range(1, len(kept.edit)) if int(kept.edit.transition[k]) == CUT]
    assert len(cuts) >= 2
    for k in cuts:
        at = int(kept.edit.begins[k])
        change = [np.abs(found[j] - found[j - 1]).mean() for j in (at - 1, at, at + 1)]
        assert change[1] > 2 * max(change[0], change[2])


@needs("av", extra="video")
def test_a_list_names_the_clips_that_are_written_beside_it(tmp_path):
    import av

    task, state = begun(13)
    kept = task.artefact(state, 0)
    for suffix in ("edl", "otio"):
        kept.save(tmp_path / f"film.{suffix}", media=tmp_path / "clips")
    timeline = json.loads((tmp_path / "film.otio").read_text())
    shots = [c for c in timeline["tracks"]["children"][0]["children"] if "media_references" in c]
    assert len(shots) == len(kept.edit)
    for k, shot in enumerate(shots):
        media = shot["media_references"]["DEFAULT_MEDIA"]
        path = Path(unquote(urlparse(media["target_url"]).path))
        assert f"* SOURCE FILE: {path}" in (tmp_path / "film.edl").read_text()
        with av.open(str(path)) as film:
            frames = [f.to_ndarray(format="rgb24").astype(float) for f in film.decode(video=0)]
        assert len(frames) == media["available_range"]["duration"]["value"]
        start = int(shot["source_range"]["start_time"]["value"])
        shown = kept.footage.pictures(kept.edit.clip[[k]], torch.tensor([start]))[0]
        assert np.abs(frames[start] - shown).mean() < 12
    with pytest.raises(ValueError, match=r"media are for \.edl and \.otio; got 'film\.mp4'"):
        kept.save(tmp_path / "film.mp4", media=tmp_path)


# --- the user's own footage ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Films of many kinds, and files that are none."""
    from tests.video.films import textures, turned, write

    path = tmp_path_factory.mktemp("footage")
    shots = textures(40).repeat(20, 0)  # 20 frames each
    heard = 0.4 * np.sin(np.arange(300_000) * 0.2).astype(np.float32)
    write(path / "a.mp4", shots[:400], sound=heard)
    write(path / "silent.webm", shots[400:520], codec="libvpx", rate=24)
    write(path / "b.gif", shots[520:600], codec="gif", rate=25)
    turned(write(path / "c.mp4", shots[600:720]))
    write(path / "odd.mov", shots[720:], rate=17)
    (path / "empty.mp4").touch()
    (path / "broken.mp4").write_bytes((path / "a.mp4").read_bytes()[:2000])
    (path / "text.mov").write_text("no film")
    (path / "readme.md").write_text("is not looked at")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENENVS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield path


def split_of(folder):
    """One that has enough: files are shared out by content, whatever the encoder made of them."""
    for split in ("train", "validation", "test"):
        try:
            ClipEdit(horizon=48, split=split, footage=str(folder))
        except ValueError as error:
            assert "a pool needs 16: more films" in str(error)
        else:
            return split
    raise AssertionError("a.mp4 alone is enough")


@needs("av", extra="video")
@needs("scenedetect", extra="video")
@pytest.mark.filterwarnings("ignore:left out")
def test_a_folder_of_films_is_cut(folder, tmp_path):
    import gymnasium as gym

    with pytest.warns(UserWarning, match="left out") as left:
        env = gym.make(
            "genenvs/ClipEdit-v0",
            footage=str(folder),
            split=split_of(folder),
            render_mode="rgb_array",
        )
    assert {k for k in ("empty", "broken", "text") if any(k in str(w.message) for w in left)} == {
        "empty", "broken", "text",
    }  # fmt: skip
    env.reset(seed=3)
    task, over = env.unwrapped.batch.task, False
    pool = env.unwrapped.batch.state.taken[0].tolist()
    assert len(set(pool)) == 16 and min(pool) >= 0
    while not over:
        action = int(task.reference_action(env.unwrapped.batch.state)[0])
        _, _, over, _, info = env.step(action)
    assert info["metrics"]["agreement"] == pytest.approx(1, abs=0.25)  # shots count by length
    assert info["metrics"]["filled"] == 1 and env.render().shape[2] == 3
    kept = env.unwrapped.artefact()
    kept.save(tmp_path / "film.mp4")
    clip, start = int(kept.edit.clip[1]), int(kept.edit.start[1])
    shown = kept.footage.pictures(torch.tensor([clip]), torch.tensor([start + 14]))[0]
    import av

    with av.open(str(tmp_path / "film.mp4")) as film:
        found = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
    at = int(kept.edit.begins[1]) + 14
    if len(found) > at and int(kept.edit.length[1]) > 14:
        assert np.abs(found[at].astype(float) - shown).mean() < 12
    kept.save(tmp_path / "film.edl")
    assert any(name in (tmp_path / "film.edl").read_text() for name in ("a.mp4", "c.mp4", "b.gif"))


@needs("av", extra="video")
@needs("scenedetect", extra="video")
@pytest.mark.filterwarnings("ignore:left out")
def test_footage_keeps_the_laws_of_a_batch_and_says_what_it_lacks(folder, tmp_path):
    envs = make(3, footage=str(folder), split=split_of(folder))
    envs.reset(seed=5)
    lengths = envs.state.lengths
    assert int(lengths.min()) >= 1 and int(lengths.max()) <= 12
    plan = envs.state.plan[0, : int(envs.state.shots[0])]
    assert bool((plan[:, 1] + plan[:, 2] <= lengths[0, plan[:, 0]]).all())
    with pytest.raises(ValueError, match="does not exist"):
        make(1, footage=str(tmp_path / "nowhere"))
    for wrong in (5, ""):
        with pytest.raises(ValueError, match="must be a path as text"):
            make(1, footage=wrong)


def played(given: briefs.Given, rows: int = 400) -> torch.Tensor:
    """The agreement of the editor's own cuts of it."""
    task = ClipEdit(horizon=48)
    task.given = given
    instance, over = random.mix(torch.arange(rows), 5), torch.zeros(rows, dtype=torch.bool)
    state = task.initial_state(instance, instance)
    while not bool(over.all()):
        moved = task.transition(state.clone(), task.reference_action(state))
        state = state.where(over, moved.state)
        over |= moved.terminated
    return task.measured(state)["agreement"]


def test_the_editor_s_cuts_of_given_footage_agree_as_expected_where_it_has_a_choice():
    dice = random.uniform(torch.arange(60), 0, COUNT)
    shots = (dice * torch.tensor(SIZES)).long()
    lengths = torch.arange(60) % 12 + 1
    found = played(briefs.Given(shots, lengths))
    assert float(found.mean()) == pytest.approx(1, abs=0.04)
    assert abs(float(played(briefs.Given(shots[:1].expand(60, -1), lengths)).mean())) < 0.5


def test_footage_of_one_kind_is_told():
    shots = torch.zeros(40, COUNT, dtype=torch.int64)
    with pytest.warns(UserWarning, match=r"in 100% of the films .* 40 parts have 1 different sets"):
        ClipEdit(horizon=48)._warn_of_likeness(briefs.Given(shots, torch.full((40,), 12)))
