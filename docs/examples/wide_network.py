"""A network of one's own, for every agent: `--network wide_network:Wide`.

It gets prepared observations: float tensors [B, ...], or a dict of them; pictures in [0, 1] with
channels first, `Discrete` as one-hot. What it returns goes on to the policy and value layers.
"""

import torch
from torch import nn

from agents.networks import prepared_shapes


class Wide(nn.Module):
    """Everything flattened, through one wide layer."""

    def __init__(self, space):
        super().__init__()
        inputs = sum(torch.Size(shape).numel() for shape in prepared_shapes(space).values())
        self.features = 256  # the length of what forward returns
        self.body = nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, 256), nn.ReLU())

    def forward(self, observation):
        parts = observation.values() if isinstance(observation, dict) else [observation]
        return self.body(torch.cat([part.flatten(1) for part in parts], 1))
