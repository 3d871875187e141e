"""What ClipEdit pays and measures; all of a film, as a share of the time that was asked for."""

import math

import torch
from torch import Tensor

from genenvs.core.rewards import Metric, Term
from genenvs.editing.styles import LENGTHS, NONE, UNIT, Styles
from genenvs.video.attributes import ANGLE, LOCATION, SIZE, SIZES, SOUND, SUBJECT

TERMS = {
    "agreement": Term(1.0, "Change of the metric.", change_of="agreement"),
    "order": Term(0.25, "Change of the metric.", change_of="order"),
    "pacing": Term(0.25, "Change of the metric.", change_of="pacing"),
    "continuity": Term(0.1, "Change of the metric.", change_of="continuity"),
    "jump_cuts": Term(-0.5, "Change of the metric: a price.", change_of="jump_cuts"),
    "transition_fit": Term(0.25, "Change of the metric.", change_of="transition_fit"),
    "aesthetics": Term(0.25, "Change of the metric.", change_of="aesthetics"),
    "length": Term(0.25, "Change of `filled`.", change_of="filled"),
    "invalid": Term(-0.1, "1 for an illegal action."),
}

_SHARE = "share of the time asked for"
# Nats between any two shots: of the n values of an attribute each is followed with a probability of
# 0.2 (`styles._OPEN`) * 0.05 / n (`styles._EVEN`) at least. What they are divided by is 1 or more.
_NATS = sum(math.log(100 * n) for n in SIZES)  # 48.8
METRICS = {
    "agreement": Metric(
        "Mean log-probability of the time asked for under the editor's grammar: 0 is random clips,"
        " 1 what the editor's own films have; time that is not filled counts 0.",
        "step",
        better="higher",
        range=(-_NATS, _NATS),
    ),
    "order": Metric(
        "Kendall's tau of shots and story, -1 .. 1, times `filled`.",
        "step",
        better="higher",
        range=(-1.0, 1.0),
    ),
    "pacing": Metric(
        "1 - |log2(mean length of a shot / the brief's)|, at least 0, times `filled`.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "continuity": Metric(
        f"Shots that do not change the sound within a location, {_SHARE}.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "jump_cuts": Metric(
        "Shots whose subject, location, size and angle are those of the shot before, cut to"
        f" directly, {_SHARE}.",
        "step",
        better="lower",
        range=(0.0, 1.0),
    ),
    "transition_fit": Metric(
        "How likely each transition is in the style, over its likeliest one there: mean over the"
        " time asked for.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "aesthetics": Metric(
        f"What a logger marked as good in the clips, {_SHARE}.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "filled": Metric(
        "Length of the film over the one asked for, 0 .. 1.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "shots": Metric("Shots of the film, a count.", range=(0.0, math.inf)),
    "cadence": Metric(
        "Wasserstein distance of the shots' lengths from the style's, seconds; `pacing` sees their"
        " mean alone.",
        gold=True,
        better="lower",
        range=(0.0, UNIT * LENGTHS),  # no shot is longer
    ),
    "habits": Metric(
        "How far the share of attributes that a shot keeps is from the style's, mean over the"
        " eight: 0 .. 1.",
        gold=True,
        better="lower",
        range=(0.0, 1.0),
    ),
    "repetition": Metric(
        "Share of the shots whose size, subject and location one before had.",
        gold=True,
        better="lower",
        range=(0.0, 1.0),
    ),
    "distinct_2": Metric(
        "Different pairs of successive (size, angle) over all such pairs.",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    "smooth": Metric(
        "A critic of pixels: 1 - the mean of how much cuts look like jumps and break the camera's"
        " motion, 0 .. 1; 0 of an empty film.",
        "judge",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    "invalid": Metric("1 where the action was illegal.", "step", better="lower", range=(0.0, 1.0)),
}


def is_jump(same: Tensor, cut: Tensor) -> Tensor:
    """Whether a cut hardly changes the view: bool [B, 8], attributes that stay, bool [B] -> [B]."""
    return cut & same[:, SIZE] & same[:, ANGLE] & same[:, SUBJECT] & same[:, LOCATION]


def continues(same: Tensor) -> Tensor:
    """Whether the sound goes on, or the location changes: bool [B, 8], what stays -> bool [B]."""
    return ~same[:, LOCATION] | same[:, SOUND]


def pacing(mean: Tensor, pace: Tensor) -> Tensor:
    """1 where shots last as the brief says, 0 at half and twice as long: float32 [B] twice."""
    away = (mean.double().clamp(min=1e-3) / pace).log2().abs()
    return (1 - away.clamp(max=1)).float()


def tau(concordant: Tensor, shots: Tensor) -> Tensor:
    """Kendall's tau of n shots: pairs in order less pairs out of it, over all; 0 without pairs."""
    pairs = shots * (shots - 1) / 2
    return concordant / pairs.clamp(min=1)


def cadence(lengths: Tensor, exists: Tensor, style: Tensor, styles: Styles) -> Tensor:
    """Wasserstein-1 distance of lengths from the style's, seconds.

    Args:
        lengths: int64 [B, S], units.
        exists: bool [B, S], which shots there are.
        style: int64 [B].
        styles: where from.

    Returns:
        float32 [B]; the style's mean length without any shot, as if all lasted nothing.
    """
    units = torch.arange(1, LENGTHS + 1, device=lengths.device)
    below = ((lengths[:, :, None] <= units) & exists[:, :, None]).sum(1)  # [B, 8]
    shots = exists.sum(1, keepdim=True)
    found = below / shots.clamp(min=1)
    apart = (found - styles.lengths[style].cumsum(1)).abs().sum(1)
    return UNIT * torch.where(shots[:, 0] > 0, apart, styles.pace[style])


def habits(attributes: Tensor, exists: Tensor, kept: Tensor) -> Tensor:
    """Distance of the shares of kept values from the style's.

    Args:
        attributes: int64 [B, S, 8].
        exists: bool [B, S].
        kept: float32 [B, 8], the style's.

    Returns:
        float32 [B]; 1 of films of less than two shots.
    """
    pairs = exists[:, 1:].sum(1)
    same = (attributes[:, 1:] == attributes[:, :-1]) & exists[:, 1:, None]
    share = same.sum(1) / pairs.clamp(min=1)[:, None]
    return torch.where(pairs > 0, (share - kept).abs().mean(1), 1.0)


def repetition(attributes: Tensor, exists: Tensor) -> Tensor:
    """Share of shots whose size, subject and location came before, 0 of none.

    int64 [B, S, 8], bool [B, S] -> float32 [B].
    """
    view = _word(attributes, SIZE, SUBJECT, LOCATION)
    return _again(view, exists).sum(1) / exists.sum(1).clamp(min=1)


def distinct_2(attributes: Tensor, exists: Tensor) -> Tensor:
    """Different pairs of successive (size, angle) over all: [B, S, 8], [B, S] -> float32 [B].

    0 of films of less than two shots.
    """
    word = _word(attributes, SIZE, ANGLE)
    pairs, there = word[:, :-1] * NONE**2 + word[:, 1:], exists[:, 1:]
    return (there & ~_again(pairs, there)).sum(1) / there.sum(1).clamp(min=1)


def _word(attributes: Tensor, *kinds: int) -> Tensor:
    """Some of the attributes as one number: int64 [B, S, 8] -> int64 [B, S]."""
    word = attributes[..., kinds[0]]
    for kind in kinds[1:]:
        word = word * NONE + attributes[..., kind]
    return word


def _again(words: Tensor, exists: Tensor) -> Tensor:
    """Which words came before: int64 [B, S], bool [B, S] -> bool [B, S]."""
    same = (words[:, :, None] == words[:, None]) & exists[:, None]
    return same.tril(-1).any(2) & exists


assert max(SIZES) == NONE
