"""Constraints are compiled for every platform, not frozen from one machine."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tests.repository.project import PROJECT, PYPROJECT, ROOT, environments, load_dev, requirements

# Constraints file -> the extras that it is compiled for.
FILES = {"constraints.txt": ("all",)} | {
    f"constraints-{extra}.txt": extras for extra, (extras, _) in load_dev().APART.items()
}
every_file = pytest.mark.parametrize("name", FILES)


def lines(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def pins(name: str) -> list[str]:
    return [line for line in lines(name) if line and not line.startswith("#")]


def problem(line: str) -> str | None:
    """Why a line may not stand among constraints; None where it may."""
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


@every_file
def test_every_line_is_an_exact_pin_that_holds_on_any_machine(name: str) -> None:
    assert pins(name)
    assert {line: problem(line) for line in pins(name) if problem(line)} == {}


@every_file
def test_the_header_says_how_to_compile_it_and_names_no_machine(name: str) -> None:
    header = "\n".join(line for line in lines(name) if line.startswith("#"))
    extras = " ".join(f"--extra {extra}" for extra in FILES[name])
    assert f"uv pip compile --universal --python-version 3.11 {extras} --no-annotate" in header
    assert f"--output-file {name} pyproject.toml" in header
    assert not re.search(r"://|--index|--find-links|(^|\s)/", header)


def pins_on(name: str, environment: dict[str, str]) -> dict[str, str]:
    """Package -> version of every pin that applies there; two for one package are an error."""
    found: dict[str, str] = {}
    for requirement in map(Requirement, pins(name)):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            package = canonicalize_name(requirement.name)
            assert package not in found, f"{package} is pinned twice on {environment}"
            found[package] = next(iter(requirement.specifier)).version
    return found


@every_file
@pytest.mark.parametrize(
    "environment", environments(), ids=lambda e: "-".join([e["sys_platform"], e["python_version"]])
)
def test_every_requirement_has_one_fitting_pin_on_every_platform(
    name: str, environment: dict[str, str]
) -> None:
    found = pins_on(name, environment)
    for requirement in requirements(*PROJECT["dependencies"], f"genenvs[{','.join(FILES[name])}]"):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            pinned = found.get(canonicalize_name(requirement.name))
            assert pinned is not None, f"{requirement} is not pinned"
            assert requirement.specifier.contains(pinned), f"{requirement} is pinned to {pinned}"


@every_file
def test_cuda_is_pinned_on_linux_alone(name: str) -> None:
    cuda = {
        (environment["sys_platform"], any(package.startswith("nvidia-") for package in found))
        for environment in environments()
        for found in [pins_on(name, environment)]
    }
    assert cuda == {("linux", True), ("darwin", False), ("win32", False)}


@every_file
def test_torch_is_the_one_that_is_raised_on_purpose(name: str) -> None:
    (chosen,) = (
        text for text in PYPROJECT["tool"]["uv"]["constraint-dependencies"] if "torch" in text
    )
    assert [line for line in pins(name) if line.startswith("torch==")] == [chosen]


def test_rllib_is_tested_at_the_lower_end_of_our_gymnasium_range() -> None:
    (ours,) = (r for r in requirements(*PROJECT["dependencies"]) if r.name == "gymnasium")
    for environment in environments():
        old = pins_on("constraints-rllib.txt", environment)["gymnasium"]
        assert f">={'.'.join(old.split('.')[:2])}" in str(ours.specifier).split(",")


def test_pillow_stays_below_what_moviepy_refuses() -> None:
    for environment in environments():
        found = pins_on("constraints.txt", environment)
        assert found["moviepy"].startswith("2.2.")
        assert int(found["pillow"].split(".")[0]) < 12
