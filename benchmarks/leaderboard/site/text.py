"""How values and strings of submissions stand on a page."""

import json
import math
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.leaderboard.site.plots import colour, dash
from genenvs.cli.page import number

TEMPLATES = Path(__file__).parent / "templates"
LEFT, WIDTH = 0.2, 0.6  # of a bar: where random stands, and how far it is to the reference


def environment() -> Any:
    """The template engine; it escapes every value, and refuses names that do not exist."""
    import jinja2

    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "colour": colour,
        "commits": commits,
        "count": "{:,}".format,
        "cpu_minutes": cpu_minutes,
        "dash": dash,
        "fixed": fixed,
        "minutes": _minutes,
        "number": lambda x: number(x).replace("-", "−"),
        "place": place,
        "settings": lambda x: json.dumps(x, indent=1, ensure_ascii=False),
        "short": lambda env: env.removeprefix("genenvs/"),
        "shown": shown,
        "stem": stem,
    }
    pages.filters.update(filters)
    return pages


def shown(text: str) -> str:
    """A string of somebody else's, with what cannot be seen made visible.

    Marks that turn the direction of writing could make a command read otherwise than it runs.
    Escaping markup is the template engine's part.
    """
    return "".join(
        f"⟨U+{ord(sign):04X}⟩" if unicodedata.category(sign) in ("Cf", "Co", "Cs") else sign
        for sign in text
    )


def commits(text: str) -> str:
    """Commits as short as `collect` writes several of them; a `+` stays."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28}\b", r"\1", text)


def stem(env_id: str) -> str:
    """The name of an id's files, as in docs/environments; those of two namespaces differ."""
    return env_id.removeprefix("genenvs/").replace("/", "-")


def fixed(value: float, digits: int = 2) -> str:
    """With so many decimals and a true minus sign; no -0.00. Huge ones in powers of ten."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1e5:
        return f"{value:.1e}".replace("-", "−")
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def place(value: float, instead: float = 0.0) -> str:
    """Where a normalised score stands in a bar, as CSS; `instead` where an end is not known."""
    value = value if math.isfinite(value) else instead
    return f"{100 * min(max(LEFT + WIDTH * value, 0.0), 1.0):.1f}%"


def cpu_minutes(row: Any) -> float | None:
    """Of one run with its scoring, on average; None where every one failed."""
    runs = row.submission.runs
    return sum(run.cpu_seconds for run in runs) / len(runs) / 60 if runs else None


def _minutes(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}" if value < 10 else f"{value:,.0f}"
