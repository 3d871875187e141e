"""Shipped weights: where a manifest beside them says their SHA-256, and loading checks it."""

import json
from pathlib import Path

from genenvs.core.files import making, sha256

MANIFEST = "manifest.json"


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    with making(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_manifest(root: Path) -> dict[str, dict]:
    """Return the manifest: path relative to `root` -> {"sha256": str, "bytes": int}."""
    path = root / MANIFEST
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def seal(paths: list[Path], root: Path) -> None:
    """Enter files under `root` into its manifest, replacing what it said about them."""
    manifest = read_manifest(root)
    for path in paths:
        name = path.relative_to(root).as_posix()
        manifest[name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    write_json(root / MANIFEST, dict(sorted(manifest.items())))


def verify(paths: list[Path], root: Path) -> None:
    """Check files under `root` against its manifest.

    Raises:
        ValueError: a file is missing, is not in the manifest, or has another SHA-256; the message
            names the file, what was expected and what was found.
    """
    manifest = read_manifest(root)
    for path in paths:
        name = path.relative_to(root).as_posix()
        if name not in manifest:
            raise ValueError(f"{name} is not listed in {root / MANIFEST}; reinstall genenvs")
        if not path.exists():
            raise ValueError(f"shipped file {path} is missing; reinstall genenvs")
        expected, size = manifest[name]["sha256"], manifest[name]["bytes"]
        found = sha256(path)
        if found != expected:
            raise ValueError(
                f"{path} is not the file that was shipped: expected SHA-256 {expected} "
                f"({size} bytes), got {found} ({path.stat().st_size} bytes); reinstall genenvs"
            )
