"""Counter-based random streams.

Every number is a function of (key, counter), so that an episode does not depend on its neighbours
in the batch.

Two functions of different cost do all the work: `mix`, a 64-bit hash chain (splitmix64, Steele et
al., OOPSLA 2014) that derives keys, and Philox-4x32-10 (Salmon et al., SC 2011) that fills a key's
stream with numbers. Both are written in int64 arithmetic (which wraps) and give the same bits on
every device; only `normal` goes through `log` and `cos` and may differ in the last place. On the
CPU the same lines run on numpy views of the tensors, whose operators cost a third of torch's: what
a reset of a few rows draws is hundreds of operations on a few numbers.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, splitmix64's increment
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_LOW = 0xFFFFFFFF
_PHILOX_M = (0xD2511F53, 0xCD9E8D57)
_PHILOX_W = (0x9E3779B9, 0xBB67AE85)
_MASK_64 = (1 << 64) - 1
_SMALL = (
    64  # below this the four rounds of `shuffled` are visibly uneven; from here on they are not
)


def word(text: str) -> int:
    """Hash a name to a non-negative 62-bit integer (FNV-1a), to be absorbed by `mix`."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & _MASK_64
    return value >> 2


def counter(step: int | Tensor, purpose: int) -> int | Tensor:
    """The counter of a draw: which step of the episode, and what for.

    Args:
        step: in 0 .. 2**32 - 1, an int or int64 [B].
        purpose: a small constant that no other draw of the task uses, in 0 .. 2**30 - 1.
    """
    return step + (purpose << 32)


def mix(key: int | Tensor, *words: int | Tensor) -> Tensor:
    """Derive a new key from a key and words, one after the other.

    So `mix(mix(k, a), b)` is `mix(k, a, b)`.

    Args:
        key: int64 [B] (or an int).
        words: ints or int64 tensors that broadcast against `key`.

    Returns:
        int64 of the broadcast shape, on the device of the tensors given.
    """
    given = [item for item in (key, *words) if isinstance(item, Tensor)]
    bare = not any(item.ndim for item in given)
    host = all(item.device.type == "cpu" for item in given)
    value = _operand(key, host)
    for item in words:
        step = _operand((item + 1) * _GOLDEN, host)  # splitmix64's state after `item` steps
        value = _finalise(value + step)
    result = torch.from_numpy(value) if host else value
    return result.reshape(()) if bare else result


def _operand(value: int | Tensor, host: bool) -> Any:
    """An array of at least one axis (numpy's bare numbers warn of overflow) or a tensor."""
    if isinstance(value, Tensor):
        return np.atleast_1d(value.numpy()) if host else value
    return np.array([_signed(value)]) if host else torch.tensor(_signed(value))


def _signed(value: int) -> int:
    value &= _MASK_64
    return value - (1 << 64) if value >> 63 else value


def _finalise(value: Any) -> Any:
    value = (value ^ ((value >> 30) & 0x3FFFFFFFF)) * _MIX_1
    value = (value ^ ((value >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return value ^ ((value >> 31) & 0x1FFFFFFFF)


def philox(counters: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> Tensor:
    """Philox-4x32-10.

    Args:
        counters: four int64 tensors holding 32-bit words, broadcastable.
        key: two int64 tensors holding 32-bit words.

    Returns:
        int64 [..., 4]: four 32-bit words, non-negative.
    """
    c0, c1, c2, c3 = torch.broadcast_tensors(*counters, key[0])[:4]
    even, odd, pair = torch.stack([c0, c2]), torch.stack([c1, c3]), torch.stack(key)  # [2, ...]
    if even.device.type == "cpu":
        _rounds_on_host(*(x.numpy().view(np.uint64) for x in (even, odd, pair)))
    else:
        even, odd = _rounds(even, odd, pair)
    return torch.stack([even[0], odd[0], even[1], odd[1]], dim=-1)


def _rounds(even: Tensor, odd: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """The ten rounds on the words (0, 2), (1, 3) and the keys, [2, ...] each."""
    column = (2, *(1,) * (even.ndim - 1))
    multiplier = torch.tensor(_PHILOX_M, device=even.device).view(column)
    weyl = torch.tensor(_PHILOX_W, device=even.device).view(column)
    for _ in range(10):
        product = even * multiplier
        even = ((product >> 32) & _LOW).flip(0) ^ odd ^ key
        odd = (product & _LOW).flip(0)
        key = (key + weyl) & _LOW
    return even, odd


def _rounds_on_host(even: np.ndarray, odd: np.ndarray, key: np.ndarray) -> None:
    """The same on numpy's uint64 and in place, with half as many operations.

    Instead of the words the constants change places: after an odd number of rounds `even` and `odd`
    hold the second word first.
    """
    column = (2, *(1,) * (even.ndim - 1))
    multiplier = np.array(_PHILOX_M, np.uint64).reshape(column)
    weyl = np.array(_PHILOX_W, np.uint64).reshape(column)
    low, half = np.uint64(_LOW), np.uint64(32)
    keys = (key + weyl * np.arange(10, dtype=np.uint64).reshape(10, *column[1:], 1)) & low
    product = np.empty_like(even)
    for k in range(10):
        np.multiply(even, multiplier[:: -1 if k % 2 else 1], out=product)
        np.right_shift(product, half, out=even)
        np.bitwise_xor(even, odd[::-1], out=even)
        np.bitwise_xor(even, keys[k] if k % 2 else keys[k, ::-1], out=even)
        np.bitwise_and(product, low, out=odd)


def bits(key: Tensor, counter: int | Tensor, n: int) -> Tensor:
    """`n` random 32-bit words per row.

    Args:
        key: int64 [B].
        counter: an int or int64 [B], see `counter`.
        n: words per row.

    Returns:
        int64 [B, n] in 0 .. 2**32 - 1.
    """
    key = key[:, None]  # [B, 1]
    block = torch.arange((n + 3) // 4, device=key.device)[None]  # [1, ceil(n / 4)]
    if isinstance(counter, Tensor):
        counter = counter[:, None]
    else:
        counter = torch.tensor(counter, device=key.device)
    zero = torch.zeros((), dtype=torch.int64, device=key.device)
    words = philox(
        (block, counter & _LOW, (counter >> 32) & _LOW, zero), (key & _LOW, (key >> 32) & _LOW)
    )
    return words.flatten(1)[:, :n]


def uniform(key: Tensor, counter: int | Tensor, n: int) -> Tensor:
    """Uniform numbers: float32 [B, n] in [0, 1), multiples of 2**-24."""
    return (bits(key, counter, n) >> 8).to(torch.float32) * 2.0**-24


def normal(key: Tensor, counter: int | Tensor, n: int) -> Tensor:
    """Standard normal numbers (Box-Muller): float32 [B, n], finite, |x| < 6.8."""
    words = bits(key, counter, n + n % 2)
    half = words.shape[1] // 2
    first, second = words[:, :half], words[:, half:]
    # (w + 0.5) * 2**-32 is in (0, 1); in float64 it cannot round to either end.
    radius = torch.sqrt(-2.0 * torch.log((first.double() + 0.5) * 2.0**-32))
    angle = second.double() * (2.0 * math.pi * 2.0**-32)
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], 1)[:, :n].float()


def randint(key: Tensor, counter: int | Tensor, n: int, high: int | Tensor) -> Tensor:
    """Integers: int64 [B, n] in 0 .. high - 1, bias below high * 2**-32.

    Args:
        key: int64 [B].
        counter: see `counter`.
        n: numbers per row.
        high: at most 2**31; an int or int64 [B, 1].
    """
    return (bits(key, counter, n) * high) >> 32


def permutation(key: Tensor, counter: int | Tensor, n: int) -> Tensor:
    """A random permutation of 0 .. n - 1 per row: int64 [B, n]."""
    # The position breaks ties between equal words, so that the order is the same on every device.
    words = bits(key, counter, n) << 24 | torch.arange(n, device=key.device)
    return words.argsort(1)


def shuffled(key: Tensor, index: Tensor, n: int) -> Tensor:
    """Element `index` of a keyed permutation of 0 .. n - 1, without building the permutation.

    A bijection on the next power of two (odd multiplications and xor-shifts), walked along its
    cycle until it lands below `n`; a power of two needs no walk and so no device synchronisation.
    Up to 64 elements the permutation is built after all: by sorting hashes, so that each of its
    orders is equally likely.

    Args:
        key: int64 [B].
        index: int64 [B] in 0 .. n - 1.
        n: size of the set, at least 1.

    Returns:
        int64 [B] in 0 .. n - 1.
    """
    if n <= _SMALL:
        hashes = mix(key[:, None], torch.arange(n, device=key.device))  # [B, n]
        return hashes.argsort(dim=1, stable=True).gather(1, index[:, None])[:, 0]
    width = (n - 1).bit_length()
    mask, shift = (1 << width) - 1, (width + 1) // 2
    rounds: Any = mix(key, torch.arange(4, device=key.device)[:, None])  # [4, B]
    host = key.device.type == "cpu"
    # numpy's small operations cost a third of torch's
    rounds, start = (rounds.numpy(), index.numpy()) if host else (rounds, index)
    where: Any = np.where if host else torch.where

    def bijection(value: Any) -> Any:
        for item in rounds:
            value = ((value ^ (item >> 32)) * (item | 1)) & mask
            value = value ^ (value >> shift)
        return value

    value = bijection(start)
    while n <= mask and bool((outside := value >= n).any()):
        value = where(outside, bijection(value), value)
    return torch.from_numpy(value) if host else value
