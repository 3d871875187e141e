"""One step as tensors, and how it becomes observations and `info` in Gymnasium's layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genenvs.core.task import Observation, State


@dataclass(frozen=True)
class Final:
    """The last look at the K rows that ended, taken before they were reset."""

    observation: Observation  # [K, ...]
    seed: Tensor  # int64 [B]
    episode: Tensor  # int64 [B]
    action_mask: Tensor | None  # bool [K, n]


@dataclass(frozen=True)
class Step:
    """What one step or reset of a batch of B rows returns; all tensors are the caller's own."""

    observation: Observation
    reward: Tensor  # float32 [B]
    terminated: Tensor  # bool [B]
    truncated: Tensor  # bool [B]
    seed: Tensor  # int64 [B]
    episode: Tensor  # int64 [B]
    live: Tensor  # bool [B], rows that this call stepped or reset
    action_mask: Tensor | None = None  # bool [B, n]
    terms: dict[str, Tensor] | None = None  # float32 [B]; None after a reset
    metrics: dict[str, Tensor] | None = None
    end_metrics: frozenset[str] = frozenset()  # those of `metrics` that only ended rows have
    acted: Tensor | None = None  # bool [B], rows whose action counted
    ended: Tensor | None = None  # bool [B]
    settled: Tensor | None = None  # bool [B], rows that the task ended: these have `end_metrics`
    rows: Tensor | None = None  # int64 [K], the ended rows; None where there are none
    final: Final | None = None  # under SAME_STEP, where rows ended
    final_state: State | None = None  # [K], with keep_final


def convert(value: Tensor, output: str) -> Any:
    """A tensor as the caller asked for it."""
    return value if output == "torch" else value.cpu().numpy()


def observation(step: Step, output: str) -> Any:
    """The observation of every row, array or dict of arrays."""
    return _each(step.observation, lambda value: convert(value, output))


def collect(step: Step, output: str) -> dict[str, Any]:
    """`info` as Gymnasium's `SyncVectorEnv` lays it out: every key `k` with a mask `_k`."""
    info: dict[str, Any] = {}
    if step.terms is not None:
        assert step.metrics is not None and step.acted is not None
        assert step.ended is not None and step.settled is not None
        if step.final is None:
            _tables(info, step, step.acted, step.settled, output)
        else:
            _tables(info, step, step.acted & ~step.ended, None, output)
    _identity(info, step.seed, step.episode, step.action_mask, step.live, output)
    if step.final is not None:
        assert step.ended is not None and step.settled is not None and step.rows is not None
        final: dict[str, Any] = {}
        _tables(final, step, step.ended, step.settled, output)
        mask = step.final.action_mask
        _identity(
            final,
            step.final.seed,
            step.final.episode,
            None if mask is None else _scatter(mask, step.rows, len(step.ended)),
            step.ended,
            output,
        )
        ended = convert(step.ended, output)
        info["final_obs"] = _final_obs(step.final.observation, step.rows, len(ended), output)
        info["final_info"], info["_final_obs"], info["_final_info"] = final, ended, ended
    if step.final_state is not None:
        info["final_state"] = step.final_state
    return info


def single(step: Step) -> dict[str, Any]:
    """`info` of a batch of one as the single environment gives it: Python numbers, no masks."""
    info: dict[str, Any] = {}
    if step.terms is not None and step.metrics is not None and step.settled is not None:
        settled = bool(step.settled)
        info["terms"] = {name: float(value) for name, value in step.terms.items()}
        info["metrics"] = {
            name: float(value)
            for name, value in step.metrics.items()
            if settled or name not in step.end_metrics
        }
    info["seed"], info["episode_index"] = int(step.seed), int(step.episode)
    if step.action_mask is not None:
        info["action_mask"] = step.action_mask[0].cpu().numpy()
    return info


def step_terms(info: Mapping[str, Any]) -> dict[str, Any]:
    """The reward terms of every row of a step, whether it ended or not.

    Under SAME_STEP an ended row's terms stand in `final_info`; this merges both.

    Args:
        info: what `TaskVectorEnv.step` or a `SyncVectorEnv` over the single face returned.

    Returns:
        Each term's values [B].
    """
    merged: dict[str, Any] = {}
    for table in (info.get("terms", {}), info.get("final_info", {}).get("terms", {})):
        for name, value in table.items():
            if not name.startswith("_"):
                merged[name] = merged[name] + value if name in merged else value
    return merged


def _each(value: Observation, function: Any) -> Any:
    if isinstance(value, dict):
        return {name: function(item) for name, item in value.items()}
    return function(value)


def _tables(
    info: dict[str, Any], step: Step, here: Tensor, at_end: Tensor | None, output: str
) -> None:
    """Add `terms` and `metrics`: zeros under a False mask, the same keys at every step.

    Args:
        info: what to add them to.
        step: whose.
        here: bool [B], rows that have terms and metrics of kind `step`.
        at_end: bool [B], rows that have those of kind `end`; None: no row does.
        output: `numpy` or `torch`.
    """
    shown = convert(here, output)
    late = convert(torch.zeros_like(here) if at_end is None else at_end, output)
    for key, table, names in (
        ("terms", step.terms, frozenset()),
        ("metrics", step.metrics, step.end_metrics),
    ):
        rows: dict[str, Any] = {}
        for name, value in (table or {}).items():
            mask = late if name in names else shown
            if output == "torch":
                rows[name] = torch.where(mask, value, 0.0)
            elif at_end is None and name in names:
                rows[name] = np.zeros(len(value), np.float32)
            else:  # numpy's small operations cost a third of torch's
                rows[name] = np.where(mask, value.cpu().numpy(), np.float32(0.0))
            rows[f"_{name}"] = mask
        info[key], info[f"_{key}"] = rows, shown


def _identity(
    info: dict[str, Any],
    seed: Tensor,
    episode: Tensor,
    action_mask: Tensor | None,
    live: Tensor,
    output: str,
) -> None:
    mask = convert(live, output)
    info["seed"], info["_seed"] = convert(seed.clone(), output), mask
    info["episode_index"], info["_episode_index"] = convert(episode.clone(), output), mask
    if action_mask is not None:
        info["action_mask"], info["_action_mask"] = convert(action_mask, output), mask


def _scatter(value: Tensor, rows: Tensor, count: int) -> Tensor:
    whole = value.new_zeros((count, *value.shape[1:]))
    whole[rows] = value
    return whole


def _final_obs(value: Observation, rows: Tensor, count: int, output: str) -> Any:
    """Gymnasium's object array of single observations in numpy, one batch in torch."""
    if output == "torch":
        return _each(value, lambda item: _scatter(item, rows, count))
    arrays = _each(value, lambda item: item.cpu().numpy())
    whole = np.full(count, None, dtype=object)
    for k, row in enumerate(rows.tolist()):
        whole[row] = _each(arrays, lambda item, k=k: item[k])
    return whole
