"""What `pip install genenvs` brings, and that a build which brings something else is caught."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.needs import APART
from tests.repository import dist
from tests.repository.project import (
    EXTRAS,
    PROJECT,
    PYPROJECT,
    PYTHONS,
    ROOT,
    load_dev,
    requirements,
)

WEIGHTS = b"weights"
GOOD = {
    "genenvs/__init__.py": b"",
    "genenvs/py.typed": b"",
    "genenvs/generators/weights/manifest.json": json.dumps(
        {"digits/unet.safetensors": {"sha256": hashlib.sha256(WEIGHTS).hexdigest(), "bytes": 7}}
    ).encode(),
    "genenvs/generators/weights/digits/unet.safetensors": WEIGHTS,
    "genenvs/motion/weights/manifest.json": json.dumps(
        {"codes.safetensors": {"sha256": hashlib.sha256(WEIGHTS).hexdigest(), "bytes": 7}}
    ).encode(),
    "genenvs/motion/weights/codes.safetensors": WEIGHTS,
    "genenvs-0.1.0.dist-info/licenses/LICENSE": b"",
}


def wheel(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "genenvs-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def without(name: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {key: value for key, value in files.items() if key != name}


def with_(name: str, content: bytes = b"") -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {**files, name: content}


def test_a_good_wheel_has_no_problems(tmp_path: Path) -> None:
    assert dist.wheel_problems(wheel(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (with_("agents/__init__.py"), "top level"),
        (with_("conftest.py"), "top level"),
        (without("genenvs/py.typed"), "py.typed"),
        (without("genenvs-0.1.0.dist-info/licenses/LICENSE"), "LICENSE"),
        (without("genenvs/generators/weights/manifest.json"), "manifest.json is missing"),
        (with_("genenvs/generators/weights/manifest.json", b"{}"), "names no weights"),
        (with_("genenvs/motion/weights/codes.safetensors", b"other"), "not the file"),
        (
            without("genenvs/generators/weights/digits/unet.safetensors"),
            "in the manifest but not in the wheel",
        ),
        (
            with_("genenvs/generators/weights/digits/unet.safetensors", b"other"),
            "not the file whose SHA-256",
        ),
        (
            with_("genenvs/generators/weights/digits/stray.safetensors"),
            "in the wheel but not in the manifest",
        ),
    ],
)
def test_a_bad_wheel_is_caught(
    tmp_path: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]], complaint: str
) -> None:
    problems = dist.wheel_problems(wheel(tmp_path, change(GOOD)))
    assert any(complaint in problem for problem in problems), problems


def test_a_large_wheel_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wheel(tmp_path, GOOD)
    monkeypatch.setattr(dist, "LARGEST_WHEEL", path.stat().st_size - 1)
    (problem,) = dist.wheel_problems(path)
    assert "bytes" in problem


def test_an_sdist_without_its_tests_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "genenvs-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for folder in ("agents", "benchmarks", "docs", "genenvs"):
            archive.addfile(tarfile.TarInfo(f"genenvs-0.1.0/{folder}/__init__.py"), io.BytesIO())
    assert dist.sdist_problems(path) == ["tests is missing in genenvs-0.1.0.tar.gz"]


def test_the_name_taken_in_site_packages_is_genenvs_alone() -> None:
    assert PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["genenvs"]


def test_weights_are_not_lost_to_gitignore() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this machine has no git checkout of the repository")
    names = ["digits/unet/diffusion_pytorch_model.safetensors", "digits/bank-test.safetensors"]
    paths = [f"genenvs/generators/weights/{name}" for name in names]
    partial = "genenvs/generators/weights/digits/bank-test.parts/00000000.safetensors"
    ignored = subprocess.run(
        [git, "check-ignore", "--no-index", *paths, "runs/agent.safetensors", partial],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout.split() == ["runs/agent.safetensors", partial]


def test_all_holds_every_other_extra_but_those_with_a_job_of_their_own() -> None:
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.extras == set(EXTRAS) - {"all"} - APART
    assert set(APART) == set(load_dev().APART)


def test_versions_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None and newest[1] == PROJECT["version"]
    init = (ROOT / "genenvs" / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{PROJECT["version"]}"' in init


def test_the_workflow_runs_the_pythons_that_the_package_names() -> None:
    named = [c.split(" :: ")[-1] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    matrix = re.search(r"python: \[(.+)\]", workflow)
    assert matrix is not None
    assert json.loads(f"[{matrix[1]}]") == named == list(PYTHONS)


def imported(folder: str) -> dict[str, set[str]]:
    """Top-level module -> the files under `folder` that import it, wherever in the file."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                found.setdefault(name.split(".")[0], set()).add(str(path.relative_to(ROOT)))
    return found


def modules_of(texts: list[str]) -> set[str]:
    """The top-level modules that requirements bring, by what is installed here.

    One that is not, as of the extras apart, is taken to bring the module of its own name.
    """
    wanted = {canonicalize_name(requirement.name) for requirement in requirements(*texts)}
    brings = {
        module: wanted & {canonicalize_name(name) for name in names}
        for module, names in importlib.metadata.packages_distributions().items()
    }
    absent = wanted.difference(*brings.values())
    return {module for module in brings if brings[module]} | {n.replace("-", "_") for n in absent}


@pytest.mark.parametrize(
    ("folder", "texts"),
    [
        ("genenvs", [*PROJECT["dependencies"], "genenvs[all,rllib]"]),
        ("agents", [*PROJECT["dependencies"], *EXTRAS["agents"]]),
        (
            "benchmarks",
            [
                *PROJECT["dependencies"],
                *EXTRAS["agents"],
                *EXTRAS["benchmarks"],
                *EXTRAS["jumanji"],
            ],
        ),
        ("docs", [*PROJECT["dependencies"], "genenvs[torchrl,rllib]"]),
        ("tests", [*PROJECT["dependencies"], "genenvs[all,open3d,rllib,zoo]"]),
    ],
)
def test_whatever_is_imported_is_declared(folder: str, texts: list[str]) -> None:
    own = {"agents", "benchmarks", "docs", "genenvs", "tests"}
    foreign = set(imported(folder)) - set(sys.stdlib_module_names) - own
    undeclared = foreign - modules_of(texts)
    assert {name: imported(folder)[name] for name in undeclared} == {}


def test_every_extra_is_used() -> None:
    used = {
        name for folder in ("genenvs", "agents", "benchmarks", "tests") for name in imported(folder)
    }
    # pybullet's objects are a module of another name, which is not known where it is not installed.
    needed = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r'import_or_skip\(.+extra="(\w+)"', path.read_text(encoding="utf-8"))
    }
    for extra in set(EXTRAS) - {"all", "dev"} - needed:
        assert modules_of(EXTRAS[extra]) & used, f"nothing imports what the extra {extra} brings"
