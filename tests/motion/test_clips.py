"""Claims about clips: rows of numbers, folders of files, splits."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from genenvs.motion import clips, deepmimic, quaternions
from genenvs.motion.humanoid import JOINTS, humanoid
from genenvs.motion.skeleton import forward
from tests.motion import files, reference

# Offsets of the URDF's joints in its own axes (y up, right +z) and order, times 0.25.
DEEPMIMIC = {
    "chest": ("root", (0, 0.236151, 0)),
    "neck": ("chest", (0, 0.223894, 0)),
    "right_hip": ("root", (0, 0, 0.084887)),
    "right_knee": ("right_hip", (0, -0.421546, 0)),
    "right_ankle": ("right_knee", (0, -0.409870, 0)),
    "right_shoulder": ("chest", (-0.02405, 0.2435, 0.18311)),
    "right_elbow": ("right_shoulder", (0, -0.274788, 0)),
    "left_hip": ("root", (0, 0, -0.084887)),
    "left_knee": ("left_hip", (0, -0.421546, 0)),
    "left_ankle": ("left_knee", (0, -0.409870, 0)),
    "left_shoulder": ("chest", (-0.02405, 0.2435, -0.18311)),
    "left_elbow": ("left_shoulder", (0, -0.274788, 0)),
}


def by_hand(row: list[float]) -> dict[str, np.ndarray]:
    """Joint positions of one row in the file's own axes, after DeepMimic's description alone."""
    place, turns, at = {}, {}, 8
    for name in DEEPMIMIC:
        if name.endswith(("knee", "elbow")):
            turns[name] = reference.turn(np.array([0.0, 0, 1]), row[at])
            at += 1
        else:
            turns[name] = reference.matrix(np.array(row[at : at + 4]))
            at += 4
    assert at == len(row)
    frame = {"root": reference.matrix(np.array(row[4:8]))}
    place["root"] = np.array(row[1:4])
    for name, (parent, offset) in DEEPMIMIC.items():
        place[name] = place[parent] + frame[parent] @ np.array(offset)
        frame[name] = frame[parent] @ turns[name]
    return place


def test_a_row_puts_joints_where_its_numbers_say(tmp_path):
    rows = files.rows()
    recording = deepmimic.read(files.write_rows(tmp_path / "a.txt", rows))
    positions, _ = forward(humanoid().skeleton, recording.root, recording.rotations)
    for k, row in enumerate(rows):
        for name, (x, y, z) in by_hand(row).items():
            found = positions[k, JOINTS.index(name)].tolist()
            assert found == pytest.approx([x, -z, y], abs=1e-5), name
    durations = [row[0] for row in rows]
    assert recording.times.tolist() == pytest.approx([0, *np.cumsum(durations[:-1])])


def test_a_clip_has_the_rate_that_is_asked_for(tmp_path):
    rows = files.rows(30)
    path = files.write_rows(tmp_path / "a.txt", rows)
    seconds = sum(row[0] for row in rows[:-1])
    for fps in (24.0, 60.0):
        clip = clips.read_clip(path, fps)
        assert clip.name == "a" and clip.fps == fps and len(clip.digest) == 64
        assert 0 <= seconds - clip.duration < 1 / fps
        assert (clip.rotations.norm(dim=-1) - 1).abs().max() < 1e-5
    with pytest.raises(ValueError, match="fps must be above 0"):
        clips.read_clip(path, 0.0)


def test_mirrored_and_retimed_clips_know_where_they_come_from(tmp_path):
    clip = clips.read_clip(files.write_rows(tmp_path / "a.txt", files.rows(40)), 60)
    other = clips.mirrored(clip)
    assert other.digest == clip.digest and other.name == "a-mirrored"
    assert torch.equal(other.root[:, 1], -clip.root[:, 1])
    fast = clips.retimed(clip, 1.25)
    assert fast.duration == pytest.approx(clip.duration / 1.25, abs=1 / 60)
    assert torch.allclose(fast.root[4], clip.root[5], atol=1e-5)
    assert quaternions.angle(fast.rotations[4], clip.rotations[5]).max() < 2e-3
    with pytest.raises(ValueError, match="shorter than two frames"):
        clips.retimed(clip, 1000)


def broken(change) -> str:
    rows = files.rows()
    changed = change(rows)
    return json.dumps({"Frames": rows if changed is None else changed})


def put(row: int, column: int, value) -> str:
    return broken(lambda rows: rows[row].__setitem__(column, value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", 'holds no list "Frames"'),
        ('{"Frames": 3}', 'holds no list "Frames"'),
        ('{"Frames": []}', "has no frames"),
        (broken(lambda r: [row[:20] for row in r]), "frame 0 has 20 numbers, must have 44"),
        (broken(lambda r: r[3].append(0.0)), "frame 3 has 45 numbers"),
        (put(2, 9, float("nan")), "frame 2 has a value"),
        (put(2, 9, float("inf")), "frame 2 has a value"),
        (put(2, 9, 10**400), "frame 2 has a value"),
        (put(2, 9, "0.1"), "frame 2 has a value"),
        (put(2, 9, True), "frame 2 has a value"),
        (put(2, 0, -1.0), "frame 2 lasts -1.0 s"),
        (put(2, 0, 0.0), "frame 2 lasts 0.0 s"),
        (broken(lambda r: r[2].__setitem__(slice(4, 8), [0.0] * 4)), "frame 2, root: a quat"),
        (put(2, 0, 1e6), "more than 3600"),
        (broken(lambda r: r[:1]), "shorter than one frame"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named_with_the_reason(tmp_path, text, message):
    path = tmp_path / "broken.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"broken.txt.*{message}"):
        clips.read_clip(path)


def test_what_is_no_text_or_no_file_is_named(tmp_path):
    (tmp_path / "noise.bvh").write_bytes(bytes(range(256)))
    (tmp_path / "noise.txt").write_bytes(bytes(range(128, 256)))
    (tmp_path / "folder.txt").mkdir()
    for name, message in (
        ("noise.bvh", "cannot be read"),
        ("noise.txt", "not JSON"),
        ("folder.txt", "is not a file"),
        ("missing.bvh", "does not exist"),
        ("clip.fbx", "must end in one of .bvh, .txt"),
    ):
        with pytest.raises(ValueError, match=f"{name}.*{message}"):
            clips.read_clip(tmp_path / name)


def test_a_file_may_begin_with_a_mark(tmp_path):
    """As editors on Windows write it."""
    read = {}
    for encoding in ("utf-8", "utf-8-sig"):
        text = files.write_rows(tmp_path / f"{encoding}.txt", files.rows())
        one = clips.read_clip(text)
        clips.write_bvh(tmp_path / f"{encoding}.bvh", one)
        for path in (text, tmp_path / f"{encoding}.bvh"):
            path.write_text(path.read_text(encoding="utf-8"), encoding=encoding)
            read.setdefault(path.suffix, []).append(clips.read_clip(path).root)
    assert all(torch.equal(*pair) for pair in read.values())


def test_one_bad_file_does_not_spoil_a_folder(tmp_path):
    files.write_rows(tmp_path / "a.txt", files.rows())
    (tmp_path / "inner").mkdir()
    files.write_rows(tmp_path / "inner" / "b.txt", files.rows(seed=1))
    shutil.copy(tmp_path / "a.txt", tmp_path / "c.txt")
    (tmp_path / "d.txt").write_text("{}")
    (tmp_path / "notes.md").write_text("no clip")
    found = clips.read_folder(tmp_path)
    assert [c.name for c in found.good] == ["a", "b"]  # a copy is not read twice
    assert [(p.name, 'no list "Frames"' in why) for p, why in found.bad] == [("d.txt", True)]
    with pytest.warns(UserWarning, match=r'left out: .*d\.txt holds no list "Frames"'):
        assert [c.name for c in clips.read_usable(tmp_path)] == ["a", "b"]
    alone = clips.read_folder(tmp_path / "inner" / "b.txt")
    assert [c.name for c in alone.good] == ["b"]
    (tmp_path / "bad").mkdir()
    with pytest.raises(ValueError, match=r"holds no .bvh, .txt file"):
        clips.read_folder(tmp_path / "bad")
    for name in "efgh":
        (tmp_path / "bad" / f"{name}.txt").write_text("{}")
    with pytest.raises(ValueError, match=r"no file of .*bad can be used: .*e.txt.*and 1 more"):
        clips.read_folder(tmp_path / "bad")


def test_splits_follow_content_and_share_nothing(tmp_path):
    for k in range(12):
        files.write_rows(tmp_path / f"{k}.txt", files.rows(4, seed=k))
    all_clips = clips.read_folder(tmp_path).good
    with_mirrors = (*all_clips, *map(clips.mirrored, all_clips))
    parts = {s: clips.partition(with_mirrors, s) for s in ("train", "validation", "test")}
    contents = {s: {c.digest for c in part} for s, part in parts.items()}
    assert sorted(len(c) for c in contents.values()) == [1, 2, 9]
    assert sum(map(len, parts.values())) == 24 == 2 * len(set.union(*contents.values()))

    for k in range(12):
        (tmp_path / f"{k}.txt").rename(tmp_path / f"renamed-{11 - k}.txt")
    again = clips.read_folder(tmp_path).good
    for split, content in contents.items():
        assert {c.digest for c in clips.partition(again, split)} == content
    assert clips.partition(all_clips[:2], "test") == all_clips[:2]
    with pytest.raises(ValueError, match="split must be one of"):
        clips.partition(all_clips, "dev")


def test_quaternions_of_other_lengths_are_rotations_all_the_same(tmp_path):
    """As pybullet's own kick has them, down to 0.58."""
    rows = files.rows(3)
    short = [row[:4] + [0.6 * x for x in row[4:8]] + row[8:] for row in rows]
    one, other = (
        deepmimic.read(files.write_rows(tmp_path / f"{k}.txt", frames))
        for k, frames in enumerate((rows, short))
    )
    assert torch.allclose(one.rotations, other.rotations, atol=1e-6)
