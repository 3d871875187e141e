"""Imports go down: a floor knows those below it and nothing of those above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.repository.project import ROOT

# From the ground up; folders that share a floor do not import each other.
FLOORS = (
    {"genenvs.core"},
    {"genenvs.images"},  # below the other fields, so that each can show what it makes
    {"genenvs.geometry", "genenvs.motion", "genenvs.simulators", "genenvs.video"},
    {"genenvs.editing", "genenvs.generators", "genenvs.rooms", "genenvs.shapes"},
    {"genenvs.tasks"},
    {"genenvs.cli", "genenvs.doctor", "genenvs.interop", "genenvs.testing", "genenvs.wrappers"},
    {"agents"},
    {"benchmarks"},
)
# The package's own front: it registers the ids, and whoever imports a floor has imported it.
FRONT = {"genenvs", "genenvs.__main__"}


def floor(folder: str) -> int:
    return next(number for number, folders in enumerate(FLOORS) if folder in folders)


def folder_of(module: str) -> str:
    """The folder of a module: genenvs.core.task -> genenvs.core, agents.ppo -> agents."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "genenvs" else parts[0]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def outside(node: ast.ImportFrom) -> bool:
    """Whether an import in `agents` leaves it."""
    return node.level == 0 and (node.module or "").partition(".")[0] != "agents"


def imports(tree: ast.AST, module: str) -> set[str]:
    """Modules of this repository that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # Others have packages called `agents` too: inside ours the name is not spelled out.
            assert (node.level >= 1) == (module.startswith("agents") and not outside(node)), (
                f"{module} imports {node.module} {'relatively' if node.level else 'by its name'}"
            )
            source = (
                node.module if node.level == 0 else ".".join(filter(None, ("agents", node.module)))
            )
            # `from genenvs.tasks import stencil` imports the folder; `from x import f` the module.
            found |= {f"{source}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in {"genenvs", "agents", "benchmarks"}}


def complaint(module: str, imported: str) -> str | None:
    """Why `module` may not import `imported`; None where it may."""
    here, there = folder_of(module), folder_of(imported)
    if here in FRONT or here == there or there not in set().union(*FLOORS):
        mine, other = module.split("."), imported.split(".")
        if here == there == "genenvs.tasks" and len(mine) > 2 and mine[2] not in other[2:3]:
            return f"{module} imports another task, {imported}"
        return None
    if floor(there) > floor(here):
        return f"{module} imports {imported} from a floor above"
    if floor(there) == floor(here) and there not in {"genenvs.doctor", "genenvs.testing"}:
        return f"{module} imports {imported} from beside it"
    return None


@pytest.mark.parametrize(
    ("module", "imported", "allowed"),
    [
        ("genenvs.generators.denoiser", "genenvs.core.random.normal", True),
        ("genenvs.core.env", "genenvs.core.vector.TaskVectorEnv", True),
        ("genenvs.core.env", "genenvs.tasks.denoise_schedule.task", False),
        ("genenvs.images.files", "genenvs.motion.clips", False),
        ("genenvs.motion.figure", "genenvs.images.solids", True),
        ("genenvs.motion.figure", "genenvs.geometry.meshes", False),
        ("genenvs.tasks.one.task", "genenvs.tasks.one.rewards", True),
        ("genenvs.tasks.one.task", "genenvs.tasks.two.rewards", False),
        ("genenvs.tasks", "genenvs.core.registry.declare", True),
        ("genenvs.cli.app", "genenvs.testing.check_task", True),
        ("genenvs.interop.sb3", "agents.ppo", False),
        ("agents.ppo", "benchmarks.demo", False),
        ("genenvs", "genenvs.core.registry.ids", True),
    ],
)
def test_what_counts_as_up(module: str, imported: str, allowed: bool) -> None:
    assert (complaint(module, imported) is None) == allowed


def test_imports_go_down() -> None:
    complaints = []
    for top in ("genenvs", "agents", "benchmarks"):
        for path in sorted((ROOT / top).rglob("*.py")):
            module = module_of(path)
            assert folder_of(module) in set().union(*FLOORS) | FRONT, f"{module} is on no floor"
            tree = ast.parse(path.read_text(encoding="utf-8"))
            complaints += [
                c for name in sorted(imports(tree, module)) if (c := complaint(module, name))
            ]
    assert complaints == []
