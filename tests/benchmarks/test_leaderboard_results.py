"""The published results: all of them stand on the board, and one of them is played again."""

import datetime
import random

import pytest

from benchmarks.leaderboard import board, collect, verify

RESULTS = verify.apart.ROOT / collect.RESULTS
EPISODES = 16  # of hundreds: some cost seconds each


@pytest.fixture(scope="module")
def entries():
    found, problems = board.load([RESULTS])
    assert not problems, [f"{each.path}: {each.why}" for each in problems]
    return found


def test_every_published_result_is_valid_and_none_was_found_to_be_another(entries):
    assert entries
    assert not [entry.path for entry in entries if entry.notes]


def _playable(entry):
    """Whether its policy and every episode's score are published: large ones are not."""
    try:
        return verify.playable(entry.submission)[0].episodes is not None
    except verify.Unplayable:
        return False


def test_a_row_of_the_day_is_played_again(entries):
    """Another row each day, so that in time all of them are looked at."""
    today = datetime.date.today()
    kept = [entry for entry in entries if _playable(entry)]
    entry = random.Random(today.toordinal()).choice(kept)
    seed = verify.playable(entry.submission)[0].seed
    found = verify.spot_check(entry.path, seed, EPISODES)
    assert found.ratio <= 1, f"{entry.path}, played on {today}: {found}"
