"""Networks from folders or the hub, frozen, with what stands around them."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genenvs.core.optional import require

HEAD = "head.safetensors"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
REMEMBERED = 4096  # prompts whose features are kept
BLIP_UNUSED = ("vision_proj", "text_proj", "itm_head")


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
class Network:
    """A frozen network with what it needs around it; moved to where the images are."""

    module: Any
    prepare: Preparation
    tokenizer: Any = None
    head: nn.Module | None = None
    features: dict[str, Tensor] = field(default_factory=dict)  # of prompts, on the CPU

    def on(self, images: Tensor) -> "Network":
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


@torch.no_grad()
def text_features(network: Network, prompts: Sequence[str]) -> Tensor:
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
        found = pooled(network.module.get_text_features(**words)).float().cpu()
        memory.update(zip(some, functional.normalize(found, dim=-1), strict=True))
    return torch.stack([memory[prompt] for prompt in prompts])


def pooled(found: Any) -> Tensor:
    """Features, of transformers before and after version 5."""
    return found if isinstance(found, Tensor) else found.pooler_output


@lru_cache(maxsize=4)
def pair(name: str, model: str, processor: str, dtype: str) -> Network:
    """A model with an image tower and a text tower."""
    transformers = require("transformers", "rewards")
    module = _module(name, transformers.AutoModel, model, dtype)
    _towers(name, model, module, "get_image_features", "get_text_features")
    side = module.config.vision_config.image_size
    tokenizer = _tokenizer(name, transformers, processor)
    return Network(module, _preparation(processor, side), tokenizer)


@lru_cache(maxsize=2)
def vision(name: str, model: str, head: str | None, dtype: str) -> Network:
    """A model with an image tower and a head on its projection."""
    transformers = require("transformers", "rewards")
    module = _module(name, transformers.AutoModel, model, dtype)
    _towers(name, model, module, "get_image_features")
    config = module.config
    read = _head(name, model, head, config.projection_dim)
    return Network(module, _preparation(model, config.vision_config.image_size), head=read)


@lru_cache(maxsize=2)
def blip(name: str, model: str, head: str | None, dtype: str) -> Network:
    """BLIP's image and text encoders and a head on the latter's first token."""
    transformers = require("transformers", "rewards")
    module = _module(name, transformers.BlipForImageTextRetrieval, model, dtype, BLIP_UNUSED)
    config: Any = module.config
    side = config.vision_config.image_size
    read = _head(name, model, head, config.text_config.hidden_size)
    tokenizer = _tokenizer(name, transformers, model)
    return Network(module, Preparation(side, (side, side)), tokenizer, read)


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
        module, missing = _read(kind, model, dtype)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"reward {name!r} cannot load {model!r}: {_first(error)}") from error
    missing = [key for key in missing if not key.startswith(unused or ("?",))]
    if missing:
        raise ValueError(
            f"reward {name!r}: {model!r} lacks weights of {kind.__name__}, {missing[0]} and "
            f"{len(missing) - 1} more"
        )
    return module


@lru_cache(maxsize=4)  # rewards on one model share it
def _read(kind: Any, model: str, dtype: str) -> tuple[Any, list[str]]:
    """A frozen network, and which of its weights the files do not have."""
    module, info = kind.from_pretrained(model, use_safetensors=True, output_loading_info=True)
    module = module.to(getattr(torch, dtype)).eval().requires_grad_(False)
    return module, sorted(info["missing_keys"])


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
