"""From rewards to advantages within groups, by the conventions of Flow-GRPO and DanceGRPO."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Convention:
    """How rewards become advantages.

    Attributes:
        combine: "rewards": the advantage of the weighted sum; "advantages": the weighted sum of
            each reward's advantage, whatever its scale.
        std: what the centred rewards are divided by: that of their "group", the "global" one, of
            all rewards before they are centred, or "none" (Dr. GRPO, Liu et al. 2025).
        unbiased: divide by n - 1 in variances.
        epsilon: added to the standard deviation.
    """

    combine: Literal["rewards", "advantages"]
    std: Literal["group", "global", "none"]
    unbiased: bool
    epsilon: float


# Flow-GRPO's code (global_std, numpy's std) and DanceGRPO's (torch's std).
CONVENTIONS = {
    "flow_grpo": Convention("rewards", "global", False, 1e-4),
    "dance_grpo": Convention("advantages", "group", True, 1e-8),
}


@dataclass(frozen=True)
class Advantages:
    """What `advantages` finds.

    Attributes:
        total: float32 [B], what the agent learns from.
        of_reward: float32 [B] of each reward, unweighted; under "rewards" of the sum alone.
        zero_variance: how many groups had equal rewards throughout, by the same names; their
            advantages are 0.
        groups: how many groups there are.
        alive: bool [B], rows whose group differs in at least one reward.
    """

    total: Tensor
    of_reward: dict[str, Tensor]
    zero_variance: dict[str, int]
    groups: int
    alive: Tensor


def advantages(
    rewards: Mapping[str, Tensor],
    group: Tensor,
    weights: Mapping[str, float] | None = None,
    convention: str | Convention = "flow_grpo",
) -> Advantages:
    """Advantages of rows relative to their group, computed in float64.

    Args:
        rewards: float [B] by name.
        group: int64 [B], equal for rows of one prompt.
        weights: by name; 1 each if None.
        convention: "flow_grpo" (advantage of the weighted sum; centred by prompt, divided by the
            global standard deviation) or "dance_grpo" (weighted sum of advantages, each divided by
            the standard deviation of its group), or a `Convention`.

    Raises:
        ValueError: shapes or names do not fit, a reward is not finite, a group has one row, or
            there is no such convention.
    """
    rule = CONVENTIONS.get(convention) if isinstance(convention, str) else convention
    if rule is None:
        raise ValueError(f"no convention {convention!r}; there are {', '.join(CONVENTIONS)}")
    weights = dict.fromkeys(rewards, 1.0) if weights is None else weights
    _check(rewards, group, weights)
    member, size = torch.unique(group, return_inverse=True, return_counts=True)[1:]
    if bool((size < 2).any()):
        raise ValueError(
            f"a group needs two rows or more to be compared; {int((size < 2).sum())} of "
            f"{len(size)} groups have one"
        )
    if rule.combine == "rewards":
        rewards = {"sum": torch.stack([weights[k] * v.double() for k, v in rewards.items()]).sum(0)}
        weights = {"sum": 1.0}
    found, zero = {}, {}
    alive = torch.zeros(len(group), dtype=torch.bool, device=group.device)
    for name, reward in rewards.items():
        found[name], flat = _advantage(reward.double(), member, size, rule)
        zero[name] = int(flat.sum())
        if weights[name]:
            alive |= ~flat[member]
    total = torch.stack([weights[name] * value for name, value in found.items()]).sum(0)
    single = {name: value.float() for name, value in found.items()}
    return Advantages(total.float(), single, zero, len(size), alive)


def _advantage(
    reward: Tensor, member: Tensor, size: Tensor, rule: Convention
) -> tuple[Tensor, Tensor]:
    """Advantage [B], and whether all rewards of a group are equal, bool [G]."""
    blank = reward.new_zeros(len(size))
    centred = reward - (blank.index_add(0, member, reward) / size)[member]
    extremes = [blank.scatter_reduce(0, member, reward, how, include_self=False)
                for how in ("amin", "amax")]  # fmt: skip
    flat = extremes[0] == extremes[1]
    if rule.std == "none":
        return torch.where(flat[member], 0.0, centred), flat
    if rule.std == "global":
        std = reward.std(correction=int(rule.unbiased)).expand(len(size))
    else:
        squares = blank.index_add(0, member, centred.square())
        std = (squares / (size - int(rule.unbiased))).sqrt()
    scaled = centred / (std[member] + rule.epsilon)
    return torch.where(flat[member], 0.0, scaled), flat


def _check(rewards: Mapping[str, Tensor], group: Tensor, weights: Mapping[str, float]) -> None:
    if not rewards or set(rewards) != set(weights):
        raise ValueError(
            f"weights must name the rewards ({', '.join(rewards) or 'none given'}); "
            f"got {', '.join(weights)}"
        )
    for name, weight in weights.items():
        if isinstance(weight, bool) or not math.isfinite(weight):
            raise ValueError(f"the weight of {name!r} must be a finite number; got {weight!r}")
    if group.ndim != 1 or group.dtype != torch.int64 or not len(group):
        raise ValueError(f"group must be int64 [B]; got {group.dtype} {list(group.shape)}")
    for name, reward in rewards.items():
        if reward.shape != group.shape or not reward.is_floating_point():
            raise ValueError(
                f"rewards[{name!r}] must be float [{len(group)}]; "
                f"got {reward.dtype} {list(reward.shape)}"
            )
        bad = ~torch.isfinite(reward)
        if bool(bad.any()):
            raise ValueError(f"rewards[{name!r}] is not finite in {int(bad.sum())} rows")
