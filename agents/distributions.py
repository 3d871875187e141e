"""What a policy draws actions from, for every Gymnasium action space that agents here know."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.actions import action_sizes

ILLEGAL = -1e9  # a logit; finite, so that p log p of an illegal action is 0 and not NaN
LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Categoricals:
    """D independent choices a row, of up to M entries each.

    A `Discrete` has D = 1; every bit of a `MultiBinary` is a choice of two. Entries that are
    masked, or pad a dimension with fewer choices, have probability 0.
    """

    log_probs: Tensor  # [B, D, M], normalised

    def sample(self) -> Tensor:
        """Actions int64 [B, D], counted from 0."""
        # The largest of log p + Gumbel noise is a sample, for all dimensions at once.
        noise = -torch.log(torch.empty_like(self.log_probs).exponential_())
        return (self.log_probs + noise).argmax(-1)

    def mode(self) -> Tensor:
        """The most probable actions, int64 [B, D]."""
        return self.log_probs.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability [B] of actions int64 [B, D]."""
        return self.log_probs.gather(-1, action[..., None])[..., 0].sum(-1)

    def entropy(self) -> Tensor:
        """Entropy [B] in nats."""
        return -(self.log_probs.exp() * self.log_probs).sum((-1, -2))

    def kl(self, other: "Distribution") -> Tensor:
        """KL(self || other) [B] in nats, exact."""
        assert isinstance(other, Categoricals)
        return (self.log_probs.exp() * (self.log_probs - other.log_probs)).sum((-1, -2))


@dataclass(frozen=True)
class Gaussians:
    """Independent normals, D a row."""

    mean: Tensor  # [B, D]
    log_std: Tensor  # [B, D] or [D]

    def sample(self) -> Tensor:
        """Actions float32 [B, D], unbounded: the environment clips."""
        return self.mean + self.log_std.exp() * torch.randn_like(self.mean)

    def mode(self) -> Tensor:
        """The mean [B, D]."""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density [B] of actions [B, D]: a sum over dimensions."""
        scaled = (action - self.mean) * (-self.log_std).exp()
        return (-0.5 * scaled.square() - self.log_std - 0.5 * LOG_2PI).sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy [B] in nats."""
        return (self.log_std + 0.5 + 0.5 * LOG_2PI).expand_as(self.mean).sum(-1)

    def kl(self, other: "Distribution") -> Tensor:
        """KL(self || other) [B] in nats, exact."""
        assert isinstance(other, Gaussians)
        ratio = (2 * (self.log_std - other.log_std)).exp()
        shift = ((self.mean - other.mean) * (-other.log_std).exp()).square()
        return (0.5 * (ratio + shift - 1) - (self.log_std - other.log_std)).sum(-1)


Distribution = Categoricals | Gaussians


class Actions:
    """How network outputs become a distribution, and its samples actions of the environment.

    Attributes:
        outputs: numbers that a policy network must give a row.
        continuous: whether they are means of normals (else logits, in sb3-contrib's flat layout).
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        """Read a space.

        Raises:
            TypeError: it is none of Box (of floats), Discrete, MultiDiscrete and MultiBinary.
        """
        self.space = space
        self.continuous = isinstance(space, spaces.Box)
        if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
            self.outputs = int(np.prod(space.shape))
            return
        if self.continuous or not isinstance(
            space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
        ):
            raise TypeError(
                "this agent acts in Box (of floats), Discrete, MultiDiscrete and MultiBinary;"
                f" got {space}"
            )
        sizes = action_sizes(space)
        self.outputs, most = sum(sizes), max(sizes)
        # Where entry m of dimension d stands among the outputs; `outputs` where there is none.
        first = np.cumsum([0, *sizes[:-1]])
        entry = np.arange(most)
        table = np.where(entry < np.array(sizes)[:, None], first[:, None] + entry, self.outputs)
        self._index = torch.as_tensor(table)  # [D, M]
        self._start = torch.as_tensor(np.asarray(getattr(space, "start", 0)))

    def distribution(
        self, outputs: Tensor, log_std: Tensor | None = None, mask: Tensor | None = None
    ) -> Distribution:
        """What to sample from.

        Args:
            outputs: [B, outputs].
            log_std: [outputs], of a continuous space.
            mask: bool [B, outputs], which actions are legal.
        """
        if self.continuous:
            assert log_std is not None
            return Gaussians(outputs, log_std)
        if mask is not None:
            outputs = torch.where(mask, outputs, ILLEGAL)
        padding = outputs.new_full((len(outputs), 1), ILLEGAL)
        logits = torch.cat([outputs, padding], 1)[:, self._index.to(outputs.device)]
        return Categoricals(logits.log_softmax(-1))

    def to_env(self, action: Tensor) -> Tensor:
        """Samples [B, D] in the form that the environment takes: [B, *space.shape]."""
        action = action.reshape(len(action), *(self.space.shape or ()))
        return action if self.continuous else action + self._start.to(action.device)

    def from_env(self, action: Tensor) -> Tensor:
        """Actions of the environment [B, *space.shape] as samples [B, D]: undoes `to_env`."""
        if self.continuous:
            return action.flatten(1).to(torch.float32)
        return (action - self._start.to(action.device)).reshape(len(action), -1).long()
