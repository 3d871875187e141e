"""Tiny random text-to-image pipelines of each family, built on disk as diffusers saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genenvs.generators.pipelines import quiet
from genenvs.generators.text_to_image import TextToImage
from tests.generators.models import edit_json

WORDS = ("a", "red", "blue", "green", "small", "circle", "square", "of", "left", "two")
PROMPTS = ["a red circle", "two small blue square", "a green square left of a red circle"]
LENGTH = 16  # tokens of a CLIP prompt
SIDE = 8  # of the latents; images have twice as many pixels
FAMILIES = ("sd", "sdxl", "sd3", "flux")

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "sd": ("sd", {}),
    "sd-v": ("sd", {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}),
    "sd-pndm": ("sd", {"scheduler": "PNDMScheduler", "skip_prk_steps": True}),
    "sdxl": ("sdxl", {}),
    "sdxl-empty": ("sdxl", {"force_zeros_for_empty_prompt": False}),
    "sd3": ("sd3", {}),
    "sd3-long": ("sd3", {"tokens": None}),
    "sd3-t5": ("sd3", {"t5": True, "use_dynamic_shifting": True}),
    "flux": ("flux", {}),
    "flux-distilled": ("flux", {"guidance_embeds": True, "tokens": None}),
}

CONV = {"block_out_channels": (8, 16), "norm_num_groups": 4}
SPECIAL = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}


def write_pipeline(folder: Path, family: str, *, seed: int = 0, **options: Any) -> Path:
    """Save a random pipeline; return the folder.

    Args:
        folder: where to.
        family: one of `FAMILIES`.
        seed: of the weights.
        options: settings of the scheduler, or `prediction_type`; of SD3 `t5` (a text_encoder_3,
            default none); of Flux `guidance_embeds`; of both `tokens`, T5's part of the
            condition (default 6; None is the pipeline's 256 or 512, which costs time).
    """
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    tokens = options.pop("tokens", 6) if family in ("sd3", "flux") else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = {"sd": _sd, "sdxl": _sdxl, "sd3": _sd3, "flux": _flux}[family](options)
        for name, module in made.components.items():
            # Fresh weights give nearly constant outputs, in which a wrong input would not show.
            if isinstance(module, torch.nn.Module):
                for parameter in module.parameters():
                    if name != "vae" and parameter.dim() > 1:
                        parameter.data.mul_(2.0)
    made.save_pretrained(folder, safe_serialization=True)
    if tokens is not None:
        edit_json(folder / "model_index.json", max_sequence_length=tokens)
    return folder


def noise(model: TextToImage, rows: int = 3, seed: int = 0) -> Tensor:
    """Latents to start from."""
    return torch.randn(rows, *model.shape, generator=torch.Generator().manual_seed(seed))


def halfway(model: TextToImage, rows: int = 3) -> Tensor:
    """A time in the middle of a rollout, for each row."""
    return model.times(4)[2].expand(rows)


def plain(folder: Path, **arguments: Any) -> Any:
    """Return what the pipeline of diffusers itself makes of `PROMPTS`, by deterministic steps."""
    from diffusers import DDIMScheduler, DiffusionPipeline

    index = json.loads((folder / "model_index.json").read_text())
    # DiffusionPipeline wants to be told that these are null.
    nulls = [name for name in ("text_encoder_3", "tokenizer_3") if index.get(name) == [None, None]]
    with quiet():
        pipeline = DiffusionPipeline.from_pretrained(
            folder, local_files_only=True, **dict.fromkeys(nulls)
        )
    pipeline.set_progress_bar_config(disable=True)
    if pipeline.scheduler.__class__.__name__ == "PNDMScheduler":
        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    side = 2 * SIDE
    if "max_sequence_length" in index:
        arguments.setdefault("max_sequence_length", index["max_sequence_length"])
    return pipeline(PROMPTS, height=side, width=side, **arguments).images


def _sd(options: dict) -> Any:
    import diffusers

    return diffusers.StableDiffusionPipeline(
        unet=_unet(cross_attention_dim=16),
        vae=_vae(),
        text_encoder=_clip("CLIPTextModel", 16),
        tokenizer=_clip_tokenizer(),
        scheduler=_ddim(options),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl(options: dict) -> Any:
    import diffusers

    return diffusers.StableDiffusionXLPipeline(
        unet=_unet(
            cross_attention_dim=24,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 8,
            transformer_layers_per_block=1,
        ),
        vae=_vae(),
        text_encoder=_clip("CLIPTextModel", 16),
        text_encoder_2=_clip("CLIPTextModelWithProjection", 8, projection=8),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_clip_tokenizer(),
        scheduler=_ddim(options),
        force_zeros_for_empty_prompt=options.pop("force_zeros_for_empty_prompt", True),
        add_watermarker=False,
    )


def _sd3(options: dict) -> Any:
    import diffusers

    t5 = options.pop("t5", False)
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=SIDE,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            caption_projection_dim=16,
            pooled_projection_dim=16,
            pos_embed_max_size=16,
        ),
        vae=_vae(shift_factor=0.1),
        text_encoder=_clip("CLIPTextModelWithProjection", 8, projection=8),
        text_encoder_2=_clip("CLIPTextModelWithProjection", 8, projection=8),
        text_encoder_3=_t5(32) if t5 else None,
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_clip_tokenizer(),
        tokenizer_3=_t5_tokenizer() if t5 else None,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0, **options}),
    )


def _flux(options: dict) -> Any:
    import diffusers

    guided = options.pop("guidance_embeds", False)
    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=16,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=guided,
        ),
        vae=_vae(shift_factor=0.1),
        text_encoder=_clip("CLIPTextModel", 16),
        text_encoder_2=_t5(32),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_t5_tokenizer(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            **{"shift": 3.0, "use_dynamic_shifting": True, **options}
        ),
    )


def _ddim(options: dict) -> Any:
    import diffusers

    name = options.pop("scheduler", "DDIMScheduler")
    known = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    if name == "DDIMScheduler":
        known |= {"clip_sample": False, "set_alpha_to_one": False}
    if name in ("DDIMScheduler", "PNDMScheduler"):
        known |= {"steps_offset": 1}
    kept = {key: value for key, value in options.items() if key != "force_zeros_for_empty_prompt"}
    return getattr(diffusers, name)(**{**known, **kept})


def _unet(**options: Any) -> Any:
    import diffusers

    return diffusers.UNet2DConditionModel(
        sample_size=SIDE,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        **CONV,
        **options,
    )


def _vae(**options: Any) -> Any:
    import diffusers

    return diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        sample_size=2 * SIDE,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        scaling_factor=0.7,
        **CONV,
        **options,
    )


def _clip(name: str, width: int, projection: int = 8) -> Any:
    import transformers

    settings = transformers.CLIPTextConfig(
        vocab_size=600,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        projection_dim=projection,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return getattr(transformers, name)(settings).eval()


def _clip_tokenizer() -> Any:
    """A CLIP tokenizer that knows `WORDS`; any other letter or word is its unknown token."""
    import transformers

    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    merges = []
    for letter in sorted(set("".join(WORDS))):
        vocabulary[letter] = len(vocabulary)
    for word in WORDS:
        known = word[0]
        for place, letter in enumerate(word[1:], 1):
            last = place == len(word) - 1
            vocabulary.setdefault(letter + "</w>", len(vocabulary))
            merge = (known, letter + ("</w>" if last else ""))
            if merge not in merges:
                merges.append(merge)
            known = "".join(merge).replace("</w>", "")
            vocabulary.setdefault("".join(merge), len(vocabulary))
        if len(word) == 1:
            vocabulary.setdefault(word + "</w>", len(vocabulary))
    return transformers.CLIPTokenizer(
        vocab=vocabulary, merges=merges, model_max_length=LENGTH, **SPECIAL
    )


def _t5(width: int) -> Any:
    import transformers

    settings = transformers.T5Config(
        vocab_size=200, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    return transformers.T5EncoderModel(settings).eval()


def _t5_tokenizer() -> Any:
    import transformers

    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    vocabulary += [(f"▁{word}", -2.0) for word in WORDS]
    return transformers.T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=64)
