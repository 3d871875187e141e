"""Pictures of MotionNav: the room from above, and the walker."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from genenvs.images.sheets import sheet
from genenvs.motion import figure
from genenvs.motion.primitives import FPS, MADE, SEEDS
from genenvs.rooms.catalogue import CELL, SIDE

if TYPE_CHECKING:
    from genenvs.tasks.motion_nav.artefact import Walk

PIXELS = 5  # a side of a cell
_FLOOR, _FURNITURE, _OUTSIDE = (244, 243, 239), (176, 152, 124), (112, 118, 128)
_WAY, _BODY, _GOAL = (58, 122, 178), (34, 40, 52), (214, 84, 60)


def picture(walk: "Walk", steps: int) -> np.ndarray:
    """The way so far on the plan of the room, and the walker as it stands: uint8 [H, W, 3]."""
    x, y = walk.root[-1, :2].tolist()
    left = float((walk.goal - walk.root[-1, :2]).norm())
    seconds = (len(walk.root) - SEEDS) / FPS
    now = figure.picture(
        walk.root[-1], walk.rotations[-1], SIDE * PIXELS, centre=(x, y), scene=walk.scene()
    )
    caption = f"step {steps}: {seconds:.1f} s, {left:.2f} m to the goal"
    return sheet([("plan", plan(walk)), ("walker", now)], caption)


def plan(walk: "Walk") -> np.ndarray:
    """The room from above, x to the right and y up, a dot for every primitive."""
    tones = np.where(walk.walkable.numpy()[..., None], _FLOOR, _FURNITURE)
    tones = np.where(walk.floor.numpy()[..., None], tones, _OUTSIDE).astype(np.uint8)
    page = Image.fromarray(np.ascontiguousarray(tones.transpose(1, 0, 2)[::-1]))
    page = page.resize((SIDE * PIXELS, SIDE * PIXELS), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(page)

    def at(place: list[float]) -> tuple[float, float]:
        scale = PIXELS / CELL
        return place[0] * scale, SIDE * PIXELS - place[1] * scale

    def dot(place: list[float], radius: float, colour: tuple[int, int, int]) -> None:
        u, v = at(place)
        draw.ellipse((u - radius, v - radius, u + radius, v + radius), fill=colour)

    way = [at(place) for place in walk.root[:, :2].tolist()]
    draw.line(way, _WAY, 2)
    for place in walk.root[SEEDS - 1 :: MADE, :2].tolist():
        dot(place, 2.2, _WAY)
    dot(walk.goal.tolist(), 6, _GOAL)
    dot(walk.root[-1, :2].tolist(), 5, _BODY)
    return np.asarray(page).copy()
