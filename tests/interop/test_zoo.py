"""rl-baselines3-zoo trains on an id with `--gym-packages genenvs`, as docs/libraries.md says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import genenvs
from genenvs.core import registry
from tests.interop.examples import FOLDER, MOST_LINES, lines
from tests.needs import import_or_skip

import_or_skip("rl_zoo3", extra="zoo")

from rl_zoo3 import ALGOS  # noqa: E402
from rl_zoo3.utils import get_latest_run_id  # noqa: E402

EXAMPLE = "zoo_ppo.yml"
ENV_ID = "genenvs/DenoiseSchedule-v0"
ROOT = FOLDER.parents[1]


def commands() -> list[list[str]]:
    """What docs/libraries.md tells to type."""
    page = (ROOT / "docs" / "libraries.md").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^python -m rl_zoo3\.\w+ .*$", page, re.MULTILINE)
    return [[sys.executable, *shlex.split(line)[1:]] for line in found]


def run(command: list[str], *more: object) -> None:
    done = subprocess.run(
        [*command, *map(str, more)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_example_is_short() -> None:
    assert lines(EXAMPLE) <= MOST_LINES


def test_the_two_commands_of_the_page_train_and_replay_an_agent_that_beats_random(
    tmp_path: Path,
) -> None:
    train, enjoy = commands()
    assert train[2] == "rl_zoo3.train" and enjoy[2] == "rl_zoo3.enjoy"
    for command in (train, enjoy):
        assert command[command.index("--gym-packages") + 1] == "genenvs"
        assert command[command.index("--env") + 1] == ENV_ID
    run(train, "--n-timesteps", 4096, "--log-folder", tmp_path, "--seed", 0)
    name = ENV_ID.replace("/", "-")
    assert get_latest_run_id(str(tmp_path / "ppo"), name) == 1
    run(enjoy, "--folder", tmp_path, "--n-timesteps", 20)

    model = ALGOS["ppo"].load(tmp_path / "ppo" / f"{name}_1" / f"{name}.zip", device="cpu")
    found = genenvs.evaluate(
        ENV_ID, lambda observation, info: model.predict(observation, deterministic=True)[0],
        episodes=512,
    )  # fmt: skip
    assert found.interval().low > registry.scores(ENV_ID)["random"]["high"] + 0.02
