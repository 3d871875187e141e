"""Claims about text-to-image models: equal to diffusers' pipelines, and to themselves by rows."""

from __future__ import annotations

import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from genenvs.generators.sampling import generate
from genenvs.generators.text_to_image import TextToImage, load, take
from genenvs.generators.transition import gaussian_step
from tests.generators.models import edit_json
from tests.generators.tiny_pipelines import (
    FAMILIES,
    KINDS,
    LENGTH,
    PROMPTS,
    halfway,
    noise,
    plain,
)
from tests.needs import needs_device


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("kind", KINDS)
def test_deterministic_sampling_equals_the_plain_pipeline(
    pipelines: dict[str, Path], kind: str, guidance: float
) -> None:
    from genenvs.generators.families import pack

    model = load(str(pipelines[kind]))
    start, arguments = noise(model), {"guidance_scale": guidance}
    if model.family == "flux":
        arguments["latents"] = pack(start)
        if kind == "flux":
            arguments |= {"true_cfg_scale": guidance, "negative_prompt": [""] * 3}
    else:
        arguments["latents"] = start.clone()
    expected = plain(pipelines[kind], num_inference_steps=5, output_type="pt", **arguments)
    latents = generate(model, start, model.encode(PROMPTS), model.times(5), guidance)
    assert latents.dtype == torch.float32 and torch.isfinite(latents).all()
    found = model.decode(latents)
    assert found.shape == (3, *model.image_shape)
    assert float(found.std()) > 0.05  # a flat picture would prove nothing
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_prediction_splits_x_as_its_process_says(model: TextToImage) -> None:
    x, time = noise(model), halfway(model)
    clean, noise_ = model.predict(x, time, model.encode(PROMPTS))
    if model.kind == "diffusion":
        assert model.schedule is not None
        alpha, sigma = model.schedule.alpha[time.long()], model.schedule.sigma[time.long()]
    else:
        alpha, sigma = 1 - time, time
    column = (slice(None), None, None, None)
    torch.testing.assert_close(alpha[column] * clean + sigma[column] * noise_, x)


def test_rows_with_their_own_times_and_guidance_equal_each_alone(model: TextToImage) -> None:
    x, condition = noise(model, 6), take(model.encode(PROMPTS), torch.tensor([0, 1, 2, 2, 1, 0]))
    times = model.times(6)[:6]
    guidance = torch.tensor([1.0, 3.0, 1.0, 0.0, 7.5, 1.0])
    clean, noise_ = model.predict(x, times, condition, guidance)
    for row in range(6):
        one = slice(row, row + 1)
        alone = model.predict(x[one], times[one], take(condition, one), float(guidance[row]))
        scale = float(alone[0].abs().max())
        torch.testing.assert_close(clean[one], alone[0], rtol=1e-4, atol=1e-5 * scale)
        torch.testing.assert_close(noise_[one], alone[1], rtol=1e-4, atol=1e-4)


class Counting:
    """Counts the rows of each call of a network."""

    def __init__(self, model: TextToImage, monkeypatch: pytest.MonkeyPatch, memory: int = 10**9):
        self.rows: list[int] = []
        inner = model.network.forward

        def forward(*arguments: Any, **named: Any) -> Any:
            rows = len(arguments[0] if arguments else named["hidden_states"])
            if rows > memory:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            self.rows.append(rows)
            return inner(*arguments, **named)

        monkeypatch.setattr(model.network, "forward", forward)


def test_both_branches_are_one_call_and_only_of_rows_that_need_them(
    model: TextToImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Counting(model, monkeypatch)
    arguments = noise(model), halfway(model), model.encode(PROMPTS)
    for guidance in (None, 1.0, torch.ones(3), torch.tensor([1.0, 3.0, 1.0]), 3.0):
        model.predict(*arguments, guidance)
    assert calls.rows == [3, 3, 3, 4, 6]


def test_other_unconditional_rows_take_the_place_of_the_empty_prompt(model: TextToImage) -> None:
    arguments = noise(model), halfway(model), model.encode(PROMPTS)
    shared, own = model.encode(["two"]), model.encode(["two", "two", "two"])
    mine = model.predict(*arguments, 3.0, own)
    torch.testing.assert_close(model.predict(*arguments, 3.0, shared), mine, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(model.predict(*arguments, 3.0)[0], mine[0])
    some = torch.tensor([3.0, 1.0, 3.0])
    torch.testing.assert_close(
        model.predict(*arguments, some, own)[0][[0, 2]], mine[0][[0, 2]], rtol=1e-4, atol=1e-4
    )


def test_chunks_change_nothing(pipelines: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, small = load(str(pipelines["sd"])), load(str(pipelines["sd"]), max_batch=4)
    assert small.network is whole.network and small.max_batch == 4
    x, condition = noise(whole, 7), take(whole.encode(PROMPTS), torch.arange(7) % 3)
    guidance = torch.tensor([3.0, 1.0, 1.0, 1.0, 1.0, 2.0, 1.0])
    expected = whole.predict(x, halfway(whole, 7), condition, guidance)
    calls = Counting(small, monkeypatch)
    found = small.predict(x, halfway(whole, 7), condition, guidance)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert calls.rows == [3, 2, 3, 1]  # two rows at once, since guided ones count twice
    images = whole.decode(x)
    monkeypatch.setattr(whole._decoding, "rows", 2)
    torch.testing.assert_close(whole.decode(x), images, rtol=1e-4, atol=1e-5)


def test_gradients_reach_a_copy_and_never_the_frozen_network(model: TextToImage) -> None:
    policy = model.copy_network()
    assert not policy.training and policy is not model.network
    x, condition = noise(model), model.encode(PROMPTS)
    frozen = model.predict(x, halfway(model), condition, 3.0)[0]
    trained = model.predict(x, halfway(model), condition, 3.0, network=policy)[0]
    torch.testing.assert_close(trained, frozen)
    assert trained.requires_grad and not frozen.requires_grad
    trained.square().mean().backward()
    gradients = [parameter.grad for parameter in policy.parameters()]
    assert sum(float(each.abs().sum()) for each in gradients if each is not None) > 0
    assert all(parameter.grad is None for parameter in model.network.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.predict(x, halfway(model), condition, network=policy)[0]
    assert rounded.dtype == torch.float32 and rounded.requires_grad
    exact = model.predict(x, halfway(model), condition)[0]
    assert 0 < float((rounded.detach() - exact).abs().max()) < 0.1 * float(exact.abs().max())


def test_gradients_flow_from_an_image_to_the_first_noise(model: TextToImage) -> None:
    start = noise(model).requires_grad_()
    made = generate(model, start, model.encode(PROMPTS), model.times(2))
    (gradient,) = torch.autograd.grad(model.decode(made).mean(), start)
    assert torch.isfinite(gradient).all() and float(gradient.abs().sum()) > 0


def test_no_result_is_an_inference_tensor(model: TextToImage) -> None:
    with torch.inference_mode():
        condition = model.encode(PROMPTS)
        clean, noise_ = model.predict(noise(model), halfway(model), condition, 2.0)
        images = model.decode(clean)
        back = model.encode_image(images)
    made = [*condition.values(), clean, noise_, images, back]
    assert not any(each.is_inference() for each in made)
    assert not any(each.is_inference() for each in model.unconditional().values())


def test_a_row_at_time_0_is_already_clean(pipelines: dict[str, Path]) -> None:
    model = load(str(pipelines["sd"]))
    x = noise(model)
    clean, noise_ = model.predict(x, torch.zeros(3), model.encode(PROMPTS))
    torch.testing.assert_close(clean, x)
    assert (noise_ == 0).all()


def test_no_rows_give_no_rows(model: TextToImage) -> None:
    none = take(model.encode(PROMPTS), slice(0))
    clean, noise_ = model.predict(noise(model, 0), halfway(model, 0), none, 3.0)
    images = model.decode(clean)
    assert clean.shape == noise_.shape == (0, *model.shape)
    assert images.shape == (0, *model.image_shape)
    assert model.encode_image(images).shape == (0, *model.shape)


def test_encode_image_is_the_scaled_mean_of_the_posterior(model: TextToImage) -> None:
    images = torch.rand(2, *model.image_shape, generator=torch.Generator().manual_seed(0))
    config = model.vae.config
    with torch.no_grad():
        mean = model.vae.encode(2 * images - 1).latent_dist.mean
    expected = (mean - (getattr(config, "shift_factor", None) or 0)) * config.scaling_factor
    torch.testing.assert_close(model.encode_image(images), expected)


SPACINGS = {
    "leading": [802, 602, 402, 202, 2, 1],
    "trailing": [1000, 800, 600, 400, 200, 1],
    "linspace": [1000, 750, 501, 251, 1, 1],
}


@pytest.mark.parametrize("spacing", SPACINGS)
def test_diffusion_times_are_spaced_as_the_scheduler_says(
    pipelines: dict[str, Path], tmp_path: Path, spacing: str
) -> None:
    folder = shutil.copytree(pipelines["sd"], tmp_path / "sd")
    edit_json(folder / "scheduler" / "scheduler_config.json", timestep_spacing=spacing)
    times = load(str(folder)).times(5)
    assert times.dtype == torch.float32 and times.tolist() == SPACINGS[spacing]
    edit_json(folder / "scheduler" / "scheduler_config.json", set_alpha_to_one=True)
    assert load(str(folder)).times(5)[-1] == 0


def test_as_many_steps_as_the_schedule_has_stay_on_it(pipelines: dict[str, Path]) -> None:
    times = load(str(pipelines["sd"])).times(1000)
    assert times.max() == 1000 and times.min() == 1 and (times.diff() <= 0).all()


def test_flow_times_fall_from_1_to_0(pipelines: dict[str, Path]) -> None:
    for kind in ("sd3", "sd3-t5", "flux"):
        times = load(str(pipelines[kind])).times(7)
        assert times[0] == 1 and times[-1] == 0 and len(times) == 8
        assert (times.diff() < 0).all()


def test_steps_out_of_range_are_an_error(pipelines: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=r"steps must be in 1..1000; got 1001"):
        load(str(pipelines["sd"])).times(1001)
    with pytest.raises(ValueError, match="got 0"):
        load(str(pipelines["flux"])).times(0)


def test_conditions_have_a_row_per_prompt(model: TextToImage) -> None:
    condition = model.encode(PROMPTS)
    assert all(len(each) == 3 and each.dtype == torch.float32 for each in condition.values())
    assert {name: each.shape[1:] for name, each in condition.items()} == {
        name: each.shape[1:] for name, each in model.unconditional().items()
    }
    one = model.encode(PROMPTS[1:2])
    for name, each in condition.items():
        torch.testing.assert_close(each[1:2], one[name], rtol=1e-4, atol=1e-5)


def test_conditions_of_the_last_lists_of_prompts_are_kept(pipelines: dict[str, Path]) -> None:
    model = load(str(pipelines["sdxl"]), max_batch=3)
    first = model.encode(PROMPTS)["pooled"]
    for word in ("a", "red", "blue"):
        model.encode([word])
    assert model.encode(PROMPTS)["pooled"] is first
    for word in ("green", "small", "two", "of"):
        model.encode([word])
    again = model.encode(PROMPTS)["pooled"]
    assert again is not first and torch.equal(again, first)


def test_unknown_words_are_reported(model: TextToImage) -> None:
    assert model.unknown_words(PROMPTS) == []
    prompts = ["a red zebra", "a Zebra of xyz", "two small circle"]
    assert model.unknown_words(prompts) == ["zebra", "Zebra", "xyz"]
    with pytest.warns(UserWarning, match="the tokenizer does not know 'zebra', 'Zebra', 'xyz'"):
        model.encode(prompts)


def test_a_closed_vocabulary_knows_whole_words_only(
    pipelines: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(pipelines["sd"], tmp_path / "sd")
    prompts = ["a redred circle", "square of blue"]
    assert load(str(folder)).unknown_words(prompts) == []
    edit_json(folder / "model_index.json", closed_vocabulary=True)
    assert "redred" in load(str(folder)).unknown_words(prompts)


def test_known_words_give_no_warning(model: TextToImage) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode(PROMPTS)


def test_prompts_must_be_strings_and_some(model: TextToImage) -> None:
    with pytest.raises(ValueError, match="prompts is empty"):
        model.encode([])
    with pytest.raises(ValueError, match="must be a sequence of strings; got 'a red circle'"):
        model.encode("a red circle")
    with pytest.raises(ValueError, match="sequence of strings"):
        model.encode(["a", 3])  # type: ignore[list-item]


def test_wrong_shapes_say_what_is_taken(model: TextToImage) -> None:
    condition = model.encode(PROMPTS)
    with pytest.raises(ValueError, match=r"takes x \[B, 4, 8, 8\] with time \[B\]"):
        model.predict(noise(model)[:, :, :4], halfway(model), condition)
    with pytest.raises(ValueError, match="prompt_embeds"):
        model.predict(noise(model, 2), halfway(model, 2), condition)
    with pytest.raises(ValueError, match=r"guidance must be a number or \[3\]; got \[2\]"):
        model.predict(noise(model), halfway(model), condition, torch.ones(2))


def test_guidance_without_an_unconditional_branch_is_an_error(
    pipelines: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(pipelines["sd3"], tmp_path / "sd3")
    edit_json(folder / "model_index.json", unconditional=False, max_sequence_length=0)
    model = load(str(folder))
    condition = model.encode(PROMPTS)
    assert model.guided_by == "none"
    assert condition["prompt_embeds"].shape[1] == LENGTH
    model.predict(noise(model), halfway(model), condition, 1.0)
    with pytest.raises(ValueError, match="has no unconditional branch"):
        model.predict(noise(model), halfway(model), condition, 2.0)
    # Diffusers passes over the two settings.
    latents = generate(model, noise(model), condition, model.times(2))
    arguments = {"num_inference_steps": 2, "guidance_scale": 1.0, "output_type": "latent"}
    expected = plain(folder, latents=noise(model), **arguments)
    torch.testing.assert_close(latents, expected, rtol=0, atol=1e-4)


def test_a_distilled_flux_takes_guidance_as_an_input(pipelines: dict[str, Path]) -> None:
    model = load(str(pipelines["flux-distilled"]))
    assert model.guided_by == "embedded"
    arguments = noise(model), halfway(model), model.encode(PROMPTS)
    by_default, three = model.predict(*arguments), model.predict(*arguments, 3.0)
    torch.testing.assert_close(by_default, model.predict(*arguments, torch.ones(3)))
    assert not torch.allclose(by_default[0], three[0])
    with pytest.raises(ValueError, match="takes guidance as an input"):
        model.predict(*arguments, 3.0, model.encode(["two"]))


def test_too_little_memory_halves_the_batch_with_a_warning(
    pipelines: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(str(pipelines["sd"]), max_batch=16)
    x, condition = noise(model, 9), take(model.encode(PROMPTS), torch.arange(9) % 3)
    expected = model.predict(x, halfway(model, 9), condition)
    calls = Counting(model, monkeypatch, memory=2)
    with pytest.warns(UserWarning, match="max_batch: too little memory for 9 rows; from now on 4"):
        found = model.predict(x, halfway(model, 9), condition)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert model.max_batch == 2 and calls.rows == [2, 2, 2, 2, 1]


def test_too_little_memory_for_one_row_or_with_gradients_is_an_error(
    pipelines: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(str(pipelines["sd"]), max_batch=8)
    condition, x = model.encode(PROMPTS), noise(model)
    calls = Counting(model, monkeypatch, memory=2)
    with pytest.raises(RuntimeError, match="too little memory for 3 rows with gradients; try 1"):
        model.predict(x.requires_grad_(), halfway(model), condition)
    assert calls.rows == [] and model.max_batch == 8
    Counting(model, monkeypatch, memory=0)
    with (
        warnings.catch_warnings(),
        pytest.raises(RuntimeError, match="too little memory for 1 row"),
    ):
        warnings.simplefilter("ignore")
        model.predict(x.detach(), halfway(model), condition)


def test_other_errors_of_a_network_are_not_taken_for_memory(
    model: TextToImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(model.network, "forward", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        model.predict(noise(model), halfway(model), model.encode(PROMPTS))


def test_the_same_content_is_loaded_once(pipelines: dict[str, Path], tmp_path: Path) -> None:
    model = load(str(pipelines["sd"]))
    assert load(str(pipelines["sd"])) is model
    copy = load(str(shutil.copytree(pipelines["sd"], tmp_path / "copy")))
    assert copy is not model and copy.network is model.network and copy.digest == model.digest
    assert load(str(pipelines["sd"]), dtype=torch.bfloat16).network is not model.network


def test_loading_leaves_random_states_alone(pipelines: dict[str, Path], tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    folder = shutil.copytree(pipelines["sd3-t5"], tmp_path / "copy")
    edit_json(folder / "transformer" / "config.json", _name_or_path="another")
    load(str(folder)).encode(PROMPTS)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("kind", FAMILIES)
def test_half_precision_stays_inside(pipelines: dict[str, Path], kind: str) -> None:
    exact = load(str(pipelines[kind]))
    model = load(str(pipelines[kind]), dtype=torch.bfloat16)
    assert next(model.network.parameters()).dtype == torch.bfloat16
    assert model.vae.dtype == torch.float32  # force_upcast is diffusers' default
    assert next(model.copy_network().parameters()).dtype == torch.float32
    condition = model.encode(PROMPTS)
    clean, noise_ = model.predict(noise(model), halfway(model), condition, 3.0)
    images = model.decode(clean)
    made = [clean, noise_, images, *condition.values()]
    assert all(each.dtype == torch.float32 for each in made)
    expected = exact.predict(noise(model), halfway(model), exact.encode(PROMPTS), 3.0)[0]
    assert float((clean - expected).abs().max()) < 0.2 * float(expected.abs().max())


@needs_device("cuda")
@pytest.mark.parametrize("kind", FAMILIES)
def test_on_a_gpu_rows_do_not_depend_on_their_batch(pipelines: dict[str, Path], kind: str) -> None:
    exact, model = load(str(pipelines[kind])), load(str(pipelines[kind]), "cuda")
    x, time = noise(exact, 64), exact.times(64)[:64]
    condition = take(exact.encode(PROMPTS), torch.arange(64) % 3)
    expected = exact.predict(x, time, condition, 3.0)[0]
    rows = take(model.encode(PROMPTS), torch.arange(64) % 3)
    found = model.predict(x.cuda(), time.cuda(), rows, 3.0)[0]
    scale = float(expected.abs().max())
    torch.testing.assert_close(found.cpu() / scale, expected / scale, rtol=1e-3, atol=1e-4)
    alone = model.predict(x[:1].cuda(), time[:1].cuda(), take(rows, slice(1)), 3.0)[0]
    torch.testing.assert_close(found[:1] / scale, alone / scale, rtol=1e-4, atol=1e-4)
    assert model.decode(found).device.type == "cuda"


def test_another_image_size(pipelines: dict[str, Path]) -> None:
    for kind in ("sd", "sdxl", "sd3", "flux"):
        model = load(str(pipelines[kind]), image_size=(16, 24))
        assert model.shape == (4, 8, 12) and model.image_shape == (3, 16, 24)
        clean, _ = model.predict(noise(model), halfway(model), model.encode(PROMPTS))
        assert model.decode(clean).shape == (3, 3, 16, 24)
    with pytest.raises(ValueError, match=r"must be multiples of 4; got \(18, 18\)"):
        load(str(pipelines["flux"]), image_size=18)


def test_each_step_of_a_sample_takes_its_own_noise(model: TextToImage) -> None:
    start, condition, times = noise(model), model.encode(PROMPTS), model.times(3)
    rule = "ddpm" if model.kind == "diffusion" else "cps"
    fresh = torch.stack([noise(model, seed=seed) for seed in (1, 2, 3)])
    found = generate(model, start, condition, times, 2.0, rule, 1.0, fresh)
    x = start
    for step in range(3):
        here, there = times[step].expand(3), times[step + 1].expand(3)
        clean, noise_ = model.predict(x, here, condition, 2.0)
        mean, std = gaussian_step(rule, x, clean, noise_, here, there, 1.0, model.schedule)
        x = mean + std[:, None, None, None] * fresh[step]
    torch.testing.assert_close(found, x)
    with pytest.raises(ValueError, match=r"level 1\.0 needs fresh noise"):
        generate(model, start, condition, times, 2.0, rule, 1.0)
    with pytest.raises(ValueError, match=f"rule of a {model.kind} model must be one of"):
        generate(model, start, condition, times, rule="cps" if rule == "ddpm" else "ddpm")


def test_gradient_checkpointing_changes_no_gradient(model: TextToImage) -> None:
    found = []
    for checkpointed in (False, True):
        policy = model.copy_network()
        if checkpointed:
            policy.enable_gradient_checkpointing()
        made = model.predict(
            noise(model), halfway(model), model.encode(PROMPTS), 2.0, network=policy
        )
        made[0].mean().backward()
        found.append([each.grad for each in policy.parameters() if each.grad is not None])
    torch.testing.assert_close(found[0], found[1])


def test_a_copy_of_a_network_is_made_without_a_remark(
    model: TextToImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, said = logging.getLogger("diffusers"), []
    monkeypatch.setattr(logger, "handle", lambda record: said.append(record.getMessage()))
    monkeypatch.setattr(logger, "level", logging.WARNING)
    models = logging.getLogger("diffusers.models.modeling_utils")
    monkeypatch.setattr(models, "handle", logger.handle)
    monkeypatch.setattr(models, "_cache", {})  # of which levels are told
    copied = model.copy_network(torch.float64)
    assert not said
    assert {each.dtype for each in copied.parameters()} == {torch.float64}
    assert all(each.requires_grad for each in copied.parameters()) and not copied.training
    assert next(model.network.parameters()).dtype == torch.float32
    copied.to(torch.float32)
    assert len(said) == 1 and "should be kept in float32" in said[0]  # diffusers' own still speaks
