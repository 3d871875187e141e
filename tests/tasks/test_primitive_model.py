"""Modelling with cuboids, against a plain numpy reference of one step."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import genenvs
from genenvs.geometry import depth as slabs
from genenvs.geometry import packed
from genenvs.geometry.boxes import Boxes
from genenvs.geometry.march import VoxelRays
from genenvs.shapes import primitives
from genenvs.shapes.primitives import COUNT, SIDE, Primitives
from genenvs.tasks.edge_loop.task import EdgeLoop
from genenvs.tasks.primitive_model import cheats
from genenvs.tasks.primitive_model import depth as depth_pictures
from genenvs.tasks.primitive_model.moves import AMOUNTS, EACH, FACES, PASS, first_cuboids
from genenvs.tasks.primitive_model.survey import BARE, FRESH, TARGET, fold, survey
from genenvs.tasks.primitive_model.task import SCALE, PrimitiveModel
from tests.needs import import_or_skip

ENV = "genenvs/PrimitiveModel-v0"


class Plain:
    """One episode, step by step, in loops: what the batched task has to do."""

    def __init__(self, target: np.ndarray, published: bool = False) -> None:
        self.published = published
        self.target = thick(target) if published else target
        self.boxes = np.array([
            [*low, *(np.array(low) + 4)]
            for low in np.ndindex(3, 3, 3)
            for low in [2 + 4 * np.array(low)]
        ])  # fmt: skip
        self.step = 0
        self.last = (0.0, 0.0, 0) if published else self.measure(self.boxes)

    def measure(self, boxes: np.ndarray) -> tuple[float, float, int]:
        union, single = np.zeros((SIDE,) * 3, bool), []
        for box in boxes:
            if not there(box):
                continue
            x, y, z, u, v, w = box
            alone = np.zeros((SIDE,) * 3, bool)
            alone[x:u, y:v, z:w] = True
            union |= alone
            single.append((alone & self.target).sum() / (alone | self.target).sum())
        iou = (union & self.target).sum() / (union | self.target).sum()
        return iou, float(np.mean(single)) if single else 0.0, len(boxes) - len(single)

    def tweak(self, action: int) -> np.ndarray | None:
        """The boxes after an action; None where it is illegal."""
        boxes = self.boxes.copy()
        if action == PASS:
            return boxes
        box, operation, k = action // 28, action % 28 // 4, action % 4
        if box != self.step % COUNT:
            return None
        if operation == 6:
            if not there(boxes[box]) or (k and not self.published):
                return None
            boxes[box] = np.tile(boxes[box, :3], 2) if self.published else 0
            return boxes
        if not (self.published or there(boxes[box])):
            return None
        boxes[box, operation] += (1, 2, -2, -1)[k]
        low, high = boxes[box, :3], boxes[box, 3:]
        moved = slice(operation % 3, operation % 3 + 1)
        least = 0 if self.published else 1
        inside = (low >= 0).all() and (high <= SIDE).all()
        return boxes if inside and (high[moved] - low[moved] >= least).all() else None

    def act(self, action: int) -> tuple[float, float, int]:
        """Changes of the three measures; the turn decides which cuboid is meant."""
        if action != PASS:
            action = 28 * (self.step % COUNT) + action % 28
        after = self.tweak(action)
        self.boxes = self.boxes if after is None else after
        now, before = self.measure(self.boxes), self.last
        self.last, self.step = now, self.step + 1
        return tuple(b - a for a, b in zip(before, now, strict=True))

    def expert(self, horizon: int) -> int:
        best, which = 1e-7, PASS
        for action in range(28 * (self.step % COUNT), 28 * (self.step % COUNT) + 25):
            boxes = self.tweak(action)
            if boxes is None or (action % 28 == 24 and self.step <= horizon // 2):
                continue
            gain = [b - a for a, b in zip(self.last, self.measure(boxes), strict=True)]
            value = gain[0] + 0.1 * gain[1] + 0.01 * gain[2]
            if value > best + 1e-9:
                best, which = value, action
        return which


def there(box: np.ndarray) -> bool:
    return bool((box[3:] > box[:3]).all())


def thick(grid: np.ndarray) -> np.ndarray:
    padded = np.pad(grid, 1)
    shifted = [np.roll(padded, step, axis) for axis in range(3) for step in (-1, 1)]
    return np.logical_or.reduce([padded, *shifted])[1:-1, 1:-1, 1:-1]


def task_of(rows: int, **arguments):
    task = PrimitiveModel(**{"targets": "chair", "horizon": 300, **arguments})
    index = torch.arange(rows)
    return task, task.initial_state(index, index)


def drawn(mask: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.multinomial(mask.float(), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("published", [False, True])
def test_random_episodes_equal_the_plain_reference(published):
    task, state = task_of(4, published=published)
    plain = [Plain(grid.numpy(), published) for grid in task.target(state)]
    generator = torch.Generator().manual_seed(1)
    for step in range(120):
        # Growing cuboids meet the walls; now and then anything, legal or not.
        action = drawn(task.action_mask(state), generator)
        if step % 5 == 4:
            action = torch.randint(0, PASS + 1, (4,), generator=generator)
        found = task.transition(state, action)
        state = found.state
        for row, episode in enumerate(plain):
            changes = episode.act(int(action[row]))
            for (name, term), change in zip(found.terms.items(), changes, strict=True):
                assert float(term[row]) == pytest.approx(change, abs=1e-6), (step, row, name)
            assert state.cuboids[row].tolist() == episode.boxes.tolist()
            assert float(state.iou[row]) == pytest.approx(episode.last[0], abs=1e-6)


@pytest.mark.parametrize("published", [False, True])
def test_the_mask_is_what_the_plain_reference_allows(published):
    task, state = task_of(3, published=published)
    plain = [Plain(grid.numpy(), published) for grid in task.target(state)]
    generator = torch.Generator().manual_seed(2)
    for _ in range(60):
        mask = task.action_mask(state)
        for row, episode in enumerate(plain):
            legal = {a for a in range(PASS + 1) if episode.tweak(a) is not None}
            assert set(mask[row].nonzero()[:, 0].tolist()) == legal
        action = drawn(mask, generator)
        state = task.transition(state, action).state
        for row, episode in enumerate(plain):
            episode.act(int(action[row]))


def test_a_deleted_cuboid_has_nothing_left_to_do():
    task, state = task_of(1)
    for box in range(COUNT):
        state = task.transition(state, torch.tensor([EACH * box + FACES])).state
    assert task.action_mask(state)[0].nonzero()[:, 0].tolist() == [PASS]
    assert state.iou.item() == state.local_iou.item() == 0
    assert int(task.outcome(state).metrics["primitives"]) == 0


def test_the_expert_is_the_plain_one():
    task, state = task_of(2, targets="table", horizon=42)
    plain = [Plain(grid.numpy()) for grid in task.target(state)]
    for _ in range(42):
        action = task.reference_action(state)
        gains = task._gains(state)
        for row, episode in enumerate(plain):
            wanted = episode.expert(42)
            # Equal gains may be told apart by rounding: then either will do.
            if (ours := int(action[row])) != wanted:
                assert gains[row, ours % EACH] == pytest.approx(
                    float(gains[row, wanted % EACH]), abs=1e-6
                )
            episode.act(ours)
        state = task.transition(state, action).state


@pytest.mark.parametrize("published", [False, True])
def test_what_the_expert_foresees_is_what_is_paid(published):
    task, state = task_of(4, targets="lamp", published=published)
    generator = torch.Generator().manual_seed(5)
    weights = {name: term.weight for name, term in task.terms.items()}
    vanished = 0
    for step in range(120):
        gains, mask = task._gains(state), task.action_mask(state)
        action = drawn(mask, generator)
        before = state.present.sum(1)
        made = task.transition(state, action)
        paid = sum(weights[name] * value for name, value in made.terms.items())
        acts = action != PASS
        own = (action % EACH).clamp(max=FACES)  # published, four of them delete
        foreseen = gains.gather(1, own[:, None])[:, 0]
        if step or not published:  # the authors' first step is paid from nothing
            torch.testing.assert_close(foreseen[acts], paid[acts], atol=1e-5, rtol=0)
        state = made.state
        moved = acts & (own != FACES)
        vanished += int((moved & (state.present.sum(1) != before)).sum())
    assert (vanished > 0) == published


def test_moves_say_what_each_action_adds():
    task, state = task_of(2, targets="car")
    generator = torch.Generator().manual_seed(3)
    for _ in range(40):
        state = task.transition(state, drawn(task.action_mask(state), generator)).state
    target = task.target(state)
    seen = task.observe(state)["moves"] * SCALE
    mask = task.action_mask(state)
    for own in range(FACES + 1):
        action = EACH * state.current + own
        after = task.transition(state.clone(), action).state
        before, union = task.union(state), task.union(after)
        hits = (union & target).flatten(1).sum(1) - (before & target).flatten(1).sum(1)
        misses = (union & ~target).flatten(1).sum(1) - (before & ~target).flatten(1).sum(1)
        legal = mask[torch.arange(2), action]
        assert seen[:, own, 0].tolist() == hits.tolist()
        assert seen[:, own, 1].tolist() == misses.tolist()
        assert bool((seen[:, own][~legal] == 0).all())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_layers_count_what_the_other_cuboids_leave(seed):
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(0, SIDE + 1, (2, 5, 3, 2)), -1)
    ends[..., 1] += ends[..., 0] == ends[..., 1]
    ends = ends.clip(0, SIDE)
    cuboids = torch.from_numpy(np.concatenate([ends[..., 0], ends[..., 1]], -1))
    cuboids[(cuboids[..., 3:] <= cuboids[..., :3]).any(-1)] = 0
    target = torch.from_numpy(rng.random((2, *(SIDE,) * 3)) < 0.4)
    current = torch.from_numpy(rng.integers(0, 5, 2))
    found = survey(cuboids, current, fold(target))
    for row in range(2):
        others = np.zeros((SIDE,) * 3, bool)
        for k, (x, y, z, u, v, w) in enumerate(cuboids[row].tolist()):
            if k != current[row]:
                others[x:u, y:v, z:w] = True
        goal = target[row].numpy()
        assert int(found.filled[row]) == others.sum()
        assert int(found.hit[row]) == (others & goal).sum()
        box = cuboids[row, current[row]].tolist()
        for what, grid in ((FRESH, goal & ~others), (BARE, ~others), (TARGET, goal)):
            for axis in range(3):
                cut = [slice(box[k], box[k + 3]) if k != axis else slice(None) for k in range(3)]
                layers = grid[tuple(cut)].sum(tuple(k for k in range(3) if k != axis))
                assert found.layers[row, what, axis].tolist() == [0, *layers.cumsum()]


def test_the_first_cuboids_fill_the_middle():
    assert first_cuboids()[[0, 1, 26]].tolist() == [
        [2, 2, 2, 6, 6, 6],
        [2, 2, 6, 6, 6, 10],
        [10, 10, 10, 14, 14, 14],
    ]
    task, state = task_of(1)
    assert int(task.union(state).sum()) == 12**3


def test_one_round_by_hand():
    """The first face of the first cuboid moves by one voxel over an empty place."""
    task, state = task_of(1)
    volume, before = int(state.volume), float(state.iou)
    hits = round(before * (12**3 + volume) / (1 + before))
    assert before == pytest.approx(hits / (12**3 + volume - hits), abs=1e-6)
    for face, k in ((0, 3), (3, 3)):  # away from the middle, then back from it
        task, state = task_of(1)
        target = task.target(state)[0]
        found = task.transition(state, torch.tensor([4 * face + k]))
        x = 1 if face == 0 else 5
        slab = int(target[x, 2:6, 2:6].sum())
        change = 1 if face == 0 else -1
        now = (hits + change * slab) / (12**3 + change * 16 + volume - hits - change * slab)
        assert float(found.terms["iou"]) == pytest.approx(now - before, abs=1e-6)


def test_published_rewards_pay_the_start_and_reach_the_last_layer():
    task, state = task_of(2, published=True)
    ours, fixed = task_of(2)
    grid = torch.from_numpy(np.stack([thick(g.numpy()) for g in ours.target(fixed)]))
    start = ours.union(fixed)
    expected = (start & grid).flatten(1).sum(1) / (start | grid).flatten(1).sum(1)
    found = task.transition(state, torch.full((2,), PASS))
    torch.testing.assert_close(found.terms["iou"], expected)
    # A cuboid that grows into the last layer counts there, as it does everywhere.
    state = task.initial_state(torch.arange(2), torch.arange(2))
    state.cuboids[:, 0, 3] = SIDE - 2
    seen = survey(state.cuboids, state.current, task._goals.words[state.instance])
    state = state.replace(hit=seen.hit, filled=seen.filled, layers=seen.layers)
    before = int(task.union(state)[0].sum())
    state = task.transition(state, torch.full((2,), 4 * 3 + 1)).state
    assert state.cuboids[:, 0, 3].tolist() == [SIDE, SIDE]
    union = task.union(state)
    assert int(union[0].sum()) == before + 2 * 16
    wanted = (union & grid).flatten(1).sum(1) / (union | grid).flatten(1).sum(1)
    torch.testing.assert_close(state.iou, wanted)


def test_published_cuboids_of_no_volume_grow_again():
    task, state = task_of(1, published=True)
    state = task.transition(state, torch.tensor([FACES + 2])).state  # any of the four deletions
    assert state.cuboids[0, 0].tolist() == [2, 2, 2, 2, 2, 2] and float(state.deleted) == 1
    for face in (3, 4, 5):  # a turn each; only the last brings it back
        assert float(state.deleted) == 1
        while int(state.step) % COUNT:
            state = task.transition(state, torch.tensor([PASS])).state
        mask = task.action_mask(state)[0]
        assert not mask[FACES : FACES + 4].any() and bool(mask[4 * face + 1])
        state = task.transition(state, torch.tensor([4 * face + 1])).state
    assert state.cuboids[0, 0].tolist() == [2, 2, 2, 4, 4, 4] and float(state.deleted) == 0


def test_depth_pictures_are_those_of_the_slab_test():
    generator = torch.Generator().manual_seed(4)
    grid = torch.rand(2, 5, 5, 5, generator=generator) < 0.2
    middle = torch.full((1, 3), 2.5)
    eye = middle + torch.tensor([[5.0, -9.0, 4.0]])
    rays = slabs.pinhole(eye, slabs.look_at(eye, middle), (40, 40), 0.7)
    found = VoxelRays(rays, 5).depth(grid)
    for row in range(2):
        cells = grid[row].nonzero().float()[None]
        expected = slabs.render(Boxes(cells + 0.5, torch.full_like(cells, 0.5)), rays).depth[0]
        torch.testing.assert_close(found[row], expected, atol=1e-4, rtol=0)


def test_a_depth_picture_is_drawn_once_and_shared():
    task, state = task_of(3, observe="depth")
    picture = task.observe(state)["depth"]
    assert picture.shape == (3, 1, 128, 128) and picture.dtype == torch.uint8
    assert picture.flatten(1).amax(1).gt(100).all() and (picture == 0).any()
    other, _ = task_of(3, observe="depth", horizon=5)
    assert other._depth is task._depth
    assert int(task._depth._known.sum()) >= 3
    assert set(task.observe(state)) == {"depth", "cuboids", "present", "box", "current", "numbers"}
    assert depth_pictures.pictures(task.targets) is task._depth


def test_the_observation_says_what_the_cuboids_are():
    task, state = task_of(2)
    state = task.transition(state, torch.tensor([FACES, 0])).state
    seen = task.observe(state)
    assert seen["present"].tolist() == [[0] + [1] * 26, [1] * 27]
    assert seen["box"].tolist() == [1, 1]
    assert (seen["current"] * SIDE).tolist() == [[2, 2, 6, 6, 6, 10]] * 2
    assert (seen["cuboids"][1, 0] * SIDE).tolist() == [3, 2, 2, 6, 6, 6]
    assert bool((seen["target"].bool() == task.target(state)).all())
    assert seen["numbers"][:, 0].tolist() == pytest.approx([1 / 300] * 2)
    assert seen["numbers"][:, 1].tolist() == pytest.approx([1 / 27, 0])
    torch.testing.assert_close(seen["numbers"][:, 2], state.iou)
    torch.testing.assert_close(seen["numbers"][:, 4], state.single[:, 1])


def played(policy, rows: int = 4, horizon: int = 81, **arguments):
    envs = gym.make_vec(
        ENV, num_envs=rows, split="test", output="torch", keep_final=True, horizon=horizon,
        autoreset_mode="SameStep", **arguments,
    )  # fmt: skip
    policy = policy if isinstance(policy, str) else policy(envs)
    found = genenvs.evaluate(envs, policy, episodes=rows, progress=False)
    return {name: float(values.mean()) for name, values in found.episodes.items()}


def test_cheats_score_below_the_expert_and_are_paid_less():
    expert = played("reference", targets="table")
    assert expert["iou"] > 0.7 and expert["components"] < 1.5
    for cheat in (cheats.stall, cheats.delete_all, cheats.delete_misses):
        found = played(cheat, targets="table")
        assert found["iou"] < 0.5, cheat
        assert found["return"] < expert["return"] - 0.3, cheat
        if cheat is cheats.delete_all:
            assert found["iou"] == 0


def test_gold_of_a_hand_made_model():
    task, state = task_of(1)
    state.cuboids[:] = 0
    state.cuboids[0, :3] = torch.tensor(
        [[0, 0, 0, 2, 2, 2], [1, 0, 0, 3, 2, 2], [8, 8, 8, 10, 10, 10]]
    )
    found = task.judge(state)
    assert found["components"].tolist() == [2]
    assert found["overlap"].tolist() == pytest.approx([4 / 24])
    assert found["chamfer"].item() > 0


def test_a_user_models_his_meshes(tmp_path):
    trimesh = import_or_skip("trimesh", extra="shapes")
    trimesh.creation.box((4, 2, 1)).export(tmp_path / "slab.obj")
    trimesh.creation.icosphere(3).export(tmp_path / "ball.ply")
    task, state = task_of(2, targets=str(tmp_path), horizon=81)
    named = {task.targets.name(k): k for k in range(2)}
    assert set(named) == {"slab.obj", "ball.ply"}
    # The slab fills what its sides say; of the ball's box, a ball fills pi / 6.
    grid = task.target(state)
    sides = [
        sorted((where.amax(0) - where.amin(0) + 1).tolist())
        for where in (grid[named[name]].nonzero() for name in ("slab.obj", "ball.ply"))
    ]
    assert int(grid[named["slab.obj"]].sum()) == np.prod(sides[0])
    assert sides[0][2] == 4 * sides[0][0] == 2 * sides[0][1]
    share = int(grid[named["ball.ply"]].sum()) / np.prod(sides[1])
    assert share == pytest.approx(np.pi / 6, abs=0.08)
    start = state.iou.clone()
    for _ in range(80):
        state = task.transition(state, task.reference_action(state)).state
    assert bool((state.iou > 0.5).all()) and bool((state.iou > start + 0.1).all())


def test_what_is_left_is_where_edge_loops_start(tmp_path):
    task, state = task_of(3, targets="table", split="test", horizon=81)
    for _ in range(81):
        state = task.transition(state, task.reference_action(state)).state
    count = len(task.targets)
    names = tuple(task.targets.name(k) for k in range(count))
    left = torch.zeros(count, COUNT, 6, dtype=torch.int64)
    left[:3] = state.cuboids  # of the others none, which has them fitted
    made = Primitives(left, torch.zeros(count), torch.arange(count), names, "table", "test")
    primitives.write(tmp_path / "made.safetensors", made)
    loops = EdgeLoop(
        targets="table", split="test", horizon=100, initial=str(tmp_path / "made.safetensors")
    )
    begun = loops.initial_state(torch.tensor([2, 0, 1]), torch.arange(3))
    solid = packed.unpack(loops.solid(begun), 64)
    for row, instance in enumerate((2, 0, 1)):
        union = task.union(state)[instance]
        fine = union.repeat_interleave(4, 0).repeat_interleave(4, 1).repeat_interleave(4, 2)
        assert bool((solid[row] == fine).all())
        goal = packed.unpack(begun.target, 64)[row]
        iou = (fine & goal).sum() / (fine | goal).sum()
        assert float(begun.iou[row]) == pytest.approx(float(iou), abs=1e-6)


def test_pictures_and_scenes(tmp_path):
    task, state = task_of(1, targets="aeroplane", split="test")
    for _ in range(200):
        state = task.transition(state, task.reference_action(state)).state
    picture = task.render(state, 0)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and picture.std() > 20
    trimesh = import_or_skip("trimesh", extra="shapes")
    scene = task.artefact(state, 0)
    left = int(state.present.sum())
    assert len(scene.geometry) == left
    for suffix in ("glb", "obj"):
        scene.export(tmp_path / f"model.{suffix}")
        again = trimesh.load_mesh(tmp_path / f"model.{suffix}")
        assert again.volume * SIDE**3 == pytest.approx(
            sum(mesh.volume for mesh in scene.geometry.values()) * SIDE**3, rel=1e-4
        )
    low, high = state.cuboids[0].amin(0)[:3], state.cuboids[0].amax(0)[3:] / SIDE
    np.testing.assert_allclose(scene.bounds[1], high.numpy())
    assert (low >= 0).all()
    volumes = {name: mesh.volume for name, mesh in scene.geometry.items()}
    assert all(mesh.is_watertight for mesh in scene.geometry.values()) and min(volumes.values()) > 0


def test_bad_arguments_say_what_is_wrong():
    with pytest.raises(ValueError, match="observe must be 'voxels' or 'depth'"):
        gym.make(ENV, observe="pixels")
    with pytest.raises(ValueError, match="published must be True or False"):
        gym.make(ENV, published=1)
    with pytest.raises(ValueError, match="targets must be one of"):
        gym.make(ENV, targets="no such thing")


def test_amounts_are_numbered_as_by_the_authors():
    assert AMOUNTS == (1, 2, -2, -1)
    assert (EACH, FACES, PASS) == (28, 24, 756)


def test_one_cuboid_that_fills_the_grid_is_observed_within_the_space():
    """Its deletion would change as many voxels as there are."""
    envs = gym.make_vec(
        "genenvs/PrimitiveModel-v0", num_envs=1, autoreset_mode=gym.vector.AutoresetMode.DISABLED
    )
    observation, info = envs.reset(seed=0)
    for step in range(27 * 8):
        box = step % 27
        grow = [28 * box + 4 * c + k for c, k in ((0, 2), (1, 2), (2, 2), (3, 1), (4, 1), (5, 1))]
        wanted = [*grow, 756] if box == 13 else [28 * box + 24, 756]
        action = next(a for a in wanted if info["action_mask"][0, a])
        observation, *_, info = envs.step(np.array([action]))
        assert step % 9 or envs.observation_space.contains(observation)
    assert envs.observation_space.contains(observation)
    assert np.abs(observation["moves"]).max() <= 128
    task_state = envs.unwrapped.state
    assert int((task_state.cuboids[0, :, 3] > 0).sum()) == 1
    volume = (task_state.cuboids[0, 13, 3:] - task_state.cuboids[0, 13, :3]).prod()
    assert int(volume) > 2 * 16**2  # more than a move of a face can change
