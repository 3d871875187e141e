"""Depth pictures of boxes, without OpenGL: every ray against the three slabs of every box."""

from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.geometry.boxes import Boxes, rotations

_RAYS = 2**14  # of a chunk of views on the CPU, some ten tensors of 64 to 192 KB
_FLAT = 1e-12  # stands in for a direction's zero component, so that no slab gives 0 / 0


class Rays(NamedTuple):
    """One ray a pixel of every view, the top left pixel first.

    Attributes:
        origin: float32 [V, H, W, 3].
        direction: float32 [V, H, W, 3], one unit long along the optical axis.
    """

    origin: Tensor
    direction: Tensor


class Picture(NamedTuple):
    """What the rays of every view meet first.

    Attributes:
        depth: float32 [V, H, W], in units of distance along the optical axis (not along the ray);
            +inf where there is nothing, 0 where the ray starts inside a box.
        normal: float32 [V, H, W, 3], of the face that was met, in the world; 0 where nothing is.
    """

    depth: Tensor
    normal: Tensor


def look_at(eye: Tensor, target: Tensor) -> Tensor:
    """Turn a camera, z up in the world.

    Args:
        eye: float32 [V, 3].
        target: float32 [V, 3], elsewhere; straight above or below, the picture's right is x.

    Returns:
        float32 [V, 3, 3] whose rows are the picture's right, its up, and the optical axis.
    """
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    x, y, z = forward.unbind(-1)
    level = torch.stack([y, -x, torch.zeros_like(z)], -1)
    aside = torch.tensor([1.0, 0.0, 0.0], device=eye.device)
    steep = level.square().sum(-1, keepdim=True) < 1e-12
    right = torch.nn.functional.normalize(torch.where(steep, aside, level), dim=-1)
    return torch.stack([right, torch.linalg.cross(right, forward), forward], -2)


def orthographic(eye: Tensor, camera: Tensor, size: tuple[int, int], width: float) -> Rays:
    """Parallel rays through the centres of square pixels.

    Args:
        eye: float32 [V, 3], the middle of the picture's plane, from which depth counts.
        camera: float32 [V, 3, 3], of `look_at`.
        size: pixels, height and width.
        width: what the picture shows from left to right, in the world's unit.
    """
    across = _plane(size, eye.device) * (width / size[1])  # [H, W, 2]
    origin = eye[:, None, None] + across @ camera[:, None, :2]
    return Rays(origin, camera[:, None, None, 2].expand_as(origin))


def pinhole(eye: Tensor, camera: Tensor, size: tuple[int, int], field: float) -> Rays:
    """Rays from one point through the centres of square pixels.

    Args:
        eye: float32 [V, 3].
        camera: float32 [V, 3, 3], of `look_at`.
        size: pixels, height and width.
        field: horizontal field of view in radians, below pi.
    """
    slope = torch.tan(torch.tensor(field / 2)).item() * 2 / size[1]
    across = _plane(size, eye.device) * slope
    direction = across @ camera[:, None, :2] + camera[:, None, None, 2]
    return Rays(eye[:, None, None].expand_as(direction), direction)


def _plane(size: tuple[int, int], device: torch.device) -> Tensor:
    """Pixels right of and above the middle: float32 [H, W, 2]."""
    height, width = size
    right = torch.arange(width, device=device) - (width - 1) / 2
    up = (height - 1) / 2 - torch.arange(height, device=device)
    return torch.stack(torch.meshgrid(right, up, indexing="xy"), -1)


def render(boxes: Boxes, rays: Rays) -> Picture:
    """Return depth and normals of the nearest box of every ray.

    A ray is inside a slab between two parameters, inside the box where it is inside all three
    (Kay and Kajiya, SIGGRAPH 1986). Boxes go one after the other over a chunk of views, so that
    memory beside the result does not grow with their number.

    Args:
        boxes: K boxes for each view; one without volume is not seen.
        rays: of V views.
    """
    views, height, width = rays.origin.shape[:3]
    depth = torch.empty(views, height, width, device=rays.origin.device)
    normal = torch.empty(views, height, width, 3, device=rays.origin.device)
    chunk = max(1, _RAYS // (height * width)) if depth.device.type == "cpu" else max(views, 1)
    turned = None if boxes.turn is None else rotations(boxes)
    for start in range(0, views, chunk):
        part = slice(start, start + chunk)
        some = Boxes(boxes.centre[part], boxes.half[part], None if turned is None else turned[part])
        # Axes first, so that whatever is done to one coordinate runs over contiguous memory.
        origin, direction = (x[part].flatten(1, 2).movedim(-1, 0).contiguous() for x in rays)
        found = _nearest(some, origin, direction)
        depth[part] = found.depth.view(-1, height, width)
        normal[part] = found.normal.movedim(0, -1).view(-1, height, width, 3)
    return Picture(depth, normal)


def _nearest(boxes: Boxes, origin: Tensor, direction: Tensor) -> Picture:
    """Of rays [3, V, P]: depth [V, P] and normals [3, V, P]."""
    depth = torch.full_like(origin[0], torch.inf)
    face = torch.zeros_like(origin)  # of the nearest box so far, in the world
    slopes = None if boxes.turn is not None else _inverse(direction)
    for k in range(boxes.half.shape[1]):
        centre, half = (x[:, k].T[..., None] for x in boxes[:2])  # [3, V, 1]
        start, axes = origin - centre, None
        inverse = slopes
        if boxes.turn is not None:
            axes = boxes.turn[:, k]  # [V, 3, 3]
            start = _turn(axes.mT, start)
            inverse = _inverse(_turn(axes.mT, direction))
        assert inverse is not None
        middle, reach = -start * inverse, half * inverse.abs()
        entry, axis = (middle - reach).max(0)
        leave = (middle + reach).amin(0)
        solid = (boxes.half[:, k] > 0).all(-1, keepdim=True)
        at = entry.clamp(min=0)
        nearer = (entry <= leave) & (leave > 0) & (at < depth) & solid
        depth = torch.where(nearer, at, depth)
        index = torch.arange(3, device=axis.device)[:, None, None]
        towards = -inverse.sign() * (index == axis)
        face = torch.where(nearer, towards if axes is None else _turn(axes, towards), face)
    return Picture(depth, face)


def _inverse(direction: Tensor) -> Tensor:
    return direction.where(direction.abs() > _FLAT, _FLAT).reciprocal()


def _turn(matrix: Tensor, vectors: Tensor) -> Tensor:
    """Matrices [V, 3, 3] times vectors [3, V, P] -> [3, V, P]."""
    return torch.einsum("vij,jvp->ivp", matrix, vectors)
