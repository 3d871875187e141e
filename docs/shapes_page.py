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
