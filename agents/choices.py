"""One network for all actions, where the observation describes each of them.

    python -m agents train --env genenvs/ClipEdit-v0 --agent maskable_ppo
        --network agents.choices:Choices

A `Dict` observation may have a part `choices`, [n, F]: a row for every logit of the policy, in
order. Each logit is computed from its row by the same layers, so that what is learned of one action
holds for all:

    logit_k = w . tanh(A row_k + C vectors + b_k) + d . row_k

with the observation's vectors as context, and b_k of each action's own for what its row does not
say. The value reads the vectors, and the rows' mean and largest entries. Other parts are not read.
"""

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor, nn

NAME = "choices"
HIDDEN = 32


class Choices(nn.Module):
    """Observations with a part `choices` to logits, then what the value is read from.

    Attributes:
        logits: of the policy, n.
        features: length of the vector, logits included.
    """

    def __init__(self, space: gym.Space) -> None:
        """Make the layers; the policy begins nearly uniform.

        Raises:
            ValueError: an observation without `choices`.
        """
        super().__init__()
        parts = space.spaces if isinstance(space, spaces.Dict) else {}
        shapes = {k: part.shape for k, part in parts.items() if isinstance(part, spaces.Box)}
        if len(shapes.get(NAME, ())) != 2:
            raise ValueError(
                f"the network needs a Dict with a Box {NAME!r} of [n, F]; the space is {space}"
            )
        self.logits, facts = shapes[NAME]
        self.vectors = sorted(name for name, shape in shapes.items() if len(shape) == 1)
        given = sum(shapes[name][0] for name in self.vectors)
        self.features = self.logits + given + 2 * facts
        self.rows = nn.Linear(facts, HIDDEN, bias=False)
        self.context = nn.Linear(given, HIDDEN) if given else None
        self.own = nn.Parameter(torch.zeros(self.logits, HIDDEN))
        self.bent = nn.Linear(HIDDEN, 1, bias=False)
        self.straight = nn.Linear(facts, 1, bias=False)
        for layer, gain in ((self.rows, 2**0.5), (self.bent, 0.1), (self.straight, 0.1)):
            nn.init.orthogonal_(layer.weight, gain)
        if self.context is not None:
            nn.init.orthogonal_(self.context.weight, 2**0.5)
            nn.init.zeros_(self.context.bias)

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """[B, features]."""
        rows = observation[NAME]
        vectors = [observation[name] for name in self.vectors]
        hidden = self.rows(rows) + self.own
        if self.context is not None:
            hidden = hidden + self.context(torch.cat(vectors, 1))[:, None]
        logits = (self.bent(hidden.tanh()) + self.straight(rows))[..., 0]
        return torch.cat([logits, *vectors, rows.mean(1), rows.amax(1)], 1)
