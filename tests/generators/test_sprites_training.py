"""The training of `sprites`: what its text encoders are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from genenvs.generators.training.sprites import grounding, words
from genenvs.images.scenes import grammar


def said(text: str) -> torch.Tensor:
    """What is known after each token, bool [L, PLACES, TRAITS]."""
    row = [prompt.text for prompt in grammar.prompts()].index(text)
    return grounding.said()[row].view(words.LENGTH, grounding.PLACES, grounding.TRAITS).bool()


def known(token: torch.Tensor) -> set[tuple[str, str]]:
    """Names of a token's entries."""
    traits = [*grammar.COLOURS, *grammar.SHAPES]
    places = ["anywhere", *grammar.RELATIONS]
    return {(places[place], traits[trait]) for place, trait in token.nonzero().tolist()}


def test_a_caption_says_what_stands_where_as_soon_as_it_has_been_said() -> None:
    # 0 start, 1 two, 2 red, 3 circles, 4 left, 5 of, 6 a, 7 blue, 8 square, 9 end
    found = [known(token) for token in said("two red circles left of a blue square")]
    first = {("anywhere", "red"), ("anywhere", "circle")}
    placed = first | {("left of", "red"), ("left of", "circle")}
    last = placed | {
        (place, trait) for place in ("anywhere", "right of") for trait in ("blue", "square")
    }
    assert found == [set()] * 3 + [first] + [placed] * 4 + [last] * 2


def test_of_pairs_no_place_is_said_and_of_nothing_nothing() -> None:
    found = known(said("a red circle and a blue square")[-1])
    assert found == {("anywhere", trait) for trait in ("red", "circle", "blue", "square")}
    assert not grounding.said()[-1].any(), "the empty caption"


@pytest.mark.parametrize("shown, hidden", [("left of", "right of"), ("above", "below")])
def test_no_two_relations_are_the_same_exercise(shown: str, hidden: str) -> None:
    assert not said(f"a red circle {shown} a red square").equal(
        said(f"a red circle {hidden} a red square")
    )


def test_a_diffusion_model_teaches_a_flow_what_it_knows_itself() -> None:
    """A teacher that knows the clean latents says noise minus clean, at every noise level.

    Without the caption it believes in empty pictures: guidance goes on from those.
    """
    from genenvs.generators.training.sprites import flow

    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 64, 4, 8, 8, generator=generator).unbind()
    squared = torch.linspace(1.0, 0.0, 100_001) ** 2  # so fine that rounding is nothing

    class Knowing:
        def predict(self, x: torch.Tensor, time: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
            alpha, sigma = (
                each[time][:, None, None, None].sqrt() for each in (squared, 1 - squared)
            )
            x, _ = x.chunk(2)
            told = words[:, :1, :1, None]
            picture = told * torch.cat([clean, clean])
            there = (torch.cat([x, x]) - alpha * picture) / sigma.clamp_min(1e-6)
            torch.testing.assert_close(there[4:64], noise[4:], atol=2e-2, rtol=0)
            return alpha * torch.cat([noise, noise]) - sigma * picture

    sigma = torch.linspace(0.0, 1.0, 64)
    x = torch.lerp(clean, noise, sigma[:, None, None, None])
    told, empty = torch.ones(64, 10, 64), torch.zeros(1, 10, 64)
    for guidance in (1.0, 2.0):
        said = flow._velocity(Knowing(), squared, x, sigma, told, empty, guidance)  # type: ignore[arg-type]
        scale = torch.hypot(1 - sigma, sigma)[:, None, None, None]
        # alpha + beta of what the caption adds to the answer, minus sigma times the picture.
        more = (guidance - 1) * (sigma[:, None, None, None] / scale**2) * clean
        torch.testing.assert_close(said, noise - clean - more, atol=2e-2, rtol=0)


def test_a_flow_begins_with_what_its_teacher_reads() -> None:
    from transformers import CLIPTextModel, CLIPTokenizer

    from genenvs.generators.store import WEIGHTS
    from genenvs.generators.training.sprites import flow, latents
    from genenvs.generators.training.sprites.diffusion import text_config

    tokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "sprites" / "tokenizer")
    text = CLIPTextModel(text_config(tokenizer)).eval()
    model = flow.Flow(tokenizer, text).eval()
    ids = latents.tokens(tokenizer)[::500]
    with torch.no_grad():
        read = text(ids, output_hidden_states=True)
        features, pooled = model.encode(ids)
    torch.testing.assert_close(features[:, :-1], torch.cat([read.hidden_states[-1]] * 2, -1))
    torch.testing.assert_close(pooled, torch.cat([read.pooler_output] * 2, -1))
    assert not features[:, -1].any(), "the place of the third encoder"


def test_the_vocabulary_is_the_same_in_every_call_and_a_models_own_where_it_has_one(
    tmp_path: Path,
) -> None:
    found = []
    for k in range(3):  # the library's own numbers differ from call to call
        words.write(tmp_path / str(k))
        found.append((tmp_path / str(k) / "vocab.json").read_text())
    assert found[0] == found[1] == found[2]
    known = json.loads(found[0])
    assert sorted(known.values()) == list(range(len(known)))
    swapped = known | {"a</w>": known["b"], "b": known["a</w>"]}
    words.write(tmp_path / "own", swapped)
    assert json.loads((tmp_path / "own" / "vocab.json").read_text()) == swapped
    with pytest.raises(ValueError, match="another vocabulary"):
        words.write(tmp_path / "other", known | {"more": 107})
