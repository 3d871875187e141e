"""The reference: a map of ways to the goal, and a look one primitive ahead."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.geometry.packed import unpack
from genenvs.motion import frames as vectors
from genenvs.motion.primitives import LATENT
from genenvs.rooms.catalogue import CELL, SIDE
from genenvs.tasks.motion_nav import rewards, scenes

if TYPE_CHECKING:
    from genenvs.tasks.motion_nav.task import MotionNav, NavState

CHOICES = 32
AHEAD = 0.5  # metres beyond the primitive's end at which the way on is looked at
TIGHT, BLOCKED = 3.0, 12.0  # how much longer a step counts beside furniture, and within it
_KNIGHT = [(dx, dy) for dx in (-2, -1, 1, 2) for dy in (-2, -1, 1, 2) if abs(dx) != abs(dy)]
_STEPS = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy] + _KNIGHT
_ROUNDS = 3 * SIDE  # no shortest way has more steps
_LATENTS = random.word("motion nav reference")


def choices(device: torch.device) -> Tensor:
    """The fixed actions that are compared, the mean walk first: float32 [32, 8]."""
    key = torch.tensor([_LATENTS])
    drawn = random.normal(key, 0, CHOICES * LATENT).reshape(CHOICES, LATENT) / 2
    drawn[0] = 0
    return drawn.clamp(-1, 1).to(device)


def ways(walkable: Tensor, goal: Tensor) -> Tensor:
    """How far it is to the goal from every cell, round what stands there.

    Args:
        walkable: int64 [B, 64].
        goal: float64 [B, 2], metres.

    Returns:
        float32 [B, 64, 64], metres along steps of 16 directions; steps beside or within furniture
        count more.
    """
    cost = torch.where(unpack(scenes.roomy(walkable)), 1.0, TIGHT)
    cost = torch.where(unpack(walkable), cost, BLOCKED) * CELL
    cell = (torch.arange(SIDE, device=goal.device) + 0.5) * CELL
    x, y = cell[:, None] - goal[:, 0, None, None], cell - goal[:, 1, None, None]
    straight = (x.square() + y.square()).sqrt().float()
    far = torch.where(straight < 1.5 * CELL, straight, torch.inf)
    pad = torch.nn.functional.pad
    costs = pad(cost, (2, 2, 2, 2), value=torch.inf)

    def moved(grid: Tensor, dx: int, dy: int) -> Tensor:
        return grid[:, 2 + dx : 2 + dx + SIDE, 2 + dy : 2 + dy + SIDE]

    length = [(dx * dx + dy * dy) ** 0.5 / 2 for dx, dy in _STEPS]
    steps = [
        (cost + moved(costs, dx, dy)) * half for (dx, dy), half in zip(_STEPS, length, strict=True)
    ]
    for _ in range(_ROUNDS):
        around = pad(far, (2, 2, 2, 2), value=torch.inf)
        new = far
        for (dx, dy), step in zip(_STEPS, steps, strict=True):
            new = torch.minimum(new, moved(around, dx, dy) + step)
        if torch.equal(new, far):
            break
        far = new
    return far


def read(field: Tensor, places: Tensor) -> Tensor:
    """A grid between the middles of its cells: [B, 64, 64] at float64 [B, N, 2] -> [B, N]."""
    at = (places / CELL - 0.5).clamp(0, SIDE - 1.001)
    low = at.floor().long()
    share = (at - low).to(field.dtype)
    flat = field.flatten(1)

    def corner(dx: int, dy: int) -> Tensor:
        return flat.gather(1, (low[..., 0] + dx) * SIDE + low[..., 1] + dy)

    near = torch.lerp(corner(0, 0), corner(0, 1), share[..., 1])
    far = torch.lerp(corner(1, 0), corner(1, 1), share[..., 1])
    return torch.lerp(near, far, share[..., 0])


class Ways:
    """`ways` of every instance that was asked for, computed once."""

    def __init__(self, known: scenes.Scene) -> None:
        """Nothing is computed yet."""
        self.scenes = known
        self.fields: dict[int, Tensor] = {}

    def __call__(self, instance: Tensor) -> Tensor:
        """Fields float32 [B, 64, 64] of instances int64 [B]."""
        numbers = instance.tolist()
        new = sorted(set(numbers) - self.fields.keys())
        for part in range(0, len(new), 64):  # a few at a time stay in the cache of the processor
            index = torch.tensor(new[part : part + 64], device=instance.device)
            found = ways(self.scenes.walkable[index], self.scenes.goal[index])
            self.fields |= dict(zip(new[part : part + 64], found, strict=True))
        return torch.stack([self.fields[k] for k in numbers])


def best(task: "MotionNav", state: "NavState") -> Tensor:
    """Of `choices` the one after which the way is shortest: float32 [B, 8].

    Counted are the way from the end of the primitive, that from `AHEAD` beyond it, what the terms
    take off, and the goal if it is reached.
    """
    actions = choices(task.device)
    many = state.repeat(CHOICES)
    frames = task.walk_on(many, actions.repeat(len(state.step), 1))
    soles = vectors.soles(frames)
    terms, nearest = task.pay(many, frames, soles)
    end, heading = frames[:, -1, :2], frames[:, -1, 2]
    left = (many.goal - end).norm(dim=-1, keepdim=True)
    beyond = end + left.clamp(max=AHEAD) * torch.stack([heading.cos(), heading.sin()], 1)
    field = task.ways(state.instance)
    places = torch.stack([end, beyond], 1).unflatten(0, (-1, CHOICES)).flatten(1, 2)
    far = read(field, places).unflatten(1, (CHOICES, 2)).sum(2)
    # Near the goal cells are too coarse.
    straight = left[:, 0] + (many.goal - beyond).norm(dim=-1)
    straight, left = (x.reshape(-1, CHOICES) for x in (straight, left))
    value = -torch.where(left < 2 * AHEAD, torch.minimum(far, straight.float()), far)
    value = value + 0.3 * (terms["penetration"] + terms["skate"]).reshape(-1, CHOICES)
    arrives = (nearest <= rewards.CONSTANTS.reached).reshape(-1, CHOICES)
    return actions[(value + 10.0 * arrives).argmax(1)]
