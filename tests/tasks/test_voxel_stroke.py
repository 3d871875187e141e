"""Claims about strokes through voxel grids."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

import genenvs
from genenvs.core import random
from genenvs.core.vector import TaskVectorEnv
from genenvs.shapes.targets import load
from genenvs.tasks.voxel_stroke import cheats, grids, viewer
from genenvs.tasks.voxel_stroke.task import GOAL, StrokeState, VoxelStroke
from tests.needs import needs

SIX, ALL = "genenvs/VoxelStroke-v0", "genenvs/VoxelStroke26-v0"


def make(env_id=SIX, num_envs=4, **arguments) -> TaskVectorEnv:
    arguments = {"split": "test", "autoreset_mode": AutoresetMode.DISABLED} | arguments
    return gym.make_vec(env_id, num_envs=num_envs, keep_final=True, **arguments)


def task_of(shape: np.ndarray, start: tuple[int, int, int], **arguments):
    """A task and the state of one episode of a shape of one's own."""
    task = VoxelStroke(**{"moves": 6, "targets": "union", "horizon": 100} | arguments)
    state = task.initial_state(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    packed = (torch.from_numpy(shape).long() << torch.arange(16)).sum(-1)[None]
    words, cursor = grids.words_of(packed), grids.place(torch.tensor([start]))
    grids.visit(words, cursor)
    path = torch.zeros_like(state.path)
    path[:, 0] = cursor
    volume = torch.tensor([int(shape.sum())])
    return task, state.replace(words=words, cursor=cursor, volume=volume, path=path)


def draw(envs: TaskVectorEnv, seed: int, steps: int) -> None:
    """Follow the rule, at most so far, until the one episode ends."""
    envs.reset(seed=seed)
    for _ in range(steps):
        _, _, over, _, _ = envs.step(envs.reference_action())
        if over[0]:
            break


def row_of_cells(count: int) -> np.ndarray:
    shape = np.zeros((16, 16, 16), bool)
    shape[:count, 0, 0] = True
    return shape


class Plain:
    """The same MDP, one episode, written plainly on dense grids."""

    def __init__(self, target: np.ndarray, cursor: tuple[int, ...], moves: np.ndarray) -> None:
        self.target, self.moves = np.pad(target, 2), moves
        self.cursor = np.array(cursor) + 2
        self.visited = np.zeros_like(self.target)
        self.visited[tuple(self.cursor)] = True
        self.path, self.clean, self.faults = [tuple(cursor)], 1, [0, 0]

    def step(self, action: int) -> tuple[float, bool]:
        aim = self.cursor + self.moves[action]
        here = tuple(aim)
        if not self.target[here]:
            reward, self.faults[1] = -1.0, self.faults[1] + 1
        elif self.visited[here]:
            reward, self.faults[0] = -0.5, self.faults[0] + 1
        else:
            reward, self.cursor = 1.0, aim
            self.visited[here] = True
            self.path.append(tuple(aim - 2))
            if not any(self.faults):
                self.clean += 1
        near = [tuple(self.cursor + m) for m in self.moves]
        stuck = not any(self.target[n] and not self.visited[n] for n in near)
        return reward, bool(self.coverage >= np.float32(GOAL)) or stuck

    @property
    def coverage(self) -> np.float32:
        return np.float32(self.visited.sum()) / np.float32(self.target.sum())

    def window(self) -> np.ndarray:
        around = tuple(slice(c - 2, c + 3) for c in self.cursor)
        return np.stack([self.target[around], self.visited[around]])


@pytest.mark.parametrize(("env_id", "rows", "steps"), [(SIX, 24, 150), (ALL, 8, 600)])
def test_a_batch_equals_the_plain_reference(env_id, rows, steps):
    envs = make(env_id, num_envs=rows)
    observation, _ = envs.reset(seed=7)
    task, moves = envs.task, grids.moves(envs.single_action_space.n).numpy()
    target = task.target(envs.state).numpy()
    start = grids.cell(envs.state.cursor).numpy()
    plain = [Plain(target[k], tuple(start[k]), moves) for k in range(rows)]
    rng, over = np.random.default_rng(0), np.zeros(rows, bool)
    for _ in range(steps):
        for k in np.flatnonzero(~over):
            np.testing.assert_array_equal(observation["window"][k], plain[k].window())
            np.testing.assert_allclose(
                observation["position"][k], (plain[k].cursor - 2) / 15, rtol=1e-6
            )
        # Mostly where the rule leads, so that strokes grow long.
        action = np.where(
            rng.random(rows) < 0.7, envs.reference_action(), rng.integers(len(moves), size=rows)
        )
        ended = over.copy()
        # The task itself, which takes a step in ended rows too.
        moved = task.transition(envs.state.clone(), torch.from_numpy(action))
        for k in np.flatnonzero(~over):
            reward, over[k] = plain[k].step(int(action[k]))
            got = sum(envs.weights[name] * float(v[k]) for name, v in moved.terms.items())
            assert got == reward
            assert bool(moved.terminated[k]) == over[k]
            assert float(moved.metrics["coverage"][k]) == plain[k].coverage
        kept = torch.from_numpy(ended)
        envs._state = envs.state.where(kept, moved.state)
        observation = {k: v.numpy() for k, v in task.observe(envs.state).items()}
    assert over.sum() >= rows / 2
    state, metrics = envs.state, task.outcome(envs.state).metrics
    for k, one in enumerate(plain):
        path = grids.cell(state.path[k, : len(one.path)].long())
        assert path.tolist() == [list(map(int, p)) for p in one.path]
        assert [int(state.crossed[k]), int(state.left[k])] == one.faults
        assert float(metrics["clean_coverage"][k]) == pytest.approx(one.clean / one.target.sum())
        assert float(metrics["length"][k]) == len(one.path)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4095), min_size=1, max_size=200, unique=True), st.data())
def test_words_hold_a_grid(cells, data):
    target = np.zeros(4096, bool)
    target[cells] = True
    some = data.draw(st.lists(st.sampled_from(cells), max_size=20))
    packed = (torch.from_numpy(target).view(16, 16, 16).long() << torch.arange(16)).sum(-1)
    words = grids.words_of(packed[None])
    assert int(grids.volume(words)) == len(cells)
    for n, cell in enumerate(sorted(cells)):
        if n % 17 == 0:
            found = grids.cell(grids.nth(words, torch.tensor([[n]])))[0]
            assert int(found @ torch.tensor([256, 16, 1])) == cell
    visited = np.zeros(4096, bool)
    visited[some] = True
    for cell in some:
        grids.visit(words, grids.place(torch.tensor([[cell // 256, cell // 16 % 16, cell % 16]])))
    got = grids.shapes_of(words)
    np.testing.assert_array_equal(got[0][0].numpy().ravel(), target)
    np.testing.assert_array_equal(got[1][0].numpy().ravel(), visited)
    at = torch.tensor([[x, y, z] for x in (-1, 0, 7, 16) for y in (-1, 3, 16) for z in (-1, 9, 16)])
    codes = grids.read(words, grids.place(at)[None])[0].tolist()
    dense = np.pad((target + 2 * visited).reshape(16, 16, 16), 1)
    assert codes == [dense[tuple(a + 1)] for a in at.numpy()]


def test_places_and_cells_are_one_to_one():
    cells = torch.cartesian_prod(*[torch.arange(16)] * 3)
    places = grids.place(cells)
    assert len(places.unique()) == 4096 and int(places.max()) < 2**15  # paths hold int16
    assert torch.equal(grids.cell(places), cells)


def test_moves_are_the_neighbours():
    six, every = grids.moves(6), grids.moves(26)
    assert six.tolist() == [
        [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1],
    ]  # fmt: skip
    assert len({tuple(m) for m in every.tolist()}) == 26
    assert every.abs().amax(1).eq(1).all()


def test_golden_a_row_of_four_cells():
    """Off the end, back into the stroke, then along: -1, -0.5 and three times +1."""
    task, state = task_of(row_of_cells(4), (0, 0, 0))
    pays, ends = [], []
    for action in (1, 0, 1, 0, 0):
        moved = task.transition(state, torch.tensor([action]))
        state = moved.state
        pays.append(sum(task.terms[k].weight * float(v) for k, v in moved.terms.items()))
        ends.append(bool(moved.terminated))
    assert pays == [-1.0, 1.0, -0.5, 1.0, 1.0]
    assert ends == [False, False, False, False, True]
    metrics = task.outcome(state).metrics
    assert float(metrics["clean_coverage"]) == 0.25
    assert float(metrics["exits"]) == float(metrics["self_intersections"]) == 1
    assert float(metrics["length"]) == 4 and float(moved.metrics["coverage"]) == 1


def test_a_dead_end_ends_the_episode():
    shape = row_of_cells(5)
    task, state = task_of(shape, (2, 0, 0))
    for action, over in ((0, False), (0, True)):
        moved = task.transition(state, torch.tensor([action]))
        state = moved.state
        assert bool(moved.terminated) == over
    assert float(moved.metrics["coverage"]) == pytest.approx(3 / 5)
    assert float(task.judge(state)["untouched_parts"]) == 1


def test_the_pieces_left_out_are_counted():
    shape = np.zeros((16, 16, 16), bool)
    shape[:7, :3, 0] = True
    task, state = task_of(shape, (0, 1, 0))
    for _ in range(6):
        state = task.transition(state, torch.tensor([0])).state
    judged = task.judge(state)
    assert float(judged["untouched_parts"]) == 2
    assert 0 < float(judged["chamfer"]) < 2 and 0 < float(judged["hausdorff"]) < 1


def test_no_fault_ever_pays_and_going_on_always_does():
    """Until the end some step pays +1, so neither an early end nor hovering is worth anything."""
    envs = make(num_envs=64)
    envs.reset(seed=1)
    task, state = envs.task, envs.state
    over = torch.zeros(64, dtype=torch.bool)
    paid = torch.zeros(64)
    for k in range(120):
        free = task.around(state) == grids.TARGET
        assert bool(free.any(1)[~over].all())
        action = random.randint(state.key, k, 1, 6)[:, 0]
        moved = task.transition(state.clone(), action)
        reward = sum(task.terms[name].weight * v for name, v in moved.terms.items())
        assert bool((reward[~over] == 1).eq(free.gather(1, action[:, None])[:, 0][~over]).all())
        paid += torch.where(over, 0.0, reward)
        state = state.where(over, moved.state)
        over |= moved.terminated
    # The return is at most what was drawn, with equality for strokes without a fault alone.
    drawn, faults = state.covered - 1, state.crossed + state.left
    assert bool((paid <= drawn).all()) and bool(((paid == drawn) == (faults == 0)).all())


@pytest.mark.parametrize("cheat", [cheats.straight_on, cheats.hover])
def test_stalling_is_paid_worst(cheat):
    envs = make(num_envs=16, horizon=200, autoreset_mode=AutoresetMode.SAME_STEP)
    found = genenvs.evaluate(envs, cheat(envs), episodes=16)
    rule = genenvs.evaluate(envs, "reference", episodes=16)
    assert found.episodes["return"].max() < 0 < rule.episodes["return"].min()
    assert found.episodes["clean_coverage"].mean() < 0.1


def test_the_rule_goes_where_the_fewest_ways_lead_on():
    """A corner of a plate first: from the middle of its edge both ways lead to two cells."""
    shape = np.zeros((16, 16, 16), bool)
    shape[:3, :3, 0] = True
    task, state = task_of(shape, (0, 1, 0))
    assert int(task.reference_action(state)) == 2  # +y and -y have one way on, +x has three
    for _ in range(8):
        moved = task.transition(state, task.reference_action(state))
        state = moved.state
    assert float(moved.metrics["coverage"]) == pytest.approx(8 / 9)  # nine cells from an edge: odd


def test_the_rule_equals_its_definition_and_makes_no_fault():
    for env_id in (SIX, ALL):
        envs = make(env_id, num_envs=16)
        envs.reset(seed=3)
        task, state = envs.task, envs.state
        moves = grids.moves(envs.single_action_space.n).numpy()
        for _ in range(40):
            action = task.reference_action(state)
            target, visited = (np.pad(g.numpy(), ((0, 0), *((2, 2),) * 3)) for g in
                               grids.shapes_of(state.words))  # fmt: skip
            cursor = grids.cell(state.cursor).numpy() + 2
            for k in range(16):
                new = target[k] & ~visited[k]
                ways = [
                    sum(new[tuple(cursor[k] + m + n)] for n in moves)
                    if new[tuple(cursor[k] + m)] else 99 for m in moves
                ]  # fmt: skip
                if min(ways) < 99:
                    assert int(action[k]) == int(np.argmin(ways))
            state = task.transition(state, action).state
        clean = task.outcome(state).metrics["clean_coverage"]
        assert torch.equal(clean[clean > 0.5], (state.covered / state.volume)[clean > 0.5])


def test_the_start_is_drawn_from_the_key_and_lies_inside():
    envs = make(num_envs=1)
    task = envs.task
    key = random.mix(0, torch.arange(600))
    state = task.initial_state(torch.full((600,), 5), key)
    target = task.targets.voxels(torch.tensor([5]))[0]
    cells = grids.cell(state.cursor)
    assert bool(target[tuple(cells.T)].all())
    seen = len(cells.unique(dim=0)) / int(target.sum())
    assert seen > 0.7  # 600 draws from some 300 cells
    assert bool((state.covered == 1).all())


def test_a_long_episode_is_cut_off_not_ended():
    envs = make(num_envs=2, horizon=5)
    envs.reset(seed=0)
    for _ in range(5):
        _, _, terminated, truncated, _ = envs.step(cheats.hover(envs)(None, None))
    assert truncated.all() and not terminated.any()


def test_a_horizon_shorter_than_the_stroke_and_a_step_beyond_the_end_are_harmless():
    task, state = task_of(row_of_cells(9), (0, 0, 0), horizon=3)
    for _ in range(8):
        state = task.transition(state, torch.tensor([0])).state
    assert int(state.covered) == 9 and state.path.shape[1] == 4


def test_corridors_are_held_out():
    mixed = load("mixed", "train", 16, whole=True)
    assert "corridor" not in mixed.names
    envs = make(targets="corridor")
    assert envs.task.num_instances == 128
    assert envs.task.targets.name(0) == "corridor"


@needs("trimesh", extra="shapes")
def test_meshes_of_the_user(tmp_path):
    import trimesh

    for k, mesh in enumerate(
        [
            trimesh.creation.box((1, 1, 2)),
            trimesh.creation.icosphere(subdivisions=2),
            trimesh.creation.cylinder(0.4, 1.0),
        ]
    ):
        mesh.export(tmp_path / f"{k}.stl")
    envs = make(targets=str(tmp_path), num_envs=2, autoreset_mode=AutoresetMode.SAME_STEP)
    found = genenvs.evaluate(envs, "reference", episodes=2)
    assert found.episodes["clean_coverage"].min() > 0.2


@needs("trimesh", extra="shapes")
@pytest.mark.parametrize("env_id", [SIX, ALL])
def test_the_artefact_is_the_stroke_and_opens_again(env_id, tmp_path):
    import trimesh

    envs = make(env_id, num_envs=1)
    draw(envs, seed=2, steps=30)
    scene, cells = envs.artefact(0), int(envs.state.covered[0])
    assert 5 < cells <= 31
    for kind in ("glb", "obj", "ply"):
        scene.export(tmp_path / f"stroke.{kind}")
        again = trimesh.load(tmp_path / f"stroke.{kind}", force="scene")
        whole = again.to_geometry()
        assert np.isfinite(whole.vertices).all() and len(whole.faces) > 100
    assert scene.geometry["cells"].volume == pytest.approx(cells)
    # A prism for every step.
    assert len(scene.geometry["line"].faces) == 12 * (cells - 1)


def test_a_picture_of_one_cell_and_of_a_stroke():
    envs = make(num_envs=1, render_mode="rgb_array")
    envs.reset(seed=0)
    first = envs.render()[0]
    draw(envs, seed=0, steps=20)
    then = envs.render()[0]
    assert first.shape == then.shape and first.dtype == np.uint8 and (first != then).any()
    red = (then[..., 0] > 2.5 * then[..., 1]) & (then[..., 0] > 90)
    assert red.sum() > 20  # the cursor
    brightness = viewer.gradient(50).astype(float) @ np.array([0.21, 0.72, 0.07])
    assert (np.diff(brightness) > 0).all()


def test_one_cell_is_a_shape():
    """It is drawn before the first step; the episode ends with it, whatever it is."""
    task, state = task_of(row_of_cells(1), (0, 0, 0))
    moved = task.transition(state, torch.tensor([3]))
    assert bool(moved.terminated) and float(moved.metrics["coverage"]) == 1


def test_bad_arguments_say_what_is_expected():
    with pytest.raises(ValueError, match="moves must be 6 or 26; got 8"):
        make(moves=8)
    with pytest.raises(ValueError, match=r"moves must be 6 or 26; got 6\.0"):
        make(moves=6.0)
    with pytest.raises(ValueError, match="targets must be one of mixed, union"):
        make(targets="sofa")
    with pytest.raises(ValueError, match="up must be 'y' or 'z'; got 'x'"):
        make(up="x")
    envs = make()
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"0\.\.5|0 \.\. 5"):
        envs.step(np.full(4, 6))


def test_the_state_is_small():
    """Under 4 KB a row, so that 4,096 rows stay in the cache of a usual processor."""
    state: StrokeState = make(num_envs=1).task.initial_state(torch.tensor([0]), torch.tensor([0]))
    assert sum(v.nbytes for v in state.tensors().values()) < 4096
