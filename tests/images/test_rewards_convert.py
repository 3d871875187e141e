"""Claims about published checkpoints, against plain forward passes of their layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from genenvs.images.rewards import load
from genenvs.images.rewards.convert import main, read
from genenvs.images.rewards.learned import (
    IMAGE_REWARD_MEAN,
    IMAGE_REWARD_STD,
    IMAGE_REWARD_WORDS,
)
from genenvs.images.rewards.networks import Preparation
from tests.images.words import bert_tokenizer, clip_tokenizer

PROMPTS = ["a red", "two blue a", "red"]


def images() -> Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """A block of open_clip's: norms first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 2 * width), "c_proj": nn.Linear(2 * width, width)}
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp["c_proj"](functional.gelu(self.mlp["c_fc"](self.ln_2(x))))


class Tower(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList([Block(width, heads) for _ in range(2)])

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Visual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 8, 8, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn(17, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Tower(width, 2)
        self.proj = nn.Parameter(torch.randn(width, 12))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1)
        x = self.transformer(self.ln_pre(x + self.positional_embedding))
        return self.ln_post(x[:, 0]) @ self.proj


class OpenClip(nn.Module):
    """Names and arithmetic of open_clip's CLIP."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = Visual(128)
        self.token_embedding = nn.Embedding(54, 64)
        self.positional_embedding = nn.Parameter(torch.randn(16, 64))
        self.transformer = Tower(64, 1)
        self.ln_final = nn.LayerNorm(64)
        self.text_projection = nn.Parameter(torch.randn(64, 12))
        self.logit_scale = nn.Parameter(torch.tensor(4.0))

    def encode_text(self, words: Tensor) -> Tensor:
        mask = torch.full((words.shape[1],) * 2, -torch.inf).triu(1)
        x = self.token_embedding(words) + self.positional_embedding[: words.shape[1]]
        x = self.ln_final(self.transformer(x, mask))
        return x[torch.arange(len(x)), words.argmax(-1)] @ self.text_projection


@torch.no_grad()
def test_hps_gives_the_cosines_of_the_published_layout(tmp_path: Path):
    torch.manual_seed(0)
    model = OpenClip().eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "hps.pt")
    words = clip_tokenizer(tmp_path)
    main(["hps", str(tmp_path / "hps.pt"), str(tmp_path / "hps"), "--tokenizer", words])
    tokens = transformers.AutoTokenizer.from_pretrained(words)(
        PROMPTS, padding=True, return_tensors="pt"
    )
    first = functional.normalize(model.visual(Preparation(32, (32, 32))(images())), dim=-1)
    second = functional.normalize(model.encode_text(tokens["input_ids"]), dim=-1)
    found = load(f"hps={tmp_path / 'hps'}")(images(), {"prompts": PROMPTS})
    assert torch.allclose(found, (first * second).sum(-1), atol=1e-5)
    assert found.std() > 1e-3


def vision_state(width: int) -> dict[str, Tensor]:
    """Random weights under the names of BLIP's image encoder."""
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 17, width)}
    linear = {"patch_embed.proj": (width, 3, 8, 8), "norm": (width,)}
    for k in range(2):
        linear |= {
            f"blocks.{k}.norm1": (width,),
            f"blocks.{k}.norm2": (width,),
            f"blocks.{k}.attn.qkv": (3 * width, width),
            f"blocks.{k}.attn.proj": (width, width),
            f"blocks.{k}.mlp.fc1": (2 * width, width),
            f"blocks.{k}.mlp.fc2": (width, 2 * width),
        }
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return {name: 0.2 * torch.randn(shape) for name, shape in shapes.items()}


def plain_vision(state: dict[str, Tensor], pixels: Tensor, heads: int) -> Tensor:
    """The image encoder by hand: a vision transformer, norms first."""

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        weights = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.layer_norm(x, x.shape[-1:], *weights, eps=1e-6)

    patches = functional.conv2d(
        pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=8
    )
    x = patches.flatten(2).transpose(1, 2)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], 1) + state["pos_embed"]
    for k in range(2):
        y = linear(norm(x, f"blocks.{k}.norm1"), f"blocks.{k}.attn.qkv")
        y = y.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(*y).transpose(1, 2).flatten(2)
        x = x + linear(y, f"blocks.{k}.attn.proj")
        y = functional.gelu(linear(norm(x, f"blocks.{k}.norm2"), f"blocks.{k}.mlp.fc1"))
        x = x + linear(y, f"blocks.{k}.mlp.fc2")
    return norm(x, "norm")


@torch.no_grad()
def test_image_reward_gives_the_scores_of_the_published_layout(tmp_path: Path):
    torch.manual_seed(0)
    config = transformers.BlipTextConfig(
        vocab_size=bert_tokenizer(tmp_path),
        hidden_size=64,
        encoder_hidden_size=128,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=1,
        max_position_embeddings=40,
    )
    text = transformers.BlipTextModel(config, add_pooling_layer=False).eval()
    for weight in text.parameters():
        weight += 0.2 * torch.randn_like(weight)
    look = vision_state(128)
    head = {"mlp.layers.0.weight": torch.randn(1, 64), "mlp.layers.0.bias": torch.randn(1)}
    torch.save(
        {
            **{f"blip.visual_encoder.{key}": value for key, value in look.items()},
            # BERT's names, which transformers kept.
            **{f"blip.text_encoder.{key}": value for key, value in text.state_dict().items()},
            "blip.text_encoder.embeddings.position_ids": torch.arange(40)[None],
            **head,
        },
        tmp_path / "reward.pt",
    )
    folder = tmp_path / "reward"
    main(["image_reward", str(tmp_path / "reward.pt"), str(folder), "--tokenizer", str(tmp_path)])
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path)(
        PROMPTS, padding="max_length", max_length=IMAGE_REWARD_WORDS, return_tensors="pt"
    )
    seen = plain_vision(look, Preparation(32, (32, 32))(images()), heads=2)
    state = text(
        tokens["input_ids"],
        attention_mask=tokens["attention_mask"],
        encoder_hidden_states=seen,
        encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.int64),
    )[0][:, 0]
    value = state @ head["mlp.layers.0.weight"][0] + head["mlp.layers.0.bias"]
    found = load(f"image_reward={folder}")(images(), {"prompts": PROMPTS})
    assert torch.allclose(found, (value - IMAGE_REWARD_MEAN) / IMAGE_REWARD_STD, atol=1e-4)


def test_the_aesthetic_head_is_kept_as_it_is(tmp_path: Path):
    head = {"layers.0.weight": torch.randn(2, 3), "layers.0.bias": torch.randn(2)}
    torch.save(head, tmp_path / "head.pth")
    main(["aesthetic", str(tmp_path / "head.pth"), str(tmp_path / "folder")])
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "folder" / "head.safetensors")
    assert all(torch.equal(kept[key], head[key]) for key in head) and kept.keys() == head.keys()


def test_a_file_of_anything_else_is_an_error(tmp_path: Path):
    torch.save({"x": images}, tmp_path / "code.pt")  # a function: code, not tensors
    with pytest.raises(ValueError, match="is no file of tensors"):
        read(tmp_path / "code.pt")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds no named tensors"):
        read(tmp_path / "list.pt")
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    for kind in ("hps", "image_reward"):
        with pytest.raises(ValueError, match="another kind of model: it has no"):
            main([kind, str(tmp_path / "other.pt"), str(tmp_path / "folder")])
