"""Claims about reading a pipeline's folder: what is supported, and what is said where it is not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from genenvs.generators.folder import UnsupportedPipeline
from genenvs.generators.text_to_image import load
from tests.generators.models import edit_json
from tests.generators.tiny_pipelines import (
    PROMPTS,
    halfway,
    noise,
)


def copied(pipelines: dict[str, Path], tmp_path: Path, kind: str = "sd") -> Path:
    return shutil.copytree(pipelines[kind], tmp_path / kind)


def test_an_unsupported_pipeline_names_those_that_are(
    pipelines: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied(pipelines, tmp_path)
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
    folder = copied(pipelines, tmp_path)
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
    flow = copied(pipelines, tmp_path, "sd3")
    edit_json(flow / "scheduler" / "scheduler_config.json", _class_name="FlowMatchHeunDiscrete")
    with pytest.raises(ValueError, match="supported: FlowMatchEulerDiscreteScheduler"):
        load(str(flow))


def test_missing_and_damaged_files_are_named(pipelines: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied(pipelines, tmp_path)
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
    folder = copied(pipelines, tmp_path)
    for path in (folder / "tokenizer").iterdir():
        path.write_text(path.read_text()[:40])
    with pytest.raises(ValueError, match="cannot load tokenizer/, damaged"):
        load(str(folder))


def test_a_half_precision_variant_alone_is_read(pipelines: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(pipelines, tmp_path)
    for name in ("unet", "vae", "text_encoder"):
        for path in (folder / name).glob("*.safetensors"):
            path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    model, exact = load(str(folder)), load(str(pipelines["sd"]))
    arguments = noise(model), halfway(model), model.encode(PROMPTS)
    torch.testing.assert_close(model.predict(*arguments), exact.predict(*arguments))
    load(str(model.save(tmp_path / "saved", model.network)))


def test_weights_in_several_files_are_read(pipelines: dict[str, Path], tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    folder, exact = copied(pipelines, tmp_path), load(str(pipelines["sd"]))
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
