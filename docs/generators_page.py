"""The page of the shipped generators, from the figures that their training scripts measured."""

import json
from typing import Any

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


def render() -> str:
    """The page as Markdown."""
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


def _read(name: str) -> dict[str, Any]:
    return json.loads((WEIGHTS / "digits" / name).read_text(encoding="utf-8"))
