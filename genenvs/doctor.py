"""What belongs into a bug report: platform, versions, devices, extras, weights, cache.

Nothing here assumes that what it looks for works; only the standard library is imported.
"""

import importlib
import importlib.machinery
import importlib.metadata as metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = "genenvs"


@dataclass(frozen=True)
class Line:
    """One finding; `ill` where it keeps what is required from working."""

    name: str
    text: str
    ill: bool = False


def examine() -> dict[str, list[Line]]:
    """Look at everything; a part that cannot be looked at says why.

    Returns:
        The findings of each section.
    """
    parts: dict[str, Callable[[], list[Line]]] = {
        "system": system,
        "required": lambda: requirements(""),
        "devices": devices,
        "extras": extras,
        "agents": agents,
        "weights": weights,
        "cache": cache,
    }
    return {name: _look(name, part) for name, part in parts.items()}


def text(sections: dict[str, list[Line]]) -> str:
    """The findings as plain text."""
    width = max(len(line.name) for lines in sections.values() for line in lines)
    blocks = []
    for title, lines in sections.items():
        marks = [
            f"  {'!' if line.ill else ' '} {line.name:<{width}}  {line.text}" for line in lines
        ]
        blocks.append("\n".join([title, *(mark.rstrip() for mark in marks)]))
    return "\n\n".join(blocks)


def system() -> list[Line]:
    """The package, Python and the machine."""
    import genenvs

    installed = _version(PACKAGE)
    note = "" if installed == genenvs.__version__ else f", installed: {installed or 'not'}"
    return [
        Line(PACKAGE, f"{genenvs.__version__} in {Path(genenvs.__file__).parent}{note}"),
        Line("python", f"{platform.python_version()} {sys.executable}"),
        Line("platform", f"{platform.platform()} {platform.machine()}"),
    ]


def devices() -> list[Line]:
    """Where torch can compute."""
    import torch

    lines = [Line("cpu", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            known = torch.cuda.get_device_properties(index)
            lines.append(
                Line(f"cuda:{index}", f"{known.name}, {known.total_memory / 2**30:.0f} GiB")
            )
    else:
        built = torch.version.cuda
        why = f"built for CUDA {built}, no usable device" if built else "torch built without CUDA"
        lines.append(Line("cuda", f"none ({why})"))
    if torch.backends.mps.is_available():
        lines.append(Line("mps", "available"))
    return lines


def extras() -> list[Line]:
    """Every extra: the versions that it brought, or what it lacks and why."""
    try:
        names = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return [Line("extras", "unknown: the package is not installed, so it declares none")]
    lines = []
    for name in sorted(names):
        parts = requirements(name)
        lacks = [part for part in parts if part.ill]
        shown = ", ".join(f"{part.name} {part.text}".rstrip() for part in lacks or parts)
        lines.append(Line(name, f"lacks {shown}" if lacks else shown))
    return lines


def agents() -> list[Line]:
    """What `python -m agents` runs from here: ours, of a checkout, or a package of that name."""
    return [Line("python -m agents", says_agents())]


def says_agents() -> str:
    """In one sentence; other packages are called `agents` too (openai-agents, for one)."""
    checkout = Path(__file__).resolve().parents[1]
    ours = checkout / "agents" / "__main__.py"
    # `python -m` looks into the folder it is called from before all others.
    found = importlib.machinery.PathFinder.find_spec("agents", [os.getcwd(), *sys.path])
    where = None if found is None or found.origin is None else Path(found.origin).resolve()
    if where is not None and (where.parent / "grpo.py").exists():
        return f"genenvs' reference agents, in {where.parent}"
    go = f"`cd {checkout}` first" if ours.exists() else "they run from a checkout (docs/install.md)"
    if where is None:
        return f"nothing of that name here: {go}"
    names = metadata.packages_distributions().get("agents", ["somebody"])
    return f"another package, {' and '.join(names)} in {where.parent}, not genenvs' agents: {go}"


def requirements(extra: str) -> list[Line]:
    """What the package requires for an extra, or always (""): version, or what is wrong with it."""
    from packaging.requirements import Requirement

    lines = []
    for requirement in map(Requirement, metadata.requires(PACKAGE) or []):
        marker = requirement.marker
        mine = marker is not None and f'extra == "{extra}"' in str(marker)
        if mine != bool(extra) or (not extra and marker is not None and "extra ==" in str(marker)):
            continue
        if requirement.name == PACKAGE:  # an extra made of others
            for inner in sorted(requirement.extras):
                lines.append(Line(inner, "", any(part.ill for part in requirements(inner))))
        elif marker is not None and not marker.evaluate({"extra": extra}):
            lines.append(Line(requirement.name, "(not for this platform)"))
        else:
            lines.append(_installed(requirement))
    return lines


def weights(root: Path | None = None) -> list[Line]:
    """Every shipped file (default: under the package's own weights) against the manifest."""
    from genenvs.generators import store

    root = root or store.WEIGHTS
    manifest = store.read_manifest(root)
    if not manifest:
        return [Line("manifest", f"none at {root / store.MANIFEST}", ill=True)]
    lines = []
    for name, entry in manifest.items():
        try:
            store.verify([root / name], root)
            size, digest = entry["bytes"], entry["sha256"][:16]
            lines.append(Line(name, f"as shipped: sha256 {digest}, {size} bytes"))
        except (OSError, ValueError) as error:
            lines.append(Line(name, str(error), ill=True))
    return lines


def cache() -> list[Line]:
    """Where what is built or downloaded is kept."""
    from genenvs.core.files import cache_folder

    folder = cache_folder()
    if not folder.exists():
        return [Line("folder", f"{folder} (does not exist yet)")]
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 2**20
    try:
        with tempfile.TemporaryFile(dir=folder):
            state = "writable"
    except OSError as error:
        state = f"not writable: {error.strerror}"
    return [Line("folder", f"{folder} ({len(files)} files, {size:.1f} MiB, {state})")]


def _look(name: str, part: Callable[[], list[Line]]) -> list[Line]:
    try:
        return part()
    except Exception as error:  # a broken library can raise anything when it is imported
        return [Line(name, _why(error), ill=True)]


def _installed(requirement: Any) -> Line:
    """Whether a requirement is met: the distribution, its version, and that its modules load."""
    version = _version(requirement.name)
    if version is None:
        return Line(requirement.name, "(not installed)", ill=True)
    if not requirement.specifier.contains(version, prereleases=True):
        return Line(requirement.name, f"{version} (needs {requirement.specifier})", ill=True)
    for module in _modules(requirement.name):
        try:
            importlib.import_module(module)
        except Exception as error:
            return Line(
                requirement.name, f"{version} (cannot be imported: {_why(error)})", ill=True
            )
    return Line(requirement.name, version)


def _modules(name: str) -> list[str]:
    """The top-level modules of a distribution that a user would import."""
    files = metadata.files(name) or []
    tops = {f.parts[0] for f in files if len(f.parts) == 2 and f.parts[1] == "__init__.py"}
    tops |= {f.parts[0][:-3] for f in files if len(f.parts) == 1 and f.suffix == ".py"}
    return sorted(top for top in tops if top.isidentifier() and not top.startswith("_"))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: " + " ".join(str(error).split())
