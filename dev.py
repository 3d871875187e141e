"""Install and run what people and CI run, with nothing but Python: `python dev.py test`.

    demo         train the first agent and draw what it makes, under runs/demo/
    test         lint, check types, run the tests, the laws of every environment among them
    lint         the first part of `test` alone
    bench        measure speed and memory
    ci-wheel     build the wheel, look inside, and play every environment from it elsewhere
    ci-rllib     laws, of one id of each task, and core with RLlib and the old Gymnasium that it
                 pins, elsewhere
    ci-zoo       test rl-baselines3-zoo, elsewhere
    ci-open3d    test geometry with open3d, elsewhere; needs the system library libusb-1.0
    ci-pybullet  test the objects and motions that come with pybullet, elsewhere

Everything after the target goes to the program that it runs: `python dev.py test -k random`.
The first run makes `.venv` beside this file and installs into it what constraints.txt pins.

Settings from the environment:
    TORCH_INDEX   a package index to take PyTorch from, https://download.pytorch.org/whl/cpu say
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

OLDEST_PYTHON = (3, 11)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "genenvs-installed.json"

FOR_AGENTS = frozenset({"agents", "benchmarks"})
FOR_TESTS = frozenset({"all"})
# Extras outside `all`, each with a constraints file: what is installed, and what is then tested.
APART = {
    "rllib": (
        ("dev", "rllib", "sb3"),
        (
            "tests/core",
            "tests/interop",
            "tests/test_laws.py",
            "tests/test_wrappers.py",
        ),
    ),
    "zoo": (("dev", "zoo"), ("tests/interop/test_zoo.py",)),
    "open3d": (("dev", "open3d", "shapes"), ("tests/geometry",)),
    "pybullet": (
        ("dev", "mujoco", "pybullet", "shapes"),
        ("tests/geometry/test_pybullet_objects.py", "tests/motion", "tests/simulators"),
    ),
}
MOST_WORKERS = 8  # each test process holds its own PyTorch, some 0.5 GB


class Stop(Exception):
    """Ends this program with one sentence: `Stop(sentence, exit code)`."""


def say(*words: object) -> None:
    print("dev.py:", *words, flush=True)


def run(command: list, cwd: Path = ROOT) -> int:
    """Run a program and give its exit code; on Ctrl-C wait for it to end, on a second one end it.

    `subprocess.run` would kill it a quarter of a second after the first, while it still writes
    down what it has so far.
    """
    process = subprocess.Popen([str(word) for word in command], cwd=str(cwd))
    interrupts = 0
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            interrupts += 1
            if interrupts > 1:
                process.kill()
    if interrupts:
        raise KeyboardInterrupt
    return code


def must(command: list, sentence: str, cwd: Path = ROOT) -> None:
    """Run a program that has to succeed; where it does not, stop with `sentence`."""
    code = run(command, cwd)
    if code != 0:
        raise Stop(sentence, max(code, 1))


def check_python() -> None:
    oldest = "{}.{}".format(*OLDEST_PYTHON)
    if sys.version_info < OLDEST_PYTHON:
        raise Stop(
            f"genenvs needs Python {oldest} or newer and this is {platform.python_version()} "
            f"({sys.executable}); name a newer one, as in `make test PYTHON=python{oldest}`.",
            2,
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise Stop(
            f"this Python ({sys.executable}) cannot make virtual environments, it lacks "
            f"`{error.name}`; on Debian and Ubuntu `apt install python3-venv` adds it.",
            2,
        ) from None


def python_in(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def in_venv(module: str, *arguments: object) -> list:
    """The command that runs a module in `.venv`."""
    return [python_in(VENV), "-m", module, *arguments]


def make_venv(path: Path) -> None:
    # This program may itself run in the environment that is about to be made anew.
    interpreter = getattr(sys, "_base_executable", None) or sys.executable
    must([interpreter, "-m", "venv", "--clear", path], f"no virtual environment came of {path}.")


def files_hash() -> str:
    """What asks for another installation into the same virtual environment."""
    files = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        files.update((ROOT / name).read_bytes())
    return files.hexdigest()


def base() -> dict:
    """What asks for another virtual environment."""
    return {
        "folder": str(ROOT),  # an editable installation holds this path
        "python": platform.python_version(),
        "platform": sysconfig.get_platform(),
        "torch_index": os.environ.get("TORCH_INDEX", ""),
    }


def read_stamp() -> dict:
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_stamp(**stamp: object) -> None:
    STAMP.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")


def has_nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def advise_about_torch() -> None:
    """Say what the CPU index saves where PyPI's own wheel brings a CUDA that nothing can use."""
    if sysconfig.get_platform() != "linux-x86_64" or has_nvidia_driver():
        return
    if not os.environ.get("TORCH_INDEX"):
        say(
            "no NVIDIA driver here. Unless pip already knows of a CPU build of PyTorch, it brings "
            f"2.8 GB with CUDA where 0.3 GB do: Ctrl-C, then TORCH_INDEX={CPU_INDEX} takes those."
        )


def pip_install(python: Path, *wanted: object, constraints: str = "constraints.txt") -> None:
    """Install within the constraints: PyTorch first, alone, from its own index if one is named."""
    pip = [python, "-m", "pip", "install", "--constraint", ROOT / constraints]
    index = os.environ.get("TORCH_INDEX")
    source = ["--index-url", index] if index else []
    failed = "the installation failed, pip says why above; the next run tries again."
    must([*pip, *source, "--no-deps", "torch"], failed)
    must([*pip, *wanted], failed)


def ensure_venv(stamp: dict) -> bool:
    """See to a `.venv` of this Python and platform; say whether this program made it.

    One that somebody else made is used as it is and never deleted.
    """
    if not VENV.exists() or (stamp.get("ours") and stamp["base"] != base()):
        say("making", VENV)
        try:
            make_venv(VENV)
        except BaseException:
            shutil.rmtree(str(VENV), ignore_errors=True)  # half of one would pass for another's
            raise
        return True
    ask = f"import pip, sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    if not python_in(VENV).exists() or run([python_in(VENV), "-c", ask]) != 0:
        raise Stop(f"{VENV} holds no Python with pip that genenvs can use; move it away.", 2)
    return stamp.get("ours", False)


def ensure_installed(extras: frozenset) -> None:
    """Install this checkout with `extras` into `.venv`, unless the stamp says that it is done."""
    stamp = read_stamp()
    installed = frozenset(stamp.get("extras", ())) if stamp.get("base") == base() else frozenset()
    if stamp.get("files") == files_hash() and (extras <= installed or "all" in installed):
        return
    started = time.perf_counter()
    ours = ensure_venv(stamp)
    write_stamp(ours=ours, base=base())
    advise_about_torch()
    wanted = sorted(extras | installed)
    say(f"installing genenvs[{','.join(wanted)}]")
    pip_install(python_in(VENV), "--editable", f"{ROOT}[{','.join(wanted)}]")
    # Written last: an installation that was cut short is done again.
    write_stamp(ours=ours, base=base(), files=files_hash(), extras=wanted)
    say(f"installed in {time.perf_counter() - started:.0f} s")


def run_checks(checks: list) -> int:
    """Run every (name, command), say how each ended, and give the first exit code that is not 0."""
    results = []
    for name, command in checks:
        say(name)
        started = time.perf_counter()
        results.append((name, run(command), time.perf_counter() - started))
    for name, code, seconds in results:
        say(f"{name:<8}{seconds:6.1f} s  {'failed' if code else 'passed'}")
    return next((code for _, code, _ in results if code), 0)


def lint_checks() -> list:
    return [
        ("format", in_venv("ruff", "format", "--check", ".")),
        ("lint", in_venv("ruff", "check", ".")),
        ("types", in_venv("mypy")),
    ]


def lint(arguments: list) -> int:
    ensure_installed(FOR_TESTS)
    return run_checks(lint_checks())


def workers() -> int:
    return min(os.cpu_count() or 1, MOST_WORKERS)


def test(arguments: list) -> int:
    ensure_installed(FOR_TESTS)
    # The longest tests come last; whoever is done takes from who is not.
    tests = ("tests", in_venv("pytest", "-n", workers(), "--dist", "worksteal", *arguments))
    return run_checks([*lint_checks(), tests])


def demo(arguments: list) -> int:
    ensure_installed(FOR_AGENTS)
    return run(in_venv("benchmarks.demo", *arguments))


def bench(arguments: list) -> int:
    ensure_installed(FOR_AGENTS)
    return run(in_venv("benchmarks.speed", *arguments))


def ci_wheel(arguments: list) -> int:
    """Build sdist and wheel, check the wheel, and play from it in an environment of its own."""
    ensure_installed(FOR_TESTS)
    with tempfile.TemporaryDirectory(prefix="genenvs-wheel-") as name:
        folder = Path(name)
        dist, venv = folder / "dist", folder / "venv"
        must(in_venv("build", "--outdir", dist, ROOT), "the wheel could not be built.")
        must(in_venv("tests.repository.dist", dist), "the wheel is not what it should be.")
        make_venv(venv)
        (wheel,) = dist.glob("*.whl")
        pip_install(python_in(venv), wheel)
        must([python_in(venv), "-m", "pip", "check"], "the wheel's requirements disagree.")
        command = python_in(venv).with_name("genenvs.exe" if os.name == "nt" else "genenvs")
        must([command, "list"], "the installed command does not work.", folder)
        script = ROOT / "tests" / "repository" / "play_every_id.py"
        shutil.copy(str(script), str(folder))
        # Isolated and elsewhere: only what the wheel installed can be imported.
        play = [python_in(venv), "-I", folder / script.name]
        must(play, "not every environment can be played from the wheel.", folder)
    return 0


def test_apart(extra: str, arguments: list) -> int:
    """Install an extra that `all` leaves out into an environment of its own, and run its tests."""
    extras, tests = APART[extra]
    # Whatever else may be skipped there, these may not.
    os.environ["GENENVS_REQUIRE"] = ",".join(extras)
    with tempfile.TemporaryDirectory(prefix=f"genenvs-{extra}-") as name:
        make_venv(Path(name))
        python = python_in(Path(name))
        wanted = f"{ROOT}[{','.join(extras)}]"
        pip_install(python, "--editable", wanted, constraints=f"constraints-{extra}.txt")
        # Tests that share a cluster are marked as a group, which stays with one worker.
        pytest = [python, "-m", "pytest", "-n", workers(), "--dist", "loadgroup"]
        pytest += ["-m", "not again"]
        return run_checks(
            [
                ("check", [python, "-m", "pip", "check"]),
                ("tests", [*pytest, *tests, *arguments]),
            ]
        )


def ci_rllib(arguments: list) -> int:
    return test_apart("rllib", arguments)


def ci_zoo(arguments: list) -> int:
    return test_apart("zoo", arguments)


def ci_open3d(arguments: list) -> int:
    return test_apart("open3d", arguments)


def ci_pybullet(arguments: list) -> int:
    return test_apart("pybullet", arguments)


TARGETS = {
    "demo": demo,
    "test": test,
    "lint": lint,
    "bench": bench,
    "ci-wheel": ci_wheel,
    "ci-rllib": ci_rllib,
    "ci-zoo": ci_zoo,
    "ci-open3d": ci_open3d,
    "ci-pybullet": ci_pybullet,
}


def main(arguments: list) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if arguments[0] not in TARGETS:
        raise Stop(f"unknown target {arguments[0]!r}; there are {', '.join(TARGETS)}.", 2)
    check_python()
    return TARGETS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except Stop as stop:
        sentence, code = stop.args
        print("dev.py:", sentence, file=sys.stderr)
    except KeyboardInterrupt:
        print("\ndev.py: stopped.", file=sys.stderr)
        code = 130
    sys.exit(code)
