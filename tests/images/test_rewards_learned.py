"""Claims about rewards that are networks, with tiny random ones of the real classes."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

from genenvs.core.memory import out_of_memory
from genenvs.images.rewards import load
from genenvs.images.rewards.learned import (
    IMAGE_REWARD_MEAN,
    IMAGE_REWARD_STD,
    IMAGE_REWARD_WORDS,
)
from genenvs.images.rewards.networks import Preparation
from tests.images.words import bert_tokenizer, clip_tokenizer

PROMPTS = ["a red circle", "two blue squares", "a red circle"]
SMALL = {
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def images(height: int = 40, width: int = 48, rows: int = 3) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.rand(rows, 3, height, width, generator=random)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    clip_tokenizer(folder)
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config=SMALL
        | {
            "vocab_size": 54,
            "max_position_embeddings": 16,
            "bos_token_id": 52,
            "eos_token_id": 53,
            "pad_token_id": 53,
        },
        vision_config=SMALL | {"image_size": 32, "patch_size": 8},
        projection_dim=12,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    processor = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    head = {}
    for number, (into, out) in enumerate([(12, 7), (7, 5), (5, 1)]):
        head[f"layers.{2 * number + 8}.weight"] = torch.randn(out, into)  # 8, 10, 12
        head[f"layers.{2 * number + 8}.bias"] = torch.randn(out)
    save_file(head, folder / "head.safetensors")
    return folder


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blip")
    torch.manual_seed(0)
    config = transformers.BlipConfig(
        text_config=SMALL
        | {
            "vocab_size": bert_tokenizer(folder),
            "encoder_hidden_size": 16,
            "max_position_embeddings": 40,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "sep_token_id": 3,
        },
        vision_config=SMALL | {"image_size": 32, "patch_size": 8},
        projection_dim=12,
        image_text_hidden_size=12,
    )
    model = transformers.BlipForImageTextRetrieval(config)
    for weight in model.parameters():  # the usual start is so small that no image would tell
        weight.data += 0.3 * torch.randn_like(weight)
    model.save_pretrained(folder)
    save_file(
        {
            "mlp.layers.0.weight": torch.randn(4, 16),
            "mlp.layers.0.bias": torch.randn(4),
            "mlp.layers.2.weight": torch.randn(1, 4),
            "mlp.layers.2.bias": torch.randn(1),
        },
        folder / "head.safetensors",
    )
    return folder


def plain_cosines(folder: Path) -> torch.Tensor:
    """By CLIPModel's own forward, of images prepared by hand."""
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    words = transformers.AutoTokenizer.from_pretrained(folder)(
        PROMPTS, padding=True, return_tensors="pt"
    )
    pixels = Preparation(32, (32, 32))(images())
    with torch.no_grad():
        found = model(**words, pixel_values=pixels)
    return (found.image_embeds * found.text_embeds).sum(-1)


def test_clip_score_pick_score_and_hps_are_cosines_of_the_model(clip: Path):
    cosine = plain_cosines(clip)
    context = {"prompts": PROMPTS}
    assert torch.allclose(load(f"hps={clip}")(images(), context), cosine, atol=1e-6)
    found = load("clip_score", model=str(clip))(images(), context)
    assert torch.allclose(found, 2.5 * cosine.clamp_min(0), atol=1e-6)
    model = transformers.CLIPModel.from_pretrained(clip)
    reward = load(f"pick_score={clip}")
    scale = float(model.logit_scale.detach().exp())
    assert torch.allclose(reward(images(), context), scale * cosine, atol=1e-4)
    assert reward.range == pytest.approx((-scale, scale)) and reward.bounded
    assert (cosine[0] - cosine[1]).abs() > 1e-4  # the prompt tells


def test_the_aesthetic_score_is_linear_layers_on_the_normalised_embedding(clip: Path):
    reward = load(f"aesthetic={clip}")
    assert reward.needs == () and not reward.bounded
    model = transformers.CLIPModel.from_pretrained(clip).eval()
    with torch.no_grad():
        pooled = model.vision_model(Preparation(32, (32, 32))(images())).pooler_output
        value = model.visual_projection(pooled)
    value = functional.normalize(value, dim=-1)
    from safetensors.torch import load_file

    head = load_file(clip / "head.safetensors")
    for number in (8, 10, 12):  # 10 after 8, not before
        value = value @ head[f"layers.{number}.weight"].T + head[f"layers.{number}.bias"]
    assert torch.allclose(reward(images()), value[:, 0], atol=1e-5)


def test_image_reward_is_a_head_on_the_text_that_looks_at_the_image(blip: Path):
    reward = load(f"image_reward={blip}")
    model = transformers.BlipForImageTextRetrieval.from_pretrained(blip).eval()
    words = transformers.AutoTokenizer.from_pretrained(blip)(
        PROMPTS, padding="max_length", max_length=IMAGE_REWARD_WORDS, return_tensors="pt"
    )
    with torch.no_grad():
        found = model(
            input_ids=words["input_ids"],
            attention_mask=words["attention_mask"],
            pixel_values=Preparation(32, (32, 32))(images()),
        ).question_embeds[:, 0]
    from safetensors.torch import load_file

    head = load_file(blip / "head.safetensors")
    for number in (0, 2):
        found = found @ head[f"mlp.layers.{number}.weight"].T + head[f"mlp.layers.{number}.bias"]
    expected = (found[:, 0] - IMAGE_REWARD_MEAN) / IMAGE_REWARD_STD
    value = reward(images(), {"prompts": PROMPTS})
    assert torch.allclose(value, expected, atol=1e-5)
    same = reward(images(rows=1).expand(2, -1, -1, -1), {"prompts": PROMPTS[:2]})
    assert (same[0] - same[1]).abs() > 1e-5


@pytest.mark.parametrize(("height", "width"), [(40, 48), (64, 64), (20, 33), (100, 37)])
def test_images_are_prepared_as_transformers_does(height: int, width: int):
    from transformers.models.clip import image_processing_pil_clip as pillow

    processor = pillow.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    # Not near black or white, where Pillow cuts off between its two passes.
    pixels = (64 + 128 * images(height, width)).round()
    pictures = [Image.fromarray(p.permute(1, 2, 0).byte().numpy()) for p in pixels]
    expected = processor(pictures, return_tensors="np")["pixel_values"]
    found = Preparation(32, (32, 32))(pixels / 255).numpy()
    assert found.shape == expected.shape == (3, 3, 32, 32)
    assert np.abs(found - expected).max() < 1.5 / 255 / 0.26  # it rounds to 8 bits in between


@pytest.mark.parametrize("name", ["clip_score", "aesthetic", "image_reward"])
def test_gradients_reach_the_images_and_not_the_network(name: str, clip: Path, blip: Path):
    reward = load(f"{name}={blip if name == 'image_reward' else clip}")
    seen = images().requires_grad_()
    value = reward(seen, {"prompts": PROMPTS})
    value.sum().backward()
    assert seen.grad is not None and seen.grad.abs().max() > 0
    step = 0.1 * seen.grad / seen.grad.abs().max()
    moved = reward((seen.detach() + step).clamp(0, 1), {"prompts": PROMPTS})
    assert moved.sum() > value.sum()


def test_parts_of_a_batch_are_as_the_whole_and_prompts_are_read_once(clip: Path):
    context = {"prompts": PROMPTS}
    whole = load("hps", model=str(clip))(images(), context)
    assert torch.allclose(load("hps", model=str(clip), max_batch=2)(images(), context), whole)
    from genenvs.images.rewards import networks

    network = networks.pair("hps", str(clip), str(clip), "float32")
    assert set(network.features) == set(PROMPTS)
    network.tokenizer = None  # not asked again
    assert torch.equal(load("hps", model=str(clip))(images(), context), whole)


@pytest.mark.parametrize("name", ["hps", "aesthetic", "image_reward"])
def test_where_memory_ends_fewer_images_are_looked_at_together(
    name: str, clip: Path, blip: Path, monkeypatch: pytest.MonkeyPatch
):
    model = str(blip if name == "image_reward" else clip)
    seen, context = images(rows=5), {"prompts": [*PROMPTS, *PROMPTS[:2]]}
    whole = load(name, model=model)(seen, context)
    reward, plain, sizes = load(name, model=model), Preparation.__call__, []

    def small(self: Preparation, some: torch.Tensor) -> torch.Tensor:
        sizes.append(len(some))
        if len(some) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return plain(self, some)

    monkeypatch.setattr(Preparation, "__call__", small)
    with pytest.warns(UserWarning, match=f"'{name}': max_batch: too little memory for 5 rows"):
        torch.testing.assert_close(reward(seen, context), whole)
    assert torch.allclose(reward(seen, context), whole, atol=1e-6)  # it is remembered
    assert sizes == [5, 2, 2, 1, 2, 2, 1]
    # A split would not make a graph smaller: whoever asks for gradients has to ask for fewer.
    with pytest.raises(RuntimeError, match="5 rows with gradients; try 2 at a time") as told:
        reward(seen.requires_grad_(), context)
    assert out_of_memory(told.value)
    with pytest.raises(ValueError, match=f"'{name}': max_batch must be at least 1"):
        load(name, model=model, max_batch=0)


def test_a_network_in_half_precision_gives_float32(clip: Path):
    value = load("hps", model=str(clip), dtype="bfloat16")(images(), {"prompts": PROMPTS})
    assert value.dtype == torch.float32
    assert torch.allclose(value, plain_cosines(clip), atol=0.05)


def without(folder: Path, tmp_path: Path, change: Callable[[Path], object]) -> str:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    change(copy)
    return str(copy)


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def test_pickles_are_not_loaded(clip: Path, tmp_path: Path):
    folder = without(clip, tmp_path, pickled)
    with pytest.raises(ValueError, match=f"'clip_score' cannot load '{folder}'"):
        load(f"clip_score={folder}")


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("aesthetic", lambda f: (f / "head.safetensors").unlink(), "there is no head.safetensors"),
        ("aesthetic", lambda f: (f / "head.safetensors").write_text("?"), "no safetensors file"),
        (
            "aesthetic",
            lambda f: save_file({"weight": torch.zeros(1, 99)}, f / "head.safetensors"),
            r"must lead from 12 to 1; they are \[\(99, 1\)\]",
        ),
        ("clip_score", lambda f: (f / "config.json").unlink(), "cannot load"),
        (
            "clip_score",
            lambda f: save_file({"logit_scale": torch.ones(())}, f / "model.safetensors"),
            "lacks weights of .*and 7",
        ),
        ("image_reward", lambda f: None, "cannot load|head"),
    ],
)
def test_a_folder_that_lacks_something_is_an_error(name, change, problem, clip, tmp_path):
    with pytest.raises(ValueError, match=problem):
        load(f"{name}={without(clip, tmp_path, change)}")


def test_what_cannot_be_had_is_an_error(clip: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="'hps' needs a model"):
        load("hps")
    with pytest.raises(ValueError, match="cannot load '/no/such/folder'"):
        load("clip_score=/no/such/folder")
    with pytest.raises(ValueError, match="dtype must be"):
        load("hps", model=str(clip), dtype="int8")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r'pip install "genenvs\[rewards\]"'):
        load("hps", model=str(clip), dtype="float16")


def test_a_model_without_texts_is_an_error(tmp_path: Path):
    config = transformers.CLIPVisionConfig(**SMALL, image_size=32, patch_size=8)
    transformers.CLIPVisionModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no features of images and texts"):
        load(f"clip_score={tmp_path}")


def test_a_sum_with_a_network_is_a_sum(clip: Path):
    both = load({f"clip_score={clip}": 0.4, "brightness": 1.0})
    assert both.bounded and both.range == (0.0, 2.0) and not math.isinf(both.range[1])
    assert both(images(), {"prompts": PROMPTS}).shape == (3,)
