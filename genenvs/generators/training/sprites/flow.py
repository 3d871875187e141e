"""`sprites-flow`: rectified flow over the same latents, by a small Stable Diffusion 3."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from genenvs.generators.training.sprites.diffusion import Diffusion, text_config
from genenvs.generators.training.sprites.folder import write
from genenvs.generators.training.sprites.grounding import Grounding
from genenvs.generators.training.sprites.learn import Model, Teacher

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
THIRD = 1  # tokens of zeros in place of the third text encoder, `max_sequence_length` in diffusers
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
        self.grounding = Grounding(TRANSFORMER["joint_attention_dim"])
        self.network: Any = SD3Transformer2DModel(**TRANSFORMER)
        _begin(self.network)

    def scheduler(self) -> Any:
        """Euler."""
        from diffusers import FlowMatchEulerDiscreteScheduler

        return FlowMatchEulerDiscreteScheduler(**SCHEDULER)

    def encode(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """As Stable Diffusion 3 does without its third encoder: float32 [B, 11, 128], [B, 128]."""
        found = [each(ids, output_hidden_states=True) for each in (self.first, self.second)]
        words = torch.cat([each.hidden_states[-2] for each in found], -1)
        pooled = torch.cat([each.text_embeds for each in found], -1)
        return functional.pad(words, (0, 0, 0, THIRD)), pooled

    def features(self, condition: tuple[Tensor, Tensor]) -> Tensor:
        """Without the place of the third encoder."""
        return condition[0][:, :-THIRD]

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


def teacher(model: Diffusion) -> Teacher:
    """A diffusion model's opinion of a flow's latents.

    Both mix clean latents with noise, up to a factor: x / hypot(1 - sigma, sigma) is what the other
    calls noisy at the timestep of the same ratio.
    """
    squared: Any = model.squared

    @torch.no_grad()
    def velocity(x: Tensor, time: Tensor, ids: Tensor) -> Tensor:
        sigma = time / 1000
        length = torch.hypot(1 - sigma, sigma)
        alpha, beta = ((each / length)[:, None, None, None] for each in (1 - sigma, sigma))
        # Of decreasing numbers, the nearest one's place.
        near = (squared - alpha.flatten()[:, None].square()).abs().argmin(1)
        x = x / length[:, None, None, None]
        found = model.predict(x, near, model.encode(ids))
        return (beta - alpha) * x + (alpha + beta) * found  # noise minus clean

    return velocity


def _begin(network: Any) -> None:
    """DiT's first weights: blocks that change nothing, and an output of zero (adaLN-Zero)."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
            if ".norm1" in name or "norm_out" in name or name == "proj_out":
                nn.init.zeros_(module.weight)


def save(folder: Path, model: Flow, vae: Any, tokenizer: Any) -> list[Path]:
    """Write a folder that `diffusers.StableDiffusion3Pipeline.from_pretrained` loads."""
    from diffusers import StableDiffusion3Pipeline

    vae.register_to_config(shift_factor=0.0)  # this pipeline asks for one
    pipeline = StableDiffusion3Pipeline(
        transformer=model.network, scheduler=model.scheduler(), vae=vae,
        text_encoder=model.first, tokenizer=tokenizer,
        text_encoder_2=model.second, tokenizer_2=tokenizer,
        text_encoder_3=None, tokenizer_3=None,
    )  # fmt: skip
    return write(pipeline, folder, max_sequence_length=THIRD)
