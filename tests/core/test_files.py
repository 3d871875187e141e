"""Files are written whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genenvs.core.files import cache_folder, making, making_folder, replacing, sha256
from tests.needs import MACHINE


def test_the_new_file_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".json" and temporary.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["scores.json"]


def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="halfway"), replacing(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("halfway")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["scores.json"]


@pytest.mark.parametrize("writing", [replacing, making_folder])
def test_a_full_disk_is_named(tmp_path, writing):
    path = tmp_path / "scores"
    with pytest.raises(OSError, match="No space") as told, writing(path):
        raise OSError(28, "No space left on device")  # as a write says it: of no file
    assert str(told.value) == f"[Errno 28] No space left on device: '{path}'"
    with pytest.raises(OSError, match=r"^disk on fire$"), writing(path):
        raise OSError("disk on fire")


def test_a_process_killed_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_text("old")
    program = (
        "import os, signal, sys\n"
        "from genenvs.core.files import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('ne')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert done.returncode != 0
    assert path.read_text() == "old"


def test_a_missing_folder_raises(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "no" / "file"):
        pytest.fail("the block must not run")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason=f"{MACHINE}user but root, who may write everywhere",
)
def test_a_read_only_folder_raises_and_keeps_what_was_there(tmp_path):
    path = tmp_path / "kept"
    path.write_text("old")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError), replacing(path):
            pytest.fail("the block must not run")
    finally:
        tmp_path.chmod(0o700)
    assert path.read_text() == "old"


def test_a_folder_that_cannot_be_written_raises_before_the_block_runs(tmp_path, monkeypatch):
    """What a read-only folder does, also for a user who may write everywhere."""
    path = tmp_path / "kept"
    path.write_text("old")

    def refuse(*args, **kwargs):
        raise PermissionError("read-only")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(PermissionError), replacing(path):
        pytest.fail("the block must not run")
    assert path.read_text() == "old"


def test_the_file_has_the_permissions_that_any_new_file_has(tmp_path):
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "replaced") as temporary:
        temporary.write_text("")
    modes = [(tmp_path / name).stat().st_mode for name in ("plain", "replaced")]
    assert modes[0] == modes[1]


def test_a_missing_folder_is_made(tmp_path):
    with making(tmp_path / "a" / "b" / "scores.json") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a" / "b" / "scores.json").read_text() == "new"


def test_the_cache_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("GENENVS_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("GENENVS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/genenvs")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "genenvs"


def test_a_file_is_known_by_its_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert (
        sha256(tmp_path / "a").startswith("ba7816bf8f01cfea") and len(sha256(tmp_path / "a")) == 64
    )


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "above" / "made"
    for text in ("first", "second"):
        with making_folder(target) as temporary:
            (temporary / text).write_text(text)
        assert [path.name for path in target.iterdir()] == [text]
    with pytest.raises(OSError, match="full"), making_folder(target) as temporary:
        (temporary / "third").write_text("third")
        raise OSError("full")
    assert [path.name for path in target.iterdir()] == ["second"]
    assert list(target.parent.iterdir()) == [target]
