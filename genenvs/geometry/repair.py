"""Mending meshes as far as it is safe: what lies together is joined, small holes are closed."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.geometry import meshes, voxelise

HOLE = 12  # edges of the largest hole that is closed
WIDEST = (
    0.25  # area of the largest one, as a share of its part's: a cube's side has 0.2 of the rest
)
SCRAP = 0.01  # share of the surface that open parts may have in all to be left out


class Repaired(NamedTuple):
    """A mesh all parts of which are closed, if that was asked for.

    Attributes:
        vertices: float32 [V, 3], every one used.
        faces: int64 [F, 3].
        notes: what was done, a sentence each.
    """

    vertices: Tensor
    faces: Tensor
    notes: tuple[str, ...]


def repair(vertices: Tensor, faces: Tensor, closed: bool = True) -> Repaired:
    """Weld, drop what has no area or is there twice, close small holes, leave out open scraps.

    Parts that are closed as they stand stay as they are: welding boxes that touch would tie them
    together.

    Args:
        vertices: float32 [V, 3], finite.
        faces: int64 [F, 3].
        closed: whether the result has to be; without it larger open parts are left as they are.

    Raises:
        ValueError: nothing is left, or the surface still has openings; says how large.
    """
    notes: list[str] = []
    sound = faces[(faces != faces.roll(-1, -1)).all(1)]
    first = _first_alike(sound)
    single = first == torch.arange(len(sound), device=faces.device)
    found = voxelise.parts(vertices, sound[single])
    tight = torch.zeros_like(single)
    tight[single] = found.closed[found.of_face]
    whole, rest = sound[tight & single], sound[~tight[first]]
    dropped = len(faces) - len(sound)
    twice = int((tight[first] & ~single).sum())
    if len(rest):
        mended = _mend(vertices, rest)
        dropped, twice = dropped + mended.flat, twice + mended.twice
        if mended.joined:
            notes.append(f"joined vertices in one place: {mended.joined} fewer")
        whole = torch.cat([whole, mended.faces])
    if dropped:
        notes.append(f"dropped {dropped} faces without area")
    if twice:
        notes.append(f"dropped {twice} faces that were there twice")
    if len(rest) and mended.holes:
        notes.append(f"closed {mended.holes} holes of up to {HOLE} edges")
    if not len(whole) or float(meshes.areas(vertices[None], whole[None]).sum()) == 0:
        raise ValueError("no face has an area")
    found = voxelise.parts(vertices, whole)
    scrap = ~found.closed[found.of_face]
    if bool(scrap.any()):
        if _share(vertices, whole, scrap) <= SCRAP:
            whole = whole[~scrap]
            notes.append(f"left out {int((~found.closed).sum())} small open parts")
        elif closed:
            raise ValueError(_openings(whole, found))
    used, renumbered = torch.unique(whole, return_inverse=True)
    return Repaired(vertices[used], renumbered, tuple(notes))


class _Mended(NamedTuple):
    faces: Tensor
    joined: int
    flat: int
    twice: int
    holes: int


def _mend(vertices: Tensor, faces: Tensor) -> _Mended:
    """Weld faces, drop the flat and the double ones, close holes."""
    welded = meshes.weld(vertices[None], faces[None])[0]
    kept = welded[(welded >= 0).all(1)]
    joined = len(torch.unique(faces)) - len(torch.unique(kept))
    # Both sides of a sheet are one face; the two sides of a wall between rooms are none.
    for single in (_keep_first, _keep_odd):
        once = kept[single(kept)]
        filled, holes = fill_holes(vertices, once)
        found = _Mended(filled, joined, len(faces) - len(kept), len(kept) - len(once), holes)
        if bool(voxelise.parts(vertices, filled).closed.all()):
            return found
        if len(once) == len(kept):
            break
    return found


def fill_holes(vertices: Tensor, faces: Tensor, longest: int = HOLE) -> tuple[Tensor, int]:
    """Close holes by fans.

    Left open are a rim that meets itself or another's, and a hole that is large beside its part:
    a sheet of paper is no solid that lacks its other side.

    Args:
        vertices: float32 [V, 3].
        faces: int64 [F, 3], welded.
        longest: edges of the largest hole to close.

    Returns:
        The faces, then the new ones, turned like their neighbours: int64 [F + G, 3]; and the number
        of holes that were closed.
    """
    keys = meshes.edge_keys(faces)
    _, edges, count = torch.unique(keys, return_inverse=True, return_counts=True)
    row, corner = (count[edges] == 1).nonzero(as_tuple=True)
    begin, end = faces[row, corner].tolist(), faces[row, (corner + 1) % 3].tolist()
    following: dict[int, int] = {}  # a new face goes along an edge the other way
    beside: dict[int, int] = {}
    crowded = set()
    for a, b, face in zip(begin, end, row.tolist(), strict=True):
        if b in following:
            crowded.add(b)
        following[b], beside[b] = a, face
    area = _part_areas(vertices, faces)
    fans, holes = [faces], 0
    while following:
        start, at = next(iter(following.items()))
        rim = [start]
        del following[start]
        while at != start and at in following:
            rim.append(at)
            at = following.pop(at)
        if at != start or not 3 <= len(rim) <= longest or crowded.intersection(rim):
            continue
        fan = torch.tensor([[start, b, c] for b, c in pairwise(rim[1:])], device=faces.device)
        if meshes.areas(vertices[None], fan[None]).sum() <= WIDEST * area[beside[start]]:
            fans.append(fan)
            holes += 1
    return torch.cat(fans), holes


def _part_areas(vertices: Tensor, faces: Tensor) -> Tensor:
    """Area of the part that each face belongs to: float32 [F]."""
    label = meshes.face_components(faces[None]).label[0]
    area = meshes.areas(vertices[None], faces[None])[0]
    return torch.zeros(len(faces) + 1, device=faces.device).index_add_(0, label, area)[label]


def _first_alike(faces: Tensor) -> Tensor:
    """The first face with the same corners: int64 [F] indices."""
    _, group = torch.unique(faces.sort(1).values, dim=0, return_inverse=True)
    index = torch.arange(len(faces), device=faces.device)
    return torch.full_like(index, len(faces)).scatter_reduce_(0, group, index, "amin")[group]


def _keep_first(faces: Tensor) -> Tensor:
    """One of all faces with the same corners: bool [F]."""
    return _first_alike(faces) == torch.arange(len(faces), device=faces.device)


def _keep_odd(faces: Tensor) -> Tensor:
    """One of those that are there an odd number of times, none of the others: bool [F]."""
    first = _first_alike(faces)
    return _keep_first(faces) & (torch.bincount(first, minlength=len(faces)) % 2 == 1)


def _share(vertices: Tensor, faces: Tensor, some: Tensor) -> float:
    """Share of the area that some of the faces have."""
    area = meshes.areas(vertices[None], faces[None])[0].double()
    return float(area[some].sum() / area.sum())


def _openings(faces: Tensor, found: voxelise.Parts) -> str:
    state = meshes.topology(faces[None])
    return (
        f"the surface is not closed: of {int(state.edges)} edges {int(state.boundary)} have "
        f"one face and {int(state.non_manifold)} more than two; "
        f"{int((~found.closed).sum())} of {len(found.closed)} parts are open"
    )
