"""The repository's own files, read once for the tests beside this one."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# sys_platform, platform_system, os_name, platform_machine
PLATFORMS = (
    ("linux", "Linux", "posix", "x86_64"),
    ("linux", "Linux", "posix", "aarch64"),
    ("darwin", "Darwin", "posix", "arm64"),
    ("win32", "Windows", "nt", "AMD64"),
)


def environments() -> list[dict[str, str]]:
    """The marker environments of every Python and platform that wheels exist for."""
    return [
        {
            "python_version": python,
            "python_full_version": f"{python}.1",
            "sys_platform": sys_platform,
            "platform_system": system,
            "os_name": os_name,
            "platform_machine": machine,
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "extra": "",
        }
        for python in PYTHONS
        for sys_platform, system, os_name, machine in PLATFORMS
    ]


def requirements(*texts: str) -> list[Requirement]:
    """What these ask for, `genenvs[...]` resolved into the requirements of its extras."""
    found = []
    todo = [Requirement(text) for text in texts]
    while todo:
        requirement = todo.pop()
        if requirement.name == PROJECT["name"]:
            todo += [Requirement(text) for extra in requirement.extras for text in EXTRAS[extra]]
        else:
            found.append(requirement)
    return found


def load_dev() -> ModuleType:
    """dev.py as a module of its own, so that a test may change its folders."""
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
