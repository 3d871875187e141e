"""How likely pose codes follow each other in clips: a prior of dances that hears no music."""

import torch
from torch import Tensor

from genenvs.core import random

# Counts that a less specific context is worth. Of 0.3 .. 10 each, the best of clips left out.
BACK_OFF = 1.0
SMOOTHING = 3.0


class Prior:
    """p(lower | codes before) p(upper | upper before, lower): counts, backed off to shorter ones.

    Attributes:
        lower: float32 [U, L, L'], log p(lower' | upper, lower).
        upper: float32 [U, L', U'], log p(upper' | upper, lower').
    """

    def __init__(
        self,
        follows: Tensor,
        sizes: tuple[int, int],
        back_off: float = BACK_OFF,
        smoothing: float = SMOOTHING,
    ) -> None:
        """Count.

        Args:
            follows: int64 [N, 4], upper and lower before, upper and lower after.
            sizes: U and L.
            back_off: counts that the context of one code adds to that of two.
            smoothing: counts that a uniform distribution adds to the context of one code.
        """
        uppers, lowers = sizes
        up, low, next_up, next_low = follows.T
        self.lower = _table(up, low, next_low, low, (uppers, lowers), lowers, back_off, smoothing)
        self.upper = _table(
            up, next_low, next_up, up, (uppers, lowers), uppers, back_off, smoothing
        )

    def log_prob(self, before: Tensor, codes: Tensor) -> Tensor:
        """Nats: codes int64 [..., 2] twice -> float32 [...]."""
        up, low = before.unbind(-1)
        next_up, next_low = codes.unbind(-1)
        return self.lower[up, low, next_low] + self.upper[up, next_low, next_up]

    def sample(self, before: Tensor, key: Tensor, counter: int | Tensor) -> Tensor:
        """Draw what follows.

        Args:
            before: int64 [B, 2].
            key: int64 [B], random streams.
            counter: see `genenvs.core.random.counter`.

        Returns:
            int64 [B, 2].
        """
        up, low = before.unbind(-1)
        uniform = random.uniform(key, counter, 2)
        next_low = _draw(self.lower[up, low], uniform[:, :1])
        next_up = _draw(self.upper[up, next_low], uniform[:, 1:])
        return torch.stack([next_up, next_low], -1)

    def likely(self, before: Tensor, lowers: int, uppers: int) -> Tensor:
        """The most likely lower codes, and with each the most likely upper ones.

        Args:
            before: int64 [B, 2].
            lowers: how many of the first.
            uppers: how many with each.

        Returns:
            int64 [B, lowers * uppers, 2].
        """
        up, low = before.unbind(-1)
        next_low = self.lower[up, low].topk(lowers, -1).indices  # [B, N]
        next_up = self.upper[up[:, None], next_low].topk(uppers, -1).indices  # [B, N, M]
        pairs = [next_up, next_low[..., None].expand_as(next_up)]
        return torch.stack(pairs, -1).flatten(1, 2)


def _table(
    first: Tensor,
    second: Tensor,
    after: Tensor,
    single: Tensor,
    context: tuple[int, int],
    size: int,
    back_off: float,
    smoothing: float,
) -> Tensor:
    """Log of p(after | first, second), backed off to p(after | single): [*context, size]."""
    pair = _counts(first * context[1] + second, after, context[0] * context[1], size)
    pair = pair.view(*context, size)
    one = single is second
    alone = _counts(single, after, context[1] if one else context[0], size)
    alone = (alone + smoothing / size) / (alone.sum(-1, keepdim=True) + smoothing)
    alone = alone[None] if one else alone[:, None]
    return ((pair + back_off * alone) / (pair.sum(-1, keepdim=True) + back_off)).log()


def _counts(context: Tensor, after: Tensor, contexts: int, size: int) -> Tensor:
    flat = torch.bincount(context * size + after, minlength=contexts * size)
    return flat.view(contexts, size).float()


def _draw(log_prob: Tensor, uniform: Tensor) -> Tensor:
    """Where the cumulated probability passes a number in [0, 1): [B, N] and [B, 1] -> [B]."""
    sums = log_prob.double().exp().cumsum(-1)
    found = torch.searchsorted(sums, uniform.double() * sums[:, -1:], right=True)
    return found[:, 0].clamp(max=log_prob.shape[-1] - 1)
