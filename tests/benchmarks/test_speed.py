"""What the clock is read for; no test asserts a time, and one, slow, a ratio by a wide margin."""

import json
import math
import re
import subprocess
import sys
import types
from dataclasses import replace
from functools import cache
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.networks import ActorCritic, NetworkConfig
from agents.problem import Problem
from benchmarks.speed import __main__ as command
from benchmarks.speed import cell, families, levels, machine, measure, peers, play, report
from benchmarks.speed.families import Target, denoise, denoise_schedule, training
from benchmarks.speed.levels import HIDDEN, LEVELS, Bench, Left
from benchmarks.speed.measure import Spread, in_turns, lap_of, over
from benchmarks.speed.results import Results
from genenvs.core import registry
from genenvs.core.registry import Declaration
from genenvs.rooms import placing
from tests.needs import needs, needs_device

ENV = "genenvs/SpeedGrid-v0"
SHORT = cell.Settings(repeats=2, seconds=0.002, limit=30.0)


@pytest.fixture
def grid():
    """An id that no module of `families` knows, declared and forgotten again."""
    arguments = {"horizon": 9, "size": 4}
    registry.declare(
        Declaration(ENV, "tests.core.throwaway:Grid", arguments, "covered", "A grid", "Us")
    )
    yield ENV
    del gym.registry[ENV], registry._declared[ENV]


# --- the clock ---


def test_laps_take_turns():
    order = []
    laps = {name: lambda name=name: (order.append(name), (2.0, 6.0))[1] for name in "ab"}
    assert in_turns(laps, 3) == {"a": [3.0] * 3, "b": [3.0] * 3}
    assert order == ["a", "b"] * 3


def test_a_ratio_is_taken_repeat_by_repeat():
    assert over([2.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == Spread(2.0, 2.0, 3.0)


def test_a_lap_counts_what_its_calls_make_while_the_clock_runs(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])

    def call():
        now[0] += 0.5

    assert lap_of(call, 7, seconds=2.0)() == (2.0, 28.0)


def test_the_machine_is_described():
    found = machine.describe(torch.device("cpu"))
    assert found["torch"] == torch.__version__ and found["cores"] >= 1 and found["processor"]


# --- the script ---


def test_a_script_is_legal_goes_through_ends_and_is_played_alike_by_every_face(grid):
    envs = play.native(grid, 16)
    script = play.write(envs, play.Pool(grid), 0.02)
    assert script.num_envs == 16 and 0 < script.ended < 0.5

    def rewards(face, actions):
        face.set_state(script.start)
        return np.array([np.asarray(face.step(action)[1]) for action in actions])

    ours = rewards(envs, script.actions)
    np.testing.assert_array_equal(ours, rewards(envs, script.actions))
    np.testing.assert_array_equal(
        ours, rewards(play.native(grid, 16, output="numpy"), script.host_actions())
    )


def test_episodes_of_a_batch_stand_in_all_phases_and_part_ways_when_they_end(grid):
    start = play.Pool(grid).batch(500)
    assert len(start["step"].unique()) >= 5
    envs = play.native(grid, 500)
    envs.set_state(start)
    pairs = {*zip(start["env.seed"].tolist(), start["env.episode"].tolist(), strict=True)}
    assert len(pairs) == 500


@pytest.fixture(scope="module")
def pools():
    """One of each id: they are played to the end of 64 episodes."""
    return cache(play.Pool)


def test_states_of_a_pool_are_drawn_from_all_steps_of_whole_episodes_alike(pools):
    steps = pools("genenvs/PrimitiveModel-v0").batch(2_000)["step"]
    assert int(steps.min()) < 10 and int(steps.max()) >= 290
    assert math.gcd(*steps.tolist()) == 1 and len(steps.unique()) > 250
    # Of 2,000 in thirty of three hundred steps 200 are expected, give or take 19.
    assert all(120 < int(((steps >= k) & (steps < k + 30)).sum()) < 280 for k in range(0, 300, 30))


class Uneven:
    """Of 64 rows the even ones end after one step, the odd ones after nine."""

    def __init__(self):
        self.row, self.at = torch.arange(64), torch.zeros(64)

    def reset(self, seed):
        return None, {}

    def get_state(self):
        return {"env.seed": self.row, "env.episode": self.row, "step": self.at.clone()}

    def step(self, action):
        over = self.at == torch.where(self.row % 2 == 0, 0, 8)
        self.at = torch.where(over, 0, self.at + 1)
        return None, None, over, torch.zeros_like(over), {}

    def close(self):
        pass


def test_a_pool_is_of_long_episodes_as_often_as_those_are_long(monkeypatch):
    monkeypatch.setattr(play, "native", lambda *words: Uneven())
    monkeypatch.setattr(play, "random_policy", lambda envs: lambda *seen: None)
    rows = play.Pool("any").batch(10_000)
    long = rows["env.seed"] % 2 == 1
    assert float(long.float().mean()) == pytest.approx(0.9, abs=0.03)
    assert (rows["step"][long].long().bincount() / long.sum() > 0.08).tolist() == [True] * 9


@pytest.mark.parametrize(("name", "length"), [("PrimitiveModel", 300), ("EdgeLoop", 100)])
def test_the_share_of_rows_that_end_in_a_step_is_one_over_an_episodes_length(pools, name, length):
    env_id = f"genenvs/{name}-v0"
    script = play.write(play.native(env_id, 256), pools(env_id), 0.02)
    assert 0.3 < script.ended * length < 3


def test_a_script_begins_where_it_was_told_to(grid):
    """Of one row it would begin with an episode each time, had it gone on from the warm-up."""
    pool = play.Pool(grid)
    start = pool.batch(1)
    start["step"][:] = 4
    pool.batch = lambda rows: start
    script = play.write(play.native(grid, 1), pool, 0.001)
    assert script.start["step"].tolist() == [4]
    assert script.moments[0][0].step.tolist() == [4]


def test_a_script_goes_through_what_is_drawn_ahead(grid, monkeypatch):
    """Or a lap, which begins with nothing in store, would consist of its first draws."""
    now = [0.0]

    def tick():
        now[0] += 0.0005  # a step takes as much as lies between two looks
        return now[0]

    monkeypatch.setattr(measure.time, "perf_counter", tick)
    envs, pool = play.native(grid, 8), play.Pool(grid)
    assert envs.unwrapped.episodes_ahead == 8
    lengths = {s: len(play.write(envs, pool, s).actions) for s in (0.001, 0.02, 0.1)}
    assert lengths[0.001] == 2 * play.LONGER and lengths[0.1] == play.MOST_STEPS
    assert 8 * 4 < lengths[0.02] < 8 * 10, "eight episodes of at most nine steps"


def test_a_script_of_one_row_is_an_episode_long(pools, monkeypatch):
    """Or nothing would end in it, and nothing be reset."""
    now = [0.0]

    def tick():
        now[0] += 0.0005
        return now[0]

    monkeypatch.setattr(measure.time, "perf_counter", tick)
    pool = pools("genenvs/PrimitiveModel-v0")
    assert pool.length == pytest.approx(300, abs=1)
    script = play.write(play.native(pool.env, 1), pool, 0.02)
    assert len(script.actions) == 300 and script.ended == pytest.approx(1 / 300, abs=1e-4)


@pytest.mark.parametrize(
    ("first", "slower", "played"), [(0.5, 1, 100), (3.0, 1.5, 100), (0.01, 10, 10), (0.01, 1, 100)]
)
def test_a_lap_is_as_long_as_the_script_whatever_its_first_step_takes(
    first, slower, played, monkeypatch
):
    """A first step that draws for all that follow says nothing of those."""
    now, steps, cold = [0.0], [0], [20.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])
    native = [first + 0.01 * k for k in range(100)]
    script = play.Script("any", "cpu", {}, torch.zeros(100, 2), [], native, ended=0.1)

    def back():
        steps[0] = 0

    def step(action):
        now[0] += (0.01 * slower if steps[0] else first) + cold[0]
        cold[0] = 0.0  # once and for all
        steps[0] += 1

    assert script.lap(step, back, script.actions)()[1] == 2 * played


def test_an_id_whose_episodes_are_one_step_long_has_a_script(monkeypatch):
    spec = {"horizon": 1, "size": 4}
    declared = Declaration(ENV, "tests.core.throwaway:Grid", spec, "covered", "A grid", "Us")
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    registry.declare(declared)
    try:
        script = play.write(play.native(ENV, 4), play.Pool(ENV), 0.001)
    finally:
        del gym.registry[ENV]
    assert script.ended == 1.0


@pytest.mark.parametrize("name", ["sync", "async"])
def test_single_environments_play_the_same_script(grid, name):
    envs = play.native(grid, 3)
    script = play.write(envs, play.Pool(grid), 0.01)
    kind = {"sync": gym.vector.SyncVectorEnv, "async": gym.vector.AsyncVectorEnv}[name]
    theirs = kind(peers.rows(script), autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    try:
        theirs.reset(options=peers.REWIND)
        for _ in range(2):  # rewound as often as asked
            envs.set_state(script.start)
            theirs.reset(options=peers.REWIND)
            for action in script.actions:
                mine, other = envs.step(action), theirs.step(action.numpy())
                for k in (1, 2, 3):
                    np.testing.assert_array_equal(mine[k].numpy(), other[k])
    finally:
        theirs.close()


# --- cells ---


def test_what_a_script_holds_grows_on_the_clock_of_memory(grid, monkeypatch):
    """It is taken off again: what is not seen to grow must not be."""
    pool, order = play.Pool(grid), []
    batch, memory = pool.batch, cell.Memory
    monkeypatch.setattr(cell, "Memory", lambda device: order.append("memory") or memory(device))
    pool.batch = lambda rows: order.append("start") or batch(rows)
    cell.measure(pool, 2, ["torch"], None, SHORT)
    assert order == ["memory", "start"]


def test_the_peak_of_a_process_is_not_that_of_its_parent():
    code = "from benchmarks.speed.peak import peak_memory; print(peak_memory())"
    held = np.ones(100_000_000)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert held.sum() == 1e8 and 0 < float(done.stdout) < 0.2


@needs("stable_baselines3", extra="sb3")
def test_an_id_that_nobody_wrote_a_module_for_is_measured_at_every_level(grid):
    found = cell.measure(play.Pool(grid), 1, [*LEVELS, "sync", "cartpole"], None, SHORT)
    assert set(found["rates"]) == {*LEVELS, "sync", "cartpole"} and not found["left"]
    for rates in found["rates"].values():
        assert 0 < rates["low"] <= rates["median"] <= rates["high"]
    assert set(found["over"]) == set(found["rates"]) - {"torch"} and found["repeats"] == 2
    assert families.floor(grid)[0] == "a copy of the observation and the mask"
    json.dumps(found)


def test_what_has_no_time_left_is_named_and_what_a_cell_needs_is_measured(grid):
    tight = cell.Settings(repeats=10, seconds=0.002, limit=1e-6)
    found = cell.measure(play.Pool(grid), 2, [*LEVELS, "sync"], None, tight)
    assert set(found["rates"]) == {"floor", "transition", "torch"}
    assert found["repeats"] == cell.FEWEST
    assert set(found["left"]) == {"numpy", "sb3", "policy", "training", "sync"}


def test_a_lap_of_the_floor_goes_through_all_moments_by_their_actions_alike(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])

    def floor(task, state, action):
        def call():
            now[0] += {("a", 1): 1.0, ("b", 5): 5.0, ("c", 0): 0.0}[state, action]

        return call

    moments = [("a", 1), ("b", 5), ("c", 0)]
    script = play.Script(
        "any", "cpu", {}, torch.zeros(5, 2), moments, [2.0, 4.0, 6.0, 8.0, 10.0], 0.1
    )
    envs = types.SimpleNamespace(unwrapped=types.SimpleNamespace(task=None))
    lap = levels.floor(Bench(script, envs, floor, None, None))
    # Of ten seconds: two rounds.
    assert [lap() for _ in range(3)] == [(12.0, 6 * 2)] * 3


def test_the_level_of_a_network_lets_it_choose_and_plays_the_script(grid, monkeypatch):
    envs = play.native(grid, 4)
    script, asked, played = play.write(envs, play.Pool(grid), 0.02), [], []
    chooses, step = ActorCritic.policy, envs.step

    def policy(model, *given):
        asked.append(given)
        return chooses(model, *given)

    monkeypatch.setattr(ActorCritic, "policy", policy)
    lap = levels.policy(Bench(script, envs, None, None, None))
    envs.step = lambda action: played.append((action, step(action))) or played[-1][1]
    asked.clear()
    _, made = lap()
    assert len(asked) == len(played) == made / 4
    envs.set_state(script.start)
    now = envs.unwrapped.task.observe(envs.state)
    for (observation, _), (action, _), due in zip(asked, played, script.actions, strict=False):
        assert torch.equal(action, due) and torch.equal(observation, now)
        now = step(due)[0]


@pytest.mark.parametrize("level", ["policy", "training"])
def test_a_network_that_memory_does_not_hold_is_left_out(grid, level, monkeypatch):
    small = types.SimpleNamespace(available=1_000)
    monkeypatch.setattr(levels.psutil, "virtual_memory", lambda: small)
    found = cell.measure(play.Pool(grid), 2, ["torch", level], None, SHORT)
    assert set(found["rates"]) == {"torch"}
    assert re.fullmatch(r"would take some .* GB of memory", found["left"][level])


def test_a_cell_is_not_begun_where_a_step_alone_is_too_long(grid):
    assert cell.too_slow(1.0, cell.Settings(limit=14.0)) == "a step would take some 1 s"
    assert cell.too_slow(1.0, cell.Settings(limit=16.0)) is None


def test_rows_that_a_step_only_resets_are_not_counted(grid):
    envs = play.native(grid, 8)
    script = play.write(envs, play.Pool(grid), 0.002)
    made = {}

    class Counting:
        def callback(self, close):
            made["envs"] = close.__self__

    lap = peers.cartpole(Bench(script, envs, None, Counting(), None))
    inner, flags = made["envs"], []
    step = inner.step
    inner.step = lambda action: flags.append(step(action)) or flags[-1]
    lap()
    flags.clear()
    _, counted = lap()
    ended = [int((f[2] | f[3]).sum()) for f in flags]
    # Of the steps of this lap: all rows but those that ended in the step before.
    expected = sum(8 - before for before, _ in pairwise(ended))
    assert expected <= counted <= expected + 8 and sum(ended) > 0


def timed(num_envs, seconds):
    """A cell in which a step of the batch took so long, and a row a megabyte."""
    return {
        "num_envs": num_envs,
        "mb": num_envs,
        "rates": {"torch": {"median": num_envs / seconds}},
    }


def test_what_a_larger_batch_will_take_is_read_off_the_last_two_cells():
    assert command.expected([timed(16, 1.0)], 256) == 0.0
    assert command.expected([timed(1, 9.0), timed(16, 1.0), timed(32, 2.0)], 64) == 4.0
    assert command.expected([timed(16, 1.0), timed(32, 0.9)], 64) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("fixed", "row", "largest", "measured"),
    [(1.0, 10.0, 64, [4, 64]), (100.0, 10.0, 64, [4, 16, 32, 64]), (0.0, 500.0, 4, [4])],
)
def test_what_larger_batches_take_shows_that_more_fits(
    grid, tmp_path, monkeypatch, fixed, row, largest, measured
):
    """Of a batch of four `fixed` is told as its rows' too; of 1,000 MB the largest takes half."""
    sizes = []

    def measure(pool, size, names, jax, settings):
        sizes.append(size)
        rates = {"torch": {"median": 1e6}}
        mb = fixed + row * size
        return {"env": grid, "num_envs": size, "mb": mb, "rates": rates, "over": {}, "left": {}}

    monkeypatch.setattr(cell, "measure", measure)
    monkeypatch.setattr(report, "table", lambda *words: "")
    words = (grid, "--sizes", "4", "largest", "--levels", "torch", "--out", str(tmp_path))
    run(monkeypatch, *words, "--memory", "1", "--device", "cpu", "--seconds", "0.001")
    found = Results(tmp_path / "speed-cpu.json").cells
    assert sizes == measured
    assert [c["num_envs"] for c in found] == sorted({4, largest})
    assert [c.get("bound") for c in found] == [None] * (len(found) - 1) + ["1 GB"]


def test_what_was_only_measured_to_find_the_largest_is_forgotten(tmp_path):
    results = Results(tmp_path / "speed-cpu.json")
    results.begin("", {})
    for env, size, more in (
        ("a", 16, {"bound": "1 GB"}),
        ("a", 32, {"sought": True}),
        ("a", 64, {"sought": True}),
        ("a", 128, {"sought": True}),
        ("a", 128, {}),  # and then for itself
        ("b", 8, {"sought": True}),
    ):
        results.put({"env": env, "num_envs": size, "rates": {}} | more)
    results.bound("a", 64, "2 GB")
    found = [(c["env"], c["num_envs"], c.get("bound")) for c in Results(results.path).cells]
    assert found == [("a", 16, None), ("a", 64, "2 GB"), ("a", 128, None), ("b", 8, None)]


def test_a_search_for_the_largest_batch_that_was_stopped_is_taken_up(grid, tmp_path, monkeypatch):
    broken = [True]

    def measure(pool, size, names, jax, settings):
        if size == 32 and broken:
            broken.clear()
            raise KeyboardInterrupt
        rates = {name: {"median": 1e6} for name in cell.NEEDED}
        mb = 100.0 + 10.0 * size
        return {"env": grid, "num_envs": size, "mb": mb, "rates": rates, "over": {}, "left": {}}

    monkeypatch.setattr(cell, "measure", measure)
    monkeypatch.setattr(report, "table", lambda *words: "")
    monkeypatch.setattr(command, "parts", lambda *words: None)
    words = (grid, "--sizes", "4", "largest", "--levels", "torch", "--out", str(tmp_path))
    words = (*words, "--memory", "1", "--device", "cpu", "--resume")
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, *words)
    run(monkeypatch, *words)
    found = Results(tmp_path / "speed-cpu.json").cells
    assert [(c["num_envs"], c.get("bound")) for c in found][-1] == (64, "1 GB")


def test_figures_of_another_machine_or_method_do_not_stand_beside_new_ones(
    grid, tmp_path, monkeypatch, capsys
):
    words = (grid, "--sizes", "2", "--levels", "torch", "--device", "cpu", "--out", str(tmp_path))
    words = (*words, "--seconds", "0.001", "--repeats", "2")
    run(monkeypatch, *words)
    path = tmp_path / "speed-cpu.json"
    before = json.loads(path.read_text())
    before["runs"][0]["machine"] |= {"processor": "Abacus", "method": 0}
    path.write_text(json.dumps(before))
    with pytest.raises(SystemExit):
        run(monkeypatch, *words)
    said = capsys.readouterr().err
    assert "processor Abacus, now" in said and "method 0, now" in said and "--anew" in said
    assert json.loads(path.read_text()) == before
    run(monkeypatch, *words, "--anew")
    (kept,) = Results(path).runs
    assert kept["machine"]["processor"] != "Abacus"


def test_the_largest_batch_is_bounded_by_memory_or_by_time():
    quick = [timed(256, 0.0001), timed(4_096, 0.001)]
    assert command.largest(quick, 33.0, SHORT) == (32_768, "33 GB")
    slow = [timed(256, 0.0625), timed(4_096, 1.0)]
    assert command.largest(slow, 33.0, SHORT) == (8_192, "30 s for its repeats")


@pytest.mark.parametrize("told", [None, 0.0])
def test_a_batch_whose_memory_is_not_told_is_bounded(told):
    flat = [timed(256, 0.0001), timed(4_096, 0.0001)]  # nor does time say anything
    for done in (flat, flat[1:]):
        done[-1]["mb"] = told
        assert command.largest(done, 2.0, SHORT) == (
            262_144,
            "64 times 4,096, whose memory is not told",
        )


# --- the command ---


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["speed", *words])
    command.main()


def test_the_command_writes_what_the_page_and_the_plot_show(grid, tmp_path, monkeypatch, capsys):
    from docs import speed_results

    short = ("--device", "cpu", "--repeats", "2", "--seconds", "0.001", "--limit", "20")
    levels = ("--levels", "floor", "torch", "--out", str(tmp_path))
    run(monkeypatch, grid, "--sizes", "2", "4", *short, *levels)
    path = tmp_path / "speed-cpu.json"
    found = Results(path)
    assert [(c["env"], c["num_envs"], c["run"]) for c in found.cells] == [
        (grid, 2, 0),
        (grid, 4, 0),
    ]
    assert found.runs[0]["machine"]["torch"] == torch.__version__
    assert (tmp_path / "speed-cpu.png").stat().st_size > 0
    before = found.cell(grid, 4)
    run(monkeypatch, grid, "--sizes", "4", "8", "--resume", *short, *levels)
    found = Results(path)
    assert found.cell(grid, 4) == before and found.cell(grid, 8)["run"] == 1
    measured = []
    whole = cell.measure
    monkeypatch.setattr(
        cell, "measure", lambda *words: measured.append(words[1:3]) or whole(*words)
    )
    more = ("--levels", "numpy", "single", "--out", str(tmp_path))  # no batch of 4 is single
    run(monkeypatch, grid, "--sizes", "4", "8", "--resume", *short, *more)
    assert measured == [(4, ["numpy"]), (8, ["numpy"])]
    rates = Results(path).cell(grid, 4)["rates"]
    assert rates["floor"] == before["rates"]["floor"] and rates["numpy"]["run"] == 2
    text = "\n".join(speed_results.section(tmp_path, "cpu"))
    assert text.count("`python -m") == 3 and re.search(r"\| SpeedGrid-v0 \| 4 \|.*\| 1, 3 \|", text)
    run(monkeypatch, grid, "--sizes", "4", "8", "--resume", *short, *levels, *more)
    assert len(measured) == 2, "nothing is missing"
    assert "SpeedGrid-v0" in capsys.readouterr().out
    page = "\n".join(speed_results.section(tmp_path, "cpu"))
    assert "| SpeedGrid-v0 | 8 | a copy of the observation and the mask: " in page
    assert "--sizes 4 8 --resume" in page


def test_levels_that_are_not_measured_again_stay_with_the_run_they_are_from(tmp_path):
    def measured(repeats, left=(), **rates):
        return {
            "env": "a",
            "num_envs": 16,
            "repeats": repeats,
            "mb": float(repeats),
            "rates": {name: {"median": rate} for name, rate in rates.items()},
            "over": {name: {"median": rates["torch"] / rate} for name, rate in rates.items()},
            "left": dict.fromkeys(left, "no time left"),
        }

    path = tmp_path / "speed-cpu.json"
    results = Results(path)
    results.begin("whole", {"commit": "old"})
    results.put(measured(10, torch=8.0, sync=2.0, left=["async", "numpy"]))
    results.begin("quick", {"commit": "new"})
    results.put(measured(3, torch=9.0, numpy=3.0, left=["sync"]))
    results = Results(path)
    found = results.cell("a", 16)
    rates = {name: (r["median"], r["run"], r["repeats"]) for name, r in found["rates"].items()}
    assert rates == {"torch": (9.0, 1, 3), "sync": (2.0, 0, 10), "numpy": (3.0, 1, 3)}
    assert {name: r["median"] for name, r in found["over"].items()} == {
        "torch": 1.0, "sync": 4.0, "numpy": 3.0,
    }  # fmt: skip
    assert found["left"] == {"async": "no time left"} and (found["mb"], found["run"]) == (3.0, 1)
    assert [r["command"] for r in results.runs] == ["whole", "quick"]
    # A run that is too slow for all of it takes nothing away.
    results.begin("slow", {})
    results.put({"env": "a", "num_envs": 16, "rates": {}, "over": {}, "left": {"all": "slow"}})
    assert Results(path).cell("a", 16) == found
    results.put(measured(5, torch=7.0, sync=1.0, numpy=2.0))
    assert [r["command"] for r in Results(path).runs] == ["slow"], "of the others nothing is left"


def test_a_file_of_before_says_of_every_level_which_run_it_is_from(tmp_path):
    path = tmp_path / "speed-cpu.json"
    old = {"env": "a", "num_envs": 1, "repeats": 3, "rates": {"torch": {"median": 1.0}}, "run": 0}
    path.write_text(json.dumps({"runs": [{"command": "x"}], "cells": [old], "parts": []}))
    (rate,) = Results(path).cell("a", 1)["rates"].values()
    assert rate == {"median": 1.0, "run": 0, "repeats": 3}


def test_a_run_of_which_nothing_is_left_is_forgotten(tmp_path):
    results = Results(tmp_path / "speed-cpu.json")
    for command_line in ("first", "second"):
        results.begin(command_line, {})
        results.put({"env": "a", "num_envs": 1, "rates": {}})
    results.put_parts("a", [])
    again = Results(results.path)
    assert [r["command"] for r in again.runs] == ["second"] and again.cells[0]["run"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("genenvs/Nothing-v0",), "no genenvs/Nothing-v0; there are"),
        (("--profile", "Nothing"), "no Nothing; there are"),
        (("--sizes", "0"), "whole numbers"),
        (("--sizes", "many"), "whole numbers"),
        (("--repeats", "0"), "must be above 0"),
    ],
)
def test_words_that_the_command_does_not_know(monkeypatch, capsys, tmp_path, words, said):
    with pytest.raises(SystemExit):
        run(monkeypatch, *words, "--out", str(tmp_path))
    assert said in capsys.readouterr().err and not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"runs": []}', '{"runs": [], "cells": [3], "parts": []}']
)
def test_a_damaged_file_of_results_is_named_and_left_as_it_is(tmp_path, text):
    path = tmp_path / "speed-cpu.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"speed-cpu\.json is no file of speed results"):
        Results(path)
    assert path.read_text() == text


def test_the_profiler_names_what_a_step_calls(grid, monkeypatch, capsys):
    run(monkeypatch, "--profile", grid, "--sizes", "4", "--device", "cpu", "--seconds", "0.001")
    shown = capsys.readouterr().out
    assert "aten::" in shown and "step_tensors" in shown and "transition" in shown


# --- families ---


@pytest.mark.parametrize("env_id", registry.ids())
def test_every_family_is_whole(env_id):
    module = families.of(env_id)
    assert module is None or hasattr(module, "FLOOR") == hasattr(module, "floor")
    assert families.floor(env_id)[0] and families.why(env_id)
    for target in families.targets(env_id):
        assert target.over is None or target.level == "torch"
    if module is not None:
        declared = {t.env for t in getattr(module, "TARGETS", ())}
        assert declared <= set(registry.ids())


@pytest.mark.parametrize("name", ["RoomLayout", "RoomSelect"])
def test_the_floor_of_a_room_surveys_what_the_step_does(pools, monkeypatch, name):
    """Of rows that put a thing down, or finish, a step asks for no places; so does the floor."""
    pool, asked, survey = pools(f"genenvs/{name}-v0"), [], placing.survey
    envs = play.native(pool.env, 32)
    script = play.write(envs, pool, 0.02)
    monkeypatch.setattr(placing, "survey", lambda *given: asked.append(given[-1]) or survey(*given))
    for state, action in script.moments[:4]:
        task, chosen = envs.unwrapped.task, envs.unwrapped.task.action_space.n - 1
        families.floor(pool.env)[1](task, state, action)()
        task.transition(state.clone(), action)
        floor, step = asked
        asked.clear()
        if name == "RoomSelect":
            kept = action < chosen  # its step surveys finished rooms as well
            step = type(step)(*(field[kept] for field in step))
        assert all(torch.equal(a, b) for a, b in zip(floor, step, strict=True))
        assert 0 < len(floor.type) <= 32


def test_the_floor_of_a_denoiser_decodes_who_ends(monkeypatch):
    envs, decoded = play.native("genenvs/DenoiseLatent-v0", 5), []
    envs.reset(seed=0)
    task, state = envs.unwrapped.task, envs.unwrapped.state
    monkeypatch.setattr(type(task.generator), "decode", lambda self, x: decoded.append(len(x)))
    for step in ([0, 1, 2, 3, 4], [9, 0, 9, 9, 8]):
        denoise.floor(task, replace(state, step=torch.tensor(step)), None)()
    assert decoded == [3]


def test_the_floor_of_a_budget_evaluates_what_the_step_does():
    envs, seen = play.native("genenvs/DenoiseBudget-v0", 3), []
    envs.reset(seed=0)
    task, state, action = envs.unwrapped.task, envs.unwrapped.state, torch.tensor([5, 0, 2])
    hook = task.denoiser.unet.register_forward_pre_hook(lambda unet, given: seen.append(given[0]))
    try:
        denoise_schedule.floor(task, state, action)()
        floor = [len(x) for x in seen]
        seen.clear()
        envs.step(action)
    finally:
        hook.remove()
    assert floor == [len(x) for x in seen] == [3, 2, 2, 1, 1, 1]


def test_a_target_is_compared_with_its_cell(tmp_path):
    results = Results(tmp_path / "speed-cpu.json")
    results.begin("", {})
    rates = {"torch": {"median": 10.0}, "sync": {"median": 2.0}}
    results.put({"env": "a", "num_envs": 64, "rates": rates, "over": {"sync": {"median": 5.5}}})
    assert report.reached(results, Target("a", 64, "torch", 1)) == 10.0
    assert report.reached(results, Target("a", 64, "torch", 1, "sync")) == 5.5
    assert report.reached(results, Target("a", 64, "numpy", 1)) is None
    assert report.reached(results, Target("b", 64, "torch", 1, "sync")) is None


def test_a_stopwatch_counts_between_warm_up_and_the_end_of_its_window(monkeypatch):
    # The window opens at 11.5 and ends from 14.5 on.
    now = iter([10.0, 10.5, 11.5, 12.5, 13.5, 15.5])
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(now))
    watch = training.Stopwatch()
    with pytest.raises(training.Over):
        for _ in range(6):
            watch.count(70)
    assert watch.rate == 3 * 70 / 4


@needs("stable_baselines3", extra="agents")
def test_training_is_compared_on_networks_of_one_size(monkeypatch):
    monkeypatch.setattr(training, "WARM_UP", 0.0)
    monkeypatch.setattr(training, "WINDOW", 0.1)
    monkeypatch.setattr(training, "REPEATS", 1)
    with training.a2c_over_processes(1) as model:
        assert training.theirs(model)() > 0
        numbers = sum(p.numel() for p in model.policy.parameters())
    ours = ActorCritic(*Problem(training.ENV).spaces, NetworkConfig(hidden=HIDDEN))
    assert sum(p.numel() for p in ours.parameters()) == numbers
    found = training.compare("a / b", 4, "", {"a": lambda: 6.0, "b": lambda: 2.0})
    assert found["median"] == 3.0


def test_a_peer_that_is_not_installed_says_how_to_come_by_it(monkeypatch):
    monkeypatch.setattr(peers.jumanji_peer, "installed", lambda: False)
    with pytest.raises(Left, match=r'pip install "genenvs\[jumanji\]"'):
        peers.PEERS["jumanji"].lap(None)


@pytest.mark.slow
@needs("jumanji", extra="jumanji")
def test_jumanji_plays_beside_ours():
    from benchmarks.speed import jumanji_peer

    with jumanji_peer.worker(1) as process:
        for scan in (False, True):
            seconds, steps = process.submit(jumanji_peer.lap, "Snake-v1", 4, scan, 0.01).result()
            assert seconds > 0 and steps > 0 and steps % (64 if scan else 4) == 0


@pytest.mark.slow
def test_the_native_batch_leaves_single_environments_far_behind(tmp_path, monkeypatch):
    """The smoke version of the benchmark: a ratio that is some forty, asserted to be three."""
    aim = Target("genenvs/VoxelStroke-v0", 64, "torch", 3, "sync")
    short = ("--repeats", "3", "--seconds", "0.05", "--limit", "60", "--device", "cpu")
    run(monkeypatch, aim.env, "--sizes", "64", "--levels", "torch", "sync", *short,
        "--out", str(tmp_path))  # fmt: skip
    found = report.reached(Results(tmp_path / "speed-cpu.json"), aim)
    assert found is not None and found >= aim.least


@needs_device("cuda")
def test_torch_output_copies_no_data_to_the_host():
    env = "genenvs/DenoiseSchedule-v0"
    envs = play.native(env, 16, "cuda")
    script = play.write(envs, play.Pool(env, "cuda"), 0.1)
    assert cell.copies(script, envs) <= 1
