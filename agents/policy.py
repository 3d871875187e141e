"""A policy apart from its training: what acts, in one file, and an agent made from it again.

The file is safetensors: the network's tensors, and in its header the named architecture (agent,
configuration, environment). Reading one runs nothing but code of this repository.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from . import checkpoint, configs
from . import folder as folders
from .problem import Problem
from .registry import find
from .training import Trained, check_size

FORMAT = 1
# What only learning needs, value networks above all: half of the file or more.
LEARNING = (
    "v.",  # of our ActorCritic; the others are of Stable-Baselines3's and sb3-contrib's policies
    "value_net.",
    "mlp_extractor.value_net.",
    "vf_features_extractor.",
    "lstm_critic.",
    "critic.",
    "critic_target.",
    "actor_target.",
    "q_net_target.",
)


def save(trained: Trained, path: Path) -> None:
    """Write what acts, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    agent, problem = trained.agent, trained.problem
    facts = {
        "format": FORMAT,
        "agent": trained.name,
        "config": json.loads(json.dumps(dataclasses.asdict(agent.config))),
        **problem.record(),
        "steps": trained.steps,
    }
    checkpoint.save(path, _tensors(agent), facts)


def load(path: Path) -> Trained:
    """The agent that acts as the one that was saved, on the same environment; it is not trained on.

    Raises:
        ValueError: it is no such file, is damaged, or names code, files or downloads.
    """
    if not path.is_file():
        raise ValueError(f"there is no policy {path.name}")
    tensors, record = checkpoint.load(path)
    folders.check_record(record, path)
    if named := folders.foreign_code(record):
        raise ValueError(f"{path.name} names code or files of its own: {', '.join(named)}")
    problem = Problem(record["env"], record["arguments"], record["seed"], "cpu")
    kind = find(record["agent"])
    config = configs.make(kind.Config, record["config"], path.name)
    check_size(config, tensors)
    made = kind(problem, config, None if _apart(tensors) else tensors)
    if _apart(tensors):
        _put(made, checkpoint.part(tensors, "network"), path.name)
    return Trained(made, problem, record["agent"], [], record.get("steps", 0), 0.0, None)


def _network(agent: Any) -> nn.Module | None:
    """What computes an agent's actions: its `model`, or the policy of Stable-Baselines3's."""
    model = getattr(agent, "model", None)
    found = model if isinstance(model, nn.Module) else getattr(model, "policy", None)
    return found if isinstance(found, nn.Module) else None


def _tensors(agent: Any) -> dict[str, Tensor]:
    network = _network(agent)
    if network is None:  # an agent of another make: all that it goes on from
        return agent.state()
    kept = {k: v for k, v in network.state_dict().items() if not k.startswith(LEARNING)}
    return checkpoint.under("network", kept)


def _apart(tensors: dict[str, Tensor]) -> bool:
    return bool(tensors) and all(name.startswith("network.") for name in tensors)


def _put(agent: Any, tensors: dict[str, Tensor], source: str) -> None:
    """Take over the tensors of a network; no other may be missing or left over."""
    network = _network(agent)
    if network is None:
        raise ValueError(f"{source} holds a network, and {type(agent).__name__} has none")
    try:
        missing, more = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ValueError(f"{source} does not fit: {' '.join(str(error).split())}") from error
    missing = [name for name in missing if not name.startswith(LEARNING)]
    if missing or more:
        raise ValueError(f"{source} does not fit: missing {missing[:3]}, unknown {more[:3]}")
