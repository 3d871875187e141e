"""Leaderboards: train and score many agents, and publish what can be trusted.

    python -m benchmarks.leaderboard run --suite core --agents ppo a3c random reference
    python -m benchmarks.leaderboard run --suite core --agents ppo --ray auto
    python -m benchmarks.leaderboard collect --suite core --agents ppo a3c random reference
    python -m benchmarks.leaderboard validate FILE ...
    python -m benchmarks.leaderboard verify FILE ...
    python -m benchmarks.leaderboard film FILE ...
    python -m benchmarks.leaderboard report --out runs/board
    python -m benchmarks.leaderboard schema

docs/leaderboard.md explains all of it.
"""

import argparse
import getpass
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from benchmarks import apart, cells
from benchmarks.leaderboard import board, collect, submission, suites, verify

PREFIX = "leaderboard:"


def main(arguments: Sequence[str]) -> int:
    """Run a command; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.leaderboard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    playing = argparse.ArgumentParser(add_help=False)
    playing.add_argument("--suite", required=True, help="core, full, smoke, or a path to a .yaml")
    playing.add_argument("--agents", nargs="+", required=True, help="names; commas may part them")
    playing.add_argument("--environments", nargs="+", help="only these ids of the suite")
    playing.add_argument("--seeds", type=_positive, help="of each learner; default: the suite's")
    playing.add_argument(
        "--out", type=Path, help=f"for submissions; default {collect.RESULTS}/SUITE"
    )
    playing.add_argument("--author", default=collect.AUTHOR, help="who answers for them")
    playing.add_argument("--policies", type=_whole, default=1, metavar="N",
                         help="seeds whose policy is kept beside a submission")  # fmt: skip
    playing.add_argument("--replace", action="store_true",
                         help="submissions that have scores of more seeds, too")  # fmt: skip

    run = commands.add_parser("run", parents=[playing], help="play what is missing, and collect")
    run.add_argument("--jobs", type=_positive, default=1, help="runs at a time on this machine")
    run.add_argument("--ray", metavar="ADDRESS", help="local, auto or the address of a Ray cluster")
    run.add_argument("--dry-run", action="store_true", help="say what would be played")
    run.add_argument("--quiet", action="store_true", help="no progress bar")
    run.set_defaults(do=_run)

    gather = commands.add_parser("collect", parents=[playing], help="submissions of what is played")
    gather.set_defaults(do=_collect)

    check = commands.add_parser("validate", help="check submissions without playing")
    check.add_argument("files", nargs="+", type=Path, help="submissions, or folders of them")
    check.set_defaults(do=_validate)

    again = commands.add_parser("verify", help="play submissions again and compare")
    again.add_argument("files", nargs="+", type=Path, help="submissions, or folders of them")
    again.add_argument("--seed", type=int, help="only the run with this seed")
    again.add_argument("--limit", type=_positive, default=round(verify.LIMITS.seconds),
                       metavar="SECONDS", help="of each run; default %(default)s")  # fmt: skip
    again.add_argument("--who", default=None, help="answers for it; default: git's user.name")
    again.set_defaults(do=_verify)

    shoot = commands.add_parser("film", help="play the first episode again, as a film for the site")
    shoot.add_argument("files", nargs="+", type=Path, help="submissions, or folders of them")
    shoot.add_argument("--policies", type=Path, metavar="FOLDER",
                       help="of policies that do not lie beside: looked for by hash")  # fmt: skip
    shoot.set_defaults(do=_film)

    report = commands.add_parser("report", help="build the site")
    report.add_argument("places", nargs="*", type=Path, default=[collect.RESULTS],
                        help=f"folders of submissions; default {collect.RESULTS}")  # fmt: skip
    report.add_argument("--out", type=Path, default=Path("runs/board"), help="folder of the site")
    report.set_defaults(do=_report)

    schema = commands.add_parser("schema", help="write schema.json from the models")
    schema.set_defaults(do=_schema)

    options = parser.parse_args(arguments)
    return options.do(options)


def _plan(options: Any) -> tuple[suites.Suite, list[cells.Cell]]:
    """What the options ask for; says what is left out."""
    suite = suites.load(options.suite)
    agents = [name for each in options.agents for name in each.split(",") if name]
    planned, left = suites.plan(suite, agents, options.seeds, options.environments)
    for each in left:
        _say(f"left out: {each.agent} on {each.env}: {each.why}")
    return suite, planned


def _run(options: Any) -> int:
    suite, planned = _plan(options)
    collect.permit(suite, planned, options.author)  # hours before it is needed
    known = sum(cells.known(cell) is not None for cell in planned)
    _say(f"{len(planned)} runs of {suite.name}, {known} of them known")
    if options.dry_run:
        for cell in planned:
            _say(f"  {cell.agent} on {cell.env}, seed {cell.seed}, {cell.steps:,} steps")
        return 0
    player = None
    if options.ray is not None:
        from benchmarks.leaderboard.cluster import on_ray

        player = on_ray(options.ray, options.jobs)
    try:
        results = cells.run(planned, options.jobs, suite.limits, player, options.quiet)
    except KeyboardInterrupt:
        _say(f"{PREFIX} stopped; the same command goes on", file=sys.stderr)
        return 130
    whole = _write(options, suite, planned)
    failed = [found for found in results if "failed" in found]
    for found in failed:
        _say(f"failed: {found['agent']} on {found['env']}, seed {found['seed']}: {found['failed']}")
    return 1 if failed or not whole else 0


def _collect(options: Any) -> int:
    suite, planned = _plan(options)
    return 0 if _write(options, suite, planned) else 1


def _write(options: Any, suite: suites.Suite, planned: list[cells.Cell]) -> bool:
    """Write submissions; whether there is one of everything."""
    folder = options.out or collect.RESULTS / suite.name
    written, lines = collect.collect(
        suite, planned, folder, options.author, options.policies, options.replace
    )
    _say(f"{len(written)} submissions in {folder}")
    for line in lines:
        _say(f"not written: {line}")
    return not lines


def _validate(options: Any) -> int:
    _there(options.files)
    entries, problems = board.load(options.files)
    for entry in entries:
        seeds = f", {len(entry.verified_seeds)} of {len(entry.submission.runs)} seeds"
        state = entry.state + (seeds if entry.state == "verified" else "")
        _say(f"{entry.path}: {state}{''.join(f'; {note}' for note in entry.notes)}")
    for problem in problems:
        _say(f"{problem.path}: refused: {problem.why}")
    if not entries and not problems:
        _say("there is no submission")
    return 1 if problems or not entries else 0


def _verify(options: Any) -> int:
    _there(options.files)
    who = options.who or _user()
    limits = cells.Limits(options.limit, verify.LIMITS.memory_gb)
    wrong = 0
    for path in board.files(options.files):
        try:
            record = verify.verify(path, who, options.seed, limits)
        except (ValueError, OSError, apart.Failed) as error:
            _say(f"{path}: not played: {error}")
            wrong += 1
            continue
        verdict = "verified" if record["passed"] else "another result"
        _say(f"{path}: {verdict}; largest difference of a score {record['max_difference']:.3g};"
              f" {record['worst']}")  # fmt: skip
        wrong += not record["passed"]
    return 1 if wrong else 0


def _film(options: Any) -> int:
    from benchmarks.leaderboard.film import film

    _there(options.files)
    wrong = 0
    for path in board.files(options.files):
        try:
            _say(f"{film(path, policies=options.policies)}")
        except (ValueError, OSError, apart.Failed) as error:
            _say(f"{path}: no film: {error}")
            wrong += 1
    return 1 if wrong else 0


def _report(options: Any) -> int:
    from benchmarks.leaderboard.site import build

    _there(options.places)
    entries, problems = board.load(options.places)
    build(entries, options.out, problems, options.places)
    _say(f"{len(entries)} submissions on the board in {options.out}")
    for problem in problems:
        _say(f"{problem.path}: refused: {problem.why}")
    return 1 if problems else 0


def _schema(options: Any) -> int:
    submission.SCHEMA.write_text(submission.schema(), encoding="utf-8")
    return 0


def _say(line: str, file: TextIO | None = None) -> None:
    """Print a line, which stays one whatever others wrote into it.

    Names and contents of their files may hold ends of lines, orders to a terminal, what is no
    character at all, and what the output's encoding does not have.
    """
    encoding = getattr(file or sys.stdout, "encoding", None) or "utf-8"
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
    print(shown.encode(encoding, "backslashreplace").decode(encoding), file=file)


def _there(places: Sequence[Path]) -> None:
    for place in places:
        if not place.exists():
            raise ValueError(f"there is no {place}")


def _user() -> str:
    command = ["git", "config", "user.name"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout.strip() or getpass.getuser()
    except OSError:
        return getpass.getuser()


def _positive(text: str) -> int:
    return _whole(text, 1)


def _whole(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least {least}; got {text!r}"
        )
    return int(text)


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except (ValueError, OSError, ImportError) as error:
        _say(f"{PREFIX} {error}", file=sys.stderr)
        code = 2
    sys.exit(code)
