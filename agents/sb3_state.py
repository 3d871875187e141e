"""What a model of Stable-Baselines3 goes on from, as tensors: never its pickled zip."""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import checkpoint

COUNTERS = ("_n_updates", "_episode_num", "_n_calls", "exploration_rate")
BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def tensors_of(model: Any) -> dict[str, Tensor]:
    """Weights, target networks, optimisers, counters, the filled part of a replay buffer.

    Most share the model's storage.
    """
    kept: dict[str, Tensor] = {}
    parts, variables = model._get_torch_save_params()  # the names that its own zip would hold
    for name in parts:
        part = attrgetter(name)(model)
        optimizer = isinstance(part, torch.optim.Optimizer)
        tensors = checkpoint.optimizer_tensors(part) if optimizer else part.state_dict()
        kept |= checkpoint.under(_flat(name), tensors)
    kept |= {f"variable.{name}": attrgetter(name)(model) for name in variables}
    for name in _counters(model):
        kept[f"counter.{name}"] = torch.as_tensor(np.asarray(getattr(model, name)))
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        for name, array in _arrays(buffer):
            kept[f"replay.{name}"] = torch.from_numpy(array[: buffer.size()])
        kept["replay.position"] = torch.tensor(buffer.pos)
    return kept


def load_into(model: Any, kept: Mapping[str, Tensor]) -> None:
    """Take over what `tensors_of` gave.

    Raises:
        KeyError, RuntimeError: it is of a model with other networks.
    """
    parts, variables = model._get_torch_save_params()
    for name in parts:
        part, tensors = attrgetter(name)(model), checkpoint.part(kept, _flat(name))
        if isinstance(part, torch.optim.Optimizer):
            checkpoint.load_optimizer(part, tensors)
        else:
            part.load_state_dict(tensors)
    for name in variables:
        attrgetter(name)(model).data.copy_(kept[f"variable.{name}"])
    for name in _counters(model):
        setattr(model, name, kept[f"counter.{name}"].item())
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        filled = len(kept["replay.rewards"])
        for name, array in _arrays(buffer):
            array[:filled] = kept[f"replay.{name}"].numpy()
        buffer.pos, buffer.full = int(kept["replay.position"]), filled == buffer.buffer_size


def _counters(model: Any) -> list[str]:
    return [name for name in COUNTERS if hasattr(model, name)]


def _arrays(buffer: Any) -> Iterable[tuple[str, np.ndarray]]:
    """Those of a replay buffer, [size, rows, ...]; of a `Dict` one for each entry."""
    for name in BUFFER:
        value = getattr(buffer, name)
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", array) for key, array in value.items())
        else:
            yield name, value


def _flat(name: str) -> str:
    """Of a part, so that no part's name begins another's."""
    return name.replace(".", "_")
