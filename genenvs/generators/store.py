"""Where the weights of shipped generators lie; how they are sealed is `genenvs.core.manifest`'s."""

from pathlib import Path

from genenvs.core.manifest import MANIFEST, read_manifest, seal, verify, write_json

WEIGHTS = Path(__file__).parent / "weights"

__all__ = ["MANIFEST", "WEIGHTS", "read_manifest", "seal", "verify", "write_json"]
