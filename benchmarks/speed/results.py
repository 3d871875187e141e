"""The file of results: written after every cell, and taken up where a run broke off."""

import json
from pathlib import Path
from typing import Any

from genenvs.core.files import making

Cell = dict[str, Any]


class Results:
    """Cells (of an environment and a batch size) and parts, each with the run it is from.

    Attributes:
        path: of the JSON file.
        cells: what `cell.measure` gave, and `run`.
        parts: `of` (an id or a module of `families`), `rows`, and `run`.
        runs: command and machine of each run that something here is from.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            ValueError: the file holds something else.
        """
        self.path = path
        found: dict[str, Any] = {}
        if path.exists():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                found = {name: list(found[name]) for name in ("runs", "cells", "parts")}
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path} is no file of speed results: {error!r}") from error
        self.runs: list[dict[str, Any]] = found.get("runs", [])
        self.cells: list[Cell] = found.get("cells", [])
        self.parts: list[dict[str, Any]] = found.get("parts", [])
        self._run = len(self.runs)

    def begin(self, command: str, machine: dict[str, Any]) -> None:
        """What is put in from now on is of this run."""
        self._run = len(self.runs)
        self.runs.append({"command": command, "machine": machine})

    def cell(self, env: str, num_envs: int) -> Cell | None:
        """One of the cells."""
        known = [c for c in self.cells if (c["env"], c["num_envs"]) == (env, num_envs)]
        return known[0] if known else None

    def put(self, cell: Cell) -> None:
        """Put a cell in the place of the one of the same environment and size, and write."""
        key = (cell["env"], cell["num_envs"])
        self.cells = [c for c in self.cells if (c["env"], c["num_envs"]) != key]
        self.cells.append(cell | {"run": self._run})
        self.cells.sort(key=lambda c: (c["env"], c["num_envs"]))
        self.write()

    def drop_largest(self, env: str) -> None:
        """Forget the cell of the largest batch: it may be of another size this time."""
        self.cells = [c for c in self.cells if c["env"] != env or "bound" not in c]

    def put_parts(self, of: str, rows: list[dict[str, Any]]) -> None:
        """Put rows in the place of those of the same family, and write."""
        self.parts = [part for part in self.parts if part["of"] != of]
        if rows:
            self.parts.append({"of": of, "rows": rows, "run": self._run})
            self.parts.sort(key=lambda part: part["of"])
        self.write()

    def write(self) -> None:
        """Write what is known; runs of which nothing is left are forgotten."""
        used = sorted({entry["run"] for entry in (*self.cells, *self.parts)})
        place = {run: k for k, run in enumerate(used)}
        again = [{**entry, "run": place[entry["run"]]} for entry in (*self.cells, *self.parts)]
        content = {
            "runs": [self.runs[run] for run in used],
            "cells": again[: len(self.cells)],
            "parts": again[len(self.cells) :],
        }
        with making(self.path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
