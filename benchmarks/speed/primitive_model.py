"""Rows of PrimitiveModel: steps of the batch beside the authors' step in plain numpy."""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
import torch

from benchmarks.speed.measure import interleave, rate, ratio, row
from benchmarks.speed.play import native, replay
from genenvs.tasks.primitive_model.moves import AMOUNTS, EACH, PASS, first_cuboids

ENV = "genenvs/PrimitiveModel-v0"
SIZES = (64, 1_024)
STEPS = 310  # of the play that is repeated: an end falls in it


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


def recorded(num_envs: int, device: str) -> torch.Tensor:
    """Legal actions from seed 0, drawn evenly: int64 [STEPS, num_envs]."""
    envs = native(ENV, num_envs, device)
    _, info = envs.reset(seed=0)
    generator = torch.Generator(device).manual_seed(0)
    actions = []
    for _ in range(STEPS):
        mask = info["action_mask"].float()
        # A deletion a cuboid in some two hundred steps, so that most are left, as in training.
        mask[:, EACH - 4 : PASS : EACH] *= 0.05
        actions.append(torch.multinomial(mask, 1, generator=generator)[:, 0])
        info = envs.step(actions[-1])[4]
    return torch.stack(actions)


def plain_player(envs: Any, actions: torch.Tensor) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The same play of the first row, in numpy, and its rewards alone; episodes are as long."""
    envs.reset(seed=0)
    plain = Plain(envs.unwrapped.task.target(envs.unwrapped.state)[0].cpu().numpy())
    wanted = actions[:300, 0].tolist()
    rounds = cycle(range(300))

    def step() -> None:
        if (k := next(rounds)) == 0:
            plain.reset()
        plain.step(wanted[k])

    return step, plain.measure


def steps(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """Steps a second, observation and mask included, and over the numpy step."""
    actions = recorded(num_envs, device)
    calls = {"torch": replay(native(ENV, num_envs, device), actions)}
    if torch.device(device).type == "cpu":
        calls["numpy"] = replay(native(ENV, num_envs, device, "numpy"), actions.numpy())
    step, measure = plain_player(native(ENV, 1, device), actions)
    calls |= {"plain": step, "measure": measure}
    found = interleave(calls, torch.device(device))
    for output in [name for name in ("torch", "numpy") if name in found]:
        yield rate(f"steps/s, {output} output", num_envs, found[output])
    per_step = [seconds / num_envs for seconds in found["torch"]]
    target = "at least 20" if num_envs == 64 else ""
    yield row("steps/s over the authors' step and mask in plain numpy", num_envs,
               ratio(found["plain"], per_step), target)  # fmt: skip
    yield row("steps/s over the authors' reward alone in plain numpy", num_envs,
               ratio(found["measure"], per_step), "")  # fmt: skip


def parts(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """The expert, in states from the middle of an episode."""
    envs = native(ENV, num_envs, device)
    envs.reset(seed=0)
    for action in recorded(num_envs, device)[:100]:
        envs.step(action)
    state, task = envs.unwrapped.state, envs.unwrapped.task
    found = interleave({"expert": lambda: task.reference_action(state)}, torch.device(device))
    yield rate("expert's actions/s, 25 candidates each", num_envs, found["expert"])


def rows(device: str) -> Iterator[dict[str, Any]]:
    """All rows on a device."""
    for num_envs in SIZES:
        yield from steps(num_envs, device)
        yield from parts(num_envs, device)
