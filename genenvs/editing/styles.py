"""Styles of hidden editors: a grammar over the attributes of shots, joins and lengths.

A style says of each of a shot's eight attributes where its next value comes from: with some
probability from the style's *taste* (a Dirichlet draw over the values), or by a habit from the
shots before: the last value *kept*, the one before it taken up *again* (shot, reverse shot), or the
scale walked one value *on* from the last. So the next value is a second-order Markov chain whose
probabilities are sums of four numbers, and whatever should be known of it is computed exactly.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from genenvs.core import random
from genenvs.video.attributes import COUNT, LOCATION, SIZES
from genenvs.video.film import CUT, DISSOLVE, TRANSITIONS, WIPE

STYLES = {"train": 1_024, "validation": 128, "test": 256}
VALUES = max(SIZES)  # of an attribute, at most
NONE = VALUES  # the value of a shot that does not exist, before the first
JOINS = TRANSITIONS
WITHIN, ACROSS, OPENING = range(3)  # joins: in one location, into another one, into the first shot
LENGTHS = 8  # a shot lasts 1 .. 8 units
UNIT = 0.5  # seconds
SHOTS = 10  # of an editor's film, at most
TASTE, KEEP, AGAIN, ON = range(4)  # what a value comes from

_EVEN = 0.05  # share of a taste that is uniform: nothing is impossible
_OPEN = 0.2  # probability of following the taste, at least
_NOTHING = 1e-30  # in place of the probability of values that an attribute does not have
_TASTES, _HABITS, _JOINS, _PACE = range(4)  # what a draw is for


@dataclass(frozen=True)
class Styles:
    """S styles; K is `VALUES`, and where a value of a shot before is asked for, K stands for none.

    Attributes:
        taste: float32 [S, 8, K], zero beyond an attribute's values.
        habits: float32 [S, 8, 4], probabilities of taste, keep, again, on.
        tasted: float32 [S, 8, K], probability of each value by taste: habit times taste.
        cumulative: float32 [S * 8 * (K+1) * (K+1), K-1], of the next value, given the one before
            the last and the last; 1 from an attribute's last value on.
        log_probability: float32, of that shape.
        joins: float32 [S, 3, 4], of `JOINS`: within a location, across, into the first shot.
        lengths: float32 [S, 8], of a shot's length in units, 1 .. 8.
        fit: float32 [S, 3, 4], of `JOINS` over the likeliest one in that place.
        pace: float32 [S], mean length of a shot in units.
        joined, lasting: float64 [S, 3, 3] and [S, 7], cumulative of these two, less the last.
        expected: float32 [S, SHOTS + 1], mean log-probability of a shot (its eight attributes,
            nats) in the editor's own film of so many shots; 0 of none.
        kept: float32 [S, 8], share of the second to tenth shots that keep the last value.
    """

    taste: Tensor
    habits: Tensor
    tasted: Tensor
    cumulative: Tensor
    log_probability: Tensor
    joins: Tensor
    lengths: Tensor
    fit: Tensor
    pace: Tensor
    joined: Tensor
    lasting: Tensor
    expected: Tensor
    kept: Tensor

    def __len__(self) -> int:
        return len(self.taste)

    def row(self, style: Tensor, before: Tensor, last: Tensor) -> Tensor:
        """Where in the tables the next values stand: int64 [B], [B, 8] twice -> int64 [B, 8]."""
        attribute = torch.arange(COUNT, device=style.device)
        place = (style[:, None] * COUNT + attribute) * (VALUES + 1) + before
        return place * (VALUES + 1) + last

    def of(self, style: Tensor, before: Tensor, last: Tensor, shot: Tensor) -> Tensor:
        """Log-probability of a shot's attributes, nats: float32 [B].

        Args:
            style: int64 [B].
            before: int64 [B, 8], attributes of the shot before the last; `NONE` without one.
            last: int64 [B, 8], of the last.
            shot: int64 [B, 8].
        """
        entry = self.row(style, before, last) * VALUES + shot
        return self.log_probability.view(-1)[entry].double().sum(1).float()

    def by_chance(self, style: Tensor, pool: Tensor, shots: Tensor) -> Tensor:
        """Mean log-probability of a shot where clips of a pool follow each other at random.

        Args:
            style: int64 [B].
            pool: int64 [B, N, 8], attributes of the clips, at least three.
            shots: int64 [B], of the film, at least 2.

        Returns:
            float32 [B], nats: exact for uniform draws of clips that are all different.
        """
        clips, values = pool.shape[1], torch.arange(VALUES, device=pool.device)
        count = (pool[..., None] == values).double().sum(1)  # [B, 8, K], clips that have it
        same = torch.eye(VALUES, dtype=torch.float64, device=pool.device)
        # Clips of a value are one fewer for each that the shots before have taken.
        pairs = count[..., None] * (count[:, :, None] - same)
        triples = pairs[..., None] * (count[:, :, None, None] - same[:, None] - same)
        tables = self.log_probability.view(len(self), COUNT, VALUES + 1, VALUES + 1, VALUES)
        given = tables[style]  # [B, 8, K+1, K+1, K]
        first = (given[:, :, NONE, NONE] * count).sum((1, 2)) / clips
        second = (given[:, :, NONE, :VALUES] * pairs).sum((1, 2, 3)) / (clips * (clips - 1))
        later = (given[:, :, :VALUES, :VALUES] * triples).sum((1, 2, 3, 4))
        later = later / (clips * (clips - 1) * (clips - 2))
        return ((first + second + (shots - 2) * later) / shots).float()

    def next(self, style: Tensor, before: Tensor, last: Tensor) -> Tensor:
        """How likely each value comes next, where those before are only likely themselves.

        The grammar adds up, so marginals suffice: exact for any joint distribution.

        Args:
            style: int64 [B].
            before: float32 [B, 8, K], marginals of the shot before the last.
            last: float32 [B, 8, K], of the last.

        Returns:
            float32 [B, 8, K].
        """
        _, keep, again, on = self.habits[style].unsqueeze(-2).unbind(-1)  # [B, 8, 1] each
        came, walks = _walks(style.device)
        walked = last.gather(2, came.expand_as(last)) * walks
        return self.tasted[style] + keep * last + again * before + on * walked


@cache
def _walks(device: torch.device) -> tuple[Tensor, Tensor]:
    """From which value each is the next, and whether it exists: int64 and float32 [8, K]."""
    sizes, value = torch.tensor(SIZES)[:, None], torch.arange(VALUES)
    return ((value - 1) % sizes).to(device), (value < sizes).float().to(device)


@dataclass(frozen=True)
class Films:
    """Films of M shots.

    Attributes:
        attributes: int64 [B, M, 8].
        lengths: int64 [B, M], units, 1 .. 8.
        joins: int64 [B, M], of `JOINS`, into each shot.
    """

    attributes: Tensor
    lengths: Tensor
    joins: Tensor


def films(styles: Styles, style: Tensor, key: Tensor, shots: int) -> Films:
    """Draw a film of each style; a longer one begins with the shorter.

    Args:
        styles: where from.
        style: int64 [B].
        key: int64 [B], the whole film is a function of it.
        shots: M.
    """
    draws = random.uniform(key, 0, shots * (COUNT + 2)).view(len(key), shots, COUNT + 2)
    none = torch.full((len(key), COUNT), NONE, device=key.device)
    start = styles.row(style, none, none) - NONE * (VALUES + 2)
    walk = _walked_on_host if key.device.type == "cpu" else _walked
    attributes = walk(styles.cumulative, start, draws[:, :, :COUNT])
    join = draw_joins(styles, style, attributes, draws[:, :, COUNT])
    dice = draws[:, :, COUNT + 1].double()
    length = torch.searchsorted(styles.lasting[style], dice, right=True) + 1
    return Films(attributes, length, join)


def _walked(cumulative: Tensor, start: Tensor, dice: Tensor) -> Tensor:
    """Attributes, one shot after the other.

    Args:
        cumulative: of `Styles`.
        start: int64 [B, 8], where in it the rows of each attribute begin.
        dice: float32 [B, M, 8] in [0, 1).

    Returns:
        int64 [B, M, 8].
    """
    before = last = torch.full_like(start, NONE)
    made = []
    for shot in dice.unbind(1):
        row = cumulative[start + before * (VALUES + 1) + last]  # [B, 8, K-1]
        before, last = last, (shot[..., None] >= row).sum(2)
        made.append(last)
    return torch.stack(made, 1)


def _walked_on_host(cumulative: Tensor, start: Tensor, dice: Tensor) -> Tensor:
    """The same in a tenth of the time: a table's row is one number of 16 bytes to numpy.

    What is true of its four thresholds is four bytes, whose sum is the upper byte of a product.
    """
    table, begin = cumulative.numpy().view(np.complex128)[:, 0], start.numpy()
    made = np.empty(dice.shape, np.int64)
    before = last = np.full(begin.shape, NONE)
    for k, shot in enumerate(dice.numpy().transpose(1, 0, 2)):
        row = table.take(begin + before * (VALUES + 1) + last).view(np.float32)  # [B, 8 * (K-1)]
        reached = (shot.repeat(VALUES - 1, 1) >= row).view(np.uint32) * np.uint32(0x01010101)
        before, last = last, made[:, k]
        np.right_shift(reached, 24, out=last, casting="unsafe")
    return torch.from_numpy(made)


def draw_joins(styles: Styles, style: Tensor, attributes: Tensor, dice: Tensor) -> Tensor:
    """How films go over to each of their shots: int64 [B, M], of `JOINS`.

    Args:
        styles: where from.
        style: int64 [B].
        attributes: int64 [B, M, 8], of the shots.
        dice: float32 [B, M] in [0, 1).
    """
    place = attributes[:, :, LOCATION]
    where = (place[:, 1:] != place[:, :-1]).long()
    where = torch.nn.functional.pad(where, (1, 0), value=OPENING)
    return (dice[..., None] >= styles.joined[style[:, None], where]).sum(2)


@cache
def load(split: str, device: torch.device) -> Styles:
    """The styles of a split; no two splits share one."""
    key = random.mix(random.word("styles"), random.word(split), torch.arange(STYLES[split]))
    exists = torch.arange(VALUES) < torch.tensor(SIZES)[:, None]  # [8, K]
    taste = _dirichlet(key, _TASTES, (COUNT, VALUES), exists)
    taste = (1 - _EVEN) * taste + _EVEN * exists / exists.sum(1, keepdim=True)
    habits = (1 - _OPEN) * _dirichlet(key, _HABITS, (COUNT, 4))
    habits[..., TASTE] += _OPEN
    following = _following(taste, habits, exists)
    expected, kept = _expectations(following)
    logarithm = following.clamp(min=_NOTHING).log().float()
    cumulative = following[..., :-1].cumsum(-1).float()
    last = torch.arange(VALUES - 1) >= torch.tensor(SIZES)[:, None] - 1
    cumulative.masked_fill_(last[:, None, None], 1.0)
    joins, lengths = _joins(key), _lengths(key)
    found = Styles(
        taste=taste.float(),
        habits=habits.float(),
        tasted=habits.float()[..., TASTE, None] * taste.float(),
        cumulative=cumulative.view(-1, VALUES - 1),
        log_probability=logarithm.view(-1, VALUES),
        joins=joins,
        lengths=lengths,
        fit=joins / joins.amax(2, keepdim=True),
        pace=(lengths * torch.arange(1, LENGTHS + 1)).sum(1),
        joined=joins.double().cumsum(2)[..., :-1].contiguous(),
        lasting=lengths.double().cumsum(1)[:, :-1].contiguous(),
        expected=expected.float(),
        kept=kept.float(),
    )
    return Styles(**{name: value.to(device) for name, value in vars(found).items()})


def _dirichlet(
    key: Tensor, purpose: int, shape: tuple[int, int], exists: Tensor | None = None
) -> Tensor:
    """Dirichlet(1/2, ...) over the last axis: float64 [S, *shape].

    Squares of normals are gamma variables of shape 1/2, and these over their sum a Dirichlet draw.
    """
    count = shape[0] * shape[1]
    square = random.normal(key, random.counter(0, purpose), count).double().square() + 1e-9
    square = square.view(-1, *shape)
    if exists is not None:
        square = square * exists
    return square / square.sum(-1, keepdim=True)


def _following(taste: Tensor, habits: Tensor, exists: Tensor) -> Tensor:
    """Probability of each next value: float64 [S, 8, K+1, K+1, K], of the one before the last.

    A habit that looks at a shot that does not exist is not followed; the others share its weight.
    """
    values, sizes = torch.arange(VALUES), torch.tensor(SIZES)
    before, last = torch.arange(VALUES + 1)[:, None, None], torch.arange(VALUES + 1)[:, None]
    keep = (values == last).expand(VALUES + 1, -1, -1)
    again = (values == before).expand(-1, VALUES + 1, -1)
    # [8, 1, K+1, K]: an attribute's values are a circle; nothing follows upon none.
    walk = values == (last + 1) % sizes[:, None, None, None]
    walk = walk & (last != NONE) & exists[:, None, None]
    parts = [x.broadcast_to(COUNT, VALUES + 1, VALUES + 1, VALUES) for x in (keep, again, walk)]
    weights = habits[:, :, None, None, None]  # [S, 8, 1, 1, 1, 4]
    total = weights[..., TASTE] * taste[:, :, None, None]
    for habit, part in zip((KEEP, AGAIN, ON), parts, strict=True):
        total = total + weights[..., habit] * part
    total = total * exists[:, None, None]
    return total / total.sum(-1, keepdim=True)


def _expectations(following: Tensor) -> tuple[Tensor, Tensor]:
    """`Styles.expected` and `Styles.kept`, from the joint distribution of the last two values."""
    entropy = (following * following.clamp(min=_NOTHING).log()).sum(-1)  # [S, 8, K+1, K+1]
    stay = following[..., :VALUES].diagonal(dim1=-2, dim2=-1)  # of y: P(y | x, y), y from 0
    stay = stay[..., :VALUES]
    joint = torch.zeros_like(entropy)
    joint[:, :, NONE, NONE] = 1.0
    means, kept = [torch.zeros_like(entropy[:, 0, 0, 0])], torch.zeros_like(entropy[:, :, 0, 0])
    for shot in range(SHOTS):
        means.append((joint * entropy).sum((1, 2, 3)))
        if shot:
            kept = kept + (joint[..., :VALUES] * stay).sum((2, 3)) / (SHOTS - 1)
        after = (joint[..., None] * following).sum(2)  # [S, 8, last, next]
        joint = torch.nn.functional.pad(after, (0, 1))
    shots = torch.arange(SHOTS + 1).clamp(min=1)
    return torch.stack(means, 1).cumsum(1) / shots, kept


def _joins(key: Tensor) -> Tensor:
    """`Styles.joins`: within a location mostly cuts; a film opens by a cut or a fade."""
    drawn = _dirichlet(key, _JOINS, (2, len(JOINS)))
    cut = torch.nn.functional.one_hot(torch.tensor(CUT), len(JOINS)).double()
    within = 0.5 * drawn[:, 0] + 0.5 * cut
    both = 0.95 * torch.stack([within, drawn[:, 1]], 1) + 0.05 / len(JOINS)
    opening = both[:, ACROSS].clone()
    opening[:, [DISSOLVE, WIPE]] = 0.0
    opening = opening / opening.sum(1, keepdim=True)
    return torch.cat([both, opening[:, None]], 1).float()


def _lengths(key: Tensor) -> Tensor:
    """`Styles.lengths`: a log-normal distribution, cut into units."""
    middle, spread = random.uniform(key, random.counter(0, _PACE), 2).double().unbind(1)
    middle, spread = 0.4 + 1.2 * middle, 0.25 + 0.35 * spread  # median of 1.5 to 5 units
    away = (torch.arange(1, LENGTHS + 1).double().log() - middle[:, None]) / spread[:, None]
    weight = torch.exp(-0.5 * away.square())
    return (weight / weight.sum(1, keepdim=True)).float()


assert np.dtype(np.complex128).itemsize == (VALUES - 1) * 4  # see `_walked_on_host`
