"""The training of `sprites`: what its text encoders are asked for."""

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
    """A teacher that knows the clean latents says noise minus clean, at every noise level."""
    from genenvs.generators.training.sprites import flow

    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 64, 4, 8, 8, generator=generator).unbind()

    class Knowing:
        squared = torch.linspace(1.0, 0.0, 100_001) ** 2  # so fine that rounding is nothing

        def encode(self, ids: torch.Tensor) -> None:
            return None

        def predict(self, x: torch.Tensor, time: torch.Tensor, condition: None) -> torch.Tensor:
            squared = self.squared[time][:, None, None, None]
            alpha, sigma = squared.sqrt(), (1 - squared).sqrt()
            torch.testing.assert_close(x, alpha * clean + sigma * noise, atol=1e-2, rtol=0)
            return alpha * noise - sigma * clean

    sigma = torch.linspace(0.0, 1.0, 64)
    x = torch.lerp(clean, noise, sigma[:, None, None, None])
    said = flow.teacher(Knowing())(x, sigma * 1000, torch.zeros(64, 10, dtype=torch.int64))  # type: ignore[arg-type]
    torch.testing.assert_close(said, noise - clean, atol=2e-2, rtol=0)
