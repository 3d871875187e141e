"""The four throw-away tasks keep every law; a broken variant of them breaks the law it should."""

import re

import pytest
import torch

from genenvs.core import instances, random, vector
from genenvs.core.actions import ActionReader
from genenvs.testing import CHECKS, LawError, check_task
from tests.core import broken
from tests.core.throwaway import Bandit, Grid, Network, Walk

HORIZONS = {"Grid": 12, "Bandit": 1, "Network": 9, "Walk": 8}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", HORIZONS)
def test_the_throw_away_tasks_keep_the_laws(name, check):
    task = f"tests.core.throwaway:{name}"
    assert check_task(task, horizon=HORIZONS[name], only=[check]) == []


def test_a_task_with_several_steps_and_box_actions_keeps_the_laws():
    assert check_task(Bandit, horizon=4, num_envs=2, asynchronous=False, seed=100) == []


BROKEN = [
    (
        "row_i_of_a_batch_is_the_single_environment_seeded_i",
        broken.DependsOnBatchSize,
        2,
        r"row i of 3 is the single.*row 0, step 0, key \.?reward",
    ),
    (
        "row_i_of_a_batch_is_the_single_environment_seeded_i",
        broken.IgnoresTheSeedOfTheEpisode,
        2,
        "row 0",
    ),
    (
        "a_list_of_seeds_gives_each_row_its_own",
        broken.IgnoresTheSeedOfTheEpisode,
        2,
        "row of reset",
    ),
    (
        "options_episode_starts_where_resets_would_have_come",
        broken.IgnoresTheSeedOfTheEpisode,
        2,
        "k more resets",
    ),
    (
        "the_same_seed_gives_the_same_episode_again",
        broken.IgnoresTheSeedOfTheEpisode,
        2,
        "repeated",
    ),
    (
        "global_random_states_stay_untouched",
        broken.DrawsFromTorch,
        2,
        "state of torch is left alone",
    ),
    (
        "global_random_states_stay_untouched",
        broken.DrawsFromNumpy,
        2,
        "state of numpy is left alone",
    ),
    ("state_fields_are_tensors_of_their_own", broken.Aliases, 0, "share storage.*context, chosen"),
    ("state_fields_are_tensors_of_their_own", broken.Expands, 0, "expanded.*field chosen"),
    ("state_fields_are_tensors_of_their_own", broken.InferenceTensors, 0, "inference tensor"),
    (
        "what_is_returned_shares_no_storage_with_later_steps",
        broken.KeepsOneBuffer,
        5,
        "not changed by later calls.*step 0",
    ),
    ("observations_lie_in_their_space", broken.WidensTheObservation, 5, "dtype.*float32.*float64"),
    ("observations_lie_in_their_space", broken.LeavesTheSpace, 5, "lie in their space.*row 0"),
    ("observations_lie_in_their_space", broken.ObservesNaN, 5, "finite"),
    ("observations_lie_in_their_space", broken.Unbounded, 5, "every Box is bounded"),
    ("observations_lie_in_their_space", broken.WideActions, 5, r"\[-1, 1\]"),
    ("gymnasiums_checker_passes", broken.LeavesTheSpace, 1, "check_env passes.*not within"),
    ("stable_baselines3s_checker_passes", broken.WideActions, 1, "warns of nothing.*normalized"),
    ("masks_are_exact", broken.MaskTooWide, 6, "never meets an invalid action"),
    (
        "masks_are_exact",
        broken.MaskTooNarrow,
        6,
        "mask forbids is invalid.*expected 'invalid > 0', got 0",
    ),
    ("masks_are_exact", broken.MaskEmpty, 6, "never empty"),
    ("masks_are_exact", broken.MaskOfNumbers, 6, r"bool \[B, n\]"),
    ("masks_are_exact", broken.ReferenceIllegal, 6, "reference's action is legal"),
    ("changes_telescope", broken.DoesNotTelescope, 4, "final minus its initial value.*term closer"),
    ("changes_telescope", broken.TelescopesNothing, 4, "metric of kind `step`"),
    ("transition_counts_the_step", broken.ForgetsToCount, 0, "adds one to state.step.*field step"),
    (
        "the_limit_strikes_at_the_horizon",
        broken.EndsByTheOtherFlag,
        5,
        "exactly the horizon as `terminated`.*truncated=True",
    ),
    ("the_limit_strikes_at_the_horizon", broken.EndsLate, 5, "limit strikes"),
    ("the_limit_strikes_at_the_horizon", broken.ForgetsToCount, 5, "limit strikes"),
    ("transition_calls_no_network", broken.CallsPrepareInTransition, 0, "no network.*prepare"),
    ("transition_calls_no_network", broken.CallsModuleInObserve, 0, "no network.*Identity"),
    ("stepping_ended_rows_is_harmless", broken.RaisesAfterTheEnd, 0, "may be stepped.*is over"),
    ("stepping_ended_rows_is_harmless", broken.EndedRowsPoisonOthers, 0, "disturbs no other row"),
    (
        "transition_depends_on_its_arguments_alone",
        broken.NeighboursMatter,
        0,
        "depend on the other rows",
    ),
    ("transition_depends_on_its_arguments_alone", broken.RemembersInSelf, 0, "state.clone"),
    (
        "transition_depends_on_its_arguments_alone",
        broken.ObserveWrites,
        0,
        "do not change the state",
    ),
    ("what_is_seen_is_what_is_declared", broken.TermNeverSeen, 0, "terms declared.*bonus"),
    ("what_is_seen_is_what_is_declared", broken.MetricOfAnotherKind, 0, "of kind `step`"),
    ("what_is_seen_is_what_is_declared", broken.NoGold, 0, "gold metric"),
    ("what_is_seen_is_what_is_declared", broken.WideTerm, 0, "float32.*float64"),
    ("what_is_seen_is_what_is_declared", broken.NaNMetric, 0, "finite.*key error"),
    ("what_is_seen_is_what_is_declared", broken.JudgesNothing, 0, "kind `judge`.*quality"),
    ("what_is_seen_is_what_is_declared", broken.FeaturesUndeclared, 0, "metrics of kind `set`"),
    ("every_row_renders", broken.DrawsFloats, 8, "uint8.*float32"),
    ("every_row_renders", broken.RenderMoves, 8, "change nothing"),
    ("every_row_renders", broken.DrawsRandomly, 8, "both faces"),
    ("a_snapshot_replays_exactly", broken.RemembersInSelf, 7, "replays exactly.*into itself"),
    (
        "a_snapshot_of_the_single_face_replays_exactly",
        broken.IgnoresTheSeedOfTheEpisode,
        7,
        "replays",
    ),
    ("pickles_and_copies_go_on_alike", broken.RemembersInSelf, 8, "goes on alike"),
    ("worker_processes_play_the_same_episodes", broken.OtherInAWorker, 8, "worker processes"),
    ("finite_instances_of_the_splits_differ", broken.SplitsShareInstances, 11, "one of train's"),
    ("the_streams_of_the_splits_never_meet", broken.SplitsShareAState, 11, "state.key"),
    (
        "autoreset_is_that_of_gymnasiums_sync",
        broken.NeighboursMatter,
        3,
        "info is that of SyncVectorEnv",
    ),
    (
        "next_step_ignores_the_action_of_an_ended_row",
        broken.IgnoresTheSeedOfTheEpisode,
        3,
        "NEXT_STEP",
    ),
    ("torch_output_equals_numpy_output", broken.IgnoresTheSeedOfTheEpisode, 3, "as tensors"),
]


@pytest.mark.parametrize(
    ("check", "task", "law", "message"), BROKEN, ids=[f"{b[1].__name__}-{b[0]}" for b in BROKEN]
)
def test_a_broken_task_breaks_the_law_it_should(check, task, law, message):
    with pytest.raises(LawError) as caught:
        check_task(task, horizon=5, only=[check])
    assert caught.value.law == law
    assert re.search(message, str(caught.value)), str(caught.value)
    assert check in caught.value.__notes__[0]


def test_a_task_that_says_what_is_invalid_keeps_the_law_of_masks():
    assert check_task(broken.SaysInvalid, horizon=6, only=["masks_are_exact"]) == []


# --- a broken core, for laws that no task can break by itself ---


def _raises(law, message, check, task=Walk, horizon=4):
    with pytest.raises(LawError, match=message) as caught:
        check_task(task, horizon=horizon, only=[check])
    assert caught.value.law == law


def test_a_reward_that_is_not_the_sum_of_its_terms_is_seen(monkeypatch):
    monkeypatch.setattr(vector, "weighted_sum", lambda weights, terms: sum(terms.values()))
    _raises(4, "weighted sum", "reward_is_the_weighted_sum_of_its_terms", Network)


def test_a_partial_reset_of_all_rows_is_seen(monkeypatch):
    def everything(mask, num_envs, device):
        return None if mask is None else torch.arange(num_envs)

    monkeypatch.setattr(vector, "read_mask", everything)
    _raises(3, "outside reset_mask stay bit-equal", "a_partial_reset_leaves_the_other_rows_alone")


def test_stepping_ended_rows_with_autoreset_disabled_is_seen(monkeypatch):
    original = vector.TaskVectorEnv.step_tensors

    def forgetful(self, actions):
        self._ended_rows = None
        return original(self, actions)

    monkeypatch.setattr(vector.TaskVectorEnv, "step_tensors", forgetful)
    _raises(3, "stepping an ended row raises", "disabled_autoreset_refuses_to_step_an_ended_row")


def test_unchecked_actions_are_seen(monkeypatch):
    monkeypatch.setattr(ActionReader, "_check_values", lambda *_: None)
    _raises(9, "above the range", "bad_actions_raise_and_change_nothing", Grid)
    _raises(9, "NaN", "bad_actions_raise_and_change_nothing", Bandit)


def test_an_action_type_that_is_refused_is_seen(monkeypatch):
    original = ActionReader.read

    def picky(self, action, *rest):
        if isinstance(action, torch.Tensor) and action.dtype == torch.int16:
            raise ValueError("got int16")
        return original(self, action, *rest)

    monkeypatch.setattr(ActionReader, "read", picky)
    _raises(9, "any_number_type_does.*int16", "any_number_type_does", Grid)


def test_box_actions_that_are_not_clipped_are_seen(monkeypatch):
    monkeypatch.setattr(torch, "clamp", lambda a, low, high: a)
    _raises(9, "out of bounds is clipped", "box_actions_out_of_bounds_are_clipped", Bandit)


def test_splits_that_share_their_streams_are_seen(monkeypatch):
    stream = lambda self, seed: random.mix(0, seed)  # noqa: E731
    monkeypatch.setattr(instances.Episodes, "stream", stream)
    _raises(11, "keys of two splits are disjoint", "the_streams_of_the_splits_never_meet")


def test_instances_that_restrict_nothing_are_seen(monkeypatch):
    original = instances.Episodes.__init__
    unlimited = lambda self, split, size, limit: original(self, split, size, None)  # noqa: E731
    monkeypatch.setattr(instances.Episodes, "__init__", unlimited)
    _raises(11, "admits the first N alone", "instances_restricts_the_split", Bandit)


def test_collect_returns_every_error():
    errors = check_task(broken.ForgetsToCount, horizon=5, collect=True, asynchronous=False)
    assert {0, 5} <= {error.law for error in errors}


def test_check_task_says_what_it_needs():
    with pytest.raises(TypeError, match="needs a horizon"):
        check_task(Walk)
    with pytest.raises(KeyError, match="no check is called"):
        check_task(Walk, horizon=3, only=["nothing"])
    with pytest.raises(TypeError, match="no task of genenvs"):
        check_task("CartPole-v1")


def test_every_check_has_a_variant_that_fails_it():
    """The checks named here have their failing variant elsewhere in this file or in test_ids.py."""
    elsewhere = {
        "reward_is_the_weighted_sum_of_its_terms",
        "a_partial_reset_leaves_the_other_rows_alone",
        "disabled_autoreset_refuses_to_step_an_ended_row",
        "bad_actions_raise_and_change_nothing",
        "any_number_type_does",
        "box_actions_out_of_bounds_are_clipped",
        "instances_restricts_the_split",
        "a_spec_travels_as_json",
        "the_reference_beats_random",
        "the_page_is_complete",
    }
    assert set(CHECKS) - {entry[0] for entry in BROKEN} == elsewhere
