"""Any diffusion text-to-image generator steps through the sampler tasks, prompt by prompt."""

from __future__ import annotations

import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

import genenvs
from genenvs.core.registry import arguments_hash, scores
from genenvs.generators import bank, bank_build, prompted, text_to_image
from genenvs.generators.prompted import Prompted
from genenvs.generators.sampling import ddim, sample, uniform_times
from genenvs.images.scenes import parser
from genenvs.tasks.denoise_schedule.budget import BUDGETS
from genenvs.tasks.denoise_schedule.rewards import fidelity_error
from tests.generators.tiny_pipelines import write_pipeline

SCHEDULE, BUDGET = "genenvs/DenoiseSchedule-v0", "genenvs/DenoiseBudget-v0"
THINGS = [f"a {c} {k}" for c in ("red", "green", "blue") for k in ("circle", "square")]
# Of the scenes' grammar, in words that the tokenizer knows, and more than are left unsplit.
ASKED = [*THINGS, *(f"{one} left of {other}" for one in THINGS for other in THINGS if one != other)]
GUIDANCE = 2.5
INSTANCES = 12


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def family(request: pytest.FixtureRequest) -> str:
    """Which pipeline."""
    return request.param


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random pipeline that predicts v, its prompts, and a cache with banks of two splits."""
    root = tmp_path_factory.mktemp(family)
    made = write_pipeline(root / "model", family, prediction_type="v_prediction")
    (root / "prompts.txt").write_text("\n".join(ASKED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENENVS_CACHE", str(root / "cache"))
        for split in ("train", "test"):
            bank_build.main([
                "--generator", str(made), "--prompts", str(root / "prompts.txt"), "--steps", "20",
                "--sampler", "ddim", "--guidance", str(GUIDANCE), "--split", split,
                "--instances", str(INSTANCES),
            ])  # fmt: skip
    return made


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pipeline, with its cache in place."""
    monkeypatch.setenv("GENENVS_CACHE", str(folder.parent / "cache"))
    return folder


def make(env_id: str, folder: Path, num_envs: int = 5, **more: Any) -> Any:
    """A batch with that pipeline."""
    given = {"generator": str(folder), "prompts": ASKED, "guidance": GUIDANCE, "split": "test"}
    given |= {"autoreset_mode": AutoresetMode.DISABLED, "keep_final": True}
    return gym.make_vec(env_id, num_envs=num_envs, **(given | more))


def plainly(folder: Path, noise: torch.Tensor, texts: list[str], times: list[int]) -> torch.Tensor:
    """DDIM by a loop over the text-to-image model itself."""
    model, x = text_to_image.load(str(folder)), noise
    condition = model.encode(texts)
    for here, there in pairwise(times):
        now, after = (torch.full((len(x),), time) for time in (here, there))
        with torch.no_grad():
            clean, predicted = model.predict(x, now.float(), condition, GUIDANCE)
        assert model.schedule is not None
        x = ddim(x, clean, predicted, now, after, model.schedule)
    return x


def test_the_sampler_equals_a_plain_loop_over_the_pipeline(here: Path) -> None:
    found = prompted.load(str(here), prompts=ASKED, guidance=GUIDANCE)
    assert isinstance(found, Prompted) and found.condition_names == tuple(ASKED)
    noise, condition = bank.starts(found, "test", torch.arange(INSTANCES))
    times = uniform_times(found.schedule, 4)
    texts = [ASKED[k] for k in condition.tolist()]
    expected = plainly(here, noise, texts, times.tolist())
    made = sample(found, noise, condition, times)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)
    unguided = sample(prompted.load(str(here), prompts=ASKED), noise, condition, times)
    assert not torch.allclose(unguided, expected, atol=1e-2)
    pictures = text_to_image.load(str(here)).decode(expected) * 2 - 1
    torch.testing.assert_close(found.picture(made), pictures, atol=1e-3, rtol=0)


def test_a_split_asks_its_own_prompts_only_and_an_index_means_the_same(here: Path) -> None:
    found = prompted.load(str(here), prompts=ASKED, guidance=GUIDANCE)
    asked = {
        split: set(bank.starts(found, split, torch.arange(400))[1].tolist())
        for split in bank.SPLITS
    }
    assert sorted(k for split in asked for k in asked[split]) == list(range(len(ASKED)))
    for split, indices in asked.items():
        assert all(found.prompts.split[k] == split for k in indices)
    for env_id in (SCHEDULE, BUDGET):
        spaces = [make(env_id, here, split=s).single_observation_space for s in ("train", "test")]
        assert spaces[0] == spaces[1]


def test_a_budget_is_paid_by_latents_and_judged_by_the_picture(here: Path) -> None:
    envs = make(BUDGET, here, num_envs=4)
    observation, _ = envs.reset(seed=0)
    chosen = np.array([0, 1, 3, 7])
    _, reward, terminated, _, info = envs.step(chosen)
    task, final = envs.unwrapped.task, info["final_state"]
    assert terminated.all() and task.denoiser.shape == (4, 8, 8)
    assert observation.tolist() == task.bank.condition[final.instance].tolist()
    for row, action in enumerate(chosen):
        times = uniform_times(task.schedule, BUDGETS[action]).tolist()
        one = final.instance[row : row + 1]
        texts = [ASKED[int(task.bank.condition[one])]]
        made = plainly(here, task.bank.noise[one], texts, times)
        error = float(fidelity_error(made, task.bank.solution[one]))
        assert info["metrics"]["error"][row] == pytest.approx(error, abs=1e-3)
        assert reward[row] == pytest.approx(-error - 0.006 * BUDGETS[action], abs=1e-3)
    pictures = task.denoiser.picture(final.image) / 2 + 0.5
    request = task.denoiser.request
    expected = parser.read(pictures, request[task.condition(final)]).correct.float()
    assert torch.equal(task.judge(final)["accuracy"], expected)
    assert np.asarray(envs.unwrapped.artefact(0)).shape == (16, 16, 3)


def test_strides_lead_where_the_plain_loop_does(here: Path) -> None:
    steps = make(SCHEDULE, here, num_envs=3, render_mode="rgb_array", horizon=4)
    observation, _ = steps.reset(seed=0)
    assert observation["latent"].shape == (3, 4, 8, 8)
    for action in (12, 13, 11, 0):
        *_, terminated, _, info = steps.step(np.full(3, action))
    task, final = steps.unwrapped.task, info["final_state"]
    times = [1000, 1000 - int(task.strides[12])]
    times += [times[1] - int(task.strides[13])]
    times += [times[2] - int(task.strides[11]), 0]
    texts = [ASKED[k] for k in task.condition(final).tolist()]
    expected = plainly(here, task.bank.noise[final.instance], texts, times)
    assert terminated.all()
    torch.testing.assert_close(final.x, expected, atol=1e-3, rtol=1e-3)
    assert set(task.judge(final)) == {"accuracy"} and task.features(final) is None
    assert steps.render()[0].shape[2] == 3
    assert np.asarray(steps.unwrapped.artefact(0)).shape == (16, 16, 3)


def test_evaluation_needs_no_classifier(here: Path) -> None:
    envs = make(BUDGET, here, num_envs=4, autoreset_mode=AutoresetMode.SAME_STEP)
    found = genenvs.evaluate(envs, "reference")
    assert len(found.episodes["accuracy"]) == INSTANCES and not found.sets
    assert (found.episodes["evaluations"] == 10).all()


def test_a_bank_belongs_to_its_prompts_and_guidance(here: Path) -> None:
    for change in ({"guidance": 2.0}, {"guidance": None}, {"prompts": ASKED[:-1]}):
        with pytest.raises(FileNotFoundError, match="has no bank of solutions for split 'test'"):
            make(BUDGET, here, **change)


def test_without_a_bank_the_error_names_the_whole_command(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENENVS_CACHE", str(tmp_path))
    file = tmp_path / "my prompts.txt"
    file.write_text("\n".join(ASKED))
    with pytest.raises(FileNotFoundError) as caught:
        make(SCHEDULE, here, prompts=str(file), split="train")
    command = shlex.split(str(caught.value).splitlines()[1])
    assert command[:3] == ["python", "-m", "genenvs.generators.bank"]
    assert command[-4:] == ["--guidance", "2.5", "--prompts", str(file)]
    bank_build.main([*command[3:], "--instances", "2", "--steps", "2"])
    assert make(SCHEDULE, here, prompts=str(file), split="train").unwrapped.task.num_instances == 2
    with pytest.raises(FileNotFoundError, match=r"\(in FILE your prompts, one a line\)"):
        make(SCHEDULE, here)


@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_a_flow_is_refused_before_it_is_read(kind: str, tmp_path: Path) -> None:
    pipeline = {"sd3": "StableDiffusion3Pipeline", "flux": "FluxPipeline"}[kind]
    index = f'{{"_class_name": "{pipeline}", "tokenizer": ["transformers", "CLIPTokenizer"]}}'
    (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(ValueError, match=f"is a flow .{pipeline}.: it has no variance-preserving"):
        gym.make(BUDGET, generator=str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": "/no/such"}, "no such file; one prompt a line"),
        ({"prompts": []}, "there is no prompt in it"),
        ({"guidance": -1}, "guidance must be in 0..100; got -1"),
        ({"guidance": float("nan")}, "guidance must be in 0..100"),
        ({"split": "tset"}, "train, validation, test"),
    ],
)
def test_wrong_arguments_say_what_was_expected(here: Path, change: dict, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(BUDGET, here, **change)


def test_a_split_that_the_hash_leaves_empty_has_a_prompt_all_the_same(here: Path) -> None:
    asked = prompted.load(str(here), prompts=ASKED).prompts
    train = [asked.texts[k] for k in asked.places("train")]
    assert len(train) >= 20
    found = prompted.load(str(here), prompts=train).prompts
    places = [found.places(split) for split in ("train", "validation", "test")]
    assert [len(each) for each in places] == [len(train) - 2, 1, 1]
    assert len({k for each in places for k in each}) == len(train)


@pytest.mark.parametrize("change", [{"prompts": ASKED}, {"guidance": 1.0}])
def test_what_is_asked_for_a_class_takes_no_prompts_and_no_guidance(change: dict) -> None:
    with pytest.raises(ValueError, match="is for text-to-image generators; digits is asked for"):
        gym.make(BUDGET, **change)


def test_a_pipeline_that_nobody_reads_is_named(tmp_path: Path) -> None:
    index = '{"_class_name": "PixArtAlphaPipeline", "tokenizer": ["transformers", "T5Tokenizer"]}'
    (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(ValueError, match="pipeline class PixArtAlphaPipeline is not supported"):
        gym.make(BUDGET, generator=str(tmp_path))


def test_guidance_needs_another_branch(here: Path) -> None:
    model = replace(text_to_image.load(str(here)), guided_by="none")
    assert prompted.ask(model, ASKED).guidance == 1.0
    with pytest.raises(ValueError, match="has no unconditional branch"):
        prompted.ask(model, ASKED, 2.0)


def test_the_registered_scores_still_hold() -> None:
    for env_id in (SCHEDULE, BUDGET):
        plain = arguments_hash(env_id)
        assert arguments_hash(env_id, {"prompts": None, "guidance": None}) == plain
        assert arguments_hash(env_id, {"guidance": 2.0}) != plain
        assert scores(env_id) is not None
