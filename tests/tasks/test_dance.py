"""Claims about dancing to music with pose codes."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

import genenvs
from genenvs.core import random
from genenvs.core.vector import TaskVectorEnv
from genenvs.motion import beats, bvh, clips
from genenvs.motion.codes import FPS, FRAMES, LEAST
from genenvs.motion.humanoid import humanoid
from genenvs.motion.skeleton import forward
from genenvs.tasks.dance import cheats, planner, rewards
from genenvs.tasks.dance.task import LEAD, Dance
from tests.motion import samples
from tests.needs import needs

ID = "genenvs/Dance-v0"


def make(num_envs=4, **arguments) -> TaskVectorEnv:
    arguments = {"split": "test", "autoreset_mode": AutoresetMode.SAME_STEP} | arguments
    return gym.make_vec(ID, num_envs=num_envs, keep_final=True, output="torch", **arguments)


def plain_beats(speed: np.ndarray, rise: float) -> list[int]:
    """Where a body is slowest, written plainly."""
    smooth = gaussian_filter1d(speed.astype(np.float64), 5.0)
    last, found = len(smooth) - 1, []
    for k in range(1, last):
        around = smooth[abs(k - 8)], smooth[last - abs(last - k - 8)]
        lower = smooth[k] < smooth[k - 1] and smooth[k] < smooth[k + 1]
        if lower and (not rise or min(around) - smooth[k] >= rise / 60):
            found.append(k)
    return found


def plain_score(task: Dance, codes: torch.Tensor, known: np.ndarray, music: np.ndarray) -> float:
    """What the beats of a dance pay if it ends with these codes, from the decoded motion."""
    motion = task.codes.decode(codes[None])
    positions, _ = forward(humanoid().skeleton, *motion)
    speed = positions[0].diff(dim=0).norm(dim=-1).mean(-1).numpy()
    known = known[: len(speed)]
    np.testing.assert_allclose(known[FRAMES:], speed[FRAMES:], atol=1e-6)
    # As the state has it: in the published definition a last digit can make a beat.
    danced = len(codes) - LEAD
    has = {k // FRAMES - LEAD for k in plain_beats(known, rewards.RISE[task.reward])}
    total = 0.0
    for k in range(danced):
        on, beat = bool(music[k]), k in has
        if task.reward == "balanced":
            total += beat * (1 / music.sum() if on else -1 / (~music).sum()) if music.any() else 0
        elif task.reward == "bailando":
            total += 5 if on and beat else -5
        else:
            total += 5 if beat or not on else -5
    return total


@pytest.mark.parametrize("reward", rewards.PAYS)
def test_a_batch_equals_the_plain_reference(reward):
    task, rows = Dance(horizon=9, reward=reward), 4
    instance = random.mix(torch.arange(rows), 3)
    state = task.initial_state(instance, instance)
    music = task.has_beat(state).numpy()
    assert (music == state.beats.view(rows, 9, FRAMES).any(2).numpy()).all()
    paid = np.zeros(rows)
    for step in range(9):
        key = random.mix(instance, step)
        action = task.prior.sample(task.before(state), key, 0)
        action[0] = random.randint(key[:1], 1, 2, 128)[0]  # as far from any clip as can be
        before = task.before(state).clone()
        moved = task.transition(state, action)
        state = moved.state
        paid += moved.terms["beats"].numpy()
        for row in range(rows):
            whole = state.codes[row, : LEAD + step + 1]
            assert whole[-1].tolist() == action[row].tolist()
            score = plain_score(task, whole, state.speed[row].numpy(), music[row])
            assert paid[row] == pytest.approx(score, abs=2e-4)
        gap = task.codes.gap(before, action)
        torch.testing.assert_close(moved.terms["continuity"], -gap / 9)
        assert bool(moved.terminated.all()) == (step == 8)
    found = task.outcome(state).metrics
    torch.testing.assert_close(found["join_gap"], state.gap / 9)
    if reward == "balanced":
        torch.testing.assert_close(found["balanced_accuracy"], 0.5 + 0.5 * state.score)
    over = task.transition(state.clone(), action)  # an ended row may be stepped
    assert torch.equal(over.state.beats, state.beats)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_always_and_never_score_chance_and_hearing_scores_one(pattern):
    music = torch.tensor([pattern])
    base, gain = rewards.pay(music, "balanced")
    assert float(base.abs().sum()) == 0
    mixed = any(pattern) and not all(pattern)
    assert float(gain.sum()) == pytest.approx(0 if mixed or not any(pattern) else 1, abs=1e-5)
    if mixed:
        assert float(gain[music].sum()) == pytest.approx(1, abs=1e-5)
        assert float(rewards.balanced_accuracy(music, ~music)) == pytest.approx(0, abs=1e-5)


def test_bailando_s_rewards_are_greatest_for_always():
    music = torch.tensor([[True, False, False, True]])
    for kind, always, never in (("bailando", 0, -20), ("bailando_paper", 20, 0)):
        base, gain = rewards.pay(music, kind)
        assert float((base + gain).sum()) == always and float(base.sum()) == never
        assert float((base + gain * music).sum()) == always  # who hears gains nothing


def test_one_held_pose_is_no_beat_to_us_and_every_beat_to_bailando():
    for reward, paid in (("balanced", 0.0), ("bailando_paper", 60 * 5.0)):
        envs = make(16, reward=reward)
        found = genenvs.evaluate(envs, cheats.never(envs), episodes=16)
        assert found.episodes["dance_beats"].max() <= 1
        assert found.episodes["term/beats"].mean() == pytest.approx(paid, abs=0.1 * paid + 1e-2)


def test_beats_without_end_are_worth_nothing():
    envs = make(32)
    found = genenvs.evaluate(envs, cheats.always(envs), episodes=32)
    assert found.episodes["dance_beats"].mean() > 20
    assert abs(found.episodes["term/beats"].mean()) < 0.1
    assert abs(found.episodes["balanced_accuracy"].mean() - 0.5) < 0.05


def test_a_planner_looks_at_no_more_codes_than_codebooks_have():
    assert max(planner.FIRST + planner.THEN) <= LEAST


def test_the_reference_hears():
    envs = make(8, horizon=30)
    found = genenvs.evaluate(envs, "reference", episodes=8)
    deaf = genenvs.evaluate(envs, cheats.always(envs), episodes=8)
    assert found.interval("f1").mean > deaf.interval("f1").mean + 0.1
    assert found.episodes["balanced_accuracy"].mean() > 0.7
    assert found.episodes["join_gap"].mean() < 0.1


def test_metrics_of_codes_by_hand():
    codes = torch.tensor([[[0, 0], [1, 1], [0, 0], [1, 1], [2, 2]]])
    # steps 0-1, 1-0, 0-1 again, 1-2: one of four came before
    assert float(rewards.repetition(codes)) == 0.25
    speed = torch.full((1, 60), 0.03, dtype=torch.float64)
    trembling = speed + 1e-4 * torch.cos(torch.arange(60) * torch.pi / 4)
    assert int(beats.slowest(trembling, FPS).sum()) >= 4
    assert int(beats.slowest(trembling, FPS, rise=0.1).sum()) == 0


def test_a_dance_of_one_code_is_judged():
    found = genenvs.evaluate(make(2, horizon=1), "reference", episodes=2).episodes
    assert (found["join_jerk"] == 0).all() and (found["repetition"] == 0).all()
    assert all(np.isfinite(found[name]).all() for name in found)


def test_one_s_own_clips_are_danced_with(tmp_path):
    root, rotations = samples.motion(0, 1, 300, 0.2)
    own = clips.Clip("own", "", FPS, root[0], rotations[0])
    clips.write_bvh(tmp_path / "own.bvh", own)
    envs = make(2, horizon=2, clips=tmp_path)
    assert envs.task.codes.follows.shape == (2 * (300 - 2 * FRAMES), 4)
    assert np.isfinite(genenvs.evaluate(envs, "random", episodes=2).episodes["likelihood"]).all()
    assert Dance(horizon=2, clips=tmp_path).codes is envs.task.codes  # made once
    with pytest.raises(ValueError, match="give clips or codes, not both"):
        Dance(horizon=2, clips=tmp_path, codes="other")
    clips.write_bvh(
        tmp_path / "own.bvh", clips.Clip("own", "", FPS, root[0, :60], rotations[0, :60])
    )
    with pytest.raises(ValueError, match="too short for 128 codes a half"):
        Dance(horizon=2, clips=tmp_path)


def test_what_a_dance_is_kept_as(tmp_path):
    envs = make(2, horizon=4)
    envs.reset(seed=1)
    for _ in range(2):
        envs.step(envs.reference_action())
    made = envs.artefact(0)
    assert made.root.shape == (2 * FRAMES + 1, 3)
    made.save(tmp_path / "dance.wav")
    assert (tmp_path / "dance.wav").stat().st_size > 2 * len(made.sound)
    made.save(tmp_path / "dance.bvh")
    again = clips.read_clip(tmp_path / "dance.bvh", FPS)
    torch.testing.assert_close(again.root, made.root, atol=1e-3, rtol=0)
    assert len(bvh.read(tmp_path / "dance.bvh").times) == 2 * FRAMES + 1
    with pytest.raises(ValueError, match="must end in one of"):
        made.save(tmp_path / "dance.txt")


@needs("av", extra="video")
def test_a_film_has_its_sound(tmp_path):
    import av

    envs = make(1, horizon=4)
    envs.reset(seed=1)
    for _ in range(3):
        envs.step(envs.action_space.sample())
    made = envs.artefact(0)
    made.save(tmp_path / "dance.mp4", size=64)
    with av.open(str(tmp_path / "dance.mp4")) as film:
        assert len(list(film.decode(film.streams.video[0]))) == -(-len(made.root) // 3)
    with av.open(str(tmp_path / "dance.mp4")) as film:
        heard = np.concatenate([f.to_ndarray()[0] for f in film.decode(film.streams.audio[0])])
    assert len(heard) >= len(made.sound)
    assert np.abs(heard).max() == pytest.approx(np.abs(made.sound).max(), abs=0.3)


def test_the_picture_tells_how_it_went():
    envs = make(1, horizon=2)
    envs.reset(seed=1)
    task = envs.task
    first = task.render(envs.state, 0)
    after = task.transition(envs.state.clone(), envs.reference_action()).state
    assert first.shape == task.render(after, 0).shape and (first != task.render(after, 0)).any()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"reward": "applause"}, "reward must be one of balanced, bailando, bailando_paper"),
        ({"codes": "no/such/file"}, "codes must be 'shipped' or the path of a file"),
        ({"music": "no/such/file.wav"}, "does not exist"),
        ({"horizon": 0}, "horizon must be an integer >= 1"),
    ],
)
def test_bad_arguments_are_told(arguments, text):
    with pytest.raises(ValueError, match=text):
        Dance(**{"horizon": 60} | arguments)
