"""Claims about every kernel: another device, or another layout in memory, changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.geometry.kernels import Kernel, kernels, public
from tests.needs import needs_device

KERNELS = kernels()
every = pytest.mark.parametrize("kernel", KERNELS, ids=str)
still = pytest.mark.parametrize("kernel", [k for k in KERNELS if not k.reads], ids=str)


def moved(value: Any, move: Callable[[Tensor], Tensor]) -> Any:
    """The same with other tensors, however deep in tuples they are."""
    if isinstance(value, Tensor):
        return move(value)
    if isinstance(value, tuple):
        parts = [moved(part, move) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, Tensor)]


def call(kernel: Kernel, move: Callable[[Tensor], Tensor]) -> Any:
    return kernel.function(*moved(kernel.arguments, move), **kernel.options)


def kind(value: Tensor) -> str:
    # popcount's integers are as wide as a device likes.
    whole = not value.is_floating_point() and value.dtype != torch.bool
    return "integer" if whole else str(value.dtype)


def assert_alike(kernel: Kernel, here: Any, there: Any) -> None:
    """Equal, floats within 1e-5, but for the share of elements that the kernel names."""
    for one, other in zip(leaves(here), leaves(there), strict=True):
        if not isinstance(one, Tensor):
            assert one == other
            continue
        assert (kind(one), one.shape) == (kind(other), other.shape)
        close = torch.isclose(one.double(), other.double(), rtol=1e-5, atol=1e-5)
        assert float((~close).double().mean()) <= kernel.some if close.numel() else True


def strided(x: Tensor) -> Tensor:
    """The same values, every second place of another storage."""
    return torch.stack([x, x], -1)[..., 0]


def test_every_public_kernel_is_among_them():
    assert {kernel.name for kernel in KERNELS} == public()
    assert len({str(kernel) for kernel in KERNELS}) == len(KERNELS)


def test_a_difference_is_seen():
    kernel = Kernel(strided, (torch.rand(1000),), some=0.001)
    here = call(kernel, lambda x: x)
    one, two = here.clone(), here.clone()
    one[0], two[:2] = 9, 9
    assert_alike(kernel, here, one)
    for other in (two, here.int(), here[:-1], torch.full_like(here, torch.nan), here + 1e-4):
        with pytest.raises(AssertionError):
            assert_alike(kernel, (here, here), (here, other))


@every
def test_any_layout_in_memory_does_and_nothing_is_written_into_arguments(kernel):
    before = moved(kernel.arguments, torch.clone)
    placed = moved(kernel.arguments, strided)
    assert not any(x.is_contiguous() for x in tensors(placed))
    assert_alike(kernel, call(kernel, lambda x: x), kernel.function(*placed, **kernel.options))
    for arguments in (kernel.arguments, placed):
        for one, other in zip(tensors(before), tensors(arguments), strict=True):
            assert torch.equal(one, other)


@still
def test_shapes_alone_decide_what_a_kernel_does_and_all_of_it_stays_on_its_device(kernel):
    """On `meta`, a device without values, reading one or meeting another device is an error."""
    here, there = call(kernel, lambda x: x), call(kernel, lambda x: x.to("meta"))
    for one, other in zip(tensors(here), tensors(there), strict=True):
        assert other.device.type == "meta"
        assert (kind(one), one.shape) == (kind(other), other.shape)


@needs_device("cuda")
@every
def test_a_gpu_finds_the_same(kernel):
    there = call(kernel, Tensor.cuda)
    assert all(x.device.type == "cuda" for x in tensors(there))
    assert_alike(kernel, call(kernel, lambda x: x), moved(there, Tensor.cpu))
