"""Reading what the caller of a reset gave; errors say what was expected and what came."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from genenvs.core.instances import is_whole

OPTIONS = ("reset_mask", "episode", "instances", "repeats", "noise")


def rows_of(mask: Tensor) -> Tensor | None:
    """The indices where a bool [B] is True, or None where it nowhere is."""
    rows = mask.nonzero()[:, 0]
    return rows if len(rows) else None


def read_mask(mask: Any, num_envs: int, device: torch.device) -> Tensor | None:
    """The rows (int64 [K]) that `reset_mask` names; None without one.

    Raises:
        TypeError: it is no bool array or tensor.
        ValueError: its shape is not [num_envs], or it is False everywhere.
    """
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray | Tensor) or mask.dtype not in (np.bool_, torch.bool):
        kind = getattr(mask, "dtype", type(mask).__name__)
        raise TypeError(f"options['reset_mask'] must be a bool array or tensor; got {kind}")
    if tuple(mask.shape) != (num_envs,):
        raise ValueError(f"options['reset_mask'] must be [{num_envs}]; got {list(mask.shape)}")
    rows = rows_of(torch.as_tensor(mask, device=device))
    if rows is None:
        raise ValueError("options['reset_mask'] must be True somewhere; got all False")
    return rows


def read_seeds(seed: Any, num_envs: int) -> list[int | None]:
    """One seed for each row, or None for rows that go on with their own sequence.

    Raises:
        ValueError: a wrong count, or a seed that is no integer in 0 .. 2**63 - 1.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        seeds: list[Any] = [int(seed) + i for i in range(num_envs)]
    else:
        try:
            seeds = list(seed)
        except TypeError:
            raise ValueError(f"seed must be an int, a list or None; got {seed!r}") from None
    if len(seeds) != num_envs:
        raise ValueError(f"seed must be one per row: {num_envs}; got {len(seeds)}")
    for item in seeds:
        whole = isinstance(item, int | np.integer) and not isinstance(item, bool)
        if item is not None and not (whole and 0 <= item < 1 << 63):
            raise ValueError(f"a seed must be an integer in 0 .. 2**63 - 1; got {item!r}")
    return [None if item is None else int(item) for item in seeds]


def read_episode(episode: Any, num_envs: int, device: torch.device) -> Tensor | None:
    """Where in its sequence each row starts, int64 [num_envs]; None without the option.

    Raises:
        ValueError: no integers >= 0, or a wrong count.
    """
    if episode is None:
        return None
    try:
        value = torch.as_tensor(episode, device=device)
        value = value.expand(num_envs)
        good = not value.is_floating_point() and value.dtype != torch.bool and value.min() >= 0
    except (RuntimeError, TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            f"options['episode'] must be an integer >= 0, or {num_envs} of them; got {episode!r}"
        )
    return value.to(torch.int64)


def read_group(
    options: dict[str, Any], num_envs: int, count: int | None, device: torch.device
) -> tuple[Tensor, int, bool] | None:
    """The group that `instances`, `repeats` and `noise` ask for; None without one.

    Args:
        options: of the reset.
        num_envs: rows of the batch.
        count: instances of the split, None where they are endless.
        device: where the ids go.

    Returns:
        Instance id of each row (int64 [num_envs]), repeats, and whether repeats share their noise.

    Raises:
        ValueError: ids, repeats or noise are wrong, or do not make num_envs rows.
    """
    if options.get("instances") is None:
        if "repeats" in options or "noise" in options:
            raise ValueError("options 'repeats' and 'noise' need 'instances'")
        return None
    if options.get("reset_mask") is not None:
        raise ValueError("options 'instances' and 'reset_mask' cannot go together")
    repeats, noise = options.get("repeats", 1), options.get("noise", "fresh")
    check_noise(noise)
    try:
        ids = torch.as_tensor(options["instances"], device=device)
    except (RuntimeError, TypeError, ValueError):
        raise ValueError(
            f"options['instances'] must be integers [N]; got {options['instances']!r}"
        ) from None
    if ids.ndim != 1 or ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(
            f"options['instances'] must be integers [N]; got {ids.dtype} {list(ids.shape)}"
        )
    if not is_whole(repeats):
        raise ValueError(f"options['repeats'] must be an integer >= 1; got {repeats!r}")
    if len(ids) * repeats != num_envs:
        raise ValueError(f"{len(ids)} instances x {repeats} repeats must be num_envs={num_envs}")
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or (count is not None and high >= count):
        raise ValueError(f"instance ids must be in 0 .. {count or 'any'} - 1; got {low} .. {high}")
    return ids.to(torch.int64).repeat_interleave(repeats), repeats, noise == "shared"


def read_options(options: Any) -> dict[str, Any]:
    """A copy of the options of a reset.

    Raises:
        TypeError: they are no mapping.
    """
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"options must be a dict or None; got {options!r}")
    return dict(options or {})


def check_noise(noise: Any) -> None:
    """Refuse what is neither `fresh` nor `shared`.

    Raises:
        ValueError: says so.
    """
    if noise not in ("fresh", "shared"):
        raise ValueError(f'noise must be "fresh" or "shared"; got {noise!r}')


def read_autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    """A Gymnasium `AutoresetMode` from itself, its name or its value.

    Raises:
        ValueError: it is none; lists the names.
    """
    if isinstance(mode, AutoresetMode):
        return mode
    for item in AutoresetMode:
        if str(mode).lower().replace("_", "").replace("-", "") in (
            item.name.lower().replace("_", ""),
            item.value.lower(),
        ):
            return item
    names = ", ".join(f'"{item.name}"' for item in AutoresetMode)
    raise ValueError(f"autoreset_mode must be an AutoresetMode or one of {names}; got {mode!r}")
