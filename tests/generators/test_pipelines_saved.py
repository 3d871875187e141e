"""Claims about what is saved: pipelines and adapters that load again, here and in diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genenvs.generators.adapters import add_lora, save_lora, trainable, without_lora
from genenvs.generators.sampling import generate
from genenvs.generators.text_to_image import TextToImage, load
from tests.generators.tiny_pipelines import (
    PROMPTS,
    halfway,
    noise,
    plain,
)


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
    torch.testing.assert_close(adapted.predict(*arguments), changed, rtol=1e-3, atol=1e-3)
    merged = load(str(model.save(tmp_path / "merged", policy)))
    torch.testing.assert_close(merged.predict(*arguments), changed, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(model.predict(*arguments), base)


def test_an_adapter_is_all_that_its_training_adds(model: TextToImage, tmp_path: Path) -> None:
    arguments = noise(model), halfway(model), model.encode(PROMPTS)
    base = model.predict(*arguments)
    policy = model.network_with_lora(2)
    frozen = {each.data_ptr() for each in model.network.parameters()}
    own = [each for each in policy.parameters() if each.data_ptr() not in frozen]
    assert {id(each) for each in own} == {id(each) for each in trainable(policy)}
    assert frozen < {each.data_ptr() for each in policy.parameters()}
    torch.testing.assert_close(model.predict(*arguments, network=policy), base)
    optimizer = torch.optim.AdamW(trainable(policy), 0.1, weight_decay=0.1)
    for _ in range(2):
        model.predict(*arguments, network=policy)[0].mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    changed = model.predict(*arguments, network=policy)
    assert not torch.allclose(changed[0], base[0], atol=1e-3)
    assert not trainable(model.network)
    assert all(torch.equal(*pair) for pair in zip(model.predict(*arguments), base, strict=True))

    # And again, on top of what the first one made.
    adapted = load(model.name, lora=str(model.save_lora(tmp_path / "deep" / "lora", policy)))
    first = adapted.predict(*arguments)
    torch.testing.assert_close(first, changed, rtol=1e-3, atol=1e-3)
    second = adapted.network_with_lora(3)
    torch.testing.assert_close(adapted.predict(*arguments, network=second), first)
    whole = adapted.copy_network()
    assert len(list(whole.parameters())) == len(list(model.network.parameters()))


def test_an_adapter_of_a_network_in_half_precision_begins_as_nothing(
    pipelines: dict[str, Path],
) -> None:
    model = load(str(pipelines["sd"]), dtype=torch.bfloat16)
    policy = model.network_with_lora(2)
    arguments = noise(model), halfway(model), model.encode(PROMPTS)
    found = model.predict(*arguments, network=policy)
    torch.testing.assert_close(found, model.predict(*arguments))
    found[0].mean().backward()
    assert all(each.grad.dtype == torch.float32 for each in trainable(policy))
    assert next(policy.parameters()).dtype == torch.bfloat16


def small_adapter(model: TextToImage) -> tuple[Any, dict[str, Tensor]]:
    """A network whose adapter changes less than most steps of a bfloat16 weight, and the changes.

    Returns:
        The network, and by the weight's name what is added to it.
    """
    policy = model.network_with_lora(4)
    drawn = torch.Generator().manual_seed(0)
    learned = {}
    for name, module in policy.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        down, up = (side["default"].weight for side in (module.lora_A, module.lora_B))
        down.data = torch.randn(down.shape, generator=drawn)
        up.data = 3e-4 * torch.randn(up.shape, generator=drawn)
        learned[f"{name}.weight"] = (up @ down).detach()
    return policy, learned


@pytest.mark.parametrize("kind", ["sd", "sd3", "flux"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_an_adapter_learned_in_half_precision_is_what_is_saved(
    pipelines: dict[str, Path], tmp_path: Path, kind: str, dtype: torch.dtype
) -> None:
    model = load(str(pipelines[kind]), dtype=dtype)
    base = {name: value.clone() for name, value in model.network.state_dict().items()}
    policy, learned = small_adapter(model)
    again = load(str(model.save(tmp_path / "tuned", policy)))
    for name, value in again.network.state_dict().items():
        assert value.dtype == torch.float32
        change = learned.get(name, torch.zeros(()))
        torch.testing.assert_close(value, base[name].float() + change, rtol=1e-6, atol=1e-7)
    # What was trained is as it was: the copy that is summed is another one.
    assert all(torch.equal(base[n], v) for n, v in model.network.state_dict().items())
    assert next(policy.parameters()).dtype == dtype and policy.peft_config


def test_an_adapter_and_its_network_are_rounded_once(
    pipelines: dict[str, Path], tmp_path: Path
) -> None:
    exact, model = (load(str(pipelines["sd"]), dtype=d) for d in (torch.float32, torch.bfloat16))
    policy, learned = small_adapter(model)
    folder = str(model.save_lora(tmp_path / "lora", policy))
    found = load(model.name, dtype=torch.bfloat16, lora=folder).network.state_dict()
    kept = 0.0
    for name, change in learned.items():
        base = exact.network.state_dict()[name]
        assert torch.equal(found[name], (base + change).bfloat16())
        kept += float(((found[name].float() - base.bfloat16().float()) * change).sum())
    whole = sum(float(change.square().sum()) for change in learned.values())
    assert kept == pytest.approx(whole, rel=0.2)  # on average nothing is lost


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
