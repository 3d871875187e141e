"""EdgeLoop: the same as a plain program, voxel by voxel; loops, meshes and files by hand."""

from __future__ import annotations

from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from genenvs.core.vector import TaskVectorEnv
from genenvs.geometry import cuboids, lofts, packed
from genenvs.geometry.lofts import ACROSS, Lofts
from genenvs.geometry.meshes import topology
from genenvs.shapes import primitives, targets
from genenvs.shapes.primitives import Primitives
from genenvs.tasks.edge_loop import cheats, evidence, loops, meshes, moves
from genenvs.tasks.edge_loop.moves import PER_LOOP, STAY, STEPS
from genenvs.tasks.edge_loop.task import EdgeLoop
from tests.needs import import_or_skip, needs

ENV = "genenvs/EdgeLoop-v0"


def make(num_envs=4, **arguments) -> TaskVectorEnv:
    arguments = {"split": "test", "autoreset_mode": AutoresetMode.DISABLED} | arguments
    return gym.make_vec(ENV, num_envs=num_envs, keep_final=True, **arguments).unwrapped


def code(loop: int, corner: int, axis: int, step: int) -> int:
    return loop * PER_LOOP + corner * 18 + axis * 6 + STEPS.index(step)


class Plain:
    """One episode written plainly: loops as a list for each cuboid, voxels one by one."""

    def __init__(self, boxes: np.ndarray, target: np.ndarray) -> None:
        boxes = boxes[np.prod(boxes[:, 3:] - boxes[:, :3], 1) > 0]
        volumes = np.prod(boxes[:, 3:] - boxes[:, :3], 1)
        order = np.argsort(-volumes, kind="stable")
        self.target = target
        used = np.argwhere(target)
        self.unit = np.float32(0.01 * np.linalg.norm((used.max(0) + 1 - used.min(0)) / len(target)))
        self.still = [b / 16 for b in boxes[order[5:]]]
        boxes, volumes = boxes[order[:5]], volumes[order[:5]]
        counts = [2] * len(boxes)
        while sum(counts) < 10:
            counts[int(np.argmax([v / n for v, n in zip(volumes, counts, strict=True)]))] += 1
        self.axes, self.loops, self.index = [], [], []
        for number, (box, count) in enumerate(zip(boxes, counts, strict=True)):
            axis = int(np.argmax(box[3:] - box[:3]))
            self.axes.append(axis)
            rings = []
            for k in range(count):
                ring = (box.reshape(2, 3) / 16).astype(np.float32)
                ring[:, axis] = ring[0, axis] + (ring[1, axis] - ring[0, axis]) * k / (count - 1)
                rings.append(ring)
                self.index.append((number, k))
            self.loops.append(rings)
        self.step_count, self.iou = 0, self.compare()

    def grid(self) -> np.ndarray:
        size = len(self.target)
        found = np.zeros_like(self.target)
        centre = (np.arange(size) + 0.5) / size
        for x, y, z, a, b, c in self.still:
            inside = [(centre >= p) & (centre < q) for p, q in ((x, a), (y, b), (z, c))]
            found |= inside[0][:, None, None] & inside[1][:, None] & inside[2]
        for axis, rings in zip(self.axes, self.loops, strict=True):
            u, v = ACROSS[axis]
            for one, two in pairwise(rings):
                start, stop = float(one[0, axis]), float(two[0, axis])
                for t, place in enumerate(centre):
                    if start <= place < stop:
                        low, high = one + (place - start) / (stop - start) * (two - one)
                        layer = np.moveaxis(found, axis, 0)[t]
                        layer |= ((centre >= low[u]) & (centre < high[u]))[:, None] & (
                            (centre >= low[v]) & (centre < high[v])
                        )
        return found

    def compare(self) -> float:
        found = self.grid()
        return (found & self.target).sum() / (found | self.target).sum()

    def allowed(self, action: int) -> bool:
        loop, corner, axis = action // 36, action // 18 % 2, action // 6 % 3
        if action == STAY:
            return True
        number, k = self.index[loop]
        if loop != self.step_count % 10 or axis == self.axes[number]:
            return False
        ring = self.loops[number][k]
        place = ring[corner, axis] + STEPS[action % 6] * self.unit
        thick = (ring[1, axis] - place) if corner == 0 else (place - ring[0, axis])
        return -1e-6 <= place <= 1 + 1e-6 and thick >= 2 * self.unit - 1e-6

    def step(self, action: int) -> float:
        if action != STAY:
            action = self.step_count % 10 * 36 + action % 36  # the turn decides
        if action != STAY and self.allowed(action):
            number, k = self.index[action // 36]
            ring = self.loops[number][k]
            where = action // 18 % 2, action // 6 % 3
            ring[where] = np.clip(ring[where] + np.float32(STEPS[action % 6]) * self.unit, 0, 1)
        self.step_count += 1
        before, self.iou = self.iou, self.compare()
        return self.iou - before


def plain_of(task: EdgeLoop, state, row: int) -> Plain:
    boxes = task.initial_cuboids(state.instance, state.target)[row].numpy()
    return Plain(boxes, packed.unpack(state.target[row], 64).numpy())


@settings(max_examples=3)
@given(st.integers(0, 10**4))
def test_a_play_is_that_of_the_plain_program(seed):
    envs = make(2, horizon=12)
    envs.reset(seed=seed)
    rng = np.random.default_rng(seed)
    plains = [plain_of(envs.task, envs.state, row) for row in range(2)]
    for plain, iou in zip(plains, envs.state.iou.tolist(), strict=True):
        assert iou == pytest.approx(plain.iou, abs=1e-6)
    for step in range(12):
        mask = envs.action_masks().numpy()
        # Legal ones, and now and then any.
        actions = [
            int(rng.choice(np.flatnonzero(mask[row]))) if step % 4 else int(rng.integers(361))
            for row in range(2)
        ]
        reward = envs.step(np.array(actions))[1]
        grids = packed.unpack(envs.task.solid(envs.state), 64).numpy()
        for row, plain in enumerate(plains):
            assert [plain.allowed(a) for a in range(361)] == mask[row].tolist()
            paid = plain.step(actions[row])
            assert (grids[row] != plain.grid()).sum() <= 2  # centres on a face, in float32
            assert reward[row] == pytest.approx(paid, abs=1e-4)


def test_the_mask_is_exactly_what_moves_something():
    envs = make(3, horizon=30)
    envs.reset(seed=1)
    for _ in range(30):
        state = envs.state
        mask = envs.action_masks()
        here = state.current[:, None] * PER_LOOP + torch.arange(PER_LOOP)
        assert int(mask.sum()) == int(mask.gather(1, here).sum()) + 3  # and the one that stays
        for k in range(PER_LOOP):
            after = envs.task.transition(state.clone(), here[:, k]).state
            moved = (after.corner != state.corner).flatten(1).any(1)
            assert torch.equal(moved, mask[torch.arange(3), here[:, k]])
            thick = (after.corner[:, :, 1] - after.corner[:, :, 0]).sort(-1).values[..., 1]
            assert bool((thick > 2 * state.unit[:, None] - 1e-5).all())
            assert bool(((after.corner >= 0) & (after.corner <= 1)).all())
        envs.step(envs.action_masks().float().multinomial(1)[:, 0].numpy())


@pytest.mark.parametrize(
    "volumes, expected",
    [
        ([100, 0, 0, 0, 0], [10, 0, 0, 0, 0]),
        ([100, 100, 0, 0, 0], [5, 5, 0, 0, 0]),
        ([300, 100, 0, 0, 0], [7, 3, 0, 0, 0]),
        ([50, 40, 30, 20, 10], [2, 2, 2, 2, 2]),
        ([600, 200, 200, 1, 0], [4, 2, 2, 2, 0]),
    ],
)
def test_loops_are_shared_out_by_volume(volumes, expected):
    assert loops.allot(torch.tensor([volumes]))[0].tolist() == expected


@given(st.lists(st.integers(1, 4096), min_size=1, max_size=5))
def test_every_cuboid_has_two_loops_and_all_are_ten(volumes):
    padded = torch.tensor([sorted(volumes, reverse=True) + [0] * (5 - len(volumes))])
    count = loops.allot(padded)[0].tolist()
    assert sum(count) == 10
    assert all(
        (n >= 2) == (v > 0) and (n == 0) == (v == 0) for n, v in zip(count, padded[0], strict=True)
    )
    assert count[: len(volumes)] == sorted(count[: len(volumes)], reverse=True)


def test_loops_stand_evenly_along_the_longest_axis():
    boxes = torch.zeros(1, 5, 6, dtype=torch.int64)
    boxes[0, 0] = torch.tensor([0, 2, 4, 4, 14, 8])  # longest along y, 12 cells
    boxes[0, 1] = torch.tensor([8, 8, 8, 12, 12, 12])  # a cube: along x
    cage, corner = loops.place(boxes, 64)
    assert cage.axis[0, :2].tolist() == [1, 0]
    assert cage.owner[0].tolist() == [0] * 7 + [1] * 3
    assert corner[0, :7, 0, 1].tolist() == pytest.approx([(2 + 2 * k) / 16 for k in range(7)])
    assert corner[0, 7:, 0, 0].tolist() == pytest.approx([8 / 16, 10 / 16, 12 / 16])
    assert corner[0, 3].tolist() == [[0.0, 0.5, 0.25], [0.25, 0.5, 0.5]]


def test_a_cuboid_before_any_move_is_itself():
    envs = make(8)
    envs.reset(seed=0)
    state, task = envs.state, envs.task
    boxes = task.initial_cuboids(state.instance, state.target)
    from genenvs.geometry import cuboids

    assert torch.equal(task.solid(state), cuboids.rasterise_packed(boxes * 4, 64))


def test_the_solid_is_the_lofts_between_the_loops():
    envs = make(3, horizon=40)
    envs.reset(seed=5)
    for _ in range(40):
        envs.step(envs.action_masks().float().multinomial(1)[:, 0].numpy())
    state = envs.state
    for row in range(3):
        parts = []
        for k in range(9):
            if state.owner[row, k] == state.owner[row, k + 1]:
                axis = int(state.axis[row, state.owner[row, k]])
                pair = state.corner[row, k : k + 2]
                cross = pair[..., list(ACROSS[axis])]
                parts.append((axis, pair[:, 0, axis], cross[:, 0], cross[:, 1]))
        axis = torch.tensor([[p[0] for p in parts]])
        made = Lofts(axis, *(torch.stack([p[k] for p in parts])[None] for k in (1, 2, 3)))
        assert torch.equal(lofts.rasterise_packed(made, 64)[0], envs.task.solid(state)[row])


def test_the_diagonal_is_that_of_the_target():
    words = torch.zeros(2, 64, 64, dtype=torch.int64)
    words[0, 10:20, 5] = 0b110 << 60
    words[1, 63, 63] = -(1 << 63)
    found = moves.diagonal(words)
    assert found.tolist() == pytest.approx([np.linalg.norm([10, 1, 2]) / 64, 3**0.5 / 64])


def test_wedges_say_what_a_move_sweeps_over():
    """Along every axis: voxels gained and lost by each move, from the grids themselves."""
    envs = make(24)
    envs.reset(seed=2)
    task = envs.task
    rng = np.random.default_rng(0)
    found, truth = [], []
    for _ in range(7):
        envs.step(np.array([rng.choice(np.flatnonzero(m)) for m in envs.action_masks().numpy()]))
        state = envs.state
        swept = evidence.wedges(
            state.cage, state.corner, state.current, state.unit, state.target, state.rest
        )
        mask = envs.action_masks()[:, :STAY].view(24, 10, PER_LOOP).any(1)
        before = task.solid(state)
        for k in range(PER_LOOP):
            action = state.current * PER_LOOP + k
            after = task.solid(task.transition(state.clone(), action).state)
            for grid, part in ((state.target, 0), (~state.target, 1)):
                change = packed.volume(after & grid) - packed.volume(before & grid)
                truth.append(change[mask[:, k]])
                found.append(swept[:, part, k][mask[:, k]])
    one, two = torch.cat(found), torch.cat(truth).float()
    assert float(torch.corrcoef(torch.stack([one, two]))[0, 1]) > 0.95
    assert float((one - two).abs().mean()) < 0.25 * float(two.abs().mean())


def test_the_expert_takes_the_best_legal_move():
    envs = make(3)
    envs.reset(seed=4)
    for step in range(14):
        state, task = envs.state, envs.task
        chosen = envs.reference_action()
        mask = envs.action_masks()
        for row in range(3):
            one = state.rows(torch.tensor([row]))
            ious = {
                int(a): float(task.transition(one.clone(), a[None]).state.iou[0])
                for a in mask[row].nonzero()[:, 0]
            }
            assert ious[int(chosen[row])] == max(ious.values())
            if max(ious.values()) <= ious[STAY]:
                assert int(chosen[row]) == STAY
        envs.step(chosen if step % 3 else np.full(3, STAY))


def play(policy, num_envs=24, **arguments) -> tuple[np.ndarray, TaskVectorEnv]:
    envs = make(num_envs, **arguments)
    observation, info = envs.reset(seed=0)
    act = policy(envs)
    total = np.zeros(num_envs)
    for _ in range(envs.task.horizon):
        observation, reward, *_, info = envs.step(act(observation, info))
        total += reward
    return total, envs


def test_cheats_earn_nothing():
    assert not play(cheats.stay)[0].any()
    assert play(cheats.grow)[0].mean() < -0.1
    assert play(cheats.shrink)[0].mean() < -0.1


@pytest.mark.slow
def test_the_expert_gains_what_it_is_paid():
    total, envs = play(lambda e: lambda *_: e.reference_action())
    assert total.mean() > 0.12
    final = envs.state
    assert (final.iou - final.initial).numpy() == pytest.approx(total, abs=1e-5)


def test_actions_are_numbered_as_by_the_authors():
    assert STEPS == (1, 2, 3, -3, -2, -1) and (PER_LOOP, STAY) == (36, 360)


def test_published_moves_any_loop_and_stops_at_bounds():
    envs = make(2, published=True, horizon=101)
    envs.reset(seed=0)
    assert envs.action_masks().all()
    state = envs.state
    axis = int(state.axis[0, state.owner[0, 7]])
    u = ACROSS[axis][0]
    before = state.corner.clone()
    for _ in range(60):  # far beyond the opposite side
        envs.step(np.full(2, code(7, 0, u, 3)))
    loop = envs.state.corner[0, 7]
    assert float(loop[1, u] - loop[0, u]) == pytest.approx(2 * float(state.unit[0]), abs=1e-5)
    for _ in range(40):
        observation = envs.step(np.full(2, code(7, 1, u, 3)))[0]
    assert envs.single_observation_space["loops"].contains(observation["loops"][0])
    # The bounds are a cube as wide as the target's diagonal, from its lowest corner.
    where = packed.unpack(state.target[0], 64).nonzero()
    first = where.amin(0) / 64
    wide = float(((where.amax(0) + 1) / 64 - first).norm())
    assert float(state.unit[0]) == pytest.approx(wide / 100)
    highest = min(float(loop[1, u]) + 1.2 * wide, float(first[u]) + wide)
    assert float(envs.state.corner[0, 7, 1, u]) == pytest.approx(highest, abs=1e-5)
    other = [k for k in range(10) if k != 7]
    assert torch.equal(envs.state.corner[0, other], before[0, other])
    assert envs.step(np.full(2, code(7, 1, axis, 3)))[2].all()  # the 101st, along the loop's axis


@pytest.mark.parametrize(("axis", "step", "bound"), [(1, -3, 0.25), (2, 3, 0.5 + 0.8)])
def test_published_bounds_are_the_target_s(axis, step, bound):
    loop = torch.tensor([[[0.0, 0.3, 0.6], [0.0, 0.9, 1.2]]])
    unit, floor = torch.tensor([0.008]), torch.tensor([[0.1, 0.25, 0.5]])
    corner = int(step > 0)
    action = torch.tensor([18 * corner + 6 * axis + STEPS.index(step)])
    for _ in range(8):
        loop = moves.forced(loop, action, torch.tensor([0]), unit, floor)
    after = loop.clone()
    for _ in range(8):
        after = moves.forced(after, action, torch.tensor([0]), unit, floor)
    assert float(after[0, corner, axis]) == pytest.approx(bound)


# --- meshes ---


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rings_are_closed_and_look_outwards(axis):
    corner = torch.zeros(3, 2, 3)
    corner[:, 1] = 1.0
    corner[:, :, axis] = torch.tensor([0.0, 0.5, 2.0])[:, None]
    quads = meshes.rings(corner, axis)
    assert quads.faces.shape == (10, 4) and quads.vertices.shape == (12, 3)
    vertices, faces = quads.triangles
    shape = topology(faces[None])
    assert bool(shape.watertight) and int(shape.euler) == 2
    a, b, c = vertices[faces].unbind(1)
    assert float((a * torch.linalg.cross(b, c)).sum() / 6) == pytest.approx(2.0)


@needs("trimesh", extra="shapes")
@needs("manifold3d", extra="shapes")
@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_the_mesh_is_read_again(tmp_path, suffix):
    import trimesh

    envs = make(2)
    envs.reset(seed=3)
    for _ in range(20):
        envs.step(envs.reference_action())
    mesh = envs.artefact(0)
    assert mesh.is_watertight
    filled = packed.volume(envs.task.solid(envs.state))[0] / 64**3
    assert mesh.volume == pytest.approx(float(filled), rel=0.05)
    mesh.export(tmp_path / f"mesh{suffix}")
    again = trimesh.load(tmp_path / f"mesh{suffix}", force="mesh")
    assert len(again.faces) == len(mesh.faces)
    assert again.volume == pytest.approx(mesh.volume, rel=1e-4)
    assert np.allclose(again.bounds, mesh.bounds, atol=1e-5)


@needs("trimesh", extra="shapes")
def test_quads_are_read_again(tmp_path):
    import trimesh

    envs = make(1)
    envs.reset(seed=3)
    found = envs.task.surfaces(envs.state, 0)
    (tmp_path / "loops.obj").write_text(meshes.obj(found))
    text = (tmp_path / "loops.obj").read_text()
    assert text.count("\nf ") == sum(len(q.faces) for q in found)
    again = trimesh.load(tmp_path / "loops.obj", force="mesh")
    assert len(again.faces) == 2 * sum(len(q.faces) for q in found)


@needs("trimesh", extra="shapes")
def test_a_mesh_needs_manifold3d_and_gold_does_not(monkeypatch):
    from genenvs.geometry import solids

    envs = make(1)
    envs.reset(seed=3)

    def missing(name, extra):
        raise ImportError(f'{name} is missing: pip install "genenvs[{extra}]"')

    monkeypatch.setattr(solids, "require", missing)
    with pytest.raises(ImportError, match=r"manifold3d is missing.*genenvs\[shapes\]"):
        envs.artefact(0)
    assert 0 < float(envs.task.judge(envs.state)["chamfer"]) < 1


def test_gold_finds_a_good_solid_nearer():
    envs = make(8)
    envs.reset(seed=0)
    start = envs.task.judge(envs.state)
    for _ in range(30):
        envs.step(envs.reference_action())
    found = envs.task.judge(envs.state)
    assert set(found) == {n for n, m in envs.task.metrics.items() if m.when == "judge"}
    assert float(found["chamfer"].mean()) < 0.9 * float(start["chamfer"].mean())
    # None of these is the same whatever an agent does.
    for name in ("overlap", "self_intersections"):
        assert (found[name] != start[name]).any(), name
    assert (found["components"] >= 1).all() and (found["overlap"] < 1).all()


def test_gold_of_a_hand_made_solid():
    """Two bars that cross in a cube, and one apart."""
    from genenvs.tasks.edge_loop import judges

    corners = torch.tensor([
        [[0.0, 0.25, 0.25], [0.75, 0.5, 0.5]],
        [[0.25, 0.0, 0.3125], [0.5, 0.75, 0.4375]],
        [[0.0, 0.0, 0.75], [0.25, 0.25, 1.0]],
    ])  # fmt: skip
    boxes = (corners * 64).long().flatten(1)
    parts = torch.stack([cuboids.rasterise_packed(box[None, None], 64)[0] for box in boxes])
    surfaces = []
    for low, high in corners:
        loops = torch.stack([low, high])[None].repeat(2, 1, 1)
        loops[:, :, 2] = torch.stack([low, high])[:, 2:]
        surfaces.append(meshes.rings(loops, 2))
    target = cuboids.rasterise_packed(boxes[None, :2], 64)
    key = torch.zeros(1, dtype=torch.int64)
    found = judges.judge([surfaces], parts[None, :2], parts[2:], target, key)
    common = 16 * 16 * 8
    total = 48 * 16 * 16 + 16 * 48 * 8 + 16**3
    assert float(found["overlap"]) == pytest.approx(common / total)
    assert float(found["components"]) == 2
    assert float(found["hausdorff"]) > 0.3  # of the part that should not be
    assert float(found["self_intersections"]) > 0
    alone = judges.judge([surfaces[::2]], parts[None, :1], parts[2:], target, key)
    assert float(alone["overlap"]) == float(alone["self_intersections"]) == 0


# --- where cuboids and targets come from ---


def write(path, rows: dict[int, list[list[int]]] | None = None, **changes) -> str:
    found = targets.load("table", "test", 16)
    boxes = torch.zeros(len(found), 27, 6, dtype=torch.int64)
    boxes[:, 3] = torch.tensor([1, 1, 0, 15, 15, 8])
    for row, listed in (rows or {}).items():
        boxes[row] = 0
        for k, box in enumerate(listed):
            boxes[row, 2 * k] = torch.tensor(box)
    fields = {
        "cuboids": boxes,
        "iou": torch.zeros(len(found)),
        "instance": torch.arange(len(found)),
        "names": tuple(found.name(k) for k in range(len(found))),
        "targets": "table",
        "split": "test",
    }
    primitives.write(path, Primitives(**(fields | changes)))
    return str(path)


def test_primitives_of_a_file_are_where_loops_start(tmp_path):
    seven = [[2 * k, 0, 0, 2 * k + 2, 7 + k, 9] for k in range(7)]
    path = write(tmp_path / "p.safetensors", {1: seven, 2: []})
    task = EdgeLoop(targets="table", split="test", horizon=100, initial=path)
    state = task.initial_state(torch.arange(3), torch.arange(3))
    assert state.owner[0].tolist() == [0] * 10
    assert state.corner[0, 0].tolist() == [[1 / 16, 1 / 16, 0], [1 / 16, 15 / 16, 0.5]]
    # Seven: the five largest have loops, the two smallest stay as they are.
    assert state.owner[1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert int(packed.volume(state.still)[1]) == 2 * 9 * (7 + 8) * 64
    everything = packed.volume(task.solid(state))
    assert int(everything[1]) == 2 * 9 * sum(7 + k for k in range(7)) * 64
    assert len(task.surfaces(state, 1)) == 7
    # None left: fitted.
    fitted = EdgeLoop(targets="table", split="test", horizon=100)
    other = fitted.initial_state(torch.arange(3), torch.arange(3))
    assert torch.equal(state.corner[2], other.corner[2])
    plain = plain_of(task, state, 1)
    assert (packed.unpack(task.solid(state), 64)[1].numpy() == plain.grid()).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"initial": 3}, "initial must be"),
        ({"published": 1}, "published must be True or False"),
        ({"targets": "castle"}, "targets must be one of"),
        ({"horizon": 0}, "horizon must be"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EdgeLoop(**({"targets": "table", "horizon": 100} | arguments))


def test_primitives_of_others_are_refused(tmp_path):
    path = write(tmp_path / "p.safetensors")
    with pytest.raises(FileNotFoundError, match="no file of primitives"):
        EdgeLoop(targets="table", horizon=100, initial=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="split 'test', not 'train'"):
        EdgeLoop(targets="table", horizon=100, initial=path)
    with pytest.raises(ValueError, match="here it is 'chair'"):
        EdgeLoop(targets="chair", split="test", horizon=100, initial=path)


def test_meshes_of_a_user_are_targets(tmp_path):
    trimesh = import_or_skip("trimesh", extra="shapes")
    for k in range(3):
        trimesh.creation.box((1, 1 + k, 2)).export(tmp_path / f"box{k}.obj")
    envs = make(3, targets=str(tmp_path))
    envs.reset(seed=0)
    assert (envs.state.iou > 0.8).all()
    assert envs.task.targets.names[0].startswith("box")


def test_a_picture_shows_the_loops():
    envs = make(1, render_mode="rgb_array")
    envs.reset(seed=0)
    first = envs.render()[0]
    envs.step(envs.reference_action())
    second = envs.render()[0]
    width = first.shape[1] // 3
    assert (first[:, :width] == second[:, :width])[:270].all()  # the target
    assert (first[:, 2 * width :] != second[:, 2 * width :]).any()
