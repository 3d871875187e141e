"""Policies without an eye for style; printed beside the scores."""

from typing import Any

import torch
from torch import Tensor

from genenvs.editing.styles import JOINS, LENGTHS, NONE, OPENING, SHOTS
from genenvs.tasks.clip_edit.actions import ACTIONS, CHOOSE_CLIP, FINISH, JOIN, RANGE
from genenvs.video.attributes import COUNT, LOCATION
from genenvs.video.film import CUT


def finish_at_once(envs: Any) -> Any:
    """An empty film."""
    return lambda observation, info: torch.full((envs.num_envs,), FINISH)


def stall(envs: Any) -> Any:
    """Ask for the same clip over and over: illegal whenever one is chosen already."""
    return lambda observation, info: torch.zeros(envs.num_envs, dtype=torch.int64)


def shortest_cuts(envs: Any) -> Any:
    """All cuts at minimum length, through the pool from its first clip."""
    return _in_order(envs, 1)


def longest_cuts(envs: Any) -> Any:
    """As long as can be of one clip, then of the next one."""
    return _in_order(envs, LENGTHS)


def never_cut(envs: Any) -> Any:
    """As long as can be of one clip, and that is the film."""
    play = _in_order(envs, LENGTHS)

    def policy(observation: Any, info: Any) -> Tensor:
        return torch.where(envs.state.count > 0, FINISH, play(observation, info))

    return policy


def greedy(envs: Any) -> Any:
    """Attribute match: the clip whose attributes are the most frequent in the example strip.

    It takes what is marked, as long as the brief says, and cuts.
    """
    return _alike(envs, None)


def long_takes(envs: Any) -> Any:
    """Attribute match, each clip as long as can be: fewer shots, so better ones, and no pace."""
    return _alike(envs, LENGTHS)


def stretched(envs: Any) -> Any:
    """The editor's clips in the editor's order, the time spent on the likeliest of them.

    It knows the style. Joins are the likeliest too.
    """

    def policy(observation: Any, info: Any) -> Tensor:
        state, task = envs.state, envs.task
        rows = torch.arange(len(state.step), device=state.step.device)
        likely, joins = _likely(state, task.styles)
        clips = state.plan[..., 0]
        exists = torch.arange(SHOTS, device=rows.device) < state.shots[:, None]
        most = state.lengths.gather(1, clips).clamp(max=LENGTHS)
        best = likely.masked_fill(~exists, -torch.inf).argsort(dim=1, descending=True)
        more = ((most - 1) * exists).gather(1, best)  # a shot lasts a unit at least
        left = (state.target - state.shots)[:, None] - (more.cumsum(1) - more)
        lengths = 1 + torch.minimum(left.clamp(min=0), more).gather(1, best.argsort(1))
        place = state.count.clamp(max=SHOTS - 1)
        clip, length, join = (x[rows, place] for x in (clips, lengths, joins))
        clip = torch.where(state.count < state.shots, clip, FINISH)
        wish = torch.stack([clip, RANGE + length - 1, JOIN + join], 1)
        return wish.gather(1, state.phase[:, None])[:, 0]

    return policy


def _likely(state: Any, styles: Any) -> tuple[Tensor, Tensor]:
    """How likely the editor's shots are, nats, and the likeliest joins: [B, 10] twice."""
    shots = state.attributes.gather(1, state.plan[..., :1].expand(-1, -1, COUNT))
    before = last = torch.full_like(shots[:, 0], NONE)
    likely, joins = [], []
    for shot in shots.unbind(1):
        case = (shot[:, LOCATION] != last[:, LOCATION]).long()
        case = torch.where(last[:, LOCATION] == NONE, OPENING, case)
        likely.append(styles.of(state.style, before, last, shot))
        joins.append(styles.joins[state.style, case].argmax(1))
        before, last = last, shot
    return torch.stack(likely, 1), torch.stack(joins, 1)


def _alike(envs: Any, length: int | None) -> Any:
    def policy(observation: Any, info: Any) -> Tensor:
        state, task = envs.state, envs.task
        strip = state.strip[:, :, None] == state.attributes[:, None]  # [B, 8, 16, 8]
        likeness = strip.double().mean((1, 3))  # [B, 16]
        wish = task.styles.pace[state.style].round().long().clamp(1, LENGTHS)
        if length is not None:
            wish = torch.full_like(wish, length)
        return _chosen(envs, likeness, wish, state.marked[..., 0])

    return policy


def _in_order(envs: Any, length: int) -> Any:
    def policy(observation: Any, info: Any) -> Tensor:
        state = envs.state
        likeness = torch.arange(FINISH, 0, -1, device=state.used.device).double()
        wish = torch.full_like(state.step, length)
        nowhere = torch.zeros_like(state.lengths)
        return _chosen(envs, likeness.expand(state.used.shape), wish, nowhere)

    return policy


def _chosen(envs: Any, likeness: Tensor, length: Tensor, start: Tensor) -> Tensor:
    """The legal action nearest to a wish.

    Args:
        envs: the environment.
        likeness: float64 [B, 16], of clips: the highest is taken.
        length: int64 [B], wanted.
        start: int64 [B, 16], wanted in-point of each clip.
    """
    state = envs.state
    legal = envs.task.action_mask(state)
    value = torch.zeros(len(legal), ACTIONS, dtype=torch.float64, device=legal.device)
    value[:, :FINISH] = 1.0 + likeness
    value[:, FINISH] = -1e3
    cell = torch.arange(JOIN - RANGE, device=legal.device)
    begins, lasts = cell // LENGTHS, cell % LENGTHS + 1
    want = start.gather(1, state.pending[:, :1])
    value[:, RANGE:JOIN] = -10.0 * (lasts - length[:, None]).abs() - (begins - want).abs()
    value[:, JOIN:] = -torch.arange(len(JOINS), device=legal.device).double()
    return value.masked_fill(~legal, -torch.inf).argmax(1)


assert CUT == 0 and CHOOSE_CLIP == 0
