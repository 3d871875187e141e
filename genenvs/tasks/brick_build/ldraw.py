"""Builds as LDraw files, which brick viewers and editors open (https://www.ldraw.org, `.ldr`).

LDraw's unit is a twentieth of a stud's pitch, a brick is 24 of them high, and -y is up. A part's
origin is the middle of its top, below the studs; its long side lies along x. Our x, y and z become
LDraw's x, z and -y, which mirrors nothing.
"""

import os

import numpy as np

from genenvs.core.files import making
from genenvs.tasks.brick_build.bricks import ORIENTED, PLACEMENTS, SIZE

STUD, HEIGHT = 20, 24  # LDraw units
_ALONG_X = "1 0 0 0 1 0 0 0 1"
_ALONG_Y = "0 0 1 0 1 0 -1 0 0"  # a quarter turn about the vertical


def text(codes: np.ndarray, title: str) -> str:
    """A build in LDraw's format, with a step of building after every layer.

    Args:
        codes: int [N], see `bricks.code`; written in their order.
        title: one line.
    """
    lines = [f"0 {title}", "0 Author: genenvs", "0 BFC CERTIFY CCW"]
    layer = None
    for number in np.asarray(codes).tolist():
        place, z = number % PLACEMENTS, number // PLACEMENTS
        brick = ORIENTED[place // SIZE**2]
        x, y = place // SIZE % SIZE, place % SIZE
        if layer is not None and z != layer:
            lines.append("0 STEP")
        layer = z
        middle = STUD * (2 * x + brick.along_x) // 2, STUD * (2 * y + brick.along_y) // 2
        turn = _ALONG_X if brick.along_x >= brick.along_y else _ALONG_Y
        place_ = f"{middle[0]} {-HEIGHT * (z + 1)} {middle[1]}"
        lines.append(f"1 {brick.type.colour} {place_} {turn} {brick.type.part}.dat")
    return "\r\n".join([*lines, "0 STEP", ""])  # the format's line ends


def write_ldraw(path: str | os.PathLike[str], codes: np.ndarray, title: str = "BrickBuild") -> None:
    """Write `text` to a file, whole or not at all; its folder is made where it is missing.

    Raises:
        ValueError: the path does not end in `.ldr`.
        OSError: it cannot be written.
    """
    if not str(path).lower().endswith(".ldr"):
        raise ValueError(f"an LDraw file must end in .ldr; got {os.fspath(path)}")
    with making(path) as temporary:
        temporary.write_text(text(codes, title), encoding="utf-8", newline="")
