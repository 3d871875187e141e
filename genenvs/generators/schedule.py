"""Discrete variance-preserving noise schedules as tensors, and how to read one from diffusers."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

# Clean data has infinite signal-to-noise ratio and a zero-terminal-SNR schedule ends at zero. The
# logarithm is held within these bounds (2e-9 to 5e8), beyond any trained timestep in use: DDPM's
# own schedule runs from -10.1 to 9.2.
LOG_SNR_LIMIT = 20.0

# Schedulers of diffusers whose model was trained on x_t = alpha x_0 + sigma noise with
# alpha^2 + sigma^2 = 1 on integer timesteps, given by betas; how they sample is not used.
VARIANCE_PRESERVING = (
    "DDPMScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDIMParallelScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)
PREDICTIONS = ("epsilon", "v_prediction", "sample")
BETA_ARGUMENTS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The latent at time k is x_k = alpha[k] x_0 + sigma[k] noise.

    Attributes:
        alpha: float32 [N + 1], falling from 1. Index 0 is clean data; index k >= 1 is the
            training timestep k - 1 of diffusers.
        sigma: float32 [N + 1], rising from 0; alpha^2 + sigma^2 = 1.
    """

    alpha: Tensor
    sigma: Tensor

    @property
    def steps(self) -> int:
        """N, the number of training timesteps."""
        return len(self.alpha) - 1

    @cached_property
    def log_snr(self) -> Tensor:
        """2 log(alpha / sigma), float32 [N + 1], falling.

        Finite: index 0, whose ratio is infinite, has `LOG_SNR_LIMIT`, and nothing lies beyond
        plus or minus that.
        """
        ratio = 2 * (self.alpha.double().log() - self.sigma.double().log())
        return ratio.clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT).float()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the numbers of the schedule."""
        values = torch.stack([self.alpha, self.sigma]).cpu().numpy()
        return hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()

    def to(self, device: torch.device | str) -> "NoiseSchedule":
        """Return the schedule with its tensors on `device`."""
        return NoiseSchedule(self.alpha.to(device), self.sigma.to(device))


def from_alphas_cumprod(alphas_cumprod: Tensor) -> NoiseSchedule:
    """Return the schedule of float [N] cumulative products, alpha squared per timestep."""
    squared = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod.double().cpu()])
    return NoiseSchedule(squared.sqrt().float(), (1 - squared).clamp(min=0).sqrt().float())


def from_scheduler(config: dict, source: str) -> tuple[NoiseSchedule, str]:
    """Read a diffusers scheduler configuration.

    Args:
        config: the parsed scheduler_config.json.
        source: what to call it in error messages.

    Returns:
        The schedule and the prediction type, one of `PREDICTIONS`.

    Raises:
        ValueError: the scheduler is not a discrete variance-preserving one, or the prediction
            type is unknown.
    """
    from diffusers import DDPMScheduler

    name = config.get("_class_name", "no _class_name")
    flow = config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction"
    if name not in VARIANCE_PRESERVING or flow:
        what = f"{name} with flow matching" if flow else name
        raise ValueError(
            f"{source}: {what} is not a discrete variance-preserving (VP) scheduler; "
            f"supported: {', '.join(VARIANCE_PRESERVING)}"
        )
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise ValueError(
            f"{source}: prediction_type must be one of {', '.join(PREDICTIONS)}; got {prediction!r}"
        )
    arguments = {name: config[name] for name in BETA_ARGUMENTS if config.get(name) is not None}
    try:
        alphas_cumprod = DDPMScheduler(**arguments).alphas_cumprod
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(f"{source}: cannot build the noise schedule: {error}") from error
    schedule = from_alphas_cumprod(alphas_cumprod)
    falling = bool((schedule.alpha[1:] < schedule.alpha[:-1]).all())
    if not (falling and torch.isfinite(schedule.alpha).all() and schedule.alpha[-1] >= 0):
        raise ValueError(f"{source}: the betas do not give a falling alpha; is the file damaged?")
    if prediction == "epsilon" and schedule.alpha[-1] < 1e-5:
        raise ValueError(
            f"{source}: a schedule that ends in pure noise (rescale_betas_zero_snr) leaves the "
            "clean image undefined under epsilon prediction"
        )
    return schedule, prediction


def conversion(schedule: NoiseSchedule, prediction: str) -> Tensor:
    """Return what turns a network's output m at (x, k) into the clean image and the noise.

    With row k = (a, b, c, d): clean = a x + b m and noise = c x + d m. Row 0, where x is already
    clean, gives (x, 0) whatever the network says. From x = alpha clean + sigma noise and
    v = alpha noise - sigma clean (Salimans and Ho, 2022, appendix D); none divides by a small
    number for v.

    Returns:
        float32 [N + 1, 4].
    """
    alpha, sigma = schedule.alpha[1:].double(), schedule.sigma[1:].double()
    zero, one = torch.zeros_like(alpha), torch.ones_like(alpha)
    rows = {
        "epsilon": lambda: (1 / alpha, -sigma / alpha, zero, one),
        "v_prediction": lambda: (alpha, -sigma, sigma, alpha),
        "sample": lambda: (zero, one, 1 / sigma, -alpha / sigma),
    }[prediction]()
    clean = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64, device=alpha.device)
    return torch.cat([clean, torch.stack(rows, 1)]).float()
