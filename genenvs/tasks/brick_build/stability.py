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

A brick whose forces vanish scores (F_T - D_i) / F_T, at least 0; any other scores 0. Published code
adds n * d == 0 and so needs a bilinear solver; that is redundant, for lowering both n and d by the
smaller of them changes no balance and lowers the cost. Forces are solved for in grams and torques
in grams times studs, which scales all numbers to some 1.

The published prices have a limit that is theirs, not ours: alpha is paid for every brick through
which a drag is handed down, so from some eight layers on an overhang can cost more than letting its
torque go, and a brick falls that friction would hold. `Constants(alpha=1e-5, beta=1e-8)` finds the
balance there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

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
_FOUR = np.array([[0.0, -0.25], [-0.25, 0.0], [0.0, 0.25], [0.25, 0.0]])  # of a stud's middle
_THREE = np.array([[0.125, -0.125], [-0.25, 0.0], [0.125, 0.125]])
_FX, _FY, _FZ, _TX, _TY = range(5)  # rows of a brick
_PRICE = 1e3  # all prices times this: beta lies below the solver's tolerances otherwise


@dataclass(frozen=True)
class _Bricks:
    """Bricks as arrays [N]."""

    centre: np.ndarray  # [N, 2], studs
    grams: np.ndarray
    narrow: np.ndarray  # one stud wide
    world: np.ndarray  # [Z, X, Y], index of the brick, -1: none


class _Matrix:
    """The equilibrium's matrix, column by column."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.columns: list[np.ndarray] = []
        self.values: list[np.ndarray] = []
        self.width = 0
        self.free: list[np.ndarray] = []  # columns that may be negative

    def open(self, count: int, free: bool = False) -> np.ndarray:
        """New variables: their columns [count]."""
        start, self.width = self.width, self.width + count
        if free:
            self.free.append(np.arange(start, self.width))
        return np.arange(start, self.width)

    def put(self, row: np.ndarray, column: np.ndarray, value: Any) -> None:
        """Add entries; those of negative rows, which are the ground's, fall away."""
        row, column, value = np.broadcast_arrays(row, column, value)
        here = row >= 0
        self.rows.append(row[here])
        self.columns.append(column[here])
        self.values.append(value[here].astype(float))

    def sparse(self, height: int) -> Any:
        """Everything as scipy's CSR matrix [height, width]."""
        sparse = require("scipy.sparse", "shapes")
        entries = (
            np.concatenate(self.values),
            (
                np.concatenate(self.rows),
                np.concatenate(self.columns),
            ),
        )
        return sparse.coo_matrix(entries, shape=(height, self.width)).tocsr()


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
    if not len(codes):
        return np.zeros(0)
    optimise = require("scipy.optimize", "shapes")
    sparse = require("scipy.sparse", "shapes")
    bricks, count = _read(np.asarray(codes, np.int64)), len(codes)
    matrix = _Matrix()
    upper, drags = _contacts(matrix, bricks, constants)
    _sides(matrix, bricks, constants)
    forces = matrix.sparse(5 * count)
    # |row| as a pair of non-negative slacks
    slack = sparse.identity(5 * count, format="csr")
    largest = sparse.csr_matrix((5 * count, count))
    equal = sparse.hstack([forces, slack, -slack, largest], format="csr")
    weight = np.zeros((count, 5))
    weight[:, _FZ] = bricks.grams

    width = equal.shape[1]
    first = width - count  # of the largest drags
    pick = np.arange(len(drags))
    bound = sparse.coo_matrix(
        (
            np.concatenate([np.ones(len(drags)), -np.ones(len(drags))]),
            (np.concatenate([pick, pick]), np.concatenate([drags, first + upper])),
        ),
        shape=(len(drags), width),
    ).tocsr()  # drag - D_i <= 0

    price = np.zeros(width)
    price[drags] = constants.beta
    residual = np.tile([1.0, 1.0, 1.0, constants.length, constants.length], count)
    price[matrix.width : first] = np.tile(residual, 2)
    price[first:] = constants.alpha
    lowest = np.zeros(width)
    lowest[np.concatenate(matrix.free)] = -np.inf
    found = optimise.linprog(
        _PRICE * price, A_ub=bound, b_ub=np.zeros(len(drags)), A_eq=equal, b_eq=weight.ravel(),
        bounds=np.stack([lowest, np.full(width, np.inf)], 1), method="highs",
    )  # fmt: skip
    if found.status != 0:
        raise RuntimeError(f"the stability of {count} bricks has no solution: {found.message}")
    newton = constants.gravity / 1_000
    left = found.x[matrix.width : first].reshape(2, count, 5).max(0) * newton
    left[:, _TX:] *= constants.length
    most = np.zeros(count)
    np.maximum.at(most, upper, found.x[drags] * newton)
    holds = (left <= constants.tolerance).all(1)
    return np.where(holds, np.clip(1 - most / constants.friction, 0, 1), 0.0)


def _read(codes: np.ndarray) -> _Bricks:
    place, z = codes % PLACEMENTS, codes // PLACEMENTS
    kind, x, y = place // SIZE**2, place // SIZE % SIZE, place % SIZE
    sides = np.array([[b.along_x, b.along_y] for b in ORIENTED])[kind]
    world = np.full((SIZE, SIZE, SIZE), -1)
    for k in range(len(codes)):
        world[z[k], x[k] : x[k] + sides[k, 0], y[k] : y[k] + sides[k, 1]] = k
    return _Bricks(
        centre=np.stack([x, y], 1) + (sides - 1) / 2,
        grams=np.array([b.type.grams for b in ORIENTED])[kind],
        narrow=sides.min(1) == 1,
        world=world,
    )


def _contacts(
    matrix: _Matrix, bricks: _Bricks, constants: Constants
) -> tuple[np.ndarray, np.ndarray]:
    """Studs with a brick above; the brick above and the column of every drag."""
    tall = constants.height / constants.length / 2  # lever of a knob's press, studs
    beneath = np.concatenate([np.full((1, SIZE, SIZE), -2), bricks.world[:-1]])  # -2: the ground
    at = np.argwhere((bricks.world >= 0) & (beneath != -1))
    above, below = bricks.world[tuple(at.T)], beneath[tuple(at.T)]
    held, drags = [], []
    for points, narrow in ((_FOUR, True), (_THREE, False)):
        pick = bricks.narrow[above] == narrow
        place = at[pick, None, 1:] + points  # [S, P, 2]
        shape = place.shape[:2]
        upper = np.broadcast_to(above[pick, None], shape)
        lower = np.broadcast_to(below[pick, None], shape)
        for sign in (1, -1):  # normal forces lift the upper brick, drags pull it down
            column = matrix.open(upper.size).reshape(shape)
            for brick, push in ((upper, sign), (lower, -sign)):
                lever = place - bricks.centre[np.maximum(brick, 0)]  # of the ground: put aside
                matrix.put(5 * brick + _FZ, column, push)
                matrix.put(5 * brick + _TX, column, push * lever[..., 1])
                matrix.put(5 * brick + _TY, column, -push * lever[..., 0])
        held.append(upper.ravel())
        drags.append(column.ravel())
    for force, torque, sense in ((_FX, _TY, -1), (_FY, _TX, 1)):
        column = matrix.open(len(at), free=True)  # the knob is pressed from either side
        for brick, push in ((above, 1), (below, -1)):
            matrix.put(5 * brick + force, column, push)
            matrix.put(5 * brick + torque, column, sense * tall)
    return np.concatenate(held), np.concatenate(drags)


def _sides(matrix: _Matrix, bricks: _Bricks, constants: Constants) -> None:
    """Neighbouring cells of two bricks press each other apart, at their lower edge."""
    tall = constants.height / constants.length / 2
    for axis, force, torque, sense in ((1, _FX, _TY, -1), (2, _FY, _TX, 1)):
        one, two = np.moveaxis(bricks.world, axis, 0)[:-1], np.moveaxis(bricks.world, axis, 0)[1:]
        touch = (one >= 0) & (two >= 0) & (one != two)
        column = matrix.open(int(touch.sum()))
        for brick, push in ((two[touch], 1), (one[touch], -1)):
            matrix.put(5 * brick + force, column, push)
            matrix.put(5 * brick + torque, column, sense * push * tall)
