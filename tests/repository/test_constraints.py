"""constraints.txt is compiled for every platform, not frozen from one machine."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tests.repository.project import PYPROJECT, ROOT, environments, requirements

LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = [line for line in LINES if line and not line.startswith("#")]


def problem(line: str) -> str | None:
    """Why a line may not stand in constraints.txt; None where it may."""
    if line.startswith("-"):
        return "an option"
    if "://" in line or " @ " in line or "file:" in line:
        return "an address"
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return "no requirement, a path perhaps"
    (specifier, *more) = requirement.specifier or [None]
    if specifier is None or more or specifier.operator != "==" or "*" in specifier.version:
        return "no exact pin"
    if "+" in specifier.version:
        return "a build of one index or machine"
    return None


@pytest.mark.parametrize(
    "line",
    [
        "torch==2.13.0+cpu",
        "torch @ https://example.org/torch-2.13.0.whl",
        "torch @ file:///wheels/torch-2.13.0.whl",
        "./wheels/torch-2.13.0-py3-none-any.whl",
        "-e .",
        "--index-url https://example.org/simple",
        "--find-links wheels",
        "torch>=2.13",
        "torch",
        "torch==2.*",
        "torch>=2.6,==2.13.0",
    ],
)
def test_what_belongs_to_one_machine_is_refused(line: str) -> None:
    assert problem(line) is not None


def test_every_line_is_an_exact_pin_that_holds_on_any_machine() -> None:
    assert PINS
    assert {line: problem(line) for line in PINS if problem(line)} == {}


def test_the_header_says_how_to_compile_it_and_names_no_machine() -> None:
    header = "\n".join(line for line in LINES if line.startswith("#"))
    assert "uv pip compile --universal --python-version 3.11 --extra all" in header
    assert not re.search(r"://|--index|--find-links|(^|\s)/", header)


def pins_on(environment: dict[str, str]) -> dict[str, str]:
    """Name -> version of every pin that applies there; two for one name are an error."""
    found: dict[str, str] = {}
    for requirement in map(Requirement, PINS):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} is pinned twice on {environment}"
            found[name] = next(iter(requirement.specifier)).version
    return found


@pytest.mark.parametrize(
    "environment", environments(), ids=lambda e: "-".join([e["sys_platform"], e["python_version"]])
)
def test_every_requirement_has_one_fitting_pin_on_every_platform(
    environment: dict[str, str],
) -> None:
    pins = pins_on(environment)
    for requirement in requirements():
        if requirement.marker is None or requirement.marker.evaluate(environment):
            pinned = pins.get(canonicalize_name(requirement.name))
            assert pinned is not None, f"{requirement} is not pinned"
            assert requirement.specifier.contains(pinned), f"{requirement} is pinned to {pinned}"


def test_cuda_is_pinned_on_linux_alone() -> None:
    cuda = {
        (environment["sys_platform"], any(name.startswith("nvidia-") for name in pins))
        for environment in environments()
        for pins in [pins_on(environment)]
    }
    assert cuda == {("linux", True), ("darwin", False), ("win32", False)}


def test_torch_is_the_one_that_is_raised_on_purpose() -> None:
    (chosen,) = (
        text for text in PYPROJECT["tool"]["uv"]["constraint-dependencies"] if "torch" in text
    )
    assert [line for line in PINS if line.startswith("torch==")] == [chosen]


def test_pillow_stays_below_what_moviepy_refuses() -> None:
    for environment in environments():
        pins = pins_on(environment)
        assert pins["moviepy"].startswith("2.2.")
        assert int(pins["pillow"].split(".")[0]) < 12
