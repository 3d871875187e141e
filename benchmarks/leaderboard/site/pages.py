"""From entries to a folder of pages: `build`."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import genenvs
from benchmarks.leaderboard.board import Entry, Problem
from benchmarks.leaderboard.site import films, plots
from benchmarks.leaderboard.site.rows import GRID, Gold, Row, Scale, rows, scale
from benchmarks.leaderboard.site.standings import THRESHOLDS, Suite, suites
from benchmarks.leaderboard.site.text import cpu_minutes, environment, stem
from benchmarks.leaderboard.statistics import Band
from benchmarks.leaderboard.submission import dump
from genenvs.core import registry
from genenvs.core.evaluate import Interval
from genenvs.core.files import making_folder

HERE = Path(__file__).parent
DOCS = Path(__file__).resolve().parents[3] / "docs" / "environments"
USUAL = "core"  # the suite that is shown first
INDEX = "board.json"  # a folder that holds one is a site
# What a site is made of; a folder with anything else is somebody's.
OWN = {INDEX, "index.html", "environments", "pictures", "films", "submissions", "static"}
THUMBNAIL, SHEET = (480, 300), 1200  # pixels: of a card, and the width of an environment's picture


@dataclass(frozen=True)
class Environment:
    """What the site says of an id beside its results; pictures are paths within the site."""

    id: str
    text: str
    source: str
    score: str
    scale: Scale | None
    thumbnail: str | None
    picture: str | None

    @property
    def name(self) -> str:
        """The id without its namespace, which for ours says nothing."""
        return self.id.removeprefix("genenvs/")

    @property
    def stem(self) -> str:
        """Of its files."""
        return stem(self.id)


@dataclass(frozen=True)
class Training:
    """The curves of a suite on an environment: their axis is the suite's budget."""

    suite: str
    plot: Any
    labels: list[str]


@dataclass(frozen=True)
class Board:
    """All that the pages show."""

    rows: list[Row]
    suites: list[Suite]
    envs: list[Environment]
    plots: dict[str, dict[str, Any]]
    pictures: dict[str, films.Drawn]
    refused: list[dict[str, str]]
    version: str = genenvs.__version__

    @property
    def labels(self) -> list[str]:
        """Every agent, those with most standings first: their places decide their colours."""
        ranked = [s.label for suite in self.suites for s in suite.standings]
        return list(dict.fromkeys([*ranked, *(row.label for row in self.rows)]))

    @property
    def label_options(self) -> list[tuple[str, str]]:
        """Of the filter."""
        return [(label, label) for label in sorted(self.labels, key=str.casefold)]

    @property
    def env_options(self) -> list[tuple[str, str]]:
        """Of the filter."""
        return [(env.id, env.name) for env in self.envs]

    @property
    def suite_options(self) -> list[tuple[str, str]]:
        """Of the filter."""
        return [(suite.name, suite.name) for suite in self.suites]

    @property
    def usual(self) -> str:
        """The suite that is shown first; none where there is no other."""
        names = [suite.name for suite in self.suites]
        if len(names) < 2:
            return ""
        return USUAL if USUAL in names else names[0]

    @property
    def states(self) -> Counter[str]:
        """How many submissions are verified, validated, reported."""
        return Counter(row.entry.state for row in self.rows)

    @property
    def run_count(self) -> int:
        """Runs that gave a score."""
        return sum(len(row.submission.runs) for row in self.rows)

    @property
    def failed(self) -> int:
        """Runs that gave none."""
        return sum(len(row.submission.failed) for row in self.rows)


def build(
    entries: Sequence[Entry],
    out: Path,
    problems: Sequence[Problem] = (),
    places: Sequence[Path] = (),
) -> None:
    """Write the site, whole or not at all; a site that stands there is replaced.

    Args:
        entries: what is on the board.
        out: its folder.
        problems: files that are not on the board, which lists them with their reasons.
        places: folders that all of it was found in: refused files are named from there.

    Raises:
        ValueError: two submissions have one name, there is none at all, not even one that is
            refused, or `out` holds other files.
        OSError: the folder cannot be written.
    """
    if not entries and not problems:
        raise ValueError("there is no submission: the board would be empty")
    if out.exists() and not (out / INDEX).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is no leaderboard (it holds no {INDEX}): it is not replaced")
    if out.is_dir() and (others := sorted({each.name for each in out.iterdir()} - OWN)):
        raise ValueError(f"{out} holds other files too ({others[0]}): it is not replaced")
    table = sorted(rows(entries), key=_order)
    found = suites(table)
    with making_folder(out) as folder:
        board = Board(
            rows=table,
            suites=found,
            envs=[_environment(env, folder) for env in dict.fromkeys(row.env for row in table)],
            plots={},
            pictures=films.publish(entries, folder),
            refused=[{"file": _named(each.path, places), "why": each.why} for each in problems],
        )
        kinds = {row.label: row.submission.agent.kind == "scripted" for row in table}
        colours = plots.numbers({label: kinds[label] for label in board.labels})
        for suite in found:
            board.plots[suite.name] = {
                "profiles": plots.profiles(suite, colours) if suite.standings else None,
                "efficiency": plots.efficiency(suite, colours),
            }
        _write_pages(board, colours, folder)
        _write_data(board, folder)
        shutil.copytree(HERE / "static", folder / "static")


def _named(path: Path, places: Sequence[Path]) -> str:
    """A file as a page names it: many agents have one of its name, each in a folder."""
    inside = [path.relative_to(place) for place in places if place in path.parents]
    return inside[0].as_posix() if inside else path.name


def _order(row: Row) -> tuple[Any, ...]:
    """Environments in the registry's order, in each the best agent first."""
    known = genenvs.ids()
    place = known.index(row.env) if row.env in known else len(known)
    mean = float(row.runs.mean()) if len(row.runs) else -np.inf
    return place, row.env, -mean, row.label, row.submission.name


def _write_pages(board: Board, places: dict[str, int], folder: Path) -> None:
    pages = environment()
    index = pages.get_template("index.html").render(board=board, places=places, root="")
    (folder / "index.html").write_text(index, encoding="utf-8")
    (folder / "environments").mkdir()
    template = pages.get_template("environment.html")
    for env in board.envs:
        own = [row for row in board.rows if row.env == env.id]
        page = template.render(
            board=board,
            env=env,
            rows=own,
            training=_training(env, own, places),
            several=len({row.submission.suite for row in own}) > 1,
            gallery=[row for row in own if row.submission.name in board.pictures],
            places=places,
            root="../",
        )
        (folder / "environments" / f"{env.stem}.html").write_text(page, encoding="utf-8")


def _training(env: Environment, rows: Sequence[Row], places: dict[str, int]) -> list[Training]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.current and len(row.curves):
            groups.setdefault(row.submission.suite, []).append(row)
    return [
        Training(
            suite,
            plots.learning(f"{env.stem}-{k}", own, places),
            list(dict.fromkeys(row.label for row in own)),
        )
        for k, (suite, own) in enumerate(groups.items())
    ]


def _environment(env_id: str, folder: Path) -> Environment:
    known = registry.declaration(env_id) if env_id in genenvs.ids() else None
    thumbnail = picture = None
    source = DOCS / f"{stem(env_id)}.png"
    if known is not None and source.is_file():
        (folder / "pictures").mkdir(exist_ok=True)
        thumbnail = f"pictures/{stem(env_id)}-small.webp"
        picture = f"pictures/{stem(env_id)}.webp"
        with Image.open(source) as sheet:
            whole = sheet.convert("RGB")
        whole.thumbnail((SHEET, 4 * SHEET))
        whole.save(folder / picture, quality=82)
        _corner(whole).save(folder / thumbnail, quality=80)
    return Environment(
        env_id,
        known.text if known else "An environment that this version of genenvs does not know.",
        known.source if known else "",
        known.score if known else "",
        scale(env_id),
        thumbnail,
        picture,
    )


def _corner(sheet: Image.Image) -> Image.Image:
    """The upper left of a contact sheet, as a card shows it."""
    width, height = THUMBNAIL
    factor = max(width / sheet.width, height / sheet.height, 0.75)
    size = round(sheet.width * factor), round(sheet.height * factor)
    return sheet.resize(size, Image.Resampling.LANCZOS).crop((0, 0, width, height))


def _write_data(board: Board, folder: Path) -> None:
    """Submissions as they were handed in, and the numbers that tables and plots make of them."""
    (folder / "submissions").mkdir()
    for row in board.rows:
        path = folder / "submissions" / f"{row.submission.name}.json"
        path.write_text(dump(row.submission), encoding="utf-8")
    table = {
        "version": board.version,
        "suites": [_suite_record(suite) for suite in board.suites],
        "results": [_row_record(row) for row in board.rows],
        "refused": board.refused,
    }
    text = json.dumps(table, indent=1, allow_nan=False)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")


def _suite_record(suite: Suite) -> dict[str, Any]:
    return {
        "name": suite.name,
        "environments": suite.envs,
        "agents": [
            {
                "agent": s.label,
                "environments": len(s.scores),
                "interquartile_mean": _record(s.iqm),
                "optimality_gap": _record(s.optimality_gap),
                "generalisation_gap": _record(s.generalisation),
                "reward_minus_gold": _record(s.gamed),
                "runs": s.run_count,
                "verified_runs": s.verified_run_count,
                "failed": s.failed,
                "performance_profile": _curve_record(THRESHOLDS, s.profile),
                "sample_efficiency": _curve_record(GRID, s.efficiency),
                "probability_of_improvement": {
                    label: _record(found) for label, found in s.improvement.items()
                },
            }
            for s in suite.standings
        ],
    }


def _row_record(row: Row) -> dict[str, Any]:
    return {
        "name": row.submission.name,
        "suite": row.submission.suite,
        "environment": row.env,
        "agent": row.label,
        "state": row.entry.state,
        "verified_seeds": row.entry.verified_seeds,
        "score": _record(row.score),
        "normalised": _record(row.normalised),
        "paid": _record(row.paid),
        "gold": _record(row.gold),
        "gold_metrics": {gold.name: _gold_record(gold) for gold in row.golds},
        "reward_minus_gold": _record(row.gamed),
        "generalisation_gap": _record(row.gap),
        "runs": len(row.submission.runs),
        "failed": len(row.submission.failed),
        "steps": None if row.submission.training is None else row.submission.training.steps,
        "cpu_minutes": cpu_minutes(row),
        "why_not_comparable": row.why,
        "in_aggregates": row.current and bool(len(row.runs)),
    }


def _gold_record(gold: Gold) -> dict[str, Any]:
    return {
        "value": _record(gold.value),
        "random": gold.random,
        "reference": gold.reference,
        "normalised": None if gold.normalised is None else float(gold.normalised.mean()),
    }


def _curve_record(points: np.ndarray, band: Band | None) -> dict[str, list[float | None]] | None:
    """A curve at the first points of its axis, as many as it has."""
    if band is None:
        return None
    axis = {"at": points[: len(band.value)]}
    lines = axis | vars(band)
    return {name: [_finite(v) for v in values.tolist()] for name, values in lines.items()}


def _record(found: Interval | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {name: _finite(value) for name, value in vars(found).items()}


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if value == value else None
