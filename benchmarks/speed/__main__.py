"""Measure every row and write the table.

python -m benchmarks.speed [--device cuda] [--threads 1] [--out benchmarks/results]
"""

import argparse
import json
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.speed import agents, denoise
from benchmarks.speed.measure import machine
from genenvs.core.files import replacing


def main() -> None:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    table = Table("what", "envs", "median", "range", "target", title=f"speed on {device.type}")
    found = []
    training = agents.rows() if device.type == "cpu" else ()
    for row in chain(denoise.rows(arguments.device), training):
        found.append(row)
        span = f"{row['low']:g} .. {row['high']:g}"
        table.add_row(row["what"], str(row["num_envs"]), f"{row['median']:g}", span, row["target"])
        print(row, flush=True)
    Console(width=120).print(table)
    arguments.out.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks.speed --device {device.type}"
    if arguments.threads is not None:
        command += f" --threads {arguments.threads}"
    content: dict[str, Any] = {"command": command}
    content |= {"machine": machine(device), "rows": found}
    with replacing(arguments.out / f"speed-{device.type}.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
