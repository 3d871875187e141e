"""Motions for tests: smooth ones of the humanoid, drawn from a seed."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from genenvs.motion import quaternions
from genenvs.motion.humanoid import JOINTS, humanoid
from genenvs.motion.skeleton import forward

seeds = st.integers(0, 2**31 - 1)


def rotations(seed: int, *shape: int) -> Tensor:
    """Uniform unit quaternions, float64 [*shape, 4]."""
    q = np.random.default_rng(seed).normal(size=(*shape, 4))
    return torch.from_numpy(q / np.linalg.norm(q, axis=-1, keepdims=True))


def motion(seed: int, batch: int = 2, frames: int = 24, size: float = 0.6) -> tuple[Tensor, Tensor]:
    """Waves in all joints but wrists: root float32 [B, T, 3] and rotations [B, T, 15, 4]."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, frames)[None, :, None, None]
    wave = np.zeros((batch, frames, len(JOINTS), 3))
    for k in range(1, 4):
        amplitude = rng.normal(size=(batch, 1, len(JOINTS), 3)) * size / k
        wave += amplitude * np.sin(2 * np.pi * k * t + rng.uniform(0, 6, (batch, 1, 1, 3)))
    axes = humanoid().axes.numpy()
    for joint, name in enumerate(JOINTS):
        if name.endswith("wrist"):
            wave[:, :, joint] = 0
        elif name.endswith(("knee", "elbow")):
            bend = 0.8 + 0.5 * wave[:, :, joint, :1]
            wave[:, :, joint] = bend * axes[joint] * (-1 if "knee" in name else 1)
    root = np.cumsum(rng.normal(size=(batch, frames, 3)) * 0.01, 1) + np.array([0, 0, 0.9])
    turned = quaternions.exponential(torch.from_numpy(wave))
    return torch.from_numpy(root).float(), turned.float()


def positions(seed: int, batch: int = 2, frames: int = 24) -> tuple[Tensor, Tensor]:
    """Joints and their orientations."""
    return forward(humanoid().skeleton, *motion(seed, batch, frames))
