"""What an episode asks for: a brief, a pool of clips, and an editor's cut of some of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.editing.styles import LENGTHS, NONE, SHOTS, Films, Styles, draw_joins, films

CLIPS = 16  # of a pool
EXAMPLE = 8  # shots of the strip that shows the style
SHORTEST, LONGEST = 8, 12  # of a clip, units
INS = 8  # in-points: units 0 .. 7 of a clip
FEWEST = 6  # shots of an editor's film
MARKED = (3, 8)  # length of what a logger marked in a clip, units
LEAST_SPAN = 1.0  # nats between chance and the editor, so that no film's scale explodes

# Numbers of an instance, drawn in one go: a reset of a few rows costs by the operation. The first
# is its style.
_STYLE, _OTHER, _SHOTS = range(3)
_LENGTH, _MARK, _FIRST, _STORY, _ORDER = (
    slice(3 + k * CLIPS, 3 + (k + 1) * CLIPS) for k in range(5)
)
_NUMBERS = 3 + 5 * CLIPS
_OWN, _STRIP, _ELSEWHERE = range(3)  # films of an instance
_NUMBERS_OF_ALL, _TAKEN, _JOINED = range(3)  # purposes of draws


@dataclass(frozen=True)
class Briefs:
    """B briefs with their pools.

    Attributes:
        style: int64 [B], index of the style.
        target: int64 [B], length of the film, units.
        attributes: int64 [B, 16, 8], of the clips.
        lengths: int64 [B, 16], of the clips, units.
        marked: int64 [B, 16, 2], what a logger marked as good: first unit, units.
        story: float32 [B, 16], when in the story a clip happens, 0 .. 1.
        example: a film of eight shots in the style, of other footage.
        shots: int64 [B], of the editor's film.
        plan: int64 [B, 10, 4], each shot of it: clip, in-point, length, join; the rest is unused.
        low: float32 [B], mean log-probability of a shot where different clips follow each other by
            chance.
        span: float32 [B], from there to the editor's own expectation, nats; of given footage, to
            the editor's cut of it.
        taken: int64 [B, 16], which of the given clips these are; -1 of drawn ones.
    """

    style: Tensor
    target: Tensor
    attributes: Tensor
    lengths: Tensor
    marked: Tensor
    story: Tensor
    example: Films
    shots: Tensor
    plan: Tensor
    low: Tensor
    span: Tensor
    taken: Tensor


@dataclass(frozen=True)
class Given:
    """Clips of the user's, of which pools are made.

    Attributes:
        attributes: int64 [N, 8].
        lengths: int64 [N], units, 1 .. 12.
    """

    attributes: Tensor
    lengths: Tensor


def which(styles: Styles, instance: Tensor) -> Tensor:
    """The style of each instance: int64 [B]."""
    return _below(random.uniform(instance, 0, 1)[:, _STYLE], len(styles))


def _below(dice: Tensor, high: int | Tensor) -> Tensor:
    """Integers 0 .. high - 1 from numbers in [0, 1): int64."""
    return (dice * high).long()


def draw(styles: Styles, instance: Tensor, given: Given | None = None) -> Briefs:
    """The briefs of instances (int64 [B]).

    The editor's shots are cut from clips of the pool; the other clips hold shots from a film in
    another style, and happen at any time of the story. The editor centres shots on what is marked,
    as far as the clip allows. Of clips that are given, sixteen at random are a pool, and the editor
    takes what is likeliest under the style, one shot after the other.
    """
    device, count = instance.device, len(instance)
    dice = random.uniform(instance, random.counter(0, _NUMBERS_OF_ALL), _NUMBERS)
    style = _below(dice[:, _STYLE], len(styles))
    other = (style + 1 + _below(dice[:, _OTHER], len(styles) - 1)) % len(styles)
    kinds = torch.tensor([_OWN, _STRIP, _ELSEWHERE], device=device)[:, None]
    keys = random.mix(instance[None], kinds)  # [3, B]
    drawn = films(styles, torch.cat([style, style, other]), keys.flatten(), SHOTS)
    own, strip, alien = (
        Films(*(x.view(3, count, *x.shape[1:])[k] for x in vars(drawn).values())) for k in range(3)
    )
    example = Films(*(x[:, :EXAMPLE] for x in vars(strip).values()))
    shots = FEWEST + _below(dice[:, [_SHOTS]], SHOTS - FEWEST + 1)  # [B, 1]

    # In the editor's order first, then shuffled.
    number = torch.arange(CLIPS, device=device).expand(count, -1)
    mine = number < shots
    ours = torch.nn.functional.pad(own.attributes, (0, 0, 0, CLIPS - SHOTS))
    theirs = alien.attributes.gather(
        1, (number - shots).clamp(min=0)[..., None].expand(-1, -1, ours.shape[2])
    )
    attributes = torch.where(mine[..., None], ours, theirs)
    lengths = SHORTEST + _below(dice[:, _LENGTH], LONGEST - SHORTEST + 1)
    marked = MARKED[0] + _below(dice[:, _MARK], MARKED[1] - MARKED[0] + 1)
    taken = torch.full_like(lengths, -1)
    likely = None
    if given is not None:
        taken, likely = _arranged(styles, style, instance, given)
        attributes, lengths = given.attributes[taken], given.lengths[taken]
        marked = torch.minimum(marked, lengths)
        own = _fitted(styles, style, instance, own, attributes[:, :SHOTS], lengths[:, :SHOTS])
    first = _below(dice[:, _FIRST], lengths - marked + 1)
    time = dice[:, _STORY]
    in_order = time.masked_fill(~mine, 2.0).sort(1).values
    story = torch.where(mine, in_order, time)

    centred = (first + (marked - torch.nn.functional.pad(own.lengths, (0, CLIPS - SHOTS))) // 2)[
        :, :SHOTS
    ]
    latest = (lengths[:, :SHOTS] - own.lengths).clamp(max=INS - 1)  # at least 0
    start = torch.minimum(centred.clamp(min=0), latest)
    order = dice[:, _ORDER].argsort(dim=1, stable=True)
    plan = torch.stack([order.argsort(1)[:, :SHOTS], start, own.lengths, own.joins], 2)
    attributes = attributes.gather(1, order[..., None].expand_as(attributes))
    count_of = shots[:, 0]
    low = styles.by_chance(style, attributes, count_of)
    if likely is None:
        high = styles.expected[style, count_of]
    else:
        high = (likely * mine[:, :SHOTS]).sum(1) / count_of
    return Briefs(
        style=style,
        target=(own.lengths * mine[:, :SHOTS]).sum(1),
        attributes=attributes,
        lengths=lengths.gather(1, order),
        marked=torch.stack([first.gather(1, order), marked.gather(1, order)], 2),
        story=story.gather(1, order),
        example=example,
        shots=count_of,
        plan=plan,
        low=low,
        span=(high - low).clamp(min=LEAST_SPAN),
        taken=taken.gather(1, order),
    )


def _arranged(
    styles: Styles, style: Tensor, instance: Tensor, given: Given
) -> tuple[Tensor, Tensor]:
    """Sixteen of the given clips, first the editor's in order, and how likely those are.

    Returns:
        int64 [B, 16], which clips, and float32 [B, 10], log-probabilities in nats.
    """
    rows = torch.arange(len(instance), device=instance.device)
    dice = random.uniform(instance, random.counter(0, _TAKEN), len(given.lengths))
    pool = dice.argsort(dim=1, stable=True)[:, :CLIPS]  # [B, 16]
    clips = given.attributes[pool]  # [B, 16, 8]
    before = last = torch.full_like(clips[:, 0], NONE)
    free = torch.ones_like(pool, dtype=torch.bool)
    chosen, likely = [], []
    for _ in range(SHOTS):
        known = [x.repeat_interleave(CLIPS, 0) for x in (style, before, last)]
        each = styles.of(known[0], known[1], known[2], clips.flatten(0, 1))
        found, clip = each.view(-1, CLIPS).masked_fill(~free, -torch.inf).max(1)
        before, last = last, clips[rows, clip]
        free[rows, clip] = False
        chosen.append(pool[rows, clip])
        likely.append(found)
    rest = pool[free].view(-1, CLIPS - SHOTS)
    return torch.cat([torch.stack(chosen, 1), rest], 1), torch.stack(likely, 1)


def _fitted(
    styles: Styles, style: Tensor, instance: Tensor, own: Films, attributes: Tensor, most: Tensor
) -> Films:
    """The editor's film with the shots that there are: none longer than its clip, other joins."""
    dice = random.uniform(instance, random.counter(0, _JOINED), SHOTS)
    joins = draw_joins(styles, style, attributes, dice)
    return Films(attributes, torch.minimum(own.lengths, most), joins)


assert LENGTHS <= SHORTEST  # any length fits into any clip
