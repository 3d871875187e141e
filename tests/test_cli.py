"""The command line, as a user types it."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import genenvs
from genenvs.cli import app
from genenvs.cli.page import space_text
from genenvs.cli.rollout import RESERVED, read_arguments
from genenvs.core import registry
from genenvs.core.files import sha256
from genenvs.core.registry import Declaration
from genenvs.doctor import devices, weights
from genenvs.generators import store
from genenvs.images.files import SMALLEST, contact_sheet
from tests.needs import hear_ctrl_c, needs

ROOT = Path(__file__).parents[1]
THROWAWAY = {
    "CliGrid": ("Grid", {"horizon": 12, "size": 5}, "covered"),
    "CliBandit": ("Bandit", {"horizon": 1}, "error"),
    "CliNetwork": ("Network", {"horizon": 4}, "return"),
    "CliWalk": ("Walk", {"horizon": 3}, "slow"),
}


@pytest.fixture(autouse=True)
def throwaway_ids():
    names = [f"genenvs/{name}-v0" for name in THROWAWAY]
    for name, (task, arguments, score) in zip(names, THROWAWAY.values(), strict=True):
        registry.declare(
            Declaration(
                name, f"tests.core.throwaway:{task}", arguments, score, f"A {task}", "A paper",
                {"always": "m:f"},
            )
        )  # fmt: skip
    yield
    for name in names:
        del registry._declared[name]
        del gym.registry[name]


def run(*arguments, code=0, env=None):
    result = CliRunner().invoke(app, [str(a) for a in arguments], env=env)
    assert result.exit_code == code, result.output
    return result


def fails(*arguments, code=1):
    """What a command that fails says, in one sentence on stderr and no traceback."""
    said = run(*arguments, code=code).stderr
    assert said.startswith("genenvs: ") and said.count("\n") == 1, said
    return said


def python(*arguments, **options):
    settings = {"capture_output": True, "text": True, "cwd": ROOT, "timeout": 120}
    return subprocess.run([sys.executable, *map(str, arguments)], **settings | options)


# --- list, info, train ---


def test_the_module_is_the_command_and_knows_its_version():
    result = python("-m", "genenvs", "--version")
    assert (result.returncode, result.stdout) == (0, f"genenvs {genenvs.__version__}\n")


def test_list_loads_neither_torch_nor_diffusers():
    script = (
        "import sys; sys.argv = ['genenvs', 'list']\n"
        "from genenvs.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'diffusers'} & set(sys.modules)"
    )
    result = python("-c", script)
    assert result.returncode == 0, result.stderr


def test_list_names_every_id_with_its_paper_and_says_what_was_not_measured():
    said = run("list").stdout
    assert all(env_id in said for env_id in registry.ids())
    assert "A paper" in said and "not measured" in said


def test_list_as_json_holds_what_is_declared():
    entries = {entry["id"]: entry for entry in json.loads(run("list", "--json").stdout)}
    assert list(entries) == registry.ids()
    assert entries["genenvs/CliGrid-v0"]["arguments"] == {"horizon": 12, "size": 5}
    assert entries["genenvs/CliGrid-v0"]["scores"] is None


def test_list_and_info_show_measured_scores(monkeypatch):
    env_id = "genenvs/CliGrid-v0"
    random, reference, always = (
        {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "episodes": 9, "metrics": metrics}
        for mean, metrics in ((0.25, {"covered": 0.5}), (0.75, {"covered": 0.625}), (0.125, {}))
    )
    entry = {"random": random, "reference": reference, "cheats": {"always": always}}
    entry |= {"arguments": registry.arguments_hash(env_id), "command": "measure it"}
    monkeypatch.setattr(registry, "_scores", lambda: {env_id: entry})
    row = next(line for line in run("list").stdout.splitlines() if env_id in line)
    assert "0.25 [0.15, 0.35]" in row and "0.75 [0.65, 0.85]" in row
    page = run("info", env_id).stdout
    assert "| policy | mean | 95 % interval | episodes | `covered` |" in page
    assert "| random | 0.25 | 0.15 to 0.35 | 9 | 0.5 |" in page
    assert "| cheat: always | 0.125 | 0.025 to 0.225 | 9 |  |" in page
    assert "Made by `measure it`." in page


@pytest.mark.parametrize("name", ["genenvs/CliGrid-v0", "CliGrid-v0", "genenvs:genenvs/CliGrid-v0"])
def test_info_is_the_docstring_and_what_the_code_knows(name):
    page = run("info", name).stdout
    assert page.startswith("# genenvs/CliGrid-v0\n\nAn integer grid with an exact mask")
    assert "| `size` | `5` | the id |" in page
    assert "| action | `Discrete(4)` |" in page
    assert "| `goal` | 5 | Paid once at the goal. |" in page
    assert "| `covered` | once an episode |  | yes | Share of cells visited. |" in page
    assert "The limit of 12 steps ends an episode as `truncated`." in page
    assert "Known cheats: `always`." in page


def test_info_lists_the_spaces_of_a_dict_observation():
    page = run("info", "CliNetwork-v0").stdout
    assert "| observation `x` | `Box(-20, 20, (4,), float32)` |" in page


def test_info_shows_the_rest_of_the_page_where_an_environment_cannot_be_made(monkeypatch):
    def broken(*args, **kwargs):
        raise FileNotFoundError("no weights here")

    monkeypatch.setattr("genenvs.core.env.TaskEnv", broken)
    result = run("info", "CliGrid-v0", code=1)
    assert "Paid once at the goal." in result.stdout
    assert result.stderr == "genenvs: genenvs/CliGrid-v0 cannot be made: no weights here\n"


def test_a_space_with_an_array_of_bounds_takes_one_line():
    box = gym.spaces.Box(np.zeros(200, np.float32), np.arange(200, dtype=np.float32))
    assert space_text(box) == "Box(0, 0..199, (200,), float32)"


def test_train_says_where_the_agents_are():
    assert "`python -m agents` is genenvs' reference agents, in" in run("train").stdout


def test_another_package_called_agents_is_recognised(tmp_path, monkeypatch):
    # As openai-agents installs one; a folder of that name does the same.
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    said = " ".join(run("train").stdout.split())
    assert f"is another package, somebody in {tmp_path}/agents, not genenvs' agents: `cd " in said
    assert "another package" in " ".join(run("doctor").stdout.split())


@pytest.mark.parametrize("command", ["info", "rollout", "check"])
def test_an_unknown_id_names_the_nearest_ones(command):
    said = fails(command, "CliGird-v0", code=2)
    assert "'genenvs/CliGird-v0'" in said and "genenvs/CliGrid-v0" in said


def test_ids_are_completed_with_and_without_the_namespace():
    # What a shell asks for when someone types `genenvs info CliG` and the tab key.
    asked = {"_GENENVS_COMPLETE": "complete_bash", "COMP_WORDS": "genenvs info CliG"}
    result = CliRunner().invoke(app, [], prog_name="genenvs", env=asked | {"COMP_CWORD": "2"})
    assert result.stdout.split() == ["CliGrid-v0"]


# --- rollout ---


def test_a_rollout_prints_score_return_and_length():
    said = run("rollout", "CliGrid-v0", "--agent", "reference", "--episodes", 3).stdout
    assert "score (covered)" in said and "return" in said and "length" in said


def test_a_rollout_repeats_itself_and_another_seed_plays_other_episodes():
    def said(seed):
        return run("rollout", "CliGrid-v0", "--seed", seed).stdout

    assert said(3) == said(3) != said(4)


def test_a_rollout_plays_the_episodes_of_the_fixed_list():
    from genenvs import evaluate

    found = evaluate("genenvs/CliGrid-v0", "reference", episodes=3, seed=5)
    played = run("rollout", "CliGrid-v0", "--agent=reference", "--episodes=3", "--seed=5").stdout
    for name, label in (("return", "return"), ("length", "length"), ("covered", "score (covered)")):
        values = found.episodes[name]
        row = next(line for line in played.splitlines() if f" {label} " in line)
        shown = [float(cell) for cell in row.split("│")[2:5]]
        assert shown == pytest.approx([values.mean(), values.min(), values.max()], rel=1e-3)


def test_a_score_that_only_evaluate_measures_is_said_to_be_one():
    said = run("rollout", "CliWalk-v0").stdout
    assert "slow is measured by genenvs.evaluate alone." in said


@pytest.mark.parametrize("name", ["CliBandit-v0", "CliNetwork-v0", "CliWalk-v0"])
def test_every_kind_of_action_can_be_played_at_random(name):
    run("rollout", name, "--episodes", 2)


def test_a_gif_holds_every_step_of_every_episode(tmp_path):
    out = tmp_path / "films.gif"
    said = run("rollout", "CliWalk-v0", "--episodes", 2, "--out", out).stdout
    assert f"wrote {out}" in said.replace("\n", "")
    with Image.open(out) as film:
        milliseconds = 0
        for k in range(film.n_frames):  # equal neighbours are one frame, shown longer
            film.seek(k)
            milliseconds += film.info["duration"]
        assert film.size == (128, 128)
    assert milliseconds == 2 * (3 * 250 + 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["films.gif"]


@needs("av", extra="video")
def test_an_mp4_holds_every_step_of_every_episode(tmp_path):
    import av

    out = tmp_path / "film.MP4"
    run("rollout", "CliWalk-v0", "--episodes", 2, "--out", out)
    with av.open(str(out)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 2 * (3 + 4)
    assert frames[0].shape == (128, 128, 3)


def test_a_png_holds_one_cell_an_episode(tmp_path):
    out = tmp_path / "sheet.png"
    run("rollout", "CliBandit-v0", "--episodes", 4, "--out", out)
    with Image.open(out) as sheet:
        assert sheet.size == (2 * SMALLEST + 4, 2 * SMALLEST + 4)


def test_a_png_holds_what_was_made_where_that_is_an_image(tmp_path, monkeypatch):
    from tests.core.throwaway import Bandit

    red = Image.new("RGB", (SMALLEST, SMALLEST), "red")
    monkeypatch.setattr(Bandit, "artefact", lambda self, state, index: red)
    run("rollout", "CliBandit-v0", "--episodes", 1, "--out", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.getcolors() == [(SMALLEST**2, (255, 0, 0))]


def test_a_sheet_of_many_large_pictures_stays_small():
    sheet = contact_sheet([np.zeros((600, 900, 3), np.uint8)] * 30)
    assert sheet.width <= 4096 and sheet.height <= 4096


def test_arguments_are_json_or_strings():
    read = read_arguments(["horizon=7", 'reward_weights={"goal": 2}', "device=cpu", "a=", "b=x=y"])
    assert read == {
        "horizon": 7,
        "reward_weights": {"goal": 2},
        "device": "cpu",
        "a": "",
        "b": "x=y",
    }


def test_an_argument_reaches_the_environment():
    said = run("rollout", "CliWalk-v0", "--arg", "horizon=9").stdout
    assert any("length" in line and " 9 " in line for line in said.splitlines())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--arg", "horizon"], "must be key=value"),
        (["--arg", "colour=red"], "unexpected keyword argument 'colour'"),
        (["--arg", "horizon=0"], "horizon must be an integer >= 1; got 0"),
        (["--arg", 'reward_weights={"x": 1}'], "the terms are closer, goal"),
        *[(["--arg", f"{key}=1"], f"use {option}") for key, option in RESERVED.items()],
        (["--out", "film.avi"], ".gif, .mp4 or .png; got 'film.avi'"),
        (["--out", "film"], ".gif, .mp4 or .png; got 'film'"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(arguments, said):
    assert said in fails("rollout", "CliGrid-v0", *arguments, code=2)


@pytest.mark.parametrize(
    "arguments",
    [["--agent", "clever"], ["--episodes", "0"], ["--split", "all"], ["--seed", "-1"], ["--what"]],
)
def test_a_wrong_option_has_exit_code_2(arguments):
    run("rollout", "CliGrid-v0", *arguments, code=2)


def test_a_task_without_a_reference_says_so_before_it_plays(tmp_path):
    out = tmp_path / "x.gif"
    said = fails("rollout", "CliWalk-v0", "--agent", "reference", "--out", out, code=2)
    assert "Walk has no reference agent" in said and not list(tmp_path.iterdir())


# --- writing ---


def test_a_missing_folder_is_known_before_anything_is_played(tmp_path, monkeypatch):
    monkeypatch.setattr("genenvs.cli.rollout.make", lambda *args, **kwargs: pytest.fail("played"))
    said = fails("rollout", "CliGrid-v0", "--out", tmp_path / "none" / "x.png")
    assert f"the folder {tmp_path / 'none'} does not exist" in said


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EACCES, "is read-only"), (errno.EROFS, "is read-only"), (errno.ENOSPC, "No space")],
)
def test_a_folder_that_cannot_be_written_is_known_before_anything_is_played(
    tmp_path, monkeypatch, code, said
):
    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("genenvs.cli.rollout.make", lambda *args, **kwargs: pytest.fail("played"))
    monkeypatch.setattr("genenvs.core.files.tempfile.mkstemp", refuse)
    assert said in fails("rollout", "CliGrid-v0", "--out", tmp_path / "x.png")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "x.png").mkdir()
    assert "it is a folder" in fails("rollout", "CliGrid-v0", "--out", tmp_path / "x.png")


@pytest.mark.parametrize("suffix", ["gif", pytest.param("mp4", marks=needs("av", extra="video"))])
def test_a_disk_that_fills_up_leaves_what_stood_there(tmp_path, suffix):
    resource = pytest.importorskip("resource", reason="this machine has no limits on file sizes")
    out = tmp_path / f"film.{suffix}"
    out.write_text("before")
    script = (
        "import resource, numpy as np\n"
        "from genenvs.cli import main\n"
        "from genenvs.core.registry import Declaration, declare\n"
        "from tests.core.throwaway import Walk\n"
        "noise = np.random.default_rng(0)\n"
        "Walk.render = lambda *_: noise.integers(0, 256, (128, 128, 3), dtype=np.uint8)\n"
        "declare(Declaration('genenvs/W-v0', 'tests.core.throwaway:Walk', {'horizon': 20},"
        " 'return', 't', 's'))\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({1 << 17}, {1 << 17}))\n"
        "import sys; sys.argv = ['genenvs', 'rollout', 'W-v0', '--episodes', '2', '--out',"
        f" {str(out)!r}]\n"
        "main()"
    )
    assert resource is not None
    result = python("-c", script)
    assert result.returncode == 1, result.stderr
    assert result.stderr.startswith(f"genenvs: cannot write {out}: "), result.stderr
    assert result.stderr.count("\n") == 1
    assert out.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_mp4_without_pyav_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    said = fails("rollout", "CliGrid-v0", "--out", tmp_path / "x.mp4")
    assert "genenvs[video]" in said and not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="this machine has no POSIX signals")
def test_ctrl_c_stops_with_130_and_leaves_nothing_behind(tmp_path):
    script = (
        "import sys\n"
        "from genenvs.cli import main\n"
        "from genenvs.core.registry import Declaration, declare\n"
        "declare(Declaration('genenvs/W-v0', 'tests.core.throwaway:Walk', {'horizon': 10**9},"
        " 'return', 't', 's'))\n"
        f"sys.argv = ['genenvs', 'rollout', 'W-v0', '--out', {str(tmp_path / 'x.png')!r}]\n"
        "main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        preexec_fn=hear_ctrl_c,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and b"Traceback" not in said
    assert not list(tmp_path.iterdir())


# --- errors ---


def explode(*args, **kwargs):
    raise RuntimeError("it broke")


def test_an_unforeseen_error_is_one_sentence_and_a_traceback_on_demand(monkeypatch):
    monkeypatch.setattr("genenvs.cli.rollout.play", explode)
    assert "RuntimeError: it broke (--debug" in fails("rollout", "CliGrid-v0")
    for options, env in ((["--debug"], None), ([], {"GENENVS_DEBUG": "1"})):
        result = run(*options, "rollout", "CliGrid-v0", code=1, env=env)
        assert isinstance(result.exception, RuntimeError)


# --- check ---


@pytest.fixture
def laws(monkeypatch):
    """A stand-in for `genenvs.testing`, which has tests of its own: Grid breaks a law."""

    def check_task(env_id, **kwargs):
        calls.append((env_id, kwargs))
        if "Network" in env_id:
            raise OSError("no weights")
        return ["law 5: two", "law 6: three"] if "Grid" in env_id else []

    calls = []
    module = ModuleType("genenvs.testing")
    module.check_task = check_task
    monkeypatch.setitem(sys.modules, "genenvs.testing", module)
    return calls


def test_check_prints_a_line_an_id_or_every_law_that_it_breaks(laws):
    result = run("check", "CliWalk-v0", "CliGrid-v0", "CliNetwork-v0", code=1)
    kept, *broken = result.stdout.splitlines()
    assert kept.startswith("✓ genenvs/CliWalk-v0 (")
    assert broken[:2] == [f"✗ genenvs/CliGrid-v0: law {law}" for law in ("5: two", "6: three")]
    assert broken[2].startswith("✗ genenvs/CliNetwork-v0: OSError: no weights")
    assert "2 of 3 broke a law or could not be checked" in result.stderr


def test_check_all_looks_at_every_id_and_passes_options_on(laws):
    run("check", "--all", "--no-scores", code=1)
    assert laws == [(env_id, {"scores": False, "collect": True}) for env_id in registry.ids()]


def test_check_needs_to_know_what_to_check(laws):
    assert "name the ids to check, or --all" in fails("check", code=2)
    assert "name the ids to check, or --all" in fails("check", "CliWalk-v0", "--all", code=2)


def test_check_holds_an_environment_to_the_laws(monkeypatch):
    from tests.core.throwaway import Bandit

    monkeypatch.setattr(Bandit, "__doc__", "A page without a section.")
    said = run("check", "CliBandit-v0", "--no-scores", code=1).stdout
    assert "✗ genenvs/CliBandit-v0: law 10 (scores): the page has all its sections" in said


# --- doctor ---


def test_doctor_names_versions_devices_extras_weights_and_cache(tmp_path):
    import torch

    result = CliRunner().invoke(app, ["doctor"], env={"GENENVS_CACHE": str(tmp_path / "cache")})
    for word in (genenvs.__version__, torch.__version__, "cpu", "extras", "weights", "cache"):
        assert word in result.stdout
    assert str(tmp_path / "cache") in result.stdout


def test_doctor_verifies_weights(tmp_path):
    file = tmp_path / "model" / "weights.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"good")
    store.seal([file], tmp_path)
    (line,) = weights(tmp_path)
    assert not line.ill and sha256(file)[:16] in line.text
    file.write_bytes(b"evil")
    (line,) = weights(tmp_path)
    assert line.ill and "is not the file that was shipped" in line.text
    file.unlink()
    assert "is missing" in weights(tmp_path)[0].text


def test_doctor_says_what_an_extra_lacks(monkeypatch):
    from genenvs import doctor

    needed = ['present>=1; extra == "good"', 'absent; extra == "bad"', 'present>=3; extra == "bad"',
              'elsewhere; sys_platform == "nowhere" and extra == "good"',
              'genenvs[bad,good]; extra == "all"', "present"]  # fmt: skip
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: needed)
    monkeypatch.setattr(
        doctor.metadata, "metadata", lambda name: type("", (), {"get_all": lambda *_: extras})()
    )
    monkeypatch.setattr(doctor, "_version", lambda name: {"present": "2.0"}.get(name))
    monkeypatch.setattr(doctor, "_modules", lambda name: [])
    extras = ["good", "bad", "all"]
    found = {line.name: line.text for line in doctor.extras()}
    assert found == {
        "good": "present 2.0, elsewhere (not for this platform)",
        "bad": "lacks absent (not installed), present 2.0 (needs >=3)",
        "all": "lacks bad",
    }
    assert doctor.requirements("") == [doctor.Line("present", "2.0")]


def test_doctor_works_where_torch_does_not(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libtorch is broken')")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = python("-m", "genenvs", "doctor", env=os.environ | {"PYTHONPATH": paths}, cwd=tmp_path)
    assert result.returncode == 1
    assert "OSError: libtorch is broken" in result.stdout
    assert "weights" in result.stdout and "Traceback" not in result.stdout + result.stderr


def test_doctor_names_the_cpu_first():
    assert devices()[0].name == "cpu"
