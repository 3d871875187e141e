"""`sprites-flow`: rectified flow over the same latents, by a small Stable Diffusion 3.

Taught by `sprites-tuned`: trained on noise and scenes alone, a transformer of this size drew 8 % of
prompts right after 5,250 steps of 96.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import trange

from genenvs.generators.training.draws import stratified
from genenvs.generators.training.sprites import latents, learn
from genenvs.generators.training.sprites.diffusion import Diffusion, text_config
from genenvs.generators.training.sprites.folder import write
from genenvs.generators.training.sprites.learn import DROPPED
from genenvs.generators.training.sprites.loop import Plan, fit

TRANSFORMER: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,  # 16 tokens
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 4,
    "attention_head_dim": 40,
    "num_attention_heads": 2,
    "caption_projection_dim": 80,
    "joint_attention_dim": 128,  # of two text encoders
    "pooled_projection_dim": 128,
    "pos_embed_max_size": 4,
}
THIRD = 1  # tokens of zeros in place of the third text encoder, `max_sequence_length` in diffusers
SCHEDULER: dict[str, Any] = {"num_train_timesteps": 1000, "shift": 1.0}
SHIFT = 2.0  # of the noise levels learned, see `learn.train`
CHUNK = 256  # answers asked for at a time


class Flow(nn.Module):
    """Two CLIP text encoders and an `SD3Transformer2DModel` that predicts noise minus clean.

    Both encoders are another model's, and stay as they are. This pipeline reads the last layer but
    one, so they have one more that does nothing.
    """

    def __init__(self, tokenizer: Any, text: Any) -> None:
        """A new transformer.

        Args:
            tokenizer: of the captions.
            text: a `CLIPTextModel` that knows them.
        """
        from diffusers import SD3Transformer2DModel
        from transformers import CLIPTextModelWithProjection

        super().__init__()
        config = text_config(tokenizer)
        config.num_hidden_layers += 1
        both = [CLIPTextModelWithProjection(config).requires_grad_(False) for _ in range(2)]
        for each in both:
            _read_as(each, text)
        self.first: Any = both[0]
        self.second: Any = both[1]
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

    def predict(self, x: Tensor, time: Tensor, condition: tuple[Tensor, Tensor]) -> Tensor:
        """Velocity; times are 1000 sigma."""
        words, pooled = condition
        return self.network(
            hidden_states=x, timestep=time, encoder_hidden_states=words, pooled_projections=pooled
        ).sample


def _read_as(encoder: Any, text: Any) -> None:
    """Give an encoder another one's layers; its last one adds nothing."""
    left = encoder.text_model.load_state_dict(text.state_dict(), strict=False)
    if left.unexpected_keys:
        raise ValueError(f"a text encoder of another kind: {left.unexpected_keys}")
    last = encoder.text_model.encoder.layers[-1]
    with torch.no_grad():
        for each in (last.self_attn.out_proj, last.mlp.fc2):
            each.weight.zero_()
            each.bias.zero_()
        encoder.text_projection.weight.copy_(torch.eye(len(encoder.text_projection.weight)))


def _begin(network: Any) -> None:
    """DiT's first weights: blocks that change nothing, and an output of zero (adaLN-Zero)."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
            if ".norm1" in name or "norm_out" in name or name == "proj_out":
                nn.init.zeros_(module.weight)


# --- what it learns ---


def answers(
    master: Diffusion, mean: Tensor, std: Tensor, asked: Tensor, table: Tensor, rows: int,
    guidance: float, seed: int, progress: bool = True,
) -> dict[str, Tensor]:  # fmt: skip
    """What a diffusion model says of noisy latents, as a flow has to say it.

    A teacher's answer is the mean where noise and scene are a draw, and with its guidance the
    caption tells in all of it. It costs more than a step of learning, so answers are asked for
    once and learned many times.

    Args:
        master: the teacher.
        mean, std, asked: of encoded scenes, see `latents.pool`.
        table: tokens of every prompt, the empty one last.
        rows: answers.
        guidance: of the teacher.
        seed: of noise, times and choice.
        progress: show a bar.

    Returns:
        x, target: float16 [rows, 4, 8, 8]; time: float32 [rows], 1000 sigma; prompt: int64 [rows].
    """
    generator = torch.Generator().manual_seed(seed)
    squared: Any = master.squared
    with torch.no_grad():
        read = master.encode(table)
    parts: list[tuple[Tensor, ...]] = []
    for _ in trange(-(-rows // CHUNK), disable=not progress, desc="answers", mininterval=2):
        chosen = torch.randint(len(mean), (CHUNK,), generator=generator)
        shape = (CHUNK, *mean.shape[1:])
        clean = mean[chosen] + std[chosen] * torch.randn(shape, generator=generator)
        noise = torch.randn(shape, generator=generator)
        empty = torch.rand(CHUNK, generator=generator) < DROPPED
        prompt = torch.where(empty, len(table) - 1, asked[chosen])
        sigma = stratified(CHUNK, generator)
        sigma = (SHIFT * sigma / (1 + (SHIFT - 1) * sigma)).clamp(1e-4, 1 - 1e-6)
        x = torch.lerp(clean, noise, sigma[:, None, None, None])
        target = _velocity(master, squared, x, sigma, read[prompt], read[-1:], guidance)
        parts.append((x.half(), target.half(), sigma * 1000, prompt))
    x, target, time, prompt = (torch.cat(each)[:rows] for each in zip(*parts, strict=True))
    return {"x": x, "target": target, "time": time, "prompt": prompt}


@torch.no_grad()
def _velocity(
    master: Diffusion, squared: Tensor, x: Tensor, sigma: Tensor, words: Tensor, empty: Tensor,
    guidance: float,
) -> Tensor:  # fmt: skip
    """A diffusion model's guided opinion of a flow's latents.

    Both mix clean latents with noise, up to a factor: x / hypot(1 - sigma, sigma) is what the other
    calls noisy at the timestep of the same ratio.
    """
    length = torch.hypot(1 - sigma, sigma)
    alpha, beta = ((each / length)[:, None, None, None] for each in (1 - sigma, sigma))
    # Of decreasing numbers, the nearest one's place.
    near = (squared - alpha.flatten()[:, None].square()).abs().argmin(1)
    x = x / length[:, None, None, None]
    both = torch.cat([words, empty.expand_as(words)])
    wanted, blank = master.predict(torch.cat([x, x]), torch.cat([near, near]), both).chunk(2)
    found = blank + guidance * (wanted - blank)
    return (beta - alpha) * x + (alpha + beta) * found  # noise minus clean


def train(
    model: Flow, vae: Any, known: dict[str, Tensor], table: Tensor, plan: Plan, shuffled: float,
    watched: Mapping[str, tuple[int, float]], checkpoint: Path | None, progress: bool,
) -> tuple[Any, dict]:  # fmt: skip
    """Learn a teacher's answers.

    Args:
        model: what learns.
        vae: the autoencoder, to watch.
        known: see `answers`.
        table: tokens of every prompt, the empty one last.
        plan: how.
        shuffled: share of captions that belong to another scene.
        watched: name -> (steps, guidance) of samplers whose accuracy is logged.
        checkpoint: a file to go on from.
        progress: show bars.

    Returns:
        The averaged model and the record.
    """
    with torch.no_grad():
        words, pooled = model.encode(table)
    rows = len(known["x"])

    def loss(step: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(rows, (plan.batch,), generator=generator)
        own = known["prompt"][chosen]
        other = known["prompt"][torch.randint(rows, (plan.batch,), generator=generator)]
        prompt = torch.where(torch.rand(plan.batch, generator=generator) < shuffled, other, own)
        condition = words[prompt], pooled[prompt]
        found = model.predict(known["x"][chosen].float(), known["time"][chosen], condition)
        return functional.mse_loss(found, known["target"][chosen].float())

    def watch(averaged: nn.Module) -> dict[str, float]:
        samplers = {name: learn.sampler(averaged, table, *how) for name, how in watched.items()}
        return {
            name: round(latents.accuracy(vae, sample, "validation", 192)[0], 4)
            for name, sample in samplers.items()
        }

    return fit(model, loss, plan, watch, max(1, plan.steps // 24), progress, checkpoint)


@torch.no_grad()
def standardise(model: Flow, table: Tensor) -> None:
    """Let a new transformer read words as if they had mean 0 and deviation 1 in every entry.

    What comes before a CLIP's last norm has entries of 140 beside others of 4.
    """
    words, _ = model.encode(table)
    features = words[:, :-THIRD].flatten(0, 1)
    layer = model.network.context_embedder
    layer.weight /= features.std(0).clamp_min(1e-3)
    layer.bias -= layer.weight @ features.mean(0)


# --- as a folder ---


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
