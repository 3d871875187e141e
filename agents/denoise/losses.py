"""Every formula that the denoising agents differ by."""

import torch
from torch import Tensor


def clipped(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO's surrogate, per step: -min(r A, clip(r, 1 - e, 1 + e) A).

    With r = exp((log p - log p_old) / D), the field's convention: the mean over dimensions, not the
    sum. It is not an unbiased importance ratio, and `clip` is one per dimension (DDPO's 1e-4
    belongs to D = 16,384; at 256 some 1e-3 allow the same step).
    """
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantage, bounded * advantage)


def dpok(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """DPOK's (Fan et al., 2023): -clip(r, 1 - e, 1 + e) A, without the minimum.

    A clipped step has no gradient in either direction.
    """
    return -ratio.clamp(1 - clip, 1 + clip) * advantage


class PromptStatistics:
    """Rewards of late, prompt by prompt (DDPO's per-prompt normalisation).

    A prompt seen fewer than `least` times is normalised by the whole batch.
    """

    def __init__(self, prompts: int, length: int = 32, least: int = 16) -> None:
        """Room for the last `length` rewards of each prompt."""
        self.kept = torch.zeros(prompts, length)
        self.count = torch.zeros(prompts, dtype=torch.int64)
        self.least = least

    def advantage(self, prompt: Tensor, reward: Tensor) -> Tensor:
        """Take rewards in, then say how they stand among those of their prompts: [N]."""
        length = self.kept.shape[1]
        prompt_, reward_ = prompt.cpu(), reward.cpu().float()
        for where, value in zip(prompt_.tolist(), reward_.tolist(), strict=True):
            self.kept[where, self.count[where] % length] = value
            self.count[where] += 1
        number = self.count.clamp_max(length)
        mask = torch.arange(length) < number[:, None]
        mean = (self.kept * mask).sum(1) / number.clamp_min(1)
        spread = ((self.kept - mean[:, None]).square() * mask).sum(1) / number.clamp_min(1)
        known = number[prompt_] >= self.least
        centre = torch.where(known, mean[prompt_], reward_.mean())
        scale = torch.where(known, spread[prompt_].sqrt(), reward_.std(correction=0))
        return ((reward_ - centre) / (scale + 1e-6)).to(reward.device)
