"""What a denoised image is worth, and what betrays a reward that was gamed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from genenvs.core.rewards import Metric, Term
from genenvs.images.rewards import load
from genenvs.images.rewards.glyphs import Glyphs, asked_for
from genenvs.images.rewards.reward import Context, Reward, WeightedSum
from genenvs.images.rewards.scene import scene_correct
from genenvs.images.scenes import features, parser
from genenvs.images.scenes.grammar import Request

TERMS = {"image": Term(1.0, "The image reward of the finished picture, once, at the end.")}

METRICS = {
    "reward": Metric(
        "The image reward, whatever its weight.", better="higher", range=(-math.inf, math.inf)
    ),
    "clipped": Metric(
        "Share of action values at the bound of the action space.", better="lower", range=(0.0, 1.0)
    ),
    "correct": Metric(
        "Whether the parser finds all that the prompt asks for, and of counted things no more:"
        " 0 or 1.",
        when="judge",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    "clean": Metric(
        "Whether the picture is correct and there is nothing else in it: 0 or 1.",
        when="judge",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    "strange": Metric(
        "Distance of frequencies, colours and contrast to those of real scenes; 1 for real ones.",
        when="judge",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
    "frechet": Metric(
        "Frechet distance to real scenes of the split's prompts, in the same features.",
        when="set",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
    "diversity": Metric(
        "Mean distance of a picture, at 8 x 8, to its nearest neighbour among the pictures.",
        when="set",
        gold=True,
        better="higher",
        range=(0.0, 1.0),  # root mean squares of differences of values in [0, 1]
    ),
}


PART = "reward/"
"""Before the name of each reward of a weighted sum, among the metrics."""


def of_parts(reward: Reward) -> dict[str, Metric]:
    """The metric `reward` in this one's range, and one for each reward of a weighted sum."""
    whole = {"reward": replace(METRICS["reward"], range=reward.range)}
    if not isinstance(reward, WeightedSum):
        return whole
    return whole | {
        f"{PART}{name}": Metric(
            f"The image reward {name}, without its weight.", better="higher", range=part.range
        )
        for name, part in reward.parts.items()
    }


def of_held_out(reward: Reward) -> dict[str, Metric]:
    """The metric `held_out` of a reward that is not paid."""
    return {
        "held_out": Metric(
            f"The image reward {reward.name}, which nobody is paid for.",
            when="judge", gold=True, better="higher", range=reward.range,
        )
    }  # fmt: skip


def of_episode(argument: str, given: Any) -> Reward:
    """A reward that can be told of one picture and its prompt.

    Args:
        argument: what it was given as.
        given: see `genenvs.images.rewards.load`.

    Raises:
        ValueError: a reward of sets, or one that compares with a target.
    """
    reward = load(given)
    if reward.of_set:
        why = "what an episode is worth may not depend on its neighbours in the batch"
        more = ". Agents add it, with `set_rewards`" if argument == "reward" else ""
        raise ValueError(f"{argument} {reward.name!r} is of a set: {why}{more}")
    if "target" in reward.needs:
        raise ValueError(
            f"{argument} {reward.name!r} compares with a target, and an episode has none here:"
            " write a callable of (images, context) that holds the pictures it compares with"
        )
    return reward


def check_held_out(gold: Any, reward: Any) -> None:
    """Refuse a gold reward all of which is paid, as both were given.

    Raises:
        ValueError: it is.
    """
    if gold is None:
        return
    held, known = (
        {_key(part) for part, weight in given.items() if weight}
        if isinstance(given, Mapping)
        else {_key(given)}
        for given in (gold, reward)
    )
    if held <= known:
        raise ValueError(f"gold {gold!r} is what nobody is paid for, and reward is {reward!r}")


def _key(given: Any) -> Any:
    """What a reward is told from others by: itself, or where it has no hash, which object it is."""
    try:
        hash(given)
    except TypeError:  # as of an instance of a dataclass
        return id(given)
    return given


def each_part(reward: Reward, weight: float = 1.0) -> Iterator[tuple[Reward, float]]:
    """The rewards that one adds up, sums within sums too, with their weights; or itself."""
    if not isinstance(reward, WeightedSum):
        yield reward, weight
        return
    for name, part in reward.parts.items():
        yield from each_part(part, weight * reward.weights[name])


def paid_gold(reward: Reward) -> dict[str, Metric]:
    """The metrics that a reward pays for, and that are no gold then: they betray nothing."""
    measured = scene_correct().function
    if not any(weight and part.function is measured for part, weight in each_part(reward)):
        return {}
    return {"correct": replace(METRICS["correct"], gold=False)}


def check_prompts(reward: Reward, texts: Sequence[str]) -> None:
    """Refuse prompts that ask for nothing a reward of writing can read.

    Raises:
        ValueError: one does; names it. It might be drawn after hours.
    """
    if any(isinstance(part.function, Glyphs) for part, _ in each_part(reward)):
        asked_for({"prompts": texts})


def paid(reward: Reward, images: Tensor, context: Context) -> tuple[Tensor, dict[str, Tensor]]:
    """What pictures are worth, float32 [K], and the metrics of `of_parts`; one evaluation."""
    if not isinstance(reward, WeightedSum):
        return reward(images, context), {}
    parts = reward.terms(images, context)
    return reward.weighted(parts), {f"{PART}{name}": value for name, value in parts.items()}


def judged(images: Tensor, asked: Request | None) -> dict[str, Tensor]:
    """The metrics of kind `judge`, float32 [K].

    Whether a picture is what was asked for only the scenes' grammar can say: of other prompts
    `correct` and `clean` are missing, and not 0. `strange` needs no prompt.

    Args:
        images: float32 [K, 3, H, W] in [0, 1].
        asked: of K rows; None of prompts outside of the grammar.
    """
    found = {"strange": features.strangeness(images)}
    if asked is None:
        return found
    reading = parser.read(images, asked)
    return {"correct": reading.correct.float(), "clean": reading.clean.float()} | found


def context(texts: list[str], asked: Request | None) -> dict[str, Any]:
    """What image rewards are told beside the pictures."""
    return {"prompts": texts} | ({} if asked is None else {"request": asked})
