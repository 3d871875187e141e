"""`sprites`: a text encoder and a denoising U-Net over the latents; a small Stable Diffusion."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genenvs.generators.training.sprites import words
from genenvs.generators.training.sprites.folder import write
from genenvs.generators.training.sprites.grounding import Grounding

TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": words.LENGTH,
    "projection_dim": 64,
}
UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (48, 80),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 64,
    "attention_head_dim": 4,  # the number of heads, as diffusers reads it
    "norm_num_groups": 8,
}
# Stable Diffusion's betas, brought to zero signal at the end and sampled from there (Lin et al.,
# 2024, "Common diffusion noise schedules and sample steps are flawed").
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 1,  # of no effect here; what the pipeline asks for
}


def text_config(tokenizer: Any) -> Any:
    """Of a CLIP text encoder for a tokenizer's words."""
    from transformers import CLIPTextConfig

    special = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos")
    }
    return CLIPTextConfig(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **TEXT, **special
    )


class Diffusion(nn.Module):
    """A CLIP text encoder and a `UNet2DConditionModel` that predicts v."""

    def __init__(self, tokenizer: Any) -> None:
        """New networks for a tokenizer's words."""
        from diffusers import UNet2DConditionModel
        from transformers import CLIPTextModel

        super().__init__()
        self.text: Any = CLIPTextModel(text_config(tokenizer))
        self.grounding = Grounding(TEXT["hidden_size"])
        self.network: Any = UNet2DConditionModel(**UNET).to(memory_format=torch.channels_last)
        self.register_buffer("squared", self.scheduler().alphas_cumprod, persistent=False)

    def scheduler(self) -> Any:
        """DDIM, new, as the folder has it."""
        from diffusers import DDIMScheduler

        return DDIMScheduler(**SCHEDULER)

    def encode(self, ids: Tensor) -> Tensor:
        """float32 [B, 10, 64]."""
        return self.text(ids).last_hidden_state

    def predict(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """Velocity, float32 [B, 4, 8, 8]; times are training timesteps."""
        x = x.contiguous(memory_format=torch.channels_last)
        return self.network(x, time, condition).sample

    def corrupt(self, clean: Tensor, noise: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is seen, when, and what to say of it.

        Args:
            clean, noise: float32 [B, 4, 8, 8].
            place: float32 [B] in [0, 1), on the way to pure noise.

        Returns:
            alpha clean + sigma noise, its timesteps, and v = alpha noise - sigma clean.
        """
        squared: Any = self.squared
        time = (place * len(squared)).long()
        alpha, sigma = (each[time, None, None, None].sqrt() for each in (squared, 1 - squared))
        return alpha * clean + sigma * noise, time, alpha * noise - sigma * clean


def save(folder: Path, model: Diffusion, vae: Any, tokenizer: Any) -> list[Path]:
    """Write a folder that `diffusers.StableDiffusionPipeline.from_pretrained` loads."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=model.text, tokenizer=tokenizer, unet=model.network,
        scheduler=model.scheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    return write(pipeline, folder)
