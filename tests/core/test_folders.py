"""Claims about files of the user's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genenvs.core import folders
from genenvs.core.task import SPLITS


@given(st.integers(0, 200))
def test_splits_share_out_all_of_three_or_more(count):
    items = list(range(count))
    parts = {split: folders.share(items, split) for split in SPLITS}
    if count < 3:
        assert all(part == items for part in parts.values())
    else:
        assert sorted(x for part in parts.values() for x in part) == items
        assert all(parts.values())


def test_of_eleven_files_eight_are_trained_on():
    assert [len(folders.share(range(110), split)) for split in SPLITS] == [80, 10, 20]
    with pytest.raises(ValueError, match="split must be one of train, validation, test; got 'all'"):
        folders.share([1, 2, 3], "all")


def test_one_bad_file_spoils_nothing(tmp_path):
    for name, text in {"b.txt": "2", "a.txt": "1", "c.txt": "three", "d.md": "4"}.items():
        (tmp_path / name).write_text(text)

    def read(path):
        return int(path.read_text())

    good, bad = folders.read_all(tmp_path, (".txt",), read)
    assert good == (1, 2)
    assert [path.name for path, _ in bad] == ["c.txt"] and "three" in bad[0][1]
    assert folders.read_all(tmp_path / "b.txt", (".txt",), read) == ((2,), ())


def test_a_link_to_nothing_is_left_out_with_the_reason(tmp_path):
    (tmp_path / "a.txt").write_text("1")
    (tmp_path / "b.txt").symlink_to(tmp_path / "gone.txt")
    good, bad = folders.read_all(tmp_path, (".txt",), lambda path: int(path.read_text()))
    assert good == (1,) and [path.name for path, _ in bad] == ["b.txt"]
    assert [path.name for path, *_ in folders.stamp(tmp_path, (".txt",))] == ["a.txt"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.md", "x", r"a\.md must end in one of \.txt, \.csv"),
        ("a.txt", None, "a.txt does not exist"),
        ("x" * 300 + ".txt", None, "x.txt does not exist"),
        ("a.txt", "", "a.txt is empty"),
        ("a.txt", "x" * 9, "a.txt has 9 bytes, more than 8; cut it"),
        (".txt", "folder", "is not a file"),
    ],
)
def test_files_of_no_use_say_why(tmp_path, name, content, message):
    path = tmp_path / name
    if content == "folder":
        path = tmp_path / "x.txt"
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        folders.check_file(path, (".txt", ".csv"), 8, "cut it")


def test_a_folder_without_a_usable_file_names_the_first_few(tmp_path):
    with pytest.raises(ValueError, match=r"holds no \.txt file"):
        folders.read_all(tmp_path, (".txt",), int)
    for k in range(5):
        (tmp_path / f"{k}.txt").write_text("")

    def read(path):
        raise ValueError(f"{path.name} will not do")

    with pytest.raises(ValueError, match=r"0.txt will not do; .*2.txt will not do; and 2 more"):
        folders.read_all(tmp_path, (".txt",), read)
