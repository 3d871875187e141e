"""Captioned scenes: grammar, renderer and parser against plain versions of themselves."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from genenvs.core.random import mix
from genenvs.images.scenes import features, grammar, parser, render
from genenvs.images.scenes.grammar import COLOURS, RELATIONS, Group, Prompt


def scenes(rows: int, seed: int = 0) -> tuple[grammar.Request, render.Things, torch.Tensor]:
    """Random prompts, what was placed, and its picture."""
    key = mix(seed, torch.arange(rows))
    every = grammar.request(grammar.prompts())
    kinds = [torch.where(every.category == k)[0] for k in range(len(grammar.CATEGORIES))]
    chosen = [kinds[i % len(kinds)][int(k) % len(kinds[i % len(kinds)])] for i, k in enumerate(key)]
    asked = every[torch.stack(chosen)]
    things = render.arrange(asked, key)
    return asked, things, render.render(things, key)


def test_every_prompt_is_read_back_from_its_words() -> None:
    every = grammar.prompts()
    assert len(every) == len({prompt.text for prompt in every}) == 5_184
    assert all(grammar.read(f"  {prompt.text.upper()} ") == prompt for prompt in every[::37])
    assert {len(prompt.text.split()) for prompt in every} <= set(range(3, 9))


def test_splits_part_the_prompts() -> None:
    parts = [set(grammar.of_split(split)) for split in grammar.SPLITS]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(grammar.prompts())
    shares = [len(part) / len(grammar.prompts()) for part in parts]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.02)
    assert all({p.category for p in part} == set(grammar.CATEGORIES) for part in parts)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a red dog", "know no 'dog'"),
        ("a red circel", "did you mean 'circle'"),
        ("two red circle", "no sentence of the grammar"),
        ("a red circle and a red circle", "no sentence"),
        ("", "no sentence"),
    ],
)
def test_what_is_no_prompt_is_told(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        grammar.read(text)


def test_requests_hold_what_the_words_say() -> None:
    asked = grammar.request([grammar.read("two red circles left of a blue square")])
    assert asked.count.tolist() == [[2, 1]]
    assert asked.size.tolist() == [[-1, -1]]
    assert asked.colour.tolist() == [[0, 2]]
    assert asked.shape.tolist() == [[0, 1]]
    assert asked.relation.tolist() == [RELATIONS.index("left of")]
    one = grammar.request([grammar.read("three small cyan crosses")])
    assert (one.count.tolist(), one.size.tolist(), one.relation.tolist()) == (
        [[3, 0]],
        [[0, -1]],
        [-1],
    )


def outline(shape: str, x: float, y: float, radius: float) -> float:
    """Signed distance, one point at a time."""
    arm = 0.36 * radius
    if shape == "circle":
        return math.hypot(x, y) - radius
    if shape == "square":
        return max(abs(x), abs(y)) - 0.92 * radius
    if shape == "triangle":
        return max((2 * abs(x) - y - radius) / math.sqrt(5), y - radius)
    bars = max(abs(x) - arm, abs(y) - radius), max(abs(x) - radius, abs(y) - arm)
    return min(bars)


def test_pictures_are_those_of_a_plain_renderer() -> None:
    _asked, things, images = scenes(12)
    key = mix(0, torch.arange(12))
    empty = render.Things(**{**vars(things), "present": torch.zeros_like(things.present)})
    grounds = render.render(empty, key)
    palette = np.array(list(COLOURS.values()))
    look = render.uniform(key, render.counter(0, render._LOOK), 8 + grammar.MAX_OBJECTS).numpy()
    for b in range(12):
        picture = grounds[b].numpy().copy()
        for o in range(grammar.MAX_OBJECTS):
            if not things.present[b, o]:
                continue
            colour = (palette[things.colour[b, o]] * (0.92 + 0.12 * look[b, 8 + o])).clip(0, 1)
            for i in range(render.SIDE):
                for j in range(render.SIDE):
                    x, y = j + 0.5 - float(things.x[b, o]), i + 0.5 - float(things.y[b, o])
                    shape = grammar.SHAPES[int(things.shape[b, o])]
                    inside = min(max(0.5 - outline(shape, x, y, float(things.radius[b, o])), 0), 1)
                    picture[:, i, j] += inside * (colour - picture[:, i, j])
        np.testing.assert_allclose(images[b].numpy(), picture, atol=2e-5)


def test_arrangements_show_what_is_asked_for() -> None:
    asked, things, _ = scenes(300)
    for b in range(300):
        rows = [o for o in range(3) if things.present[b, o]]
        assert len(rows) == int(asked.count[b].sum())
        for o in rows:
            size = int(asked.size[b, 0 if o < asked.count[b, 0] else 1])
            low, high = {0: render.SMALL, 1: render.LARGE, -1: (3.0, 6.2)}[size]
            assert low <= float(things.radius[b, o]) <= high
            for value in (things.x[b, o], things.y[b, o]):
                margin = float(things.radius[b, o]) + render.EDGE - 1e-4
                assert margin <= float(value) <= 32 - margin
        for a in rows:
            for o in rows:
                if a < o:
                    far = max(
                        abs(float(things.x[b, a] - things.x[b, o])),
                        abs(float(things.y[b, a] - things.y[b, o])),
                    )
                    assert far >= float(things.radius[b, a] + things.radius[b, o]) + render.GAP


def test_a_scene_depends_on_its_own_key_alone() -> None:
    asked, things, images = scenes(40)
    key = mix(0, torch.arange(40))
    rows = torch.tensor([3, 17, 29])
    alone = render.arrange(asked[rows], key[rows])
    assert torch.equal(alone.x, things.x[rows])
    assert torch.equal(render.render(alone, key[rows]), images[rows])


def test_patches_are_those_of_scipy() -> None:
    _, _, images = scenes(24)
    images = images + 0.25 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    hue, vivid = parser._hue(images.clamp(0, 1))
    found = parser._patches(hue, vivid)
    for b in range(24):
        number = 0
        for colour in range(len(COLOURS)):
            mask = (hue[b] == colour) & vivid[b]
            labels, count = ndimage.label(mask.numpy())
            number += count
            ours = found.label[b].view(32, 32).numpy()
            for k in range(1, count + 1):
                inside = ours[labels == k]
                assert len(set(inside.tolist())) == 1 and inside[0] > 0
                assert (ours == inside[0]).sum() == len(inside)
        assert int(found.number[b]) == number


def test_the_parser_reads_real_scenes_and_no_noise() -> None:
    asked, things, images = scenes(900, seed=3)
    reading = parser.read(images, asked)
    assert float(reading.correct.float().mean()) > 0.985
    assert float(reading.clean.float().mean()) > 0.98
    seen = parser.detect(images)
    same = seen.present.sum(1) == things.present.sum(1)
    assert float(same.float().mean()) > 0.995
    # Whoever asks for something else is told so.
    other = parser.read(images, asked[torch.arange(900).roll(6)])
    assert float(other.correct.float().mean()) < 0.1
    noise = torch.rand(300, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float(parser.read(noise, asked[torch.arange(300)]).correct.float().mean()) < 0.02


def plain_score(things: render.Things, b: int, prompt: Prompt) -> tuple[bool, float]:
    """The parser's rules, one picture at a time."""
    rows = [o for o in range(things.present.shape[1]) if things.present[b, o]]

    def alike(group: Group, sized: bool) -> list[int]:
        return [
            o
            for o in rows
            if int(things.colour[b, o]) == group.colour
            and int(things.shape[b, o]) == group.shape
            and (
                not sized
                or group.size is None
                or (float(things.radius[b, o]) > parser.MIDDLE) == (group.size == 1)
            )
        ]

    met, of, every = 0.0, 0, True
    for group in prompt.groups:
        found = alike(group, True)
        met, of = met + min(len(found) / group.count, 1.0), of + 1
        enough = len(found) >= group.count
        every &= enough
        if group.count > 1:
            exact = enough and len(alike(group, False)) <= group.count
            met, of, every = met + exact, of + 1, every and exact
    if prompt.relation is not None:
        first, second = (alike(group, True) for group in prompt.groups)
        holds = bool(first and second)
        for a in first:
            for c in second:
                move = []
                for axis in (things.x, things.y):
                    d = float(axis[b, a] - axis[b, c])
                    slack = 0.2 * float(things.radius[b, a] + things.radius[b, c])
                    move.append(math.copysign(max(abs(d) - slack, 0.0), d))
                length = max(math.hypot(*move), 1e-6)
                way = [-move[0], move[0], -move[1], move[1]][prompt.relation] / length
                holds &= way > 0.5
        met, of, every = met + holds, of + 1, every and holds
    return every, 1.0 if every else met / of


def test_judging_is_that_of_plain_rules() -> None:
    generator = torch.Generator().manual_seed(5)
    rows = 400
    prompts = [
        grammar.prompts()[int(k)] for k in torch.randint(5_184, (rows,), generator=generator)
    ]
    asked = grammar.request(prompts)
    _, things, _ = scenes(rows)
    # Half of them get what was asked for, or nearly.
    things.colour[::2] = asked.colour[::2].gather(1, torch.tensor([[0, 0, 1]]).expand(rows // 2, 3))
    things.shape[::2] = asked.shape[::2].gather(1, torch.tensor([[0, 0, 1]]).expand(rows // 2, 3))
    reading = parser.judge(things, asked)
    for b, prompt in enumerate(prompts):
        correct, score = plain_score(things, b, prompt)
        assert bool(reading.correct[b]) == correct
        assert float(reading.score[b]) == pytest.approx(score, abs=1e-6)
    assert 0.02 < float(reading.correct.float().mean()) < 0.9


def test_larger_pictures_are_read_as_well() -> None:
    asked, _, images = scenes(60)
    large = torch.nn.functional.interpolate(images, scale_factor=4, mode="nearest")
    assert torch.equal(parser.read(large, asked).correct, parser.read(images, asked).correct)
    with pytest.raises(ValueError, match=r"\[B, 3, H, W\]"):
        parser.read(images[:, 0], asked)


def test_strangeness_tells_what_the_parser_does_not_see() -> None:
    _, _, images = scenes(300)
    usual = features.strangeness(images)
    assert 0.6 < float(usual.mean()) < 1.3
    flat = images.clone()
    grey = (images.amax(1, keepdim=True) - images.amin(1, keepdim=True)) < 0.3
    flat = torch.where(grey, 0.5, flat)  # no background left
    noisy = images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    assert float(features.strangeness(flat).mean()) > 1.3 * float(usual.mean())
    assert float(features.strangeness(noisy.clamp(0, 1)).mean()) > 2 * float(usual.mean())


@pytest.mark.parametrize(
    ("boxes", "text"),
    [
        ([(4, 15, 30, 17)], "a large red square"),
        ([(4, 4, 12, 6), (4, 12, 12, 14), (4, 20, 12, 22)], "three red squares"),
        ([(10, 10, 12, 12)], "a red square"),
    ],
)
def test_bars_and_specks_are_no_things(boxes: list[tuple[int, ...]], text: str) -> None:
    image = torch.full((1, 3, 32, 32), 0.5)
    for left, top, right, bottom in boxes:
        image[0, :, top:bottom, left:right] = torch.tensor([0.88, 0.14, 0.14])[:, None, None]
    reading = parser.read(image, grammar.request([grammar.read(text)]))
    assert not reading.correct and not reading.clean


def test_what_lies_round_a_thing_is_not_of_its_outline() -> None:
    grid = torch.arange(32) + 0.5 - 16
    far = torch.hypot(grid[:, None], grid)
    red = torch.tensor([0.88, 0.14, 0.14])[:, None, None]
    image = torch.where((far < 5) | ((far > 8) & (far < 11)), red, torch.tensor(0.5))[None]
    one, two = (grammar.request([grammar.read(t)]) for t in ("a red circle", "two red circles"))
    assert bool(parser.read(image, one).correct)
    assert not bool(parser.read(image, two).correct)
    specks = image.clone()
    specks[0, :, 2:4, 2:4] = red
    assert not bool(parser.read(specks, one).clean)


def test_no_picture_holds_no_thing() -> None:
    seen = parser.detect(torch.zeros(0, 3, 48, 32))
    assert seen.present.shape[0] == 0 and seen.shape.dtype == torch.int64
    nothing = grammar.request([grammar.read("a red circle")])[torch.zeros(0, dtype=torch.int64)]
    read = parser.read(torch.zeros(0, 3, 32, 32), nothing)
    assert read.score.shape == read.correct.shape == (0,) and read.score.dtype == torch.float32
    assert parser.detect(torch.zeros(2, 3, 32, 32)).present.sum() == 0
