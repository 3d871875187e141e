"""Claims about the denoiser interface: conversions, batches, chunks, caches."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genenvs.generators.denoiser import Denoiser, load
from tests.generators.models import write_model
from tests.needs import needs_device

KINDS = ("epsilon", "v_prediction", "sample")


def batch(denoiser: Denoiser, rows: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(rows, *denoiser.shape, generator=generator)
    time = torch.randint(1, denoiser.schedule.steps + 1, (rows,), generator=generator)
    condition = torch.randint(denoiser.num_conditions, (rows,), generator=generator)
    return x, time, condition


def test_a_local_pipeline_shows_its_shape_conditions_and_schedule(folders: dict) -> None:
    denoiser = load(str(folders["epsilon"]))
    assert denoiser.shape == (1, 8, 8)
    assert denoiser.num_conditions == 3
    assert denoiser.condition_names == ("0", "1", "2")
    assert denoiser.schedule.steps == 100
    assert not denoiser.unet.training
    assert not any(each.requires_grad for each in denoiser.unet.parameters())


def test_the_schedule_is_that_of_diffusers_with_clean_data_at_index_0(tiny: Denoiser) -> None:
    from diffusers import DDPMScheduler

    expected = DDPMScheduler(num_train_timesteps=100).alphas_cumprod
    schedule = tiny.schedule
    torch.testing.assert_close(schedule.alpha[1:] ** 2, expected)
    torch.testing.assert_close(schedule.alpha**2 + schedule.sigma**2, torch.ones(101))
    assert (schedule.alpha[0], schedule.sigma[0]) == (1, 0)
    torch.testing.assert_close(schedule.log_snr[1:], torch.log(expected / (1 - expected)))
    assert schedule.log_snr[0] == 20
    assert (schedule.log_snr.diff() < 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_converted_as_diffusers_converts_them(folders: dict, kind: str) -> None:
    from diffusers import DDIMScheduler

    denoiser = load(str(folders[kind]))
    scheduler = DDIMScheduler.from_pretrained(
        folders[kind] / "scheduler", clip_sample=False, set_alpha_to_one=True
    )
    scheduler.set_timesteps(100)
    x, time, condition = batch(denoiser)
    clean, noise = denoiser.predict_both(x, time, condition)
    for row in range(len(x)):
        one = slice(row, row + 1)
        output = denoiser.unet(x[one], time[one] - 1, condition[one]).sample
        step = scheduler.step(output, int(time[row]) - 1, x[one])
        torch.testing.assert_close(clean[one], step.pred_original_sample, rtol=1e-4, atol=1e-5)
        alpha, sigma = denoiser.schedule.alpha[time[row]], denoiser.schedule.sigma[time[row]]
        implied = (x[one] - alpha * clean[one]) / sigma
        torch.testing.assert_close(noise[one], implied, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_clean_and_noise_recombine_to_x_and_predict_gives_that_noise(folders, kind) -> None:
    denoiser = load(str(folders[kind]))
    x, time, condition = batch(denoiser)
    clean, noise = denoiser.predict_both(x, time, condition)
    alpha, sigma = (
        each[time].view(-1, 1, 1, 1) for each in (denoiser.schedule.alpha, denoiser.schedule.sigma)
    )
    torch.testing.assert_close(alpha * clean + sigma * noise, x, rtol=1e-4, atol=1e-5)
    assert torch.equal(denoiser.predict(x, time, condition), noise)


def test_v_prediction_stays_exact_where_alpha_is_nearly_zero(tmp_path: Path) -> None:
    folder = write_model(
        tmp_path, prediction="v_prediction", num_train_timesteps=1000, rescale_betas_zero_snr=True
    )
    denoiser = load(str(folder))
    assert denoiser.schedule.alpha[-1] < 1e-3
    assert torch.isfinite(denoiser.schedule.log_snr).all()
    x, _, condition = batch(denoiser)
    time = torch.full((6,), 1000)
    clean, noise = denoiser.predict_both(x, time, condition)
    output = denoiser.unet(x, time - 1).sample
    torch.testing.assert_close(clean, -output, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(noise, x, rtol=1e-3, atol=1e-3)


def test_each_row_has_its_own_time_and_condition(tiny: Denoiser) -> None:
    x, time, condition = batch(tiny)
    together = tiny.predict(x, time, condition)
    for row in range(len(x)):
        alone = tiny.predict(x[row, None], time[row, None], condition[row, None])
        torch.testing.assert_close(together[row, None], alone, rtol=1e-5, atol=1e-5)
    other = tiny.predict(x, time, (condition + 1) % 3)
    assert ((together - other).flatten(1).abs().amax(1) > 1e-4).all()
    later = tiny.predict(x, time % 100 + 1, condition)
    assert ((together - later).flatten(1).abs().amax(1) > 1e-6).all()


def test_a_row_at_time_0_is_already_clean(tiny: Denoiser) -> None:
    x, time, condition = batch(tiny)
    time[2] = 0
    clean, noise = tiny.predict_both(x, time, condition)
    assert torch.equal(clean[2], x[2])
    assert torch.equal(noise[2], torch.zeros_like(x[2]))


def test_chunks_change_nothing_but_the_size_of_an_evaluation(folders: dict) -> None:
    whole = load(str(folders["v_prediction"]))
    chunked = load(str(folders["v_prediction"]), max_batch=4)
    rows: list[int] = []
    hook = chunked.unet.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    x, time, condition = batch(whole, 10)
    result = chunked.predict(x, time, condition)
    hook.remove()
    assert rows == [4, 4, 2]
    torch.testing.assert_close(result, whole.predict(x, time, condition), rtol=1e-5, atol=1e-5)


def test_a_prediction_is_never_an_inference_tensor_and_can_be_trained_on(tiny: Denoiser) -> None:
    x, time, condition = batch(tiny)
    with torch.inference_mode():
        results = (tiny.predict(x, time, condition), *tiny.predict_both(x, time, condition))
    for result in results:
        assert not result.is_inference()
        weight = torch.ones(1, requires_grad=True)
        (weight * result).sum().backward()
        assert weight.grad is not None
    assert not tiny.predict(x, time, condition).requires_grad


def test_gradients_reach_the_latents_when_asked_for(tiny: Denoiser) -> None:
    x, time, condition = batch(tiny)
    x.requires_grad_()
    tiny.predict(x, time, condition).square().sum().backward()
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()


def test_lower_precision_still_gives_float32_close_to_it(folders: dict) -> None:
    full = load(str(folders["v_prediction"]))
    half = load(str(folders["v_prediction"]), dtype=torch.bfloat16)
    assert next(half.unet.parameters()).dtype == torch.bfloat16
    assert next(full.unet.parameters()).dtype == torch.float32
    x, time, condition = batch(full)
    result = half.predict(x, time, condition)
    assert result.dtype == torch.float32
    error = (result - full.predict(x, time, condition)).abs().max()
    assert 0 < error < 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_evaluation_looks_for_the_precision_of_the_network(folders, dtype, monkeypatch) -> None:
    from diffusers.models import modeling_utils

    tiny = load(str(folders["sample"]), dtype=dtype, max_batch=78)
    plain, find, looked = type(tiny.unet).__mro__[1], modeling_utils.get_parameter_dtype, []
    assert tiny.unet.dtype == dtype and type(tiny.unet).__name__ == plain.__name__
    monkeypatch.setattr(
        modeling_utils, "get_parameter_dtype", lambda network: looked.append(1) or find(network)
    )
    found = tiny.predict(*batch(tiny))
    assert not looked
    monkeypatch.setattr(tiny.unet, "__class__", plain)
    assert torch.equal(tiny.predict(*batch(tiny)), found) and looked


def test_the_same_content_is_loaded_once_and_other_content_again(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a", seed=1)
    twin = write_model(tmp_path / "b", seed=1)
    other = write_model(tmp_path / "c", seed=2)
    a, b, c = (load(str(each)) for each in (first, twin, other))
    assert load(str(first)) is a
    assert b.unet is a.unet
    assert (a.name, b.name) == (str(first), str(twin))
    assert a.digest == b.digest != c.digest
    assert c.unet is not a.unet
    write_model(tmp_path / "a", seed=3)  # retrained in place
    assert load(str(first)).digest != a.digest


def test_the_digest_covers_the_schedule(tmp_path: Path) -> None:
    linear = load(str(write_model(tmp_path / "a")))
    other = load(str(write_model(tmp_path / "b", beta_end=0.03)))
    assert linear.digest != other.digest
    assert linear.schedule.digest != other.schedule.digest


@pytest.mark.parametrize("pipeline", [True, False])
def test_unconditional_models_load_from_a_pipeline_and_from_a_bare_folder(
    tmp_path: Path, pipeline: bool
) -> None:
    folder = write_model(tmp_path, pipeline=pipeline, channels=3, size=16)
    denoiser = load(str(folder))
    assert denoiser.shape == (3, 16, 16)
    assert (denoiser.num_conditions, denoiser.condition_names) == (1, ("unconditional",))
    x, time, _ = batch(denoiser)
    noise = denoiser.predict(x, time, torch.zeros(6, dtype=torch.int64))
    torch.testing.assert_close(noise, denoiser.unet(x, time - 1).sample, rtol=1e-5, atol=1e-5)


def test_the_unet_folder_of_a_pipeline_finds_the_scheduler_beside_it(folders: dict) -> None:
    inside = load(str(folders["sample"] / "unet"))
    assert inside.digest == load(str(folders["sample"])).digest


def test_a_latent_of_another_shape_is_refused(tiny: Denoiser) -> None:
    x, time, condition = batch(tiny)
    with pytest.raises(ValueError, match=r"takes x \[B, 1, 8, 8\].*got \[6, 1, 8, 4\]"):
        tiny.predict(x[..., :4], time, condition)
    with pytest.raises(ValueError, match=r"time \[B\].*\[5\]"):
        tiny.predict(x, time[:5], condition)


def test_importing_a_denoiser_does_not_import_diffusers() -> None:
    code = (
        "import sys, genenvs.generators.bank, genenvs.generators.judge, "
        "genenvs.generators.sampling, genenvs.generators.text_to_image; "
        "print('diffusers' in sys.modules, 'sklearn' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False"]


def test_loading_leaves_global_random_states_alone(tmp_path: Path) -> None:
    folder = write_model(tmp_path, seed=5)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    load(str(folder))
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


class Recorder(torch.nn.Module):
    """A network that notes the convolutions' precision and cuDNN's other flags as it is called."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.fails, self.seen = fails, []

    def forward(self, x, time, label, return_dict):
        self.seen.append(cudnn_flags())
        if self.fails:
            raise ZeroDivisionError
        return (x,)


def cudnn_flags() -> tuple:
    cudnn = torch.backends.cudnn
    precision = cudnn.conv.fp32_precision if hasattr(cudnn, "conv") else cudnn.allow_tf32
    return (
        precision not in ("ieee", False),
        cudnn.enabled,
        cudnn.benchmark,
        cudnn.deterministic,
        torch.get_float32_matmul_precision(),
    )


@pytest.fixture
def tf32(monkeypatch: pytest.MonkeyPatch) -> tuple:
    """TF32 as PyTorch has it by default, every other flag unlike its default."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    return cudnn_flags()


def test_float32_on_a_gpu_is_evaluated_without_tf32_and_leaves_every_flag(tiny, tf32) -> None:
    assert tf32[0]
    network = Recorder()
    denoiser = replace(tiny, unet=network, max_batch=4, _full_float32=True)
    denoiser.predict(*batch(denoiser))
    assert network.seen == [(False, *tf32[1:])] * 2
    assert cudnn_flags() == tf32
    broken = replace(denoiser, unet=Recorder(fails=True))
    with pytest.raises(ZeroDivisionError):
        broken.predict(*batch(broken))
    assert cudnn_flags() == tf32


def test_any_other_evaluation_leaves_tf32_alone(tiny: Denoiser, tf32: tuple) -> None:
    network = Recorder()
    replace(tiny, unet=network).predict(*batch(tiny))
    assert network.seen == [tf32]


def test_a_user_who_switched_tf32_off_keeps_it_so(tiny: Denoiser) -> None:
    """Where only some kinds of operation have it off, `cudnn.allow_tf32` cannot even be read."""
    network = Recorder()
    denoiser = replace(tiny, unet=network, _full_float32=True)
    new = hasattr(torch.backends.cudnn, "conv")  # since PyTorch 2.9
    place = torch.backends.cudnn.conv if new else torch.backends.cudnn
    name, off = ("fp32_precision", "ieee") if new else ("allow_tf32", False)
    default = getattr(place, name)
    setattr(place, name, off)
    try:
        before = cudnn_flags()
        denoiser.predict(*batch(denoiser))
        assert [cudnn_flags()] == network.seen == [before] and not before[0]
    finally:
        setattr(place, name, default)


@needs_device("cuda")
def test_a_row_on_a_gpu_does_not_depend_on_its_batch() -> None:
    denoiser = load("digits", "cuda")
    x, time, condition = (each.cuda() for each in batch(denoiser, 64))
    together = denoiser.predict(x, time, condition)
    alone = torch.cat([denoiser.predict(*(each[k, None] for each in (x, time, condition)))
                       for k in range(64)])  # fmt: skip
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_loading_in_another_precision_warns_of_nothing(folders: dict, monkeypatch) -> None:
    """Diffusers' own `to` would, about layers that this class has not."""
    from diffusers.models import modeling_utils

    warned: list[object] = []
    monkeypatch.setattr(modeling_utils.logger, "warning", lambda *given: warned.append(given))
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        load(str(folders["sample"]), dtype=dtype, max_batch=77)
    assert not warned
