"""Claims about the judge of digits and about the metrics of sets."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from genenvs.core.frechet import frechet_distance
from genenvs.generators import store
from genenvs.generators.judge import load_judge
from genenvs.images.metrics import nearest_neighbour_distance
from tests.needs import import_or_skip, needs


def features(seed: int, rows: int = 200, size: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=generator)
    return torch.randn(rows, size, generator=generator) @ mixing + seed


@needs("sklearn", extra="dev")
def test_the_judge_reads_at_least_97_percent_of_the_real_test_split() -> None:
    from genenvs.generators.training.digits_data import load_split

    images, labels = load_split("test")
    assert (load_judge().logits(images).argmax(1) == labels).float().mean() >= 0.97


@needs("sklearn", extra="dev")
def test_the_judge_is_lost_on_shuffled_pixels() -> None:
    from genenvs.generators.training.digits_data import load_split

    images, labels = load_split("test")
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    shuffled = images.flatten(1)[:, order].view_as(images)
    assert (load_judge().logits(shuffled).argmax(1) == labels).float().mean() < 0.3


def test_the_judge_reads_rows_alone_and_gives_no_gradient() -> None:
    judge = load_judge()
    images = torch.randn(7, 1, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    logits, found = judge.logits(images), judge.features(images)
    assert logits.shape == (7, judge.num_classes) == (7, 10)
    assert found.dim() == 2
    assert not (logits.requires_grad or found.requires_grad)
    torch.testing.assert_close(judge.logits(images[3:4]), logits[3:4], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(judge.network.head(found.relu()), logits)
    assert load_judge() is judge


def test_the_judge_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match=r"reads images \[B, 1, 8, 8\]; got \[2, 3, 8, 8\]"):
        load_judge().logits(torch.zeros(2, 3, 8, 8))


def test_a_missing_and_a_tampered_judge_are_refused(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(FileNotFoundError, match="no judge ships for 'faces'"):
        load_judge("faces")
    shutil.copytree(store.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(store, "WEIGHTS", tmp_path / "weights")
    path = tmp_path / "weights" / "digits-judge" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(ValueError, match="not the file that was shipped"):
        load_judge()


def test_frechet_distance_equals_the_closed_form_in_one_dimension() -> None:
    """(m1 - m2)^2 + (s1 - s2)^2; here means 1 and 4, unbiased deviations sqrt(2) and sqrt(8)."""
    first, second = torch.tensor([[0.0], [2.0]]), torch.tensor([[2.0], [6.0]])
    assert frechet_distance(first, second) == pytest.approx(9 + (8**0.5 - 2**0.5) ** 2)


def test_frechet_distance_equals_the_matrix_root_of_scipy() -> None:
    sqrtm = import_or_skip("scipy.linalg", extra="dev").sqrtm
    first, second = features(1), features(2, rows=77)
    a, b = np.cov(first.double().numpy().T), np.cov(second.double().numpy().T)
    shift = first.double().mean(0).numpy() - second.double().mean(0).numpy()
    expected = shift @ shift + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_is_symmetric_and_zero_only_to_itself() -> None:
    first, second = features(1), features(2)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, first + 2) == pytest.approx(5 * 4, rel=1e-6)


def test_frechet_distance_takes_singular_covariances() -> None:
    flat = features(1)
    flat[:, 3] = flat[:, 2]
    assert frechet_distance(flat, flat + 1) == pytest.approx(5, rel=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 4), "at least two rows"),
        (torch.zeros(1, 2), torch.zeros(3, 2), "at least two rows"),
        (torch.zeros(3, 2, 1), torch.zeros(3, 2, 1), "at least two rows"),
        (torch.full((3, 2), torch.nan), torch.zeros(3, 2), "finite"),
    ],
)
def test_frechet_distance_refuses_what_has_none(first, second, message) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(first, second)


def test_nearest_neighbours_by_hand() -> None:
    images = torch.tensor([0.0, 1.0, 4.0])[:, None, None, None].expand(3, 1, 2, 2)
    torch.testing.assert_close(nearest_neighbour_distance(images), torch.tensor([1.0, 1.0, 3.0]))
    copies = nearest_neighbour_distance(images[:2], images)
    assert torch.equal(copies, torch.zeros(2))
    with pytest.raises(ValueError, match="too few rows"):
        nearest_neighbour_distance(images[:1])
