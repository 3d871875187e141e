"""Claims about the denoising environments, on a tiny random Stable Diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from genenvs.core.vector import TaskVectorEnv
from genenvs.generators import prompts, text_to_image, transition
from genenvs.images.rewards import load
from genenvs.tasks.denoise.guidance import GUIDANCE
from genenvs.tasks.denoise.noise import NOISE
from genenvs.tasks.denoise.task import LIMIT
from tests.generators.tiny_pipelines import write_pipeline

ASKED = ("a red circle", "two small blue square", "a green square")
STEPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random Stable Diffusion that predicts v."""
    scheduler = {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    return str(write_pipeline(tmp_path_factory.mktemp("tiny") / "sd", "sd", **scheduler))


def make(folder: str, which: str, rows: int = 5, **more: Any) -> Any:
    """A batch of one of the three."""
    name = {"latent": "DenoiseLatent", "noise": "DenoiseNoise", "guidance": "DenoiseGuidance"}
    arguments = {"generator": folder, "prompts": ASKED, "reward": "brightness", "horizon": STEPS}
    return TaskVectorEnv(
        f"genenvs.tasks.denoise.{which}:{name[which]}", num_envs=rows, output="torch",
        autoreset_mode=AutoresetMode.DISABLED, keep_final=True, **(arguments | more),
    )  # fmt: skip


def play(envs: Any, policy: Any, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Rewards of the last step and the pictures, of one episode in every row."""
    observation, info = envs.reset(seed=seed)
    for t in range(STEPS):
        assert float(observation["time"][0]) == pytest.approx(1 - t / STEPS, abs=0.02)
        observation, reward, terminated, _, info = envs.step(policy(envs, observation))
        assert bool(terminated.all()) == (t == STEPS - 1)
        assert t == STEPS - 1 or not reward.any()
    return reward, info["final_state"].image


def chance(envs: Any, observation: Any) -> Tensor:
    """What `random` plays."""
    return envs.random_action()


def test_the_agents_latents_are_what_is_decoded_and_paid_for(folder: str) -> None:
    envs = make(folder, "latent")
    kept: list[Tensor] = []

    def act(envs: Any, observation: Any) -> Tensor:
        torch.testing.assert_close(
            observation["latent"], kept[-1] if kept else observation["latent"]
        )
        kept.append(torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(len(kept))))
        return kept[-1] / LIMIT

    reward, images = play(envs, act)
    shown = (envs.task.generator.decode(kept[-1]) * 255).round()
    assert torch.equal(images, shown.byte())
    torch.testing.assert_close(reward, envs.task.reward(shown / 255, {}))


def test_chance_is_the_base_sampler_whoever_owns_the_denoiser(folder: str) -> None:
    """The agent's latents, or its noise in the environment's denoiser: the same pictures."""
    first = play(make(folder, "latent"), chance)
    second = play(make(folder, "noise"), chance)
    assert (first[1].int() - second[1].int()).abs().max() <= 1
    torch.testing.assert_close(first[0], second[0], atol=1e-3, rtol=0)


def test_the_sampler_is_a_plain_loop_over_transitions(folder: str) -> None:
    envs = make(folder, "noise", rows=3)
    model = text_to_image.load(folder)
    observation, _ = envs.reset(seed=0)
    x, condition = (
        observation["latent"].clone(),
        model.encode([ASKED[i] for i in observation["prompt"]]),
    )
    times = model.times(STEPS)
    drawn = torch.Generator().manual_seed(0)
    for t in range(STEPS):
        here, there = times[t].expand(3), times[t + 1].expand(3)
        clean, noise = model.predict(x, here, condition)
        mean, std = transition.ddim_eta(clean, noise, here, there, model.schedule, 1.0)
        z = torch.randn(x.shape, generator=drawn).clamp(-NOISE, NOISE)
        x = (mean + std[:, None, None, None] * z).clamp(-LIMIT, LIMIT)
        observation, *_ = envs.step(z / NOISE)
        torch.testing.assert_close(observation["latent"], x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_constant_guidance_is_the_plain_sampler_with_guidance(folder: str, scale: float) -> None:
    envs = make(folder, "guidance", rows=3)
    model = text_to_image.load(folder)
    observation, _ = envs.reset(seed=0)
    x, condition = (
        observation["latent"].clone(),
        model.encode([ASKED[i] for i in observation["prompt"]]),
    )
    times = model.times(STEPS)
    action = torch.tensor([scale / GUIDANCE * 2 - 1, -1.0, 0.0]).expand(3, 3)
    for t in range(STEPS):
        here, there = times[t].expand(3), times[t + 1].expand(3)
        clean, noise = model.predict(x, here, condition, scale)
        x, _ = transition.ddim_eta(clean, noise, here, there, model.schedule, 0.0)
        x = x.clamp(-LIMIT, LIMIT)
        observation, *_ = envs.step(action)
        torch.testing.assert_close(observation["latent"], x, atol=2e-4, rtol=1e-4)


def test_emphasis_changes_the_evaluation_that_follows(folder: str) -> None:
    rows = torch.tensor([[-0.5, -1, 1.0], [-0.5, -1, 0.0], [-0.5, -1, -1.0]])
    envs = make(folder, "guidance", rows=3, prompts=ASKED[:1])
    _observation, _ = envs.reset(seed=[0, 0, 0])
    first, *_ = envs.step(rows)
    assert torch.equal(first["latent"][0], first["latent"][1])
    assert not torch.equal(first["clean"][0], first["clean"][1])
    assert not torch.equal(first["clean"][2], first["clean"][1])
    second, *_ = envs.step(rows)
    assert not torch.equal(second["latent"][0], second["latent"][1])


@pytest.mark.parametrize("which", ["latent", "noise", "guidance"])
def test_an_episode_does_not_depend_on_its_neighbours(folder: str, which: str) -> None:
    def act(envs: Any, observation: Any) -> Tensor:
        if which == "guidance":
            level = observation["pull"] - 0.5
            return torch.cat([level, -level, level], 1)
        return envs.random_action()

    many, images = play(make(folder, which), act, seed=7)
    alone, one = play(make(folder, which, rows=1), act, seed=9)
    torch.testing.assert_close(many[2:3], alone, atol=1e-3, rtol=0)
    assert (images[2].int() - one[0].int()).abs().max() <= 1


@pytest.mark.parametrize("which", ["latent", "noise", "guidance"])
def test_every_row_is_drawn_and_kept(folder: str, which: str) -> None:
    envs = make(folder, which, rows=2)
    envs.reset(seed=0)
    picture = envs.task.render(envs.state, 1)
    assert picture.dtype == "uint8" and picture.shape[2] == 3 and picture.std() > 10
    kept = envs.artefact(0)
    assert kept.size == (16, 16) and kept.mode == "RGB"


def test_a_diffusion_model_stands_in_for_a_flow_but_not_the_other_way(
    folder: str, tmp_path: Path
) -> None:
    flow = str(write_pipeline(tmp_path / "flow", "sd3", seed=5))
    envs = make(flow, "latent", reference=folder)
    envs.reset(seed=0)
    state, model = envs.state, text_to_image.load(folder)
    x, place = transition.as_diffusion(state.x, envs.task.times[:1].expand(5), model.schedule)
    condition = model.encode([ASKED[i] for i in envs.task.own[state.instance].tolist()])
    clean, noise = model.predict(x, place, condition, 3.0)
    mean, _ = envs.task.gaussian(state, clean, noise, 0.0)
    torch.testing.assert_close(envs.reference_action() * LIMIT, mean, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="must be of the same kind or, for a flow, a diffusion"):
        envs = make(folder, "latent", reference=flow)
        envs.reset(seed=0)
        envs.reference_action()


def test_the_references_lead_where_they_say(folder: str, tmp_path: Path) -> None:
    other = str(write_pipeline(tmp_path / "tuned", "sd", seed=5, prediction_type="v_prediction"))
    envs = make(folder, "latent", reference=other)
    _, images = play(envs, lambda envs, observation: envs.reference_action())
    model = text_to_image.load(other)
    observation, _ = envs.reset(seed=3)
    x, condition = (
        observation["latent"].clone(),
        model.encode([ASKED[i] for i in observation["prompt"]]),
    )
    for t in range(STEPS):
        here, there = envs.task.times[t].expand(5), envs.task.times[t + 1].expand(5)
        clean, noise = model.predict(x, here, condition, 3.0)
        x, _ = transition.ddim_eta(clean, noise, here, there, model.schedule, 0.0)
        x = x.clamp(-LIMIT, LIMIT)
    # The picture is what the environment's own decoder makes of it.
    shown = text_to_image.load(folder).decode(x)
    assert ((shown * 255).round().int() - images.int()).abs().max() <= 1


def test_prompts_of_the_scenes_are_balanced_and_parted() -> None:
    found = prompts.scenes()
    places = {split: set(found.places(split)) for split in ("train", "validation", "test")}
    assert len(found.texts) == sum(map(len, places.values())) == len(set(found.texts))
    assert found.request is not None
    for split, own in places.items():
        kinds = found.request.category[sorted(own)].bincount()
        assert int(kinds.max()) == prompts.MOST[split] and int(kinds.min()) >= 1


def test_prompts_of_ones_own_come_from_a_file_or_a_list(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"thing number {k}" for k in range(40)) + "\n\n", encoding="utf-8")
    found = prompts.of_user(str(path))
    parts = [found.places(split) for split in ("train", "validation", "test")]
    assert sorted(k for part in parts for k in part) == list(range(40))
    assert len(parts[0]) > 20
    few = prompts.of_user(["a", " a ", "b"])
    assert few.texts == ("a", "b") and few.places("train") == few.places("test") == [0, 1]


@pytest.mark.parametrize(
    ("which", "arguments", "error", "says"),
    [
        ("latent", {"prompts": ()}, ValueError, "no prompt"),
        ("latent", {"prompts": (1, 2)}, ValueError, "strings"),
        ("latent", {"prompts": "nowhere.txt"}, FileNotFoundError, "no such file"),
        ("latent", {"rule": "cps"}, ValueError, "ddim_eta, ddpm"),
        ("latent", {"level": 2.0}, ValueError, "0..1"),
        ("latent", {"guidance": -1.0}, ValueError, "guidance"),
        ("latent", {"reward": "mmd"}, ValueError, "of a set"),
        ("latent", {"reward": "scen"}, ValueError, "scene"),
        ("latent", {"gold": "coverage"}, ValueError, "gold 'coverage' is of a set"),
        ("latent", {"gold": "brightness"}, ValueError, "nobody is paid for"),
        (
            "latent",
            {"gold": {"contrast": 1}, "reward": {"contrast": 2, "brightness": 1}},
            ValueError,
            "nobody is paid for",
        ),
        ("latent", {"gold": "scene", "prompts": ["a portrait"]}, ValueError, "portrait"),
        ("latent", {"reward": "glyphs"}, ValueError, "prompt 'a red circle' quotes no text"),
        ("latent", {"gold": "glyphs=2"}, ValueError, "prompt 'a red circle' quotes no text"),
        (
            "latent",
            {"reward": {"glyphs": 1.0, "contrast": 1.0}, "prompts": ['"HI"', 'a sign "Hello!"']},
            ValueError,
            "prompt 'a sign \"Hello!\"': text 'Hello!' has no '!'",
        ),
        ("latent", {"max_batch": 2.5}, ValueError, "max_batch must be"),
        ("guidance", {"guidance": 2.0}, TypeError, "what the agent chooses"),
        ("latent", {"generator": "no/where/at/all"}, FileNotFoundError, "not"),
    ],
)
def test_wrong_arguments_are_told(
    folder: str, which: str, arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        make(folder, which, **arguments)


def test_a_reward_that_is_no_number_is_told(folder: str) -> None:
    def broken(images: Tensor, context: dict[str, Any]) -> Tensor:
        return images.mean((1, 2, 3)) * float("nan")

    envs = make(folder, "latent", reward=broken)
    with pytest.raises(ValueError, match=r"NaN|finite"):
        play(envs, chance)


def test_steering_leads_where_the_noise_reaches(folder: str) -> None:
    envs = make(folder, "noise", rows=3)
    task = envs.unwrapped.task
    observation, _ = envs.reset(seed=0)
    drawn = torch.Generator().manual_seed(1)
    for _ in range(STEPS - 1):
        near = 0.1 * torch.randn(observation["latent"].shape, generator=drawn)
        mean, std = task.gaussian(envs.state, envs.state.clean, envs.state.noise)
        wanted = mean + std[:, None, None, None] * near
        action = task.steer(observation, wanted)
        torch.testing.assert_close(action, near / NOISE, atol=2e-4, rtol=1e-3)
        observation, *_ = envs.step(action)
        torch.testing.assert_close(observation["latent"], wanted, atol=1e-4, rtol=1e-4)
    other = make(folder, "latent", rows=3)
    assert torch.equal(other.unwrapped.task.steer({}, wanted), wanted / LIMIT)
    with pytest.raises(ValueError, match="another horizon"):
        task.steer(dict(observation) | {"time": torch.full((3, 1), 0.123)}, wanted)


@pytest.mark.parametrize("which", ["latent", "noise", "guidance"])
def test_a_generator_that_can_makes_pictures_of_another_size(folder: str, which: str) -> None:
    envs = make(folder, which, 2, image_size=(16, 24))
    still = torch.zeros(2, *envs.single_action_space.shape)
    _, images = play(envs, lambda envs, observation: still)
    assert images.shape == (2, 3, 16, 24) and bool(images.any())
    assert envs.task.latent_space.shape[0] == 4 and envs.task.dimensions == 4 * 8 * 12
    action = envs.reference_action()  # its model has the same size
    assert action.shape == (2, *envs.single_action_space.shape)
    for wrong, says in ((17, "multiples of"), ([16], "or \\(height, width\\)"), (True, "or \\(h")):
        with pytest.raises(ValueError, match=says):
            make(folder, which, 2, image_size=wrong)


def test_of_other_prompts_what_cannot_be_known_is_missing(folder: str) -> None:
    known, other = {}, {}
    scenes = ["a red circle", "a green square"]
    for prompts_, found in ((scenes, known), ([*scenes, "a portrait of a cat"], other)):
        envs = make(folder, "latent", 6, prompts=prompts_)
        _, images = play(envs, chance)
        final = envs.state
        for rows in (6, 1, 0):
            some = final.rows(torch.arange(rows))
            found[rows] = envs.task.judge(some), envs.task.features(some)
            assert all(len(value) == rows for value in found[rows][0].values())
        sets = envs.task.set_metrics(found[6][1])
        assert set(sets) == ({"diversity"} if found is other else {"frechet", "diversity"})
        assert sets["diversity"] > 0 and not envs.task.set_metrics(found[1][1])
        assert images.any()
    assert set(known[6][0]) == {"correct", "clean", "strange"} and set(other[6][0]) == {"strange"}
    assert bool((other[6][0]["strange"] > 0).all())


def test_gold_of_ones_own_is_judged_and_never_paid(folder: str) -> None:
    plain = make(folder, "latent", 6)
    envs = make(folder, "latent", 6, gold={"brightness": 1.0, "contrast": -0.5})
    paid, images = play(envs, chance)
    same, _ = play(plain, chance)
    assert torch.equal(paid, same)
    shown = images.float() / 255
    told = envs.task.told(envs.task.prompt(envs.state))
    wanted = load("brightness")(shown, told) - 0.5 * load("contrast")(shown, told)
    torch.testing.assert_close(envs.task.judge(envs.state)["held_out"], wanted)
    assert envs.task.metrics["held_out"].gold and "held_out" not in plain.task.metrics


@dataclass
class Mine:
    """A reward without a hash, as instances of dataclasses are."""

    factor: float = 0.5

    def __call__(self, images: Tensor, context: Any) -> Tensor:
        """Brightness, less of it."""
        return self.factor * images.mean((1, 2, 3))


def test_rewards_without_a_hash_are_told_apart_by_identity(folder: str) -> None:
    mine, other = Mine(), Mine()
    paid, images = play(make(folder, "latent", reward=mine), chance)
    torch.testing.assert_close(paid, 0.5 * images.float().mean((1, 2, 3)) / 255)
    envs = make(folder, "latent", reward=mine, gold=other)
    play(envs, chance)
    torch.testing.assert_close(envs.task.judge(envs.state)["held_out"], paid)
    make(folder, "latent", reward="brightness", gold=mine)
    for reward in (mine, load(mine)):
        with pytest.raises(ValueError, match="nobody is paid for"):
            make(folder, "latent", reward=reward, gold=reward)


@pytest.mark.parametrize(
    ("reward", "gold"),
    [
        ("scene_correct", False),
        ("genenvs.images.rewards.scene:scene_correct", False),
        ({"brightness": 1.0, "scene_correct": -0.5}, False),
        ({"brightness": 1.0, "scene_correct": 0.0}, True),
        ("scene", True),
    ],
)
def test_what_is_paid_is_no_gold_metric(reward: Any, gold: bool, folder: str) -> None:
    envs = make(folder, "latent", reward=reward, prompts=["a red circle", "a green square"])
    _, images = play(envs, chance)
    task = envs.task
    assert task.metrics["correct"].gold == gold and task.metrics["clean"].gold
    judged, found = task.judge(envs.state), task.gold(images, task.prompt(envs.state))
    assert "correct" in judged, "it is the score, whatever is paid"
    assert set(judged) - set(found) == (set() if gold else {"correct"})


def test_a_batch_that_does_not_fit_is_evaluated_in_parts(folder: str) -> None:
    found = {rows: make(folder, "noise", 5, max_batch=rows) for rows in (2, 64)}
    assert {rows: envs.task.generator.max_batch for rows, envs in found.items()} == {2: 2, 64: 64}
    pictures = [play(envs, chance)[1].int() for envs in found.values()]
    assert int((pictures[0] - pictures[1]).abs().max()) <= 1


def test_a_reward_of_scenes_refuses_other_prompts_before_anything_is_played(folder: str) -> None:
    for reward in ("scene", {"brightness": 1.0, "scene_correct": 1.0}):
        with pytest.raises(ValueError, match="scenes know no 'portrait'"):
            make(folder, "latent", 2, prompts=["a portrait of a cat"], reward=reward)
