"""Claims about every kernel: another device, or another layout in memory, changes nothing."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from genenvs.motion import beats, features, feet, humanoid, metrics, quaternions, resample
from genenvs.motion.skeleton import forward
from tests.motion import samples
from tests.needs import needs_device

ROOT, ROTATIONS = samples.motion(5, 2, 20)
POSITIONS, ORIENTATIONS = forward(humanoid.humanoid().skeleton, ROOT, ROTATIONS)
SOLES = humanoid.soles(POSITIONS, ORIENTATIONS)
POINTS = features.humanoid_points(POSITIONS, ORIENTATIONS)
VECTORS = ROOT - 0.5
TIMES = torch.arange(20, dtype=torch.float64).repeat(2, 1) / 30
BEATS = torch.zeros(2, 19, dtype=torch.bool)
BEATS[:, ::6] = True
ON = SOLES[..., 2] < 0.1


def at_home(root: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
    return forward(humanoid.humanoid(str(root.device)).skeleton, root, rotations)


KERNELS = {
    "multiply": (quaternions.multiply, ROTATIONS, ROTATIONS.flip(0)),
    "rotate": (quaternions.rotate, ROTATIONS[:, :, 0], VECTORS),
    "exponential": (quaternions.exponential, VECTORS),
    "logarithm": (quaternions.logarithm, ROTATIONS),
    "slerp": (quaternions.slerp, ROTATIONS, ROTATIONS.flip(0), ROTATIONS[..., 0].abs()),
    "shortest": (quaternions.shortest, VECTORS, VECTORS.flip(0)),
    "from_matrix": (quaternions.from_matrix, quaternions.matrix(ROTATIONS)),
    "yaw": (quaternions.yaw, ROTATIONS),
    "forward": (at_home, ROOT, ROTATIONS),
    "mirrored": (humanoid.mirrored, ROOT, ROTATIONS),
    "lowest": (humanoid.lowest, POSITIONS, ORIENTATIONS),
    "soles": (humanoid.soles, POSITIONS, ORIENTATIONS),
    "resample": (resample.at, TIMES, ROOT, ROTATIONS, TIMES * 0.7),
    "planted": (functools.partial(feet.planted, fps=30.0), SOLES),
    "contact": (functools.partial(feet.contact_score, fps=30.0), SOLES),
    "slide": (functools.partial(feet.slide, fps=30.0), SOLES),
    "inside": (feet.inside, SOLES[:, :, 0, :2], POSITIONS[:, :4, :3, :2]),
    "walkable": (feet.walkable_score, ON),
    "penetration": (feet.penetration, POSITIONS[..., 2] - 0.5),
    "motion beats": (functools.partial(beats.motion_beats, fps=30.0), POSITIONS),
    "alignment": (functools.partial(beats.alignment, fps=30.0), BEATS, BEATS.flip(1)),
    "kinetic": (features.kinetic, POSITIONS),
    "points": (features.humanoid_points, POSITIONS, ORIENTATIONS),
    "geometric": (features.geometric, POINTS),
    "jerk": (functools.partial(metrics.jerk, fps=30.0), POSITIONS),
    "pfc": (metrics.physical_foot_contact, ROOT, SOLES),
}
every = pytest.mark.parametrize("name", KERNELS)


def run(name: str, move: Any) -> list[Tensor]:
    function, *arguments = KERNELS[name]
    found = function(*(move(x) for x in arguments))
    return list(found) if isinstance(found, tuple) else [found]


def strided(x: Tensor) -> Tensor:
    """The same values, every second place of another storage."""
    return torch.stack([x, x], -1)[..., 0]


@every
def test_any_layout_in_memory_does_and_nothing_is_written_into_arguments(name):
    before = [x.clone() for x in KERNELS[name][1:]]
    for one, other in zip(run(name, lambda x: x), run(name, strided), strict=True):
        assert torch.allclose(one.double(), other.double(), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(x, y) for x, y in zip(before, KERNELS[name][1:], strict=True))


@every
def test_shapes_alone_decide_what_a_kernel_does_and_all_of_it_stays_on_its_device(name):
    """On `meta`, a device without values, reading one or meeting another device is an error."""
    here, there = run(name, lambda x: x), run(name, lambda x: x.to("meta"))
    for one, other in zip(here, there, strict=True):
        assert other.device.type == "meta"
        assert (one.shape, one.dtype) == (other.shape, other.dtype)


@every
def test_rows_of_a_batch_do_not_meet(name):
    for one, alone in zip(run(name, lambda x: x), run(name, lambda x: x[1:]), strict=True):
        assert torch.allclose(one[1:].double(), alone.double(), rtol=1e-5, atol=1e-5)


@needs_device("cuda")
@every
def test_a_gpu_finds_the_same(name):
    for one, other in zip(run(name, lambda x: x), run(name, Tensor.cuda), strict=True):
        assert other.device.type == "cuda"
        assert torch.allclose(one.double(), other.cpu().double(), rtol=1e-4, atol=1e-5)
