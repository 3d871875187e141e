"""Samplers: the deterministic formulas, one copy, batched, each row at its own time; rollouts.

Times are int64 indices of a `NoiseSchedule`: 0 is clean data, N the noisiest. All functions are
pure. They are total: a row that is already at time 0 and stays there keeps its value, so finished
rows may ride along in a batch.
"""

from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from genenvs.generators.denoiser import Denoiser, NoiseSchedule
from genenvs.generators.transition import check_rule, gaussian_step

if TYPE_CHECKING:
    from genenvs.generators.text_to_image import Conditions, TextToImage

Sampler = Literal["ddim", "dpmpp_2m"]
SAMPLERS: tuple[str, ...] = get_args(Sampler)


def clean_from_noise(x: Tensor, noise: Tensor, time: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Return the clean image that `noise` implies: (x - sigma noise) / alpha.

    Divides by alpha, so at the noisy end rounding grows (150-fold at N of DDPM's schedule);
    `Denoiser.predict_both` avoids that where the network allows.

    Args:
        x: float32 [B, ...], latents at `time`.
        noise: float32 [B, ...].
        time: int64 [B] in 0..N.
        schedule: the noise schedule.
    """
    return (x - _at(schedule.sigma, time, x) * noise) / _at(schedule.alpha, time, x)


def ddim(
    x: Tensor,
    clean: Tensor,
    noise: Tensor,
    time: Tensor,
    time_next: Tensor,
    schedule: NoiseSchedule,
) -> Tensor:
    """Take the deterministic DDIM step (Song et al., 2021, eq. 12 with eta 0).

    Args:
        x: float32 [B, ...], latents at `time`; not needed by the deterministic rule, since
            x = alpha clean + sigma noise, but part of every sampler's signature.
        clean: float32 [B, ...], predicted clean image at (x, time).
        noise: float32 [B, ...], predicted noise at (x, time).
        time: int64 [B] in 0..N; not needed either.
        time_next: int64 [B], usually below `time`; 0 gives `clean` itself.
        schedule: the noise schedule.

    Returns:
        float32 [B, ...], latents at `time_next`.
    """
    del x, time
    scaled = _at(schedule.alpha, time_next, clean) * clean
    return torch.addcmul(scaled, _at(schedule.sigma, time_next, clean), noise)


def dpmpp_2m(
    x: Tensor,
    clean: Tensor,
    previous_clean: Tensor,
    time: Tensor,
    previous_time: Tensor,
    time_next: Tensor,
    schedule: NoiseSchedule,
    first: Tensor,
) -> Tensor:
    """Take one step of DPM-Solver++(2M), midpoint form (Lu et al., 2022, algorithm 2).

    With lambda = log(alpha / sigma), h the coming step in lambda and h' the previous one, the
    clean image is extrapolated to D = clean + h / (2 h') (clean - previous_clean). First order
    (D = clean, which is DDIM) on the first step and on the step to time 0, where lambda is
    infinite, as diffusers' DPMSolverMultistepScheduler does it with final_sigmas_type "zero".

    Args:
        x: float32 [B, ...], latents at `time`.
        clean: float32 [B, ...], predicted clean image at (x, time).
        previous_clean: float32 [B, ...], the prediction one step earlier; any finite value where
            `first`.
        time: int64 [B] in 0..N.
        previous_time: int64 [B], where `previous_clean` was predicted; any legal time where
            `first`.
        time_next: int64 [B], at most `time`.
        schedule: the noise schedule.
        first: bool [B], rows without a previous prediction.

    Returns:
        float32 [B, ...], latents at `time_next`.
    """
    log_snr = schedule.log_snr  # twice lambda; the factor cancels in the ratio of steps
    here = log_snr[time]
    coming, past = log_snr[time_next] - here, here - log_snr[previous_time]
    single = first | (time_next == 0) | (past == 0)
    slope = torch.where(single, 0.0, 0.5 * coming / torch.where(past == 0, 1.0, past))
    target = torch.addcmul(clean, _column(slope, x), clean - previous_clean)

    sigma = schedule.sigma[time]
    # sigma_next / sigma; a row at time 0 has nothing left to scale.
    keep = schedule.sigma[time_next] / torch.where(sigma == 0, 1.0, sigma)
    pull = schedule.alpha[time_next] - schedule.alpha[time] * keep  # alpha_next (1 - exp(-h))
    return torch.addcmul(_column(keep, x) * x, _column(pull, x), target)


def uniform_times(schedule: NoiseSchedule, steps: int) -> Tensor:
    """Return the grid of `steps` equal strides from N to 0, int64 [steps + 1], on the CPU.

    It is diffusers' "trailing" spacing, shifted by one: the first time is the last timestep.

    Raises:
        ValueError: `steps` is not in 1..N.
    """
    if not 1 <= steps <= schedule.steps:
        raise ValueError(f"steps must be in 1..{schedule.steps}; got {steps}")
    return torch.linspace(schedule.steps, 0, steps + 1, dtype=torch.float64).round().long()


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    noise: Tensor,
    condition: Tensor,
    times: Tensor,
    sampler: str = "ddim",
    progress: bool = False,
) -> Tensor:
    """Sample a batch of images along a fixed grid of times.

    The times are read on the host, where it is planned which rows the network sees at each
    evaluation; from there on nothing waits for the device.

    Args:
        denoiser: the frozen model.
        noise: float32 [B, C, H, W], the latents at the first time; never written to.
        condition: int64 [B].
        times: int64 [K + 1] for all rows or [B, K + 1], not rising, each in 0..N. A row that
            reaches 0 early stays there. On the CPU; from elsewhere they are copied there, which
            waits for the device once.
        sampler: "ddim" or "dpmpp_2m".
        progress: show a progress bar over network evaluations.

    Returns:
        float32 [B, C, H, W], the latents at the last time. Rows are handled in chunks of
        `denoiser.max_batch`.

    Raises:
        ValueError: an unknown sampler, or times of another shape, range or order.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {sampler!r}")
    times = times.cpu()
    grid = times.expand(len(noise), -1)
    _check_grid(grid, times, len(noise), denoiser.schedule.steps)
    noise, condition = noise.to(denoiser.device), condition.to(denoiser.device)
    done = []
    with tqdm(total=int((grid.diff() < 0).sum()), disable=not progress, unit="eval") as bar:
        for start in range(0, len(noise), denoiser.max_batch):
            rows = slice(start, start + denoiser.max_batch)
            chunk = noise[rows], condition[rows], grid[rows]
            done.append(_sample_chunk(denoiser, *chunk, sampler, bar))
    return torch.cat(done) if done else noise.clone()


def _sample_chunk(
    denoiser: Denoiser, x: Tensor, condition: Tensor, grid: Tensor, sampler: str, bar: tqdm
) -> Tensor:
    # Rows that have arrived, or pause, cost no evaluation.
    falls = (grid.diff() < 0).T  # [K, B]
    column, row = falls.nonzero(as_tuple=True)
    moves = _send(torch.stack([row, grid[row, column], grid[row, column + 1]]), x.device)
    counts = [count for count in falls.sum(1).tolist() if count]
    x, previous_clean = x.clone(), x.clone()
    previous_time = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    first = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for rows, here, there in (each.unbind(0) for each in moves.split(counts, 1)):
        clean, noise = denoiser.predict_both(x[rows], here, condition[rows])
        if sampler == "ddim":
            x[rows] = ddim(x[rows], clean, noise, here, there, denoiser.schedule)
        else:
            history = (previous_clean[rows], here, previous_time[rows], there)
            x[rows] = dpmpp_2m(x[rows], clean, *history, denoiser.schedule, first[rows])
            previous_clean[rows], previous_time[rows], first[rows] = clean, here, False
        bar.update(len(rows))
    return x


def _send(values: Tensor, device: torch.device) -> Tensor:
    """Copy from the host without waiting for what the device still has to do."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def _check_grid(grid: Tensor, times: Tensor, rows: int, limit: int) -> None:
    if times.dtype != torch.int64 or times.dim() not in (1, 2) or times.shape[-1] < 1:
        raise ValueError(
            f"times must be int64 [K + 1] or [{rows}, K + 1]; got {times.dtype} {list(times.shape)}"
        )
    rises = bool((grid[:, 1:] > grid[:, :-1]).any())
    if rises or (grid.numel() and not 0 <= int(grid.min()) <= int(grid.max()) <= limit):
        raise ValueError(f"times must not rise and lie in 0..{limit}; got {times.tolist()}"[:300])


def _at(table: Tensor, time: Tensor, like: Tensor) -> Tensor:
    return _column(table[time], like)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))  # [B, 1, ...]


def generate(
    model: "TextToImage",
    latents: Tensor,
    condition: "Conditions",
    times: Tensor,
    guidance: Tensor | float | None = None,
    rule: str | None = None,
    level: Tensor | float = 0.0,
    fresh: Tensor | None = None,
    unconditional: "Conditions | None" = None,
    network: torch.nn.Module | None = None,
) -> Tensor:
    """Sample latents of a text-to-image model; whether gradients are recorded is the caller's.

    With level 0 deterministic DDIM, or Euler's steps of a flow, as the plain pipeline does it.

    Args:
        model: the frozen model.
        latents: float32 [B, C, h, w], noise at the first time; never written to.
        condition: rows [B, ...] of `TextToImage.encode`.
        times: float32 [K + 1], of `TextToImage.times`.
        guidance: scale, a number or [B]; None is 1.
        rule: a key of `transition.RULES` that fits the model; only needed with a level.
        level: eta or noise level of the rule, a number or [B].
        fresh: float32 [K, B, C, h, w], standard normal noise; needed with a level.
        unconditional: see `TextToImage.predict`.
        network: see `TextToImage.predict`.

    Returns:
        float32 [B, C, h, w], latents at the last time, for `TextToImage.decode`.

    Raises:
        ValueError: a rule that does not fit, or a level without noise.
    """
    name = rule or ("ddim_eta" if model.kind == "diffusion" else "flow_grpo")
    check_rule(name, model.kind)
    if fresh is None and (isinstance(level, Tensor) or level != 0):
        raise ValueError(f"level {level} needs fresh noise [K, B, C, h, w]")
    grid = times.to(model.device)[:, None].expand(-1, len(latents))
    for step, (here, there) in enumerate(pairwise(grid)):
        clean, noise = model.predict(latents, here, condition, guidance, unconditional, network)
        latents, std = gaussian_step(
            name, latents, clean, noise, here, there, level, model.schedule
        )
        if fresh is not None:
            latents = torch.addcmul(latents, _column(std, latents), fresh[step])
    return latents
