"""What a picture is made of beside its things: energies of frequencies, colours, contrast.

The parser looks at things alone. Here a picture that lost its background, or is full of noise or of
grids, stands out, and a set of pictures that are all alike does too.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from genenvs.core.random import mix, randint, word
from genenvs.images.scenes import grammar
from genenvs.images.scenes.render import SIDE, arrange, render

_BLOCK = 8
_NUMBERS = 34
_REAL = 2_048  # scenes that stand for the real ones


def features(images: Tensor) -> Tensor:
    """Describe pictures by 34 numbers.

    Log energies of 15 diagonals of a block cosine transform of the luminance, as JPEG has it;
    mean and standard deviation of the channels; deciles of luminance and of saturation.

    Args:
        images: float [B, 3, H, W] in [0, 1]; other sides than 32 are resized to it.

    Returns:
        float32 [B, 34].
    """
    images = images.float()
    if not len(images):  # which have no deciles
        return images.new_zeros(0, _NUMBERS)
    if images.shape[-2:] != (SIDE, SIDE):
        images = functional.interpolate(images, (SIDE, SIDE), mode="area")
    basis, diagonals = (each.to(images.device) for each in _cosines())
    grey = images.mean(1)
    blocks = grey.unfold(1, _BLOCK, _BLOCK).unfold(2, _BLOCK, _BLOCK)  # [B, 4, 4, 8, 8]
    energy = (basis @ blocks @ basis.T).square().mean((1, 2)).flatten(1)  # [B, 64]
    waves = (energy @ diagonals + 1e-5).log()
    flat = images.flatten(2)
    saturation = (images.amax(1) - images.amin(1)).flatten(1)
    levels = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], device=images.device)
    spread = [torch.quantile(each, levels, dim=1).T for each in (grey.flatten(1), saturation)]
    contrast = (grey.flatten(1).std(1) + 1e-4).log()[:, None]
    return torch.cat(
        [
            waves[:, 1:],
            flat.mean(2),
            flat.std(2),
            *spread,
            contrast,
            waves[:, :1],
            waves.std(1, keepdim=True),
            saturation.mean(1, keepdim=True),
        ],
        1,
    )


@cache
def _cosines() -> tuple[Tensor, Tensor]:
    """The orthonormal cosine basis [8, 8], and which of its 64 products lie on which diagonal."""
    n = torch.arange(_BLOCK)
    basis = torch.cos(torch.pi / _BLOCK * (n + 0.5) * n[:, None]) * (2 / _BLOCK) ** 0.5
    basis[0] *= 0.5**0.5
    order = (n[:, None] + n).flatten()
    return basis, functional.normalize(functional.one_hot(order).float(), p=1, dim=0)


@cache
def real(split: str) -> Tensor:
    """Features of 2,048 real scenes of a split's prompts, float32 [2048, 34], on the CPU."""
    key = mix(mix(0, word("real scenes"), word(split)), torch.arange(_REAL))
    asked = grammar.request(grammar.of_split(split))
    rows = asked[randint(key, 0, 1, len(asked))[:, 0]]
    return features(render(arrange(rows, key), key))


def strangeness(images: Tensor) -> Tensor:
    """How far pictures lie from real scenes: float32 [B], 1 for a typical real one.

    The Mahalanobis distance of the features to those of the training split's scenes, divided by
    what it is there on average.
    """
    mean, whiten = (each.to(images.device) for each in _whitening())
    return ((features(images) - mean) @ whiten).square().mean(1).sqrt()


@cache
def _whitening() -> tuple[Tensor, Tensor]:
    """Mean [34] and a matrix [34, 34] that makes real features uncorrelated, of variance 1."""
    rows = real("train").double()
    values, vectors = torch.linalg.eigh(rows.T.cov())
    # Directions in which real scenes hardly vary would make a stranger of everything.
    scale = values.clamp_min(1e-4 * values.max()).rsqrt()
    return rows.mean(0).float(), (vectors * scale).float()
