"""Measure every environment: `python -m benchmarks.speed [ID or part ...]`.

Writes speed-<device>.json and a plot of how each environment scales. What was measured before,
other levels of a batch size too, stays in the file until it is measured again; --resume measures
what is missing. What another machine or method measured is no neighbour: it is not added to,
and --anew forgets it.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.speed import cell, families, jumanji_peer, machine, plot, report, slowest
from benchmarks.speed.cell import Settings
from benchmarks.speed.levels import LEVELS
from benchmarks.speed.measure import SECONDS, Row, Spread, in_turns, lap_of, row
from benchmarks.speed.peers import PEERS
from benchmarks.speed.play import Pool, native, write
from benchmarks.speed.results import Results
from genenvs.core import registry

SIZES = ("1", "16", "256", "4096", "largest")
QUICK_SIZES = ("16", "256")
QUICK = Settings(repeats=3, seconds=0.02, limit=3.0)
SLOW_PEERS = ("async", "subproc", "jumanji", "jumanji scan")  # start processes, or compile
PROFILED = 256  # rows
REACH = 64  # times a batch whose memory is not known: a larger one is not tried


def main() -> None:
    """Parse; profile, or measure, print and write after each cell."""
    names = [*registry.ids(), *families.NAMES]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("names", nargs="*", metavar="ID", help=f"ids, or {', '.join(families.NAMES)}; default: all")
    add("--sizes", nargs="+", default=SIZES, help="numbers, or `largest`: what memory holds")
    add("--levels", nargs="+", choices=[*LEVELS, *PEERS], default=[*LEVELS, *PEERS])
    add("--quick", action="store_true", help=f"sizes {', '.join(QUICK_SIZES)}, 3 short repeats")
    add("--resume", action="store_true", help="measure only levels that the file lacks")
    add("--repeats", type=int, default=Settings.repeats)
    add("--seconds", type=float, default=SECONDS, help="of one repeat of one level")
    add("--limit", type=float, default=Settings.limit, help="seconds of the repeats of one size")
    add("--memory", type=float, default=2.0, help="GB that the largest batch may take")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--threads", type=int, help="of torch; default: its own choice")
    add("--out", type=Path, default=Path("runs/speed"))
    add("--anew", action="store_true", help="forget what the file holds")
    add("--profile", metavar="ID", help="print the slowest links of an environment, write nothing")
    given = parser.parse_args()
    if unknown := {*given.names, *filter(None, [given.profile])} - set(names):
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if wrong := [s for s in given.sizes if s != "largest" and not (s.isdigit() and int(s))]:
        parser.error(f"--sizes takes whole numbers and `largest`; got {' '.join(wrong)}")
    if min(given.repeats, given.seconds, given.limit, given.memory, given.threads or 1) <= 0:
        parser.error("--repeats, --seconds, --limit, --memory and --threads must be above 0")
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    if given.profile:
        sizes = [int(s) for s in given.sizes if s.isdigit()] if given.sizes != SIZES else [PROFILED]
        for size in sizes:
            print(slowest.report(given.profile, size, given.device, 5 * given.seconds))
        return
    settings = Settings(given.device, given.repeats, given.seconds, given.limit)
    if given.quick:
        settings = replace(QUICK, device=given.device)
        given.sizes = QUICK_SIZES if given.sizes == SIZES else given.sizes
        given.levels = [name for name in given.levels if name not in SLOW_PEERS]
    device = torch.device(given.device)
    results = Results(given.out / f"speed-{device.type}.json")
    words = shlex.join(["python", "-m", "benchmarks.speed", *sys.argv[1:]])
    try:
        results.begin(words, machine.describe(device), given.anew)
    except ValueError as error:
        parser.error(str(error))
    with jax_process() as jax:
        for name in given.names or names:
            if name in registry.ids():
                environment(name, given, settings, results, jax)
                Console(width=150).print(report.table(results, name))
            if not given.quick or name in given.names:
                parts(name, given, settings, results)
    plot.draw(results, given.out / f"speed-{device.type}.png")


def environment(env: str, given: Any, settings: Settings, results: Results, jax: Any) -> None:
    """All cells of an id."""
    wanted = {int(size): set(given.levels) for size in given.sizes if size != "largest"}
    for target in families.targets(env) if given.sizes == SIZES else []:
        wanted.setdefault(target.num_envs, set()).update({target.level, target.over} - {None})
    pool = cache(lambda: Pool(env, given.device))
    done: list[dict[str, Any]] = []
    for size in sorted(wanted):
        names = missing(results, env, size, wanted[size]) if given.resume else wanted[size]
        if names is not None:
            one(pool, env, size, names, settings, results, jax, done)
        known = results.cell(env, size)
        if known is not None and known["rates"]:
            done.append(known)
    if "largest" not in given.sizes or not done:
        return
    if given.resume and any(c["env"] == env and "bound" in c for c in results.cells):
        return
    while True:
        size, bound = largest(done, given.memory, settings)
        if size <= done[-1]["num_envs"]:
            break
        names = {*cell.NEEDED, "numpy"}
        more = {} if results.cell(env, size) else {"sought": True}
        one(pool, env, size, names, settings, results, jax, done, **more)
        known = results.cell(env, size)
        if known is None or not known["rates"]:
            break
        done.append(known)
        if not known["mb"]:
            break
    results.bound(env, done[-1]["num_envs"], bound)


def missing(results: Results, env: str, size: int, names: set[str]) -> set[str] | None:
    """Levels that a cell lacks, and does not say why; None where there are none."""
    known = results.cell(env, size) or {"rates": {}, "left": {}}
    if "all" in known["left"]:
        return None
    found = {*cell.applicable(env, size, names)} - {*known["rates"], *known["left"]}
    return found or None


def one(
    pool: Any, env: str, size: int, names: set[str], settings: Settings, results: Results,
    jax: Any, done: list[dict[str, Any]], **more: Any,
) -> None:  # fmt: skip
    """Measure a cell, or say why not, and put it into the results."""
    slow = cell.too_slow(expected(done, size), settings)
    if slow:
        found: dict[str, Any] = {"env": env, "num_envs": size, "rates": {}, "over": {}}
        found["left"] = {"all": slow}
    else:
        found = cell.measure(pool(), size, sorted(names), jax, settings)
    results.put(found | more)
    rate = f"{found['rates']['torch']['median']:,.0f} steps/s" if found["rates"] else slow
    print(f"{env}, {size:,}: {rate}, {found.get('seconds', 0)} s", flush=True)


def expected(done: list[dict[str, Any]], size: int) -> float:
    """Seconds that a step of a larger batch will take: a line through the last two cells."""
    points = [(c["num_envs"], c["num_envs"] / c["rates"]["torch"]["median"]) for c in done[-2:]]
    if len(points) < 2:
        return 0.0  # small batches cost little beyond what any batch costs: nothing is known yet
    (n, first), (m, second) = points
    return second + max(second - first, 0.0) / (m - n) * (size - m)


def largest(done: list[dict[str, Any]], memory: float, settings: Settings) -> tuple[int, str]:
    """The largest power of two that memory and the limit seem to allow, and what bounds it.

    A small batch's memory is mostly not its rows': what it is measured to take there may show that
    a larger one fits.
    """
    last, bound = done[-1]["num_envs"], ""
    told = done[-1]["mb"] or 0.0  # 0 where the batch found room in what was freed before
    each = told * 1e6 / last
    size = 1 << (last - 1).bit_length()
    while not bound:
        if each * 2 * size > memory * 1e9:
            bound = f"{memory:g} GB"
        elif cell.too_slow(expected(done, 2 * size), settings):
            bound = f"{settings.limit:g} s for its repeats"
        elif not told and 2 * size > REACH * last:
            bound = f"{REACH} times {last:,}, whose memory is not told"
        else:
            size *= 2
    return size, bound


def parts(name: str, given: Any, settings: Settings, results: Results) -> None:
    """What else the module of a family times, and an id's reference."""
    if given.resume and any(part["of"] == name for part in results.parts):
        return
    if name in registry.ids():
        found = [*of_state(name, settings)]
        module: Any = families.of(name)
        # Of several ids of a family the first one stands for what is timed once.
        if module is not None and name == first(module):
            found += getattr(module, "rows", lambda device: [])(given.device)
    else:
        found = [*families.load(name).rows(given.device)]
    results.put_parts(name, found)


def of_state(env: str, settings: Settings) -> Iterator[Row]:
    """Functions of a state in the middle of play: the family's, and the reference's actions."""
    envs = native(env, families.PARTS, settings.device)
    state, _ = write(envs, Pool(env, settings.device), settings.seconds).moments[0]
    task, module = envs.unwrapped.task, families.of(env)
    calls: dict[str, Any] = getattr(module, "parts", lambda task, state: {})(task, state)
    if task.reference_action(state) is not None:
        calls["actions of the reference"] = lambda: task.reference_action(state)
    laps = {
        what: lap_of(torch.no_grad()(call), families.PARTS, settings.device, settings.seconds)
        for what, call in calls.items()
    }
    for what, rates in in_turns(laps, settings.repeats).items():
        yield row(what, families.PARTS, Spread.of(rates))


def first(module: Any) -> str:
    """The first id of a family."""
    return next(env for env in registry.ids() if families.of(env) is module)


@contextmanager
def jax_process() -> Iterator[Any]:
    """A function that gives the process in which JAX runs, started when it is called first."""
    made: list[Any] = []

    def get() -> Any:
        if not made:
            made.append(jumanji_peer.worker(torch.get_num_threads()))
        return made[0]

    try:
        yield get
    finally:
        for process in made:
            process.shutdown()


if __name__ == "__main__":
    main()
