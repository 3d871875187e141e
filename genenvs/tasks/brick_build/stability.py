"""BrickGPT's stability of a build: one linear programme for all forces between its bricks.

After StableLego (Liu et al., RA-L 2024) and BrickGPT (Pun et al., 2025, eqs. 1-4). Every stud that
touches a brick above it, and every stud of the ground plate below one, passes on

- at each of its contact points (four under bricks of width one, three under wider ones) a normal
  force n >= 0 that presses the two bricks apart, and a drag d >= 0, friction that holds them
  together;
- horizontally, a press of the knob, of either sign along x and y.

Cells of neighbouring bricks of one layer press each other apart. Static equilibrium is three forces
and the two torques about x and y of every brick; what cannot vanish is paid for:

    minimise   sum_i (|F_i| + |tau_i|) + alpha sum_i D_i + beta sum d,   D_i >= each drag below i

A brick whose forces vanish scores (F_T - D_i) / F_T, at least 0; any other scores 0, and so does
one without a path of studs to the ground, which nothing can hold up. Published code adds n * d == 0
and so needs a bilinear solver; that is redundant, for lowering both n and d by the smaller of them
changes no balance and lowers the cost. Forces are solved for in grams and torques in grams times
studs, which scales all numbers to some 1.

Three things make the programme smaller and change no optimum. Presses between the same two bricks
have the same levers: their sum is one variable. Normal forces cost nothing, and the studs under a
brick that another one holds are a rectangle: what its inner studs press, those at its corners can.
And what touches nothing else is a programme of its own.

The published prices have a limit that is theirs, not ours: alpha is paid for every brick through
which a drag is handed down, so from some eight layers on an overhang can cost more than letting its
torque go, and a brick falls that friction would hold. `Constants(alpha=1e-5, beta=1e-8)` finds the
balance there.

An optimum need not be unique: where one of several bricks must fall, which of them scores 0 is up
to the solver. Whether any falls is not, and the mean over a build hardly (below 1e-4 between two
equivalent programmes of 32 builds).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from genenvs.core.optional import require
from genenvs.tasks.brick_build.bricks import ORIENTED, PLACEMENTS, SIZE


@dataclass(frozen=True)
class Constants:
    """Numbers of StableLego's `config.json` and BrickGPT, section 3.

    Attributes:
        length: side of a stud's cell, metres.
        height: of a brick, metres.
        gravity: newtons a kilogram.
        friction: the drag F_T that a contact point holds, newtons (100 grams).
        alpha: price of each brick's largest drag.
        beta: price of all drags.
        tolerance: newtons, and newton metres, below which a force has vanished.
    """

    length: float = 0.0078
    height: float = 0.0096
    gravity: float = 9.8
    friction: float = 0.98
    alpha: float = 1e-3
    beta: float = 1e-6
    tolerance: float = 1e-7


CONSTANTS = Constants()
FOUR = np.array([[0.0, -0.25], [-0.25, 0.0], [0.0, 0.25], [0.25, 0.0]])  # of a stud's middle
THREE = np.array([[0.125, -0.125], [-0.25, 0.0], [0.125, 0.125]])
_FX, _FY, _FZ, _TX, _TY = range(5)  # rows of a brick
_AXES = ((_FX, _TY, -1), (_FY, _TX, 1))  # force, its torque and that torque's sign
_PRICE = 1e3  # all prices times this: beta lies below the solver's tolerances otherwise


@dataclass(frozen=True)
class _Build:
    """Bricks, and where they touch; the ground is the brick N.

    Attributes:
        centre: [N + 1, 2], studs; the ground's is never read.
        grams: [N].
        narrow: bool [N], one stud wide.
        stud: int [S, 2], x and y of every stud with a brick above.
        upper: int [S], that brick.
        lower: int [S], the brick or ground below.
        beside: for x and y, int [E, 2]: bricks and their neighbours further along.
    """

    centre: np.ndarray
    grams: np.ndarray
    narrow: np.ndarray
    stud: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    beside: tuple[np.ndarray, np.ndarray]


class _Points(NamedTuple):
    """Contact points [P]: place [P, 2], and the bricks above and below."""

    place: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


def scores_of(builds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`scores` of several builds, on torch's number of threads: the solver frees Python's lock."""
    require("scipy.optimize", "shapes")
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(scores, builds))


def scores(codes: np.ndarray, constants: Constants = CONSTANTS) -> np.ndarray:
    """The stability of every brick of one build.

    Args:
        codes: int [N], see `genenvs.tasks.brick_build.bricks.code`; no two bricks share a cell.
        constants: see `Constants`.

    Returns:
        float64 [N] in 0 .. 1: the share of the friction that is left where a brick is held
        weakest; 0 where it falls.

    Raises:
        ImportError: scipy is missing; names the extra.
        RuntimeError: the solver found no optimum; says what it found.
    """
    graph = require("scipy.sparse.csgraph", "shapes")
    codes = np.asarray(codes, np.int64)
    found = np.zeros(len(codes))
    if not len(codes):
        return found
    build, ground = _read(codes), len(codes)
    held = graph.connected_components(_links(ground + 1, [(build.upper, build.lower)]))[1]
    held = np.flatnonzero(held[:-1] == held[-1])
    if not len(held):
        return found
    # What does not reach the ground falls, and presses nobody.
    build = _read(codes[held])
    count = len(held)
    on_brick = build.lower < count
    links = [(build.upper[on_brick], build.lower[on_brick]), *(pair.T for pair in build.beside)]
    number, label = graph.connected_components(_links(count, links))
    for k in range(number):
        own = held[label == k]
        on_ground = bool((codes[own] < PLACEMENTS).all())  # nothing can tip: no force but weight
        found[own] = 1.0 if on_ground else _solve(_read(codes[own]), constants)
    return found


def _links(count: int, pairs: list[Any]) -> Any:
    sparse = require("scipy.sparse", "shapes")
    one, two = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
    return sparse.coo_matrix((np.ones(len(one)), (one, two)), shape=(count, count))


def _read(codes: np.ndarray) -> _Build:
    place, z = codes % PLACEMENTS, codes // PLACEMENTS
    kind, x, y = place // SIZE**2, place // SIZE % SIZE, place % SIZE
    sides = np.array([[b.along_x, b.along_y] for b in ORIENTED])[kind]
    world, count = np.full((SIZE + 1, SIZE, SIZE), -1), len(codes)
    world[0] = count
    for k in range(count):
        world[z[k] + 1, x[k] : x[k] + sides[k, 0], y[k] : y[k] + sides[k, 1]] = k
    touch = (world[1:] >= 0) & (world[:-1] >= 0)
    beside = []
    for axis in (1, 2):
        along = np.moveaxis(world[1:], axis, 0)
        one, two = along[:-1], along[1:]
        edge = (one >= 0) & (two >= 0) & (one != two)
        beside.append(np.unique(np.stack([one[edge], two[edge]], 1), axis=0))
    return _Build(
        centre=np.concatenate([np.stack([x, y], 1) + (sides - 1) / 2, np.zeros((1, 2))]),
        grams=np.array([b.type.grams for b in ORIENTED])[kind],
        narrow=sides.min(1) == 1,
        stud=np.argwhere(touch)[:, 1:],
        upper=world[1:][touch],
        lower=world[:-1][touch],
        beside=(beside[0], beside[1]),
    )


def _points(build: _Build, studs: np.ndarray) -> _Points:
    """The contact points of some studs."""
    found = []
    for form, narrow in ((FOUR, True), (THREE, False)):
        own = studs[build.narrow[build.upper[studs]] == narrow]
        place = (build.stud[own, None] + form).reshape(-1, 2)
        own = np.repeat(own, len(form))
        found.append(_Points(place, build.upper[own], build.lower[own]))
    return _Points(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _corners(build: _Build, pair: np.ndarray) -> np.ndarray:
    """The studs at the corners of the rectangle in which two bricks touch."""
    low, high = np.full((2, pair.max() + 1, 2), SIZE) * np.array([1, -1])[:, None, None]
    np.minimum.at(low, pair, build.stud)
    np.maximum.at(high, pair, build.stud)
    end = (build.stud == low[pair]) | (build.stud == high[pair])
    return np.flatnonzero(end.all(1))


def _columns(count: int, parts: list[tuple[np.ndarray, int, Any]], width: int) -> Any:
    """Columns of the equilibrium from (brick, row of a brick, value); the ground has no rows."""
    sparse = require("scipy.sparse", "shapes")
    brick = np.concatenate([part[0] for part in parts])
    row = np.concatenate([5 * own + kind for own, kind, _ in parts])
    value = np.concatenate([np.broadcast_to(v, own.shape) for own, _, v in parts])
    column = np.tile(np.arange(width), len(parts))
    here = brick < count
    entries = value[here].astype(float), (row[here], column[here])
    return sparse.csc_matrix(entries, shape=(5 * count, width))


def _upwards(build: _Build, points: _Points) -> Any:
    """What one gram upwards on the upper brick, at each point, does to all bricks."""
    parts: list[tuple[np.ndarray, int, Any]] = []
    for brick, push in ((points.upper, 1), (points.lower, -1)):
        lever = points.place - build.centre[brick]
        parts += [(brick, _FZ, push), (brick, _TX, push * lever[:, 1]),
                  (brick, _TY, -push * lever[:, 0])]  # fmt: skip
    return _columns(len(build.grams), parts, len(points.place))


def _sideways(
    build: _Build, one: np.ndarray, two: np.ndarray, axis: int, lever: tuple[float, float]
) -> Any:
    """What one gram along an axis does to the bricks it pushes and those it pushes back."""
    force, torque, sign = _AXES[axis]
    parts = [(one, force, 1), (two, force, -1), (one, torque, sign * lever[0]),
             (two, torque, sign * lever[1])]  # fmt: skip
    return _columns(len(build.grams), parts, len(one))


def _solve(build: _Build, constants: Constants) -> np.ndarray:
    """Scores [N] of bricks that hold each other."""
    optimise = require("scipy.optimize", "shapes")
    sparse = require("scipy.sparse", "shapes")
    count = len(build.grams)
    tall = constants.height / constants.length / 2  # half a brick, in studs
    touching, pair = np.unique(build.upper * (count + 1) + build.lower, return_inverse=True)
    above, below = touching // (count + 1), touching % (count + 1)
    held = _points(build, np.arange(len(build.stud)))
    # A knob is below one brick's middle and above the other's; a side is below both.
    presses = [_sideways(build, above, below, axis, (tall, tall)) for axis in (0, 1)]
    normals = _upwards(build, _points(build, _corners(build, pair)))
    sides = [_sideways(build, pairs[:, 1], pairs[:, 0], axis, (tall, -tall))
             for axis, pairs in enumerate(build.beside)]  # fmt: skip
    slack = sparse.identity(5 * count, format="csc")  # |row| as a pair of them
    blocks = [*presses, normals, *sides, -_upwards(build, held), slack, -slack]
    blocks.append(sparse.csc_matrix((5 * count, count)))  # the largest drags
    start = np.cumsum([0, *(block.shape[1] for block in blocks)])
    drags, left, most = start[-5] + np.arange(len(held.upper)), start[-4], start[-2]
    width = start[-1]
    pick = np.arange(len(drags))
    bound = sparse.csc_matrix(
        (
            np.repeat([1.0, -1.0], len(drags)),
            (np.tile(pick, 2), np.concatenate([drags, most + held.upper])),
        ),
        shape=(len(drags), width),
    )  # drag - D_i <= 0
    price = np.zeros(width)
    price[drags] = constants.beta
    price[left:most] = np.tile([1.0, 1.0, 1.0, constants.length, constants.length], 2 * count)
    price[most:] = constants.alpha
    lowest = np.zeros(width)
    lowest[: start[2]] = -np.inf
    weight = np.zeros((count, 5))
    weight[:, _FZ] = build.grams
    found = optimise.linprog(
        _PRICE * price, A_ub=bound, b_ub=np.zeros(len(drags)),
        A_eq=sparse.hstack(blocks, format="csc"), b_eq=weight.ravel(),
        bounds=np.stack([lowest, np.full(width, np.inf)], 1), method="highs-ds",
    )  # fmt: skip
    if found.status != 0:
        raise RuntimeError(f"the stability of {count} bricks has no solution: {found.message}")
    newton = constants.gravity / 1_000
    rest = found.x[left:most].reshape(2, count, 5).max(0) * newton
    rest[:, _TX:] *= constants.length
    largest = np.zeros(count)
    np.maximum.at(largest, held.upper, found.x[drags] * newton)
    holds = (rest <= constants.tolerance).all(1)
    return np.where(holds, np.clip(1 - largest / constants.friction, 0, 1), 0.0)
