"""What a test needs beyond `pip install genenvs`, said so that the report can list it by name."""

from __future__ import annotations

import functools
import importlib
import shutil
import signal
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

# Extras that `all` leaves out; a target of dev.py alone, ci-rllib say, runs their tests.
APART = frozenset({"open3d", "pybullet", "rllib", "zoo"})

MACHINE = "this machine has no "
SLOW = "slow: run with --slow"


def needs(module: str, *, extra: str) -> pytest.MarkDecorator:
    """Skip a test, by name, where `module` of the optional `extra` cannot be imported.

    Use it as a decorator or as a module's `pytestmark`. With a comma separated list in
    `GENENVS_REQUIRE` that names the extra the test fails instead, and with `GENENVS_REQUIRE=all` if
    the extra `all` brings it.
    """
    return pytest.mark.needs(module, extra=extra)


def import_or_skip(module: str, *, extra: str) -> ModuleType:
    """The same inside a test or at the head of a module of tests; gives the imported module."""
    problem = why_missing(module)
    if problem is not None:
        pytest.skip(reason(module, extra, problem), allow_module_level=True)
    return importlib.import_module(module)


def needs_device(kind: str) -> pytest.MarkDecorator:
    """Skip where PyTorch has no such device ("cuda", "mps"), whatever GENENVS_REQUIRE says."""
    import torch

    backends = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    return pytest.mark.skipif(not backends[kind](), reason=f"{MACHINE}{kind} device")


@functools.cache
def why_missing(module: str) -> str | None:
    """None where `module` imports; else why not: absent, or a system library that it misses."""
    try:
        importlib.import_module(module)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def reason(module: str, extra: str, problem: str) -> str:
    return f"needs {module}, {install(extra)} ({problem})"


def install(extra: str) -> str:
    """How to come by an extra, by which a skip's reason names it."""
    return f'pip install "genenvs[{extra}]"'


def hear_ctrl_c() -> None:
    """For `preexec_fn`: a program that a shell runs in the background ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def browser(folder: Path) -> WebDriver:
    """A headless Chromium with a fresh profile in `folder`, or a skip where this machine has none.

    `GENENVS_REQUIRE=all` turns that skip into a failure. Nothing it does leaves this machine.
    """
    selenium = import_or_skip("selenium.webdriver", extra="dev")
    service = import_or_skip("selenium.webdriver.chrome.service", extra="dev")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs chromium and chromedriver, apt install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={folder}",
    ):
        options.add_argument(argument)
    return selenium.Chrome(options=options, service=service.Service(driver))
