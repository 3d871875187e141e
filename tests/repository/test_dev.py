"""dev.py installs once, stops with a sentence, and lets what it runs end by itself."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import ModuleType

import pytest

from tests.needs import hear_ctrl_c
from tests.repository.project import PROJECT, ROOT, load_dev

SOURCE = (ROOT / "dev.py").read_text(encoding="utf-8")
EXTRAS = frozenset({"agents", "benchmarks"})


class Machine:
    """dev.py in a folder of its own, where programs are noted down and not run."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dev: ModuleType = load_dev()
        self.commands: list[list[str]] = []
        self.failing = ""
        self.folder = folder
        for name in ("pyproject.toml", "constraints.txt"):
            (folder / name).write_text(f"# {name}\n", encoding="utf-8")
        monkeypatch.delenv("TORCH_INDEX", raising=False)
        monkeypatch.setattr(self.dev, "ROOT", folder)
        monkeypatch.setattr(self.dev, "VENV", folder / ".venv")
        monkeypatch.setattr(self.dev, "STAMP", folder / ".venv" / "stamp.json")
        monkeypatch.setattr(self.dev, "run", self.run)

    def run(self, command: list, cwd: Path | None = None) -> int:
        words = [str(word) for word in command]
        self.commands.append(words)
        if self.failing and self.failing in words:
            return 7
        if "venv" in words:
            self.make_python()
        return 0

    def make_python(self) -> None:
        python = self.dev.python_in(self.dev.VENV)
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    def install(self, extras: frozenset[str] = EXTRAS) -> list[list[str]]:
        """What `ensure_installed` runs, the look at the Python that is there apart."""
        self.commands.clear()
        self.dev.ensure_installed(extras)
        return [command for command in self.commands if "-c" not in command]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_the_first_run_makes_the_environment_and_takes_torch_first(machine: Machine) -> None:
    make, torch, genenvs = machine.install()
    assert make[1:3] == ["-m", "venv"]
    assert torch[-2:] == ["--no-deps", "torch"]
    assert genenvs[-2:] == ["--editable", f"{machine.folder}[agents,benchmarks]"]
    for pip in (torch, genenvs):
        assert pip[pip.index("--constraint") + 1] == str(machine.folder / "constraints.txt")


def test_a_second_run_installs_nothing(machine: Machine) -> None:
    machine.install()
    assert machine.install() == []
    assert machine.install(frozenset({"agents"})) == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_into_what_is_there(machine: Machine, name: str) -> None:
    machine.install()
    (machine.folder / name).write_text("changed\n", encoding="utf-8")
    torch, genenvs = machine.install()
    assert "venv" not in torch + genenvs


def test_more_extras_are_added_to_those_that_are_there(machine: Machine) -> None:
    machine.install()
    _, genenvs = machine.install(frozenset({"dev"}))
    assert genenvs[-1].endswith("[agents,benchmarks,dev]")
    machine.install(frozenset({"all"}))
    assert machine.install(frozenset({"video"})) == []


@pytest.mark.parametrize("key", ["folder", "python", "platform", "torch_index"])
def test_another_python_platform_folder_or_index_makes_it_anew(machine: Machine, key: str) -> None:
    machine.install()
    stamp = json.loads(machine.dev.STAMP.read_text(encoding="utf-8"))
    stamp["base"][key] = "another"
    machine.dev.STAMP.write_text(json.dumps(stamp), encoding="utf-8")
    make, _, genenvs = machine.install(frozenset({"dev"}))
    assert "--clear" in make
    assert genenvs[-1].endswith("[dev]"), "what the old environment held is gone"


def test_an_environment_that_somebody_else_made_is_used_and_never_cleared(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.make_python()
    assert len(machine.install()) == 2
    monkeypatch.setenv("TORCH_INDEX", "https://example.org/whl")
    assert all("--clear" not in command for command in machine.install())


def test_an_environment_without_a_fit_python_is_left_alone(machine: Machine) -> None:
    (machine.folder / ".venv").mkdir()
    (machine.folder / ".venv" / "precious").touch()
    with pytest.raises(machine.dev.Stop, match="move it away") as stop:
        machine.install()
    assert stop.value.args[1] == 2
    assert (machine.folder / ".venv" / "precious").exists()


def test_an_installation_that_failed_is_tried_again(machine: Machine) -> None:
    machine.failing = "--editable"
    with pytest.raises(machine.dev.Stop) as stop:
        machine.install()
    assert stop.value.args[1] == 7
    machine.failing = ""
    _, genenvs = machine.install()
    assert "--editable" in genenvs
    assert machine.install() == []


def test_half_an_environment_is_no_environment(machine: Machine) -> None:
    machine.failing = "venv"
    machine.make_python = lambda: None  # type: ignore[method-assign]
    with pytest.raises(machine.dev.Stop):
        machine.install()
    assert not machine.dev.VENV.exists()


def test_the_torch_index_is_asked_for_torch_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_INDEX", "https://example.org/whl")
    _, torch, genenvs = machine.install()
    assert torch[torch.index("--index-url") + 1] == "https://example.org/whl"
    assert "--no-deps" in torch
    assert "--index-url" not in genenvs


@pytest.mark.parametrize(
    ("platform", "driver", "index", "told"),
    [
        ("linux-x86_64", False, "", True),
        ("linux-x86_64", True, "", False),
        ("linux-x86_64", False, "https://example.org/whl", False),
        ("macosx-14.0-arm64", False, "", False),
        ("win-amd64", False, "", False),
    ],
)
def test_the_cpu_index_is_named_where_it_saves_a_download(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    platform: str,
    driver: bool,
    index: str,
    told: bool,
) -> None:
    monkeypatch.setattr(machine.dev.sysconfig, "get_platform", lambda: platform)
    monkeypatch.setattr(machine.dev, "has_nvidia_driver", lambda: driver)
    monkeypatch.setenv("TORCH_INDEX", index)
    machine.dev.advise_about_torch()
    assert (f"TORCH_INDEX={machine.dev.CPU_INDEX}" in capsys.readouterr().out) == told


def test_it_can_be_read_by_the_pythons_that_it_refuses() -> None:
    ast.parse(SOURCE, feature_version=(3, 8))


def test_it_needs_nothing_but_python() -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(SOURCE))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names)


def test_an_old_python_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    dev = load_dev()
    monkeypatch.setattr(dev.sys, "version_info", (3, 10, 13))
    with pytest.raises(dev.Stop, match=r"needs Python 3\.11 or newer") as stop:
        dev.main(["test"])
    assert stop.value.args[1] == 2


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    dev = load_dev()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(dev.Stop, match=f"it lacks `{module}`") as stop:
        dev.main(["test"])
    assert stop.value.args[1] == 2


def test_the_oldest_python_is_the_one_that_the_package_declares() -> None:
    assert PROJECT["requires-python"] == ">={}.{}".format(*load_dev().OLDEST_PYTHON)


def test_an_unknown_target_names_those_that_there_are() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "dev.py", "tset"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "unknown target 'tset'" in done.stderr
    assert all(target in done.stderr for target in load_dev().TARGETS)
    assert "Traceback" not in done.stderr


def test_make_has_one_line_for_every_target() -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    targets = [
        m[1] for m in (re.match(r"([a-z0-9-]+): ; @\$\(PYTHON\) dev\.py \1", x) for x in lines) if m
    ]
    assert targets == list(load_dev().TARGETS)


def test_every_check_runs_and_the_first_failure_is_the_exit_code(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.failing = "bad"
    code = machine.dev.run_checks([("one", ["good"]), ("two", ["bad"]), ("three", ["good"])])
    assert code == 7
    assert machine.commands == [["good"], ["bad"], ["good"]]
    assert re.search(r"two .*failed", capsys.readouterr().out)


def test_arguments_reach_the_program(machine: Machine) -> None:
    machine.dev.main(["demo", "--short"])
    assert machine.commands[-1][-2:] == ["benchmarks.demo", "--short"]
    machine.dev.main(["test", "-k", "random"])
    assert machine.commands[-1][-2:] == ["-k", "random"]


@pytest.mark.parametrize("extra", load_dev().APART)
def test_an_extra_apart_is_installed_elsewhere_and_its_tests_are_required(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    monkeypatch.setenv("GENENVS_REQUIRE", "all")  # as .ci/run sets it
    machine.dev.main([f"ci-{extra}", "-k", "random"])
    make, torch, genenvs, check, tests = machine.commands
    elsewhere = str(machine.dev.python_in(Path(make[-1])))
    assert str(machine.dev.VENV) not in make
    assert {command[0] for command in (torch, genenvs, check, tests)} == {elsewhere}
    for pip in (torch, genenvs):
        assert pip[pip.index("--constraint") + 1].endswith(f"constraints-{extra}.txt")
    extras, paths = machine.dev.APART[extra]
    assert extra in extras and genenvs[-1].endswith(f"[{','.join(extras)}]")
    assert os.environ["GENENVS_REQUIRE"] == ",".join(extras)
    assert tests[-2:] == ["-k", "random"]
    assert all((ROOT / path).exists() and path in tests for path in paths)


@pytest.mark.skipif(os.name == "nt", reason="this machine has no POSIX signals")
def test_ctrl_c_lets_the_program_write_down_what_it_has(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import pathlib, time
            pathlib.Path("started").touch()
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                time.sleep(1)  # longer than subprocess.run waits before it kills
                pathlib.Path("report").touch()
        """),
        encoding="utf-8",
    )
    main = SOURCE.replace(
        '"demo": demo', f'"demo": lambda _: run([sys.executable, {str(program)!r}], Path.cwd())'
    )
    (tmp_path / "dev.py").write_text(main, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "dev.py", "demo"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    deadline = time.monotonic() + 10
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 130
    assert (tmp_path / "report").exists()
    assert "dev.py: stopped." in errors
    assert "Traceback" not in errors
