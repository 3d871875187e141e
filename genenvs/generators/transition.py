"""One denoising step as a Gaussian: mean and standard deviation of x_next given the prediction.

Rollout, log-probability, KL and gradient of a denoising policy all call these functions. They are
pure, batched with each row at its own time, and total: a row that stays where it is keeps its
value with std 0. Everything is float32, whatever the network computed in.

Two kinds of process. *Diffusion* (variance-preserving): x = alpha[k] clean + sigma[k] noise, times
are places 0..N of a `NoiseSchedule`. *Flow* (rectified): x = (1 - s) clean + s noise with s in
[0, 1], times are s itself, and the velocity is v = noise - clean.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from genenvs.generators.schedule import NoiseSchedule

# A step with a smaller standard deviation is deterministic: it has no log-probability, and a loss
# leaves it out. Flooring instead would reward the network for exactness that no sample shows.
DETERMINISTIC_BELOW = 1e-3

Level: TypeAlias = float | Tensor
Step: TypeAlias = tuple[Tensor, Tensor]  # mean [B, ...], std [B]


def ddim_eta(
    clean: Tensor,
    noise: Tensor,
    time: Tensor,
    time_next: Tensor,
    schedule: NoiseSchedule,
    eta: Level = 1.0,
) -> Step:
    """DDIM with eta (Song et al., 2021, eq. 12 and 16).

    std = eta sqrt(sigma'^2 / sigma^2 (1 - alpha^2 / alpha'^2)) and
    mean = alpha' clean + sqrt(sigma'^2 - std^2) noise, where ' is the next time.

    Args:
        clean: float32 [B, ...], predicted clean latents at `time`.
        noise: float32 [B, ...], predicted noise.
        time: [B], whole numbers in 0..N, of integer or floating type.
        time_next: [B], at most `time`.
        schedule: the noise schedule.
        eta: 0 (deterministic) to 1 (DDPM's posterior), a number or float [B].

    Returns:
        Mean float32 [B, ...] and std float32 [B].
    """
    here, there = time.long(), time_next.long()
    alpha, sigma = schedule.alpha[here], schedule.sigma[here]
    alpha_next, sigma_next = schedule.alpha[there], schedule.sigma[there]
    # alpha'^2 - alpha^2 = sigma^2 - sigma'^2, from whichever table is not close to 1, where
    # neighbours of a long schedule differ in the last digits only.
    gained = torch.where(
        alpha < sigma,
        (alpha_next - alpha) * (alpha_next + alpha),
        (sigma - sigma_next) * (sigma + sigma_next),
    ).clamp(min=0)
    share = gained.sqrt() / (torch.where(sigma == 0, 1.0, sigma) * alpha_next)
    std = eta * sigma_next * share
    kept = (sigma_next.square() - std.square()).clamp(min=0).sqrt()
    mean = torch.addcmul(_column(alpha_next, clean) * clean.float(), _column(kept, clean), noise)
    return mean, std


def ddpm(
    clean: Tensor, noise: Tensor, time: Tensor, time_next: Tensor, schedule: NoiseSchedule
) -> Step:
    """DDPM's posterior q(x_next | x, clean) (Ho et al., 2020, eq. 6 and 7): DDIM with eta 1."""
    return ddim_eta(clean, noise, time, time_next, schedule, 1.0)


def flow_grpo(
    x: Tensor,
    clean: Tensor,
    noise: Tensor,
    time: Tensor,
    time_next: Tensor,
    level: Level = 0.7,
) -> Step:
    """Flow-GRPO's SDE (Liu et al., 2025, eq. 9): diffusion g = level sqrt(s / (1 - s)).

    In the denominator s = 1, where it is infinite, is replaced by the next time, as the authors'
    code does. The last step, to s = 0, still injects noise.

    Args:
        x: float32 [B, ...], latents at `time`.
        clean: float32 [B, ...], predicted clean latents.
        noise: float32 [B, ...], predicted noise.
        time: float [B] in [0, 1], s.
        time_next: float [B], at most `time`.
        level: the paper's a, a number or float [B]; 0 is the ODE's Euler step.

    Returns:
        Mean float32 [B, ...] and std float32 [B] of the whole step: g sqrt(s - s').
    """
    time, time_next = time.float(), time_next.float()
    room = 1 - torch.where(time == 1, time_next, time)
    room = torch.where(room == 0, 1.0, room)  # a row that stays at 1
    pull = level * level / (2 * room)  # g^2 / (2 s)
    step = time - time_next
    std = level * (time / room * step).clamp(min=0).sqrt()
    return _flow_mean(x, clean, noise, step, pull), std


def dance(
    x: Tensor,
    clean: Tensor,
    noise: Tensor,
    time: Tensor,
    time_next: Tensor,
    eta: Level = 0.3,
) -> Step:
    """DanceGRPO's SDE (Xue et al., 2025): a constant diffusion g = eta.

    Arguments as of `flow_grpo`; the authors use eta 0.3 for images and 0.25 for video. They drop
    the last transition, which still injects noise.
    """
    time, time_next = time.float(), time_next.float()
    pull = eta * eta / (2 * torch.where(time == 0, 1.0, time))
    step = time - time_next
    std = eta * step.clamp(min=0).sqrt()
    return _flow_mean(x, clean, noise, step, pull), std


def cps(clean: Tensor, noise: Tensor, time: Tensor, time_next: Tensor, level: Level = 0.8) -> Step:
    """Coefficients-Preserving Sampling (Wang and Yu, 2025).

    mean = (1 - s') clean + s' cos(level pi / 2) noise and std = s' sin(level pi / 2): clean image
    and noise keep the shares that the flow gives them, so the last step, to s' = 0, adds nothing.
    It preserves coefficients, not marginals: a fixed level replaces the same share of the noise at
    every step however short, and what the prediction leaves out of the variance adds up.

    Args:
        clean: float32 [B, ...], predicted clean latents.
        noise: float32 [B, ...], predicted noise.
        time: not needed, but part of every rule.
        time_next: float [B] in [0, 1], s'.
        level: 0 (the ODE's Euler step) to 1 (all noise is new), a number or float [B].
    """
    del time
    time_next = time_next.float()
    angle = level * (math.pi / 2)
    sine, cosine = (
        (angle.sin(), angle.cos())
        if isinstance(angle, Tensor)
        else (math.sin(angle), math.cos(angle))
    )
    scaled = _column(1 - time_next, clean) * clean.float()
    return torch.addcmul(scaled, _column(time_next * cosine, clean), noise), time_next * sine


@dataclass(frozen=True)
class Rule:
    """What is known of a rule by its name.

    Attributes:
        kind: the process that it is for: "diffusion" or "flow".
        level: the noise level where none is given (eta of DDIM and DanceGRPO).
        highest: the largest level that makes sense.
        step: (x, clean, noise, time, time_next, level, schedule) -> mean, std.
    """

    kind: Literal["diffusion", "flow"]
    level: float
    highest: float
    step: Callable[..., Step]


RULES: dict[str, Rule] = {
    "ddim_eta": Rule(
        "diffusion", 1.0, 1.0, lambda x, c, n, t, u, a, schedule: ddim_eta(c, n, t, u, schedule, a)
    ),
    # DDPM's posterior is DDIM's step with eta 1; below, it is DDIM by another name.
    "ddpm": Rule(
        "diffusion", 1.0, 1.0, lambda x, c, n, t, u, a, schedule: ddim_eta(c, n, t, u, schedule, a)
    ),
    "flow_grpo": Rule(
        "flow", 0.7, math.inf, lambda x, c, n, t, u, a, schedule: flow_grpo(x, c, n, t, u, a)
    ),
    "dance": Rule(
        "flow", 0.3, math.inf, lambda x, c, n, t, u, a, schedule: dance(x, c, n, t, u, a)
    ),
    "cps": Rule("flow", 0.8, 1.0, lambda x, c, n, t, u, a, schedule: cps(c, n, t, u, a)),
}


def gaussian_step(
    rule: str,
    x: Tensor,
    clean: Tensor,
    noise: Tensor,
    time: Tensor,
    time_next: Tensor,
    level: Level | None = None,
    schedule: NoiseSchedule | None = None,
) -> Step:
    """Return mean and std of x_next under a rule chosen by name.

    Args:
        rule: a key of `RULES`.
        x: float32 [B, ...], latents at `time`.
        clean: float32 [B, ...], predicted clean latents.
        noise: float32 [B, ...], predicted noise.
        time: [B], a place of `schedule` (diffusion) or s in [0, 1] (flow).
        time_next: [B], at most `time`.
        level: eta or noise level, a number or float [B]; None takes the rule's own. At 0 every
            rule is the deterministic sampler of its process.
        schedule: needed by diffusion rules.

    Returns:
        Mean float32 [B, ...] and std float32 [B].

    Raises:
        ValueError: an unknown rule, a missing schedule, a level out of range.
    """
    known = check_rule(rule)
    if known.kind == "diffusion" and schedule is None:
        raise ValueError(f"rule {rule!r} is for diffusion models and needs their schedule")
    if level is None:
        level = known.level
    elif not isinstance(level, Tensor) and not 0 <= level <= known.highest:
        raise ValueError(f"{rule}: level must be in 0..{known.highest:g}; got {level}")
    return known.step(x, clean, noise, time, time_next, level, schedule)


def as_diffusion(x: Tensor, time: Tensor, schedule: NoiseSchedule) -> tuple[Tensor, Tensor]:
    """A flow's latents as a diffusion model over the same ones holds them.

    Both mix clean latents with noise, up to a factor: (1 - s) clean + s noise, made shorter by
    hypot(1 - s, s), lies at the place whose alpha is nearest. What is predicted there, clean
    latents and noise, holds for the flow as it is.

    Args:
        x: float32 [B, ...], at `time`.
        time: float32 [B], sigmas in [0, 1].
        schedule: of the diffusion model.

    Returns:
        Latents float32 [B, ...] and their places on the schedule, float32 [B].
    """
    length = torch.hypot(1 - time, time)
    place = (schedule.alpha - ((1 - time) / length)[:, None]).abs().argmin(1)
    return x / length.view(-1, *[1] * (x.ndim - 1)), place.float()


def check_rule(rule: str, kind: str | None = None) -> Rule:
    """Return what is known of a rule, and that it fits a kind of process.

    Raises:
        ValueError: no such rule, or one for the other kind; the message lists those that fit.
    """
    fitting = [name for name, known in RULES.items() if kind in (None, known.kind)]
    if rule not in fitting:
        what = f"rule of a {kind} model" if kind else "rule"
        raise ValueError(f"{what} must be one of {', '.join(fitting)}; got {rule!r}")
    return RULES[rule]


def implied_noise(
    x: Tensor, clean: Tensor, time: Tensor, schedule: NoiseSchedule | None = None
) -> Tensor:
    """Return the noise that turns clean latents into x: (x - alpha clean) / sigma.

    Args:
        x: float32 [B, ...], latents at `time`.
        clean: float32 [B, ...].
        time: [B], above 0: a place of `schedule`, or s in (0, 1] of a flow.
        schedule: None for a flow, whose alpha and sigma are 1 - s and s.

    Returns:
        float32 [B, ...].
    """
    place = time.long()
    alpha, sigma = (
        (1 - time, time) if schedule is None else (schedule.alpha[place], schedule.sigma[place])
    )
    return (x - _column(alpha, x) * clean) / _column(sigma, x)


def stochastic(std: Tensor) -> Tensor:
    """Return which steps have a log-probability: std at least 1e-3, bool [B]."""
    return std >= DETERMINISTIC_BELOW


def log_prob(x_next: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return log N(x_next; mean, std^2 I), summed over dimensions; 0 for a deterministic step.

    Agents form ratio = exp((new - old) / D) with D dimensions, the field's convention. It is not
    an unbiased importance ratio, and a clip range is one per dimension.

    Args:
        x_next: [B, ...].
        mean: [B, ...].
        std: [B].

    Returns:
        float32 [B].
    """
    moves, std = stochastic(std), std.float()
    scale = torch.where(moves, std, 1.0)
    distance = (x_next.float() - mean.float()).flatten(1) / scale[:, None]
    size = distance.shape[1]
    value = -0.5 * distance.square().sum(1) - size * (scale.log() + 0.5 * math.log(2 * math.pi))
    return torch.where(moves, value, 0.0)


def kl(mean: Tensor, mean_reference: Tensor, std: Tensor) -> Tensor:
    """Return KL(N(mean, std^2 I) | N(mean_reference, std^2 I)), summed; 0 where deterministic.

    The true divergence: `std` is that of the whole step, its length in time included. Flow-GRPO's
    code leaves the length out, so its coefficients are not comparable with ours.

    Args:
        mean: [B, ...].
        mean_reference: [B, ...].
        std: [B].

    Returns:
        float32 [B].
    """
    moves, std = stochastic(std), std.float()
    scale = torch.where(moves, std, 1.0)
    distance = (mean.float() - mean_reference.float()).flatten(1) / scale[:, None]
    return torch.where(moves, 0.5 * distance.square().sum(1), 0.0)


def _flow_mean(x: Tensor, clean: Tensor, noise: Tensor, step: Tensor, pull: Level) -> Tensor:
    # x + (v + g^2 / (2 s) noise) ds with ds = -step: the score is -noise / s.
    noise = noise.float()
    ahead = torch.addcmul(noise - clean.float(), _column(torch.as_tensor(pull), x), noise)
    return torch.addcmul(x.float(), _column(-step, x), ahead)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))  # [B, 1, ...]
