"""Settings that every test shares, and the report of what was not tested."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator

# Before anything imports torch or a plotting library. On a busy machine two threads of one small
# network, waiting for each other, took four times as long as one; workers fill the cores instead.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pytest
from hypothesis import settings

from tests.needs import APART, MACHINE, SLOW, install, reason, why_missing

# A fixed set of examples: a run that fails here fails everywhere, and a slow machine is no failure.
settings.register_profile("genenvs", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("genenvs")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run tests marked slow")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("slow") and not item.config.getoption("--slow"):
        pytest.skip(SLOW)
    for mark in item.iter_markers("needs"):
        (module,) = mark.args
        problem = why_missing(module)
        if problem is not None:
            pytest.skip(reason(module, mark.kwargs["extra"], problem))


def must_not_skip(why: str) -> bool:
    """Whether GENENVS_REQUIRE asks for what this skip says is missing.

    With `all`, only what the extra `all` does not add may be missing: a library that has a job of
    its own, a device, or time for slow tests.
    """
    required = os.environ.get("GENENVS_REQUIRE", "")
    if required == "all":
        apart = any(install(extra) in why for extra in APART)
        return not apart and not why.startswith((MACHINE, SLOW))
    return any(install(extra) in why for extra in required.split(",") if extra)


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def fail_if_required(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and must_not_skip(skip_reason(report)):
        report.outcome = "failed"
        report.longrepr = f"GENENVS_REQUIRE forbids this skip: {skip_reason(report)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_if_required(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_required(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    """The last lines before pytest's own: what this run did not test, and why."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(skip_reason(report) for report in skipped if not hasattr(report, "wasxfail"))
    terminalreporter.section("not tested here")
    for why, number in sorted(reasons.items()):
        terminalreporter.line(f"{number} test{'s' if number > 1 else ''}: {why}")
    if not reasons:
        terminalreporter.line("nothing: no test was skipped")
