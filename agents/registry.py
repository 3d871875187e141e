"""Agents by name: ours, those of Stable-Baselines3, and anybody's as `module:Class`."""

import difflib
from importlib import import_module
from typing import Any

from .networks import load_class

# name -> module beside this one, class, a line for tables
BUILT_IN = {
    "ppo": ("sb3", "PPO", "proximal policy optimisation (Stable-Baselines3)"),
    "a2c": ("sb3", "A2C", "synchronous advantage actor-critic (Stable-Baselines3)"),
    "dqn": ("sb3", "DQN", "deep Q-learning (Stable-Baselines3)"),
    "ddpg": ("sb3", "DDPG", "deep deterministic policy gradient (Stable-Baselines3)"),
    "td3": ("sb3", "TD3", "twin delayed DDPG (Stable-Baselines3)"),
    "sac": ("sb3", "SAC", "soft actor-critic (Stable-Baselines3)"),
    "maskable_ppo": ("sb3", "MaskablePPO", "PPO over legal actions (sb3-contrib)"),
    "recurrent_ppo": ("sb3", "RecurrentPPO", "PPO with an LSTM (sb3-contrib)"),
    "actor_critic": ("actor_critic", "ActorCriticAgent", "advantage actor-critic with GAE"),
    "a3c": ("a3c", "A3C", "asynchronous advantage actor-critic, in processes"),
    "grpo": ("grpo", "GRPO", "group-relative policy optimisation"),
    "ddpo": ("denoise.ddpo", "DDPO", "denoising diffusion policy optimisation"),
    "denoiser_ppo": ("denoise.ppo", "DenoiserPPO", "PPO with the denoiser as actor (SB3)"),
    "dpok": ("denoise.dpok", "DPOK", "policy gradient of denoisers with a value network and KL"),
    "flow_grpo": ("denoise.grpo", "FlowGRPO", "group-relative optimisation of flows, with KL"),
    "dance_grpo": ("denoise.grpo", "DanceGRPO", "the same with shared noise, a constant level"),
    "reward_gradient": ("denoise.gradient", "RewardGradient", "AlignProp, DRaFT, VADER"),
    "best_of_n": ("denoise.search", "BestOfN", "the best of N samples of a generator"),
    "path_integral": ("denoise.search", "PathIntegral", "choosing among candidates, Free2Guide"),
    "noise_search": ("denoise.search", "NoiseSearch", "optimising the first noise, ReNO"),
    "reinforce": ("reinforce", "Reinforce", "the smallest policy gradient"),
}
# Encoders that are named like anybody's, but need no trust.
NETWORKS = ("agents.carved:Carved", "agents.choices:Choices")
METHODS = ("learn", "act", "state")


def find(name: str) -> Any:
    """The class of an agent.

    Args:
        name: of a built-in one, or `module:Class`.

    Raises:
        ValueError: no such agent (names the nearest), or a class that lacks a method.
    """
    if name in BUILT_IN:
        module, attribute, _ = BUILT_IN[name]
        return getattr(import_module(f".{module}", __package__), attribute)
    if ":" not in name:
        near = difflib.get_close_matches(name, BUILT_IN, n=3, cutoff=0.4)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise ValueError(
            f"no agent {name!r}{hint}; known are {', '.join(BUILT_IN)}, or module:Class of yours"
        )
    found = load_class(name, "agent")
    lacking = [each for each in (*METHODS, "Config") if not hasattr(found, each)]
    if lacking:
        raise ValueError(
            f"agent {name!r} lacks {', '.join(lacking)}; an agent has the methods"
            f" {', '.join(METHODS)} and a dataclass Config (docs/agents.md)"
        )
    return found
