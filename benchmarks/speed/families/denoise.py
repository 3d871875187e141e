"""Denoising as a policy: pictures a second beside diffusers' own pipeline and plain DDPO."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from agents.denoise.ddpo import DDPO, DDPOConfig
from agents.problem import Problem
from agents.run import Run
from benchmarks.plain_ddpo import PlainDDPO
from benchmarks.speed.measure import Row, Spread, in_turns, lap_of, over, row
from genenvs.generators import store
from genenvs.generators.text_to_image import take
from genenvs.tasks.denoise.guidance import DenoiseGuidance
from genenvs.tasks.denoise.noise import DenoiseNoise

ENV = "genenvs/DenoiseLatent-v0"
ROWS = (16, 64)
STEPS = 10
FLOOR = "the bare networks: the frozen denoiser where there is one, the decoder of who ends"
OWNED = (
    "The agent's own network is not in it. Next to nothing at large batches; at small ones the "
    "reward, which reads few pictures in almost the time of many."
)
FROZEN = (
    "Next to nothing at large batches. At small ones the task's arithmetic, and the reward, which "
    "reads few pictures in almost the time of many."
)
WHY = {
    "genenvs/DenoiseLatent-v0": OWNED,
    "genenvs/DenoiseLatentFlow-v0": OWNED,
    "genenvs/DenoiseNoise-v0": FROZEN,
    "genenvs/DenoiseGuidance-v0": FROZEN,
}


def floor(task: Any, state: Any) -> Callable[[], Any]:
    """One forward of all rows, of both branches where a step needs them, and a step's decoding."""
    rows = len(state.x)
    ends = -(-rows // task.horizon)  # where episodes are spread over their steps
    branches = {DenoiseNoise: 1, DenoiseGuidance: 2}.get(type(task), 0)
    x = torch.randn(branches * rows, *task.generator.shape, device=task.device)
    asked = take(task.conditions, task.prompt(state).repeat(max(1, branches)))
    time = task.here_and_there(state)[0].repeat(max(1, branches))

    @torch.no_grad()
    def networks() -> None:
        if branches:
            task.generator.predict(x, time, asked)
        task.generator.decode(state.x[:ends])

    return networks


def pipeline(device: str) -> Any:
    """The shipped `sprites` as diffusers loads it."""
    from diffusers import StableDiffusionPipeline

    made = StableDiffusionPipeline.from_pretrained(
        store.WEIGHTS / "sprites", safety_checker=None, local_files_only=True
    )
    made.set_progress_bar_config(disable=True)
    return made.to(device)


def rollouts(rows: int, device: str) -> Iterator[Row]:
    """Whole chains in the environment, and the plain pipeline's call."""
    agent = DDPO(
        Problem(ENV, device=device), DDPOConfig(num_prompts=rows, group_size=1, pictures=0)
    )
    ours = agent.play
    bare, texts = pipeline(device), list(agent.task.texts[:rows])

    def theirs() -> None:
        bare(texts, num_inference_steps=STEPS, guidance_scale=1.0, eta=1.0, output_type="pt")

    found = compare(ours, theirs, rows, device)
    yield row("pictures: rollout of the policy, rewarded", rows, Spread.of(found["ours"]))
    yield row("pictures: the plain diffusers pipeline", rows, Spread.of(found["theirs"]))
    share = over(found["ours"], found["theirs"])
    yield row("rollout / plain pipeline", rows, share, "at least 0.95", "ratio")


def epochs(rows: int, device: str) -> Iterator[Row]:
    """One epoch of DDPO, ours and the published procedure, of 8 batches of `rows` pictures."""
    number = 8 * rows
    agent = DDPO(
        Problem(ENV, device=device),
        DDPOConfig(num_prompts=number, group_size=1, pictures=0, updates=1),
    )
    run = Run(0, 10**9)

    def ours() -> None:
        agent.improve(run, *agent.play())

    task = agent.task

    def paid(images: torch.Tensor, texts: list[str]) -> torch.Tensor:
        return task.reward(images.float() / 255, {"prompts": texts})

    plain = PlainDDPO(
        pipeline(device), [task.texts[k] for k in task.own.tolist()], paid, STEPS, rows
    )
    optimiser = plain.optimiser()
    found = compare(ours, lambda: plain.epoch(optimiser), number, device)
    yield row("pictures: an epoch of ddpo", number, Spread.of(found["ours"]))
    yield row("pictures: an epoch by the published procedure", number, Spread.of(found["theirs"]))
    gained = over(found["ours"], found["theirs"])
    yield row("ddpo / published procedure", number, gained, "at least 1.2", "ratio")


def compare(
    ours: Callable[[], Any], theirs: Callable[[], Any], pictures: int, device: str
) -> dict[str, list[float]]:
    """Pictures a second of both, in turns."""
    calls = {"ours": ours, "theirs": theirs}
    return in_turns({name: lap_of(call, pictures, device) for name, call in calls.items()})


def rows(device: str) -> Iterator[Row]:
    """Every row."""
    for count in ROWS:
        yield from rollouts(count, device)
    yield from epochs(32, device)
