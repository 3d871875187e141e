"""Claims about what rewards measure: by hand, against numpy, and by their gradients."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from PIL import Image
from torch.nn import functional

from genenvs.images.rewards import load
from genenvs.images.rewards.jpeg import floor_kb, jpeg_kb, measured_size
from genenvs.images.rewards.jpeg_surrogate import HIGHEST_KB, estimated_kb
from genenvs.images.rewards.scene import colour_share
from genenvs.images.rewards.similarity import structural_similarity
from genenvs.images.scenes import grammar, parser, render


def flat(*colour: float, rows: int = 1, side: int = 16) -> torch.Tensor:
    return torch.tensor(colour).view(1, 3, 1, 1).expand(rows, 3, side, side).clone()


def scenes(rows: int, seed: int = 0) -> tuple[torch.Tensor, grammar.Request]:
    random = torch.Generator().manual_seed(seed)
    which = torch.randint(len(grammar.prompts()), (rows,), generator=random).tolist()
    asked = grammar.request([grammar.prompts()[k] for k in which])
    key = torch.arange(rows) + 1000 * seed
    return render.render(render.arrange(asked, key), key), asked


def woven(rows: int, seed: int = 0) -> torch.Tensor:
    """Scenes over fine stripes, whose files differ by what is in them and not by rounding."""
    seen, _ = scenes(rows, seed)
    look = torch.rand(rows, 4, 1, 1, generator=torch.Generator().manual_seed(seed))
    angle, length, phase, strength = look.unbind(1)
    grid = torch.arange(seen.shape[-1]) + 0.5
    along = grid * (torch.pi * angle).cos() + grid[:, None] * (torch.pi * angle).sin()
    stripes = torch.sin(2 * torch.pi * (along / (4 + 8 * length) + phase))
    return (seen + (0.12 * strength * stripes)[:, None]).clamp(0, 1)


def noise(rows: int, side: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, 3, side, side, generator=torch.Generator().manual_seed(seed))


# Stand-ins.


def test_brightness_is_the_mean_luminance():
    reward = load("brightness")
    assert reward(flat(1.0, 1.0, 1.0)).item() == pytest.approx(1)
    assert reward(flat(1.0, 0.0, 0.0)).item() == pytest.approx(0.299)


def test_contrast_is_one_for_half_black_half_white_and_none_for_flat():
    halves = torch.zeros(1, 3, 8, 8)
    halves[..., 4:] = 1
    assert load("contrast")(halves).item() == pytest.approx(1, abs=1e-3)
    assert load("contrast")(flat(0.3, 0.6, 0.9)).item() == pytest.approx(0, abs=1e-3)


def test_symmetry_is_one_for_a_mirror_image_and_none_for_halves():
    reward, one = load("symmetry"), noise(1)
    assert reward(torch.cat([one, one.flip(-1)], -1)).item() == pytest.approx(1)
    halves = torch.zeros(1, 3, 8, 8)
    halves[..., 4:] = 1
    assert reward(halves).item() == pytest.approx(0)


def test_smoothness_counts_the_pairs_that_differ():
    halves = torch.zeros(1, 3, 4, 4)
    halves[..., 2:] = 1
    assert load("smoothness")(halves).item() == pytest.approx(1 - 4 / 24)  # 4 of 12 + 12 pairs
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    assert load("smoothness")(board.expand(1, 3, 8, 8).float()).item() == pytest.approx(0)


@pytest.mark.parametrize(
    "name",
    ["brightness", "contrast", "symmetry", "smoothness", "colour", "mse", "psnr", "ssim"],
)
def test_gradients_are_those_of_the_values(name: str):
    seen = (0.1 + 0.8 * noise(2, 6, 3)).double().requires_grad_()
    asked = grammar.request(
        [grammar.read(t) for t in ("a red circle", "a red cross and a cyan square")]
    )
    context = {"target": noise(2, 6, 4).double(), "request": asked}
    assert torch.autograd.gradcheck(lambda x: load(name).function(x, context), (seen,))


def test_the_gradient_of_the_surrogate_is_that_of_its_values():
    seen = (0.1 + 0.8 * noise(1, 4, 3)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: estimated_kb(x, size=16), (seen,))


# Similarity.


def test_errors_and_signal_to_noise_are_those_of_hand():
    first, second = flat(0.5, 0.5, 0.5), flat(0.6, 0.6, 0.6)
    assert load("mse")(first, {"target": second}).item() == pytest.approx(-0.01)
    assert load("psnr")(first, {"target": second}).item() == pytest.approx(20, abs=1e-4)
    assert load("psnr")(first, {"target": first}).item() == 100
    assert load("psnr")(flat(0.0, 0.0, 0.0), {"target": flat(1.0, 1.0, 1.0)}).item() == 0


def plain_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Wang et al. (2004) by scipy, of [3, H, W] float64: the mean over channels."""
    side = min(11, *first.shape[1:])
    side -= 1 - side % 2

    def smooth(values: np.ndarray) -> np.ndarray:
        inside = slice(side // 2, -(side // 2) or None)
        return scipy.ndimage.gaussian_filter(values, 1.5, radius=side // 2)[inside, inside]

    found = []
    for a, b in zip(first, second, strict=True):
        m, n = smooth(a), smooth(b)
        v, w, c = smooth(a * a) - m * m, smooth(b * b) - n * n, smooth(a * b) - m * n
        top = (2 * m * n + 0.01**2) * (2 * c + 0.03**2)
        found.append((top / ((m * m + n * n + 0.01**2) * (v + w + 0.03**2))).mean())
    return float(np.mean(found))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (11, 40), (10, 16), (7, 7), (1, 5)])
def test_ssim_is_that_of_scipy_with_the_window_that_fits(height: int, width: int):
    random = np.random.default_rng(0)
    first = random.random((3, 3, height, width))
    second = np.clip(first + 0.2 * random.standard_normal(first.shape), 0, 1)
    found = structural_similarity(torch.tensor(first), torch.tensor(second))
    expected = [plain_ssim(a, b) for a, b in zip(first, second, strict=True)]
    assert np.allclose(found.numpy(), expected, atol=1e-10)


def test_ssim_of_flat_images_is_that_of_their_light_alone():
    found = structural_similarity(flat(0.2, 0.2, 0.2).double(), flat(0.8, 0.8, 0.8).double())
    assert found.item() == pytest.approx((2 * 0.16 + 1e-4) / (0.04 + 0.64 + 1e-4))
    assert structural_similarity(noise(2), noise(2)) == pytest.approx(1)


# JPEG.


def test_the_size_is_that_of_the_file_of_the_enlarged_picture():
    seen = noise(1, 32)
    pixels = (seen[0] * 255).round().byte().permute(1, 2, 0).numpy()
    file = BytesIO()
    Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC).save(
        file, format="JPEG", quality=95
    )
    kb = len(file.getvalue()) / 1000
    assert load("jpeg_incompressibility")(seen).item() == pytest.approx(kb)
    assert load("jpeg_compressibility")(seen).item() == pytest.approx(-kb)


def test_a_flat_image_is_the_floor():
    assert floor_kb(32, 32) == floor_kb(128, 128)
    assert 0.6 < floor_kb(32, 32) < 1.1
    levels = torch.cat([flat(v, v / 2, 1 - v, side=32) for v in (0.0, 0.3, 0.7, 1.0)])
    assert (jpeg_kb(levels) - floor_kb(32, 32)).abs().max() < 0.25
    assert jpeg_kb(noise(1, 32)).item() > 5 * floor_kb(32, 32)


def test_only_small_images_are_enlarged():
    assert measured_size(32, 32) == (128, 128) and measured_size(20, 50) == (51, 128)
    assert measured_size(128, 64) == (128, 64) and measured_size(512, 200) == (512, 200)


def mixed(rows: int = 40) -> torch.Tensor:
    """Scenes as they are, noisy, faded and blurred, and random fields: 5 x `rows`."""
    random = torch.Generator().manual_seed(5)
    share = torch.rand(rows, 1, 1, 1, generator=random)
    plain, more, faded, blurred = woven(4 * rows).split(rows)
    noisy = more + 0.3 * share * torch.randn(more.shape, generator=random)
    faded = share * faded + (1 - share) * faded.mean((2, 3), keepdim=True)
    smooth = functional.avg_pool2d(blurred, 5, 1, 2)
    fields = torch.rand(rows, 3, 1, 1, generator=random) + share * (noise(rows, 32) - 0.5)
    parts = [plain, noisy, faded, share * smooth + (1 - share) * blurred, fields]
    return torch.cat(parts).clamp(0, 1)


def test_the_surrogate_ranks_as_the_file_does():
    seen = mixed()
    true, found = jpeg_kb(seen), estimated_kb(seen)
    assert scipy.stats.spearmanr(true, found).statistic > 0.99
    for part in range(5):  # and within each kind
        rows = slice(40 * part, 40 * part + 40)
        assert scipy.stats.spearmanr(true[rows], found[rows]).statistic > 0.9
    assert (true - found).abs().mean() < 0.15  # kB
    assert torch.equal(load("jpeg_surrogate")(seen), -found)


def test_the_surrogate_counts_by_area_and_is_bounded():
    small, large = woven(8), functional.interpolate(woven(8), (256, 256), mode="bicubic")
    assert scipy.stats.spearmanr(jpeg_kb(large.clamp(0, 1)), estimated_kb(large)).statistic > 0.9
    assert estimated_kb(small[..., :16]).shape == (8,)
    worst = (noise(4, 128) > 0.5).float()
    assert estimated_kb(worst).max() < HIGHEST_KB
    assert estimated_kb(flat(0.3, 0.9, 0.1, side=32)).item() == pytest.approx(0.881, abs=0.02)


def test_climbing_the_surrogate_makes_the_file_smaller():
    seen, reward = woven(4), load("jpeg_surrogate")
    moved = seen.clone().requires_grad_()
    climber = torch.optim.Adam([moved], 0.01)
    for _ in range(40):
        climber.zero_grad()
        (-reward(moved).sum()).backward()
        climber.step()
        moved.data.clamp_(0, 1)
    assert (jpeg_kb(moved) < 0.9 * jpeg_kb(seen)).all()


# Scenes.


def test_scene_rewards_are_those_of_the_parser():
    seen, asked = scenes(12)
    seen[6:] = seen[6:].flip(0)
    reading = parser.read(seen, asked)
    assert torch.equal(load("scene")(seen, {"request": asked}), reading.score)
    correct = load("scene_correct")(seen, {"request": asked})
    assert torch.equal(correct, reading.correct.float())
    assert 0 < correct.mean() < 1


def test_a_flat_picture_of_the_colour_asked_for_wins_and_grey_has_none():
    for name, rgb in grammar.COLOURS.items():
        context = {"prompts": [f"a {name} circle"]}
        assert load("colour")(flat(*rgb), context).item() > 0.9
        for other in grammar.COLOURS.values():
            if other != rgb:
                assert load("colour")(flat(*other), context).item() < 0.1
        assert load("colour")(flat(0.5, 0.5, 0.5), context).item() < 1e-3


def test_two_colours_share_the_picture():
    red, blue = (flat(*grammar.COLOURS[name]) for name in ("red", "blue"))
    context = {"prompts": ["a red circle and a blue cross"]}
    reward = load("colour")
    assert reward(red, context).item() < 0.55
    assert reward(torch.cat([red, blue], -1), context).item() > 0.9


def test_shares_of_colours_add_up_to_at_most_one():
    share = colour_share(noise(8, 32))
    assert share.shape == (8, 6) and (share >= 0).all() and (share.sum(1) <= 1 + 1e-6).all()
    picture, asked = scenes(64)
    share = colour_share(picture)
    there = share.gather(1, asked.colour[:, :1])[:, 0]
    assert (there > share.median(1).values).float().mean() > 0.95


def test_gradient_steps_reach_a_colour_from_grey():
    seen = (0.5 + 0.02 * (noise(2, 8) - 0.5)).requires_grad_()
    context = {"prompts": ["a red circle", "a cyan circle"]}
    climber = torch.optim.Adam([seen], 0.1)
    for _ in range(20):
        climber.zero_grad()
        (-load("colour")(seen, context).sum()).backward()
        climber.step()
        seen.data.clamp_(0, 1)
    assert load("colour")(seen, context).min() > 0.85  # from 0.01
