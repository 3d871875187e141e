"""The recipe in CONTRIBUTING.md is run as it stands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

import genenvs.tasks
from genenvs.core import registry
from genenvs.testing import check_task
from tests.repository.project import ROOT

RECIPE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", RECIPE, re.DOTALL))
ENV_ID = "genenvs/Stencil-v0"


@pytest.fixture
def stencil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The recipe's environment, declared as if its folder were among the tasks."""
    folder = tmp_path / "stencil"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name in ("instances.py", "rewards.py", "task.py", "viewer.py"):
        (folder / name).write_text(BLOCKS[name], encoding="utf-8")
    monkeypatch.setattr(genenvs.tasks, "__path__", [*genenvs.tasks.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    exec(compile(BLOCKS["declaration"], "declaration", "exec"), {})
    yield ENV_ID
    del gym.registry[ENV_ID]
    for name in [name for name in sys.modules if name.startswith("genenvs.tasks.stencil")]:
        del sys.modules[name]


def test_the_environment_of_the_recipe_keeps_every_law(stencil: str) -> None:
    assert check_task(stencil, scores=False, asynchronous=False) == []


def test_the_tests_of_the_recipe_pass(stencil: str) -> None:
    names: dict = {}
    exec(compile(BLOCKS["test_stencil.py"], "test_stencil.py", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_every_file_that_the_recipe_names_is_in_it() -> None:
    (tree,) = re.findall(r"```\n(genenvs/tasks/stencil/.*?)```", RECIPE, re.DOTALL)
    named = set(re.findall(r"(\w+\.py)", tree)) - {"__init__.py"}
    assert named | {"declaration"} == set(BLOCKS)
