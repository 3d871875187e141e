"""Every wrong generator has its own error, which says what is wrong and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from genenvs.core.files import making, sha256
from genenvs.generators import store
from genenvs.generators.denoiser import load
from genenvs.generators.schedule import from_scheduler
from tests.generators.models import edit_json, write_model

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def model(tmp_path: Path, folders: dict[str, Path]) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(folders["epsilon"], tmp_path / "model"))


@pytest.fixture
def shipped(tmp_path: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights in which a tiny model ships as `digits`."""
    root = tmp_path / "weights"
    shutil.copytree(folders["epsilon"], root / "digits")
    names = ("unet/config.json", f"unet/{WEIGHTS}", "scheduler/scheduler_config.json")
    store.seal([root / "digits" / name for name in names], root)
    monkeypatch.setattr(store, "WEIGHTS", root)
    return root


def test_a_missing_folder_is_told_from_a_hub_id() -> None:
    with pytest.raises(FileNotFoundError, match=r"is not a folder here .* and not shipped"):
        load("/no/such/folder")
    with pytest.raises(FileNotFoundError, match="'owner/name'"):
        load("./nowhere")


def test_a_misspelt_shipped_name_gets_the_nearest() -> None:
    with pytest.raises(FileNotFoundError, match="did you mean 'digits'"):
        load("digit")


def test_a_hub_id_that_cannot_be_reached_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(FileNotFoundError, match=r"could not be fetched.*no route to the hub"):
        load("somebody/some-model")


def test_a_hub_id_is_downloaded_without_pickles(
    monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]
) -> None:
    import huggingface_hub

    asked: dict = {}

    def fetch(name: str, allow_patterns: list[str]) -> str:
        asked.update(name=name, patterns=allow_patterns)
        return str(folders["epsilon"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert load("somebody/some-model").digest == load(str(folders["epsilon"])).digest
    assert asked["name"] == "somebody/some-model"
    assert all(pattern.endswith((".json", ".safetensors")) for pattern in asked["patterns"])


@pytest.mark.parametrize("wrong", ["", None, 3])
def test_a_generator_is_a_string(wrong: object) -> None:
    with pytest.raises(ValueError, match="non-empty string"):
        load(wrong)  # type: ignore[arg-type]


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no diffusers model: neither config\.json nor unet"):
        load(str(tmp_path))


def test_a_file_instead_of_a_folder(model: Path) -> None:
    with pytest.raises(ValueError, match="is a file"):
        load(str(model / "unet" / WEIGHTS))


def test_an_unsupported_class_is_named_with_the_supported(model: Path) -> None:
    edit_json(model / "unet" / "config.json", _class_name="UNet2DConditionModel")
    with pytest.raises(ValueError, match=r"UNet2DConditionModel is not supported.*UNet2DModel"):
        load(str(model))


@pytest.mark.parametrize(
    "name", ["FlowMatchEulerDiscreteScheduler", "ScoreSdeVeScheduler", "EDMEulerScheduler"]
)
def test_a_schedule_that_is_not_vp_is_refused(model: Path, name: str) -> None:
    edit_json(model / "scheduler" / "scheduler_config.json", _class_name=name)
    with pytest.raises(ValueError, match=rf"{name} is not a discrete variance-preserving"):
        load(str(model))


def test_flow_sigmas_are_refused_though_the_class_is_supported(model: Path) -> None:
    path = model / "scheduler" / "scheduler_config.json"
    edit_json(path, _class_name="DPMSolverMultistepScheduler", use_flow_sigmas=True)
    with pytest.raises(ValueError, match="flow matching is not a discrete variance-preserving"):
        load(str(model))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prediction_type": "score"}, "prediction_type must be one of"),
        ({"beta_schedule": "square"}, "cannot build the noise schedule"),
        ({"beta_end": -0.5, "beta_start": -0.1}, "falling alpha"),
        ({"rescale_betas_zero_snr": True}, "undefined under epsilon"),
    ],
)
def test_a_broken_schedule_is_refused(model: Path, values: dict, message: str) -> None:
    edit_json(model / "scheduler" / "scheduler_config.json", **values)
    with pytest.raises(ValueError, match=message):
        load(str(model))


def test_samplers_that_do_not_change_the_training_schedule_read_alike() -> None:
    base = {"_class_name": "DDPMScheduler", "beta_schedule": "scaled_linear", "beta_end": 0.012}
    expected, _ = from_scheduler(base, "a")
    for name in ("EulerDiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler"):
        found, _ = from_scheduler({**base, "_class_name": name, "use_karras_sigmas": True}, "b")
        assert found.digest == expected.digest


def test_a_missing_scheduler(model: Path) -> None:
    shutil.rmtree(model / "scheduler")
    with pytest.raises(ValueError, match=r"has no noise schedule: put scheduler_config\.json"):
        load(str(model))


def test_pickled_weights_are_never_loaded(model: Path) -> None:
    (model / "unet" / WEIGHTS).unlink()
    (model / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ValueError, match="is a pickle, which is never loaded"):
        load(str(model))


def test_truncated_weights(model: Path) -> None:
    path = model / "unet" / WEIGHTS
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"cannot load {WEIGHTS}, truncated"):
        load(str(model))


def test_weights_of_another_architecture(model: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", channels=3)
    shutil.copy(other / "unet" / WEIGHTS, model / "unet" / WEIGHTS)
    with pytest.raises(ValueError, match=r"another architecture|do not fit"):
        load(str(model))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(model: Path, bad: float) -> None:
    from safetensors.torch import load_file, save_file

    path = model / "unet" / WEIGHTS
    state = load_file(path)
    state["conv_in.weight"][0, 0, 1, 1] = bad
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"conv_in\.weight are not finite"):
        load(str(model))


def test_missing_weights_are_not_made_up(model: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = model / "unet" / WEIGHTS
    state = load_file(path)
    del state["conv_out.bias"]
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing conv_out\.bias"):
        load(str(model))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sample_size": None}, "no sample_size"),
        ({"out_channels": 2}, "maps 1 to 2 channels"),
        ({"class_embed_type": "timestep"}, "class_embed_type 'timestep' is not supported"),
    ],
)
def test_a_configuration_that_cannot_be_used(model: Path, values: dict, message: str) -> None:
    edit_json(model / "unet" / "config.json", **values)
    with pytest.raises(ValueError, match=message):
        load(str(model))


def test_json_that_does_not_parse(model: Path) -> None:
    (model / "unet" / "config.json").write_text('{"_class_name": "UNet2D')
    with pytest.raises(ValueError, match=r"config\.json is not valid JSON"):
        load(str(model))


def test_a_shipped_model_that_is_intact_loads(shipped: Path) -> None:
    assert load("digits").num_conditions == 3


@pytest.mark.parametrize("name", [f"unet/{WEIGHTS}", "scheduler/scheduler_config.json"])
def test_one_changed_byte_of_a_shipped_file_is_found(shipped: Path, name: str) -> None:
    path = shipped / "digits" / name
    expected = json.loads((shipped / "manifest.json").read_text())[f"digits/{name}"]["sha256"]
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not the file that was shipped") as caught:
        load("digits")
    for part in (str(path), expected, sha256(path)):
        assert part in str(caught.value)


def test_a_truncated_shipped_file_is_found_by_its_hash(shipped: Path) -> None:
    path = shipped / "digits" / "unet" / "config.json"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        ValueError, match=rf"expected SHA-256 .*\({size} bytes\), got .*\(100 bytes"
    ):
        load("digits")


def test_a_missing_shipped_file_is_named(shipped: Path) -> None:
    (shipped / "digits" / "unet" / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=f"{WEIGHTS} is missing"):
        load("digits")


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    store.write_json(path, {"kept": True})
    with pytest.raises(KeyboardInterrupt), making(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert json.loads(path.read_text()) == {"kept": True}
    assert list(tmp_path.iterdir()) == [path]


def test_max_batch_must_be_positive(model: Path) -> None:
    with pytest.raises(ValueError, match="max_batch must be at least 1"):
        load(str(model), max_batch=0)


def test_the_device_is_where_the_tensors_are(model: Path) -> None:
    denoiser = load(str(model), device="cpu")
    assert denoiser.device == torch.device("cpu") == denoiser.schedule.alpha.device
