"""DDPO as its published code does it, on one device: what our agent's speed is measured against.

The procedure of ddpo-pytorch (Black et al.), written anew: pictures are sampled batch by batch with
diffusers' scheduler, rewarded on the host, and trained on step by step, one timestep of one batch
in a forward and backward pass, gradients accumulated over the timesteps. The published sampler ends
at the first training timestep, so that even its last step has noise and is trained on. Here that
step ends at the clean picture, as our agent's does: it has no noise, and neither trains on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NOISE = 1e-3  # a smaller standard deviation is none


@dataclass(frozen=True)
class PlainDDPO:
    """One epoch is `batches` batches of `rows` pictures, sampled and trained on.

    Attributes:
        pipeline: a `StableDiffusionPipeline` whose U-Net is trained.
        prompts: drawn from, with repetition.
        reward: uint8 pictures [B, 3, H, W] and prompts to [B].
        steps: of denoising.
        rows, batches: see above.
        clip: of the ratio, per dimension.
        rate: learning rate.
    """

    pipeline: Any
    prompts: list[str]
    reward: Callable[[Tensor, list[str]], Tensor]
    steps: int = 10
    rows: int = 32
    batches: int = 8
    clip: float = 1e-3
    rate: float = 3e-4

    def optimiser(self) -> torch.optim.Optimizer:
        """The published one."""
        self.pipeline.unet.requires_grad_(True)
        return torch.optim.AdamW(self.pipeline.unet.parameters(), self.rate, weight_decay=1e-4)

    def epoch(self, optimiser: torch.optim.Optimizer) -> float:
        """Sample, reward, train; the mean reward."""
        samples = [self.sample() for _ in range(self.batches)]
        rewards = torch.cat([each["reward"] for each in samples])
        advantage = (rewards - rewards.mean()) / (rewards.std() + 1e-8)
        for sample, gain in zip(samples, advantage.split(self.rows), strict=True):
            self.accumulate(sample, gain)
        torch.nn.utils.clip_grad_norm_(self.pipeline.unet.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        return float(rewards.mean())

    def accumulate(self, sample: dict[str, Any], gain: Tensor) -> None:
        """Add the gradient of one batch, timestep by timestep."""
        trained = [t for t, noisy in enumerate(sample["noisy"]) if noisy]
        for t in trained:
            chosen = self.log_prob(sample, t)
            ratio = torch.exp(chosen - sample["log_prob"][:, t])
            bounded = torch.clamp(ratio, 1 - self.clip, 1 + self.clip)
            loss = torch.maximum(-gain * ratio, -gain * bounded).mean()
            (loss / len(trained) / self.batches).backward()

    @torch.no_grad()
    def sample(self) -> dict[str, Any]:
        """One batch of pictures and what training on them needs."""
        pipe, scheduler = self.pipeline, self.pipeline.scheduler
        picks = torch.randint(len(self.prompts), (self.rows,)).tolist()
        texts = [self.prompts[k] for k in picks]
        ids = pipe.tokenizer(
            texts, padding="max_length", max_length=pipe.tokenizer.model_max_length,
            truncation=True, return_tensors="pt",
        ).input_ids  # fmt: skip
        condition = pipe.text_encoder(ids)[0]
        size = pipe.unet.config.sample_size
        x = torch.randn(self.rows, pipe.unet.config.in_channels, size, size)
        scheduler.set_timesteps(self.steps)
        latents, found, noisy = [x], [], []
        for time in scheduler.timesteps:
            output = pipe.unet(x, time, encoder_hidden_states=condition).sample
            mean, std = self.step(output, time, x)
            x = mean + std * torch.randn_like(mean)
            latents.append(x)
            found.append(_log_prob(x, mean, std))
            noisy.append(bool(std > NOISE))
        images = pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample
        shown = ((images / 2 + 0.5).clamp(0, 1) * 255).round().byte()
        return {
            "condition": condition,
            "latents": torch.stack(latents, 1),
            "log_prob": torch.stack(found, 1),
            "noisy": noisy,
            "times": scheduler.timesteps.clone(),
            "reward": self.reward(shown, texts),
        }

    def log_prob(self, sample: dict[str, Any], t: int) -> Tensor:
        """Of the step that was taken, under the U-Net of now."""
        x, x_next, time = sample["latents"][:, t], sample["latents"][:, t + 1], sample["times"][t]
        output = self.pipeline.unet(x, time, encoder_hidden_states=sample["condition"]).sample
        mean, std = self.step(output, time, x)
        return _log_prob(x_next, mean, std)

    def step(self, output: Tensor, time: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """DDIM with eta 1, by the scheduler's tables."""
        scheduler = self.pipeline.scheduler
        earlier = time - scheduler.config.num_train_timesteps // self.steps
        here = scheduler.alphas_cumprod[time]
        there = scheduler.alphas_cumprod[earlier] if earlier >= 0 else scheduler.final_alpha_cumprod
        if scheduler.config.prediction_type == "v_prediction":
            clean = here.sqrt() * x - (1 - here).sqrt() * output
            noise = here.sqrt() * output + (1 - here).sqrt() * x
        else:
            clean, noise = (x - (1 - here).sqrt() * output) / here.sqrt(), output
        variance = (1 - there) / (1 - here) * (1 - here / there)
        mean = there.sqrt() * clean + (1 - there - variance).clamp(min=0).sqrt() * noise
        return mean, variance.sqrt()


def _log_prob(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    std = std.clamp(min=1e-6)  # the published floor; a step below `NOISE` is not trained on
    value = -((x.detach() - mean) ** 2) / (2 * std**2) - std.log() - 0.9189385332046727
    return value.mean(dim=(1, 2, 3))
