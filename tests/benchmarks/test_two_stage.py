"""The two-stage recipe: from a folder of meshes to meshes."""

import json
import sys

import pytest

from benchmarks.recipes import two_stage
from tests.needs import import_or_skip, needs


@needs("manifold3d", extra="shapes")
@pytest.mark.slow
def test_meshes_of_a_user_become_cuboids_and_then_edge_loops(tmp_path, monkeypatch):
    trimesh = import_or_skip("trimesh", extra="shapes")
    (tmp_path / "own").mkdir()
    for k in range(3):
        trimesh.creation.cone(0.5, 1 + k / 2).export(tmp_path / "own" / f"cone{k}.stl")
    out = tmp_path / "out"
    arguments = ["two_stage", "--targets", str(tmp_path / "own"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(two_stage, "objects", list)
    monkeypatch.setattr(two_stage, "ROWS", 1)
    two_stage.main()
    report = json.loads((out / "report.json").read_text())["runs"][0]
    stages = [stage["mean"] for stage in report["stages"].values()]
    assert report["shapes"] == 1 and stages[2] > stages[1] + 0.02
    assert trimesh.load(next(out.glob("*.glb")), force="mesh").is_watertight
    assert len(trimesh.load(next(out.glob("*-quads.obj")), force="mesh").faces) >= 20
    assert (out / "sheet.png").exists() and (out / "primitives.safetensors").exists()
