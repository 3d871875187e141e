"""Stable-Baselines3's PPO on the native batch, as the demo and the claim train it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from genenvs.core.evaluate import Policy
from genenvs.core.loading import load_task
from genenvs.core.registry import declaration
from genenvs.core.rewards import merge_weights
from genenvs.interop.sb3 import make_sb3

NUM_ENVS = 128
# Returns of some 0.1 give gradients near Adam's epsilon in the value network: all weights are
# multiplied by this, which moves no optimum. Reported returns are divided by it.
REWARD_SCALE = 20.0
LEARNING_RATE = 1.5e-3  # falls linearly to zero
# A hundred pixels drown the few numbers that say where on the schedule a sample is: at full scale
# the policy fits their noise and spreads its evaluations at random.
IMAGE_SCALE = 0.1
SETTINGS: dict[str, Any] = {
    "n_steps": 32,
    "batch_size": 512,
    "n_epochs": 10,
    "gamma": 1.0,  # episodes are short and pay at their end
    "gae_lambda": 0.98,
    "ent_coef": 1e-3,
    "policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [64, 64]}},
}


def describe() -> dict[str, Any]:
    """Every setting of a run, for the record."""
    own = {
        "num_envs": NUM_ENVS,
        "reward_scale": REWARD_SCALE,
        "image_scale": IMAGE_SCALE,
        "learning_rate": LEARNING_RATE,
    }
    return own | {name: str(value) for name, value in SETTINGS.items()}


def train(
    env_id: str,
    *,
    steps: int,
    seed: int,
    reward_weights: dict[str, float] | None = None,
    tensorboard: Path | None = None,
    name: str = "ppo",
    progress: bool = False,
    on_rollout: Callable[[int, float], None] | None = None,
    **settings: Any,
) -> Any:
    """Train PPO and return the model.

    Args:
        env_id: a genenvs id.
        steps: environment steps over all rows.
        seed: of the run; environment seeds are derived from it and shared by no other run.
        reward_weights: overrides, such as the price of an evaluation.
        tensorboard: folder of the curve, or None.
        name: of the curve.
        progress: show a progress bar with the return.
        on_rollout: called after each rollout with the steps so far and the mean return.
        **settings: overrides of `SETTINGS`.
    """
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.utils import safe_mean
    from tqdm import tqdm

    class Report(BaseCallback):
        """Progress bar and curve; SB3's own bar has no return."""

        def __init__(self) -> None:
            super().__init__()
            self.bar = tqdm(total=steps, disable=not progress, unit="step", desc=name)

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            mean = safe_mean([each["r"] for each in self.model.ep_info_buffer]) / REWARD_SCALE
            self.bar.n = min(self.num_timesteps, steps)
            self.bar.set_postfix(mean_return=f"{mean:.4f}")
            if on_rollout is not None:
                on_rollout(self.num_timesteps, float(mean))

        def _on_training_end(self) -> None:
            self.bar.close()

    # A run seed is never an environment seed: neighbouring runs would share episodes.
    env_seed = int(np.random.SeedSequence(seed).spawn(1)[0].generate_state(1, np.uint64)[0] >> 2)
    terms = load_task(declaration(env_id).task).terms
    weights = {k: REWARD_SCALE * w for k, w in merge_weights(terms, reward_weights).items()}
    envs = make_sb3(env_id, num_envs=NUM_ENVS, split="train", reward_weights=weights)
    several = isinstance(envs.observation_space, spaces.Dict)
    chosen = SETTINGS | settings
    if several:
        chosen["policy_kwargs"] = {"features_extractor_class": _faint_images()} | chosen[
            "policy_kwargs"
        ]
    model = PPO(
        "MultiInputPolicy" if several else "MlpPolicy",
        envs,
        device="cpu",
        learning_rate=lambda remaining: LEARNING_RATE * remaining,
        tensorboard_log=None if tensorboard is None else str(tensorboard),
        **chosen,
    )
    model.set_random_seed(seed)
    envs.seed(env_seed)
    report = Report()
    try:
        model.learn(steps, callback=report, tb_log_name=name)
    finally:
        report.bar.close()
    return model


def _faint_images() -> type:
    """SB3's extractor for `Dict` observations, with float images scaled by `IMAGE_SCALE`."""
    from stable_baselines3.common.torch_layers import CombinedExtractor

    class FaintImages(CombinedExtractor):
        def forward(self, observations: dict[str, Any]) -> Any:
            return super().forward(
                {k: IMAGE_SCALE * v if v.ndim == 4 else v for k, v in observations.items()}
            )

    return FaintImages


def greedy(model: Any) -> Policy:
    """The model's most probable actions, as `genenvs.evaluate` calls a policy."""
    return lambda observation, info: model.predict(observation, deterministic=True)[0]
