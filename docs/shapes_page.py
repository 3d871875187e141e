"""The page of targets, from the families' docstrings, and its picture."""

import inspect
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from genenvs.cli.page import table
from genenvs.core.files import replacing
from genenvs.geometry import lofts
from genenvs.images.sheets import sheet
from genenvs.images.solids import Solid, cubes, picture
from genenvs.shapes.families import FAMILIES
from genenvs.shapes.targets import EACH, load

PICTURE = Path("docs/pictures/families.png")
_CLAY, _BLUE = (226, 150, 90), (120, 165, 205)

USERS = """## Your own meshes

```python
gym.make("genenvs/VoxelStroke-v0", targets="path/to/folder")  # or one obj, ply, stl or glb file
```

A folder's meshes (with `pip install "genenvs[shapes]"`) are welded, small holes are closed, copies
dropped; each is scaled to the grid, set on its floor and turned into voxels, solid where a voxel's
centre is inside. The voxels are kept in the cache folder under the file's content
(`GENENVS_CACHE`, see [install](install.md)), so a second start is quick. What was mended, and every
file that could not be used with the reason, is listed in `env.unwrapped.task.targets.notes`; an
error is raised only where no file can be used, or the one that you named. Meshes are partitioned by
content: `split="test"` holds shapes that `train` does not, however files are named, once there are
three; of fewer every split holds all. Scores of the registry are those of the registered `targets`
and say nothing about others.
"""

EXPORTS = """## What was built, as files

```python
env = gym.make("genenvs/BrickBuild-v0", targets="chair")
env.reset(seed=0)
...  # play
made = env.unwrapped.artefact()  # what stands there now
made.export("chair.glb")  # or obj, ply, stl
task, state = env.unwrapped.task, env.unwrapped.batch.state
task.write_ldraw("chair.ldr", state, 0)  # BrickBuild alone; row 0 of the batch
```

| environment | `artefact()`, of trimesh |
| --- | --- |
| `VoxelStroke`, `VoxelStroke26` | a scene: the cells of the stroke, and a tube along it |
| `BrickBuild` | a scene: the bricks with their studs, in metres |
| `PrimitiveModel`, `PrimitiveModelDepth` | a scene: a box for each cuboid, in the unit cube |
| `EdgeLoop` | one closed mesh, the union of all cuboids, in the unit cube |

`write_ldraw` writes parts and colours of the LDraw library, layer by layer, which brick viewers and
editors read; LeoCAD 21.06 opened one. `EdgeLoop` has its quads, not joined, as
`task.surfaces(state, 0)`, and `genenvs.tasks.edge_loop.meshes.obj` makes the text of an obj file of
these. Artefacts need `pip install "genenvs[shapes]"`, an LDraw file does not.
"""


def render() -> str:
    """The page as Markdown."""
    rows = [(f"`{n}`", inspect.getdoc(f) or "") for n, f in FAMILIES.items()]
    rows = [(name, " ".join(text.split())) for name, text in rows]
    counts = ", ".join(f"{count} for `{split}`" for split, count in EACH.items())
    return "\n\n".join([
        "# Targets of the environments that build shapes",
        "![Every family as lofts and as voxels](pictures/families.png)",
        "`targets=` names a family, `mixed` (all of them but the one that is held out, `corridor`) "
        "or the path of meshes. A family is a part grammar whose parts are lofts: solids between "
        "two rectangles that face each other. Half of its shapes are symmetric.",
        table(("family", "what it is"), rows),
        f"A family has {counts}. A shape's split follows from its voxels, so that no split holds "
        "a shape of another one; a target is the same shape in every environment, whatever the "
        "grid.",
        USERS,
        EXPORTS,
        "[Two stages](two_stage.md) lead from a shape to a clean mesh of it.",
    ])  # fmt: skip


def draw(root: Path) -> None:
    """Three shapes of every family, as lofts and as voxels of 16^3."""
    lines = []
    for name in FAMILIES:
        found, panels = load(name, "test", 16), []
        assert found.parts is not None
        for row in (0, 1, 2):
            index = torch.tensor([row])
            vertices, faces = lofts.mesh(found.parts.rows(index[0]))
            grid = found.voxels(index)[0].numpy()
            panels += [
                (name if row == 0 else "", picture([Solid(vertices[faces].numpy(), _CLAY)], 150)),
                ("", picture([cubes(grid, _BLUE)], 150, high=grid.shape)),
            ]
        lines.append(sheet(panels))
    with replacing(root / PICTURE) as temporary:
        page = Image.fromarray(np.concatenate(lines))
        page.quantize(128).save(temporary, format="PNG", optimize=True)
