"""Returns and advantages over a batch of rollouts, exact at every kind of ending.

All tensors are [T, B]: T steps of B episodes that follow each other in a row. `next_value[t]` is
the value of the state that step t led to, *before* any reset: of the final observation where a step
truncated. A termination is worth nothing after it, whatever `next_value` says there.
"""

import torch
from torch import Tensor


def gae(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    ended: Tensor,
    gamma: float,
    lam: float,
) -> Tensor:
    """Generalised advantage estimates (Schulman et al. 2016, equation 16), [T, B].

    With `lam=1` they are n-step advantages: `gae(...) + value` is the n-step return of Mnih et al.
    (2016), bootstrapped where the rollout or a truncation cuts an episode.

    Args:
        reward: [T, B].
        value: of the states acted in, [T, B].
        next_value: of the states reached, [T, B].
        terminated: bool [T, B], the episode is over for good.
        ended: bool [T, B], terminated or truncated: what follows belongs to another episode.
        gamma: discount.
        lam: 0 (one step, biased) to 1 (all steps, noisy).
    """
    delta = reward + gamma * next_value.masked_fill(terminated, 0.0) - value
    carry = torch.zeros_like(reward[0])
    result = torch.empty_like(delta)
    for t in range(len(delta) - 1, -1, -1):
        carry = delta[t] + gamma * lam * carry.masked_fill(ended[t], 0.0)
        result[t] = carry
    return result


def discounted(reward: Tensor, ended: Tensor, gamma: float) -> Tensor:
    """Discounted sums of the rewards from each step to the end of its episode, [T, B].

    Args:
        reward: [T, B].
        ended: bool [T, B].
        gamma: discount.
    """
    carry = torch.zeros_like(reward[0])
    result = torch.empty_like(reward)
    for t in range(len(reward) - 1, -1, -1):
        carry = reward[t] + gamma * carry.masked_fill(ended[t], 0.0)
        result[t] = carry
    return result
