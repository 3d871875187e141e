"""The examples of docs/examples: that they are short, and they themselves as modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "examples"
MOST_LINES = 40  # blank ones do not count


def lines(name: str) -> int:
    return sum(bool(line.strip()) for line in (FOLDER / name).read_text("utf-8").splitlines())


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), FOLDER / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
