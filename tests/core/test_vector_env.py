"""What the vector face has beyond Gymnasium's: branches, groups, caps, kept finals; its costs."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from genenvs.core.env import TaskEnv
from genenvs.core.info import step_terms
from genenvs.core.loading import load_task
from genenvs.core.task import Task
from genenvs.core.vector import TaskVectorEnv
from tests.core.throwaway import Bandit, Grid, Network, Walk


def make(task, num_envs=3, horizon=6, **arguments):
    return TaskVectorEnv(task, num_envs=num_envs, horizon=horizon, **arguments)


def zeros(envs):
    return np.zeros(envs.action_space.shape, envs.action_space.dtype)


# --- branching ---


@pytest.mark.parametrize("noise", ["fresh", "shared"])
def test_branch_i_k_plus_j_continues_row_i(noise):
    envs = make(Network)
    envs.reset(seed=4)
    envs.step(zeros(envs))
    branches = envs.branch(2, noise)
    assert branches.num_envs == 6 and branches.autoreset_mode is AutoresetMode.DISABLED
    assert torch.equal(branches.state.x, envs.state.x.repeat_interleave(2, 0))
    action = np.array([[2, 1]])  # with noise
    after = branches.step(action.repeat(6, 0))[0]["x"].reshape(3, 2, 4)
    original = envs.step(action.repeat(3, 0))[0]["x"]
    same = noise == "shared"
    assert np.array_equal(after[:, 0], after[:, 1]) == same
    assert np.allclose(after[:, 0], original) == same


def test_branches_share_the_frozen_models():
    envs = make(Network)
    envs.reset(seed=0)
    assert envs.branch(4).task is envs.task


def test_branches_leave_the_original_alone():
    envs, twin = make(Network), make(Network)
    envs.reset(seed=1)
    twin.reset(seed=1)
    branches = envs.branch(3)
    for _ in range(3):
        branches.step(zeros(branches))
    assert np.array_equal(envs.step(zeros(envs))[0]["x"], twin.step(zeros(twin))[0]["x"])


def test_branches_know_how_far_the_episode_is_and_which_rows_ended():
    envs = make(Walk, horizon=3)
    envs.reset(seed=0)
    envs.step(zeros(envs))
    branches = envs.branch(2)
    branches.step(zeros(branches))
    assert branches.step(zeros(branches))[3].all()
    with pytest.raises(RuntimeError, match="have ended"):
        branches.branch(2).step(np.zeros((12, 4), np.int8))


def test_a_single_environment_branches_too():
    env = TaskEnv("tests.core.throwaway:Walk", horizon=3)
    env.reset(seed=0)
    assert env.branch(5).num_envs == 5


@pytest.mark.parametrize(("k", "noise"), [(0, "fresh"), (True, "fresh"), (2, "loud")])
def test_branches_that_make_no_sense_are_refused(k, noise):
    envs = make(Walk)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="must be"):
        envs.branch(k, noise)


# --- groups ---


def test_groups_repeat_instances_in_order():
    envs = make(Bandit, 6)
    envs.reset(seed=0, options={"instances": [5, 2], "repeats": 3})
    assert envs.state.instance.tolist() == [5, 5, 5, 2, 2, 2]
    assert len(set(envs.state.key.tolist())) == 6


def test_groups_with_shared_noise_share_it_within_the_group():
    envs = make(Network, 6)
    observation = envs.reset(
        seed=0, options={"instances": [5, 2], "repeats": 3, "noise": "shared"}
    )[0]["x"].reshape(2, 3, 4)
    assert (observation == observation[:, :1]).all()
    assert not np.array_equal(observation[0], observation[1])


def test_the_single_face_takes_one_instance():
    env = TaskEnv("tests.core.throwaway:Bandit", horizon=1)
    chosen = env.reset(seed=0, options={"instance": 7})[0]
    group = make(Bandit, 1).reset(seed=99, options={"instances": [7]})[0]
    assert np.array_equal(chosen, group[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instances": [0, 1]}, "must be num_envs=3"),
        ({"instances": [0, 1, 37]}, r"in 0 .. 37 - 1; got 0 .. 37"),
        ({"instances": [0, 1, -1]}, "got -1"),
        ({"instances": [0.0, 1.0, 2.0]}, "must be integers"),
        ({"instances": [0], "repeats": 0}, "repeats"),
        ({"instances": [0], "repeats": 3, "noise": "quiet"}, "noise must be"),
        ({"instances": ["a", "b", "c"]}, r"must be integers \[N\]; got \['a', 'b', 'c'\]"),
        ({"instances": [None] * 3}, "must be integers"),
        ({"instances": [[0], [1, 2], [3]]}, "must be integers"),
        ({"repeats": 3}, "need 'instances'"),
        ({"instances": [0, 1, 2], "reset_mask": np.ones(3, bool)}, "cannot go together"),
        ({"episode": -1}, "integer >= 0"),
        ({"episode": [0, 1]}, "integer >= 0"),
        ({"episode": 1.5}, "integer >= 0"),
        ({"mask": None}, "no option"),
        ({"reset_mask": np.zeros(3, bool)}, "True somewhere"),
        ({"reset_mask": np.ones(2, bool)}, r"must be \[3\]; got \[2\]"),
    ],
)
def test_options_that_make_no_sense_are_refused_and_change_nothing(options, message):
    envs = make(Bandit)
    envs.reset(seed=0)
    before = envs.get_state()
    with pytest.raises(ValueError, match=message):
        envs.reset(options=options)
    assert all(torch.equal(before[k], v) for k, v in envs.get_state().items())


@pytest.mark.parametrize("instance", [None, "a", 1.0, -1, True, [3]])
def test_the_single_face_takes_nothing_but_an_id(instance):
    env = TaskEnv("tests.core.throwaway:Bandit", horizon=1)
    env.reset(seed=0)
    before = env.get_state()
    with pytest.raises(ValueError, match=r"options\['instance'\] must be an integer >= 0; got"):
        env.reset(options={"instance": instance})
    assert all(torch.equal(before[k], v) for k, v in env.get_state().items())


def test_options_must_be_a_dict():
    for env in (make(Bandit), TaskEnv("tests.core.throwaway:Bandit", horizon=1)):
        with pytest.raises(TypeError, match=r"options must be a dict or None; got \[1\]"):
            env.reset(seed=0, options=[1])


def test_masks_must_be_boolean_and_the_first_reset_whole():
    envs = make(Bandit)
    with pytest.raises(RuntimeError, match="first reset"):
        envs.reset(options={"reset_mask": np.array([True, False, False])})
    envs.reset(seed=0)
    with pytest.raises(TypeError, match="bool"):
        envs.reset(options={"reset_mask": np.ones(3, int)})
    with pytest.raises(TypeError, match="bool"):
        envs.reset(options={"reset_mask": [True, False, True]})


@pytest.mark.parametrize("seed", [-1, 1.5, [0, 1], [0, 1, -2], "one", [True, 0, 1], 1 << 63])
def test_seeds_that_make_no_sense_are_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        make(Bandit).reset(seed=seed)


def test_without_a_seed_two_environments_differ():
    assert not np.array_equal(make(Bandit).reset()[0], make(Bandit).reset()[0])


def test_stepping_before_the_first_reset_says_so():
    envs = make(Walk)
    with pytest.raises(RuntimeError, match="call reset"):
        envs.step(zeros(envs))


# --- caps and kept finals ---


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_an_outer_cap_truncates_and_pays_no_terminal_terms(mode):
    envs = make(Network, horizon=50, max_episode_steps=3, autoreset_mode=mode)
    envs.reset(seed=0)
    for step in range(3):
        truncated, info = envs.step(zeros(envs))[3:]
        assert truncated.all() == (step == 2)
    assert (step_terms(info)["bonus"] == 0).all()
    own = make(Network, horizon=3, autoreset_mode=mode)
    own.reset(seed=0)
    for _ in range(3):
        info = own.step(zeros(own))[4]
    assert (step_terms(info)["bonus"] == 1).all()


class Late(Network):
    """Only rows of an even instance end by themselves, after two steps."""

    def transition(self, state, action):
        result = super().transition(state, action)
        over = (result.state.step >= 2) & (state.instance % 2 == 0)
        return type(result)(result.state, result.terms, over, result.metrics)


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_row_that_was_cut_off_has_no_end_metrics(mode, output):
    envs = make(Late, 8, 50, max_episode_steps=2, autoreset_mode=mode, output=output)
    envs.reset(seed=0)
    own = envs.state.instance % 2 == 0
    assert 0 < own.sum() < 8
    envs.step(zeros(envs))
    _, _, terminated, truncated, info = envs.step(zeros(envs))
    assert np.asarray(terminated).tolist() == own.tolist()
    assert np.asarray(truncated).all()  # as with `TimeLimit`, whoever ended
    table = (info["final_info"] if mode is AutoresetMode.SAME_STEP else info)["metrics"]
    assert np.asarray(table["_spread"]).tolist() == own.tolist()
    assert ((np.asarray(table["spread"]) > 0) == own.numpy()).all()
    assert np.asarray(table["_norm"]).all()
    if mode is AutoresetMode.SAME_STEP:
        assert not np.asarray(info["metrics"]["_spread"]).any()


def test_an_outer_cap_counts_every_row_by_itself():
    envs = make(Walk, 2, horizon=50, max_episode_steps=3, autoreset_mode="same_step")
    envs.reset(seed=0)
    envs.step(zeros(envs))
    envs.reset(options={"reset_mask": np.array([True, False])})
    flags = [envs.step(zeros(envs))[3].tolist() for _ in range(5)]
    assert flags == [[False, False], [False, True], [True, False], [False, False], [False, True]]


def test_keep_final_holds_the_state_of_the_ended_rows_alone():
    envs = make(Walk, 2, horizon=3, keep_final=True, autoreset_mode="SAME_STEP")
    envs.reset(seed=0)
    envs.step(zeros(envs))
    envs.reset(options={"reset_mask": np.array([True, False])})
    assert "final_state" not in envs.step(zeros(envs))[4]
    info = envs.step(zeros(envs))[4]
    final = info["final_state"]
    assert final.step.tolist() == [3]
    assert final.position.item() == pytest.approx(info["final_obs"][1].item())
    assert envs.state.step.tolist() == [2, 0]


# --- the network runs once a step ---


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_network_runs_once_a_step_where_rows_terminate(mode, monkeypatch):
    class Ends(Network):
        """Rows terminate after as many steps as their row number says."""

        def transition(self, state, action):
            result = super().transition(state, action)
            over = result.state.step > torch.arange(len(action))
            return type(result)(result.state, result.terms, over, result.metrics)

    calls = []
    original = Ends.prepare
    monkeypatch.setattr(
        Ends, "prepare", lambda self, s: calls.append(len(s.key)) or original(self, s)
    )
    envs = TaskVectorEnv(Ends, num_envs=4, horizon=100, autoreset_mode=mode)
    envs.reset(seed=0)
    assert calls == [4]
    for _ in range(12):
        calls.clear()
        ended = envs.step(zeros(envs))[2]
        assert calls[-1] == 4
        if mode is AutoresetMode.DISABLED and ended.any():
            envs.reset(options={"reset_mask": ended})
        else:
            assert calls == [4]


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_network_runs_exactly_once_a_step_of_a_task_that_terminates(mode, monkeypatch):
    class Terminates(Network):
        ends = "terminates"

    calls = []
    original = Terminates.prepare
    monkeypatch.setattr(
        Terminates, "prepare", lambda self, state: calls.append(1) or original(self, state)
    )
    envs = TaskVectorEnv(Terminates, num_envs=3, horizon=3, autoreset_mode=mode)
    envs.reset(seed=0)
    for step in range(7):
        if mode is AutoresetMode.DISABLED and envs._ended.any():
            envs.reset(options={"reset_mask": envs._ended})
        calls.clear()
        envs.step(zeros(envs))
        assert len(calls) == 1, step


def test_only_rows_that_were_cut_off_are_looked_at_again(monkeypatch):
    calls = []
    original = Network.prepare
    monkeypatch.setattr(
        Network, "prepare", lambda self, s: calls.append(len(s.key)) or original(self, s)
    )
    envs = make(Network, 2, horizon=3, autoreset_mode="SAME_STEP")
    envs.reset(seed=0)
    envs.step(zeros(envs))
    envs.reset(options={"reset_mask": np.array([True, False])})
    envs.step(zeros(envs))
    calls.clear()
    assert envs.step(zeros(envs))[3].tolist() == [False, True]
    assert calls == [1, 2]


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP"])
def test_a_row_that_was_cut_off_shows_the_prediction_for_where_it_stopped(mode):
    envs = make(Network, horizon=2, autoreset_mode=mode)
    envs.reset(seed=0)
    envs.step(zeros(envs))
    observation, _, _, truncated, info = envs.step(zeros(envs))
    assert truncated.all()
    for row in range(3):
        final = (info["final_obs"][row] if mode == "SAME_STEP"
                 else {k: v[row] for k, v in observation.items()})  # fmt: skip
        expected = torch.tanh(torch.tensor(final["x"]) @ envs.task.weight)
        assert np.allclose(final["prediction"], expected, atol=1e-6)


# --- arguments ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "num_envs must be an integer >= 1; got 0"),
        ({"horizon": 0}, "horizon must be an integer >= 1"),
        ({"horizon": True}, "horizon"),
        ({"split": "dev"}, "split must be one of"),
        ({"output": "jax"}, "output must be"),
        ({"render_mode": "human"}, "render_mode must be"),
        ({"autoreset_mode": "sometimes"}, "autoreset_mode must be"),
        ({"device": "abacus"}, "device must be one that torch knows"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"instances": 0}, "instances must be None or an integer >= 1"),
        ({"reward_weights": {"speed": 1.0}}, "names no term 'speed'"),
        ({"instances": 1.0}, "instances must be None or an integer >= 1; got 1.0"),
        ({"num_envs": True}, "num_envs must be an integer >= 1; got True"),
        ({"reward_weights": {"forward": "1"}}, "must be a finite number; got '1'"),
        ({"reward_weights": {"forward": float("nan")}}, "must be a finite number; got nan"),
        ({"max_episode_steps": 0}, "max_episode_steps must be None or an integer >= 1; got 0"),
        ({"max_episode_steps": 1.5}, "max_episode_steps must be .* got 1.5"),
        ({"max_episode_steps": "a"}, "max_episode_steps must be .* got 'a'"),
        ({"validate": "no"}, "validate must be True, False or None; got 'no'"),
        ({"keep_final": "no"}, "keep_final must be True or False; got 'no'"),
        ({"device": "meta"}, "device must hold numbers; got 'meta'"),
        ({"device": "cuda:99"}, "device='cuda:99' was asked for, but torch sees"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TaskVectorEnv(**{"task": Walk, "horizon": 3} | arguments)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has Apple's GPU")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="device='mps' was asked for, but torch cannot use it"):
        make(Walk, device="mps")


def test_weights_must_be_named():
    with pytest.raises(TypeError, match=r"reward_weights must be a dict.*got \[1\]"):
        make(Walk, reward_weights=[1])


def test_numpys_numbers_are_numbers():
    arguments = {"instances": np.int32(5), "max_episode_steps": np.uint8(2)}
    envs = make(Bandit, np.int64(4), np.int16(1), **arguments)
    envs.reset(seed=0, options={"instances": np.arange(2), "repeats": np.int64(2)})
    assert type(envs.num_envs) is int and envs.episodes.count == 5
    assert envs.branch(np.int64(2)).num_envs == 8
    assert make(Walk, reward_weights={"forward": np.float32(0.5)}).weights == {"forward": 0.5}
    assert make(Walk, reward_weights={"forward": np.int8(2)}).weights == {"forward": 2.0}
    single = TaskEnv("tests.core.throwaway:Bandit", horizon=1)
    chosen = single.reset(seed=0, options={"instance": np.int64(7)})[0]
    assert np.array_equal(chosen, single.reset(options={"instance": 7})[0])


@pytest.mark.parametrize("mode", ["next_step", "NextStep", "NEXT_STEP", AutoresetMode.NEXT_STEP])
def test_autoreset_modes_have_names(mode):
    assert make(Walk, autoreset_mode=mode).metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


@pytest.mark.parametrize(
    "name", ["nowhere:Task", "tests.core.throwaway:Nothing", "Grid", "math:pi"]
)
def test_what_names_no_task_is_refused(name):
    with pytest.raises(ValueError, match="task must"):
        load_task(name)


def test_a_module_that_a_task_needs_is_named_when_it_is_missing(tmp_path, monkeypatch):
    (tmp_path / "needy.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load_task("needy:Task")


# --- snapshots ---


def test_a_snapshot_of_another_size_or_task_is_refused_and_changes_nothing():
    envs = make(Walk)
    envs.reset(seed=0)
    before = envs.get_state()
    bigger, other = make(Walk, 4), make(Grid)
    bigger.reset(seed=0)
    other.reset(seed=0)
    wide = before | {"position": before["position"].double()}
    for snapshot, message in ((bigger.get_state(), r"must be \[3\]; got \[4\]"),
                              (other.get_state(), "has the tensors"),
                              (wide, "must be torch.float32")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            envs.set_state(snapshot)
    assert all(torch.equal(before[k], v) for k, v in envs.get_state().items())


def test_a_damaged_file_is_refused(tmp_path):
    envs = make(Walk)
    envs.reset(seed=0)
    path = tmp_path / "state.safetensors"
    envs.save_state(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="no readable safetensors"):
        envs.load_state(path)
    path.write_bytes(b"\x00")
    with pytest.raises(ValueError, match="no readable safetensors"):
        envs.load_state(path)


# --- what a policy needs ---


def test_masks_are_all_true_where_a_task_has_none():
    envs = make(Walk)
    envs.reset(seed=0)
    assert envs.action_masks().shape == (3, 8) and envs.action_masks().all()


def test_a_task_keeps_its_action_without_sharing_it():
    class Remembers(Walk):
        def transition(self, state, action):
            self.seen = action
            return super().transition(state, action)

    for given in (np.ones((3, 4), np.int64), torch.ones(3, 4, dtype=torch.int64)):
        envs = make(Remembers)
        envs.reset(seed=0)
        envs.step(given)
        given[...] = 0
        assert (envs.task.seen == 1).all()


def test_gradients_flow_into_a_policy_from_what_was_returned():
    envs = make(Network, output="torch")
    observation, _ = envs.reset(seed=0)
    layer = torch.nn.Linear(4, 1)
    layer(observation["x"]).sum().backward()
    assert torch.isfinite(layer.weight.grad).all()


def test_defaults_of_a_task_say_that_there_is_nothing():
    envs = make(Walk)
    envs.reset(seed=0)
    assert envs.reference_action() is None and envs.task.judge(envs.state) == {}
    with pytest.raises(NotImplementedError, match="Walk has no artefact"):
        envs.artefact(0)
    assert isinstance(envs.task, Task)
