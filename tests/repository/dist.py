"""What sdist and wheel must hold: `python -m tests.repository.dist FOLDER` after a build."""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

PACKAGE = "genenvs"
WEIGHTS = ("genenvs/generators/weights", "genenvs/motion/weights")
LARGEST_WHEEL = 40_000_000  # bytes
WEIGHTS_SUFFIX = ".safetensors"
ROOT = Path(__file__).resolve().parents[2]
CHECKOUT_ONLY = {"agents", "benchmarks", "docs", "tests"}  # as far as the checkout has them


def wheel_problems(wheel: Path) -> list[str]:
    """Everything that is wrong with a wheel, in sentences."""
    problems = []
    size = wheel.stat().st_size
    if size > LARGEST_WHEEL:
        problems.append(f"{wheel.name} has {size:,} bytes; at most {LARGEST_WHEEL:,} are allowed")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        top = {PurePosixPath(name).parts[0] for name in names}
        metadata = {name for name in top if name.endswith(".dist-info")}
        if top - metadata != {PACKAGE} or len(metadata) != 1:
            problems.append(f"top level is {sorted(top)}; only {PACKAGE} and its metadata may be")
        if f"{PACKAGE}/py.typed" not in names:
            problems.append("py.typed is missing: type checkers would ignore the package")
        if not any(name.endswith("/licenses/LICENSE") for name in names):
            problems.append("LICENSE is missing")
        for folder in WEIGHTS:
            problems += weight_problems(archive, names, folder)
    return problems


def weight_problems(archive: zipfile.ZipFile, names: set[str], folder: str) -> list[str]:
    """How the weights of a folder in the wheel differ from what its manifest promises."""
    if f"{folder}/manifest.json" not in names:
        return [f"{folder}/manifest.json is missing"]
    manifest = json.loads(archive.read(f"{folder}/manifest.json"))
    problems = []
    for name, promised in manifest.items():
        if f"{folder}/{name}" not in names:
            problems.append(f"{folder}/{name} is in the manifest but not in the wheel")
        elif hashlib.sha256(archive.read(f"{folder}/{name}")).hexdigest() != promised["sha256"]:
            problems.append(f"{folder}/{name} is not the file whose SHA-256 the manifest gives")
    if not any(name.endswith(WEIGHTS_SUFFIX) for name in manifest):
        problems.append(f"{folder}/manifest.json names no weights")
    present = {
        str(PurePosixPath(name).relative_to(folder))
        for name in names
        if name.startswith(f"{folder}/") and name.endswith(WEIGHTS_SUFFIX)
    }
    problems += [
        f"{folder}/{name} is in the wheel but not in the manifest"
        for name in present - set(manifest)
    ]
    return problems


def sdist_problems(sdist: Path) -> list[str]:
    """Folders that a source distribution lacks: who gets it must be able to run the tests."""
    with tarfile.open(sdist) as archive:
        second = {PurePosixPath(name).parts[1] for name in archive.getnames() if "/" in name}
    wanted = {name for name in CHECKOUT_ONLY if (ROOT / name).is_dir()}
    return [f"{name} is missing in {sdist.name}" for name in sorted(wanted - second)]


def main(folder: Path) -> int:
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    problems = wheel_problems(wheel) + sdist_problems(sdist)
    for problem in problems:
        print(f"{wheel.name}: {problem}", file=sys.stderr)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
