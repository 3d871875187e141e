"""`sprites-flow`: rectified flow over the same latents, by a small Stable Diffusion 3."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from genenvs.generators.training.sprites import words as captions
from genenvs.generators.training.sprites.diffusion import text_config
from genenvs.generators.training.sprites.folder import write
from genenvs.generators.training.sprites.learn import Model

TRANSFORMER: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,  # 16 tokens
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 4,
    "attention_head_dim": 32,
    "num_attention_heads": 3,
    "caption_projection_dim": 96,
    "joint_attention_dim": 128,  # of two text encoders
    "pooled_projection_dim": 128,
    "pos_embed_max_size": 4,
}
SCHEDULER: dict[str, Any] = {"num_train_timesteps": 1000, "shift": 1.0}


class Flow(Model):
    """Two CLIP text encoders and an `SD3Transformer2DModel` that predicts noise minus clean."""

    def __init__(self, tokenizer: Any) -> None:
        """New networks for a tokenizer's words."""
        from diffusers import SD3Transformer2DModel
        from transformers import CLIPTextModelWithProjection

        super().__init__()
        config = text_config(tokenizer)
        self.first: Any = CLIPTextModelWithProjection(config)
        self.second: Any = CLIPTextModelWithProjection(config)
        self.network: Any = SD3Transformer2DModel(**TRANSFORMER)

    def scheduler(self) -> Any:
        """Euler."""
        from diffusers import FlowMatchEulerDiscreteScheduler

        return FlowMatchEulerDiscreteScheduler(**SCHEDULER)

    def encode(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """As Stable Diffusion 3 does without its third encoder: float32 [B, 20, 128], [B, 128]."""
        found = [each(ids, output_hidden_states=True) for each in (self.first, self.second)]
        words = torch.cat([each.hidden_states[-2] for each in found], -1)
        pooled = torch.cat([each.text_embeds for each in found], -1)
        return functional.pad(words, (0, 0, 0, words.shape[1])), pooled

    def predict(self, x: Tensor, time: Tensor, condition: tuple[Tensor, Tensor]) -> Tensor:
        """Velocity; times are 1000 sigma."""
        words, pooled = condition
        return self.network(
            hidden_states=x, timestep=time, encoder_hidden_states=words, pooled_projections=pooled
        ).sample

    def corrupt(self, clean: Tensor, noise: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """X = (1 - sigma) clean + sigma noise."""
        sigma = place[:, None, None, None]
        return torch.lerp(clean, noise, sigma), place * 1000, noise - clean


def save(folder: Path, model: Flow, vae: Any, tokenizer: Any) -> list[Path]:
    """Write a folder that `diffusers.StableDiffusion3Pipeline.from_pretrained` loads."""
    from diffusers import StableDiffusion3Pipeline

    pipeline = StableDiffusion3Pipeline(
        transformer=model.network, scheduler=model.scheduler(), vae=vae,
        text_encoder=model.first, tokenizer=tokenizer,
        text_encoder_2=model.second, tokenizer_2=tokenizer,
        text_encoder_3=None, tokenizer_3=None,
    )  # fmt: skip
    return write(pipeline, folder, max_sequence_length=captions.LENGTH)
