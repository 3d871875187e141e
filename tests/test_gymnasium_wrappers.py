"""Gymnasium's own wrappers on our faces, and the tables of docs/autoreset.md made of what they do.

`python -m tests.test_gymnasium_wrappers` writes the tables anew.
"""

import copy
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces, wrappers
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.utils import RunningMeanStd

import genenvs.wrappers
from genenvs.core.env import TaskEnv
from genenvs.core.info import step_terms
from genenvs.core.vector import TaskVectorEnv
from tests.needs import needs

PAGE = Path(__file__).parents[1] / "docs" / "autoreset.md"
MODES = [mode.name for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP,
                                AutoresetMode.DISABLED)]  # fmt: skip
SINGLE = "single"
FACES = [SINGLE, *MODES]
HORIZON, EPISODES = 5, 3

# The walk is paid 0.5 a step for these actions, and cut off after HORIZON steps.
ON = np.ones(4, np.int8)


def make(name: str, face: str, **kwargs: Any) -> Any:
    """A throw-away task behind one face; two rows where it has rows."""
    kwargs = {"task": f"tests.core.throwaway:{name}", "horizon": HORIZON} | kwargs
    if face == SINGLE:
        kwargs.pop("output", None)
        return TaskEnv(**kwargs)
    return TaskVectorEnv(num_envs=2, autoreset_mode=face, **kwargs)


def play(env: Any, face: str, action: Any) -> list[tuple[Any, ...]]:
    """The steps of EPISODES episodes of HORIZON: what each call returned, as it was then."""
    told: list[tuple[Any, ...]] = []

    def tell(result: tuple[Any, ...]) -> None:
        told.append(copy.deepcopy(result))

    if face != SINGLE:
        action = np.stack([action] * 2)
    tell(env.reset(seed=0))
    for _ in range(EPISODES * (HORIZON + 1 if face == "NEXT_STEP" else HORIZON)):
        result = env.step(action)
        tell(result)
        ended = np.asarray(result[2] | result[3])
        if face == "DISABLED" and ended.any():
            tell(env.reset(options={"reset_mask": ended}))
        elif face == SINGLE and ended:
            tell(env.reset())
    return told


def statistics(face: str, wrapper: Any, output: str) -> str:
    """Every episode of the walk returns 2.5 in 5 steps."""
    told = play(wrapper(make("Walk", face, output=output)), face, ON)
    found = []
    for *_, info in told:
        if face == SINGLE and "episode" in info:
            found.append((info["episode"]["r"], info["episode"]["l"]))
        elif face != SINGLE and "episode" in info:
            rows = np.asarray(info["_episode"])
            found += zip(*(np.asarray(info["episode"][key])[rows] for key in "rl"), strict=True)
    rows = 1 if face == SINGLE else 2
    right = len(found) == EPISODES * rows and np.allclose(found, (HORIZON / 2, HORIZON))
    return "works" if right else f"wrong: {found}"


def video(face: str, wrapper: Any, output: str) -> str:
    """The film of an episode shows its first state and what each step made of it."""
    films = []

    class Counting(wrapper):
        def stop_recording(self) -> None:
            films.append(len(self.recorded_frames))
            super().stop_recording()

    with tempfile.TemporaryDirectory() as folder:
        env = make("Walk", face, render_mode="rgb_array", output=output)
        env = Counting(env, f"{folder}/films", episode_trigger=lambda episode: True)
        play(env, face, ON)
        env.close()
        written = len(list(Path(folder, "films").glob("*.mp4")))
    assert written == len(films) >= EPISODES, (written, films)
    shown = films[1]
    assert set(films[:EPISODES]) <= {shown, HORIZON + 1, HORIZON}, films
    return "works" if shown == HORIZON + 1 else f"{shown} of {HORIZON + 1} frames: the last is lost"


def flattening(face: str, wrapper: Any, output: str) -> str:
    """Each row is `spaces.flatten` of what the bare environment shows."""
    plain = make("Network", face, output=output)
    env = wrapper(make("Network", face, output=output))
    space = plain.observation_space if face == SINGLE else plain.single_observation_space
    action = np.array([2, 1])
    for one, other in zip(play(plain, face, action), play(env, face, action), strict=True):
        if face == SINGLE:
            expected = spaces.flatten(space, one[0])
        else:
            expected = [
                spaces.flatten(space, {key: value[i] for key, value in one[0].items()})
                for i in range(2)
            ]
        if not np.allclose(other[0], expected):
            return "wrong"
    return "works"


def normalising(face: str, wrapper: Any, output: str) -> str:
    """Each observation is scaled by the moments of all that episodes have shown until then."""
    plain, env = (make("Walk", face, output=output) for _ in range(2))
    moments = RunningMeanStd(shape=(1,))
    for one, other in zip(play(plain, face, ON), play(wrapper(env), face, ON), strict=True):
        raw = np.atleast_2d(np.asarray(one[0], np.float64))
        final = one[-1].get("final_obs")
        moments.update(raw if final is None else np.concatenate([raw, np.asarray(final)]))
        seen, expected = [other[0]], [raw]
        if final is not None:
            seen.append(other[-1]["final_obs"])
            expected.append(np.asarray(final))
        for value, truth in zip(seen, expected, strict=True):
            scaled = (truth - moments.mean) / np.sqrt(moments.var + 1e-8)
            if not np.allclose(np.atleast_2d(np.asarray(value)), scaled, atol=1e-3):
                return "wrong"
    return "works"


def rewards(face: str, wrapper: Any, output: str) -> str:
    """Each reward is scaled by the moments of the discounted returns, none beyond its episode."""
    told = play(wrapper(make("Walk", face, output=output), gamma=0.5), face, ON)
    moments, total, over = RunningMeanStd(), 0.0, False
    for result in told:
        if len(result) == 2:
            continue
        if not over:
            total = total * 0.5 + 0.5
            moments.update(np.array([total] * (1 if face == SINGLE else 2)))
        expected = 0.0 if over else 0.5 / np.sqrt(moments.var + 1e-8)
        if not np.allclose(np.asarray(result[1]), expected, rtol=1e-3):
            return "other values, see below"
        ended = bool(np.asarray(result[3]).any())
        over, total = ended and face == "NEXT_STEP", 0.0 if ended else total
    return "works"


# Of each wrapper by its name in the table: what tries it, its class by face, the output it is for.
Row = tuple[Callable[[str, Any, str], str], Callable[[str], Any], str]


def theirs(name: str) -> Callable[[str], Any]:
    return lambda face: getattr(wrappers if face == SINGLE else wrappers.vector, name)


def ours(name: str) -> Callable[[str], Any]:
    return lambda face: None if face == SINGLE else getattr(genenvs.wrappers, name)


ROWS: dict[str, Row] = {
    "Gymnasium's `RecordEpisodeStatistics`": (
        statistics, theirs("RecordEpisodeStatistics"), "numpy"),
    "Gymnasium's `RecordVideo`": (video, theirs("RecordVideo"), "numpy"),
    "Gymnasium's `FlattenObservation`": (flattening, theirs("FlattenObservation"), "numpy"),
    "Gymnasium's `NormalizeObservation`": (normalising, theirs("NormalizeObservation"), "numpy"),
    "Gymnasium's `NormalizeReward`": (rewards, theirs("NormalizeReward"), "numpy"),
    "`genenvs.wrappers.RecordEpisodeStatistics`": (
        statistics, ours("RecordEpisodeStatistics"), "torch"),
    "`genenvs.wrappers.NormalizeObservation`": (
        normalising, ours("NormalizeObservation"), "torch"),
    "`genenvs.wrappers.NormalizeReward`": (rewards, ours("NormalizeReward"), "torch"),
}  # fmt: skip


def observe(name: str) -> list[str]:
    """A row of the table: what was seen behind each face."""
    attempt, wrapper, output = ROWS[name]
    cells = []
    for face in FACES:
        kind = wrapper(face)
        if kind is None:
            cells.append("-")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                cells.append(attempt(face, kind, output))
            except ValueError as error:
                assert "autoreset" in str(error), error
                cells.append("refused (`ValueError`)")
    return [name, output, *cells]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def wrapper_table() -> str:
    head = ["wrapper", "`output`", "`gym.make`", *(f"`{mode}`" for mode in MODES)]
    return table(head, [observe(name) for name in ROWS])


def info_table() -> str:
    """The keys of `info` after a reset, a step, and a step in which a row ended."""
    rows = []
    for mode in MODES:
        told = [info for *_, info in play(make("Grid", mode, horizon=HORIZON), mode, 0)]
        kinds = [told[0], told[1], told[HORIZON]]
        rows.append([f"`{mode}`", *(shown(info) for info in kinds)])
    return table(["", "after `reset`", "after `step`", "where a row ended"], rows)


def shown(info: dict[str, Any]) -> str:
    """Keys without their masks, each of which must be there."""
    keys = [key for key in info if not key.startswith("_")]
    assert all(f"_{key}" in info for key in keys), info.keys()
    return ", ".join(f"`{key}`" for key in sorted(keys))


BLOCKS = {"wrappers": wrapper_table, "info": info_table}


def block(name: str, page: str) -> re.Match[str]:
    found = re.search(rf"(<!-- {name}: [^>]*-->\n)(.*?)\n?(<!-- end -->)", page, re.DOTALL)
    assert found is not None, f"{PAGE} has no block {name!r}"
    return found


def documented(name: str) -> str:
    return block(name, PAGE.read_text()).group(2)


AGAIN = "docs/autoreset.md is stale: python -m tests.test_gymnasium_wrappers"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=needs("moviepy", extra="video")) if "Video" in name else name
        for name in ROWS
    ],
)
def test_the_page_says_what_a_wrapper_does(name):
    cells = observe(name)
    assert not [cell for cell in cells if cell.startswith("wrong")], cells
    assert f"| {' | '.join(cells)} |" in documented("wrappers"), AGAIN


def test_the_table_of_wrappers_holds_them_all():
    assert len(documented("wrappers").splitlines()) == len(ROWS) + 2, AGAIN


def test_the_page_says_where_info_holds_what():
    assert documented("info") == info_table(), AGAIN


def test_every_wrapper_works_on_the_single_environment_and_in_some_mode():
    for name in ROWS:
        if "Video" not in name and "s `NormalizeReward" not in name:
            cells = observe(name)[2:]
            assert cells[0] in ("works", "-") and "works" in cells[1:]


@pytest.mark.parametrize("mode", MODES)
def test_wrappers_of_the_single_environment_work_inside_gymnasiums_sync(mode):
    """What a vector wrapper refuses under SAME_STEP goes inside, around each environment."""
    make_one = lambda: wrappers.FlattenObservation(make("Network", SINGLE))  # noqa: E731
    inside = gym.vector.SyncVectorEnv([make_one] * 2, autoreset_mode=AutoresetMode[mode])
    told = play(inside, mode, np.array([2, 1]))
    plain = play(make("Network", mode), mode, np.array([2, 1]))
    for one, other in zip(plain, told, strict=True):
        np.testing.assert_allclose(other[0][:, -4:], one[0]["x"], atol=1e-5)
        assert ("final_obs" in one[-1]) == ("final_obs" in other[-1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["Grid", "Network", "Walk"])
def test_step_terms_sum_to_the_reward_in_every_mode(name, mode):
    env = make(name, mode, reward_weights={})
    action = {"Grid": 1, "Network": np.array([2, 1]), "Walk": ON}[name]
    for result in play(env, mode, action):
        if len(result) == 5:
            total = sum(env.weights[key] * value for key, value in step_terms(result[4]).items())
            np.testing.assert_allclose(total, result[1], atol=1e-5)


def test_next_step_spends_one_step_in_t_plus_one_on_resets():
    for mode, wasted in (("NEXT_STEP", 1 / (HORIZON + 1)), ("SAME_STEP", 0.0)):
        env = make("Walk", mode)
        env.reset(seed=0)
        steps = 5 * (HORIZON + 1)
        counted = [env.step(np.stack([ON] * 2))[4]["_terms"] for _ in range(steps)]
        ended = 0 if mode == "NEXT_STEP" else steps // HORIZON  # their terms are in final_info
        assert 1 - np.mean(counted) == pytest.approx(wasted + ended / steps)


def write() -> None:
    """Put what is observed into the page."""
    page = PAGE.read_text()
    for name, tell in BLOCKS.items():
        found = block(name, page)
        page = f"{page[: found.start(2)]}{tell()}\n{page[found.start(3) :]}"
    PAGE.write_text(page)


if __name__ == "__main__":
    sys.exit(write())
