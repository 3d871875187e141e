"""Install and run what people and CI run, with nothing but Python: `python dev.py test`.

    demo       train the first agent and draw what it makes, under runs/demo/
    test       lint, check types, run the tests and the laws of every environment
    lint       the first part of `test` alone
    bench      measure speed and memory
    ci-wheel   build the wheel, look inside, and play every environment from it elsewhere

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

AGENTS = frozenset({"agents", "benchmarks"})
EVERYTHING = frozenset({"all"})
MOST_WORKERS = 8  # each test process holds its own PyTorch, some 0.5 GB


class Stop(Exception):
    """What ends this program with one sentence: `Stop(sentence, exit code)`."""


def say(*words):
    print("dev.py:", *words, flush=True)


def run(command, **options):
    """Run a program and give its exit code; on Ctrl-C let it end by itself, a second one ends it.

    `subprocess.run` would kill it a quarter of a second after Ctrl-C, while it still writes what it
    has so far.
    """
    options.setdefault("cwd", ROOT)
    process = subprocess.Popen([str(word) for word in command], **options)
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


def must(command, sentence, **options):
    """Run a program that has to succeed."""
    code = run(command, **options)
    if code != 0:
        raise Stop(sentence, code if code > 0 else 1)


# ---------------------------------------------------------------------------------------------
# installing


def check_python():
    if sys.version_info < OLDEST_PYTHON:
        raise Stop(
            "genenvs needs Python {0}.{1} or newer and this is {2} ({3}); name a newer one, as in "
            "`make test PYTHON=python{0}.{1}`.".format(
                *OLDEST_PYTHON, platform.python_version(), sys.executable
            ),
            2,
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise Stop(
            "this Python ({}) cannot make virtual environments, it lacks `{}`; on Debian and Ubuntu "
            "`apt install python3-venv` adds it.".format(sys.executable, error.name),
            2,
        )


def python_in(venv):
    """The interpreter of a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_venv(path):
    interpreter = getattr(sys, "_base_executable", None) or sys.executable
    must(
        [interpreter, "-m", "venv", "--clear", path],
        "no virtual environment could be made in {}.".format(path),
    )


def files_hash():
    """What asks for another installation into the same virtual environment."""
    files = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        files.update((ROOT / name).read_bytes())
    return files.hexdigest()


def base():
    """What asks for another virtual environment."""
    return {
        "folder": str(ROOT),  # an editable installation holds this path
        "python": platform.python_version(),
        "platform": sysconfig.get_platform(),
        "torch_index": os.environ.get("TORCH_INDEX", ""),
    }


def read_stamp():
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_stamp(**stamp):
    STAMP.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")


def has_nvidia_driver():
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def advise_about_torch():
    """Say what the CPU index saves where PyPI's own wheel brings a CUDA that nothing can use."""
    if sysconfig.get_platform() != "linux-x86_64" or has_nvidia_driver():
        return
    if not os.environ.get("TORCH_INDEX"):
        say(
            "no NVIDIA driver here. Unless pip already knows of a CPU build of PyTorch, it downloads "
            "2.8 GB with CUDA, where 0.3 GB do: Ctrl-C and TORCH_INDEX={} takes those.".format(
                CPU_INDEX
            )
        )


def pip_install(python, *wanted):
    """Install within the constraints: PyTorch alone first, from its own index where one is named."""
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    pins = ["--constraint", ROOT / "constraints.txt"]
    index = os.environ.get("TORCH_INDEX")
    source = ["--index-url", index] if index else []
    failed = "installation failed, see pip's words above; the next run tries again."
    must([*pip, *pins, *source, "--no-deps", "torch"], failed)
    must([*pip, *pins, *wanted], failed)


def ensure_venv(stamp):
    """See to a `.venv` of this Python and platform; say whether this program may make it anew.

    One that somebody else made is used as it is and never deleted.
    """
    if not VENV.exists() or (stamp.get("ours") and stamp["base"] != base()):
        say("making", VENV)
        make_venv(VENV)
        return True
    ask = "import sys; sys.exit(sys.version_info < {})".format(OLDEST_PYTHON)
    if not python_in(VENV).exists() or run([python_in(VENV), "-c", ask]) != 0:
        raise Stop("{} has no Python that genenvs can use; move it away.".format(VENV), 2)
    return stamp.get("ours", False)


def ensure_installed(extras):
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
    say("installing genenvs[{}]".format(",".join(wanted)))
    pip_install(python_in(VENV), "--editable", "{}[{}]".format(ROOT, ",".join(wanted)))
    # Written last: an installation that was cut short is done again.
    write_stamp(ours=ours, base=base(), files=files_hash(), extras=wanted)
    say("installed in {:.0f} s".format(time.perf_counter() - started))


# ---------------------------------------------------------------------------------------------
# targets


def in_venv(*words):
    return [python_in(VENV), "-m", *words]


def run_checks(checks):
    """Run every check, say how each ended, and give the first exit code that is not 0."""
    results = []
    for name, command in checks:
        say(name)
        started = time.perf_counter()
        results.append((name, run(command), time.perf_counter() - started))
    for name, code, seconds in results:
        say("{:<12} {:>6.1f} s  {}".format(name, seconds, "failed" if code else "passed"))
    return next((code for _, code, _ in results if code), 0)


def lint_checks():
    return [
        ("format", in_venv("ruff", "format", "--check", ".")),
        ("lint", in_venv("ruff", "check", ".")),
        ("types", in_venv("mypy")),
    ]


def lint(arguments):
    ensure_installed(EVERYTHING)
    return run_checks(lint_checks())


def test(arguments):
    ensure_installed(EVERYTHING)
    workers = str(min(os.cpu_count() or 1, MOST_WORKERS))
    return run_checks(
        [
            *lint_checks(),
            ("laws", in_venv("genenvs", "check", "--all")),
            ("tests", in_venv("pytest", "-n", workers, *arguments)),
        ]
    )


def demo(arguments):
    ensure_installed(AGENTS)
    return run(in_venv("benchmarks.demo", *arguments))


def bench(arguments):
    ensure_installed(AGENTS)
    return run(in_venv("benchmarks.speed", *arguments))


def ci_wheel(arguments):
    """Build sdist and wheel, check the wheel, and play from it in an environment of its own."""
    ensure_installed(EVERYTHING)
    checks = ROOT / "tests" / "repository"
    with tempfile.TemporaryDirectory(prefix="genenvs-wheel-") as name:
        folder = Path(name)
        dist, venv = folder / "dist", folder / "venv"
        must(in_venv("build", "--outdir", dist, ROOT), "the wheel could not be built.")
        (wheel,) = dist.glob("*.whl")
        must(in_venv("tests.repository.wheel", wheel), "the wheel is not what it should be.")
        make_venv(venv)
        pip_install(python_in(venv), wheel)
        must([python_in(venv), "-m", "pip", "check"], "the wheel's requirements do not agree.")
        script = shutil.copy(str(checks / "play_every_id.py"), str(folder))
        # Isolated: nothing of the checkout is on the path, only what the wheel installed.
        must(
            [python_in(venv), "-I", script],
            "not every environment can be played from the wheel.",
            cwd=folder,
        )
    return 0


TARGETS = {"demo": demo, "test": test, "lint": lint, "bench": bench, "ci-wheel": ci_wheel}


def main(arguments):
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if arguments[0] not in TARGETS:
        raise Stop("unknown target {!r}; there are {}.".format(arguments[0], ", ".join(TARGETS)), 2)
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
