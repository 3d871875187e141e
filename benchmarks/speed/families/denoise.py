"""Denoising as a policy: pictures a second, and memory, beside diffusers and plain DDPO."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from agents.denoise.ddpo import DDPO, DDPOConfig
from agents.problem import Problem
from agents.run import Run
from benchmarks.plain_ddpo import PlainDDPO
from benchmarks.speed.measure import Row, Spread, in_turns, lap_of, over, row
from benchmarks.speed.peak import Growth
from genenvs.generators import store, text_to_image
from genenvs.generators.text_to_image import take
from genenvs.tasks.denoise.guidance import DenoiseGuidance
from genenvs.tasks.denoise.noise import DenoiseNoise

ENV = "genenvs/DenoiseLatent-v0"
ROWS = (16, 64)
EVALUATED = 64
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


def floor(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """One forward of all rows, of both branches where a step needs them, and a step's decoding."""
    rows = len(state.x)
    ends = int((state.step + 1 == task.horizon).sum())
    branches = {DenoiseNoise: 1, DenoiseGuidance: 2}.get(type(task), 0)
    x = torch.randn(branches * rows, *task.generator.shape, device=task.device)
    asked = take(task.conditions, task.prompt(state).repeat(max(1, branches)))
    time = task.here_and_there(state)[0].repeat(max(1, branches))

    @torch.no_grad()
    def networks() -> None:
        if branches:
            task.generator.predict(x, time, asked)
        if ends:
            task.generator.decode(state.x[:ends])

    return networks


def pipeline(device: str, generator: str = "sprites", dtype: str = "float32") -> Any:
    """A shipped generator, or a folder, as diffusers loads it."""
    from diffusers import StableDiffusionPipeline

    folder = store.WEIGHTS / generator  # an absolute path stays what it is
    made = StableDiffusionPipeline.from_pretrained(
        folder, safety_checker=None, local_files_only=True, torch_dtype=getattr(torch, dtype)
    )
    made.set_progress_bar_config(disable=True)
    return made.to(device)


def rollouts(
    rows: int, device: str, generator: str = "sprites", dtype: str = "float32", **arguments: Any
) -> Iterator[Row]:
    """Whole chains in the environment, and the plain pipeline's call."""
    given = {"generator": generator, "dtype": dtype} | arguments
    agent = DDPO(
        Problem(ENV, given, device=device),
        DDPOConfig(num_prompts=rows, group_size=1, pictures=0),
    )
    bare, texts = pipeline(device, generator, dtype), list(agent.task.texts[:rows])

    asked = torch.arange(rows, device=device)

    def theirs() -> torch.Tensor:
        # At 1, where the schedule begins without signal, rounding makes diffusers take the root of
        # a number below 0, and every picture is nan.
        images: torch.Tensor = bare(
            texts, num_inference_steps=STEPS, guidance_scale=1.0, eta=0.999, output_type="pt"
        ).images
        return images

    def rewarded() -> None:
        images = theirs()
        agent.task.reward(images, agent.task.told(asked))
        agent.task.gold((images * 255).round().byte(), asked)

    name = Path(generator).name
    found = compare({"ours": agent.play, "theirs": theirs, "rewarded": rewarded}, rows, device)
    yield row(f"pictures: rollout of {name}, rewarded", rows, Spread.of(found["ours"]))
    yield row(f"pictures: {name}, the plain diffusers pipeline", rows, Spread.of(found["theirs"]))
    share = over(found["ours"], found["theirs"])
    yield row(f"{name}: rollout / plain pipeline", rows, share, "at least 0.95", "ratio")
    share = over(found["ours"], found["rewarded"])
    yield row(f"{name}: rollout / plain pipeline and the same rewards", rows, share, "", "ratio")
    yield from memory(f"rollout of {name}", agent.play, rows, device)
    yield from memory(f"{name}, the plain diffusers pipeline", theirs, rows, device)


def memory(what: str, call: Callable[[], Any], rows: int, device: str) -> Iterator[Row]:
    """By how much memory grows at most while something runs; models are there before."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        grown: int | None = torch.cuda.max_memory_allocated() - before
    else:
        growth = Growth()
        call()
        grown = growth.bytes
    if grown is not None:
        yield row(f"memory: {what}", rows, Spread.of([grown / 1e9]), "", "GB")


def evaluations(device: str) -> Iterator[Row]:
    """Bare evaluations of the shipped networks."""
    for name, target in (("sprites", 1_500), ("sprites-flow", 4_000)):
        model = text_to_image.load(name, device)
        asked = model.encode(["a red circle"] * EVALUATED)
        x = torch.randn(EVALUATED, *model.shape, device=device)
        time = torch.full((EVALUATED,), float(model.times(2)[1]), device=device)

        def forward(model: Any = model, x: Any = x, time: Any = time, asked: Any = asked) -> None:
            with torch.no_grad():
                model.predict(x, time, asked)

        found = in_turns({name: lap_of(forward, EVALUATED, device)})[name]
        aim = f"at least {target:,} on two cores"
        yield row(f"evaluations of {name}", EVALUATED, Spread.of(found), aim)


def large(folder: Path, widths: tuple[int, ...] = (320, 640, 1280, 1280)) -> str:
    """A Stable Diffusion 1.5 with random weights.

    Args:
        folder: to write to.
        widths: of the U-Net's levels.
    """
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(store.WEIGHTS / "sprites" / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
        num_attention_heads=12, max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    attends = (
        ("CrossAttnDownBlock2D",) * (len(widths) - 1),
        ("CrossAttnUpBlock2D",) * (len(widths) - 1),
    )
    unet = UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8, block_out_channels=widths,
        down_block_types=(*attends[0], "DownBlock2D"), up_block_types=("UpBlock2D", *attends[1]),
    )  # fmt: skip
    levels = (128, 256, 512, 512)
    vae = AutoencoderKL(
        block_out_channels=levels, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, layers_per_block=2,
        sample_size=512,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


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
    found = compare({"ours": ours, "theirs": lambda: plain.epoch(optimiser)}, number, device)
    yield row("pictures: an epoch of ddpo", number, Spread.of(found["ours"]))
    yield row("pictures: an epoch by the published procedure", number, Spread.of(found["theirs"]))
    gained = over(found["ours"], found["theirs"])
    yield row("ddpo / published procedure", number, gained, "at least 1.2", "ratio")
    yield from memory("an epoch of ddpo", ours, number, device)
    theirs = partial(plain.epoch, optimiser)
    yield from memory("an epoch by the published procedure", theirs, number, device)


def compare(
    calls: Mapping[str, Callable[[], Any]], pictures: int, device: str
) -> dict[str, list[float]]:
    """Pictures a second of each, in turns."""
    return in_turns({name: lap_of(call, pictures, device) for name, call in calls.items()})


def rows(device: str) -> Iterator[Row]:
    """Every row."""
    yield from evaluations(device)
    for count in ROWS:
        yield from rollouts(count, device)
    yield from epochs(32, device)
    if torch.device(device).type == "cuda":
        with tempfile.TemporaryDirectory() as place:
            folder = large(Path(place) / "sd15")
            yield from rollouts(4, device, folder, "bfloat16", reward="brightness")
