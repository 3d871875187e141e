"""Derive the table of the humanoid's skeleton: `python -m genenvs.motion.build_skeleton`.

Reads `humanoid.urdf` of the installed pybullet (extra `pybullet`) and writes `humanoid.json` beside
this file: with it everything else runs where pybullet does not install.
"""

import hashlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from genenvs.core.files import making, sha256
from genenvs.core.optional import require
from genenvs.motion.humanoid import JOINTS, TABLE, digest

SCALE = 0.25  # the file is four times life size; DeepMimic's bridge loads it with this scaling
BASE = "base"  # a link without extent above the root


def upright(vector: str) -> list[float]:
    """A vector of the file, y up, in ours: forward x, left y, up z; metres."""
    x, y, z = (float(number) * SCALE for number in vector.split())
    return [round(value, 9) + 0.0 for value in (x, -z, y)]


def derive(urdf: Path) -> dict[str, Any]:
    """The table of `genenvs.motion.humanoid` from a URDF file.

    Raises:
        ValueError: the file is not the humanoid that is expected.
    """
    robot = ET.fromstring(urdf.read_bytes().rstrip(b"\0 \r\n"))  # the file ends with a zero byte
    links = {link.attrib["name"]: link for link in robot.iter("link")}
    joints = {find(j, "child").attrib["link"]: j for j in robot.iter("joint")}
    if set(links) != {BASE, *JOINTS}:
        raise ValueError(f"{urdf} has the links {sorted(links)}; expected {BASE} and {JOINTS}")
    rows = []
    for name in JOINTS:
        joint, body = joints[name], find(links[name], "collision")
        parent = find(joint, "parent").attrib["link"]
        kind = joint.attrib["type"]
        half, radius = shape(find(body, "geometry")[0])
        rows.append(
            {
                "name": name,
                "parent": -1 if parent == BASE else JOINTS.index(parent),
                "offset": upright(find(joint, "origin").attrib["xyz"]),
                "kind": kind,
                "axis": axis(joint) if kind == "revolute" else [0.0, 0.0, 0.0],
                "mass": float(find(links[name], "inertial/mass").attrib["value"]),
                "centre": upright(find(body, "origin").attrib["xyz"]),
                "half": half,
                "radius": radius,
            }
        )
    return {"joints": rows}


def shape(geometry: ET.Element) -> tuple[list[float], float]:
    """A sphere, capsule or box as half extents (x, y, z) of a box that is rounded by a radius."""
    size = geometry.attrib
    if geometry.tag == "sphere":
        return [0.0, 0.0, 0.0], round(float(size["radius"]) * SCALE, 9)
    if geometry.tag == "capsule":  # all of them are turned to lie along the file's y
        return [0.0, 0.0, round(float(size["length"]) * SCALE / 2, 9)], round(
            float(size["radius"]) * SCALE, 9
        )
    return [abs(value) / 2 for value in upright(size["size"])], 0.0


def axis(joint: ET.Element) -> list[float]:
    """A hinge's axis, a direction."""
    return [value / SCALE for value in upright(find(joint, "axis").attrib["xyz"])]


def find(element: ET.Element, path: str) -> ET.Element:
    """A child that has to be there."""
    found = element.find(path)
    if found is None:
        raise ValueError(f"<{element.tag} {element.attrib}> has no <{path}>")
    return found


def main() -> None:
    """Write the table."""
    data = Path(require("pybullet_data", "pybullet").getDataPath())
    urdf = data / "humanoid" / "humanoid.urdf"
    table = derive(urdf)
    content = {
        "source": {"file": "pybullet_data/humanoid/humanoid.urdf", "sha256": sha256(urdf)},
        "sha256": digest(table),
        "table": table,
    }
    with making(TABLE) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{TABLE}: {hashlib.sha256(TABLE.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
