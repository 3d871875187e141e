"""Claims about meshes as files, good and bad, and about folders of them."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
import torch

from genenvs.geometry import files, meshes
from tests.geometry import shapes
from tests.needs import MACHINE, needs

pytestmark = needs("trimesh", extra="shapes")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENENVS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "voxels"


def text(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("suffix", [*files.SUFFIXES, ".STL"])
def test_every_format_is_read_as_it_was_written(tmp_path, suffix):
    vertices, faces = shapes.torus()
    path = tmp_path / "new" / f"ring{suffix}"
    files.write_mesh(path, vertices, faces)
    found = files.read_mesh(path)
    state = meshes.topology(found.faces[None])
    assert state.watertight.item() and state.euler.item() == 0
    torch.testing.assert_close(
        meshes.areas(found.vertices[None], found.faces[None]).sum(),
        meshes.areas(vertices[None], faces[None]).sum(),
    )
    assert os.listdir(path.parent) == [path.name]
    same = files.read_voxels(path, 24).grid
    assert torch.equal(same, files.read_voxels(write(tmp_path / "a.obj", shapes.torus()), 24).grid)


def write(path: Path, mesh: shapes.Mesh) -> Path:
    files.write_mesh(path, *mesh)
    return path


def test_objects_of_a_scene_are_taken_in_their_places(tmp_path):
    import trimesh

    scene = trimesh.Scene()
    vertices, faces = (x.numpy() for x in shapes.cube())
    for shift in (0, 3):
        place = np.eye(4)
        place[0, 3] = shift
        scene.add_geometry(trimesh.Trimesh(vertices, faces, process=False), transform=place)
    scene.export(tmp_path / "two.glb")
    found = files.read_mesh(tmp_path / "two.glb")
    assert found.faces.shape == (24, 3)
    assert found.vertices.amax(0).tolist() == [4, 1, 1]
    grid = files.read_voxels(tmp_path / "two.glb", 8).grid
    assert int(grid.sum()) == 2 * 2**3 and not bool(grid[2:6].any())


def test_polygons_become_triangles(tmp_path):
    corners = [f"v {k & 1} {k >> 1 & 1} {k >> 2 & 1}" for k in range(8)]
    sides = ["1 3 4 2", "5 6 8 7", "1 2 6 5", "3 7 8 4", "1 5 7 3", "2 4 8 6"]
    path = text(tmp_path / "quads.obj", *corners, *(f"f {side}" for side in sides))
    found = files.read_mesh(path)
    assert meshes.topology(found.faces[None]).euler.item() == 2 and found.notes == ()
    assert bool(files.read_voxels(path, 4).grid.all())


def test_the_longest_side_fills_the_cube_and_the_middle_is_its_middle(tmp_path):
    path = write(tmp_path / "long.ply", shapes.cube((5.0, 0, 0), (5.5, 2.0, 1.0)))
    grid = files.read_voxels(path, 8).grid
    expected = torch.zeros(8, 8, 8, dtype=torch.bool)
    expected[3:5, :, 2:6] = True
    assert torch.equal(grid, expected)
    small = files.read_voxels(path, 16, fill=0.5).grid
    assert torch.equal(small[4:12, 4:12, 4:12], expected) and small.sum() == expected.sum()
    turned = files.read_voxels(path, 8, up="y").grid
    assert torch.equal(turned, expected.transpose(1, 2).flip(1))


def test_voxels_are_kept_by_content(tmp_path, cache, monkeypatch):
    path = write(tmp_path / "a.stl", shapes.torus())
    first = files.read_voxels(path, 16)
    copy = tmp_path / "b.stl"
    copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(files, "_load", lambda path: pytest.fail("read again"))
    again = files.read_voxels(copy, 16)
    assert torch.equal(again.grid, first.grid) and again.notes == first.notes != ()
    assert again.path == copy
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("settings", [{"size": 12}, {"fill": 0.9}, {"up": "y"}])
def test_other_settings_are_other_voxels(tmp_path, cache, settings):
    path = write(tmp_path / "a.stl", shapes.torus())
    files.read_voxels(path, 16)
    files.read_voxels(path, **{"size": 16, **settings})
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_cache_is_made_again(tmp_path, cache, damage):
    path = write(tmp_path / "a.stl", shapes.torus())
    first = files.read_voxels(path, 16)
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-40] if damage is None else damage)
    assert torch.equal(files.read_voxels(path, 16).grid, first.grid)
    with np.load(kept, allow_pickle=False) as archive:
        assert json.loads(str(archive["said"]))["notes"] == list(first.notes)


def test_a_cache_that_cannot_be_written_is_said_and_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENENVS_CACHE", str(tmp_path / "file"))
    path = write(tmp_path / "a.stl", shapes.torus())
    with pytest.warns(UserWarning, match="voxels are not kept"):
        assert bool(files.read_voxels(path, 8).grid.any())


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """One file for each reason, and what the error says."""
    vertices, faces = shapes.cube()
    three = ("v 0 0 0", "v 1 0 0", "v 0 1 0")
    huge_stl = bytes(80) + struct.pack("<I", 7)  # promises seven faces and holds none
    (folder / "cut.stl").write_bytes(huge_stl)
    (folder / "cut.glb").write_bytes(write(folder / "whole.glb", shapes.cube()).read_bytes()[:-90])
    (folder / "whole.glb").unlink()
    (folder / "noise.ply").write_bytes(bytes(range(256)) * 4)
    (folder / "empty.obj").write_bytes(b"")
    (folder / "folder.obj").mkdir()
    nan = vertices.clone()
    nan[3, 1] = torch.nan
    flat = shapes.cube(0.0, (1.0, 1.0, 1e-4))
    return {
        "missing": (folder / "missing.obj", "does not exist"),
        "folder": (folder / "folder.obj", "is not a file"),
        "suffix": (text(folder / "mesh.fbx", "x"), "must end in one of .glb, .obj, .ply, .stl"),
        "empty": (folder / "empty.obj", "is empty"),
        "points": (text(folder / "points.obj", *three), "holds no faces"),
        "words": (text(folder / "words.obj", "once upon a time"), ""),
        "noise": (folder / "noise.ply", "cannot be read"),
        "cut stl": (folder / "cut.stl", ""),
        "cut glb": (folder / "cut.glb", ""),
        "index": (text(folder / "index.obj", *three, "f 1 2 9"), ""),
        "nan": (write(folder / "nan.ply", (nan, faces)), "not finite"),
        "sheet": (
            text(folder / "sheet.obj", *three, "f 1 2 3"),
            "not closed: 1 of 1 parts are open",
        ),
        "line": (text(folder / "line.obj", *three, "f 1 2 2"), "no face has an area"),
        "thin": (write(folder / "thin.ply", flat), "too thin: no voxel centre of a 8^3 grid"),
    }


def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path):
    for name, (path, reason) in bad_files(tmp_path).items():
        with pytest.raises(ValueError) as caught:
            files.read_voxels(path, 8)
        assert str(path) in str(caught.value) and reason in str(caught.value), (name, caught.value)


@pytest.mark.parametrize(("limit", "value"), [("MOST_FACES", 11), ("MOST_BYTES", 100)])
def test_a_huge_file_is_refused(tmp_path, monkeypatch, limit, value):
    path = write(tmp_path / "big.stl", shapes.cube())
    monkeypatch.setattr(files, limit, value)
    with pytest.raises(ValueError, match=rf"big.stl has \d+ (faces|bytes), more than {value}"):
        files.read_mesh(path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason=f"{MACHINE}user but root"
)
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = write(tmp_path / "mine.stl", shapes.cube())
    path.chmod(0)
    with pytest.raises(ValueError, match=r"mine.stl cannot be read"):
        files.read_voxels(path, 8)


def test_a_bad_file_does_not_spoil_a_folder(tmp_path):
    folder = tmp_path / "meshes"
    (folder / "inner").mkdir(parents=True)
    bad = bad_files(folder)
    write(folder / "inner" / "ring.ply", shapes.torus())
    write(folder / "cube.obj", (shapes.cube()[0], shapes.cube()[1][1:]))
    (folder / "read me.txt").write_text("not a mesh")
    found = files.read_folder(folder, 8)
    assert [x.path.name for x in found.good] == ["cube.obj", "ring.ply"]
    assert found.good[0].notes == ("closed 1 holes of up to 12 edges",)
    unseen = {"missing", "folder", "suffix"}
    assert {path for path, _ in found.bad} == {bad[k][0] for k in set(bad) - unseen}
    assert all(str(path) in reason for path, reason in found.bad)
    one = files.read_folder(folder / "cube.obj", 8)
    assert len(one.good) == 1 and one.bad == ()


def test_a_folder_is_read_once_its_bad_files_too(tmp_path, monkeypatch):
    folder = tmp_path / "meshes"
    folder.mkdir()
    bad_files(folder)
    write(folder / "ring.ply", shapes.torus())
    first = files.read_folder(folder, 8)
    monkeypatch.setattr(files, "_load", lambda path: pytest.fail("read again"))
    again = files.read_folder(folder, 8)
    assert again.bad == first.bad and len(again.bad) > 9
    assert torch.equal(again.good[0].grid, first.good[0].grid)
    copy = folder.rename(tmp_path / "copy")
    moved = [(copy / path.name, reason) for path, reason in first.bad]
    for (path, reason), (_, before) in zip(files.read_folder(copy, 8).bad, moved, strict=True):
        assert reason.startswith(str(path)) and reason == before.replace(str(folder), str(copy))


def test_a_bad_file_is_tried_again_by_another_parser(tmp_path, monkeypatch):
    path = text(tmp_path / "a.obj", "v 0 0 0")
    with pytest.raises(ValueError, match="holds no faces"):
        files.read_voxels(path, 8)
    monkeypatch.setattr(files, "version", lambda name: "newer")
    monkeypatch.setattr(files, "_load", lambda path: shapes.cube())
    assert bool(files.read_voxels(path, 8).grid.all())


@pytest.mark.parametrize("cause", [MemoryError, OSError, ImportError])
def test_what_may_pass_is_not_remembered(tmp_path, cache, monkeypatch, cause):
    import trimesh

    path = write(tmp_path / "a.stl", shapes.cube())
    with monkeypatch.context() as patch:

        def fail(*args, **kwargs):
            raise cause("not now")

        patch.setattr(trimesh, "load_scene", fail)
        with pytest.raises(ValueError, match=r"a\.stl cannot be read .*not now"):
            files.read_voxels(path, 8)
    assert not cache.exists()
    assert bool(files.read_voxels(path, 8).grid.all())


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, cache, monkeypatch):
    path = write(tmp_path / "a.stl", shapes.cube())
    load = files._load

    def load_another(path):
        write(path, shapes.torus())
        return load(path)

    monkeypatch.setattr(files, "_load", load_another)
    files.read_voxels(path, 8)
    assert not cache.exists()


def test_two_processes_may_read_one_folder_at_once(tmp_path, cache):
    folder = tmp_path / "meshes"
    folder.mkdir()
    for k in range(12):
        write(folder / f"{k}.ply", shapes.torus(sides=3 + k))
        text(folder / f"{k}.obj", f"# {k}", "v 0 0 0")
    code = f"""if True:
        import sys
        from genenvs.geometry import files
        print("ready", flush=True)
        sys.stdin.readline()
        found = files.read_folder({str(folder)!r}, 16)
        print([(x.path.name, int(x.grid.sum())) for x in found.good], len(found.bad))"""
    readers = [
        subprocess.Popen([sys.executable, "-c", code], text=True, stdin=PIPE, stdout=PIPE)
        for _ in range(2)
    ]
    assert [reader.stdout.readline() for reader in readers] == ["ready\n"] * 2
    for reader in readers:
        reader.stdin.write("\n")
        reader.stdin.flush()
    said = [reader.communicate()[0] for reader in readers]
    here = files.read_folder(folder, 16)
    expected = f"{[(x.path.name, int(x.grid.sum())) for x in here.good]} {len(here.bad)}\n"
    assert said == [expected] * 2 and len(here.good) == len(here.bad) == 12
    assert sorted(path.suffix for path in cache.iterdir()) == [".npz"] * 24
    assert not any(path.name.startswith(".") for path in cache.iterdir())


def test_a_folder_without_one_good_file_says_why(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"none holds no \.glb, \.obj, \.ply, \.stl file"):
        files.read_folder(tmp_path / "none", 8)
    text(tmp_path / "none" / "a.obj", "v 0 0 0")
    with pytest.raises(ValueError, match=r"no file of .*none can be used: .*a.obj holds no faces"):
        files.read_folder(tmp_path / "none", 8)


def test_only_y_or_z_is_up(tmp_path):
    with pytest.raises(ValueError, match="up must be 'y' or 'z'; got 'x'"):
        files.read_voxels(tmp_path / "a.obj", 8, up="x")
