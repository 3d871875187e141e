"""The expected reward of a half-denoised latent."""

from typing import Any

import torch
from torch import Tensor, nn


class Value(nn.Module):
    """A small network over the latent, its time, and the prompt as the mean of its embeddings.

    Attributes:
        embedding: float32 [P, E], of every prompt; no parameter.
    """

    embedding: Tensor

    def __init__(self, task: Any) -> None:
        """Two hidden layers of 128, for a task of `genenvs.tasks.denoise`."""
        super().__init__()
        first = next(iter(task.conditions.values())).float()
        known = first.mean(1) if first.ndim == 3 else first.flatten(1)
        self.register_buffer("embedding", known, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(task.dimensions + known.shape[1] + 1, 128), nn.SiLU(),
            nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1),
        )  # fmt: skip

    def forward(self, x: Tensor, time: Tensor, prompt: Tensor) -> Tensor:
        """Latents [B, C, h, w], time [B] in 0 .. 1 and prompts int64 [B] to values [B]."""
        given = torch.cat([x.flatten(1), time[:, None], self.embedding[prompt]], 1)
        return self.layers(given)[:, 0]
