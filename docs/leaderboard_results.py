"""What the repository holds of leaderboards, for docs/leaderboard.md: read from the results."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.leaderboard import suites
from benchmarks.leaderboard.board import Entry, load
from benchmarks.leaderboard.collect import RESULTS
from genenvs.cli.page import table

HEADER = (
    "suite",
    "agent",
    "author",
    "environments",
    "runs",
    "failed",
    "CPU minutes",
    "verified",
    "played again by",
)


def section(root: Path) -> str:
    """A table with a line for each suite, agent and author, and what makes it, as Markdown."""
    folder = root / RESULTS
    entries, problems = load([folder] if folder.is_dir() else [])
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in sorted(entries, key=_key):
        groups.setdefault(_key(entry), []).append(entry)
    parts = [table(HEADER, [_row(*key, own) for key, own in groups.items()])] if groups else []
    for suite in dict.fromkeys(suite for suite, *_ in groups):
        agents = ",".join(dict.fromkeys(agent for each, agent, _ in groups if each == suite))
        command = f"python -m benchmarks.leaderboard run --suite {suite} --agents {agents}"
        parts += [f"All of `{suite}` again:\n\n```bash\n{command}\n```"]
    if missing := [name for name in _ours() if name not in {suite for suite, *_ in groups}]:
        parts += [f"There is no result of {_and(missing)} yet."]
    if problems:
        parts += [f"Refused: {_and([each.path.name for each in problems])}."]
    return "\n\n".join(parts)


def _key(entry: Entry) -> tuple[str, str, str]:
    return entry.submission.suite, entry.submission.agent.name, entry.submission.author


def _row(suite: str, agent: str, author: str, own: Sequence[Entry]) -> tuple[str, ...]:
    runs = sum(len(entry.submission.runs) for entry in own)
    minutes = sum(run.cpu_seconds for entry in own for run in entry.submission.runs) / 60
    verified = sum(len(entry.verified_seeds) for entry in own)
    who = {entry.verification["who"] for entry in own if entry.verification}
    return (
        f"`{suite}`",
        f"`{agent}`",
        author,
        str(len({entry.submission.environment.id for entry in own})),
        str(runs),
        str(sum(len(entry.submission.failed) for entry in own)),
        f"{minutes:.0f}",
        f"{verified} of {runs}",
        ", ".join(sorted(who)),
    )


def _ours() -> list[str]:
    """Suites of this repository."""
    return sorted(path.stem for path in suites.FOLDER.glob("*.yaml"))


def _and(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if quoted[1:] else quoted[0]
