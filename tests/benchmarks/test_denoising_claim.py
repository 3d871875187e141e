"""What the claims of denoising say follows from their rows."""

import pytest

from benchmarks.claims import denoising, record
from genenvs.core.evaluate import Interval

METRICS = ("reward", *denoising.GOLD)


def rows_of(what: str, values: dict[str, tuple[float, float, float]]) -> list[dict]:
    """Rows of a claim, from mean, low and high by metric."""
    return [record.row(what, name, Interval(*own, 3), "test") for name, own in values.items()]


def test_what_rises_and_falls_is_read_from_the_rows() -> None:
    before = dict(zip(METRICS, (0.772, 0.634, 0.61, 0.901, 0.078), strict=True))
    held = {
        "reward": (0.924, 0.919, 0.928), "correct": (0.866, 0.86, 0.869),
        "clean": (0.824, 0.816, 0.829), "strange": (0.871, 0.853, 0.885),
        "diversity": (0.074, 0.073, 0.0745),
    }  # fmt: skip
    free = held | {"strange": (0.856, 0.807, 0.936), "diversity": (0.053, 0.05, 0.058)}
    rows = rows_of("untrained", {name: (value,) * 3 for name, value in before.items()})
    rows += rows_of("a with KL", held) + rows_of("a without", free)
    rows += rows_of("a with KL", {"reward": (0.1, 0.1, 0.1)})  # of training
    said = denoising._moves(rows, {"a with KL": "with KL", "a without": "without"})
    assert said.endswith(
        "with KL: up: reward (0.772 to 0.924), correct (0.634 to 0.866), clean (0.610 to 0.824);"
        " down: strange (0.901 to 0.871), diversity (0.078 to 0.074)."
        " without: up: reward (0.772 to 0.924), correct (0.634 to 0.866), clean (0.610 to 0.824);"
        " down: diversity (0.078 to 0.053); not clearly either: strange (0.901 to 0.856)."
    )


def test_gains_that_shrink_are_called_so() -> None:
    said = denoising._gains([0.583293, 0.753866, 0.878174, 0.956055, 0.984375])
    assert "adds 0.171, 0.124, 0.078, 0.028" in said and "it saturates" in said
    assert "does not saturate" in denoising._gains([0.1, 0.2, 0.3, 0.5, 0.6])


@pytest.mark.parametrize(("rewards", "found"), [([1, 2, 3], (0, 2)), ([1, 3, 2, 2, 4], (1, 4))])
def test_batches_that_lose_what_the_last_one_had_are_counted(rewards, found) -> None:
    assert denoising._setbacks([{"reward": float(each)} for each in rewards]) == found
