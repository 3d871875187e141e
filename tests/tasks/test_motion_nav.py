"""Claims about MotionNav: what pays, what a primitive does, where it takes place."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genenvs.geometry import packed
from genenvs.motion import bvh, feet, humanoid
from genenvs.motion import frames as vectors
from genenvs.motion.primitives import FPS, SLOPE
from genenvs.motion.skeleton import forward
from genenvs.tasks.motion_nav import cheats, planning, rewards, scenes
from genenvs.tasks.motion_nav.artefact import Walk
from genenvs.tasks.motion_nav.task import EXTENT, LATENT_SCALE, MAP, MotionNav

ENV = "genenvs/MotionNav-v0"


@pytest.fixture(scope="module")
def task() -> MotionNav:
    return MotionNav(rooms="boxes", split="validation", horizon=48)


def fresh(task: MotionNav, rows: int, first: int = 0):
    index = torch.arange(first, first + rows)
    return task.prepare(task.initial_state(index, index * 977 + 5))


def play(task: MotionNav, state, policy, steps: int):
    """Rows until they end: their last states, and the terms summed over time."""
    over = torch.zeros(len(state.step), dtype=torch.bool)
    total = {name: torch.zeros(len(over)) for name in task.terms}
    for _ in range(steps):
        found = task.transition(state.clone(), policy(state))
        for name, value in found.terms.items():
            total[name] += value * ~over
        state = state.where(over, found.state)
        over = over | found.terminated
    return state, total, over


def random_action(state) -> torch.Tensor:
    generator = np.random.default_rng(int(state.step[0]) + 17)
    drawn = generator.uniform(-1, 1, (len(state.step), 8))
    return torch.from_numpy(drawn).float()


# --- one row in plain numpy ---


def rotation(vector) -> np.ndarray:
    """The matrix of a rotation vector."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = np.asarray(vector) / angle
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


def plain_soles(frame: np.ndarray) -> np.ndarray:
    """Left heel and toe, right heel and toe of a vector [34]: down the legs, joint by joint."""
    body = humanoid.humanoid()
    offset = {n: body.skeleton.offsets[k].double().numpy() for k, n in enumerate(humanoid.JOINTS)}
    balls = ["chest", "neck", "right_hip", "right_ankle", "right_shoulder",
             "left_hip", "left_ankle", "left_shoulder"]  # fmt: skip
    ball = {name: rotation(frame[6 + 3 * k : 9 + 3 * k]) for k, name in enumerate(balls)}
    knee = {"right": frame[30], "left": frame[32]}
    trunk = rotation([0, 0, frame[2]]) @ rotation([frame[4], frame[5], 0])
    ends = []
    for side in ("left", "right"):
        hip = np.array([frame[0], frame[1], frame[3]]) + trunk @ offset[f"{side}_hip"]
        thigh = trunk @ ball[f"{side}_hip"]
        joint = hip + thigh @ offset[f"{side}_knee"]
        shin = thigh @ rotation([0, -knee[side], 0])
        ankle = joint + shin @ offset[f"{side}_ankle"]
        foot = shin @ ball[f"{side}_ankle"]
        k = humanoid.JOINTS.index(f"{side}_ankle")
        centre, half = (x[k].double().numpy() for x in (body.centres, body.halves))
        ends += [ankle + foot @ (centre + half * (sign, 0, -1)) for sign in (-1, 1)]
    return np.array(ends)


def plain_step(task: MotionNav, state, row: int, action: np.ndarray):
    """Frames and terms of one primitive."""
    model = task.primitives
    seeds, goal = state.seeds[row].numpy(), state.goal[row].numpy()
    x0, y0, h0 = seeds[0, :3]

    def local(x, y):
        dx, dy = x - x0, y - y0
        c, s = math.cos(h0), math.sin(h0)
        return c * dx + s * dy, -s * dx + c * dy

    second = [*local(*seeds[1, :2]), seeds[1, 2] - h0]
    told = np.concatenate([seeds[0, 3:], second, seeds[1, 3:]])
    told = (told - model.centre.numpy()) / model.scale.numpy()
    x = np.concatenate([told, LATENT_SCALE * action])
    for k, (weight, bias) in enumerate(model.layers):
        x = np.where(x > 0, x, SLOPE * x) if k else x
        x = weight.numpy() @ x + bias.numpy()
    now, frames = np.concatenate([second, seeds[1, 3:]]), [*seeds]
    for step in x.reshape(8, 34):
        now = now + step
        c, s = math.cos(h0), math.sin(h0)
        place = [x0 + c * now[0] - s * now[1], y0 + s * now[0] + c * now[1], h0 + now[2]]
        pose = np.clip(now[3:], model.low.numpy(), model.high.numpy())
        frames.append(np.concatenate([place, pose]))
    frames = np.array(frames)
    soles = np.array([plain_soles(frame) for frame in frames])
    distances = np.linalg.norm(frames[:, :2] - goal, axis=1)
    nearest = distances.min()
    way = goal - frames[-1, :2]
    cosine = (way @ [math.cos(frames[-1, 2]), math.sin(frames[-1, 2])]) / np.linalg.norm(way)
    low = soles[:, :, 2].min(1)
    speeds = np.linalg.norm(soles[2:] - soles[:-2], axis=-1).min(1) * FPS / 2
    feet_local = np.array([local(*p[:2]) for frame in soles for p in frame])
    blocked = 0
    for i in range(MAP):
        for j in range(MAP):
            point = [-EXTENT + k * 2 * EXTENT / (MAP - 1) for k in (i, j)]
            inside = (point >= feet_local.min(0)).all() and (point <= feet_local.max(0)).all()
            blocked += bool(inside) and not bool(state.map[row, MAP * i + j])
    axes = model.prior.axes.numpy()
    unusual = [
        np.linalg.norm((f[3:] - model.prior.mean.numpy()) @ axes) / axes.shape[1] ** 0.5
        for f in frames
    ]
    terms = {
        "goal": -math.sqrt(max(0.0, nearest - 0.05)),
        "facing": (cosine + 1) / 2 - 1,
        "floor": math.exp(-np.abs(low - 0.02).mean()) - 1,
        "skate": math.exp(-np.maximum(0, speeds - 0.075).mean()) - 1,
        "penetration": math.exp(-2 * blocked) - 1,
        "pose": math.exp(-np.mean(unusual)) - 1,
        "success": 10.0 * (nearest <= 0.05),
    }
    return frames, terms


@pytest.mark.parametrize("generator", ["cvae", "pca"])
def test_a_step_is_what_plain_numpy_makes_of_it(generator):
    task = MotionNav(rooms="boxes", generator=generator, split="validation", horizon=48)
    state = fresh(task, 3)
    for _ in range(6):
        action = random_action(state)
        wanted = [plain_step(task, state, k, action[k].double().numpy()) for k in range(3)]
        frames = task.walk_on(state, action)
        found = task.transition(state, action)
        for k, (plain, terms) in enumerate(wanted):
            np.testing.assert_allclose(frames[k].numpy(), plain, atol=1e-9)
            for name, value in terms.items():
                assert float(found.terms[name][k]) == pytest.approx(value, abs=1e-6), name
        state = found.state


def test_the_map_is_the_floor_round_the_body(task):
    state, _, _ = play(task, fresh(task, 4), random_action, 5)
    room = packed.unpack(state.walkable)
    for row in range(4):
        x, y, heading = state.seeds[row, 0, :3].tolist()
        for i in range(MAP):
            for j in range(MAP):
                u, v = (-EXTENT + k * 2 * EXTENT / (MAP - 1) for k in (i, j))
                px = x + math.cos(heading) * u - math.sin(heading) * v
                py = y + math.sin(heading) * u + math.cos(heading) * v
                a, b = math.floor(px / 0.1), math.floor(py / 0.1)
                free = 0 <= a < 64 and 0 <= b < 64 and bool(room[row, a, b])
                assert bool(state.map[row, MAP * i + j]) == free


# --- what pays ---


def test_arriving_beats_hovering_beats_standing(task):
    """In return; paid as published, the same walks are worth more the longer they take."""
    ours, published, reached = {}, {}, {}
    policies = {
        "arrive": task.reference_action,
        "hover": lambda state: cheats.choose(task, state, cheats.hovering),
        "stand": lambda state: cheats.choose(task, state, cheats.standing),
    }
    for name, policy in policies.items():
        state, total, over = play(task, fresh(task, 8), policy, 48)
        ours[name] = sum(total.values())
        # Each published term is one more, and success a tenth.
        published[name] = ours[name] + 6 * state.step - 0.9 * total["success"]
        reached[name] = float(over.float().mean())
    assert reached["arrive"] == 1 and reached["hover"] < 0.3 and reached["stand"] == 0
    assert float((ours["arrive"] - ours["hover"]).mean()) > 20
    assert float((ours["hover"] - ours["stand"]).mean()) > 5
    assert float((published["hover"] - published["arrive"]).mean()) > 50


def test_no_term_but_success_is_above_zero(task):
    _, total, _ = play(task, fresh(task, 16), random_action, 10)
    for name, value in total.items():
        assert name == "success" or bool((value <= 0).all()), name


def test_published_terms_are_one_more_and_success_is_one():
    both = [
        MotionNav(rooms="boxes", split="validation", horizon=48, published_rewards=flag)
        for flag in (False, True)
    ]
    ours, theirs = (task.transition(fresh(task, 8), torch.zeros(8, 8)).terms for task in both)
    for name in ours:
        if name != "success":
            assert torch.allclose(theirs[name], ours[name] + 1, atol=1e-6)
    state = fresh(both[1], 8)
    state.goal.copy_(state.seeds[:, -1, :2])
    found = both[1].transition(state, torch.zeros(8, 8))
    assert found.terms["success"].tolist() == [1.0] * 8
    assert bool(found.terminated.all())


def test_loitering_at_six_centimetres():
    """The goal's term: 0.9 a step beside it, where to reach it pays 1 + 1 once."""
    near = rewards.goal(torch.tensor([0.06, 0.05, 0.0, 1.05]))
    assert near.tolist() == pytest.approx([0.9, 1.0, 1.0, 0.0], abs=1e-6)


def test_terms_by_hand():
    still = torch.zeros(1, 10, 4, 3, dtype=torch.float64)
    still[..., 2] = 0.02
    assert float(rewards.floor(still)) == 1
    assert float(rewards.skate(still, FPS)) == 1
    sliding = still.clone()
    sliding[..., 0] = torch.arange(10)[:, None] * (0.575 / FPS)  # 0.5 m/s too fast
    assert float(rewards.skate(sliding, FPS)) == pytest.approx(math.exp(-0.5))
    one_stands = sliding.clone()
    one_stands[:, :, 0] = still[:, :, 0]
    assert float(rewards.skate(one_stands, FPS)) == 1  # why `slide` is the gold
    assert float(feet.slide(one_stands, FPS)) == 0  # too fast to count as planted
    points = torch.tensor([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0]], dtype=torch.float64)
    corners = torch.tensor([[[[-0.2, -0.1], [0.2, 0.1]]]], dtype=torch.float64)
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    assert float(rewards.penetration(points, nothing, corners)) == pytest.approx(math.exp(-4))
    assert float(rewards.penetration(points, ~nothing, corners)) == 1
    assert rewards.facing(torch.tensor([1.0, 0.0, -1.0])).tolist() == [1, 0.5, 0]


def test_leaving_the_floor_is_charged_and_not_ended(task):
    state = fresh(task, 4)
    blocked = state.replace(walkable=torch.zeros_like(state.walkable), map=~state.map & False)
    found = task.transition(blocked, torch.zeros(4, 8))
    assert bool((found.terms["penetration"] < -0.8).all())
    assert not bool(found.terminated.any())
    assert float(task.outcome(found.state).metrics["walkable"].max()) == 0


# --- metrics ---


def test_the_contact_score_is_that_of_the_whole_walk(task):
    state, _, _ = play(task, fresh(task, 6), random_action, 7)
    motion = task.motion(state)
    assert motion.shape == (6, 2 + 8 * 7, 34)
    whole = feet.contact_score(vectors.soles(motion), FPS)
    found = task.outcome(state).metrics
    assert torch.allclose(found["contact"].double(), whole, atol=1e-6)
    inside = scenes.look_up(
        state.walkable, vectors.soles(motion)[:, 2:, :, :2].flatten(1, 2)
    ).unflatten(1, (-1, 4))
    assert torch.allclose(found["walkable"], feet.walkable_score(inside))


def test_a_walk_is_made_again_from_its_latents(task):
    state = fresh(task, 3)
    frames = [state.seeds.clone()]
    for _ in range(4):
        action = random_action(state)
        frames.append(task.walk_on(state, action)[:, 2:])
        state = task.transition(state, action).state
    assert torch.allclose(task.motion(state), torch.cat(frames, 1), atol=1e-12)


def test_the_gold_slide_counts_every_planted_sole(task):
    state, _, _ = play(task, fresh(task, 3), random_action, 6)
    judged = task.judge(state)
    motion = task.motion(state)
    whole = feet.slide(vectors.soles(motion), FPS) / (motion.shape[1] / FPS)
    assert torch.allclose(judged["slide"], whole.float())
    assert bool((judged["jerk"] > 0).all())


# --- places ---


@given(st.integers(0, 2**40))
@settings(max_examples=15, deadline=None)
def test_boxes_leave_a_way(seed):
    scene = scenes.boxes(torch.tensor([seed]) + torch.arange(4))
    apart = (scene.goal - scene.start[:, :2]).norm(dim=1)
    ends = torch.stack([scene.start[:, :2], scene.goal], 1)
    free = scenes.look_up(scenes.roomy(scene.walkable), ends)
    far = planning.ways(scene.walkable, scene.goal)
    way = planning.read(far, scene.start[:, None, :2])[:, 0]
    for k in range(4):
        if float(apart[k]) == 0:  # nothing is far enough: dropped when scenes are loaded
            continue
        assert 1.5 - 1e-9 <= float(apart[k]) <= 5.0 + 1e-9
        assert bool(free[k].all())
        # Fifty cells, and no more than the sixteen directions' error on top.
        assert float(apart[k]) - 0.1 <= float(way[k]) <= 5.6


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("rooms", ["boxes", "furnished"])
def test_every_goal_is_one_and_a_half_to_five_metres_away_on_the_floor(rooms, split):
    """All instances of every split."""
    scene = scenes.load(rooms, split)
    apart = (scene.goal - scene.start[:, :2]).norm(dim=1)
    assert float(apart.min()) >= 1.5 - 1e-9
    assert float(apart.max()) <= 5.0 + 1e-9
    assert len(apart) > 350
    here, there = ((place / 0.1).floor().long() for place in (scene.start[:, :2], scene.goal))
    assert int(scenes.in_the_way(scene.walkable, here, there[:, None]).min()) > 0
    ends = torch.stack([scene.start[:, :2], scene.goal], 1)
    assert bool(scenes.look_up(scenes.roomy(scene.walkable), ends).all())
    way = scene.goal - scene.start[:, :2]
    aside = torch.atan2(way[:, 1], way[:, 0]) - scene.start[:, 2]
    assert float(torch.remainder(aside + math.pi, 2 * math.pi).sub(math.pi).abs().max()) < 1.06


def test_ways_go_round_what_stands_there():
    room = torch.ones(64, 64, dtype=torch.bool)
    room[20:44, :48] = False  # a wall with a passage at its end
    far = planning.ways(packed.pack(room)[None], torch.tensor([[1.05, 1.05]]).double())
    through = math.hypot(6.0 - 1.05, 0)
    around = float(planning.read(far, torch.tensor([[[6.0, 1.05]]]).double()))
    assert around > 2 * through
    assert float(planning.read(far, torch.tensor([[[1.05, 3.05]]]).double())) == pytest.approx(
        2.0, rel=0.03
    )


def test_what_is_in_the_way():
    room = torch.ones(1, 64, 64, dtype=torch.bool)
    room[0, 30, 20:30] = False
    ends = torch.tensor([[[50, 25], [50, 18], [20, 45]]])  # through it, beside it, elsewhere
    found = scenes.in_the_way(packed.pack(room), torch.tensor([[10, 25]]), ends[:, :1])
    assert found.tolist() == [[2]]
    found = scenes.in_the_way(packed.pack(room), torch.tensor([[10, 18]]), ends[:, 1:])
    assert found.tolist() == [[1, 0]]


def test_packing_and_looking_up():
    room = torch.from_numpy(np.random.default_rng(0).random((2, 64, 64)) < 0.5)
    words = packed.pack(room)
    assert torch.equal(packed.unpack(words), room)
    places = torch.tensor([[[0.05, 6.35], [3.21, 4.49], [-0.01, 1.0], [1.0, 6.4]]] * 2).double()
    found = scenes.look_up(words, places)
    for k in range(2):
        assert found[k].tolist() == [bool(room[k, 0, 63]), bool(room[k, 32, 44]), False, False]


# --- files, arguments ---


def test_what_is_left_is_a_film_and_a_motion(task, tmp_path):
    state, _, _ = play(task, fresh(task, 2), task.reference_action, 3)
    walk = task.artefact(state, 1)
    walk.save(tmp_path / "walk.bvh")
    again = bvh.read(tmp_path / "walk.bvh")
    assert len(again.root) == len(walk.root) == 26
    positions, _ = forward(again.skeleton, again.root, again.rotations)
    ours, _ = forward(humanoid.humanoid().skeleton, walk.root, walk.rotations)
    head = again.skeleton.names.index("neck")
    # BVH has y upwards; ours is z.
    turned = positions[:, head][:, [2, 0, 1]].double()
    assert torch.allclose(turned, ours[:, humanoid.JOINTS.index("neck")], atol=1e-3)
    short = Walk(walk.root[:4], walk.rotations[:4], walk.floor, walk.walkable, walk.goal)
    short.save(tmp_path / "walk.gif")
    from PIL import Image

    assert Image.open(tmp_path / "walk.gif").n_frames == 2
    with pytest.raises(ValueError, match=r"must end in one of \.bvh"):
        walk.save(tmp_path / "walk.txt")


def test_bad_arguments_say_what_would_do(tmp_path):
    for argument, value, message in (
        ("rooms", "street", "rooms must be 'furnished' or 'boxes'"),
        ("generator", "gan", "generator must be cvae or pca"),
        ("published_rewards", 2, "must be True or False"),
        ("clips", str(tmp_path), "generator='pca'"),
    ):
        with pytest.raises(ValueError, match=message):
            MotionNav(split="validation", horizon=48, **{"rooms": "boxes", argument: value})


def test_a_users_own_walk_becomes_primitives(task, tmp_path):
    """A BVH file of a walk that this environment made, and a corrupt one beside it."""
    state, _, _ = play(task, fresh(task, 1), task.reference_action, 9)
    task.artefact(state, 0).save(tmp_path / "walk.bvh")
    (tmp_path / "broken.bvh").write_text("HIERARCHY\nROOT")
    with pytest.warns(UserWarning, match=r"left out: .*broken\.bvh is no BVH file"):
        own = MotionNav(
            rooms="boxes", generator="pca", clips=str(tmp_path), split="validation", horizon=48
        )
    after = own.transition(fresh(own, 4), torch.zeros(4, 8)).state
    moved = (after.seeds[:, -1, :2] - fresh(own, 4).seeds[:, -1, :2]).norm(dim=1)
    assert bool(((moved > 0.02) & (moved < 0.6)).all())
    (tmp_path / "walk.bvh").unlink()
    with pytest.raises(ValueError, match=r"broken\.bvh"):
        MotionNav(rooms="boxes", generator="pca", clips=str(tmp_path / "broken.bvh"), horizon=48)


def test_any_latents_stay_within_the_observation(task):
    """Walks of extremes: still in the space, at the end of the longest episode."""
    state = fresh(task, 16)
    signs = torch.from_numpy(np.random.default_rng(1).choice([-1.0, 1.0], (16, 8))).float()
    for _ in range(48):
        state = task.transition(state, signs).state
    space = gym.make_vec(ENV, num_envs=16, rooms="boxes").observation_space
    found = {name: value.numpy() for name, value in task.observe(state).items()}
    assert space.contains(found)
    assert float(state.seeds.abs().max()) < 200
