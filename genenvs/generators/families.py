"""What differs between families of text-to-image pipelines: conditions, sizes, network calls."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn

# What the network is told besides latents and time: float32, one row per prompt.
Conditions: TypeAlias = dict[str, Tensor]


def take(conditions: Conditions, rows: Tensor | slice) -> Conditions:
    """Return the given rows, an index [B] (repeats are fine), a bool mask or a slice."""
    return {name: values[rows] for name, values in conditions.items()}


class Family(ABC):
    """One class of diffusers pipeline.

    Attributes:
        name: "sd", "sdxl", "sd3" or "flux".
        pipeline: the class that model_index.json names.
        kind: "diffusion" or "flow".
        network: the component that denoises.
        network_class: its class.
        text: (tokenizer, text encoder, class of the encoder) components.
        optional: components that may be null.
    """

    name: ClassVar[str]
    pipeline: ClassVar[str]
    kind: ClassVar[Literal["diffusion", "flow"]]
    network: ClassVar[str]
    network_class: ClassVar[str]
    text: ClassVar[tuple[tuple[str, str, str], ...]]
    optional: ClassVar[tuple[str, ...]] = ()
    divisor: ClassVar[int] = 1  # what sides of the latents must be divisible by
    tokens: ClassVar[int | None] = None  # length of T5's part where the pipeline's default counts

    def channels(self, network: dict) -> int:
        """Return the channels of one latent, from the network's config.json."""
        return network["in_channels"]

    def side(self, network: dict, vae: dict) -> tuple[int, int]:
        """Return the latents' (h, w) where the user gives no size."""
        size = network.get("sample_size")
        if size is None:
            raise ValueError("config.json has no sample_size; give image_size=")
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    @abstractmethod
    def encode(self, pipeline: Any, prompts: Sequence[str], tokens: int | None) -> Conditions:
        """Return the conditions of prompts with the pipeline's own encoder."""

    @abstractmethod
    def evaluate(
        self, network: nn.Module, x: Tensor, time: Tensor, condition: Conditions, guidance: Any
    ) -> Tensor:
        """Return the network's output, [B, C, h, w].

        Args:
            network: of `network_class`.
            x: [B, C, h, w] in the network's dtype.
            time: float32 [B]: a place 0..N on the schedule, or sigma.
            condition: rows in the network's dtype.
            guidance: float32 [B] for a network that takes it as an input, else None.
        """


class StableDiffusion(Family):
    """SD 1.x and 2.x: a U-Net and one CLIP encoder."""

    name = "sd"
    pipeline = "StableDiffusionPipeline"
    kind = "diffusion"
    network = "unet"
    network_class = "UNet2DConditionModel"
    text = (("tokenizer", "text_encoder", "CLIPTextModel"),)

    def encode(self, pipeline: Any, prompts: Sequence[str], tokens: int | None) -> Conditions:
        device = pipeline.text_encoder.device
        return {"prompt_embeds": pipeline.encode_prompt(list(prompts), device, 1, False)[0]}

    def evaluate(
        self, network: nn.Module, x: Tensor, time: Tensor, condition: Conditions, guidance: Any
    ) -> Tensor:
        return network(x, time - 1, condition["prompt_embeds"], return_dict=False)[0]


class StableDiffusionXL(Family):
    """SDXL: a U-Net that is also told sizes, and two CLIP encoders."""

    name = "sdxl"
    pipeline = "StableDiffusionXLPipeline"
    kind = "diffusion"
    network = "unet"
    network_class = "UNet2DConditionModel"
    text = (
        ("tokenizer", "text_encoder", "CLIPTextModel"),
        ("tokenizer_2", "text_encoder_2", "CLIPTextModelWithProjection"),
    )

    def encode(self, pipeline: Any, prompts: Sequence[str], tokens: int | None) -> Conditions:
        device = pipeline.text_encoder_2.device
        embeds, _, pooled, _ = pipeline.encode_prompt(
            list(prompts), device=device, do_classifier_free_guidance=False
        )
        return {"prompt_embeds": embeds, "pooled": pooled}

    def evaluate(
        self, network: nn.Module, x: Tensor, time: Tensor, condition: Conditions, guidance: Any
    ) -> Tensor:
        added = {"text_embeds": condition["pooled"], "time_ids": condition["time_ids"]}
        embeds = condition["prompt_embeds"]
        return network(x, time - 1, embeds, added_cond_kwargs=added, return_dict=False)[0]


class StableDiffusion3(Family):
    """SD 3 and 3.5: a transformer, two CLIP encoders and perhaps T5."""

    name = "sd3"
    pipeline = "StableDiffusion3Pipeline"
    kind = "flow"
    network = "transformer"
    network_class = "SD3Transformer2DModel"
    text = (
        ("tokenizer", "text_encoder", "CLIPTextModelWithProjection"),
        ("tokenizer_2", "text_encoder_2", "CLIPTextModelWithProjection"),
        ("tokenizer_3", "text_encoder_3", "T5EncoderModel"),
    )
    optional = ("tokenizer_3", "text_encoder_3")
    tokens = 256

    def encode(self, pipeline: Any, prompts: Sequence[str], tokens: int | None) -> Conditions:
        embeds, _, pooled, _ = pipeline.encode_prompt(
            list(prompts),
            None,
            None,
            device=pipeline.text_encoder.device,
            do_classifier_free_guidance=False,
            max_sequence_length=tokens,
        )
        return {"prompt_embeds": embeds, "pooled": pooled}

    def evaluate(
        self, network: nn.Module, x: Tensor, time: Tensor, condition: Conditions, guidance: Any
    ) -> Tensor:
        # 1000 is in the embedding that all SD3 networks are trained with.
        embeds, pooled = condition["prompt_embeds"], condition["pooled"]
        return network(x, embeds, pooled, time * 1000, return_dict=False)[0]


class Flux(Family):
    """Flux: a transformer over packed latents, CLIP's pooled output and T5."""

    name = "flux"
    pipeline = "FluxPipeline"
    kind = "flow"
    network = "transformer"
    network_class = "FluxTransformer2DModel"
    text = (
        ("tokenizer", "text_encoder", "CLIPTextModel"),
        ("tokenizer_2", "text_encoder_2", "T5EncoderModel"),
    )
    divisor = 2
    tokens = 512

    def channels(self, network: dict) -> int:
        return network["in_channels"] // 4

    def side(self, network: dict, vae: dict) -> tuple[int, int]:
        side = vae.get("sample_size", 1024) // 2 ** (len(vae["block_out_channels"]) - 1)
        return side, side

    def encode(self, pipeline: Any, prompts: Sequence[str], tokens: int | None) -> Conditions:
        embeds, pooled, _ = pipeline.encode_prompt(
            list(prompts), device=pipeline.text_encoder.device, max_sequence_length=tokens
        )
        return {"prompt_embeds": embeds, "pooled": pooled}

    def evaluate(
        self, network: nn.Module, x: Tensor, time: Tensor, condition: Conditions, guidance: Any
    ) -> Tensor:
        embeds = condition["prompt_embeds"]
        height, width = x.shape[-2] // 2, x.shape[-1] // 2
        output = network(
            hidden_states=pack(x),
            encoder_hidden_states=embeds,
            pooled_projections=condition["pooled"],
            timestep=time,
            guidance=guidance,
            img_ids=positions(height, width, x.device, x.dtype),
            txt_ids=torch.zeros(embeds.shape[1], 3, device=x.device, dtype=x.dtype),
            return_dict=False,
        )[0]
        return unpack(output, height, width)


def pack(x: Tensor) -> Tensor:
    """[B, C, 2 h, 2 w] -> [B, h w, 4 C]: one token per 2 x 2 patch."""
    batch, channels, height, width = x.shape
    patches = x.view(batch, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * 4)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """[B, h w, 4 C] -> [B, C, 2 h, 2 w]: the inverse of `pack`."""
    batch, _, size = tokens.shape
    patches = tokens.view(batch, height, width, size // 4, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(batch, size // 4, 2 * height, 2 * width)


def positions(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return (0, row, column) of each token, [h w, 3]."""
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack([torch.zeros_like(rows), rows, columns], -1).view(-1, 3).to(dtype)


FAMILIES: dict[str, Family] = {
    family.pipeline: family
    for family in (StableDiffusion(), StableDiffusionXL(), StableDiffusion3(), Flux())
}
