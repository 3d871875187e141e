"""Captioned scenes to learn from: categories alike often, prompts of one split alone."""

from functools import cache

import torch
from torch import Tensor
from tqdm import tqdm

from genenvs.core.random import mix, randint, word
from genenvs.images.scenes import grammar
from genenvs.images.scenes.grammar import CATEGORIES, Request
from genenvs.images.scenes.render import arrange, render

_CHUNK = 2_048


@cache
def requests() -> Request:
    """Every prompt of the grammar as tensors, in the order of `grammar.prompts()`."""
    return grammar.request(grammar.prompts())


def places(split: str) -> list[Tensor]:
    """Where the prompts of a split stand in `grammar.prompts()`, category by category."""
    inside = torch.tensor([prompt.split == split for prompt in grammar.prompts()])
    kinds = requests().category
    return [torch.where(inside & (kinds == k))[0] for k in range(len(CATEGORIES))]


def draw(split: str, rows: int, seed: int, progress: bool = False) -> tuple[Tensor, Tensor]:
    """Scenes of random prompts.

    Args:
        split: "train", "validation" or "test".
        rows: how many.
        seed: of prompts, places and looks; splits share no stream.
        progress: show a bar.

    Returns:
        Pictures, uint8 [rows, 3, 32, 32], and prompts, int64 [rows].
    """
    own = places(split)
    stream = mix(0, seed, word(split))
    pictures, asked = [], []
    for start in tqdm(range(0, rows, _CHUNK), disable=not progress, unit_scale=_CHUNK):
        key = mix(stream, torch.arange(start, min(start + _CHUNK, rows)))
        kind, which = randint(key, 0, 2, torch.tensor([[len(own), 2**31]])).unbind(1)
        sizes = torch.tensor([len(each) for each in own])
        starts = sizes.cumsum(0) - sizes
        prompt = torch.cat(own)[starts[kind] + which % sizes[kind]]
        images = render(arrange(requests()[prompt], key), key)
        pictures.append((images * 255).round().byte())
        asked.append(prompt)
    return torch.cat(pictures), torch.cat(asked)
