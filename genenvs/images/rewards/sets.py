"""Rewards of sets of images: what a row adds to its group, found by leaving it out.

Features are simple on purpose and stated: colours of 4 x 4 patches, and which cells of (shape,
colour, region of 3 x 3) the scene parser finds something in.
"""

import torch
from torch import Tensor
from torch.nn import functional

from genenvs.images.rewards.reward import Context, Reward
from genenvs.images.scenes import parser
from genenvs.images.scenes.grammar import COLOURS, SHAPES
from genenvs.images.scenes.render import SIDE

PATCHES = 4  # a side
REGIONS = 3  # a side
CELLS = len(SHAPES) * len(COLOURS) * REGIONS**2  # 216
CELL_WEIGHT = 0.1  # one thing more weighs as much as colours that differ by 0.1 throughout


def cells(images: Tensor) -> Tensor:
    """Which cells of (shape, colour, region) of a scene hold something: bool [B, 216].

    Args:
        images: float [B, 3, H, W] in [0, 1].
    """
    seen = parser.detect(images)
    column, row = ((at * (REGIONS / SIDE)).long().clamp(0, REGIONS - 1) for at in (seen.x, seen.y))
    cell = ((seen.shape * len(COLOURS) + seen.colour) * REGIONS + row) * REGIONS + column
    found = torch.zeros(len(images), CELLS + 1, dtype=torch.bool, device=images.device)
    known = seen.present & (seen.shape >= 0)  # a patch of no known outline is no thing
    return found.scatter_(1, torch.where(known, cell, CELLS), True)[:, :CELLS]


def features(images: Tensor) -> Tensor:
    """What `mmd` compares: float32 [B, 264].

    48 mean colours of 4 x 4 patches, scaled so that their distance is a root mean square, and the
    216 `cells` times 0.1.

    Args:
        images: float [B, 3, H, W] in [0, 1].
    """
    pooled = functional.adaptive_avg_pool2d(images.detach().float(), PATCHES).flatten(1)
    return torch.cat([pooled / pooled.shape[1] ** 0.5, CELL_WEIGHT * cells(images).float()], 1)


def coverage() -> Reward:
    """The share of all cells that no other row of the group covers, in [0, 1].

    Leaving the row out would cost the group's coverage as much. Its sum over a group is what is
    covered once.
    """
    return Reward("coverage", _coverage, range=(0.0, 1.0), of_set=True)


def _coverage(images: Tensor, context: Context) -> Tensor:
    covered = cells(images)
    member, size = _groups(images, context, "coverage")
    rows = torch.zeros(len(size), CELLS, device=images.device)
    rows = rows.index_add(0, member, covered.float())
    return (covered & (rows[member] == 1)).float().mean(1)


def mmd() -> Reward:
    """By how much the row brings its group nearer to `context["reference"]`, in [-2, 2].

    The squared maximum mean discrepancy (Gretton et al., 2012; Gaussian kernel, biased estimate)
    between the group without the row and the reference, less that of the group with it. Without a
    reference, the discrepancy between the row and the rest of its group instead, in [0, 2]: how
    different it is.

    The kernel's width is the median distance: within the reference if there is one, else within
    the group. A reference is float [N, 3, H, W] images or [N, 264] `features`, N >= 2.
    """
    return Reward("mmd", _mmd, range=(-2.0, 2.0), of_set=True)


def _mmd(images: Tensor, context: Context) -> Tensor:
    found = features(images)
    member, size = _groups(images, context, "mmd")
    reference = context.get("reference")
    if reference is None:
        return _novelty(found, member, size)
    if reference.ndim == 4:
        reference = features(reference)
    if reference.shape[1:] != found.shape[1:] or len(reference) < 2:
        raise ValueError(
            f"reward 'mmd': reference must be [N, 3, H, W] or [N, {found.shape[1]}] with two rows "
            f"or more; got {list(reference.shape)}"
        )
    return leave_one_out(found, member, size, reference.float())


def leave_one_out(rows: Tensor, member: Tensor, size: Tensor, reference: Tensor) -> Tensor:
    """MMD^2(group without the row, reference) - MMD^2(group, reference): [B].

    Args:
        rows: float [B, F].
        member: int64 [B], the group of each, from 0.
        size: int64 [G], rows in each group, 2 or more.
        reference: float [N, F].
    """
    width = functional.pdist(reference).square().median()
    width = torch.where(width > 0, width, 1.0)  # copies have no scale
    to_reference = torch.exp(-_squares(rows, reference) / (2 * width)).mean(1)  # [B]
    slots, there = _slots(member, size)
    values = rows[slots]  # [G, n, F]
    kernel = torch.exp(-_squares(values, values) / (2 * width))
    kernel = kernel * there[:, None] * there[..., None]
    count = size[:, None].float()
    near = to_reference[slots] * there  # [G, n]
    each, whole = kernel.sum(2), kernel.sum((1, 2))[:, None]
    sum_near = near.sum(1, keepdim=True)
    full = whole / count**2 - 2 * sum_near / count
    rest = count - 1
    without = (whole - 2 * each + 1) / rest**2 - 2 * (sum_near - near) / rest
    return _back(without - full, slots, there, len(rows))


def _novelty(rows: Tensor, member: Tensor, size: Tensor) -> Tensor:
    """MMD^2 between each row and the rest of its group: [B]."""
    slots, there = _slots(member, size)
    values = rows[slots]
    squares = _squares(values, values)
    pairs = (there[:, None] & there[..., None]).triu(1)
    widths = squares.masked_fill(~pairs, torch.nan).flatten(1).nanmedian(1).values
    widths = torch.where(widths > 0, widths, 1.0)[:, None, None]
    kernel = torch.exp(-squares / (2 * widths)) * there[:, None] * there[..., None]
    each, whole = kernel.sum(2), kernel.sum((1, 2))[:, None]
    rest = size[:, None].float() - 1
    value = 1 - 2 * (each - 1) / rest + (whole - 2 * each + 1) / rest**2
    return _back(value, slots, there, len(rows))


def _squares(first: Tensor, second: Tensor) -> Tensor:
    """Squared distances [..., n, m], exact for copies."""
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist").square()


def _groups(images: Tensor, context: Context, name: str) -> tuple[Tensor, Tensor]:
    """The group of each row, from 0, and their sizes."""
    group = context.get("group")
    if group is None:
        group = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    if not isinstance(group, Tensor) or group.dtype != torch.int64 or group.ndim != 1:
        what = f"{group.dtype} {list(group.shape)}" if isinstance(group, Tensor) else type(group)
        raise ValueError(f"reward {name!r}: group must be int64 [B]; got {what}")
    member, size = torch.unique(group, return_inverse=True, return_counts=True)[1:]
    if len(images) and int(size.min()) < 2:
        raise ValueError(
            f"reward {name!r} is what a row adds to its group, which needs two rows or more; "
            f"{int((size < 2).sum())} of {len(size)} groups have one"
        )
    return member, size


def _slots(member: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of each group, padded: int64 [G, n], and which are there, bool."""
    order = member.argsort(stable=True)
    start = size.cumsum(0) - size
    most = int(size.max()) if len(size) else 0
    at = torch.arange(most, device=member.device)
    there = at < size[:, None]
    return order[(start[:, None] + at).clamp_max(max(0, len(member) - 1))], there


def _back(values: Tensor, slots: Tensor, there: Tensor, rows: int) -> Tensor:
    """From [G, n] to [B]."""
    return values.new_zeros(rows).index_put((slots[there],), values[there])
