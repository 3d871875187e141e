"""What cannot learn, or learns nothing, is told."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genenvs.generators.transition import DETERMINISTIC_BELOW, stochastic

from .policy import DenoiserPolicy

RATIO_ERROR = 0.1  # of the clip range: ratios that far from 1 before an update are a warning


def steps_with_noise(policy: DenoiserPolicy) -> Tensor:
    """Steps of the policy that are drawn, and so have a log-probability: int64 [K]."""
    return torch.where(stochastic(policy.task.deviations(policy.rule, policy.level)))[0]


def check_noise(policy: DenoiserPolicy, steps: Tensor) -> None:
    """Refuse what no policy gradient can learn from.

    Args:
        policy: that learns.
        steps: that it learns from, of `steps_with_noise`.

    Raises:
        ValueError: a noise level of 0, or no step at all.
    """
    if policy.level == 0:
        raise ValueError(
            f"level (eta) is 0: {policy.rule} is deterministic then, and a policy gradient"
            " needs the log-probability of what was sampled; give a level above 0"
        )
    if not len(steps):
        raise ValueError(
            f"no step of {policy.task.horizon} has noise to learn from at level"
            f" {policy.level:g}: its standard deviation is below {DETERMINISTIC_BELOW:g}"
        )


def tell_if_ratios_are_off(worst: float, clip: float) -> None:
    """Warn of ratios that are `worst` from 1 at most, before a batch's first update."""
    if worst > RATIO_ERROR * clip:
        warnings.warn(
            f"ratios are up to {worst:.1e} from 1 before the first update, the clip range is"
            f" {clip:.1e}: rollout and gradient do not evaluate the same policy (lower precision"
            " of autocast?)",
            RuntimeWarning,
            stacklevel=3,
        )


def flat_prompts(rewards: Mapping[str, Tensor], prompt: Tensor) -> Tensor | None:
    """Share of a batch's prompts whose pictures have equal rewards throughout; None of no prompt.

    Args:
        rewards: float [N] by name; equal means in all of them.
        prompt: int64 [N]; those with one picture do not count.
    """
    _, member, size = torch.unique(prompt, return_inverse=True, return_counts=True)
    flat = several = size > 1
    if not bool(several.any()):
        return None
    for reward in rewards.values():
        low, high = (
            reward.new_zeros(len(size)).scatter_reduce(0, member, reward, how, include_self=False)
            for how in ("amin", "amax")
        )
        flat = flat & (low == high)
    return flat.sum() / several.sum()


def tell_if_flat(agent: Any, rewards: Mapping[str, Tensor]) -> None:
    """Warn, once an agent, of a batch in which every picture was paid the same."""
    if getattr(agent, "told_flat", False) or not all(
        bool((reward == reward[0]).all()) for reward in rewards.values()
    ):
        return
    agent.told_flat = True
    worth = ", ".join(f"{name} {float(reward[0]):g}" for name, reward in rewards.items())
    warnings.warn(
        f"all {len(next(iter(rewards.values())))} pictures of a batch are worth the same ({worth}):"
        " nothing is learned from it. If the column flat_groups stays at 1, the reward is too"
        " coarse for the generator, or the batch too small",
        UserWarning,
        stacklevel=3,
    )
