"""BrickBuild: the same as a plain world of voxels, brick by brick; forces and files by hand."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from genenvs.core.vector import TaskVectorEnv
from genenvs.tasks.brick_build import bricks, cheats, layers, ldraw, stability, standing, viewer
from genenvs.tasks.brick_build.bricks import EMPTY, ORIENTED, PLACEMENTS, SIZE
from genenvs.tasks.brick_build.task import NEXT_LAYER, STOP
from tests.needs import import_or_skip, needs

ENV = "genenvs/BrickBuild-v0"
SIDES = [(b.along_x, b.along_y) for b in ORIENTED]
scipy = needs("scipy", extra="shapes")


def make(num_envs=4, **arguments) -> TaskVectorEnv:
    arguments = {"split": "test", "autoreset_mode": AutoresetMode.DISABLED} | arguments
    return gym.make_vec(ENV, num_envs=num_envs, keep_final=True, **arguments)


def code(along_x, along_y, x, y, z) -> int:
    return z * PLACEMENTS + placement(along_x, along_y, x, y)


def placement(along_x, along_y, x, y) -> int:
    return SIDES.index((along_x, along_y)) * SIZE**2 + x * SIZE + y


def build(*placed) -> torch.Tensor:
    """One row of bricks (along_x, along_y, x, y, z)."""
    return torch.tensor([[code(*brick) for brick in placed]])


def scores(*placed) -> list[float]:
    return stability.scores(build(*placed)[0].numpy()).tolist()


class Plain:
    """One build, as numpy voxels."""

    def __init__(self, target, floating=False) -> None:
        self.target, self.floating = target, floating
        self.world = np.zeros((SIZE,) * 3, bool)
        self.bricks, self.layer, self.over = [], 0, False

    def fits(self, along_x, along_y, x, y) -> bool:
        if x + along_x > SIZE or y + along_y > SIZE:
            return False
        place = slice(x, x + along_x), slice(y, y + along_y)
        if self.world[(*place, self.layer)].any():
            return False
        if self.layer == 0 or self.floating:
            return True
        return bool(self.world[(*place, self.layer - 1)].any())

    def mask(self) -> np.ndarray:
        places = itertools.product(SIDES, range(SIZE), range(SIZE))
        return np.array([self.fits(*sides, x, y) for sides, x, y in places] + [True, True])

    def iou(self) -> float:
        return (self.world & self.target).sum() / (self.world | self.target).sum()

    def step(self, action) -> bool:
        """Act; whether that was legal."""
        if action == STOP or (action == NEXT_LAYER and self.layer == SIZE - 1):
            self.over = True
        elif action == NEXT_LAYER:
            self.layer += 1
        else:
            brick, rest = divmod(action, SIZE**2)
            (along_x, along_y), (x, y) = SIDES[brick], divmod(rest, SIZE)
            if not self.fits(along_x, along_y, x, y):
                return False
            self.world[x : x + along_x, y : y + along_y, self.layer] = True
            self.bricks.append((along_x, along_y, x, y, self.layer))
        return True

    def greedy(self) -> int:
        best, chosen = (0, 0), -1
        for action in np.flatnonzero(self.mask()[:PLACEMENTS]).tolist():
            brick, rest = divmod(action, SIZE**2)
            (along_x, along_y), (x, y) = SIDES[brick], divmod(rest, SIZE)
            inside = self.target[x : x + along_x, y : y + along_y, self.layer].sum()
            area = along_x * along_y
            if 2 * inside - area > 0 and (2 * inside - area, area) > best:
                best, chosen = (2 * inside - area, area), action
        if chosen >= 0:
            return chosen
        return NEXT_LAYER if self.target[..., self.layer + 1 :].any() else STOP


def test_there_are_eight_types_and_fourteen_oriented_bricks():
    assert len(bricks.TYPES) == 8 and len(ORIENTED) == len(set(SIDES)) == 14
    assert PLACEMENTS == 14 * 400 and int(make(1).single_action_space.n) == 5602


@given(st.integers(0, 13), st.integers(0, 19), st.integers(0, 19), st.integers(0, 19))
def test_a_code_names_one_brick(brick, x, y, z):
    number = bricks.code(torch.tensor(brick * 400 + x * 20 + y), torch.tensor(z))
    assert [int(v) for v in bricks.decode(number)] == [brick, x, y, z]
    assert int(number) < 2**31


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.2, 0.6]))
def test_the_mask_of_a_layer_equals_a_loop_over_all_placements(seed, share):
    rng = np.random.default_rng(seed)
    taken, below = rng.random((2, SIZE, SIZE)) < share
    found = layers.legal(*(layers.pack(torch.tensor(x))[None] for x in (taken, below)))[0]
    for k, (along_x, along_y) in enumerate(SIDES):
        for x, y in rng.integers(0, SIZE, (30, 2)).tolist():
            place = slice(x, x + along_x), slice(y, y + along_y)
            inside = x + along_x <= SIZE and y + along_y <= SIZE
            expected = inside and not taken[place].any() and below[place].any()
            assert bool(found[k, x, y]) == expected


def test_rows_of_words_unpack_to_what_was_packed():
    plane = torch.rand(3, SIZE, SIZE) < 0.5
    assert layers.unpack(layers.pack(plane)).equal(plane)
    assert layers.studs(layers.pack(plane)).equal(plane.flatten(1).sum(1))


@pytest.mark.parametrize("floating", [False, True])
def test_transition_and_mask_equal_plain_voxels_on_random_play(floating):
    envs = make(3, floating=floating, horizon=60)
    _, info = envs.reset(seed=5)
    task, state = envs.unwrapped.task, envs.unwrapped.state
    plain = [Plain(t.numpy(), floating) for t in task.target(state)]
    rng, illegal = np.random.default_rng(0), np.zeros(3)
    for step in range(60):
        actions = []
        for row, mask in enumerate(info["action_mask"]):
            if step % 6 == 0:
                np.testing.assert_array_equal(mask, plain[row].mask())
            anything = rng.integers(0, PLACEMENTS)  # mostly illegal
            legal = rng.choice(np.flatnonzero(mask[:PLACEMENTS])) if mask[:-2].any() else NEXT_LAYER
            actions.append(rng.choice([anything, legal, legal, legal, NEXT_LAYER]))
        legal = [world.step(int(action)) for world, action in zip(plain, actions, strict=True)]
        _, _, terminated, _, info = envs.step(np.array(actions))
        illegal += ~np.array(legal)
        np.testing.assert_array_equal(info["terms"]["invalid"], -(~np.array(legal)).astype(float))
        np.testing.assert_array_equal(info["metrics"]["invalid"], illegal)
        ious = [world.iou() for world in plain]
        np.testing.assert_allclose(info["metrics"]["iou"], ious, atol=1e-6)
        if terminated.any():
            break
    state = envs.unwrapped.state
    for row, world in enumerate(plain):
        assert [code(*brick) for brick in world.bricks] == task.codes(state, row).tolist()
        assert bricks.voxels(state.bricks)[row].numpy().tolist() == world.world.tolist()


def test_the_reference_equals_a_plain_greedy_builder_to_the_end():
    envs = make(2, targets="lamp")
    envs.reset(seed=3)
    task = envs.unwrapped.task
    plain = [Plain(t.numpy()) for t in task.target(envs.unwrapped.state)]
    for _ in range(40):
        action = task.reference_action(envs.unwrapped.state).tolist()
        assert action == [world.greedy() for world in plain]
        for world, a in zip(plain, action, strict=True):
            world.step(a)
        _, _, terminated, _, _ = envs.step(np.array(action))
        if terminated.any():
            break


def test_planes_show_what_lies_ahead():
    envs = make(8)
    envs.reset(seed=1)
    for action in (placement(2, 4, 3, 5), NEXT_LAYER, placement(1, 1, 4, 6), placement(6, 1, 0, 7)):
        observation, *_ = envs.step(np.full(8, action))
    task, state = envs.unwrapped.task, envs.unwrapped.state
    target = task.target(state).numpy()
    planes = observation["planes"]
    np.testing.assert_array_equal(planes[:, 0] == 255, target[..., 1])
    np.testing.assert_array_equal(planes[:, 1] == 255, target[..., 2])
    np.testing.assert_array_equal(planes[:, 2], target[..., 2:].sum(-1) * 255 // 20)
    near = np.where(target[..., 2:].any(-1), 255 - 12 * target[..., 2:].argmax(-1), 0)
    np.testing.assert_array_equal(planes[:, 3], near)
    built, below = np.zeros((2, SIZE, SIZE), bool)
    below[3:5, 5:9] = True
    built[4, 6] = built[0:6, 7] = True
    assert ((planes[:, 4] == 255) == built).all() and ((planes[:, 5] == 255) == below).all()
    ahead = target[..., 2:].sum((1, 2, 3)) / target.sum((1, 2, 3))
    expected = np.stack([np.full(8, 1 / 20), np.full(8, 252 / 256), state.iou, ahead], 1)
    np.testing.assert_allclose(observation["progress"], expected, atol=1e-6)


def test_the_ground_carries_the_first_layer_alone():
    envs = make(1)
    _, info = envs.reset(seed=0)
    assert info["action_mask"][0, placement(1, 1, 19, 19)]
    *_, info = envs.step(np.array([NEXT_LAYER]))
    assert not info["action_mask"][0, :PLACEMENTS].any()
    assert info["action_mask"][0, PLACEMENTS:].all()


@pytest.mark.parametrize(
    ("name", "ending", "horizon"),
    [
        ("the action that ends", [STOP], 256),
        ("the top", [NEXT_LAYER] * (SIZE - 1), 256),
        ("the horizon", [NEXT_LAYER], 5),
        ("stalling", [placement(1, 8, 9, 9)] * 3, 7),
    ],
)
def test_every_ending_pays_the_same_terminal_terms_once(name, ending, horizon):
    # A 1x8 on one stud uses 9.75 of 100 grams; a 1x1 on nothing falls.
    built = [placement(1, 1, 9, 9), NEXT_LAYER, placement(1, 8, 9, 9), placement(1, 1, 0, 0)]
    envs = make(2, horizon=horizon, floating=True)
    envs.reset(seed=0)
    paid = []
    for action in built + ending:
        _, _, terminated, truncated, info = envs.step(np.full(2, action))
        paid.append([info["terms"]["strain"], info["terms"]["unconnected"]])
        assert terminated.all() == (len(paid) == len(built + ending)) and not truncated.any()
    assert (np.array(paid[:-1]) == 0).all()
    np.testing.assert_allclose(paid[-1][0], -(8 * 0.0975 + 0.096425 + 1) / 10, atol=1e-6)
    np.testing.assert_allclose(paid[-1][1], -1 / 10, atol=1e-6)
    np.testing.assert_allclose(info["metrics"]["strain"], -paid[-1][0])
    np.testing.assert_allclose(info["metrics"]["fallen"], 1 / 10)
    assert (info["metrics"]["structures"] == 2).all()


def test_small_bricks_do_not_hide_one_that_falls():
    paid = []
    for base in ([placement(1, 8, 9, 9)], [placement(1, 1, 9, 9 + k) for k in range(8)]):
        envs = make(1, floating=True)
        envs.reset(seed=0)
        for action in [*base, NEXT_LAYER, placement(2, 4, 0, 0), STOP]:
            *_, info = envs.step(np.array([action]))
        paid.append([float(info["terms"][name][0]) for name in ("strain", "unconnected")])
    assert paid == [[-0.5, -0.5]] * 2


@pytest.mark.parametrize("name", ["stop_at_once", "stall", "rise", "largest"])
def test_cheats_end_far_below_the_reference(name):
    envs = make(16)
    observation, info = envs.reset(seed=0)
    policy = getattr(cheats, name)(envs)
    total, alive = np.zeros(16), True
    while alive:
        observation, reward, terminated, _, info = envs.step(policy(observation, info))
        total += reward
        alive = not terminated.all()
    assert total.mean() < 0.35 and info["metrics"]["iou"].mean() < 0.35


# --- what stands ---


def judged(*placed):
    found = standing.judge(build(*placed))
    return found.connected[0].tolist(), found.stands[0].tolist()


def strains(*placed):
    return standing.judge(build(*placed)).strain[0].tolist()


def test_a_brick_on_the_ground_stands_and_one_on_nothing_falls():
    assert judged((2, 4, 3, 3, 0)) == ([True], [True]) and strains((2, 4, 3, 3, 0)) == [0]
    assert judged((2, 4, 3, 3, 1)) == ([False], [False]) and strains((2, 4, 3, 3, 1)) == [1]
    assert judged((2, 4, 3, 3, 0), (1, 1, 9, 9, 1)) == ([True, False], [True, False])


def test_strain_is_the_friction_that_a_lever_needs():
    # The numbers of the linear programme below: 3 g at 3.5 studs from the middle of one stud.
    assert strains((1, 1, 5, 5, 0), (1, 8, 5, 5, 1)) == pytest.approx([0.096425, 0.0975], abs=1e-6)
    assert strains((1, 4, 5, 5, 0), (1, 8, 5, 2, 1)) == [0, 0]  # its centre lies over three studs
    # Two legs carry a bridge, whose centre lies over neither.
    assert strains((1, 1, 5, 5, 0), (1, 1, 5, 12, 0), (1, 8, 5, 5, 1)) == [0, 0, 0]
    # Two arms that lean apart each strain their own foot, though together they would balance.
    base = (1, 8, 5, 6, 0)
    arms = (1, 8, 5, 0, 1), (1, 8, 5, 12, 1)
    assert strains(base, arms[0])[1] == strains(base, *arms)[1] == strains(base, *arms)[2] > 0


def test_what_friction_cannot_hold_falls_from_the_cut_upwards():
    arms = [(1, 8, 5, 0, 1), (1, 8, 5, 7, 2), (1, 6, 5, 14, 3)]
    weight = [(2, 6, 4, 14, z) for z in range(4, 20)]
    base = (1, 1, 5, 0, 0)
    assert all(judged(base, *arms)[1])
    assert judged(base, *arms, *weight)[1] == [False] * 20
    # Feet that hold: what falls lies above them.
    assert judged((2, 6, 4, 0, 0), *arms, *weight)[1] == [True, True] + [False] * 18


def test_a_brick_that_hangs_from_another_is_connected():
    tower = [(1, 1, 5, 5, k) for k in range(3)]
    hanging = (1, 1, 5, 12, 1)
    assert judged(*tower, hanging)[0] == [True] * 3 + [False]
    assert judged(*tower[:2], (1, 8, 5, 5, 2), hanging)[0] == [True] * 4


def plain_standing(placed):
    """Bodies above each cut by flood fill, levers by the contact points themselves."""
    filled = {}
    for k, (a, b, x, y, z) in enumerate(placed):
        for cell in itertools.product(range(x, x + a), range(y, y + b)):
            filled[(*cell, z)] = k

    def bodies(lowest):
        label = list(range(len(placed)))
        for _ in placed:
            for (x, y, z), k in filled.items():
                if z >= lowest and (x, y, z + 1) in filled:
                    other = filled[x, y, z + 1]
                    label[k] = label[other] = min(label[k], label[other])
        return label

    steps = [(1, 0), (2, 1), (1, 1), (1, 2)]
    normals = []
    for _ in range(4):
        normals += steps
        steps = [(-b, a) for a, b in steps]
    whole = bodies(0)
    on_ground = {whole[k] for k, brick in enumerate(placed) if brick[4] == 0}
    strain = [0.0 if label in on_ground else 1.0 for label in whole]
    falls = [label not in on_ground for label in whole]
    for cut in range(SIZE):
        label = bodies(cut)
        for own in {label[k] for k, brick in enumerate(placed) if brick[4] == cut}:
            members = [k for k, b in enumerate(placed) if label[k] == own and b[4] >= cut]
            grams = np.array([ORIENTED[SIDES.index(placed[k][:2])].type.grams for k in members])
            middle = np.array(
                [
                    [x + (a - 1) / 2, y + (b - 1) / 2]
                    for a, b, x, y, _ in (placed[k] for k in members)
                ]
            )
            centre = grams @ middle / grams.sum()
            points = np.array([
                (x + i, y + j)
                for (x, y, z), k in filled.items()
                if z == cut and label[k] == own and (z == 0 or (x, y, z - 1) in filled)
                for i, j in (stability.FOUR if 1 in placed[k][:2] else stability.THREE)
            ])  # fmt: skip
            drag = 0.0 if len(points) else np.inf
            for normal in normals if len(points) else []:
                side = (points @ normal).max()
                if centre @ normal - side > 1e-3:
                    lever = (side - points @ normal).sum()
                    drag = max(drag, grams.sum() * (centre @ normal - side) / lever)
            for k in members:
                falls[k] |= drag >= 100
                if placed[k][4] == cut:
                    strain[k] = max(strain[k], drag / 100)
    return [s if not f else 1.0 for s, f in zip(strain, falls, strict=True)], falls


def test_standing_equals_a_plain_computation_on_random_builds():
    envs = make(6, floating=True, horizon=40)
    _, info = envs.reset(seed=2)
    rng = np.random.default_rng(1)
    for _ in range(39):
        near = [m[:PLACEMENTS].reshape(14, 20, 20)[:, :8, :8] for m in info["action_mask"]]
        places = [np.argwhere(m) for m in near]
        pick = [p[rng.integers(len(p))] if len(p) else (0, 0, 0) for p in places]
        actions = [int(b) * 400 + int(x) * 20 + int(y) for b, x, y in pick]
        up = rng.random(6) < 0.25
        *_, info = envs.step(np.where(up, NEXT_LAYER, actions))
    task, state = envs.unwrapped.task, envs.unwrapped.state
    found = standing.judge(state.bricks)
    some = 0
    for row in range(6):
        codes = torch.tensor(task.codes(state, row))
        numbers = zip(*(v.tolist() for v in bricks.decode(codes)), strict=True)
        placed = [(*SIDES[b], x, y, z) for b, x, y, z in numbers]
        strain, falls = plain_standing(placed)
        np.testing.assert_allclose(found.strain[row, : len(placed)], strain, atol=1e-4)
        assert found.stands[row, : len(placed)].tolist() == [not f for f in falls]
        assert not found.stands[row, len(placed) :].any()
        assert not found.strain[row, len(placed) :].any()
        some += any(0 < v < 1 for v in strain) and any(falls) and not all(falls)
    assert some  # builds in which some bricks are strained, some fall and some do neither


# --- the linear programme ---


@scipy
@pytest.mark.parametrize("sides", SIDES)
def test_a_brick_on_the_ground_scores_one_and_a_floating_one_zero(sides):
    assert scores((*sides, 5, 5, 0)) == [1.0]
    assert scores((*sides, 5, 5, 3)) == [0.0]


@scipy
def test_a_brick_on_one_stud_scores_what_levers_give_by_hand():
    # 3.00 g at 3.5 studs from the stud's middle. Normal force n at +1/4 stud and drag d at -1/4 and
    # at both points between: (n + d) / 4 = 10.5 and n - 3 d = 3, so d = 9.75 of 100 grams. Below,
    # n - 3 d = 3.43: d = 9.6425.
    assert scores((1, 1, 5, 5, 0), (1, 8, 5, 5, 1)) == pytest.approx([0.903575, 0.9025], abs=1e-6)
    assert scores((1, 1, 5, 5, 0), (8, 1, 5, 5, 1)) == pytest.approx([0.903575, 0.9025], abs=1e-6)


@scipy
def test_what_friction_cannot_hold_falls():
    # Each 1x8 hangs on the last stud of the one below; all of it on one stud.
    arms = [(1, 8, 5, 0, 1), (1, 8, 5, 7, 2), (1, 6, 5, 14, 3)]
    weight = [(2, 6, 4, 14, z) for z in range(4, 20)]
    held = scores((1, 1, 5, 0, 0), *arms)
    fallen = scores((1, 1, 5, 0, 0), *arms, *weight)
    assert all(0 < s < 1 for s in held)
    assert fallen[0] == 0 and fallen[1] == 0
    assert scores((2, 4, 0, 0, 0), *arms[1:])[0] == 1  # beside it a brick stands on its own


@scipy
def test_less_overhang_is_more_stable_and_symmetry_changes_nothing():
    values = [scores((2, 2, 5, 5, 0), (1, 8, 5, y, 1))[1] for y in (6, 5, 4, 2)]
    assert values == sorted(values) and values[0] < values[-1] == 1
    mirrored = scores((2, 2, 5, 13, 0), (1, 8, 5, 6, 1))
    assert mirrored == pytest.approx(scores((2, 2, 5, 5, 0), (1, 8, 5, 6, 1)), abs=1e-5)
    assert scores((1, 1, 5, 5, 0), (1, 1, 5, 12, 0), (1, 8, 5, 5, 1)) == pytest.approx([1] * 3)


@scipy
def test_a_brick_that_hangs_is_held_by_friction_alone():
    # A 1x1 of 0.43 g hangs on four drags of one stud; nothing is below it.
    found = scores((1, 2, 5, 5, 2), (1, 1, 5, 5, 0), (1, 1, 5, 5, 1), (1, 1, 5, 6, 1))
    # `D` counts the drags below a brick, those that it would tear from.
    assert min(found) > 0.98


@scipy
def test_published_prices_let_a_brick_on_a_tall_post_fall_that_friction_would_hold():
    # alpha is paid for the drag of every brick below: from some eight layers on, that costs more
    # than the torque. The balance is found once prices are lower.
    tall = [(1, 1, 5, 5, z) for z in range(12)] + [(1, 8, 5, 5, 12)]
    low = tall[8:]
    low = [(a, b, x, y, z - 8) for a, b, x, y, z in low]
    assert scores(*low)[-1] == pytest.approx(0.9025, abs=1e-6)
    assert scores(*tall)[-1] == 0
    cheap = stability.Constants(alpha=1e-5, beta=1e-8)
    found = stability.scores(build(*tall)[0].numpy(), cheap)
    assert found[-1] == pytest.approx(0.9025, abs=1e-6) and found.min() > 0.9


@scipy
def test_nothing_built_has_no_stability():
    envs = make(2)
    envs.reset(seed=0)
    envs.step(np.full(2, STOP))
    found = envs.unwrapped.task.judge(envs.unwrapped.state)
    assert found["stability"].tolist() == found["stable"].tolist() == [0, 0]
    assert found["chamfer"].tolist() == [2, 2] and found["hausdorff"].tolist() == [1, 1]
    assert len(stability.scores(np.zeros(0, np.int64))) == 0


# --- files and pictures ---


def read_ldraw(text):
    """An independent reader: bricks by the corners that LDraw's own parts would have."""
    parts = {"3005": (1, 1), "3004": (2, 1), "3010": (4, 1), "3009": (6, 1), "3008": (8, 1)}
    parts |= {"3003": (2, 2), "3001": (4, 2), "2456": (6, 2)}
    found, steps = [], 0
    for line in text.split("\r\n"):
        if line == "0 STEP":
            steps += 1
        if not line.startswith("1 "):
            continue
        _, _colour, *numbers, part = line.split(" ")
        x, y, z, *turn = map(float, numbers)
        long, wide = parts[part.removesuffix(".dat")]
        half = np.array([10 * long, 0, 10 * wide])  # from the middle of its top
        turned = np.abs(np.array(turn).reshape(3, 3) @ half)
        assert np.linalg.det(np.array(turn).reshape(3, 3)) == 1
        low = (np.array([x, y, z]) - turned)[[0, 2]] / 20
        sides = (2 * turned)[[0, 2]] / 20
        assert (low == low.round()).all() and y % 24 == 0
        found.append((*sides.astype(int).tolist(), *low.astype(int).tolist(), int(-y / 24 - 1)))
    return found, steps


def reference_build(env_seed=4, targets="chair"):
    envs = make(1, targets=targets)
    envs.reset(seed=env_seed)
    done = np.array([False])
    while not done.all():
        _, _, done, _, _ = envs.step(envs.reference_action())
    return envs.unwrapped.task, envs.unwrapped.state


def test_an_ldraw_file_holds_the_same_bricks(tmp_path):
    task, state = reference_build()
    path = tmp_path / "deep" / "chair.ldr"
    task.write_ldraw(path, state, 0)
    codes = torch.tensor(task.codes(state, 0))
    numbers = zip(*(v.tolist() for v in bricks.decode(codes)), strict=True)
    placed = [(*SIDES[b], x, y, z) for b, x, y, z in numbers]
    found, steps = read_ldraw(path.read_bytes().decode())
    assert found == placed and steps == len({z for *_, z in placed})
    assert path.read_bytes().startswith(b"0 BrickBuild chair\r\n")
    every = [(*sides, 3, 4, 2) for sides in SIDES]
    text = ldraw.text(build(*every)[0].numpy(), "all")
    assert read_ldraw(text)[0] == every
    with pytest.raises(ValueError, match="must end in"):
        ldraw.write_ldraw(tmp_path / "chair.txt", codes.numpy())


def test_the_scene_is_opened_again_by_trimesh(tmp_path):
    trimesh = import_or_skip("trimesh", extra="shapes")
    task, state = reference_build()
    scene = task.artefact(state, 0)
    assert len(scene.geometry) == int(state.count[0])
    for suffix in ("glb", "obj"):
        path = tmp_path / f"chair.{suffix}"
        scene.export(path)
        again = trimesh.load_scene(path)
        np.testing.assert_allclose(again.bounds, scene.bounds, atol=1e-5)
        assert sum(len(m.faces) for m in again.dump()) == sum(len(m.faces) for m in scene.dump())
    one = viewer.scene(build((2, 4, 0, 0, 0))[0].numpy())
    np.testing.assert_allclose(one.extents, [0.0158, 0.0318, 0.0096 + 0.0016], atol=1e-9)


def test_a_picture_shows_target_and_bricks():
    task, state = reference_build()
    before = task.render(make_empty := task.initial_state(state.instance, state.key), 0)
    after = task.render(state, 0)
    assert before.shape == after.shape and before.dtype == np.uint8
    half = before.shape[1] // 2
    assert (before[:, :half] == after[:, :half])[20:300].all()
    assert (before[:, half:] != after[:, half:]).any(-1).mean() > 0.02
    assert int(make_empty.count[0]) == 0


# --- arguments ---


def test_meshes_of_the_user_are_targets(tmp_path):
    trimesh = import_or_skip("trimesh", extra="shapes")
    trimesh.creation.box((1, 1, 3)).export(tmp_path / "post.stl")
    trimesh.creation.icosphere().export(tmp_path / "ball.ply")
    envs = make(2, targets=str(tmp_path))
    envs.reset(seed=0, options={"instances": [0, 1]})
    names = {envs.unwrapped.task.targets.name(k) for k in (0, 1)}
    assert names == {"post.stl", "ball.ply"}
    task = envs.unwrapped.task
    post = [k for k in (0, 1) if task.targets.name(k) == "post.stl"]
    state, done = task.initial_state(torch.tensor(post), torch.tensor([1])), torch.tensor([False])
    while not done.all():
        result = task.transition(state, task.reference_action(state))
        state, done = result.state, result.terminated
    assert float(state.iou[0]) > 0.95 and int(state.step[0]) < 256


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"targets": "no such family"}, ValueError, "no such family"),
        ({"floating": 1}, TypeError, "floating must be True or False; got 1"),
        ({"horizon": 0}, ValueError, "horizon"),
        ({"size": 16}, TypeError, "size"),
        ({"up": "Z"}, ValueError, "up must be 'y' or 'z'; got 'Z'"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments, error, says):
    with pytest.raises(error, match=says):
        make(1, **arguments)


def test_a_long_horizon_takes_no_room_that_no_build_can_fill():
    task = make(1, horizon=10**12, targets="table").task
    state = task.initial_state(torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
    assert state.bricks.shape == (2, 8_000)


def test_a_missing_scipy_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.sparse.csgraph", None)
    with pytest.raises(ImportError, match=r"genenvs\[shapes\]"):
        scores((1, 1, 0, 0, 0))


def test_an_empty_list_of_bricks_is_no_brick():
    assert not bricks.voxels(torch.full((2, 3), EMPTY)).any()
    found = standing.judge(torch.full((2, 3), EMPTY))
    assert found.structures.tolist() == [0, 0] and not found.stands.any()
