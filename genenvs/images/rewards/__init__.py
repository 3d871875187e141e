"""Rewards of images, all of one signature: `reward(images, context) -> Tensor[B]`.

`load` finds one by name; `Reward` says what a reward is and what `context` may hold.
"""

from genenvs.images.rewards.registry import NAMES, load
from genenvs.images.rewards.reward import Reward, WeightedSum, checked

__all__ = ["NAMES", "Reward", "WeightedSum", "checked", "load"]
