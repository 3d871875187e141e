"""Tiny random diffusion models, built on disk as diffusers saves them."""

from __future__ import annotations

import json
from pathlib import Path

import torch


def write_model(
    folder: Path,
    *,
    prediction: str = "epsilon",
    classes: int | None = None,
    pipeline: bool = True,
    channels: int = 1,
    size: int = 8,
    scheduler: str = "DDPMScheduler",
    seed: int = 0,
    **schedule: object,
) -> Path:
    """Save a random two-level UNet2DModel with its scheduler; return the folder."""
    import diffusers

    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    unet = diffusers.UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        add_attention=False,
        num_class_embeds=classes,
    )
    torch.random.set_rng_state(state)
    settings = {"num_train_timesteps": 100, "prediction_type": prediction, **schedule}
    made = getattr(diffusers, scheduler)(**settings)
    unet.save_pretrained(folder / "unet" if pipeline else folder)
    made.save_pretrained(folder / "scheduler" if pipeline else folder)
    if pipeline:
        index = {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}
        index["scheduler"] = ["diffusers", scheduler]
        (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def edit_json(path: Path, **values: object) -> None:
    """Change entries of a JSON file in place."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
