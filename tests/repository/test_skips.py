"""A run says what it did not test, and continuous integration does not let it pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository.project import ROOT

TESTS = """
import pytest
from tests.needs import MACHINE, import_or_skip, needs

@needs("no_such_module", extra="video")
def test_of_a_missing_library():
    raise AssertionError("ran without its library")

def test_of_another():
    import_or_skip("no_such_module_either", extra="text")

@needs("no_such_library", extra="rllib")
def test_that_has_a_job_of_its_own():
    raise AssertionError("ran without its library")

@pytest.mark.slow
def test_that_takes_long():
    raise AssertionError("ran without --slow")

def test_of_a_device():
    pytest.skip(MACHINE + "cuda device")

@needs("json", extra="video")
def test_of_a_library_that_is_there():
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tests = tmp_path / "tests"
    tests.mkdir()
    for name in ("__init__.py", "conftest.py", "needs.py"):
        shutil.copy(ROOT / "tests" / name, tests)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tests / "test_sample.py").write_text(TESTS, encoding="utf-8")
    return tmp_path


def run(folder: Path, require: str) -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "GENENVS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=folder,
        env={**environment, "GENENVS_REQUIRE": require},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_last_lines_name_what_was_not_tested(folder: Path) -> None:
    code, output = run(folder, "")
    assert code == 0
    *_, header, apart, video, text, slow, device, summary = filter(None, output.splitlines())
    assert "not tested here" in header
    assert apart.startswith('1 test: needs no_such_library, pip install "genenvs[rllib]"')
    assert video.startswith('1 test: needs no_such_module, pip install "genenvs[video]"')
    assert text.startswith('1 test: needs no_such_module_either, pip install "genenvs[text]"')
    assert slow == "1 test: slow: run with --slow"
    assert device == "1 test: this machine has no cuda device"
    assert "1 passed, 5 skipped" in summary


def test_all_that_all_brings_is_required_and_neither_a_device_nor_an_extra_apart(
    folder: Path,
) -> None:
    code, output = run(folder, "all")
    assert code == 1
    assert "1 failed, 1 passed, 3 skipped, 1 error" in output
    assert 'GENENVS_REQUIRE forbids this skip: needs no_such_module, pip install "genenvs' in output


def test_single_extras_may_be_required(folder: Path) -> None:
    code, output = run(folder, "sb3,text")
    assert code == 1
    assert "1 failed, 1 passed, 4 skipped" in output


def test_an_extra_apart_is_required_where_it_is_named(folder: Path) -> None:
    code, output = run(folder, "rllib")
    assert code == 1
    assert 'forbids this skip: needs no_such_library, pip install "genenvs[rllib]"' in output
