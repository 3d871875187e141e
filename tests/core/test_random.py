"""The random streams: published vectors, plain references, distributions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.core import random
from tests.needs import import_or_skip, needs_device

WORDS = st.integers(0, 2**32 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)


# Random123's kat_vectors for philox4x32-10 (Salmon et al., SC 2011).
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_gives_the_published_words(counter, key, expected):
    counters = tuple(torch.tensor([int(word, 16)]) for word in counter.split())
    keys = tuple(torch.tensor([int(word, 16)]) for word in key.split())
    words = random.philox(counters, keys)[0].tolist()
    assert [f"{word:08x}" for word in words] == expected.split()


def philox_in_python(counter, key):
    """The paper's algorithm in Python's own integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 % 2**32, (p0 >> 32) ^ c[3] ^ k[1], p0 % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


@given(st.tuples(WORDS, WORDS, WORDS, WORDS), st.tuples(WORDS, WORDS))
def test_philox_equals_a_plain_reference(counter, key):
    words = random.philox(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))
    assert words.tolist() == philox_in_python(counter, key)


@given(INT64, INT64, st.integers(1, 9))
def test_bits_are_blocks_of_philox_under_the_counter(key, counter, n):
    low, high = key % 2**32, (key >> 32) % 2**32
    expected = []
    for block in range(3):
        place = (block, counter % 2**32, (counter >> 32) % 2**32, 0)
        expected += philox_in_python(place, (low, high))
    assert random.bits(torch.tensor([key]), counter, n)[0].tolist() == expected[:n]
    batched = random.bits(torch.tensor([5, key]), torch.tensor([3, counter]), n)
    assert batched[1].tolist() == expected[:n]


def splitmix_in_python(key, *words):
    mask = 2**64 - 1
    value = key & mask
    for word in words:
        value = (value + (word + 1) * 0x9E3779B97F4A7C15) & mask
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        value ^= value >> 31
    return value - 2**64 if value >> 63 else value


@given(INT64, st.lists(INT64, min_size=1, max_size=3))
def test_mix_equals_a_plain_reference(key, words):
    expected = splitmix_in_python(key, *words)
    assert random.mix(torch.tensor(key), *words).item() == expected
    assert random.mix(key, *map(torch.tensor, words)).item() == expected


def test_mix_gives_the_published_words_of_splitmix64():
    # The first outputs of splitmix64 with state 1234567 (Vigna's reference implementation).
    words = [random.mix(1234567, i).item() % 2**64 for i in range(3)]
    assert words == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(INT64, INT64, INT64)
def test_mix_absorbs_one_word_after_the_other(key, a, b):
    key, a, b = (torch.tensor([value]) for value in (key, a, b))
    assert torch.equal(random.mix(random.mix(key, a), b), random.mix(key, a, b))


@given(INT64, st.integers(1, 300))
def test_shuffled_is_a_bijection(key, n):
    values = random.shuffled(torch.full((n,), key), torch.arange(n), n)
    assert sorted(values.tolist()) == list(range(n))


def shuffled_in_python(key, index, n):
    if n <= 64:
        return sorted(range(n), key=lambda i: splitmix_in_python(key, i))[index]
    width = max(1, (n - 1).bit_length())
    mask, shift = 2**width - 1, (width + 1) // 2
    while True:
        for i in range(4):
            word = splitmix_in_python(key, i)
            index = ((index ^ (word >> 32)) * (word | 1)) & mask
            index ^= index >> shift
        if index < n:
            return index


@given(INT64, st.integers(1, 5000), st.data())
def test_shuffled_equals_a_plain_reference(key, n, data):
    index = data.draw(st.integers(0, n - 1))
    value = random.shuffled(torch.tensor([key]), torch.tensor([index]), n)
    assert value.item() == shuffled_in_python(key, index, n)


@pytest.mark.parametrize(
    ("n", "quantile"), [(3, 13.8), (5, 18.5), (64, 103.4), (65, 104.7), (128, 181.9)]
)
def test_shuffled_spreads_each_index_evenly(n, quantile):
    """Chi-square with n - 1 degrees of freedom against its 0.999 quantile."""
    keys = 20_000
    values = random.shuffled(random.mix(torch.arange(keys), 1), torch.full((keys,), 2), n)
    counts = np.bincount(values.numpy(), minlength=n)
    assert _chi_square(counts, keys / n) < quantile


@given(st.integers(1, 60))
def test_permutation_holds_every_number_once(n):
    values = random.permutation(torch.arange(3), 0, n)
    assert (values.sort(1).values == torch.arange(n)).all()


def test_permutations_are_equally_frequent():
    values = random.permutation(random.mix(torch.arange(24_000), 2), 0, 4)
    codes = (values * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = np.unique(codes.numpy(), return_counts=True)[1]
    assert len(counts) == 24
    assert _chi_square(counts, 1000) < 49.7  # 0.999 quantile with 23 dof


def test_uniform_is_uniform():
    stats = import_or_skip("scipy.stats", extra="dev")
    values = random.uniform(torch.arange(500), 3, 201).numpy()
    assert values.dtype == np.float32 and values.min() >= 0 and values.max() < 1
    assert stats.kstest(values.ravel(), "uniform").pvalue > 1e-3
    assert (values * 2**24 == np.floor(values * 2**24)).all()


def test_normal_is_normal():
    stats = import_or_skip("scipy.stats", extra="dev")
    values = random.normal(torch.arange(500), 4, 201).numpy()
    assert values.dtype == np.float32 and np.isfinite(values).all()
    assert stats.kstest(values.ravel(), "norm").pvalue > 1e-3
    neighbours = np.corrcoef(values[:, 0], values[:, 101])[0, 1]  # one Box-Muller pair
    assert abs(neighbours) < 4 / math.sqrt(500)


def test_normal_is_finite_where_the_words_are_extreme(monkeypatch):
    extremes = torch.tensor([[0, 2**32 - 1, 0, 2**32 - 1]])
    monkeypatch.setattr(random, "bits", lambda key, counter, n: extremes)
    values = random.normal(torch.zeros(1, dtype=torch.int64), 0, 4)
    assert torch.isfinite(values).all() and values.abs().max() < 6.8


def test_randint_is_uniform_below_high():
    values = random.randint(torch.arange(1000), 5, 70, 7)
    assert values.min() == 0 and values.max() == 6
    assert _chi_square(np.bincount(values.flatten().numpy()), 10_000) < 22.5  # 6 dof
    per_row = random.randint(torch.arange(2), 0, 500, torch.tensor([[1], [2**31]]))
    assert per_row[0].max() == 0 and per_row[1].max() > 2**30


@given(INT64, st.integers(0, 2**32 - 1), st.integers(0, 2**30 - 1), st.integers(0, 2**30 - 1))
def test_two_purposes_never_share_a_counter(key, step, one, other):
    same = random.counter(step, one) == random.counter(step, other)
    assert same == (one == other)
    tensor = random.counter(torch.tensor([step]), one)
    assert tensor.item() == random.counter(step, one)


def test_rows_do_not_depend_on_their_neighbours():
    key = random.mix(torch.arange(40), 9)
    whole = random.normal(key, torch.arange(40), 33)
    assert torch.equal(whole[17:18], random.normal(key[17:18], torch.tensor([17]), 33))


@given(st.text(), st.text())
def test_words_of_names_differ(one, other):
    assert 0 <= random.word(one) < 2**62
    assert (random.word(one) == random.word(other)) == (one == other)


def _chi_square(counts, expected):
    return float(((counts - expected) ** 2 / expected).sum())


def test_the_rounds_on_tensors_equal_those_on_arrays():
    """Other devices run the rounds on tensors; here both run on the CPU."""
    words = random.bits(torch.arange(3), 5, 24).reshape(3, 2, 2, 6)
    even, odd, key = words[0].clone(), words[1].clone(), words[2, :, :, :1]
    on_tensors = random._rounds(even, odd, key)
    random._rounds_on_host(*(x.numpy().view(np.uint64) for x in (even, odd, key)))
    for array, tensor in zip((even, odd), on_tensors, strict=True):
        assert torch.equal(array, tensor)


@needs_device("cuda")
def test_the_streams_on_a_gpu_are_those_on_the_cpu():
    key = random.mix(torch.arange(40), 9)
    there = random.mix(torch.arange(40, device="cuda"), 9)
    assert torch.equal(there.cpu(), key)
    assert torch.equal(random.bits(there, 3, 33).cpu(), random.bits(key, 3, 33))
    assert torch.allclose(random.normal(there, 3, 33).cpu(), random.normal(key, 3, 33), atol=1e-5)
    for n in (7, 100):
        index = torch.arange(40) % n
        got = random.shuffled(there, index.cuda(), n)
        assert torch.equal(got.cpu(), random.shuffled(key, index, n))
