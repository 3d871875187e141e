"""Configurations of the Stable-Baselines3 agents.

Names and defaults are Stable-Baselines3's and sb3-contrib's, so that their documentation holds;
`hidden`, `network`, `image_scale` and `image_side` stand for their `policy_kwargs`. Replay buffers
are smaller than theirs (a million): every checkpoint holds the filled part. gSDE is left out: its
noise matrix is drawn before a rollout begins, where no checkpoint of ours sees it.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from .networks import NetworkConfig

REPLAY = 100_000


@dataclass
class SB3Config(NetworkConfig):
    """What all of them share."""

    num_envs: Annotated[int, Ge(1)] = 1
    """Rows of the batch."""
    learning_rate: Annotated[float, Gt(0)] = 3e-4
    anneal: bool = False
    """Lower the learning rate linearly to zero."""
    gamma: Annotated[float, Ge(0), Le(1)] = 0.99
    """Discount."""
    reward_scale: Annotated[float, Gt(0)] = 1.0
    """Factor on rewards while learning; reported returns are without."""


@dataclass
class OnPolicyConfig(SB3Config):
    """Of those that learn from what they just played."""

    n_steps: Annotated[int, Ge(1)] = 2048
    """Steps that each row plays between two updates."""
    gae_lambda: Annotated[float, Ge(0), Le(1)] = 0.95
    """Of generalised advantages; 1: n-step returns."""
    normalize_advantage: bool = True
    """Give the advantages of a minibatch mean 0 and standard deviation 1."""
    ent_coef: Annotated[float, Ge(0)] = 0.0
    """Weight of the entropy in the loss."""
    vf_coef: Annotated[float, Gt(0)] = 0.5
    """Weight of the value's error in the loss."""
    max_grad_norm: Annotated[float, Gt(0)] = 0.5
    """Longer gradients are scaled down to this norm."""


@dataclass
class A2CConfig(OnPolicyConfig):
    """Of A2C; num_envs as Stable-Baselines3's documentation and zoo have it."""

    num_envs: Annotated[int, Ge(1)] = 8
    """Rows of the batch."""
    learning_rate: Annotated[float, Gt(0)] = 7e-4
    n_steps: Annotated[int, Ge(1)] = 5
    """Steps that each row plays between two updates."""
    gae_lambda: Annotated[float, Ge(0), Le(1)] = 1.0
    """Of generalised advantages; 1: n-step returns."""
    normalize_advantage: bool = False
    """Give the advantages of a rollout mean 0 and standard deviation 1."""
    use_rms_prop: bool = True
    """RMSprop; otherwise Adam."""
    rms_prop_eps: Annotated[float, Gt(0)] = 1e-5


@dataclass
class PPOConfig(OnPolicyConfig):
    """Of PPO, and of MaskablePPO, which has the same."""

    batch_size: Annotated[int, Ge(2)] = 64
    """Steps in a minibatch; a rollout has n_steps x num_envs."""
    n_epochs: Annotated[int, Ge(1)] = 10
    """Passes over a rollout."""
    clip_range: Annotated[float, Gt(0)] = 0.2
    """How far the ratio of new and old probabilities may leave 1."""
    clip_range_vf: Annotated[float, Gt(0)] | None = None
    """The same for values, in units of the scaled reward; None: no clipping."""
    target_kl: Annotated[float, Gt(0)] | None = None
    """Leave the passes once the policy has moved so far (1.5 times this); None: never."""


@dataclass
class RecurrentPPOConfig(PPOConfig):
    """Of RecurrentPPO."""

    n_steps: Annotated[int, Ge(1)] = 128
    """Steps that each row plays between two updates."""
    batch_size: Annotated[int, Ge(2)] = 128
    """Steps in a minibatch; a rollout has n_steps x num_envs."""
    lstm_hidden_size: Annotated[int, Ge(1)] = 256
    n_lstm_layers: Annotated[int, Ge(1)] = 1
    enable_critic_lstm: bool = True
    """An LSTM of its own for the value; otherwise a linear layer."""


@dataclass
class OffPolicyConfig(SB3Config):
    """Of those that learn from a replay buffer."""

    buffer_size: Annotated[int, Ge(1)] = REPLAY
    """Transitions that are kept, over all rows; checkpoints hold them too."""
    learning_starts: Annotated[int, Ge(0)] = 100
    """Steps with random actions before learning starts."""
    batch_size: Annotated[int, Ge(1)] = 256
    tau: Annotated[float, Gt(0), Le(1)] = 0.005
    """How far target networks move at an update; 1: all the way."""
    train_freq: Annotated[int, Ge(1)] = 1
    """Steps that each row plays between two updates."""
    gradient_steps: Annotated[int, Ge(-1)] = 1
    """Gradient steps of an update; -1: as many as environment steps were played."""


@dataclass
class DQNConfig(OffPolicyConfig):
    """Of DQN."""

    learning_rate: Annotated[float, Gt(0)] = 1e-4
    batch_size: Annotated[int, Ge(1)] = 32
    tau: Annotated[float, Gt(0), Le(1)] = 1.0
    """How far target networks move at an update; 1: all the way."""
    train_freq: Annotated[int, Ge(1)] = 4
    """Steps that each row plays between two updates."""
    target_update_interval: Annotated[int, Ge(1)] = 10_000
    """Environment steps between two updates of the target network."""
    exploration_fraction: Annotated[float, Gt(0), Le(1)] = 0.1
    """Share of the budget over which random actions become rarer."""
    exploration_initial_eps: Annotated[float, Ge(0), Le(1)] = 1.0
    exploration_final_eps: Annotated[float, Ge(0), Le(1)] = 0.05
    max_grad_norm: Annotated[float, Gt(0)] = 10.0
    """Longer gradients are scaled down to this norm."""


@dataclass
class DDPGConfig(OffPolicyConfig):
    """Of DDPG."""

    hidden: tuple[int, ...] = (400, 300)
    """Widths of the hidden layers, of actor and critic alike."""
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    action_noise: Annotated[float, Ge(0)] = 0.0
    """Standard deviation of Gaussian noise on actions scaled to [-1, 1]."""


@dataclass
class TD3Config(DDPGConfig):
    """Of TD3."""

    policy_delay: Annotated[int, Ge(1)] = 2
    """Updates of the critics for one of the actor."""
    target_policy_noise: Annotated[float, Gt(0)] = 0.2
    """Standard deviation of the noise that smooths the target policy."""
    target_noise_clip: Annotated[float, Ge(0)] = 0.5


@dataclass
class SACConfig(OffPolicyConfig):
    """Of SAC."""

    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers, of actor and critic alike."""
    ent_coef: Annotated[float, Ge(0)] | Literal["auto"] = "auto"
    """Weight of the entropy; auto: learned."""
    target_entropy: float | Literal["auto"] = "auto"
    """What the learned weight keeps the entropy at; auto: minus the number of action dimensions."""
    target_update_interval: Annotated[int, Ge(1)] = 1
    """Gradient steps between two updates of the target network."""
