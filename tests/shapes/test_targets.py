"""Claims about the targets of a split."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch

from genenvs.core.task import SPLITS
from genenvs.geometry import packed
from genenvs.geometry.components import voxel_components
from genenvs.shapes import targets
from genenvs.shapes.families import FAMILIES
from tests.needs import import_or_skip


def contents(found: targets.Targets) -> list[bytes]:
    return [grid.numpy().tobytes() for grid in found.packed(torch.arange(len(found)))]


def test_splits_share_no_shape_and_hold_each_once():
    everything = [
        content
        for name in ("mixed", "corridor")
        for split in SPLITS
        for content in contents(targets.load(name, split, 16))
    ]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize(
    ("size", "whole"),
    [(16, True), (20, False), (20, True), pytest.param(64, False, marks=pytest.mark.slow)],
)
def test_no_split_looks_like_another_one_as_tasks_see_it(size, whole):
    split_of: dict[bytes, str] = {}
    for name in ("mixed", "corridor"):
        for split in SPLITS:
            for content in contents(targets.load(name, split, size, whole=whole)):
                assert split_of.setdefault(content, split) == split


def test_the_mixture_has_every_family_but_the_held_out_one():
    found = targets.load("mixed", "test", 16)
    assert set(found.names) == set(FAMILIES) - {"corridor"}
    assert found.family.bincount().tolist() == [targets.EACH["test"]] * 7
    assert found.name(0) == "union" and found.name(len(found) - 1) == "car"


def test_a_family_of_its_own_is_that_part_of_the_mixture():
    mixed, chairs = targets.load("mixed", "train", 16), targets.load("chair", "train", 16)
    rows = (mixed.family == mixed.names.index("chair")).nonzero().flatten()
    assert torch.equal(mixed.packed(rows), chairs.packed(torch.arange(len(chairs))))


def test_grids_of_every_size_are_of_the_same_shapes():
    coarse, fine = (targets.load("table", "test", size) for size in (16, 64))
    index = torch.arange(10)
    blocks = fine.voxels(index).float().unfold(1, 4, 4).unfold(2, 4, 4).unfold(3, 4, 4)
    filled = blocks.mean((-1, -2, -3)) > 0.5
    agree = (filled == coarse.voxels(index)).float().mean()
    assert float(agree) > 0.97


def test_whole_keeps_one_part_on_the_floor():
    found = targets.load("mixed", "test", 16, whole=True)
    grids = found.voxels(torch.arange(len(found)))
    assert int(voxel_components(grids).number.max()) == 1
    assert bool(grids[..., 0].flatten(1).any(1).all())


def test_shapes_are_the_same_in_every_process():
    found = targets.load("lamp", "validation", 16)
    code = (
        "import hashlib, torch; from genenvs.shapes import targets;"
        "t = targets.load('lamp', 'validation', 16);"
        "print(hashlib.sha256(t.packed(torch.arange(len(t))).numpy().tobytes()).hexdigest())"
    )
    import hashlib

    here = hashlib.sha256(found.packed(torch.arange(len(found))).numpy().tobytes()).hexdigest()
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


@pytest.mark.parametrize("wrong", ["no/such/path", "castle"])
def test_neither_a_family_nor_a_path_lists_the_families(wrong):
    with pytest.raises(ValueError, match=f"union, table, .*got '{wrong}', which does not exist"):
        targets.load(wrong, "train", 16)


@pytest.mark.parametrize("wrong", [None, 3, ["chair"], ""])
def test_no_string_is_an_error(wrong):
    with pytest.raises(ValueError, match="targets must be a family or a path; got"):
        targets.load(wrong, "train", 16)


def test_a_word_with_some_empty_layers_moves_down():
    grid = torch.zeros(2, 64, 64, 64, dtype=torch.bool)
    grid[0, 1, 2, 60:] = True  # the top bit of a word is its sign
    grid[1, 3, 4, :2] = True
    moved = packed.unpack(targets._grounded(packed.pack(grid), 64))
    assert moved[0, 1, 2, :4].all() and int(moved[0].sum()) == 4
    assert torch.equal(moved[1], grid[1])


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        trimesh = import_or_skip("trimesh", extra="shapes")
        monkeypatch.setenv("GENENVS_CACHE", str(tmp_path / "cache"))
        meshes = tmp_path / "meshes"
        for k in range(12):
            part = trimesh.creation.box(extents=(1 + k % 3, 1 + k // 3, 7))
            part.apply_translation((3, 4, 5))
            (meshes / f"{k % 2}").mkdir(parents=True, exist_ok=True)
            part.export(meshes / f"{k % 2}" / f"box{k}.{('obj', 'stl', 'ply', 'glb')[k % 4]}")
        return meshes

    def test_a_folder_is_shared_among_the_splits_by_content(self, folder):
        found = {split: targets.load(str(folder), split, 16) for split in SPLITS}
        names = [name for split in SPLITS for name in found[split].names]
        assert len(names) == len(set(names))
        assert {s: len(t) for s, t in found.items()} == {"train": 9, "validation": 1, "test": 2}
        for some in found.values():
            assert bool(some.voxels(torch.arange(len(some)))[..., 0].flatten(1).any(1).all())

    def test_which_split_a_mesh_is_in_does_not_depend_on_its_name(self, folder, tmp_path):
        before = contents(targets.load(str(folder), "test", 16))
        shutil.move(folder, tmp_path / "elsewhere")
        for k, path in enumerate(sorted((tmp_path / "elsewhere").rglob("*.*"))):
            path.rename(path.with_name(f"{99 - k}{path.suffix}"))
        assert contents(targets.load(str(tmp_path / "elsewhere"), "test", 16)) == before

    def test_one_mesh_is_in_every_split(self, folder):
        path = next(folder.rglob("*.obj"))
        for split in SPLITS:
            found = targets.load(str(path), split, 16)
            assert len(found) == 1 and found.name(0) == path.name

    def test_a_bad_file_is_noted_and_spoils_nothing(self, folder):
        (folder / "broken.obj").write_text("f 1 2 3\n")
        with pytest.warns(UserWarning, match="left out.*broken.obj"):
            found = targets.load(str(folder), "train", 16)
        assert any("broken.obj" in note for note in found.notes)
        assert len(found) > 0

    def test_a_file_that_changed_is_read_again(self, folder):
        trimesh = import_or_skip("trimesh", extra="shapes")
        path = next(folder.rglob("*.stl"))
        before = contents(targets.load(str(path), "train", 16))
        trimesh.creation.icosphere(2).export(path)
        assert contents(targets.load(str(path), "train", 16)) != before

    def test_a_relative_path_is_that_of_the_working_folder(self, folder, monkeypatch):
        found = []
        for name in ("0", "1"):
            trimesh = import_or_skip("trimesh", extra="shapes")
            trimesh.creation.box((1, 1, 1 + int(name))).export(folder / name / "same.stl")
            monkeypatch.chdir(folder / name)
            found.append(contents(targets.load("same.stl", "train", 16)))
        assert found[0] != found[1]

    def test_copies_and_thin_plates_are_noted(self, folder):
        trimesh = import_or_skip("trimesh", extra="shapes")
        first = next(folder.rglob("*.obj"))
        shutil.copy(first, folder / "copy.obj")
        trimesh.creation.box((1, 1, 0.02)).export(folder / "plate.stl")
        with pytest.warns(UserWarning, match="targets .* left out"):
            notes = "\n".join(targets.load(str(folder), "train", 64).notes)
        assert "the same shape as another file" in notes and "plate.stl is too thin" in notes

    def test_upwards_is_the_axis_that_is_named(self, folder):
        path = next(folder.rglob("box0.*"))  # seven times as long along z
        lengths = {
            up: targets.load(str(path), "train", 16, up=up).voxels(torch.tensor([0]))[0].nonzero()
            for up in "yz"
        }
        assert lengths["z"].amax(0)[2] == 15 and lengths["y"].amax(0)[2] < 8
        with pytest.raises(ValueError, match="up must be 'y' or 'z'; got 'x'"):
            targets.load(str(path), "train", 16, up="x")

    def test_grids_of_every_size_hold_a_file_in_one_place(self, tmp_path):
        trimesh = import_or_skip("trimesh", extra="shapes")
        trimesh.creation.cylinder(1.0, 1.1).export(tmp_path / "low.stl")
        heights = []
        for size in (16, 20, 64):
            solid = targets.load(str(tmp_path), "test", size).voxels(torch.tensor([0]))[0]
            layers = solid.flatten(0, 1).any(0).nonzero()
            assert int(layers.min()) == 0
            heights.append((int(layers.max()) + 1) / size)
        assert max(heights) - min(heights) <= 1 / 16 and abs(heights[2] - 0.55) < 1 / 64

    def test_a_folder_of_nothing_is_an_error(self, tmp_path):
        import_or_skip("trimesh", extra="shapes")
        with pytest.raises(ValueError, match=r"holds no .*\.obj"):
            targets.load(str(tmp_path), "train", 16)


def test_files_have_one_order_on_every_grid(tmp_path):
    trimesh = import_or_skip("trimesh", extra="shapes")
    for k in range(9):
        trimesh.creation.box((1, 1 + k / 3, 2)).export(tmp_path / f"box{k}.stl")
    for split in SPLITS:
        coarse, fine = (targets.load(str(tmp_path), split, size) for size in (16, 64))
        assert coarse.names == fine.names and len(coarse) > 0
