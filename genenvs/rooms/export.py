"""Finished rooms as files: a scene for viewers, a world for simulators."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
import torch

from genenvs.core.files import making
from genenvs.core.optional import require
from genenvs.geometry.files import write_mesh
from genenvs.rooms.catalogue import CELL
from genenvs.rooms.furnished import Furnished
from genenvs.rooms.furniture import Model, Models
from genenvs.rooms.physics import bodies
from genenvs.rooms.scenes import items
from genenvs.rooms.viewer import grids, solid, walls
from genenvs.simulators.engine import Body

_FLOOR = (222, 206, 180)
_LOW = 0.15  # metres, walls of a scene: to be looked over
_THICK = 0.1  # metres, the floor of a world


def scene(room: Furnished, models: Mapping[int, Model]) -> Any:
    """A room (N = 1) as a `trimesh.Scene` in metres, z up: floor, walls, one node for each thing.

    Raises:
        ImportError: trimesh is missing; names the extra.
    """
    trimesh = require("trimesh", "shapes")
    found = trimesh.Scene()

    def add(name: str, triangles: np.ndarray, colours: np.ndarray) -> None:
        points = triangles.reshape(-1, 3)
        mesh = trimesh.Trimesh(points, np.arange(len(points)).reshape(-1, 3), process=False)
        opaque = np.full((len(triangles), 1), 255)
        tints = np.broadcast_to(colours, (len(triangles), 3))
        mesh.visual.face_colors = np.concatenate([tints, opaque], 1).astype(np.uint8)
        found.add_geometry(mesh, node_name=name, geom_name=name)

    inside, _, glass = grids(room)
    add("floor", _tiles(inside), np.array(_FLOOR))
    around = walls(room, inside, glass, range(4), _LOW)
    add("walls", around.triangles, np.asarray(around.colour))
    for item in items(room):
        thing = solid(item, models)
        add(item.name, thing.triangles, np.asarray(thing.colour))
    return found


def _tiles(inside: np.ndarray) -> np.ndarray:
    """The floor, two triangles a cell: float64 [F, 3, 3]."""
    at = np.argwhere(inside).astype(float)
    square = np.array([[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]])
    flat = (at[:, None, None] + square).reshape(-1, 3, 2) * CELL
    return np.concatenate([flat, np.zeros((*flat.shape[:2], 1))], 2)


def write_sdf(path: str | os.PathLike[str], room: Furnished, models: Models) -> None:
    """Write a room (N = 1) as an SDF world, as `pybullet.loadSDF` reads it.

    Every thing is a model of its own with its mass; then come the walls and the floor, static as
    what hangs is. Boxes are the collision shapes; the user's own furniture stands beside the file
    as obj.

    Raises:
        ImportError: own furniture needs the extra `shapes`.
    """
    path = Path(path)
    root = Element("sdf", version="1.6")
    world = SubElement(root, "world", name="room")
    found = items(room)
    for k, body in enumerate([*bodies(room, models), _ground(room)]):
        item = found[k] if k < len(found) else None
        model = SubElement(world, "model", name=body.name.replace(" ", "_"))
        SubElement(model, "static").text = str(int(body.mass == 0))
        SubElement(model, "pose").text = _words(*body.centre, 0, 0, 0)
        link = SubElement(model, "link", name="link")
        _inertia(link, body.mass, body.half)
        mesh = None
        if item is not None and item.kind in models:
            mesh = path.with_name(f"{path.stem}_{body.name.replace(' ', '_')}.obj")
            points = item.place(models[item.kind].triangles).reshape(-1, 3) - body.centre
            faces = torch.arange(len(points)).reshape(-1, 3)
            write_mesh(mesh, torch.tensor(points).float(), faces)
        for kind in ("collision", "visual"):
            shape = SubElement(SubElement(link, kind, name=kind), "geometry")
            if mesh is None:
                size = SubElement(SubElement(shape, "box"), "size")
                size.text = _words(*(2 * h for h in body.half))
            else:
                SubElement(SubElement(shape, "mesh"), "uri").text = mesh.name
    ElementTree.indent(root)
    with making(path) as temporary:
        temporary.write_bytes(ElementTree.tostring(root, xml_declaration=True, encoding="utf-8"))


def _ground(room: Furnished) -> Body:
    """What the room stands on: a slab under its bounding box, which z = 0 is the top of."""
    at = np.argwhere(grids(room)[0]) * CELL
    low, high = at.min(0), at.max(0) + CELL
    (x, y), (a, b) = (low + high) / 2, (high - low) / 2
    return Body(
        "floor", (float(x), float(y), -_THICK / 2), (float(a), float(b), _THICK / 2), mass=0.0
    )


def _inertia(link: Element, mass: float, half: tuple[float, float, float]) -> None:
    """Of a full box."""
    inertial = SubElement(link, "inertial")
    SubElement(inertial, "mass").text = _words(mass)
    tensor = SubElement(inertial, "inertia")
    x, y, z = (h * h for h in half)
    for name, value in (("ixx", y + z), ("iyy", x + z), ("izz", x + y)):
        SubElement(tensor, name).text = _words(mass * value / 3)
    for name in ("ixy", "ixz", "iyz"):
        SubElement(tensor, name).text = "0"


def _words(*values: float) -> str:
    return " ".join(f"{value:.6g}" for value in values)
