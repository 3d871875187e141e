"""What a finished sample is worth."""

import math

from torch import Tensor

from genenvs.core.rewards import Metric, Term

# The score of an episode uses this price whatever the agent is paid.
SCORE_PRICE = 0.006

TERMS = {
    "quality": Term(
        1.0,
        "Minus the fidelity error, once, however the episode ends.",
    ),
    "evaluations": Term(
        SCORE_PRICE,
        "Minus 1 for every network evaluation; its weight is the price lambda"
        " (trained agents took about 4, 8 and 13 evaluations at 0.02, 0.006 and 0.002).",
    ),
}

METRICS = {
    "objective": Metric(
        f"Score of the episode: minus the error, minus {SCORE_PRICE} for every evaluation.",
        better="higher",
        range=(-math.inf, 0.0),
    ),
    "error": Metric(
        "Fidelity error: root mean square distance, in data units ([-1, 1]) or those of latents,"
        " to the many-step solution from the same noise. Below 0.01 it is at the reference's own"
        " error (`digits`).",
        better="lower",
        range=(0.0, math.inf),
    ),
    "evaluations": Metric(
        "Network evaluations that the sample took.", better="lower", range=(0.0, math.inf)
    ),
    "accuracy": Metric(
        "Share of samples that a classifier reads as the class asked for (shipped `digits`), or in"
        " which the scenes' parser finds what the prompt asks for (prompts of its grammar).",
        when="judge",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    "frechet": Metric(
        "Frechet distance to real test images in the classifier's features (shipped `digits`).",
        when="set",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
    "diversity": Metric(
        "Mean distance of a sample to its nearest neighbour among the samples, same features.",
        when="set",
        gold=True,
        better="higher",
        range=(0.0, math.inf),  # features have no bound
    ),
}


def fidelity_error(image: Tensor, solution: Tensor) -> Tensor:
    """Root mean square difference of each row.

    Args:
        image: float32 [K, C, H, W].
        solution: [K, C, H, W], any real dtype.

    Returns:
        float32 [K], at least 0, in data units.
    """
    return (image - solution.to(image.dtype)).square().flatten(1).mean(1).sqrt()


def price(error: Tensor, evaluations: Tensor) -> dict[str, Tensor]:
    """The metrics that every finished episode has, float32 [K] each."""
    evaluations = evaluations.to(error.dtype)
    return {
        "objective": -error - SCORE_PRICE * evaluations,
        "error": error,
        "evaluations": evaluations,
    }
