"""Two evaluations of the same targets, one beside the other."""

from typing import Any

import numpy as np

from genenvs.core.evaluate import Evaluation


def check_paired(first: Evaluation, second: Evaluation) -> None:
    """Differences of episodes mean something only where both played the same ones.

    Raises:
        ValueError: the k-th episodes were not of the same instance, for some k.
    """
    one, two = (_instances(found) for found in (first, second))
    if not np.array_equal(one, two):
        raise ValueError("the two evaluations did not play the same instances in the same order")


def gap(first: Evaluation, second: Evaluation, metric: str) -> np.ndarray:
    """The first's metric less the second's, episode by episode: float [N]; raises as above."""
    check_paired(first, second)
    return first.episodes[metric] - second.episodes[metric]


def _instances(found: Evaluation) -> np.ndarray:
    final: Any = found.final
    return final.instance.cpu().numpy()
