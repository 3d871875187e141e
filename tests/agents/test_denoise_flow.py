"""Claims about denoising agents on tiny flows and on Stable Diffusion XL, and where memory ends."""

from __future__ import annotations

import csv
import json
import math
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from PIL import Image
from torch import Tensor

from agents import training
from agents.cli import guarded
from agents.denoise import pictures
from agents.denoise.checks import flat_prompts
from agents.denoise.grpo import wanted
from agents.denoise.rollout import ChainPlayer
from agents.problem import Problem
from agents.registry import find
from agents.run import Run
from agents.training import train
from genenvs.images.rewards import load
from tests.generators.tiny_pipelines import write_pipeline

LATENT = "genenvs/DenoiseLatent-v0"
PROMPTS = ("a red circle", "two small blue square", "a green square")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Random pipelines of each family, written when they are asked for."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(family: str) -> Path:
        more: dict[str, Any] = {}
        if family in ("sd", "sdxl"):
            more = {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
        path = root / family
        return path if path.exists() else write_pipeline(path, family, **more)

    return folder


def problem_of(folder: Path, **arguments: Any) -> Problem:
    """Three prompts, three steps, paid for brightness."""
    usual = {"generator": str(folder), "prompts": PROMPTS, "reward": "brightness", "horizon": 3}
    return Problem(LATENT, usual | arguments)


def agent_of(name: str, problem: Problem, **config: Any) -> Any:
    """An agent with small batches."""
    found = find(name)
    small = {"num_prompts": 2, "group_size": 2, "pictures": 0, "chunk": 3}
    if name == "noise_search":
        small = {"iterations": 2, "steps": 2}
    elif name == "reward_gradient":
        small["steps"] = 2
    return found(problem, replace(found.Config(), **(small | config)))


def run_of(agent: Any, folder: Path | None = None, batches: int = 2, **more: Any) -> Run:
    """The run of a few batches."""
    rows = agent.config.num_prompts * agent.config.group_size
    run = Run(0, batches * rows * agent.task.horizon, folder, **more)
    run.start(agent)
    try:
        agent.learn(run)
    finally:
        run.close()
    return run


@pytest.mark.parametrize(
    ("name", "rule", "expected"),
    [
        ("flow_grpo", None, "flow_grpo"),
        ("dance_grpo", None, "dance"),
        ("flow_grpo", "cps", "cps"),
        ("ddpo", "dance", "dance"),
    ],
)
def test_flows_learn_by_each_rule(
    name: str, rule: str | None, expected: str, folders: Callable[[str], Path]
) -> None:
    agent = agent_of(name, problem_of(folders("sd3")), rule=rule, learning_rate=1e-3)
    assert agent.task.generator.kind == "flow" and agent.policy.rule == expected
    before = [p.detach().clone() for p in agent.policy.parameters()]
    run = run_of(agent)
    assert run.curve[0]["ratio_error"] < 1e-5
    assert run.curve[0]["grad_norm"] > 0
    assert any(
        not torch.equal(a, b) for a, b in zip(before, agent.policy.parameters(), strict=True)
    )
    last = {"flow_grpo": [0, 1, 2], "dance": [0, 1], "cps": [0, 1]}[expected]
    assert agent.learned.tolist() == ([0, 1, 2] if name == "ddpo" else last)


def test_ddpo_learns_on_sdxl(folders: Callable[[str], Path], tmp_path: Path) -> None:
    problem = problem_of(folders("sdxl"))
    agent = agent_of("ddpo", problem, guidance=2.0, learning_rate=1e-3)
    assert agent.task.generator.family == "sdxl"
    run = run_of(agent, tmp_path)
    assert run.curve[0]["ratio_error"] < 1e-5 and run.curve[-1]["kl"] > 0
    from genenvs.generators.text_to_image import load as load_generator

    again = load_generator(str(tmp_path / "pipeline"))
    saved = again.network.state_dict()
    with agent.policy.averaged():
        own = agent.policy.network.state_dict()
        assert all(torch.equal(saved[name], value) for name, value in own.items())


@pytest.mark.parametrize("name", ["ddpo", "reward_gradient"])
def test_a_precision_that_there_is_not_is_told(name: str, folders: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match="one of float32, bfloat16, float16; got 'float8'"):
        agent_of(name, problem_of(folders("sd")), autocast="float8")


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_half_precision_has_ratios_near_one(kind: str, folders: Callable[[str], Path]) -> None:
    agent = agent_of("ddpo", problem_of(folders("sd")), autocast=kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # of ratios that are off
        run = run_of(agent)
    assert run.curve[0]["ratio_error"] < 0.1 * agent.clip


@pytest.mark.parametrize(("anneal", "rates"), [(True, [0.75, 0.5, 0.25, 0]), (False, [1] * 4)])
def test_a_rate_that_anneals_ends_at_nothing(
    anneal: bool, rates: list[float], folders: Callable[[str], Path]
) -> None:
    agent = agent_of("flow_grpo", problem_of(folders("sd3")), anneal=anneal, updates=1)
    seen: list[float] = []
    agent.optimizer.register_step_pre_hook(
        lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"])
    )
    run_of(agent, batches=4)
    assert seen == pytest.approx([agent.config.learning_rate * rate for rate in rates])


def test_what_a_run_leaves_is_left_by_a_resumed_one_that_was_over(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    arguments = problem_of(folders("sd")).arguments
    config = {"num_prompts": 2, "group_size": 2, "pictures": 0}
    for _ in range(2):
        train(
            "ddpo", LATENT, steps=12, config=config, arguments=arguments, out=tmp_path / "run",
            resume=True,
        )  # fmt: skip
        assert (tmp_path / "run" / "pipeline" / "model_index.json").exists()
        shutil.rmtree(tmp_path / "run" / "pipeline")  # as if it had been broken off before


def test_a_function_that_no_folder_can_hold_is_told(tmp_path: Path) -> None:
    given = {"reward": lambda images, context: images.flatten(1).mean(1)}
    with pytest.raises(ValueError, match=r"reward=.*cannot be written into run\.json.*module:attr"):
        train("ddpo", LATENT, steps=20, arguments=given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_gold_that_is_held_out_stands_in_the_curve(folders: Callable[[str], Path]) -> None:
    problem = problem_of(folders("sd"))
    held = replace(problem, arguments=dict(problem.arguments) | {"gold": "contrast"})
    assert 0 <= run_of(agent_of("ddpo", held), batches=1).curve[0]["gold_held_out"] <= 1


def test_what_is_paid_does_not_stand_as_gold_in_the_curve(folders: Callable[[str], Path]) -> None:
    for reward, columns in (("scene_correct", {"gold_clean"}), ("scene", {"gold_correct"})):
        asked = problem_of(folders("sd"), reward=reward, prompts=("a red circle", "a green square"))
        agent = agent_of("ddpo", asked)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a random generator paints nothing right
            row = run_of(agent, batches=1).curve[0]
        assert columns <= set(row)
        assert ("gold_correct" in row) == (reward == "scene")


@pytest.mark.parametrize(("family", "gold"), [("sd", None), ("sd3", "contrast")])
def test_prompts_outside_of_the_grammar_are_scored_by_what_is_measured(
    family: str,
    gold: str | None,
    folders: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(training, "draw", lambda *given: None)
    (tmp_path / "prompts.txt").write_text("a portrait of a cat\na portrait of a dog\n")
    given = {
        "generator": folders(family), "prompts": tmp_path / "prompts.txt", "horizon": 3,
        "reward": "brightness", **({"gold": gold} if gold else {}),
    }  # fmt: skip
    words = [word for key, value in given.items() for word in ("--arg", f"{key}={value}")]
    out = tmp_path / "run"
    command = ["train", "--agent", "ddpo", "--env", LATENT, "--out", str(out), "--steps", "12"]
    command += ["--num-prompts", "2", "--group-size", "2", "--pictures", "0", "--episodes", "4"]
    assert guarded([*command, *words, "--quiet", "--no-tensorboard"]) == 0
    name = "held_out" if gold else "reward"
    for more in ((), ("--split", "test"), ("--episodes", "4", "--split", "train")):
        if more:
            (out / "evaluation.json").unlink()
            assert guarded(["evaluate", str(out), "--trust-code", "--quiet", *more]) == 0
        said = capsys.readouterr().out
        assert f"{name} (correct cannot be measured here), " in said
        assert "reference, test split" not in said, "that one is correct, this is not"
        record = json.loads((out / "evaluation.json").read_text())
        assert (record["score"], record["instead_of"]) == (name, "correct")
        assert record["mean"] == record["all"][name]["mean"] and record["normalised"] is None
        assert 0 <= record["low"] <= record["mean"] <= record["high"] <= 1


def test_an_update_that_overflows_is_left_out(folders: Callable[[str], Path]) -> None:
    agent = agent_of("ddpo", problem_of(folders("sd")), autocast="float16")
    agent.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    before = [p.detach().clone() for p in agent.policy.parameters()]
    run = run_of(agent, batches=1)
    assert run.curve[0]["left_out"] == 1 and not run.curve[0].get("grad_norm")
    assert agent.policy.average is None
    assert all(torch.equal(a, b) for a, b in zip(before, agent.policy.parameters(), strict=True))
    lowered = agent.scaler.get_scale()
    assert lowered < 2.0**60
    again = agent_of("ddpo", agent.problem, autocast="float16")
    resumed = type(again)(agent.problem, again.config, agent.state())
    assert resumed.scaler.get_scale() == lowered
    agent.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    run = run_of(agent, batches=1)
    assert run.curve[0]["left_out"] == 0 and run.curve[0]["grad_norm"] > 0
    assert any(
        not torch.equal(a, b) for a, b in zip(before, agent.policy.parameters(), strict=True)
    )


def unbounded(images: Tensor, context: Any) -> Tensor:
    """Brightness, of which nobody says that it ends."""
    return images.flatten(1).mean(1)


unbounded.differentiable = True  # type: ignore[attr-defined]


def test_a_reward_without_bounds_is_not_climbed(folders: Callable[[str], Path]) -> None:
    endless = problem_of(folders("sd"), reward=unbounded)
    assert load(unbounded).differentiable and math.isinf(load(unbounded).range[1])
    with pytest.raises(ValueError, match=r"'unbounded' has the range .*driven to nonsense"):
        agent_of("reward_gradient", endless)
    agent_of("noise_search", endless)  # a few steps in noise that is held near a Gaussian


def test_sample_grids_are_in_tensorboard(folders: Callable[[str], Path], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    agent = agent_of("ddpo", problem_of(folders("sd")), pictures=1)
    run_of(agent, tmp_path, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    assert "samples" in events.Tags()["images"]
    shown = events.Images("samples")
    files = sorted((tmp_path / "samples").glob("*.png"))
    assert {each.step for each in shown} == {int(path.stem) for path in files} and len(files) == 2
    picture = np.asarray(Image.open(files[-1]))
    assert (shown[-1].height, shown[-1].width) == picture.shape[:2]
    assert not np.array_equal(picture[:66], picture[66:])  # before and after differ


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_sample_grids_show_what_the_agent_does(
    folders: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: float
) -> None:
    """Played by hand, by `act`, with the noise that the agent acts with."""
    drawn: list[Tensor] = []
    draw = pictures.grid

    def grid(images: Tensor) -> np.ndarray:
        drawn.append(images)
        return draw(images)

    monkeypatch.setattr(pictures, "grid", grid)
    agent = agent_of("ddpo", problem_of(folders("sd")), pictures=1, evaluate_level=level)
    run = run_of(agent, tmp_path)
    envs = agent.problem.make(
        pictures.ROWS, AutoresetMode.DISABLED, keep_final=True, split="validation"
    )
    count = envs.unwrapped.task.num_instances
    rows = np.resize(pictures.spread_over(count, pictures.ROWS), pictures.ROWS)
    observation, info = envs.reset(seed=0, options={"instances": rows})
    for _ in range(3):
        observation, *_, info = envs.step(agent.act(observation, info))
    torch.testing.assert_close(drawn[-1][1], info["final_state"].image, rtol=0, atol=1)
    noise = [each[0].float() for each in drawn]
    assert torch.equal(noise[0], noise[-1]), "the frozen generator draws the same every time"
    agent.config = replace(agent.config, evaluate_level=0.0)
    pictures.before_and_after(agent, run)
    assert torch.equal(drawn[-1], drawn[-2]) == (level == 0.0)


# --- which prompts are asked ---


def test_prompts_are_wanted_by_how_much_their_rewards_varied() -> None:
    unknown = np.array([np.nan] * 4)
    np.testing.assert_allclose(wanted(unknown, 0.5), 0.25)
    np.testing.assert_allclose(wanted(np.zeros(4), 1.0), 0.25)  # no difference: evenly
    # The one that was not asked counts as 0.3: 0.1, 0, 0.3, 0.3 of 0.7.
    found = wanted(np.array([0.1, 0.0, 0.3, np.nan]), 0.7)
    np.testing.assert_allclose(found, np.array([0.1, 0.0, 0.3, 0.3]) + 0.3 / 4)


def test_a_player_asks_for_what_is_wanted(folders: Callable[[str], Path]) -> None:
    player = ChainPlayer(problem_of(folders("sd")), 2)
    count = player.envs.unwrapped.episodes.count
    player.wanted = np.array([0.0, 0.9, 0.1][:count])
    rounds = 200
    asked = np.zeros((rounds, 2), np.int64)
    for k in range(rounds):
        player.first()
        asked[k] = player.asked
    assert (asked[:, 0] != asked[:, 1]).all(), "none twice before all were asked"
    share = (asked[:, 0] == 1).mean()
    assert abs(share - 0.9) < 4 * (0.9 * 0.1 / rounds) ** 0.5
    assert 0 not in asked  # while there are others
    player.begin(0)
    player.first()
    np.testing.assert_array_equal(player.asked, asked[0])


def test_a_run_with_priorities_goes_on_where_it_was(folders: Callable[[str], Path]) -> None:
    problem = problem_of(folders("sd3"))
    agent = agent_of("flow_grpo", problem, prioritise=0.7, num_prompts=1, learning_rate=1e-3)
    run_of(agent)
    known = ~np.isnan(agent.varied)
    assert 1 <= known.sum() <= 2 and (agent.varied[known] > 0).all()
    other = find("flow_grpo")(problem, agent.config, agent.state())
    np.testing.assert_array_equal(other.varied, agent.varied)
    assert "varied" not in agent_of("flow_grpo", problem).state()


# --- what is worth the same ---


def test_prompts_whose_pictures_are_worth_the_same_are_counted() -> None:
    prompt = torch.tensor([0, 0, 1, 1, 2, 3, 3, 3])
    one = torch.tensor([1.0, 1.0, 0.0, 1.0, 5.0, 2.0, 2.0, 2.0])
    other = torch.tensor([1.0, 1.0, 0.0, 1.0, 5.0, 2.0, 3.0, 2.0])
    assert float(flat_prompts({"one": one}, prompt)) == pytest.approx(2 / 3)  # type: ignore[arg-type]
    both = flat_prompts({"one": one, "other": other}, prompt)
    assert both is not None and float(both) == pytest.approx(1 / 3)
    assert flat_prompts({"one": one[:3]}, torch.arange(3)) is None


def steady(images: Tensor, context: Any) -> Tensor:
    """Pay everybody the same."""
    return torch.full((len(images),), 0.25)


@pytest.mark.parametrize("name", ["ddpo", "dpok", "flow_grpo"])
def test_a_batch_without_signal_is_told_once(name: str, folders: Callable[[str], Path]) -> None:
    agent = agent_of(name, problem_of(folders("sd"), reward=steady))
    with pytest.warns(UserWarning, match="worth the same .reward 0.25.: nothing is") as told:
        run = run_of(agent)
    assert len([each for each in told if "worth the same" in str(each.message)]) == 1
    assert [row["flat_groups"] for row in run.curve] == [1.0, 1.0]
    lively = agent_of(name, problem_of(folders("sd")))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert run_of(lively).curve[0]["flat_groups"] == 0.0


def test_a_batch_of_one_picture_is_refused(folders: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=r"num_prompts \* group_size must be at least 2"):
        agent_of("ddpo", problem_of(folders("sd")), num_prompts=1, group_size=1)


# --- several rewards ---


def test_dance_grpo_adds_advantages_where_there_are_several_rewards(
    folders: Callable[[str], Path],
) -> None:
    several = problem_of(folders("sd3"), reward={"brightness": 1.0, "contrast": 2.0})
    one = problem_of(folders("sd3"))
    for problem, chosen in ((several, "each"), (one, "sum")):
        assert agent_of("dance_grpo", problem).config.advantages == chosen
        assert agent_of("flow_grpo", problem).config.advantages == "sum"
    assert agent_of("dance_grpo", several, advantages="sum").config.advantages == "sum"
    assert agent_of("dance_grpo", one, set_rewards={"mmd": 1.0}).config.advantages == "each"
    with pytest.raises(ValueError, match="for a weighted sum"):
        agent_of("dance_grpo", one, advantages="each")


def test_columns_of_several_rewards_have_one_name(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    reward = {"brightness": 1.0, "contrast": 2.0}
    agent = agent_of("reward_gradient", problem_of(folders("sd"), reward=reward))
    run_of(agent, tmp_path)
    with (tmp_path / "curve.csv").open(encoding="utf-8") as file:
        columns = next(csv.reader(file))
    assert {"reward/brightness", "reward/contrast"} <= set(columns)
    assert not [name for name in columns if name.count("reward/") > 1]


# --- too little memory ---


def gradients(agent: Any, observation: Any) -> list[Tensor]:
    """Of one batch."""
    agent.optimizer.zero_grad()
    torch.manual_seed(1)
    agent.differentiate(observation)
    return [p.grad.clone() for p in agent.policy.parameters()]


class Backward(torch.autograd.Function):
    """Does nothing, but fails in the backward pass of many rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, most: int) -> Tensor:
        """As it is."""
        ctx.most = most
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """As it is, if there are few."""
        if len(grads[0]) > ctx.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return grads[0], None


@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_reward_gradients_are_had_from_smaller_chunks_where_memory_ends(
    where: str, level: float, folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = problem_of(folders("sd"))
    agent = agent_of("reward_gradient", problem, num_prompts=4, chunk=4, level=level)
    agent.player.begin(0)
    observation = agent.player.first()
    whole = gradients(agent, observation)
    decode, calls = type(agent.task.generator).decode, []

    def small(model: Any, latents: Tensor) -> Tensor:
        calls.append(len(latents))
        if where == "forward" and len(latents) > 2 and len(calls) > 1:  # one chunk is added by then
            try:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            except RuntimeError as error:
                raise RuntimeError("too little memory; try fewer at a time") from error
        images = decode(model, latents)
        return Backward.apply(images, 2) if where == "backward" else images

    monkeypatch.setattr(type(agent.task.generator), "decode", small)
    with pytest.warns(UserWarning, match="gradient of 4 pictures at once") as told:
        parts = gradients(agent, observation)
    assert agent.chunk == 2 and len(told) == 1
    assert calls == ([4, 4] if where == "forward" else [4]) + [2, 2, 2, 2]
    largest = max(float(g.abs().max()) for g in whole)
    for mine, plain in zip(parts, whole, strict=True):
        assert float((mine - plain).abs().max()) < 1e-4 * largest
    monkeypatch.setattr(agent, "pictures", _never)
    with pytest.warns(UserWarning, match="chunk is 1"), pytest.raises(MemoryError):
        gradients(agent, observation)


def _never(*given: Any) -> Any:
    raise MemoryError


def test_noise_is_searched_for_fewer_pictures_at_once_where_memory_ends(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agent_of("noise_search", problem_of(folders("sd")))
    x = torch.randn(5, *agent.task.generator.shape, generator=torch.Generator().manual_seed(0))
    prompt, key = torch.arange(5) % 3, torch.arange(5)
    whole = agent.plan(x, prompt, key)
    value = agent.value

    def small(latents: Tensor, asked: Tensor) -> Tensor:
        return Backward.apply(value(latents, asked), 2)

    monkeypatch.setattr(agent, "value", small)
    with pytest.warns(UserWarning, match="noise_search: pictures at once: too little memory for 5"):
        parts = agent.plan(x, prompt, key)
    assert agent.climbing.rows == 2
    torch.testing.assert_close(parts, whole, atol=1e-3, rtol=1e-3)
    monkeypatch.setattr(agent, "value", _never)
    with (
        pytest.warns(UserWarning, match="from now on 1"),
        pytest.raises(RuntimeError, match="for 1 row"),
    ):
        agent.plan(x, prompt, key)
