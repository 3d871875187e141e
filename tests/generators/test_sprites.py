"""The `sprites` generators as they ship: loaded by plain diffusers, and as good as said."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from genenvs.generators import store, text_to_image
from genenvs.generators.sampling import generate
from genenvs.images.scenes import grammar, parser

SHIPPED = sorted(folder.name for folder in Path(store.WEIGHTS).glob("sprites*"))
LARGEST = 15e6  # bytes


def plain(name: str) -> Any:
    """As anybody loads it: the documented call, nothing else."""
    from diffusers import StableDiffusion3Pipeline, StableDiffusionPipeline

    made: Any
    if "flow" in name:  # diffusers asks to be told of what is not there
        made = StableDiffusion3Pipeline.from_pretrained(
            store.WEIGHTS / name, text_encoder_3=None, tokenizer_3=None
        )
    else:
        made = StableDiffusionPipeline.from_pretrained(store.WEIGHTS / name)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize("name", SHIPPED)
def test_plain_diffusers_draws_what_we_draw(name: str) -> None:
    model = text_to_image.load(name)
    prompts = ["two red circles left of a blue square", "a small yellow triangle"]
    x = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(0))
    more = {"max_sequence_length": 1} if "flow" in name else {}
    theirs = plain(name)(
        prompts, num_inference_steps=4, guidance_scale=1.0, latents=x.clone(), output_type="pt",
        **more,
    ).images  # fmt: skip
    ours = model.decode(generate(model, x, model.encode(prompts), model.times(4), guidance=1.0))
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)


def test_they_are_small() -> None:
    """The diffusion models together; a flow would have as much again."""
    folders = [store.WEIGHTS / name for name in SHIPPED if "flow" not in name]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(folders) == 2 and sum(path.stat().st_size for path in files) <= LARGEST


def correct(name: str, prompts: list[grammar.Prompt], steps: int, guidance: float) -> float:
    """Share of samples in which the parser finds what was asked for."""
    model = text_to_image.load(name)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(len(prompts), *model.shape, generator=generator)
    condition = model.encode([prompt.text for prompt in prompts])
    images = model.decode(generate(model, x, condition, model.times(steps), guidance=guidance))
    return float(parser.read(images, grammar.request(prompts)).correct.float().mean())


def test_tuned_draws_unseen_single_things_and_relations() -> None:
    unseen = grammar.of_split("test")
    for category, least in (("single", 0.9), ("position", 0.8)):
        asked = [prompt for prompt in unseen if prompt.category == category][:48]
        asked = (asked * 48)[:48]
        assert correct("sprites-tuned", asked, 20, 3.0) >= least, category


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_the_report_says_what_the_weights_do(name: str) -> None:
    """The figures of training.json, on other noise: within four standard errors of 384 samples."""
    report = json.loads((store.WEIGHTS / name / "training.json").read_text(encoding="utf-8"))
    unseen = grammar.of_split("test")
    for found in report["test"].values():
        asked: list[grammar.Prompt] = []
        for category in grammar.CATEGORIES:
            own = [prompt for prompt in unseen if prompt.category == category]
            asked += [own[k % len(own)] for k in range(64)]
        share = correct(name, asked, found["steps"], found["guidance"])
        said = found["correct"]
        assert abs(share - said) < 4 * (said * (1 - said) / len(asked)) ** 0.5, found
