"""Claims about text-to-image models: equal to diffusers' own pipelines, row by row, and saved."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genenvs.generators.adapters import add_lora, save_lora, trainable, without_lora
from genenvs.generators.folder import UnsupportedPipeline
from genenvs.generators.pipelines import quiet
from genenvs.generators.sampling import generate
from genenvs.generators.text_to_image import TextToImage, load, take
from genenvs.generators.transition import gaussian_step
from tests.generators.models import edit_json
from tests.generators.tiny_pipelines import FAMILIES, LENGTH, PROMPTS, SIDE, write_pipeline
from tests.needs import needs_device

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "sd": ("sd", {}),
    "sd-v": ("sd", {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}),
    "sd-pndm": ("sd", {"scheduler": "PNDMScheduler", "skip_prk_steps": True}),
    "sdxl": ("sdxl", {}),
    "sdxl-empty": ("sdxl", {"force_zeros_for_empty_prompt": False}),
    "sd3": ("sd3", {}),
    "sd3-long": ("sd3", {"tokens": None}),
    "sd3-t5": ("sd3", {"t5": True, "use_dynamic_shifting": True}),
    "flux": ("flux", {}),
    "flux-distilled": ("flux", {"guidance_embeds": True, "tokens": None}),
}


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One pipeline folder per kind."""
    root = tmp_path_factory.mktemp("pipelines")
    return {
        kind: write_pipeline(root / kind, family, **options)
        for kind, (family, options) in KINDS.items()
    }


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, pipelines: dict[str, Path]) -> TextToImage:
    return load(str(pipelines[request.param]))


def noise(model: TextToImage, rows: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(rows, *model.shape, generator=torch.Generator().manual_seed(seed))


def halfway(model: TextToImage, rows: int = 3) -> Tensor:
    return model.times(4)[2].expand(rows)


def plain(folder: Path, **arguments: Any) -> Any:
    """What the pipeline of diffusers itself makes, by deterministic steps."""
    from diffusers import DDIMScheduler, DiffusionPipeline

    index = json.loads((folder / "model_index.json").read_text())
    # DiffusionPipeline wants to be told that these are null.
    nulls = [name for name in ("text_encoder_3", "tokenizer_3") if index.get(name) == [None, None]]
    with quiet():
        pipeline = DiffusionPipeline.from_pretrained(
            folder, local_files_only=True, **dict.fromkeys(nulls)
        )
    pipeline.set_progress_bar_config(disable=True)
    if pipeline.scheduler.__class__.__name__ == "PNDMScheduler":
        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    side = 2 * SIDE
    if "max_sequence_length" in index:
        arguments.setdefault("max_sequence_length", index["max_sequence_length"])
    return pipeline(PROMPTS, height=side, width=side, **arguments).images


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


@pytest.mark.parametrize("kind", ["sd", "sd3-t5", "flux"])
def test_a_saved_network_is_a_pipeline_that_anyone_loads(
    pipelines: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    model = load(str(pipelines[kind]))
    policy = model.copy_network()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.1)
    target = tmp_path / "runs" / "tuned"
    for _ in range(2):  # what stood there is replaced
        assert model.save(target, policy) == target
    assert [path.name for path in target.parent.iterdir()] == ["tuned"]
    again = load(str(target))
    assert again.digest != model.digest
    arguments = noise(model), halfway(model), model.encode(PROMPTS)
    expected = model.predict(*arguments, network=policy)
    torch.testing.assert_close(again.predict(*arguments), expected)
    if kind != "flux":
        images = plain(
            target,
            latents=noise(model),
            num_inference_steps=2,
            guidance_scale=1.0,
            output_type="pt",
        )
        made = generate(again, noise(model), model.encode(PROMPTS), again.times(2))
        torch.testing.assert_close(again.decode(made), images, rtol=0, atol=1e-4)


def test_a_save_that_fails_leaves_what_was_there(
    pipelines: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(str(pipelines["sd"]))
    target = model.save(tmp_path / "tuned", model.network)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    policy = model.copy_network()
    monkeypatch.setattr(policy, "save_pretrained", full)
    with pytest.raises(OSError, match="no space"):
        model.save(target, policy)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_an_adapter_is_trained_saved_and_loaded(model: TextToImage, tmp_path: Path) -> None:
    policy = add_lora(model.copy_network(), rank=2)
    arguments = noise(model), halfway(model), model.encode(PROMPTS)
    base = model.predict(*arguments)
    torch.testing.assert_close(model.predict(*arguments, network=policy), base)
    parameters = trainable(policy)
    assert 0 < sum(each.numel() for each in parameters) < 10_000
    model.predict(*arguments, network=policy)[0].mean().backward()
    assert all(each.grad is not None for each in parameters)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.1)
        changed = model.predict(*arguments, network=policy)
        assert not torch.allclose(changed[0], base[0], atol=1e-3)
        with without_lora(policy):
            torch.testing.assert_close(model.predict(*arguments, network=policy), base)

    folder = save_lora(tmp_path / "lora", policy, model._family)
    adapted = load(model.name, lora=str(folder))
    assert adapted.digest != model.digest and adapted.network is not model.network
    assert not trainable(adapted.network)
    torch.testing.assert_close(adapted.predict(*arguments), changed)
    merged = load(str(model.save(tmp_path / "merged", policy)))
    torch.testing.assert_close(merged.predict(*arguments), changed, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(model.predict(*arguments), base)


def test_an_adapter_of_another_network_is_an_error(
    pipelines: dict[str, Path], tmp_path: Path
) -> None:
    flux, sd = load(str(pipelines["flux"])), str(pipelines["sd"])
    save_lora(tmp_path / "lora", add_lora(flux.copy_network()), flux._family)
    with pytest.raises(ValueError, match="no adapter of this unet"):
        load(sd, lora=str(tmp_path / "lora"))
    (tmp_path / "lora" / "pytorch_lora_weights.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match="no adapter of this unet"):
        load(sd, lora=str(tmp_path / "lora"))
    with pytest.raises(FileNotFoundError, match="neither a folder nor a file"):
        load(sd, lora=str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="it holds none"):
        load(sd, lora=str(tmp_path / "empty"))


def test_an_adapter_without_peft_names_the_extra(
    pipelines: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(str(pipelines["sd"]))
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ImportError, match=r'pip install "genenvs\[agents\]"'):
        add_lora(model.copy_network())


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


def damaged(pipelines: dict[str, Path], tmp_path: Path, kind: str = "sd") -> Path:
    return shutil.copytree(pipelines[kind], tmp_path / kind)


def test_an_unsupported_pipeline_names_those_that_are(
    pipelines: dict[str, Path], tmp_path: Path
) -> None:
    folder = damaged(pipelines, tmp_path)
    edit_json(folder / "model_index.json", _class_name="KandinskyPipeline")
    supported = (
        "KandinskyPipeline is not supported; supported: StableDiffusionPipeline, "
        "StableDiffusionXLPipeline, StableDiffusion3Pipeline, FluxPipeline"
    )
    with pytest.raises(UnsupportedPipeline, match=supported):
        load(str(folder))
    (folder / "model_index.json").unlink()
    with pytest.raises(ValueError, match=r"no model_index.json in it"):
        load(str(folder))


def test_unsupported_parts_are_named(pipelines: dict[str, Path], tmp_path: Path) -> None:
    folder = damaged(pipelines, tmp_path)
    edit_json(folder / "model_index.json", vae=["diffusers", "AutoencoderTiny"])
    with pytest.raises(ValueError, match="component vae of class AutoencoderTiny"):
        load(str(folder))
    edit_json(folder / "model_index.json", vae=["diffusers", "AutoencoderKL"])
    edit_json(folder / "unet" / "config.json", in_channels=9)
    with pytest.raises(ValueError, match="maps 9 to 4 channels and the VAE has 4; inpainting"):
        load(str(folder))
    edit_json(folder / "unet" / "config.json", in_channels=4, time_cond_proj_dim=8)
    with pytest.raises(ValueError, match="time_cond_proj_dim"):
        load(str(folder))
    edit_json(folder / "unet" / "config.json", time_cond_proj_dim=None)
    edit_json(folder / "scheduler" / "scheduler_config.json", _class_name="LCMScheduler")
    with pytest.raises(ValueError, match="LCMScheduler is not a discrete"):
        load(str(folder))
    flow = damaged(pipelines, tmp_path, "sd3")
    edit_json(flow / "scheduler" / "scheduler_config.json", _class_name="FlowMatchHeunDiscrete")
    with pytest.raises(ValueError, match="supported: FlowMatchEulerDiscreteScheduler"):
        load(str(flow))


def test_missing_and_damaged_files_are_named(pipelines: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = damaged(pipelines, tmp_path)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"cannot load unet/.*truncated"):
        load(str(folder))
    tensors = load_file(pipelines["sd"] / "unet" / weights.name)
    name = next(iter(tensors))
    save_file({each: value for each, value in tensors.items() if each != name}, weights)
    with pytest.raises(
        ValueError, match=f"unet/: the weights do not fit config.json: missing {name}"
    ):
        load(str(folder))
    save_file({**tensors, name: tensors[name] * float("nan")}, weights)
    with pytest.raises(ValueError, match=f"weights of {name} are not finite"):
        load(str(folder))
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ValueError, match="is a pickle, which is never loaded"):
        load(str(folder))
    weights.write_bytes(whole)

    text = folder / "text_encoder" / "model.safetensors"
    text.write_bytes(text.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cannot load text_encoder/"):
        load(str(folder))
    (folder / "vae" / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"vae/config.json is not valid JSON"):
        load(str(folder))
    shutil.rmtree(folder / "vae")
    with pytest.raises(ValueError, match="there is no folder vae/"):
        load(str(folder))


def test_a_damaged_tokenizer_is_named(pipelines: dict[str, Path], tmp_path: Path) -> None:
    folder = damaged(pipelines, tmp_path)
    for path in (folder / "tokenizer").iterdir():
        path.write_text(path.read_text()[:40])
    with pytest.raises(ValueError, match="cannot load tokenizer/, damaged"):
        load(str(folder))


def test_a_half_precision_variant_alone_is_read(pipelines: dict[str, Path], tmp_path: Path) -> None:
    folder = damaged(pipelines, tmp_path)
    for name in ("unet", "vae", "text_encoder"):
        for path in (folder / name).glob("*.safetensors"):
            path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    model, exact = load(str(folder)), load(str(pipelines["sd"]))
    arguments = noise(model), halfway(model), model.encode(PROMPTS)
    torch.testing.assert_close(model.predict(*arguments), exact.predict(*arguments))
    load(str(model.save(tmp_path / "saved", model.network)))


def test_weights_in_several_files_are_read(pipelines: dict[str, Path], tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    folder, exact = damaged(pipelines, tmp_path), load(str(pipelines["sd"]))
    shutil.rmtree(folder / "unet")
    copy = UNet2DConditionModel.from_pretrained(pipelines["sd"] / "unet")
    copy.save_pretrained(folder / "unet", max_shard_size="30KB")
    shards = sorted((folder / "unet").glob("*.safetensors"))
    assert len(shards) > 2
    model = load(str(folder))
    arguments = noise(model), halfway(model), model.encode(PROMPTS)
    torch.testing.assert_close(model.predict(*arguments), exact.predict(*arguments))
    shards[1].unlink()
    with pytest.raises(ValueError, match="cannot load unet/"):
        load(str(folder))


def test_a_hub_id_is_fetched_only_if_it_is_supported(
    pipelines: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import diffusers
    import huggingface_hub

    fetched = []

    def download(name: str, **_: Any) -> str:
        fetched.append(name)
        return str(pipelines["sd"])

    index = tmp_path / "model_index.json"
    index.write_text((pipelines["sd"] / "model_index.json").read_text())
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: str(index))
    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", download)
    assert load("someone/sd").network is load(str(pipelines["sd"])).network
    edit_json(index, _class_name="PixArtAlphaPipeline")
    with pytest.raises(UnsupportedPipeline, match="someone/pixart: pipeline class PixArtAlpha"):
        load("someone/pixart")
    assert fetched == ["someone/sd"]


def test_each_loader_names_the_other() -> None:
    from genenvs.generators import denoiser

    with pytest.raises(ValueError, match=r"denoiser.load reads it. Here fit: sprites"):
        load("digits")
    with pytest.raises(ValueError, match=r"text_to_image.load reads it. Here fit: digits"):
        denoiser.load("sprites")


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


def test_a_misspelt_name_is_answered_with_names() -> None:
    with pytest.raises(FileNotFoundError, match="did you mean 'sprites'"):
        load("sprite")
    with pytest.raises(ValueError, match="max_batch must be at least 1"):
        load("sprites", max_batch=0)


def test_a_hub_that_cannot_be_reached_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: Any) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    with pytest.raises(FileNotFoundError, match=r"could not be fetched \(no route to host"):
        load("someone/sd")
