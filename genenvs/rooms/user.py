"""The user's own rooms: a JSON file, in metres.

    {"rooms": [{
        "outline": [[0, 0], [4.2, 0], [4.2, 3.5], [0, 3.5]],
        "doors": [{"from": [1.0, 0], "to": [1.9, 0], "hinge": "from"}],
        "windows": [{"from": [0, 1.0], "to": [0, 2.5]}],
        "things": {"bed": 1, "nightstand": 2},
        "sizes": {"bed": [1.6, 2.0, 0.5]}
    }]}

The file's name ends in .json. Outlines have right angles along the axes and their corners on
multiples of 0.1 m; a room is at most 6.4 m wide and deep. Doors and windows do not overlap. `hinge`
is `from` or `to`. `windows`, `hinge` and `sizes` (width, depth, height) may be left out. What
stands on others, a lamp say, needs one of them among the things on which it fits. Places for
furniture lie 0.2 m apart: nothing stands flush with a wall that is 0.1 m off, 4.1 m from the one on
the other side say, and who reads such a room is warned.
"""

import json
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genenvs.core import folders, random
from genenvs.geometry import packed
from genenvs.geometry.components import voxel_components
from genenvs.rooms import placing, plans, requests
from genenvs.rooms.bits import EVEN
from genenvs.rooms.catalogue import CATALOGUE, CELL, SIDE, TOP, TYPES, WALL, highest, index
from genenvs.rooms.furniture import Models, resize
from genenvs.rooms.instances import Rooms
from genenvs.rooms.plans import DOORS, WINDOWS
from genenvs.rooms.requests import ITEMS, Requests

MOST_BYTES = 16 * 2**20
_USER = random.word("rooms of the user")
_FAR = 10_000  # metres: beyond, a cell is no exact number


def load(path: str | Path, models: Models | None = None) -> Rooms:
    """Read rooms; every split has all of them.

    Args:
        path: of the file.
        models: the user's own furniture.

    Raises:
        ValueError: the file is missing, empty, huge or no JSON; or names the room and says what is
            wrong with it: no door, a door beside the wall, a thing that fits nowhere, too many
            things ...
    """
    file = Path(path)
    folders.check_file(file, (".json",), MOST_BYTES, "take fewer rooms")
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text: {error}") from error
    rooms = _load(str(file), text)
    if models:
        rooms = Rooms(rooms.plans, resize(rooms.requests, models), rooms.key)
    _check_fit(file, rooms)
    return rooms


@lru_cache(maxsize=8)
def _load(name: str, text: str) -> Rooms:
    try:
        found = json.loads(text)["rooms"]
        if not isinstance(found, list) or not found:
            raise TypeError("no list with a room in it")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f'{name} is no JSON file of the form {{"rooms": [...]}}: {error}'
        ) from error
    rows = []
    for k, entry in enumerate(found):
        try:
            rows.append(_room(entry))
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            said = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{name}, room {k + 1}: {said}") from error
    floor, doors, windows, counts, sizes = (torch.stack(part) for part in zip(*rows, strict=True))
    key = random.mix(_USER, torch.arange(len(rows)))
    drawn = requests.draw(key)
    width, depth, height = (
        torch.where(sizes[:, k] > 0, sizes[:, k], drawn[2 + k]) for k in range(3)
    )
    wanted = Requests(torch.zeros_like(drawn.kind) - 1, counts, width, depth, height)
    if numbers := (_between(floor).nonzero()[:, 0] + 1).tolist():
        said = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
        warnings.warn(
            f"{name}: of room {said} some walls are an odd number of {CELL} m from others: nothing"
            " stands with its back to them; walls a multiple of 0.2 m apart are all of use",
            stacklevel=3,
        )
    return Rooms(plans.finish(floor, doors, windows), wanted, key)


def _between(floor: torch.Tensor) -> torch.Tensor:
    """Whether rooms have walls between the lines of the lattice of places: [N, 64] -> bool [N]."""
    east, north, west, south = plans.walls_of(floor).unbind(1)  # cells beside walls, by facing
    odd = [east[:, 1::2], west[:, ::2], north & ~EVEN, south & EVEN]
    return torch.cat(odd, 1).any(1)


def _room(entry: Any) -> tuple[torch.Tensor, ...]:
    _object(entry, "a room")
    outline = _cells(entry["outline"], "outline")
    inside, move = _fill(outline)
    floor = packed.pack(torch.from_numpy(inside))
    walls = packed.unpack(plans.walls_of(floor[None]), SIDE)[0].numpy()
    if not entry.get("doors"):
        raise ValueError("a room needs at least one door")
    doors = torch.zeros(DOORS, 5, dtype=torch.int64)
    windows = torch.zeros(WINDOWS, 4, dtype=torch.int64)
    used: dict[tuple[int, ...], str] = {}  # pieces of wall: what is there
    for what, rows in (("doors", doors), ("windows", windows)):
        given = entry.get(what, [])
        if not isinstance(given, list):
            raise ValueError(f"{what} must be a list; got {given!r}")
        if len(given) > len(rows):
            raise ValueError(f"at most {len(rows)} {what}; got {len(given)}")
        for k, one in enumerate(given):
            name = f"{what[:-1]} {k + 1}"
            _object(one, name)
            ends = _cells([one["from"], one["to"]], name) + move
            x, y, r, width = _opening(ends, walls, name)
            rows[k, :4] = torch.tensor([x, y, r, width])
            for n in range(width):
                other = used.setdefault((r, x + n, y) if r % 2 else (r, x, y + n), name)
                if other != name:
                    raise ValueError(f"{name} overlaps {other}")
            if what == "doors":
                low_first = bool((ends[0] <= ends[1]).all())
                hinge = one.get("hinge", "from")
                if hinge not in ("from", "to"):
                    raise ValueError(f"hinge of {name} must be 'from' or 'to'; got {hinge!r}")
                rows[k, 4] = int((hinge == "from") != low_first)
    counts = torch.zeros(TYPES, dtype=torch.int64)
    things = _object(entry["things"], "things")
    for name, count in things.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"the number of {name!r} must be a whole number; got {count!r}")
        counts[index(name)] = min(count, ITEMS + 1)
    if not 0 < int(counts.sum()) <= ITEMS:
        raise ValueError(f"a room holds 1 to {ITEMS} things; got {sum(things.values())}")
    for kind in counts.nonzero()[:, 0].tolist():
        hosts = CATALOGUE[kind].supports
        if hosts and not any(counts[index(host)] for host in hosts):
            raise ValueError(f"a {CATALOGUE[kind].name} needs a {' or '.join(hosts)} to stand on")
    sizes = torch.zeros(3, TYPES, dtype=torch.int64)
    for name, size in _object(entry.get("sizes", {}), "sizes").items():
        most = highest(index(name))
        if not isinstance(size, list) or len(size) != 3:
            raise ValueError(f"the size of {name!r} must be [width, depth, height]; got {size!r}")
        wide, deep, high = (float(s) for s in size)
        if not (0 < wide <= 3.2 and 0 < deep <= 3.2 and 0 < high <= most):
            raise ValueError(f"{name!r} must measure at most 3.2 x 3.2 x {most} m; got {size}")
        sizes[:, index(name)] = torch.tensor(
            [max(1, round(wide / CELL)), max(1, round(deep / CELL)), max(1, round(100 * high))]
        )
    return floor, doors, windows, counts, sizes


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object {{name: value}}; got {value!r}")
    return value


def _cells(points: Any, what: str) -> np.ndarray:
    """Points in metres as whole cells: int64 [N, 2]."""
    found = np.asarray(points, float)
    if found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).all():
        raise ValueError(f"{what} must be points [x, y] in metres; got {points}")
    if np.abs(found).max(initial=0.0) > _FAR:
        raise ValueError(f"{what} must lie within {_FAR} m of the origin; got {points}")
    cells = np.rint(found / CELL)
    if np.abs(found / CELL - cells).max() > 0.01:
        raise ValueError(f"{what} must lie on multiples of {CELL} m; got {points}")
    return cells.astype(np.int64)


def _fill(outline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells inside an outline, in the middle of the grid, and by how much it was moved."""
    after = np.roll(outline, -1, 0)
    step = after - outline
    if len(outline) < 4 or not ((step == 0).sum(1) == 1).all():
        raise ValueError("an outline has at least four corners, and sides along x and y in turn")
    low, high = outline.min(0), outline.max(0)
    if (high - low).max() > SIDE:
        raise ValueError(
            f"a room is at most {SIDE * CELL} m wide; got {(high - low).max() * CELL:.1f}"
        )
    # On even cells, where the lattice of places is.
    move = (SIDE - (high - low)) // 4 * 2 - low
    corners, ends = outline + move, after + move
    middle = np.arange(SIDE) + 0.5
    crossings = np.zeros((SIDE, SIDE), int)
    for (x, y), (u, v) in zip(corners, ends, strict=True):
        if x == u:  # along y: seen from cells further left it is crossed once
            crossings += (middle < x)[:, None] & ((middle > min(y, v)) & (middle < max(y, v)))
    inside = crossings % 2 == 1
    (x, y), (u, v) = corners.T, ends.T
    area = abs(int((x * v - y * u).sum())) / 2
    parts = int(voxel_components(torch.from_numpy(inside)[None, None]).number)
    if inside.sum() != area or parts != 1:
        raise ValueError("the outline crosses or touches itself")
    return inside, move


def _opening(ends: np.ndarray, walls: np.ndarray, name: str) -> list[int]:
    """A piece of wall between two points as x, y, direction and width in cells."""
    low, high = ends.min(0), ends.max(0)
    span = high - low
    if (span > 0).sum() != 1 or span.max() > 32:
        raise ValueError(f"{name} must lie along one wall and be at most 3.2 m wide")
    width = int(span.max())
    # A wall along x has the room above it or below; along y to its right or left.
    sides = ((1, low), (3, low - [0, 1])) if span[0] else ((0, low), (2, low - [1, 0]))
    for r, (x, y) in sides:
        stretch = (slice(x, x + width), y) if span[0] else (x, slice(y, y + width))
        if x >= 0 and y >= 0 and walls[r][stretch].size == width and walls[r][stretch].all():
            return [int(x), int(y), r, width]
    raise ValueError(f"{name} does not lie on a wall of the room")


def _check_fit(file: Path, rooms: Rooms) -> None:
    """Raise where something that is asked for fits nowhere even in the empty room."""
    for kind in range(TYPES):
        rows = (rooms.requests.counts[:, kind] > 0).nonzero()[:, 0]
        if not len(rows):
            continue
        some = rooms.rows(rows)
        size = [field[:, kind] for field in some.requests[2:]]
        if CATALOGUE[kind].layer == TOP:
            fits, where = _on_others(some, kind), "on nothing"
        else:
            things = placing.Things(torch.full_like(rows, kind), *size)
            found = placing.survey(some.plans, placing.nothing(some.plans), things)
            fits, where = (found.legal.flatten(1) != 0).any(1), "nowhere"
        if not bool(fits.all()):
            at = int((~fits).int().argmax())
            wide, deep = (float(s[at]) * CELL for s in size[:2])
            raise ValueError(
                f"{file}, room {int(rows[at]) + 1}: a {CATALOGUE[kind].name} of"
                f" {wide:.1f} x {deep:.1f} m fits {where} in it"
            )


def _on_others(rooms: Rooms, kind: int) -> torch.Tensor:
    """Whether something that is asked for could carry a thing: bool [N]."""
    _, counts, width, depth, height = rooms.requests
    short, long = (f(width[:, kind], depth[:, kind]) for f in (torch.minimum, torch.maximum))
    fits = torch.zeros(len(short), dtype=torch.bool)
    for host in map(index, CATALOGUE[kind].supports):
        # A top's last row and column carry nothing, see `placing.put`.
        across, along = width[:, host] - 1, depth[:, host] - 1
        fits |= (
            (counts[:, host] > 0)
            & (height[:, kind] + height[:, host] <= 100 * WALL)
            & (short <= torch.minimum(across, along))
            & (long <= torch.maximum(across, along))
        )
    return fits
