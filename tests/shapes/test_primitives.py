"""Shapes made of cuboids, as files."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from genenvs.shapes import primitives
from genenvs.shapes.primitives import COUNT, Primitives
from genenvs.shapes.targets import load


def some(count: int = 128, targets: str = "table", split: str = "test") -> Primitives:
    cuboids = torch.zeros(count, COUNT, 6, dtype=torch.int64)
    cuboids[:, 0] = torch.tensor([1, 2, 3, 7, 8, 16])
    cuboids[:, 0, 0] = torch.arange(count) % 7
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return Primitives(
        cuboids=cuboids[order],
        iou=torch.linspace(0, 1, count),
        instance=order,
        names=(targets,) * count,
        targets=targets,
        split=split,
    )


def test_what_was_written_is_read_again(tmp_path):
    path = tmp_path / "deep" / "table.safetensors"
    primitives.write(path, some())
    found = primitives.read(path)
    for field in dataclasses.fields(Primitives):
        ours, theirs = getattr(some(), field.name), getattr(found, field.name)
        assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs
    assert found.present.sum().item() == 128


def test_cuboids_come_in_the_order_of_the_targets():
    found = some().matched(load("table", "test", 64), "test")
    assert found[:, 0, 0].tolist() == [k % 7 for k in range(128)]


@pytest.mark.parametrize(
    ("rows", "targets", "split", "message"),
    [
        (128, "table", "validation", "split 'test'"),
        (128, "chair", "test", "target [0-9]+ is .table."),
        (100, "table", "test", "100 of the 128 .* all are needed"),
    ],
)
def test_primitives_of_other_targets_are_refused(rows, targets, split, message):
    with pytest.raises(ValueError, match=message):
        some(rows).matched(load(targets, split, 16), split)


def test_primitives_of_more_targets_are_refused():
    with pytest.raises(ValueError, match="these targets are 64"):
        some(split="validation").matched(load("table", "validation", 16), "validation")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cuboids": torch.zeros(2, COUNT, 6)}, "cuboids must be torch.int64"),
        ({"cuboids": torch.full((2, COUNT, 6), 3)}, "lowest corner below"),
        ({"cuboids": torch.tensor([0, 0, 0, 1, 1, 17]).expand(2, COUNT, 6)}, "within 0 .. 16"),
        ({"iou": torch.tensor([0.5, float("nan")])}, "iou must lie"),
        ({"instance": torch.tensor([3, 3])}, "distinct"),
        ({"names": ("table",)}, "2 strings"),
        ({"split": "all"}, "split must be one of"),
    ],
)
def test_nonsense_is_refused(changes, message):
    good = {f.name: getattr(some(2), f.name) for f in dataclasses.fields(Primitives)}
    with pytest.raises(ValueError, match=message):
        Primitives(**(good | changes))


def test_files_that_are_none_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(FileNotFoundError, match="no file of primitives"):
        primitives.read(path)
    path.write_bytes(b"not a file of tensors")
    with pytest.raises(ValueError, match="no file of primitives"):
        primitives.read(path)
    save_file({"cuboids": torch.zeros(1)}, path, {"format": primitives.FORMAT, "names": "[]"})
    with pytest.raises(ValueError, match="it holds no instance, iou, split, targets"):
        primitives.read(path)
    save_file({"cuboids": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="its format is None"):
        primitives.read(path)
    primitives.write(path, some())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="no file of primitives"):
        primitives.read(path)
