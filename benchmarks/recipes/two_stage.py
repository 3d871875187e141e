"""From a shape to a clean mesh in two stages: cuboids first, then edge loops on them.

    python -m benchmarks.recipes.two_stage --targets chair --split test [--up y]
        [--primitives RUN] [--loops RUN] [--out runs/two_stage] [--record]

The pipeline of Lin et al., "Modeling 3D Shapes by Reinforcement Learning", ECCV 2020. Each stage is
played by its environment's reference, or by an agent from the folder of a run of `python -m agents
train`. Writes `primitives.safetensors`, a glb and an obj of quads of every shape that is shown,
`sheet.png` (target, cuboids, mesh) and `report.json`; `--record` keeps report and picture for
docs/two_stage.md. Where pybullet's objects are installed, its bunny and duck are modelled, too.
"""

import argparse
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from PIL import Image

import genenvs
from genenvs.core.evaluate import Evaluation
from genenvs.core.files import replacing
from genenvs.images.sheets import sheet
from genenvs.shapes import primitives
from genenvs.shapes.primitives import Primitives
from genenvs.tasks.edge_loop import meshes

FIRST, SECOND = "genenvs/PrimitiveModel-v0", "genenvs/EdgeLoop-v0"
RESULT = Path("benchmarks/results/two_stage.json")
PICTURE = Path("docs/pictures/two_stage.png")
# Of pybullet's; read where they are installed, never copied. Both stand along y.
OBJECTS = ("bunny.obj", "duck.obj")
GOLD = ("chamfer", "hausdorff", "components", "overlap", "self_intersections")
ROWS = 128


def play(
    env: str, player: str, targets: str, split: str, **arguments: Any
) -> tuple[Evaluation, Any]:
    """Every target of the split once, and the task."""
    envs: Any = gym.make_vec(
        env, num_envs=ROWS, targets=targets, split=split, keep_final=True,
        autoreset_mode=AutoresetMode.SAME_STEP, **arguments,
    )  # fmt: skip
    task = envs.unwrapped.task
    found = genenvs.evaluate(
        envs, _policy(player), episodes=len(task.targets), keep_final=True, progress=False
    )
    return found, task


def _policy(player: str) -> Any:
    if player == "reference":
        return player
    import agents
    from agents.evaluation import Policy

    return Policy(agents.load(player).agent)


def model(
    targets: str, split: str, up: str, first: str, second: str, folder: Path
) -> tuple[dict[str, Any], Evaluation, Any]:
    """Both stages: the report, and what the second left."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "primitives.safetensors"
    found, task = play(FIRST, first, targets, split, up=up)
    final: Any = found.final
    names = tuple(task.targets.name(k) for k in final.instance.tolist())
    # Quoted by the file as it was given: of a path the name alone.
    source = Path(targets).name if Path(targets).exists() else targets
    primitives.write(
        path, Primitives(final.cuboids, final.iou, final.instance, names, source, split)
    )
    looped, task = play(SECOND, second, targets, split, up=up, initial=str(path))
    last: Any = looped.final
    report = {
        "targets": source,
        "split": split,
        "shapes": len(names),
        "players": [first, second],
        "stages": {
            "cuboids, at 16^3": vars(found.interval("iou")),
            "cuboids, at 64^3": _interval(last.initial),
            "edge loops, at 64^3": vars(looped.interval("iou")),
        },
        "cuboids": _interval((final.cuboids != 0).any(-1).sum(1)),
        "gold": {name: vars(looped.interval(name)) for name in GOLD},
    }
    return report, looped, task


def _interval(values: torch.Tensor) -> dict[str, float]:
    from genenvs.core.evaluate import mean_interval

    return vars(mean_interval(values.double().numpy()))


def export(looped: Evaluation, task: Any, folder: Path, shown: int) -> np.ndarray:
    """Meshes of the shapes that lie evenly among all, and a sheet of them."""
    state: Any = looped.final
    picks = np.linspace(0, len(state.step) - 1, min(shown, len(state.step))).round().astype(int)
    order = np.argsort(state.instance.numpy(), kind="stable")
    lines = []
    for row in order[picks].tolist():
        name = (
            f"{Path(task.targets.name(int(state.instance[row]))).stem}-{int(state.instance[row])}"
        )
        task.artefact(state, row).export(folder / f"{name}.glb")
        (folder / f"{name}-quads.obj").write_text(meshes.obj(task.surfaces(state, row)))
        lines.append(task.render(state, row))
    pairs = [lines[k : k + 2] for k in range(0, len(lines), 2)]
    wide = max(sum(x.shape[1] for x in pair) for pair in pairs)
    return np.concatenate([_widened(sheet([("", x) for x in pair]), wide + 30) for pair in pairs])


def _widened(image: np.ndarray, width: int) -> np.ndarray:
    room = max(width - image.shape[1], 0)
    return np.pad(image, ((0, 0), (0, room), (0, 0)), mode="edge")[:, :width]


def objects() -> list[Path]:
    """Pybullet's meshes, where it is installed."""
    if importlib.util.find_spec("pybullet_data") is None:
        return []
    folder = Path(importlib.import_module("pybullet_data").getDataPath())
    return [folder / name for name in OBJECTS if (folder / name).exists()]


def main() -> None:
    """Model, export, draw, report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--targets", default="chair", help="a family, or the path of meshes")
    parser.add_argument("--split", default="test")
    parser.add_argument("--up", default="z", help="the axis of meshes that points upwards, y or z")
    parser.add_argument("--primitives", default="reference", metavar="RUN")
    parser.add_argument("--loops", default="reference", metavar="RUN")
    parser.add_argument("--out", type=Path, default=Path("runs/two_stage"))
    parser.add_argument("--shown", type=int, default=6, help="shapes that are drawn and exported")
    parser.add_argument("--record", action="store_true", help="keep the results for the page")
    given = parser.parse_args()
    command = f"python -m benchmarks.recipes.two_stage --targets {given.targets}"
    command += f" --split {given.split}" + (f" --up {given.up}" if given.up != "z" else "")
    reports, sheets = [], []
    for targets in [given.targets, *map(str, objects())]:
        folder = given.out if targets == given.targets else given.out / Path(targets).stem
        up = given.up if targets == given.targets else "y"
        report, looped, task = model(
            targets, given.split, up, given.primitives, given.loops, folder
        )
        sheets.append(export(looped, task, folder, given.shown))
        reports.append(report)
        for name, stage in report["stages"].items():
            print(f"{report['targets']}, {name}: IoU {stage['mean']:.3f}")
    wide = max(image.shape[1] for image in sheets)
    page = np.concatenate([_widened(image, wide) for image in sheets])
    with replacing(given.out / "sheet.png") as temporary:
        Image.fromarray(page).quantize(128).save(temporary, format="PNG", optimize=True)
    with replacing(given.out / "report.json") as temporary:
        temporary.write_text(json.dumps({"command": command, "runs": reports}, indent=1) + "\n")
    if given.record:
        shutil.copyfile(given.out / "sheet.png", PICTURE)
        shutil.copyfile(given.out / "report.json", RESULT)


if __name__ == "__main__":
    main()
