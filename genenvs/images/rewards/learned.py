"""Rewards that are networks trained on people's choices, from folders or the hub.

Each takes a local folder or a hub id in the layout of transformers; weights are read from
safetensors alone; `convert` makes such folders of what was published as pickles. Images are
prepared in torch, on their device, so that gradients pass.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from genenvs.core.memory import Limit, in_parts
from genenvs.images.rewards.networks import blip, pair, pooled, text_features, vision
from genenvs.images.rewards.reward import Context, Reward

CLIP = "openai/clip-vit-large-patch14"
PICK = "yuvalkirstain/PickScore_v1"
PICK_PROCESSOR = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"  # as the model's card says
HESSEL = 2.5  # the weight of CLIPScore (Hessel et al., 2021, section 3)
# ImageReward.py of THUDM/ImageReward: what its scores are standardised by, and words read.
IMAGE_REWARD_MEAN, IMAGE_REWARD_STD = 0.16717362830052426, 1.0333394966054072
IMAGE_REWARD_WORDS = 35


def clip_score(
    model: str = CLIP, *, weight: float = HESSEL, dtype: str = "float32", max_batch: int = 64
) -> Reward:
    """CLIPScore: 2.5 times the cosine of image and prompt where positive, in [0, 2.5].

    Hessel et al. (2021); with no "A photo depicts" before the prompt.

    Args:
        model: folder or hub id of a CLIP model (or another with both towers, as SigLIP).
        weight: 1 for the bare cosine.
        dtype: of the network.
        max_batch: images in one evaluation, halved with a warning where memory does not suffice;
            with gradients all are evaluated together, since a split would not save their memory.

    Raises:
        ImportError: transformers is missing.
        ValueError: the model cannot be loaded.
    """
    pair("clip_score", model, model, dtype)
    limit = _limit("clip_score", max_batch)
    function = _Cosine("clip_score", model, model, dtype, limit, weight, True)
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
    scale = float(pair("pick_score", model, processor, dtype).module.logit_scale.exp())
    limit = _limit("pick_score", max_batch)
    function = _Cosine("pick_score", model, processor, dtype, limit, scale, False)
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
    pair("hps", name, processor or name, dtype)
    limit = _limit("hps", max_batch)
    function = _Cosine("hps", name, processor or name, dtype, limit, 1.0, False)
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
        max_batch: see `clip_score`.
    """
    vision("aesthetic", model, head, dtype)
    function = _Aesthetic("aesthetic", model, head, dtype, _limit("aesthetic", max_batch))
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
    blip("image_reward", name, head, dtype)
    function = _ImageReward("image_reward", name, head, dtype, _limit("image_reward", max_batch))
    return _reward("image_reward", function, (-math.inf, math.inf), ("prompts",))


@dataclass(frozen=True)
class _Cosine:
    name: str
    model: str
    processor: str
    dtype: str
    limit: Limit
    scale: float
    positive: bool

    def __call__(self, images: Tensor, context: Context) -> Tensor:
        network = pair(self.name, self.model, self.processor, self.dtype).on(images)
        text = text_features(network, context["prompts"]).to(images.device)

        def score(some: Tensor, rows: slice) -> Tensor:
            found = pooled(network.module.get_image_features(pixel_values=network.pixels(some)))
            return (functional.normalize(found.float(), dim=-1) * text[rows]).sum(-1)

        cosine = _scored(score, images, self.limit)
        # Rounding may take a cosine beyond 1.
        cosine = cosine.clamp(-1, 1)
        return self.scale * (cosine.clamp_min(0) if self.positive else cosine)


@dataclass(frozen=True)
class _Aesthetic:
    name: str
    model: str
    head: str | None
    dtype: str
    limit: Limit

    def __call__(self, images: Tensor, context: Context) -> Tensor:
        network = vision(self.name, self.model, self.head, self.dtype).on(images)
        assert network.head is not None
        head = network.head

        def score(some: Tensor, rows: slice) -> Tensor:
            found = pooled(network.module.get_image_features(pixel_values=network.pixels(some)))
            return head(functional.normalize(found.float(), dim=-1)).squeeze(-1)

        return _scored(score, images, self.limit)


@dataclass(frozen=True)
class _ImageReward:
    name: str
    model: str
    head: str | None
    dtype: str
    limit: Limit

    def __call__(self, images: Tensor, context: Context) -> Tensor:
        network = blip(self.name, self.model, self.head, self.dtype).on(images)
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

        return _scored(score, images, self.limit)


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


def _limit(name: str, max_batch: int) -> Limit:
    if max_batch < 1:
        raise ValueError(f"reward {name!r}: max_batch must be at least 1; got {max_batch}")
    return Limit(max_batch, f"reward {name!r}: max_batch")


def _scored(score: Callable[[Tensor, slice], Tensor], images: Tensor, limit: Limit) -> Tensor:
    """Scores of images and their rows, [B], in parts that fit into memory."""
    whole = torch.is_grad_enabled() and images.requires_grad
    return in_parts(limit, lambda rows: score(images[rows], rows), len(images), whole=whole)
