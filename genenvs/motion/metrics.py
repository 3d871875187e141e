"""How alike sets of motions are, how smooth one is, and whether its feet explain its body."""

import torch
from torch import Tensor

from genenvs.core.frechet import frechet_distance


def feature_distance(generated: Tensor, reference: Tensor) -> float:
    """Return FID_k or FID_g: the Frechet distance of features in the reference's own scale.

    Both sets are shifted and divided by the mean and the population standard deviation of the
    reference, as in AIST++ and Bailando. There few dances are compared in more dimensions, so that
    covariances are singular and numbers depend on how many there are: compare at equal numbers.

    Args:
        generated: float [N, F], of `genenvs.motion.features`, N >= 2.
        reference: float [M, F], M >= 2.

    Raises:
        ValueError: see `genenvs.core.frechet.frechet_distance`.
    """
    return frechet_distance(*in_scale_of(generated, reference))


def in_scale_of(generated: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets, float [N, F] and [M, F], shifted and scaled by the reference's; float64.

    A feature that the reference never varies is only shifted: else it would count without bound.
    """
    reference, generated = reference.double(), generated.double()
    mean, scale = reference.mean(0), reference.std(0, correction=0)
    scale = torch.where(scale > 1e-8, scale, 1.0)
    return (generated - mean) / scale, (reference - mean) / scale


def diversity(features: Tensor) -> float:
    """Return the mean Euclidean distance of all pairs: Div_k or Div_g of Bailando.

    Args:
        features: float [N, F], N >= 2, in the scale of `feature_distance` or any other.

    Raises:
        ValueError: fewer than two rows.
    """
    if features.dim() != 2 or len(features) < 2:
        raise ValueError(f"features must be [N, F], N >= 2; got {list(features.shape)}")
    return float(torch.pdist(features.double()).mean())


def jerk(positions: Tensor, fps: float) -> Tensor:
    """Return the mean size of the third difference of joint positions.

    Args:
        positions: float [B, T, J, 3], metres, T >= 4.
        fps: frames a second.

    Returns:
        [B], m/s^3.

    Raises:
        ValueError: fewer than four frames.
    """
    if positions.shape[1] < 4:
        raise ValueError(f"jerk needs four frames; got {positions.shape[1]}")
    return (positions.diff(n=3, dim=1) * fps**3).norm(dim=-1).mean((1, 2))


def physical_foot_contact(root: Tensor, feet: Tensor, fps: float = 30.0) -> Tensor:
    """Return EDGE's PFC (Tseng et al., CVPR 2023, `eval/eval_pfc.py`), lower is better.

    10,000 times the mean over frames of the slower point's horizontal step of the left foot, times
    that of the right, times the size of the root's acceleration (downwards counts as none) over its
    largest. A step is metres in a thirtieth of a second, not metres a second. A motion whose root
    never accelerates, for which the formula divides by zero, has 0.

    Args:
        root: float [B, T, 3], metres, z up, T >= 3.
        feet: float [B, T, 4, 3]: left ankle and toe, right ankle and toe, or heels for ankles.
        fps: frames a second; there 30.

    Returns:
        [B].

    Raises:
        ValueError: fewer than three frames, or the shapes do not fit.
    """
    if root.shape[1] < 3 or feet.shape[1:] != (root.shape[1], 4, 3):
        raise ValueError(
            f"root must be [B, T, 3], T >= 3, and feet [B, T, 4, 3]; "
            f"got {list(root.shape)} and {list(feet.shape)}"
        )
    acceleration = root.diff(n=2, dim=1) * fps**2  # [B, T - 2, 3]
    acceleration = torch.cat([acceleration[..., :2], acceleration[..., 2:].clamp(min=0)], -1)
    size = acceleration.norm(dim=-1)
    largest = size.amax(1, keepdim=True)
    share = torch.where(largest > 0, size / largest.clamp(min=1e-30), 0.0)
    step = (feet[:, 2:, :, :2] - feet[:, 1:-1, :, :2]).norm(dim=-1) * (fps / 30.0)
    left, right = step[..., :2].amin(-1), step[..., 2:].amin(-1)
    return 1e4 * (left * right * share).mean(1)
