"""Draw what the shipped `sprites` generators make of unseen prompts.

    python -m genenvs.generators.training.sprites.report [NAME ...]

Writes samples.png into a generator's folder: two prompts of each category from the test split, real
scenes above and samples of the same prompts below.
"""

import argparse

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genenvs.core.files import making
from genenvs.generators import store, text_to_image
from genenvs.generators.sampling import generate
from genenvs.generators.training.sprites import data
from genenvs.images.scenes import grammar
from genenvs.images.scenes.render import arrange, render

SETTINGS = {"sprites": (10, 1.0), "sprites-tuned": (20, 3.0), "sprites-flow": (10, 1.0)}
EACH = 2  # prompts of a category
SCALE = 3


def drawn_prompts() -> Tensor:
    """Places in `grammar.prompts()`, evenly over each category of the test split: int64 [P]."""
    found = [
        places[torch.linspace(0, len(places) - 1, EACH + 2).long()[1:-1]]
        for places in data.places("test")
    ]
    return torch.cat(found)


@torch.no_grad()
def samples(name: str, prompt: Tensor) -> tuple[Tensor, Tensor]:
    """Real scenes and samples, float32 [P, 3, 32, 32] in [0, 1] each."""
    model = text_to_image.load(name)
    steps, guidance = SETTINGS[name]
    texts = [grammar.prompts()[k].text for k in prompt.tolist()]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(len(texts), *model.shape, generator=generator)
    made = generate(model, x, model.encode(texts), model.times(steps), guidance=guidance)
    key = torch.arange(len(prompt))
    real = render(arrange(data.requests()[prompt], key), key)
    return real, model.decode(made)


def page(name: str) -> np.ndarray:
    """The two rows as one picture, uint8 [H, W, 3]."""
    rows = torch.stack(samples(name, drawn_prompts()))  # [2, P, 3, 32, 32]
    rows = torch.nn.functional.pad(rows, (1, 1, 1, 1), value=1.0)
    whole = rows.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2)
    return (whole * 255).round().byte().numpy().repeat(SCALE, 0).repeat(SCALE, 1)


def main() -> None:
    """Draw those asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=list(SETTINGS), help=", ".join(SETTINGS))
    for name in parser.parse_args().names:
        if name not in SETTINGS:
            parser.error(f"names are {', '.join(SETTINGS)}; got {name}")
        with making(store.WEIGHTS / name / "samples.png") as temporary:
            Image.fromarray(page(name)).save(temporary, format="png", optimize=True)


if __name__ == "__main__":
    main()
