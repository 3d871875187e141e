"""Cuboids for every target of a split, as a file for `EdgeLoop(initial=...)`.

    python -m benchmarks.recipes.primitives --policy reference --targets chair --split test --out F

`--policy` is the reference or the folder of an agent that `python -m agents train` wrote.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.recipes.two_stage import FIRST, play
from genenvs.core.task import SPLITS
from genenvs.shapes.primitives import Primitives, write
from genenvs.shapes.targets import MIXTURE


def record(policy: str, targets: str, split: str, path: Path) -> Primitives:
    """Play PrimitiveModel once on every target, and write what was made."""
    found, task = play(FIRST, policy, targets, split)
    final: Any = found.final
    names = tuple(task.targets.name(k) for k in final.instance.tolist())
    # Of a path the name alone: where it lies is nobody's business.
    source = Path(targets).name if Path(targets).exists() else targets
    made = Primitives(final.cuboids, final.iou, final.instance, names, source, split)
    write(path, made)
    return made


def main() -> None:
    """Play, write, say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--policy", default="reference", help="reference, or a folder of an agent")
    parser.add_argument("--targets", default=MIXTURE)
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    made = record(given.policy, given.targets, given.split, given.out)
    left = made.present.sum(1).float().mean()
    print(f"{len(made)} shapes, IoU {made.iou.mean():.3f}, {left:.1f} cuboids each: {given.out}")


if __name__ == "__main__":
    main()
