"""Measure families of rows and write their tables.

python -m benchmarks.speed [FAMILY ...] [--device cuda] [--threads 1] [--out benchmarks/results]

What was measured of other families before stays in the file.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.speed import agents, denoise, geometry, shapes
from benchmarks.speed.measure import machine
from genenvs.core.files import replacing

Rows = Callable[[str], Iterator[dict[str, Any]]]
FAMILIES: dict[str, Rows] = {
    "denoise": denoise.rows,
    "agents": agents.rows,
    "geometry": geometry.rows,
    **{name: shapes.family(name) for name in shapes.NAMES},
}


def main() -> None:
    """Parse, measure, print, write after each family."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("families", nargs="*", help=f"default: {' '.join(FAMILIES)}")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    arguments = parser.parse_args()
    if unknown := set(arguments.families) - set(FAMILIES):
        parser.error(f"no family {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"speed-{device.type}.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    for family in arguments.families or FAMILIES:
        table = Table("what", "envs", "median", "range", "target", title=f"{family}, {device.type}")
        found = []
        for row in FAMILIES[family](arguments.device):
            found.append(row)
            span = f"{row['low']:g} .. {row['high']:g}"
            table.add_row(
                row["what"], str(row["num_envs"]), f"{row['median']:g}", span, row["target"]
            )
            print(row, flush=True)
        Console(width=120).print(table)
        command = f"python -m benchmarks.speed {family} --device {device.type}"
        if arguments.threads is not None:
            command += f" --threads {arguments.threads}"
        content[family] = {"command": command, "machine": machine(device), "rows": found}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
