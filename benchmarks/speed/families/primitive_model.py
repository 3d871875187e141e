"""PrimitiveModel: the authors' step in plain numpy beside it."""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.speed.families import Target
from benchmarks.speed.measure import SECONDS, Row, in_turns, lap_of, one_thread, over, row
from benchmarks.speed.play import Pool, native, write
from genenvs.shapes.primitives import COUNT
from genenvs.tasks.primitive_model import survey
from genenvs.tasks.primitive_model.moves import AMOUNTS, EACH, PASS, first_cuboids

ENV = "genenvs/PrimitiveModel-v0"
FLOOR = "the survey of the cuboid whose turn it is: which voxels only it fills"
WHY = {
    ENV: (
        "What each legal move would change, which is observed; then the mask. The floor is the "
        "largest part: filling the union of the other cuboids, slab by slab."
    ),
    "genenvs/PrimitiveModelDepth-v0": (
        "The depth picture of each target, gathered to be observed; then the mask. The floor is "
        "the largest part: filling the union of the other cuboids, slab by slab."
    ),
}
TARGETS = (Target(ENV, 64, "torch", 5, "sync"),)
BATCH = 64


class Plain:
    """One step as the authors' code takes it: integer grids in numpy, filled cuboid by cuboid.

    The union of 27 cuboids and its IoU, each cuboid's own grid and IoU, and the mask, for which
    every one of the 756 actions is looked at. Written anew after what theirs computes
    (environment.py of Prim-Agent, `next` and `get_valid_action_mask`), with its data types.
    """

    def __init__(self, target: np.ndarray) -> None:
        self.target = target.astype(np.int64)
        self.size = len(target)
        self.first = first_cuboids().numpy()
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self.boxes, self.count, self.last = self.first.copy(), 0, (0.0, 0.0, 0)

    def step(self, action: int) -> tuple[float, np.ndarray]:
        """The reward, and which actions are legal next."""
        if action != PASS:
            box, operation, k = action // EACH, action % EACH // 4, action % 4
            if operation == 6:
                self.boxes[box] = 0
            else:
                self.boxes[box, operation] += AMOUNTS[k]
        now = self.measure()
        reward = sum(w * (b - a) for w, a, b in zip((1, 0.1, 0.01), self.last, now, strict=True))
        self.last, self.count = now, self.count + 1
        return reward, self.mask()

    def measure(self) -> tuple[float, float, int]:
        """IoU, mean single IoU and the number of deleted cuboids."""
        canvas, total, left = np.zeros_like(self.target), 0.0, 0
        for x, y, z, u, v, w in self.boxes:
            canvas[x:u, y:v, z:w] = 1
        for x, y, z, u, v, w in self.boxes:
            if u > x:
                alone = np.zeros_like(self.target)
                alone[x:u, y:v, z:w] = 1
                total += self.iou(alone)
                left += 1
        return self.iou(canvas), total / max(left, 1), len(self.boxes) - left

    def iou(self, grid: np.ndarray) -> float:
        """Intersection over union with the target."""
        return np.sum(grid & self.target == 1) / np.sum(grid | self.target == 1)

    def mask(self) -> np.ndarray:
        """Legal actions: int64 [756]."""
        mask = np.ones(PASS, np.int64)
        for action in range(PASS):
            box, operation, k = action // EACH, action % EACH // 4, action % 4
            if box != self.count % len(self.boxes):
                mask[action] = 0
            low, high = self.boxes[box, :3], self.boxes[box, 3:]
            if operation == 6:
                if high[0] == low[0] or high[1] == low[1] or high[2] == low[2]:
                    mask[action] = 0
            else:
                to = self.boxes[box, operation] + AMOUNTS[k]
                if (operation < 3 and (to > high[operation] or to < 0)) or (
                    operation >= 3 and (to < low[operation - 3] or to > self.size)
                ):
                    mask[action] = 0
        return mask


def floor(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """The union of the others, and its overlap with the target."""
    target = task._goals.words.index_select(0, state.instance)
    turn = (state.step + 1) % COUNT
    return lambda: survey.survey(state.cuboids, turn, target)


def rows(device: str) -> Iterator[Row]:
    """Steps a second over those of the authors' step, and of their reward alone; on one thread."""
    if device == "cpu":
        with one_thread():
            yield from against_numpy()


def against_numpy() -> Iterator[Row]:
    """Those rows."""
    envs = native(ENV, BATCH)
    script = write(envs, Pool(ENV), SECONDS)
    envs.set_state(script.start)
    plain = Plain(envs.task.target(envs.state)[0].numpy())
    legal = cycle(played(plain, 300))

    def step() -> None:
        action = next(legal)
        if action is None:
            plain.reset()
        else:
            plain.step(action)

    found = in_turns(
        {
            "ours": script.lap(envs.step, lambda: envs.set_state(script.start), script.actions),
            "step": lap_of(step, 1),
            "measure": lap_of(plain.measure, 1),
        }
    )
    for name, words, target in (
        ("step", "step and mask", "at least 20"),
        ("measure", "reward alone", ""),
    ):
        what = f"steps/s over the authors' {words} in plain numpy"
        yield row(what, BATCH, over(found["ours"], found[name]), target, "ratio")


def played(plain: Plain, steps: int) -> list[int | None]:
    """Random legal actions of an episode, begun by None, which starts it anew."""
    rng = np.random.default_rng(0)
    plain.reset()
    actions: list[int | None] = [None]
    for _ in range(steps):
        chance = plain.mask() * rng.random(PASS)
        # A deletion a cuboid in some two hundred steps, so that most are left, as in training.
        chance[EACH - 4 :: EACH] *= 0.05
        action = int(chance.argmax()) if chance.any() else PASS
        actions.append(action)
        plain.step(action)
    return actions
