"""The page of the two-stage pipeline, from what its recipe wrote under `benchmarks/results/`."""

import json
from pathlib import Path
from typing import Any

from genenvs.cli.page import table

RESULT = Path(__file__).resolve().parents[1] / "benchmarks/results/two_stage.json"


def render() -> str:
    """The page as Markdown."""
    found = json.loads(RESULT.read_text())
    runs = found["runs"]
    first = runs[0]
    stages = [row for run in runs for row in _stages(run)]
    gold = [row for run in runs for row in _gold(run)]
    return "\n\n".join([
        "# From a shape to a clean mesh, in two stages",
        "![Targets, their cuboids, and the meshes](pictures/two_stage.png)",
        "Lin et al. (ECCV 2020) model a shape as a person would: "
        "[`PrimitiveModel`](environments/PrimitiveModel-v0.md) blocks it out with cuboids, "
        "[`EdgeLoop`](environments/EdgeLoop-v0.md) puts ten edge loops around the five largest "
        "(coloured; the grey ones stay as they are) and moves them until the solid follows the "
        "shape. A file of primitives hands one stage's result to the next.",
        f"```bash\n{found['command']}\n```",
        "plays both stages over a whole split with each environment's reference; "
        "`--primitives RUN` and `--loops RUN` put a trained agent in its place, and `--targets` "
        "takes your own meshes (`--up y` for those that stand along y). Bunny and duck are "
        "pybullet's, read where that is installed. It writes the primitives, the closed union of "
        "each mesh as glb, "
        "its quads between loops as obj, and the picture above.",
        "The file of primitives works by itself, too: "
        f"`gym.make(\"genenvs/EdgeLoop-v0\", targets=\"{first['targets']}\", "
        f"split=\"{first['split']}\", initial=\"runs/two_stage/primitives.safetensors\")`. "
        "`genenvs.shapes.primitives.write` makes one of anybody's cuboids, on a grid of 16^3; it "
        "holds every target of the split, and zeros for those that are to be fitted.",
        table(("targets", "shapes", "stage", "mean IoU"), stages),
        table(("targets", "gold metric of the mesh", "mean"), gold),
        "In brackets 95 % intervals over the shapes. The first stage is scored, and paid, on a "
        "grid of 16^3, on which a fit looks better than it is: the second line is the same "
        "cuboids on the grid of 64^3 that the second stage is paid on. Chamfer and Hausdorff "
        "distances are in diameters of the target.",
    ]) + "\n"  # fmt: skip


def _stages(run: dict[str, Any]) -> list[tuple[str, ...]]:
    about = (f"`{run['targets']}`, {run['split']}", str(run["shapes"]))
    return [(*about, name, _interval(value)) for name, value in run["stages"].items()]


def _gold(run: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(f"`{run['targets']}`", f"`{n}`", _interval(v)) for n, v in run["gold"].items()]


def _interval(found: dict[str, float]) -> str:
    if found["count"] == 1:
        return f"{found['mean']:.3f}"
    return f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
