"""Other people's environments with torch output, so that an agent is written once."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from torch import Tensor


class ToTorch(VectorWrapper[Any, Any, Any, Any, Any]):
    """A numpy `VectorEnv` that takes and gives tensors, in the layout of a native batch.

    `info` keeps what agents read: `action_mask`, and `final_obs` as a batch with `_final_obs`.
    """

    output = "torch"

    def __init__(self, env: VectorEnv[Any, Any, Any], device: str | torch.device) -> None:
        super().__init__(env)
        self.device = torch.device(device)

    @property
    def unwrapped(self) -> Any:
        """Itself: wrappers for torch output ask the innermost environment what it returns."""
        return self

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if options and "reset_mask" in options:
            # A copy, for Gymnasium takes the mask out of the caller's dict.
            mask = torch.as_tensor(options["reset_mask"]).cpu().numpy()
            options = {**options, "reset_mask": mask}
        observation, info = self.env.reset(seed=seed, options=options)
        return self._tensors(observation), self._info(info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(self._numpy(actions))
        return (
            self._tensors(observation),
            torch.as_tensor(reward, dtype=torch.float32, device=self.device),
            self._tensors(terminated),
            self._tensors(truncated),
            self._info(info),
        )

    def _numpy(self, actions: Any) -> np.ndarray:
        """Actions as the environment wants them; those of a Box clipped to its bounds."""
        array = actions.cpu().numpy() if isinstance(actions, Tensor) else np.asarray(actions)
        space = self.single_action_space
        if isinstance(space, spaces.Box):
            return np.clip(array, space.low, space.high).astype(space.dtype)
        return array.astype(space.dtype)

    def _tensors(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._tensors(item) for name, item in value.items()}
        # A copy: Gymnasium's batch may be written into by the next step.
        return torch.tensor(value, device=self.device)

    def _info(self, info: Mapping[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        if "action_mask" in info:
            rows = [_flat_mask(row) for row in info["action_mask"]]
            kept["action_mask"] = self._tensors(np.stack(rows))
        if "final_obs" in info:
            kept["final_obs"] = self._tensors(_stacked(info["final_obs"]))
            kept["_final_obs"] = self._tensors(info["_final_obs"])
        return kept


def _flat_mask(mask: Any) -> np.ndarray:
    """One row's mask in sb3-contrib's flat layout; Gymnasium's for MultiDiscrete is a tuple."""
    parts = mask if isinstance(mask, tuple | list) else [mask]
    return np.concatenate([np.asarray(part, dtype=bool).ravel() for part in parts])


def _stacked(rows: np.ndarray) -> Any:
    """An object array of observations, None where an episode goes on, as a batch with zeros."""
    present = [row for row in rows if row is not None]
    if isinstance(present[0], Mapping):
        return {
            name: _stacked(_objects([None if row is None else row[name] for row in rows]))
            for name in present[0]
        }
    whole = np.zeros((len(rows), *np.shape(present[0])), dtype=np.asarray(present[0]).dtype)
    for k, row in enumerate(rows):
        if row is not None:
            whole[k] = row
    return whole


def _objects(rows: list[Any]) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    for k, row in enumerate(rows):
        array[k] = row
    return array
