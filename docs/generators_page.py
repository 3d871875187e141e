"""The page of the shipped generators, from the figures that their training scripts measured."""

import json
from typing import Any

from safetensors.numpy import load_file

from genenvs.cli.page import table
from genenvs.generators.store import WEIGHTS

PAGE = """# Generators

A generator is a frozen diffusion model that tasks step through. `generator=` of an environment
takes the name of one that ships, a local diffusers folder (a `UNet2DModel`, or a pipeline with
`unet/` and `scheduler/`, epsilon, v or sample prediction, unconditional or by class), or a hub
id. Only JSON and safetensors files are read. Instances of a generator task are finite and paid by
their many-step solutions; for a generator that does not ship, build that bank once:

```bash
python -m genenvs.generators.bank --generator FOLDER_OR_HUB_ID --instances 1024
```

It is resumable and cached. Without one, making the environment says so and estimates the cost.

A [text-to-image model](text_to_image.md) that is no flow (Stable Diffusion 1.x and 2.x, SDXL) fits
too: `prompts=` and `guidance=` of the environment, `--prompts` (a text file, one a line; default
the scenes' grammar) and `--guidance` of the command. A bank belongs to both. Its solutions are
latents, and so is what the fidelity error compares; pictures are decoded.

## `digits`

![Samples of the generator beside real digits](../genenvs/generators/weights/digits/samples.png)

A class-conditional variance-preserving model ({parameters:,} parameters) of the 1,797 real
handwritten digits that come with scikit-learn, 8 x 8 pixels, split 1,248 / 178 / 371 by content
hash. Trained from scratch by `python -m genenvs.generators.training.digits` in {minutes:.0f}
minutes on one thread. A small classifier trained on the same images judges it: it reads
{judge:.1%} of the real test digits.

{quality}

The features are {features}. The classifier saw the training images, which inflates the distance
of the training to the test split: that the samples lie below it does not make them better than
real. Writers are shared between the splits. The weights were chosen from two runs by the first
figure.

Mean distance (RMS over pixels, data in [-1, 1]) to the 200-step DDIM solution from the same
noise, uniform steps; the reference itself is {own:.4f} from the solution with all 1,000 steps:

{errors}

All figures: `python -m genenvs.generators.training.report`.
"""

SPRITES = """
## `sprites`

![Real scenes above, samples of `sprites` below]({pictures}/sprites/samples.png)

*`sprites`: real scenes of twelve unseen prompts above, samples with {base_how} below.*

![Real scenes above, samples of `sprites-tuned` below]({pictures}/sprites-tuned/samples.png)

*`sprites-tuned`, with {tuned_how}.*

![Real scenes above, samples of `sprites-flow` below]({pictures}/sprites-flow/samples.png)

*`sprites-flow`, with {flow_how}.*

A complete small Stable Diffusion ({parameters:,} parameters beside an autoencoder of
{vae:,}; {size:.1f} MB a folder) of captioned scenes of 32 x 32 pixels:
`diffusers.StableDiffusionPipeline.from_pretrained` loads it. The scenes are drawn by
`genenvs.images.scenes`: one to three things of four shapes, six colours and two sizes, in places
that the caption may say, before textured backgrounds; 5,184 prompts, whose splits share none. A
parser reads pictures back, as GenEval's detector does.

`sprites-tuned` is the model at its best. `sprites`, from which reinforcement learning starts, is
the same after {steps:,} more steps in which {shuffled:.0%} of the captions belonged to other
scenes. `sprites-flow` is a small Stable Diffusion 3 over the same latents: rectified flow by a
transformer of 16 tokens ({flow_parameters:,} parameters) that reads with the text encoder of
`sprites-tuned`. It learned {answers:,} answers of that model at guidance {taught:g} in
{flow_steps:,} steps, so that it needs no guidance of its own, and {last:,} more with
{flow_shuffled:.0%} of the captions from other answers, so that reinforcement learning has something
to mend.
`diffusers.StableDiffusion3Pipeline.from_pretrained(folder, text_encoder_3=None, tokenizer_3=None)`
loads it; call it with `max_sequence_length=1`.

Share of 1,200 samples of unseen prompts in which the parser finds all that was asked for:

{figures}

The ceiling is what the parser says of real scenes through the autoencoder; of the scenes
themselves it is {real:.1%}.

Trained from scratch by `python -m genenvs.generators.training.sprites` in {minutes:.0f} CPU minutes
in all, on one thread; pictures by `python -m genenvs.generators.training.sprites.report`. Denoising
alone never taught the text encoder a relation: after its first two stages "left of" and "right of"
had one embedding. An exercise in reading (what has the caption said so far, and where does it
stand?) mended that within minutes; see `genenvs/generators/training/sprites/grounding.py`.
"""


def render() -> str:
    """The page as Markdown."""
    return _digits() + _sprites()


def _sprites() -> str:
    names = ("sprites", "sprites-tuned", "sprites-flow")
    reports = {name: _read("training.json", name) for name in names}
    base, tuned, flow = reports.values()
    kinds = list(tuned["ceiling"]["by_category"])
    rows: list[tuple[str, ...]] = []
    for name, report in reports.items():
        for found in report["test"].values():
            shares = [found["correct"], *(found["by_category"][kind] for kind in kinds)]
            rows.append((f"`{name}`, {_how(found)}", *(f"{each:.1%}" for each in shares)))
    highest = tuned["ceiling"]
    shares = [highest["through_vae"], *highest["by_category"].values()]
    rows.append(("ceiling", *(f"{each:.1%}" for each in shares)))
    stages = [base[each] for each in ("vae", "first", "second", "tuned", "training")]
    stages += [flow[each] for each in ("flow-first", "flow-tuned", "training")]
    files = [path for path in (WEIGHTS / "sprites").rglob("*") if path.is_file()]
    return SPRITES.format(
        pictures="../genenvs/generators/weights",
        base_how=_how(base["test"]["plain"]),
        tuned_how=_how(tuned["test"]["guided"]),
        flow_how=_how(flow["test"]["plain"]),
        flow_parameters=_parameters("sprites-flow", "transformer"),
        answers=flow["teacher"]["answers"],
        taught=flow["teacher"]["guidance"],
        flow_steps=sum(flow[f"flow-{each}"]["log"][-1]["step"] for each in ("first", "tuned")),
        last=flow["training"]["plan"]["steps"],
        flow_shuffled=flow["shuffled"],
        parameters=_parameters("sprites", "unet", "text_encoder"),
        vae=_parameters("sprites", "vae"),
        size=sum(path.stat().st_size for path in files) / 1e6,
        steps=base["training"]["plan"]["steps"],
        shuffled=base["shuffled"],
        figures=table(("", "all", *kinds), rows),
        real=highest["real"],
        minutes=sum(stage["cpu_minutes"] for stage in stages),
    )


def _parameters(name: str, *parts: str) -> int:
    """Of some folders of a pipeline."""
    found = 0
    for part in parts:
        (path,) = (WEIGHTS / name / part).glob("*.safetensors")
        found += sum(tensor.size for tensor in load_file(path).values())
    return found


def _how(found: dict[str, Any]) -> str:
    return f"{found['steps']} steps, guidance {found['guidance']:g}"


def _digits() -> str:
    report = _read("report.json")
    training, found, errors = _read("training.json"), report["quality"], report["errors"]
    distances = found["frechet"]
    quality = table(
        ("measured", "value"),
        [
            (
                f"read as asked, {found['samples']:,} samples at {found['steps']} DDIM steps",
                f"{found['read_as_asked']:.1%}",
            ),
            ("Frechet distance, samples to real test", f"{distances['samples_to_test']:.2f}"),
            ("the same, real training to real test", f"{distances['train_to_test_floor']:.2f}"),
            *(
                (f"nearest neighbour, {name.replace('_', ' ')}", f"{value:.3f}")
                for name, value in found["nearest_neighbour"].items()
            ),
        ],
    )
    steps = list(errors["ddim"])
    rows = [
        (name, *(f"{errors[name][step]['mean']:.3f}" for step in steps))
        for name in ("ddim", "dpmpp_2m")
    ]
    return PAGE.format(
        parameters=report["generator"]["parameters"],
        minutes=training["minutes"],
        judge=report["judge"]["accuracy"]["test"],
        quality=quality,
        features=distances["features"],
        own=errors["reference_to_all_timesteps"]["mean"],
        errors=table(("sampler", *(f"{step} steps" for step in steps)), rows),
    )


def _read(name: str, folder: str = "digits") -> dict[str, Any]:
    return json.loads((WEIGHTS / folder / name).read_text(encoding="utf-8"))
