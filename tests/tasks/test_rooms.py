"""RoomLayout and RoomSelect: the same as plain cells; endings, cheats, users' rooms, files."""

import json
from xml.etree import ElementTree

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from genenvs.core.vector import TaskVectorEnv
from genenvs.rooms import bits, furnish, instances, placing
from genenvs.rooms import task as room_task
from genenvs.rooms.catalogue import CATALOGUE, TYPES, index
from genenvs.rooms.choose import harder, played, played_again, solvable
from genenvs.rooms.placing import PLACES
from genenvs.rooms.requests import ITEMS
from genenvs.rooms.rewards import RAW
from genenvs.simulators.engine import installed
from genenvs.tasks.room_layout import cheats as layout_cheats
from genenvs.tasks.room_layout.task import FINISH
from genenvs.tasks.room_select import cheats as select_cheats
from tests.needs import import_or_skip, needs
from tests.rooms.plain import plain_room

LAYOUT, SELECT = "genenvs/RoomLayout-v0", "genenvs/RoomSelect-v0"
BED, TABLE, CHAIR, LAMP = (index(name) for name in ("bed", "table", "chair", "lamp"))


def make(env=LAYOUT, num_envs=4, **arguments) -> TaskVectorEnv:
    arguments = {"split": "test", "autoreset_mode": AutoresetMode.DISABLED} | arguments
    return gym.make_vec(env, num_envs=num_envs, keep_final=True, **arguments)


def take(kind) -> int:
    return PLACES + kind


def play(envs, policy, steps=40):
    """Play all rows to their end: the sum of rewards, and the metrics of the end."""
    observation, info = envs.reset(seed=0)
    total, done, ends = np.zeros(envs.num_envs), np.zeros(envs.num_envs, bool), {}
    for _ in range(steps):
        observation, reward, terminated, _, info = envs.step(policy(observation, info))
        total += reward * ~done
        for name, value in info["metrics"].items():
            if not name.startswith("_"):
                ends[name] = np.where(done, ends.get(name, value), value)
        done |= terminated
        if done.all():
            return total, ends
        if terminated.any():
            envs.reset(options={"reset_mask": terminated})
    raise AssertionError("no end")


# --- against plain cells ---


def test_random_play_equals_plain_cells_step_by_step():
    envs = make(num_envs=3)
    _, info = envs.reset(seed=4)
    task, state = envs.unwrapped.task, envs.unwrapped.state
    rooms = task.rooms.rows(state.instance)
    plain = [plain_room(rooms, row) for row in range(3)]
    left, hand = rooms.requests.counts.numpy().copy(), np.full(3, -1)
    kept = np.zeros((3, 5))  # placed, wall, pairs, door, clearance
    rng, met = np.random.default_rng(0), set()
    for _ in range(24):
        mask = info["action_mask"]
        actions = []
        for row in range(3):
            if hand[row] < 0:
                expected = np.flatnonzero(left[row])
                assert np.flatnonzero(mask[row])[:-1].tolist() == (take(0) + expected).tolist()
            legal = np.flatnonzero(mask[row])
            # Mostly legal, but no finish; sometimes anything at all, or where something stands.
            some = rng.integers(0, FINISH) if rng.random() < 0.2 else rng.choice(legal[:-1])
            if plain[row].items and rng.random() < 0.2:
                _, x, y, turn = plain[row].items[-1]
                some = 1024 * turn + 32 * (x // 2) + y // 2
            actions.append(int(some))
        legal = mask[np.arange(3), actions]
        *_, terminated, _, info = envs.step(np.array(actions))
        np.testing.assert_array_equal(info["metrics"]["invalid"], ~legal)
        for row, action in enumerate(actions):
            room, kind = plain[row], hand[row]
            if not legal[row]:
                why = "out_of_turn"
                if kind >= 0 and action < PLACES:
                    within = all(
                        min(c) >= 0 and max(c) < 64 and room.inside[c]
                        for c in room.cells(room.lowest(kind, action))
                    )
                    why = "collision" if within else "outside"
                assert {n: info["terms"][n][row] for n in RAW} == {n: n == why for n in RAW}
                met.add(why)
                continue
            assert not any(info["terms"][name][row] for name in RAW)
            if kind < 0:
                hand[row] = action - PLACES
                item = [room.lowest(hand[row], p) for p in rng.integers(0, PLACES, 30)]
                found = info["action_mask"][row, :PLACES]
                if not found.any():  # nowhere: set aside
                    assert not any(room.legal(i) for i in item)
                    left[row, hand[row]], hand[row] = 0, -1
                continue
            item = room.lowest(kind, action)
            assert room.legal(item)
            wall, paired, strip, clear = room.rules(item)
            has = CATALOGUE[kind]
            kept[row] += [1, wall and has.wall, paired and bool(has.partner), not strip, not clear]
            room.items.append(item)
            left[row, kind] -= 1
            hand[row] = -1
        total = rooms.requests.counts.sum(1).numpy()
        for k, name in enumerate(("placed", "wall", "pairs", "door", "clearance")):
            np.testing.assert_allclose(info["metrics"][name], kept[:, k] / total, atol=1e-6)
        if terminated.any():
            break
    assert met == set(RAW)
    for row in range(3):
        items = envs.unwrapped.state.items[row].tolist()
        assert [tuple(i) for i in items if i[0] >= 0] == plain[row].items


def test_the_observation_shows_the_room_and_the_places():
    envs = make(num_envs=2)
    observation, info = envs.reset(seed=1)
    task = envs.unwrapped.task
    for _ in range(5):
        observation, *_, info = envs.step(task.reference_action(envs.unwrapped.state).numpy())
    state = envs.unwrapped.state
    assert (observation["hand"] < TYPES).all()
    room = task.furnished(state)
    free = room.walkable.view(-1, 32, 2, 32, 2).all(4).all(2).numpy()
    planes = observation["planes"]
    np.testing.assert_array_equal(planes[:, 0] == 255, free)
    assert ((planes[:, 4] > 0).sum() > 0) and (planes[:, 4] % 15 == 0).all()
    mask = info["action_mask"][:, :PLACES].reshape(-1, 4, 32, 32)
    np.testing.assert_array_equal(planes[:, 5:] > 0, mask)
    assert (planes[:, 5:].max((1, 2, 3)) == 255).all()
    left = (task.rooms.requests.counts[state.instance] > 0).numpy()
    assert (observation["numbers"][:, TYPES : 2 * TYPES][~left] == 0).all()


def test_all_rows_or_those_that_need_it_come_to_the_same(monkeypatch):
    """What runs on the CPU, and what runs where counting rows costs a round trip."""
    played, charged = [], []
    for needed in (placing.needed, lambda mask: slice(None)):
        monkeypatch.setattr(placing, "needed", needed)
        envs = make(num_envs=8)
        envs.reset(seed=2)
        task, state = envs.unwrapped.task, envs.unwrapped.state.clone()
        generator, refused = torch.Generator().manual_seed(0), torch.zeros(8, len(RAW))
        for step in range(21):
            action = task.reference_action(state)
            if step % 3 == 2:  # whatever it is
                action = torch.randint(FINISH, (8,), generator=generator)
            moved = task.transition(state, action)
            refused += torch.stack([moved.terms[name] for name in RAW], 1)
            state = moved.state
        assert bool((refused.sum(0) > 0)[[1, 2]].all())
        played.append(state)
        charged.append(refused)
    assert charged[0].equal(charged[1])
    for name, value in played[0].tensors().items():
        assert value.equal(played[1].tensors()[name]), name
    words = played[0].marks[:, 0, :32] & bits.EVEN
    assert placing.unpack(words).equal(placing.unpack_shifts(words))


# --- endings and cheats ---


@pytest.mark.parametrize(("env", "action"), [(LAYOUT, FINISH), (SELECT, TYPES)])
def test_finishing_is_always_legal_and_pays_nothing(env, action):
    envs = make(env)
    _, info = envs.reset(seed=0)
    assert info["action_mask"][:, action].all()
    _, reward, terminated, _, info = envs.step(np.full(4, action))
    assert terminated.all() and (reward == 0).all() and (info["metrics"]["invalid"] == 0).all()


def test_success_is_paid_once_where_all_stands_and_keeps_its_rules():
    envs = make(num_envs=16, reward_weights={"placed": 0, "wall": 0, "pairs": 0, "door": 0,
                                             "clearance": 0})  # fmt: skip
    task = envs.unwrapped.task
    total, ends = play(envs, lambda o, i: task.reference_action(envs.unwrapped.state).numpy())
    np.testing.assert_array_equal(total, ends["success"])
    np.testing.assert_array_equal(ends["success"], ends["quality"] > 1 - 1e-6)
    assert 0 < ends["success"].mean() < 1 and (ends["placed"] > 0.8).all()


def test_what_has_no_place_is_set_aside_with_all_others_of_its_type():
    envs = make(rooms="bedroom", num_envs=32)
    envs.reset(seed=0)
    task = envs.unwrapped.task
    wants = (envs.unwrapped.state.left[:, LAMP] > 0).numpy()
    assert wants.any()
    # Before there is a nightstand a lamp stands on nothing.
    *_, info = envs.step(np.where(wants, take(LAMP), take(BED)))
    assert (envs.unwrapped.state.left[:, LAMP].numpy() == 0)[wants].all()
    assert (envs.unwrapped.state.hand.numpy() == -1)[wants].all()
    assert (info["metrics"]["invalid"] == 0).all()
    assert not info["action_mask"][wants][:, take(LAMP)].any()
    total = task.total(envs.unwrapped.state)
    outcome = task.outcome(envs.unwrapped.state)
    assert (outcome.metrics["set_aside"].numpy()[wants] > 0).all() and bool((total > 0).all())


@pytest.mark.parametrize(
    ("env", "module", "name"),
    [(LAYOUT, layout_cheats, n) for n in ("finish_at_once", "stall", "first_place", "same_corner")]
    + [(SELECT, select_cheats, n) for n in ("finish_at_once", "stall", "small_first")],
)
def test_cheats_end_below_the_reference(env, module, name):
    envs = make(env, num_envs=24)
    task = envs.unwrapped.task
    cheat, ends = play(envs, getattr(module, name)(envs))
    best, wins = play(envs, lambda o, i: task.reference_action(envs.unwrapped.state).numpy())
    assert cheat.mean() < best.mean() - 0.3
    assert ends["quality"].mean() < wins["quality"].mean() - 0.05


def test_physics_is_named_after_its_engine_and_left_out_without_one(monkeypatch):
    envs = make(num_envs=2, engine=None)
    envs.reset(seed=0)
    task, state = envs.unwrapped.task, envs.unwrapped.state
    plain = set(task.judge(state))
    assert plain == {k for k, m in type(task).metrics.items() if m.when == "judge"}
    monkeypatch.setattr(room_task, "installed", list)
    assert make(num_envs=1).unwrapped.task.engine is None
    monkeypatch.undo()
    for name in installed():
        judge = make(num_envs=1, engine=name).unwrapped.task.judge(state)
        assert set(judge) - plain == {f"{k}_{name}" for k in ("drift", "tipped", "penetration")}


# --- instances ---


@pytest.mark.parametrize(("split", "last"), [("train", 1024), ("validation", 128), ("test", 256)])
def test_random_masked_play_succeeds_in_less_than_40_percent_of_the_time_in_select(split, last):
    plays, rooms = 80, torch.arange(last // 16, last, last // 6)
    task = make(SELECT, num_envs=1, split=split).unwrapped.task
    assert task.num_instances == last
    generator = torch.Generator().manual_seed(0)
    instance = rooms.repeat_interleave(plays)
    state = task.initial_state(instance, torch.zeros_like(instance))
    ended = torch.zeros(len(instance), dtype=torch.bool)
    while not ended.all():
        mask = task.action_mask(state)
        mask[:, TYPES] = ~mask[:, :TYPES].any(1)  # to finish early is never to succeed
        action = torch.multinomial(mask.float(), 1, generator=generator)[:, 0]
        moved = task.transition(state, action)
        state, ended = moved.state, ended | moved.terminated
    share = task.outcome(state).terms["success"].view(-1, plays).mean(1)
    assert (share < 0.4).all() and share.any(), share
    # What the rooms were chosen by plays the same.
    expected = played(task.rooms.rows(rooms), plays)
    np.testing.assert_allclose(share, expected, atol=4 * (0.25 / plays * 2) ** 0.5)


def test_rooms_of_select_can_be_solved():
    """In rooms in which no random play succeeds, some order of types does."""
    rooms = instances.load("test", which="select").rows(torch.arange(0, 256, 64))
    assert bool(harder(rooms).all())
    assert float(played_again(rooms).max()) < 0.4  # in plays that they were not chosen by


def test_a_play_that_is_left_at_its_first_fault_counts_as_one_that_goes_on():
    rooms = instances.load("train", which="select").rows(torch.arange(64).repeat_interleave(4))
    drawn = torch.rand(256, ITEMS, TYPES, generator=torch.Generator().manual_seed(0))
    for key, order in ((None, None), (rooms.key, drawn[:, 0]), (None, drawn)):
        stands, _ = furnish.furnish(rooms.plans, rooms.requests, key, order)
        whole = stands.right.sum(1) == rooms.requests.counts.sum(1)
        assert 0 < int(whole.sum()) < 256
        assert furnish.succeeds(rooms.plans, rooms.requests, key, order).equal(whole)


def test_rooms_of_layout_were_solved():
    assert bool(solvable(instances.load("test").rows(torch.arange(0, 512, 40))).all())


# --- the user's own ---

ROOM = {
    "outline": [[0, 0], [4, 0], [4, 3.6], [0, 3.6]],
    "doors": [{"from": [3, 0], "to": [3.9, 0]}],
    "windows": [{"from": [0, 1], "to": [0, 2]}],
    "things": {"bed": 1, "nightstand": 2, "chair": 1},
    "sizes": {"bed": [1.6, 2.0, 0.5]},
}


def written(tmp_path, **changes) -> str:
    path = tmp_path / "rooms.json"
    path.write_text(json.dumps({"rooms": [ROOM | changes]}))
    return str(path)


def test_rooms_of_a_file_are_furnished(tmp_path):
    envs = make(num_envs=2, rooms=written(tmp_path))
    envs.reset(seed=0)
    task = envs.unwrapped.task
    assert task.num_instances == 1 and int(task.rooms.plans.doors[0, 0, 3]) == 9
    assert int(task.rooms.requests.width[0, BED]) == 16
    assert int((task.furnished(envs.unwrapped.state).inside[0]).sum()) == 40 * 36
    _, ends = play(envs, lambda o, i: task.reference_action(envs.unwrapped.state).numpy())
    assert (ends["placed"] == 1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doors": []}, "room 1: a room needs at least one door"),
        ({"doors": [{"from": [1, 1], "to": [2, 1]}]}, "door 1 does not lie on a wall"),
        ({"sizes": {"bed": [3.0, 3.1, 0.5]}, "outline": [[0, 0], [2, 0], [2, 2], [0, 2]],
          "doors": [{"from": [1, 0], "to": [1.9, 0]}], "windows": []},
         "a bed of 3.0 x 3.1 m fits nowhere"),
        ({"things": {"throne": 1}}, "no furniture is called 'throne'"),
        ({"things": {"bed": -1}}, "whole number"),
        ({"things": {"chair": 40}}, "1 to 14 things"),
        ({"outline": [[0, 0], [4, 0], [3, 3]]}, "corners"),
        ({"outline": [[0, 0], [9, 0], [9, 3], [0, 3]]}, "at most 6.4 m"),
        ({"outline": [[0, 0], [4, 0], [4, 3.65], [0, 3.65]]}, "multiples of 0.1 m"),
        ({"windows": [{"from": [0, 1]}]}, "no 'to'"),
        ({"things": ["bed"]}, r"rooms\.json, room 1: things must be an object"),
        ({"sizes": [1]}, r"rooms\.json, room 1: sizes must be an object"),
        ({"sizes": {"bed": 2}}, r"room 1: the size of 'bed' must be \[width, depth, height\]"),
        ({"doors": {"from": [3, 0]}}, "room 1: doors must be a list"),
        ({"doors": [3]}, "room 1: door 1 must be an object"),
        ({"doors": 2 * ROOM["doors"]}, "room 1: door 2 overlaps door 1"),
        ({"windows": [{"from": [2.5, 0], "to": [3.2, 0]}]}, "window 1 overlaps door 1"),
        ({"doors": [ROOM["doors"][0] | {"hinge": "left"}]}, "hinge of door 1 must be 'from' or"),
        ({"things": {"lamp": 1, "bed": 1}}, "a lamp needs a nightstand or desk or dresser"),
        ({"things": {"bed": 10**30}}, "1 to 14 things"),
        ({"outline": [[0, 0], [1e300, 0], [1e300, 3], [0, 3]]}, "within 10000 m of the origin"),
        ({"outline": [[0, 0], [10**400, 0], [4, 3], [0, 3]]}, r"rooms\.json, room 1: "),
        ({"outline": [[0, 0], [float("nan"), 0], [4, 3], [0, 3]]}, "must be points"),
        ({"sizes": {"picture": [0.5, 0.1, 1.5]}}, "'picture' must measure at most 3.2 x 3.2 x 1.0"),
        ({"things": {"nightstand": 1, "lamp": 1}, "sizes": {"lamp": [0.9, 0.2, 0.3]}},
         r"room 1: a lamp of 0.9 x 0.2 m fits on nothing in it"),
        ({"things": {"nightstand": 1, "lamp": 1}, "sizes": {"lamp": [0.2, 0.2, 2.2]}},
         r"room 1: a lamp of 0.2 x 0.2 m fits on nothing in it"),
    ],
)  # fmt: skip
def test_bad_rooms_are_refused_by_name(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        make(rooms=written(tmp_path, **changes))


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="rooms must be one of mixed"):
        make(rooms="kitchen")
    with pytest.raises(ValueError, match="engine must be one of"):
        make(engine="havok")
    with pytest.raises(ValueError, match="furniture must be a folder"):
        make(furniture=str(tmp_path / "nowhere"))
    for text in ("{", "[" * 100_000, '{"rooms": []}', "[1]"):
        (tmp_path / "broken.json").write_text(text)
        with pytest.raises(ValueError, match="no JSON file of the form"):
            make(rooms=str(tmp_path / "broken.json"))
    for name, message in (("x" * 300, "does not exist"), (str(tmp_path), r"end in one of \.json")):
        with pytest.raises(ValueError, match=message):
            make(rooms=name)


def test_who_has_walls_that_nothing_stands_against_is_warned(tmp_path, recwarn):
    for side in (4.0, 4.1):
        path = written(tmp_path, outline=[[0, 0], [side, 0], [side, 3.6], [0, 3.6]])
        rooms = make(rooms=path).unwrapped.task.rooms
        bed = furnish.things(rooms.requests, torch.tensor([BED]))
        found = placing.survey(rooms.plans, placing.nothing(rooms.plans), bed)
        backed = found.on_wall.flatten(2).any(2)[0]
        assert backed.tolist() == [True, True, side == 4.0, True]
        assert len(recwarn) == (side == 4.1)
    assert "of room 1 some walls are an odd number of 0.1 m" in str(recwarn[0].message)


def test_a_file_may_begin_with_a_mark_and_be_called_anything(tmp_path):
    text = json.dumps({"rooms": [ROOM]})
    (tmp_path / "Räume 寝室.json").write_text(text, encoding="utf-8-sig")
    assert make(rooms=str(tmp_path / "Räume 寝室.json")).unwrapped.task.num_instances == 1


@needs("trimesh", extra="shapes")
def test_meshes_are_furniture_of_their_own_size(tmp_path):
    trimesh = import_or_skip("trimesh", extra="shapes")
    trimesh.creation.box(extents=[1.33, 1.9, 0.4]).export(tmp_path / "bed.obj")
    envs = make(num_envs=2, rooms="bedroom", furniture=str(tmp_path))
    envs.reset(seed=0)
    task = envs.unwrapped.task
    assert task.rooms.requests.width[:, BED].unique().tolist() == [14]
    assert task.rooms.requests.depth[:, BED].unique().tolist() == [19]
    for _ in range(2):
        envs.step(task.reference_action(envs.unwrapped.state).numpy())
    scene = task.artefact(envs.unwrapped.state, 0)
    (bed,) = [g for name, g in scene.geometry.items() if name.startswith("bed")]
    np.testing.assert_allclose(sorted(bed.extents), [0.4, 1.33, 1.9], atol=1e-3)
    assert envs.unwrapped.task.render(envs.unwrapped.state, 0).dtype == np.uint8
    trimesh.creation.box(extents=[4.0, 1.9, 0.4]).export(tmp_path / "sofa.obj")
    with pytest.raises(ValueError, match=r"sofa\.obj measures 4\.00"):
        make(furniture=str(tmp_path))
    (tmp_path / "sofa.obj").unlink()
    trimesh.creation.box(extents=[0.5, 0.05, 1.5]).export(tmp_path / "picture.obj")
    with pytest.raises(ValueError, match=r"picture\.obj .* 3\.2 x 3\.2 x 1\.0 m"):
        make(furniture=str(tmp_path))
    (tmp_path / "picture.obj").unlink()
    corners = [[0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 1, 1]]
    askew = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)
    askew.export(tmp_path / "chair.obj")
    with pytest.raises(ValueError, match=r"chair\.obj is a sheet"):
        make(furniture=str(tmp_path))
    (tmp_path / "chair.obj").unlink()
    askew.export(tmp_path / "couch.obj")
    with pytest.warns(UserWarning, match=r"left out: couch\.obj, named after no type"):
        make(furniture=str(tmp_path), num_envs=1)
    (tmp_path / "couch.obj").unlink()
    (tmp_path / "lamp.obj").symlink_to(tmp_path / "nowhere.obj")  # to nothing: left out
    assert make(furniture=str(tmp_path), num_envs=1).unwrapped.task.models.keys() == {BED}


@needs("trimesh", extra="shapes")
def test_a_finished_room_is_a_glb_that_opens_again(tmp_path):
    trimesh = import_or_skip("trimesh", extra="shapes")
    envs = make(num_envs=1)
    envs.reset(seed=3)
    task = envs.unwrapped.task
    for _ in range(12):
        envs.step(task.reference_action(envs.unwrapped.state).numpy())
    state = envs.unwrapped.state
    task.artefact(state, 0).export(tmp_path / "room.glb")
    scene = trimesh.load_scene(tmp_path / "room.glb")
    assert len(scene.geometry) == 2 + int(state.number[0])
    low, high = scene.bounds
    assert (high - low).max() < 7 and low[2] > -0.01
    area = scene.geometry["floor"].area
    assert area == pytest.approx(float(task.furnished(state).inside.sum()) / 100, rel=1e-3)


def test_a_finished_room_is_a_world_of_all_its_things(tmp_path):
    """Written as the page says; that pybullet loads it is a claim of `tests/simulators`."""
    env = gym.make(LAYOUT, split="test").unwrapped
    env.reset(seed=3)
    for _ in range(12):
        env.step(env.reference_action())
    env.task.write_sdf(tmp_path / "room.sdf", env.batch.state, 0)
    models = ElementTree.parse(tmp_path / "room.sdf").findall("world/model")
    names = [model.get("name") for model in models]
    assert names.count("floor") == 1 and sum(name.startswith("wall_") for name in names) >= 4
    names = [name for name in names if name != "floor" and not name.startswith("wall_")]
    things = env.task.furnished(env.batch.state).now.items[0, :, 0]
    kinds = [CATALOGUE[int(kind)].name.replace(" ", "_") for kind in things if kind >= 0]
    assert [name.rpartition("_")[0] for name in names] == kinds and len(kinds) > 3
    poses = [[float(x) for x in model.findtext("pose").split()] for model in models]
    assert all(0 < x < 6.4 and 0 < y < 6.4 for x, y, *_ in poses[: len(names)])
