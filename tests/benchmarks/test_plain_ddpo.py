"""What our DDPO's speed is measured against is the same procedure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.plain_ddpo import PlainDDPO
from benchmarks.speed.families.denoise import pipeline
from tests.agents.test_denoise import PROMPTS, Tiny, agent_of, played
from tests.generators.tiny_pipelines import write_pipeline

STEPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Stable Diffusion that samples as `sprites` does: its last step has no noise."""
    scheduler: dict[str, Any] = {
        "prediction_type": "v_prediction", "timestep_spacing": "trailing", "set_alpha_to_one": True,
    }  # fmt: skip
    return write_pipeline(tmp_path_factory.mktemp("plain") / "sd", "sd", **scheduler)


def paid(images: torch.Tensor, texts: list[str]) -> torch.Tensor:
    """For bright pictures."""
    return images.float().mean((1, 2, 3)) / 255


def test_a_minibatch_has_the_gradient_of_our_ddpo(folder: Path) -> None:
    arguments = {"generator": str(folder), "prompts": PROMPTS, "reward": "brightness"}
    agent = agent_of("ddpo", Tiny("tiny", arguments | {"horizon": STEPS}))
    chains, before = played(agent)
    rows, size = len(chains.prompt), agent.policy.dimensions
    drawn = torch.Generator().manual_seed(0)
    gain = torch.randn(rows, generator=drawn)
    # As after some updates: part of the ratios are beyond the clip range.
    before = before + size * 1e-3 * torch.randn(before.shape, generator=drawn)
    n, t = torch.meshgrid(torch.arange(rows), agent.learned, indexing="ij")
    pairs = n.flatten(), t.flatten()
    sums, _ = agent.differentiate(chains, before, gain, *pairs, n.numel(), False)
    assert 0 < float(sums["clipped"]) < n.numel()

    plain = PlainDDPO(pipeline("cpu", str(folder)), list(PROMPTS), paid, STEPS, rows, 1, agent.clip)
    plain.optimiser()
    sample = plain.sample()
    assert sample["noisy"] == [True, True, True, False]
    texts = [agent.task.texts[k] for k in chains.prompt.tolist()]
    ids = plain.pipeline.tokenizer(
        texts, padding="max_length", max_length=plain.pipeline.tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids  # fmt: skip
    with torch.no_grad():
        sample["condition"] = plain.pipeline.text_encoder(ids)[0]
    sample["latents"] = chains.latents.transpose(0, 1)
    sample["log_prob"] = before.T / size
    plain.accumulate(sample, gain)

    ours = dict(agent.policy.network.named_parameters())
    theirs = dict(plain.pipeline.unet.named_parameters())
    assert ours.keys() == theirs.keys()
    largest = max(float(each.grad.abs().max()) for each in ours.values() if each.grad is not None)
    for name, mine in ours.items():
        other = theirs[name].grad
        assert (mine.grad is None) == (other is None), name
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, other, rtol=0, atol=1e-4 * largest)


def test_a_step_without_noise_costs_no_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = PlainDDPO(pipeline("cpu", str(folder)), list(PROMPTS), paid, STEPS, rows=2, batches=1)
    passes: list[int] = []
    whole = PlainDDPO.log_prob
    monkeypatch.setattr(
        PlainDDPO, "log_prob", lambda self, sample, t: passes.append(t) or whole(self, sample, t)
    )
    plain.epoch(plain.optimiser())
    assert passes == [0, 1, 2]
