"""Rewards that are networks trained on people's choices, from folders or the hub.

Each takes a local folder or a hub id in the layout of transformers; weights are read from
safetensors alone; `convert` makes such folders of what was published as pickles. Images are
prepared in torch, on their device, so that gradients pass.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genenvs.core.optional import require
from genenvs.images.rewards.reward import Context, Reward

CLIP = "openai/clip-vit-large-patch14"
PICK = "yuvalkirstain/PickScore_v1"
PICK_PROCESSOR = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"  # as the model's card says
HEAD = "head.safetensors"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HESSEL = 2.5  # the weight of CLIPScore (Hessel et al., 2021, section 3)
# ImageReward.py of THUDM/ImageReward: what its scores are standardised by, and words read.
IMAGE_REWARD_MEAN, IMAGE_REWARD_STD, IMAGE_REWARD_WORDS = (
    0.16717362830052426,
    1.0333394966054072,
    35,
)
BLIP_UNUSED = ("vision_proj", "text_proj", "itm_head")
REMEMBERED = 4096  # prompts whose features are kept


@dataclass(frozen=True)
class Preparation:
    """What is done to images before a network sees them.

    Attributes:
        size: (height, width) that images are brought to; one number: their shorter side.
        crop: (height, width) of the middle that is kept, or None.
        mean, std: of the channels.
        bicubic: else bilinear; both smooth where they shrink, as Pillow does.
    """

    size: int | tuple[int, int]
    crop: tuple[int, int] | None
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    bicubic: bool = True

    def __call__(self, images: Tensor) -> Tensor:
        """From [B, 3, H, W] in [0, 1] to what the network takes; differentiable."""
        height, width = images.shape[-2:]
        if isinstance(self.size, int):
            shorter = min(height, width)
            size = (height * self.size // shorter, width * self.size // shorter)
        else:
            size = self.size
        if size != (height, width):
            mode = "bicubic" if self.bicubic else "bilinear"
            images = functional.interpolate(images, size, mode=mode, antialias=True).clamp(0, 1)
        if self.crop is not None:
            top, left = ((have - keep) // 2 for have, keep in zip(size, self.crop, strict=True))
            images = images[..., top : top + self.crop[0], left : left + self.crop[1]]
        mean, std = (images.new_tensor(each)[:, None, None] for each in (self.mean, self.std))
        return (images - mean) / std


@dataclass(eq=False)
class _Network:
    """A frozen network with what it needs around it; moved to where the images are."""

    module: Any
    prepare: Preparation
    tokenizer: Any = None
    head: nn.Module | None = None
    features: dict[str, Tensor] = field(default_factory=dict)  # of prompts, on the CPU

    def on(self, images: Tensor) -> "_Network":
        self.module.to(images.device)
        if self.head is not None:
            self.head.to(images.device)
        return self

    def pixels(self, images: Tensor) -> Tensor:
        return self.prepare(images.float()).to(next(self.module.parameters()).dtype)

    def words(self, prompts: Sequence[str], most: int) -> dict[str, Tensor]:
        encoded = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=most,
            return_tensors="pt",
        )  # fmt: skip
        device = next(self.module.parameters()).device
        wanted = ("input_ids", "attention_mask")
        return {key: value.to(device) for key, value in encoded.items() if key in wanted}


def clip_score(
    model: str = CLIP, *, weight: float = HESSEL, dtype: str = "float32", max_batch: int = 64
) -> Reward:
    """CLIPScore: 2.5 times the cosine of image and prompt where positive, in [0, 2.5].

    Hessel et al. (2021); with no "A photo depicts" before the prompt.

    Args:
        model: folder or hub id of a CLIP model (or another with both towers, as SigLIP).
        weight: 1 for the bare cosine.
        dtype: of the network.
        max_batch: images in one evaluation.

    Raises:
        ImportError: transformers is missing.
        ValueError: the model cannot be loaded.
    """
    _pair("clip_score", model, model, dtype)
    function = _Cosine("clip_score", model, model, dtype, max_batch, weight, True)
    return _reward("clip_score", function, (0.0, weight), ("prompts",))


def pick_score(
    model: str = PICK, *, processor: str | None = None, dtype: str = "float32", max_batch: int = 64
) -> Reward:
    """PickScore (Kirstain et al., 2023): the cosine times the model's scale, some 100.

    Args:
        model: folder or hub id in CLIP's layout; see `clip_score` for the rest.
        processor: where tokenizer and image preparation are, if not with the model.
    """
    processor = processor or (PICK_PROCESSOR if model == PICK else model)
    scale = float(_pair("pick_score", model, processor, dtype).module.logit_scale.exp())
    function = _Cosine("pick_score", model, processor, dtype, max_batch, scale, False)
    return _reward("pick_score", function, (-scale, scale), ("prompts",))


def hps(
    model: str | None = None,
    *,
    processor: str | None = None,
    dtype: str = "float32",
    max_batch: int = 64,
) -> Reward:
    """HPSv2 (Wu et al., 2023): the cosine of image and prompt, in [-1, 1].

    The published file is a pickle in open_clip's layout (ViT-H/14), which `convert` turns into a
    folder that can be read here.

    Args:
        model: folder or hub id; see `pick_score` for the rest.
    """
    name = _given("hps", model)
    _pair("hps", name, processor or name, dtype)
    function = _Cosine("hps", name, processor or name, dtype, max_batch, 1.0, False)
    return _reward("hps", function, (-1.0, 1.0), ("prompts",))


def aesthetic(
    model: str = CLIP, *, head: str | None = None, dtype: str = "float32", max_batch: int = 64
) -> Reward:
    """LAION's aesthetic predictor: a head on the normalised CLIP image embedding, some 1 to 10.

    The published head (sac+logos+ava1-l14-linearMSE) is a pickle, which `convert` rewrites. It is
    five linear layers with nothing between them, and so is read any file of matrices and biases,
    in the order of the numbers in their names.

    Args:
        model: folder or hub id of the CLIP model.
        head: file with the head; None for `head.safetensors` beside the model.
        dtype: of the network; the head is float32.
        max_batch: images in one evaluation.
    """
    _vision("aesthetic", model, head, dtype)
    function = _Aesthetic("aesthetic", model, head, dtype, max_batch)
    return _reward("aesthetic", function, (-math.inf, math.inf), ())


def image_reward(
    model: str | None = None,
    *,
    head: str | None = None,
    dtype: str = "float32",
    max_batch: int = 64,
) -> Reward:
    """ImageReward (Xu et al., 2023): a head on BLIP's text encoder, which looks at the image.

    The published file is a pickle with names of its own, which `convert` turns into a folder of
    transformers' `BlipForImageTextRetrieval` with a BERT tokenizer and its five linear layers as
    `head.safetensors`, see `aesthetic`. Scores are standardised as the package does.

    Args:
        model: folder or hub id; see `aesthetic` for the rest.
    """
    name = _given("image_reward", model)
    _blip("image_reward", name, head, dtype)
    function = _ImageReward("image_reward", name, head, dtype, max_batch)
    return _reward("image_reward", function, (-math.inf, math.inf), ("prompts",))


@dataclass(frozen=True)
class _Cosine:
    name: str
    model: str
    processor: str
    dtype: str
    max_batch: int
    scale: float
    positive: bool

    def __call__(self, images: Tensor, context: Context) -> Tensor:
        network = _pair(self.name, self.model, self.processor, self.dtype).on(images)
        text = _text_features(network, context["prompts"]).to(images.device)

        def score(some: Tensor, rows: slice) -> Tensor:
            found = _pooled(network.module.get_image_features(pixel_values=network.pixels(some)))
            return (functional.normalize(found.float(), dim=-1) * text[rows]).sum(-1)

        cosine = _in_parts(score, images, self.max_batch)
        # Rounding may take a cosine beyond 1.
        cosine = cosine.clamp(-1, 1)
        return self.scale * (cosine.clamp_min(0) if self.positive else cosine)


@dataclass(frozen=True)
class _Aesthetic:
    name: str
    model: str
    head: str | None
    dtype: str
    max_batch: int

    def __call__(self, images: Tensor, context: Context) -> Tensor:
        network = _vision(self.name, self.model, self.head, self.dtype).on(images)
        assert network.head is not None
        head = network.head

        def score(some: Tensor, rows: slice) -> Tensor:
            found = _pooled(network.module.get_image_features(pixel_values=network.pixels(some)))
            return head(functional.normalize(found.float(), dim=-1)).squeeze(-1)

        return _in_parts(score, images, self.max_batch)


@dataclass(frozen=True)
class _ImageReward:
    name: str
    model: str
    head: str | None
    dtype: str
    max_batch: int

    def __call__(self, images: Tensor, context: Context) -> Tensor:
        network = _blip(self.name, self.model, self.head, self.dtype).on(images)
        assert network.head is not None
        head, prompts = network.head, context["prompts"]

        def score(some: Tensor, rows: slice) -> Tensor:
            seen = network.module.vision_model(pixel_values=network.pixels(some))[0]
            whole = torch.ones(seen.shape[:2], dtype=torch.int64, device=seen.device)
            found = network.module.text_encoder(
                **network.words(prompts[rows], IMAGE_REWARD_WORDS),
                encoder_hidden_states=seen,
                encoder_attention_mask=whole,
            )
            value = head(found[0][:, 0].float()).squeeze(-1)
            return (value - IMAGE_REWARD_MEAN) / IMAGE_REWARD_STD

        return _in_parts(score, images, self.max_batch)


def _reward(
    name: str, function: Callable, limits: tuple[float, float], needs: tuple[str, ...]
) -> Reward:
    return Reward(name, function, differentiable=True, range=limits, needs=needs)


def _given(name: str, model: str | None) -> str:
    if not model:
        raise ValueError(
            f'reward {name!r} needs a model: load("{name}=<folder or hub id>"), in the layout of '
            "transformers"
        )
    return model


def _in_parts(score: Callable[[Tensor, slice], Tensor], images: Tensor, most: int) -> Tensor:
    parts = [slice(start, start + most) for start in range(0, len(images), most)]
    return torch.cat([score(images[rows], rows) for rows in parts])


@torch.no_grad()
def _text_features(network: _Network, prompts: Sequence[str]) -> Tensor:
    """Normalised features of prompts, float32 [B, F] on the CPU; each is computed once."""
    memory = network.features
    new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in memory]
    if len(memory) + len(new) > REMEMBERED:
        memory.clear()
        new = list(dict.fromkeys(prompts))
    config = network.module.config
    for start in range(0, len(new), 64):
        some = new[start : start + 64]
        words = network.words(some, config.text_config.max_position_embeddings)
        found = _pooled(network.module.get_text_features(**words)).float().cpu()
        memory.update(zip(some, functional.normalize(found, dim=-1), strict=True))
    return torch.stack([memory[prompt] for prompt in prompts])


def _pooled(found: Any) -> Tensor:
    """Features, of transformers before and after version 5."""
    return found if isinstance(found, Tensor) else found.pooler_output


@lru_cache(maxsize=4)
def _pair(name: str, model: str, processor: str, dtype: str) -> _Network:
    """A model with an image tower and a text tower."""
    transformers = require("transformers", "rewards")
    module = _module(name, transformers.AutoModel, model, dtype)
    _towers(name, model, module, "get_image_features", "get_text_features")
    side = module.config.vision_config.image_size
    tokenizer = _tokenizer(name, transformers, processor)
    return _Network(module, _preparation(processor, side), tokenizer)


@lru_cache(maxsize=2)
def _vision(name: str, model: str, head: str | None, dtype: str) -> _Network:
    """A model with an image tower and a head on its projection."""
    transformers = require("transformers", "rewards")
    module = _module(name, transformers.AutoModel, model, dtype)
    _towers(name, model, module, "get_image_features")
    config = module.config
    read = _head(name, model, head, config.projection_dim)
    return _Network(module, _preparation(model, config.vision_config.image_size), head=read)


@lru_cache(maxsize=2)
def _blip(name: str, model: str, head: str | None, dtype: str) -> _Network:
    """BLIP's image and text encoders and a head on the latter's first token."""
    transformers = require("transformers", "rewards")
    module = _module(name, transformers.BlipForImageTextRetrieval, model, dtype, BLIP_UNUSED)
    config: Any = module.config
    side = config.vision_config.image_size
    read = _head(name, model, head, config.text_config.hidden_size)
    tokenizer = _tokenizer(name, transformers, model)
    return _Network(module, Preparation(side, (side, side)), tokenizer, read)


def _towers(name: str, model: str, module: Any, *methods: str) -> None:
    if not all(hasattr(module, method) for method in methods):
        raise ValueError(
            f"reward {name!r}: {model!r} is a {type(module).__name__}, which has no features of "
            "images and texts; CLIPModel has"
        )


def _module(name: str, kind: Any, model: str, dtype: str, unused: tuple[str, ...] = ()) -> Any:
    """A frozen network, none of whose weights is left to chance but those under `unused`."""
    if dtype not in ("float32", "float16", "bfloat16"):
        raise ValueError(f"dtype must be float32, float16 or bfloat16; got {dtype!r}")
    try:
        module, info = kind.from_pretrained(model, use_safetensors=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"reward {name!r} cannot load {model!r}: {_first(error)}") from error
    missing = [key for key in info["missing_keys"] if not key.startswith(unused or ("?",))]
    if missing:
        raise ValueError(
            f"reward {name!r}: {model!r} lacks weights of {kind.__name__}, {missing[0]} and "
            f"{len(missing) - 1} more"
        )
    return module.to(getattr(torch, dtype)).eval().requires_grad_(False)


def _tokenizer(name: str, transformers: Any, folder: str) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"reward {name!r} finds no tokenizer in {folder!r}: {_first(error)}"
        ) from error


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _file(folder: str, file: str) -> Path | None:
    """A file of a local folder or of the hub, or None."""
    if Path(folder).is_dir():
        path = Path(folder, file)
        return path if path.is_file() else None
    hub = require("huggingface_hub", "rewards")
    try:
        return Path(hub.hf_hub_download(folder, file))
    except (OSError, ValueError):
        return None


def _preparation(folder: str, side: int) -> Preparation:
    """What the folder's image processor says; CLIP's own where there is none."""
    known: dict[str, Any] = {}
    for file in ("preprocessor_config.json", "processor_config.json"):
        path = _file(folder, file)
        if path is not None:
            known = json.loads(path.read_text(encoding="utf-8"))
            known = known.get("image_processor", known)
            break
    size, crop = known.get("size", side), known.get("crop_size", side)
    if isinstance(size, dict):
        size = size.get("shortest_edge") or (size["height"], size["width"])
    crop = (crop["height"], crop["width"]) if isinstance(crop, dict) else (crop, crop)
    return Preparation(
        size,
        crop if known.get("do_center_crop", isinstance(size, int)) else None,
        tuple(known.get("image_mean", CLIP_MEAN)),
        tuple(known.get("image_std", CLIP_STD)),
        known.get("resample", 3) == 3,
    )


def _head(name: str, model: str, head: str | None, width: int) -> nn.Module:
    """Linear layers from a file of matrices and biases, in the order of their numbers."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(head) if head else _file(model, HEAD)
    what = head or f"{HEAD} of {model}"
    if path is None or not path.is_file():
        raise ValueError(f"reward {name!r} needs its head: there is no {what}")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"reward {name!r}: {what} is no safetensors file ({error})") from error

    def order(key: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", key)]

    layers = []
    for key in sorted((k for k, v in tensors.items() if v.ndim == 2), key=order):
        matrix = tensors[key].float()
        bias = tensors.get(key.removesuffix("weight") + "bias")
        layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=bias is not None)
        layer.load_state_dict({"weight": matrix} | ({} if bias is None else {"bias": bias.float()}))
        layers.append(layer)
    sizes = [(layer.in_features, layer.out_features) for layer in layers]
    links = [width, *(out for _, out in sizes)]
    if not layers or links[-1] != 1 or [into for into, _ in sizes] != links[:-1]:
        raise ValueError(
            f"reward {name!r}: the layers of {what} must lead from {width} to 1; they are {sizes}"
        )
    return nn.Sequential(*layers).eval().requires_grad_(False)
