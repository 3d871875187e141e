"""What every word of a caption says of the scene, and where: the text encoders' own exercise.

A relation shows in a picture only as a product of three things (the word, what stands before and
behind it, a place), and no gradient points to a product before two of its factors are known: models
trained by denoising alone gave "left of" and "right of" one embedding and never came to place
anything. A linear reading of each token, asked for what has been said so far, tells them apart in
seconds; Stable Diffusion's text encoders, too, have read captions before (CLIP's, by contrast).
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from genenvs.generators.training.sprites import words
from genenvs.images.scenes import grammar

PLACES = 5  # anywhere, then as `grammar.RELATIONS`
TRAITS = len(grammar.COLOURS) + len(grammar.SHAPES)
WIDTH = PLACES * TRAITS
_OPPOSITE = (1, 0, 3, 2)
_NOUNS, _LINKS = {*grammar.SHAPES, *grammar.PLURALS}, {"left", "right", "above", "below"}


@cache
def said() -> Tensor:
    """What is known after each token: float32 [5185, LENGTH, WIDTH] of 0 and 1.

    Rows as `latents.tokens`, the last one the empty caption. An entry says that a colour or a shape
    has been named, and at which side of the other group it stands.
    """
    prompts = grammar.prompts()
    found = torch.zeros(len(prompts) + 1, words.LENGTH, PLACES, TRAITS)
    for row, prompt in zip(found, prompts, strict=False):
        text = prompt.text.split()
        nouns = [k + 1 for k, each in enumerate(text) if each in _NOUNS]  # token 0 is the start
        for place, group in zip(nouns, prompt.groups, strict=True):
            _tell(row[place:, 0], group)
        if prompt.relation is not None:
            link = next(k + 1 for k, each in enumerate(text) if each in _LINKS)
            _tell(row[link:, 1 + prompt.relation], prompt.groups[0])
            _tell(row[nouns[1] :, 1 + _OPPOSITE[prompt.relation]], prompt.groups[1])
    return found.flatten(2)


def _tell(rows: Tensor, group: grammar.Group) -> None:
    """Set the traits of a group in float32 [L, TRAITS]."""
    rows[:, group.colour] = 1
    rows[:, len(grammar.COLOURS) + group.shape] = 1


class Grounding(nn.Module):
    """A linear reading of token features; of no use once the training is over."""

    def __init__(self, width: int) -> None:
        """For features of some width."""
        super().__init__()
        self.read = nn.Linear(width, WIDTH)

    def forward(self, features: Tensor, prompt: Tensor) -> Tensor:
        """Mean squared error.

        Args:
            features: float32 [B, LENGTH, width] of the tokens.
            prompt: int64 [B], rows of `said`.
        """
        return functional.mse_loss(self.read(features), said()[prompt])
