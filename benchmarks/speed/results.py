"""The file of results: written after every cell, and taken up where a run broke off."""

import json
from pathlib import Path
from typing import Any

from genenvs.core.files import making

Cell = dict[str, Any]

METHOD = 2  # goes up where what is measured changes: older figures are not taken for the same
ALIKE = ("method", "processor", "threads", "accelerator")  # of runs in one file


class Results:
    """Cells (of an environment and a batch size) and parts, each with the run it is from.

    Attributes:
        path: of the JSON file.
        cells: what `cell.measure` gave, of one run or of several: each of the `rates` says with
            `run` and `repeats` which it is from, the cell itself the last one.
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
                for cell in found["cells"]:
                    cell["rates"] = _of_run(cell, cell["run"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path} is no file of speed results: {error!r}") from error
        self.runs: list[dict[str, Any]] = found.get("runs", [])
        self.cells: list[Cell] = found.get("cells", [])
        self.parts: list[dict[str, Any]] = found.get("parts", [])
        self._run = len(self.runs)

    def begin(self, command: str, machine: dict[str, Any], anew: bool = False) -> None:
        """What is put in from now on is of this run.

        Args:
            command: that was given.
            machine: as `machine.describe` says it.
            anew: forget what is there.

        Raises:
            ValueError: what is there was measured otherwise, or on another machine.
        """
        if anew:
            self.runs, self.cells, self.parts = [], [], []
        machine = machine | {"method": METHOD}
        for run in self.runs:
            there = run["machine"]
            other = [what for what in ALIKE if there.get(what) != machine.get(what)]
            if other:
                words = (f"{what} {there.get(what)}, now {machine.get(what)}" for what in other)
                raise ValueError(
                    f"new figures cannot stand beside those of {self.path}: {'; '.join(words)}. "
                    "--out FOLDER keeps both apart, --anew forgets the old ones."
                )
        self._run = len(self.runs)
        self.runs.append({"command": command, "machine": machine})

    def cell(self, env: str, num_envs: int) -> Cell | None:
        """One of the cells."""
        known = [c for c in self.cells if (c["env"], c["num_envs"]) == (env, num_envs)]
        return known[0] if known else None

    def put(self, cell: Cell) -> None:
        """Put what a cell has into the one of the same environment and size, and write.

        Levels that were not measured this time stay there, with the run that they are from.
        """
        known = self.cell(cell["env"], cell["num_envs"])
        self.cells = [c for c in self.cells if c is not known]
        now = cell | {"rates": _of_run(cell, self._run), "run": self._run}
        self.cells.append(_merged(known or {}, now))
        self.cells.sort(key=lambda c: (c["env"], c["num_envs"]))
        self.write()

    def bound(self, env: str, num_envs: int, bound: str) -> None:
        """Say that this cell is of the largest batch, and what no larger one fits into, and write.

        Those that were only measured to find it (`sought`) are forgotten.
        """
        for cell in [c for c in self.cells if c["env"] == env]:
            cell.pop("bound", None)
            if cell["num_envs"] == num_envs:
                cell["bound"] = bound
            elif "sought" in cell:
                self.cells.remove(cell)
        self.write()

    def put_parts(self, of: str, rows: list[dict[str, Any]]) -> None:
        """Put rows in the place of those of the same family, and write."""
        self.parts = [part for part in self.parts if part["of"] != of]
        if rows:
            self.parts.append({"of": of, "rows": rows, "run": self._run})
            self.parts.sort(key=lambda part: part["of"])
        self.write()

    def write(self) -> None:
        """Write what is known; runs of which nothing is left are forgotten."""
        rates = [rate for cell in self.cells for rate in cell["rates"].values()]
        used = sorted({entry["run"] for entry in (*self.cells, *rates, *self.parts)})
        place = {run: k for k, run in enumerate(used)}

        def placed(entry: dict[str, Any]) -> dict[str, Any]:
            return entry | {"run": place[entry["run"]]}

        content = {
            "runs": [self.runs[run] for run in used],
            "cells": [
                placed(cell) | {"rates": {k: placed(rate) for k, rate in cell["rates"].items()}}
                for cell in self.cells
            ],
            "parts": [placed(part) for part in self.parts],
        }
        with making(self.path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _of_run(cell: Cell, run: int) -> dict[str, Any]:
    """The rates of a cell, each with the run that it is from and its repeats, where not known."""
    facts = {"run": run} | ({"repeats": cell["repeats"]} if "repeats" in cell else {})
    return {level: facts | rate for level, rate in cell["rates"].items()}


def _merged(old: Cell, new: Cell) -> Cell:
    """Both, the new one where both say something; what is measured is not left out."""
    # Where nothing was measured this time, memory and the like are still those of the old cell.
    whole = new | old if old.get("rates") and not new["rates"] else old | new
    for name in ("rates", "over", "left"):
        whole[name] = old.get(name, {}) | new.get(name, {})
    if "sought" not in new:
        whole.pop("sought", None)
    if whole["rates"]:
        gone = {*whole["rates"], "all"}
        whole["left"] = {name: why for name, why in whole["left"].items() if name not in gone}
    return whole
