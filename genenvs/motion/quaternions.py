"""Unit quaternions as rotations: float [..., 4], w first, broadcast like any other tensors.

`multiply(a, b)` turns by b first, then by a, as matrices do. q and -q are the same rotation.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

IDENTITY = (1.0, 0.0, 0.0, 0.0)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Return Hamilton's product: [..., 4] x [..., 4] -> [..., 4]."""
    w, u = a[..., :1], a[..., 1:]
    x, v = b[..., :1], b[..., 1:]
    u, v = torch.broadcast_tensors(u, v)
    real = w * x - (u * v).sum(-1, keepdim=True)
    return torch.cat([real, w * v + x * u + torch.linalg.cross(u, v)], -1)


def conjugate(q: Tensor) -> Tensor:
    """Return the inverse rotation of unit quaternions: [..., 4]."""
    return q * q.new_tensor((1.0, -1.0, -1.0, -1.0))


def rotate(q: Tensor, points: Tensor) -> Tensor:
    """Turn points by unit quaternions: [..., 4] x [..., 3] -> [..., 3]."""
    u, points = torch.broadcast_tensors(q[..., 1:], points)
    twice = 2 * torch.linalg.cross(u, points)
    return points + q[..., :1] * twice + torch.linalg.cross(u, twice)


def exponential(vector: Tensor) -> Tensor:
    """Return the rotation by |vector| radians about it: [..., 3] -> [..., 4]."""
    angle = vector.norm(dim=-1, keepdim=True)
    return torch.cat([(angle / 2).cos(), vector * 0.5 * torch.sinc(angle / (2 * torch.pi))], -1)


def logarithm(q: Tensor) -> Tensor:
    """Return the shortest rotation vector, at most pi long: unit [..., 4] -> [..., 3]."""
    q = torch.where(q[..., :1] < 0, -q, q)
    sine = q[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, q[..., :1])
    # Where the sine vanishes the ratio tends to 2 / w.
    small = sine < 1e-6
    return q[..., 1:] * torch.where(small, 2 / q[..., :1].clamp(min=0.5), angle / sine.clamp(1e-6))


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Return the angle of the rotation from a to b in radians, 0 .. pi: [..., 4] -> [...]."""
    return logarithm(multiply(conjugate(a), b)).norm(dim=-1)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate along the shorter arc (Shoemake, SIGGRAPH 1985).

    Args:
        a: unit [..., 4], the result at t = 0.
        b: unit [..., 4], the result at t = 1.
        t: [...], how far from a to b.

    Returns:
        Unit [..., 4].
    """
    between = logarithm(multiply(conjugate(a), b))
    return normalize(multiply(a, exponential(between * t[..., None])), dim=-1)


def shortest(a: Tensor, b: Tensor) -> Tensor:
    """Return the smallest rotation that turns the direction of a to that of b.

    Args:
        a: [..., 3], not zero.
        b: [..., 3], not zero. Opposite to a, the rotation is about some axis across.

    Returns:
        Unit [..., 4].
    """
    a, b = torch.broadcast_tensors(normalize(a, dim=-1), normalize(b, dim=-1))
    half = normalize(a + b, dim=-1)
    q = torch.cat([(a * half).sum(-1, keepdim=True), torch.linalg.cross(a, half)], -1)
    # The axis that a lies farthest from, so that there is something across.
    other = (torch.arange(3, device=a.device) == a.abs().argmin(-1, keepdim=True)).to(a.dtype)
    across = normalize(torch.linalg.cross(a, other), dim=-1)
    about = torch.cat([torch.zeros_like(q[..., :1]), across], -1)
    return normalize(torch.where((a * b).sum(-1, keepdim=True) < -1 + 1e-6, about, q), dim=-1)


def matrix(q: Tensor) -> Tensor:
    """Return rotation matrices of unit quaternions: [..., 4] -> [..., 3, 3]."""
    columns = torch.eye(3, dtype=q.dtype, device=q.device)
    return rotate(q[..., None, :], columns).transpose(-1, -2)


def from_matrix(m: Tensor) -> Tensor:
    """Return the quaternions of rotation matrices, w >= 0: [..., 3, 3] -> [..., 4].

    Of four equal expressions the one that divides by the largest number (Shepperd, 1978).
    """
    trace = m.diagonal(dim1=-2, dim2=-1).sum(-1)
    squares = [1 + trace, *(1 + 2 * m[..., k, k] - trace for k in range(3))]  # 4 q_k^2
    off = {(i, j): (m[..., i, j], m[..., j, i]) for i, j in ((2, 1), (0, 2), (1, 0))}
    wx, wy, wz = (a - b for a, b in off.values())
    yz, xz, xy = (a + b for a, b in off.values())
    rows = [  # 4 q_k q, one row for each k
        [squares[0], wx, wy, wz],
        [wx, squares[1], xy, xz],
        [wy, xy, squares[2], yz],
        [wz, xz, yz, squares[3]],
    ]
    table = torch.stack([torch.stack(row, -1) for row in rows], -2)  # [..., 4, 4]
    best = torch.stack(squares, -1).argmax(-1)[..., None, None].expand(*m.shape[:-2], 1, 4)
    q = normalize(table.gather(-2, best).squeeze(-2), dim=-1)
    return torch.where(q[..., :1] < 0, -q, q)


def yaw(q: Tensor) -> Tensor:
    """Return the part of rotations that is about z, which points up: unit [..., 4] -> [..., 4].

    The twist of the swing-twist decomposition; where there is none, upside down, the identity.
    """
    zero = torch.zeros_like(q[..., 0])
    twist = torch.stack([q[..., 0], zero, zero, q[..., 3]], -1)
    length = twist.norm(dim=-1, keepdim=True)
    identity = q.new_tensor(IDENTITY).expand_as(q)
    return torch.where(length > 1e-6, twist / length.clamp(min=1e-6), identity)
