"""Claims about instances and the bank of their solutions, on tiny models."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from genenvs.core.task import DTYPES
from genenvs.generators import bank, bank_build, store
from genenvs.generators.bank import Bank, starts
from genenvs.generators.denoiser import Denoiser, load
from genenvs.generators.sampling import sample, uniform_times
from tests.generators.models import write_model


def built(denoiser: Denoiser, instances: int = 20, **settings: object) -> Path:
    settings = {"split": "test", "steps": 4, "progress": False, **settings}
    return bank_build.build(denoiser, instances=instances, **settings)


def test_an_instance_depends_on_its_split_and_index_alone(tiny: Denoiser) -> None:
    noise, condition = starts(tiny, "train", torch.arange(50))
    picked = torch.tensor([41, 3, 3])
    some_noise, some_condition = starts(tiny, "train", picked)
    assert torch.equal(some_noise, noise[picked])
    assert torch.equal(some_condition, condition[picked])


def test_no_two_instances_share_their_noise_within_or_across_splits(tiny: Denoiser) -> None:
    noise = torch.cat([starts(tiny, split, torch.arange(400))[0] for split in bank.SPLITS])
    assert len(noise.flatten(1)[:, 0].unique()) > 1195  # float32 values may meet by chance
    correlation = torch.corrcoef(noise.flatten(1)).fill_diagonal_(0)
    assert correlation.abs().max() < 0.75  # of 720,000 pairs of 64 normals


def test_noise_is_standard_normal_and_conditions_are_even(tiny: Denoiser) -> None:
    noise, condition = starts(tiny, "train", torch.arange(6000))
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.std()) - 1) < 0.01
    counts = condition.bincount(minlength=3)
    assert len(counts) == 3
    assert ((counts - 2000).abs() < 200).all()


def test_an_entry_is_golden() -> None:
    """Shipped banks hold solutions only: if this changes, every bank is wrong."""

    class Digits:
        shape = (1, 8, 8)

        def places(self, split):
            return torch.arange(10)

    noise, condition = starts(Digits(), "test", torch.tensor([0, 1, 2047]))  # type: ignore[arg-type]
    assert condition.tolist() == [1, 1, 9]
    torch.testing.assert_close(
        noise[:, 0, 0, 0], torch.tensor([0.017088, -0.318054, -1.551202]), atol=1e-5, rtol=0
    )


def test_a_bank_holds_each_instance_with_its_solution(tiny: Denoiser, cache: Path) -> None:
    path = built(tiny, sampler="dpmpp_2m")
    assert cache in path.parents
    found = Bank.load(tiny, "test")
    assert len(found) == 20
    noise, condition = starts(tiny, "test", torch.arange(20))
    assert torch.equal(found.noise, noise)
    assert torch.equal(found.condition, condition)
    assert found.solution.dtype == torch.float16
    expected = sample(tiny, noise, condition, uniform_times(tiny.schedule, 4), "dpmpp_2m")
    torch.testing.assert_close(found.solution.float(), expected, rtol=2e-3, atol=2e-3)
    assert Bank.load(tiny, "test") is found


def test_most_steps_win_and_a_sampler_can_be_asked_for(tiny: Denoiser, cache: Path) -> None:
    built(tiny, sampler="dpmpp_2m", steps=3)
    built(tiny, sampler="ddim", steps=9)
    built(tiny, sampler="ddim", steps=10)
    assert Bank.load(tiny, "test").key.steps == "10"
    assert Bank.load(tiny, "test", "dpmpp_2m").key.steps == "3"


def test_without_a_bank_the_error_says_how_to_build_one_and_what_it_costs(tiny, cache) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Bank.load(tiny, "validation", "ddim")
    message = str(caught.value)
    assert "has no bank of solutions for split 'validation'" in message
    assert f"--generator {tiny.name} --instances 1024 --split validation --sampler ddim" in message
    assert "51,200 network evaluations, about " in message
    command = message.split("genenvs.generators.bank ")[1].split("\n")[0].split()
    command[command.index("1024")] = "3"
    bank_build.main(command)
    assert len(Bank.load(tiny, "validation", "ddim")) == 3


def test_the_estimate_counts_evaluations_and_scales_with_them(tiny: Denoiser) -> None:
    evaluations, minutes = bank_build.estimate(tiny, instances=100, steps=7)
    assert evaluations == 700
    assert 0 < minutes < 1


@pytest.mark.parametrize("name", ["weights", "schedule", "dtype", "sampler", "split"])
def test_a_bank_of_something_else_is_refused_and_says_of_what(tiny, cache, name: str) -> None:
    path = built(tiny, sampler="ddim")
    key = bank.read_key(path)
    wrong = {"dtype": "bfloat16", "sampler": "dpmpp_2m", "split": "train"}.get(name, "0" * 64)
    save_file(load_file(path), path, metadata={"bank": json.dumps({**asdict(key), name: wrong})})
    with pytest.raises(ValueError, match="does not fit") as caught:
        Bank.load(tiny, "test", "ddim")
    assert f"{name} {wrong[:12]}" in str(caught.value)


def test_a_bank_of_another_precision_is_not_taken(folders: dict, cache: Path) -> None:
    full = load(str(folders["v_prediction"]))
    half = load(str(folders["v_prediction"]), dtype=torch.bfloat16)
    built(full)
    with pytest.raises(ValueError, match="dtype float32, not bfloat16"):
        Bank.load(half, "test")


def test_a_retrained_model_does_not_find_the_old_bank(tmp_path: Path, cache: Path) -> None:
    old = load(str(write_model(tmp_path / "model", seed=1)))
    built(old)
    new = load(str(write_model(tmp_path / "model", seed=2)))
    with pytest.raises(FileNotFoundError, match="has no bank"):
        Bank.load(new, "test")


def test_a_damaged_bank_is_refused(tiny: Denoiser, cache: Path) -> None:
    path = built(tiny)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is damaged"):
        Bank.load(tiny, "test")
    save_file({"solution": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="is no bank"):
        Bank.load(tiny, "test")


def test_a_bank_of_another_shape_or_with_nan_is_refused(tiny: Denoiser, cache: Path) -> None:
    path = built(tiny)
    metadata = {"bank": json.dumps(asdict(bank.read_key(path)))}
    save_file({"solution": torch.zeros(2, 1, 8, 7).half()}, path, metadata=metadata)
    with pytest.raises(ValueError, match=r"must hold float16 \[M, 1, 8, 8\]"):
        Bank.load(tiny, "test")
    save_file({"solution": torch.full((2, 1, 8, 8), torch.nan).half()}, path, metadata=metadata)
    with pytest.raises(ValueError, match="not finite"):
        Bank.load(tiny, "test")


def test_a_killed_build_goes_on_where_it_stopped(tiny, cache, monkeypatch) -> None:
    monkeypatch.setattr(bank_build, "PART_ROWS", 8)
    real, solved = bank_build.solve, []

    def killed(denoiser, split, index, *rest):
        if len(solved) == 2:
            raise KeyboardInterrupt
        solved.append(int(index[0]))
        return real(denoiser, split, index, *rest)

    monkeypatch.setattr(bank_build, "solve", killed)
    with pytest.raises(KeyboardInterrupt):
        built(tiny, 30)
    assert not bank.cached_path(bank.key_of(tiny, "test", "dpmpp_2m", 4)).exists()
    assert solved == [0, 8]

    def counted(denoiser, split, index, *rest):
        solved.append(int(index[0]))
        return real(denoiser, split, index, *rest)

    monkeypatch.setattr(bank_build, "solve", counted)
    path = built(tiny, 30)
    assert solved == [0, 8, 16, 24]
    assert not path.with_suffix(".parts").exists()
    resumed = bank.read_solution(path, tiny.shape)
    path.unlink()
    assert torch.equal(resumed, bank.read_solution(built(tiny, 30), tiny.shape))


def test_a_damaged_part_is_solved_again(tiny, cache, monkeypatch) -> None:
    monkeypatch.setattr(bank_build, "PART_ROWS", 8)
    path = built(tiny, 20)
    expected = path.read_bytes()
    path.unlink()
    part = path.with_suffix(".parts") / "00000000.safetensors"
    part.parent.mkdir()
    part.write_bytes(b"torn")
    assert built(tiny, 20).read_bytes() == expected


def test_a_finished_bank_is_kept_and_grows_when_more_is_asked(tiny, cache, monkeypatch) -> None:
    monkeypatch.setattr(bank_build, "PART_ROWS", 8)
    small = bank.read_solution(built(tiny, 16), tiny.shape)
    solved: list[int] = []
    real = bank_build.solve
    monkeypatch.setattr(
        bank_build,
        "solve",
        lambda d, s, index, *r: solved.append(int(index[0])) or real(d, s, index, *r),
    )
    assert len(bank.read_solution(built(tiny, 10), tiny.shape)) == 16
    grown = bank.read_solution(built(tiny, 20), tiny.shape)
    assert solved == [16]
    assert len(grown) == 20
    assert torch.equal(grown[:16], small)


def test_a_generator_that_overflows_float16_is_refused(tmp_path: Path, cache: Path) -> None:
    folder = write_model(tmp_path / "model")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(
        {
            name: each * (1e9 if name == "conv_out.bias" else 1)
            + (1e9 if name == "conv_out.bias" else 0)
            for name, each in load_file(path).items()
        },
        path,
        metadata={"format": "pt"},
    )
    with pytest.raises(ValueError, match=r"not finite in float16, entries 0\.\.4"):
        built(load(str(folder)), 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"split": "tset"},
            "split must be one of train, validation, test; got 'tset'; did you mean",
        ),
        ({"sampler": "euler"}, "sampler must be one of ddim, dpmpp_2m"),
        ({"steps": 101}, "steps must be in 1"),
        ({"instances": 0}, "instances must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(tiny, cache, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        built(tiny, **settings)
    assert not cache.exists()


def test_loading_refuses_an_unknown_split_and_sampler(tiny: Denoiser, cache: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'train'"):
        Bank.load(tiny, "trian")
    with pytest.raises(ValueError, match="sampler must be one of"):
        Bank.load(tiny, "train", "heun")
    with pytest.raises(ValueError, match="split must be one of"):
        starts(tiny, "all", torch.arange(2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_command_that_an_error_names_builds_what_was_asked_for(
    folders: dict, cache: Path, dtype: str
) -> None:
    denoiser = load(str(folders["epsilon"]), dtype=DTYPES[dtype])
    with pytest.raises(FileNotFoundError, match="has no bank") as caught:
        Bank.load(denoiser, "test")
    command = str(caught.value).splitlines()[1].split()[3:]
    bank_build.main([*command, "--instances", "2", "--steps", "2"])
    assert len(Bank.load(denoiser, "test")) == 2


def test_the_command_builds_all_splits_in_proportion(folders, cache, capsys) -> None:
    folder = str(folders["epsilon"])
    bank_build.main(["--generator", folder, "--instances", "16", "--steps", "2"])
    sizes = {split: len(Bank.load(load(folder), split)) for split in bank.SPLITS}
    assert sizes == {"train": 16, "validation": 2, "test": 4}
    assert capsys.readouterr().out.count(str(cache)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generator", "/no/such"], "--instances is required"),
        (["--generator", "/no/such", "--instances", "4"], "is not a folder here"),
        (["--generator", "/no/such", "--shipped"], "--shipped is for digits"),
    ],
)
def test_the_command_fails_with_code_2_and_a_sentence(capsys, arguments, message) -> None:
    with pytest.raises(SystemExit) as caught:
        bank_build.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_tampered_shipped_bank_is_refused(tmp_path, folders, monkeypatch, cache) -> None:
    root = tmp_path / "weights"
    shutil.copytree(folders["epsilon"], root / "digits")
    monkeypatch.setattr(store, "WEIGHTS", root)
    store.seal(sorted((root / "digits").rglob("*.*")), root)
    monkeypatch.setattr(bank, "SHIPPED_STEPS", 2)
    monkeypatch.setitem(bank.SHIPPED_SIZES, "test", 6)
    bank_build.main(["--generator", "digits", "--shipped", "--split", "test"])
    path = root / "digits" / "bank-test.safetensors"
    assert len(Bank.load(load("digits"), "test", "ddim")) == 6
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"bank-test\.safetensors is not the file that was shipped"
    ):
        Bank.load(load("digits"), "test")
