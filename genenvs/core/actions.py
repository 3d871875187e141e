"""Checking actions before anything is written, and bringing them to the task's form."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

Supported = spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary | spaces.Box


def action_sizes(space: gym.Space[Any]) -> list[int]:
    """Choices of each dimension of a discrete space: [n], nvec, or a 2 for every bit.

    Raises:
        TypeError: the space is continuous.
    """
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(n) for n in space.nvec.flat]
    if isinstance(space, spaces.MultiBinary):
        return [2] * int(np.prod(space.shape))
    raise TypeError(f"only discrete action spaces have masks; got {space}")


def flat_actions(space: gym.Space[Any]) -> int:
    """Entries of a mask in sb3-contrib's flat layout: the sum of `action_sizes`.

    Raises:
        TypeError: the space is continuous.
    """
    return sum(action_sizes(space))


def sample_mask(space: gym.Space[Any], flat: np.ndarray) -> Any:
    """A flat mask (bool [n]) in the form that `space.sample(mask=...)` takes.

    Raises:
        TypeError: the space is continuous.
        ValueError: the mask has another length.
    """
    if np.shape(flat) != (flat_actions(space),):
        raise ValueError(f"the mask must be [{flat_actions(space)}]; got {list(np.shape(flat))}")
    flat = np.asarray(flat, dtype=np.int8)
    if isinstance(space, spaces.MultiDiscrete):
        return tuple(np.split(flat, np.cumsum(space.nvec)[:-1]))
    if isinstance(space, spaces.MultiBinary):
        # 0: must be 0, 1: must be 1, 2: free
        pairs = flat.reshape(*space.shape, 2)
        return np.where(pairs.all(-1), 2, pairs[..., 1]).astype(np.int8)
    return flat


class ActionReader:
    """Reads a batch of actions: numpy, torch or Python in, tensor on the device out."""

    def __init__(self, space: gym.Space[Any], num_envs: int, device: torch.device) -> None:
        """Prepare for `num_envs` actions of `space`.

        Raises:
            TypeError: the space is none of Discrete, MultiDiscrete, MultiBinary and Box.
        """
        if not isinstance(space, Supported):
            raise TypeError(f"an action space must be one of {Supported}; got {space}")
        self.space = space
        self.shape = (num_envs, *(space.shape or ()))
        self.device = device
        if isinstance(space, spaces.Box):
            self.kind, self.low, self.high = "float", space.low, space.high
        elif isinstance(space, spaces.MultiBinary):
            self.kind, self.low, self.high = "int", np.array(0), np.array(1)
        else:
            start = np.asarray(space.start)
            count = space.n if isinstance(space, spaces.Discrete) else space.nvec
            self.kind, self.low, self.high = "int", start, start + np.asarray(count) - 1
        kept = torch.float32 if self.kind == "float" else torch.int64
        self._low = torch.as_tensor(self.low, dtype=kept, device=device)
        self._high = torch.as_tensor(self.high, dtype=kept, device=device)

    def read(self, action: Any, ignored: Tensor | None, validate: bool) -> Tensor:
        """Check a batch of actions and convert it.

        Args:
            action: array-like of the batch's shape; any integer type for discrete spaces, any real
                type for Box. Finite Box values out of bounds are clipped.
            ignored: bool [B], rows whose action is ignored and therefore not checked.
            validate: whether to look at the values of a tensor, which costs a device
                synchronisation; arrays on the host are always checked. What is not looked at is
                brought into the bounds, NaN to 0 or the bound nearest to it.

        Returns:
            int64 or float32 tensor on the device.

        Raises:
            ValueError: what was expected and what came.
        """
        tensor = isinstance(action, Tensor)
        if not tensor:
            try:
                action = np.asarray(action)
            except ValueError as error:
                raise ValueError(f"{self._expected()}; got ragged {type(action)}") from error
            if action.dtype.kind not in "iufb" or (action.dtype.kind == "b" and not self._binary):
                raise ValueError(self._message(action))
            # Torch knows neither wide floats nor the other byte order.
            wide = action.dtype.kind == "f" and action.dtype.itemsize > 8
            native = np.float64 if wide else action.dtype.newbyteorder("=")
            action, validate = torch.from_numpy(np.array(action, native, order="C")), True
        real = action.is_floating_point()
        if (
            tuple(action.shape) != self.shape
            or action.is_complex()
            or (real and self.kind == "int")
            or (action.dtype == torch.bool and not self._binary)
        ):
            raise ValueError(self._message(action))
        if self.kind == "int":
            # 64 bits first, for torch compares no wide unsigned integers; and a copy, for the task
            # may keep it.
            action = action.to(torch.int64, copy=tensor)
        if validate:
            self._check_values(action, ignored)
        action = action.to(self.device, torch.float32 if self.kind == "float" else torch.int64)
        if self.kind == "float":
            return torch.clamp(torch.nan_to_num(action), self._low, self._high)
        if not validate:
            action = torch.clamp(action, self._low, self._high)
        if ignored is not None:
            action = torch.where(_wide(ignored, action), self._low, action)
        return action

    @property
    def _binary(self) -> bool:
        return isinstance(self.space, spaces.MultiBinary)

    def _check_values(self, action: Tensor, ignored: Tensor | None) -> None:
        if self.kind == "float":
            bad = ~torch.isfinite(action)
        else:
            low, high = self._low.to(action.device), self._high.to(action.device)
            bad = (action < low) | (action > high)
        if ignored is not None:
            bad = bad & ~_wide(ignored.to(bad.device), bad)
        if bool(bad.any()):
            where = tuple(bad.nonzero()[0].tolist())
            raise ValueError(
                f"{self._message(action)} with {action[where].item()} at {list(where)}"
            )

    def _expected(self) -> str:
        shape = list(self.shape)
        if self.kind == "float":
            return f"action must be real and finite {shape} in {self.space}"
        if self.low.ndim == 0:
            return f"action must be int64 {shape} in {self.low}..{self.high}"
        return f"action must be int64 {shape} between {self.low.tolist()} and {self.high.tolist()}"

    def _message(self, action: Any) -> str:
        dtype = str(action.dtype).removeprefix("torch.")
        return f"{self._expected()}; got {dtype} {list(action.shape)}"


def _wide(rows: Tensor, like: Tensor) -> Tensor:
    return rows.reshape(-1, *(1,) * (like.ndim - 1))
