"""What figures were measured on."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from agents.folder import git_commit
from benchmarks.machine import cores, processor

LIBRARIES = ("torch", "numpy", "gymnasium", "stable_baselines3", "jax", "jumanji", "genenvs")


def describe(device: torch.device) -> dict[str, Any]:
    """Hardware, threads, versions and the commit; what there is none of is left out."""
    cuda = device.type == "cuda"
    found = {
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name(device) if cuda else None,
        "cuda": torch.version.cuda if cuda else None,
        "tf32": torch.backends.cuda.matmul.allow_tf32 if cuda else None,
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
        "commit": git_commit(),
    }
    return {name: value for name, value in found.items() if value is not None}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
