"""Claims about the shipped generator `digits`: what loads it, how good it is, what trained it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from genenvs.core.frechet import frechet_distance
from genenvs.generators import bank, bank_build, store
from genenvs.generators.bank import Bank
from genenvs.generators.denoiser import Denoiser, load
from genenvs.generators.judge import load_judge
from genenvs.generators.sampling import sample, uniform_times
from tests.needs import needs


@pytest.fixture(scope="module")
def digits() -> Denoiser:
    return load("digits")


@pytest.fixture(scope="module")
def drawn(digits: Denoiser) -> tuple[torch.Tensor, torch.Tensor]:
    """300 samples at 20 steps and what they were asked to be."""
    noise, condition = bank.starts(digits, "test", torch.arange(300))
    return sample(digits, noise, condition, uniform_times(digits.schedule, 20)), condition


def test_digits_is_what_the_tasks_expect(digits: Denoiser) -> None:
    assert digits.shape == (1, 8, 8)
    assert digits.condition_names == tuple("0123456789")
    assert digits.schedule.steps == 1000
    assert digits.prediction == "v_prediction"


def test_plain_diffusers_loads_the_shipped_folder() -> None:
    from diffusers import DDPMPipeline

    pipeline = DDPMPipeline.from_pretrained(store.WEIGHTS / "digits", use_safetensors=True)
    mine = load("digits")
    x, label = torch.randn(2, 1, 8, 8), torch.tensor([3, 8])
    time = torch.tensor([1, 999])
    torch.testing.assert_close(
        pipeline.unet(x, time, label).sample, mine.unet(x, time, label).sample
    )
    assert pipeline.scheduler.config.prediction_type == "v_prediction"


def test_weights_stay_small_and_every_file_is_in_the_manifest() -> None:
    manifest = store.read_manifest(store.WEIGHTS)
    assert manifest["digits/unet/diffusion_pytorch_model.safetensors"]["bytes"] <= 4_000_000
    own = [entry for name, entry in manifest.items() if name.startswith("digits")]
    assert sum(entry["bytes"] for entry in own) < 8_000_000
    on_disk = {
        path.relative_to(store.WEIGHTS).as_posix() for path in store.WEIGHTS.rglob("*.safetensors")
    }
    assert on_disk == {name for name in manifest if name.endswith(".safetensors")}
    store.verify([store.WEIGHTS / name for name in manifest], store.WEIGHTS)


def test_samples_are_read_as_the_digit_asked_for(drawn) -> None:
    images, condition = drawn
    assert (load_judge().logits(images).argmax(1) == condition).float().mean() >= 0.95


@needs("sklearn", extra="dev")
def test_samples_lie_near_real_digits_and_far_from_noise(drawn) -> None:
    from genenvs.generators.training.digits_data import load_split

    judge, (images, _) = load_judge(), drawn
    real = judge.features(load_split("test")[0])
    noise = torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    near = frechet_distance(judge.features(images), real)
    assert near < 0.1 * frechet_distance(judge.features(noise), real)


def test_the_error_to_many_steps_falls_with_the_number_of_steps(digits: Denoiser) -> None:
    entries = Bank.load(digits, "validation")
    errors = []
    for steps in (3, 5, 10, 20):
        times = uniform_times(digits.schedule, steps)
        images = sample(digits, entries.noise[:100], entries.condition[:100], times)
        difference = (images - entries.solution[:100].float()).flatten(1)
        errors.append(float(difference.square().mean(1).sqrt().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 2 * errors[2] > 3 * errors[3]


def test_the_shipped_bank_has_the_promised_sizes_and_settings(digits: Denoiser) -> None:
    for split, size in (("train", 8192), ("validation", 1024), ("test", 2048)):
        entries = Bank.load(digits, split, "ddim")
        assert len(entries) == size
        assert (entries.key.sampler, entries.key.steps) == ("ddim", "200")
        assert entries.solution.shape == entries.noise.shape == (size, 1, 8, 8)
        assert set(entries.condition.tolist()) == set(range(10))


@pytest.mark.parametrize("split", bank.SPLITS)
def test_two_shipped_entries_are_recomputed(digits: Denoiser, split: str) -> None:
    entries = Bank.load(digits, split)
    index = torch.tensor([0, len(entries) - 1])
    found = bank_build.solve(digits, split, index, "ddim", 200)
    torch.testing.assert_close(found.float(), entries.solution[index].float(), rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("split", bank.SPLITS)
def test_16_shipped_entries_are_recomputed(digits: Denoiser, split: str) -> None:
    entries = Bank.load(digits, split)
    index = torch.linspace(0, len(entries) - 1, 16).long()
    found = bank_build.solve(digits, split, index, "ddim", 200)
    torch.testing.assert_close(found.float(), entries.solution[index].float(), rtol=0, atol=1e-3)


def test_a_prediction_adds_microseconds_to_the_bare_network(digits: Denoiser) -> None:
    """About 10 measured, of 1,400 that the network takes for one row; the bound leaves room."""
    from genenvs.generators.training.report import overhead

    noise, condition = bank.starts(digits, "train", torch.arange(64))
    assert overhead(digits, noise, torch.full((64,), 500), condition) < 100e-6


@needs("sklearn", extra="dev")
def test_the_default_arguments_are_those_that_made_the_shipped_weights() -> None:
    from genenvs.generators.training.digits import Training

    record = json.loads((store.WEIGHTS / "digits" / "training.json").read_text())
    assert record["arguments"] == asdict(Training())
    assert record["minutes"] <= 30


def test_the_committed_report_is_about_the_committed_weights(digits: Denoiser) -> None:
    report = json.loads((store.WEIGHTS / "digits" / "report.json").read_text())
    assert report["generator"]["digest"] == digits.digest
    assert report["judge"]["digest"] == load_judge().digest
    assert report["judge"]["accuracy"]["test"] >= 0.97
    assert report["quality"]["read_as_asked"] >= 0.95


@pytest.mark.slow
@needs("sklearn", extra="dev")
def test_the_committed_report_is_measured_again(digits: Denoiser) -> None:
    from genenvs.generators.training.report import SAMPLES, quality

    committed = json.loads((store.WEIGHTS / "digits" / "report.json").read_text())["quality"]
    noise, condition = bank.starts(digits, "test", torch.arange(SAMPLES))
    again = quality(digits, load_judge(), noise, condition)
    assert again["read_as_asked"] == pytest.approx(committed["read_as_asked"], abs=0.002)
    for name, value in again["nearest_neighbour"].items():
        assert value == pytest.approx(committed["nearest_neighbour"][name], abs=1e-3)
    for name in ("samples_to_test", "train_to_test_floor"):
        assert again["frechet"][name] == pytest.approx(committed["frechet"][name], rel=0.02)


@needs("sklearn", extra="dev")
def test_training_repeats_by_seed_and_writes_a_folder_that_loads(tmp_path: Path) -> None:
    from genenvs.generators.training.digits import Training, save, train

    threads = torch.get_num_threads()
    state = torch.random.get_rng_state()
    short = Training(steps=4, batch=16, warm_up=2)
    runs = [train(short, progress=False) for _ in range(2)]
    other = train(Training(steps=4, batch=16, warm_up=2, seed=1), progress=False)
    torch.set_num_threads(threads)
    torch.random.set_rng_state(state)
    weights = [run[0].state_dict() for run in (*runs, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    files = save(*runs[0], tmp_path / "model")
    assert len(files) == 4
    denoiser = load(str(tmp_path / "model"))
    assert denoiser.prediction == "v_prediction"
    assert denoiser.num_conditions == 10
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert record["arguments"]["steps"] == 4
    assert record["log"][-1]["step"] == 4
