"""A text-to-image model with prompts and a guidance scale, as a `Denoiser`; or any generator."""

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from genenvs.generators import denoiser, text_to_image
from genenvs.generators.denoiser import Denoiser
from genenvs.generators.families import FAMILIES
from genenvs.generators.folder import SHIPPED, TEXT_TO_IMAGE, find, read_json
from genenvs.generators.guidance import fixed
from genenvs.generators.prompts import Prompts, of_user, scenes
from genenvs.generators.text_to_image import Conditions, TextToImage, take
from genenvs.images.scenes.grammar import Request


@dataclass(frozen=True, eq=False)
class Prompted(Denoiser):
    """A text-to-image diffusion model whose conditions are prompts; made by `ask` or `load`.

    With guidance both branches are one evaluation, in one call of the network.

    Attributes:
        model: the frozen model.
        prompts: of all splits; a condition is an index into their texts.
        guidance: the scale, for every row.
        request: what the prompts ask for, on `device`; None where they are not of the scenes'
            grammar.
        conditions: the encoded prompts.
    """

    model: TextToImage = field(repr=False)
    prompts: Prompts = field(repr=False)
    guidance: float
    request: Request | None = field(repr=False)
    conditions: Conditions = field(repr=False)
    _file: str | None = field(repr=False)  # what the bank's command calls the prompts

    def predict_both(self, x: Tensor, time: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """See `Denoiser`."""
        rows = take(self.conditions, condition)
        return self.model.predict(x, time.float(), rows, self.guidance)

    def picture(self, x: Tensor) -> Tensor:
        """Return the decoded latents, float32 [B, 3, H, W] in [-1, 1]."""
        return self.model.decode(x) * 2 - 1

    def places(self, split: str) -> Tensor:
        """Return the prompts of a split."""
        return torch.tensor(self.prompts.places(split))

    def asks(self, condition: int) -> str:
        """Return the prompt."""
        return self.prompts.texts[condition]

    def flags(self) -> str:
        """See `Denoiser`; prompts that came from no file are to be put into FILE."""
        file = "" if self._file is None else f" --prompts {self._file}"
        return f"{super().flags()} --guidance {self.guidance!r}{file}"


def load(
    generator: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    prompts: str | Sequence[str] | None = None,
    guidance: float | None = None,
) -> Denoiser:
    """Load any generator that steps along a variance-preserving schedule.

    A pipeline with a tokenizer is a text-to-image model, anything else class-conditional.

    Args:
        generator: a shipped name, a local folder or a hub id.
        device: where to put it.
        dtype: precision of the network.
        prompts: of a text-to-image model: a text file with one a line, or the prompts; None is the
            scenes' grammar.
        guidance: of a text-to-image model, 0 to 100; None is 1.

    Raises:
        FileNotFoundError: there is no such name, folder or reachable hub repository, or no such
            file of prompts.
        ValueError: a generator that is not supported, a flow among them; damaged files; prompts or
            guidance for a class-conditional generator; or a wrong value of either.
    """
    index = _index(generator)
    if not any(part.startswith("tokenizer") for part in index):
        for name, value in (("prompts", prompts), ("guidance", guidance)):
            if value is not None:
                raise ValueError(
                    f"{name} is for text-to-image generators; {generator} is asked for a class"
                )
        return denoiser.load(generator, device, dtype)
    family = FAMILIES.get(index.get("_class_name", ""))
    if family is not None and family.kind == "flow":
        raise ValueError(
            f"{generator} is a flow ({family.pipeline}): it has no variance-preserving noise "
            "schedule, along which this would step. Here fit "
            + ", ".join(name for name, each in FAMILIES.items() if each.kind == "diffusion")
            + "; DenoiseLatent, DenoiseNoise and DenoiseGuidance take flows too"
        )
    return ask(text_to_image.load(generator, device, dtype), prompts, guidance)


def ask(
    model: TextToImage,
    prompts: str | Sequence[str] | None = None,
    guidance: float | None = None,
) -> Prompted:
    """Return a diffusion model as a denoiser of prompts; arguments and errors as of `load`."""
    scale = fixed(model, guidance)
    if model.schedule is None:
        raise ValueError(f"{model.name} is a flow: it has no variance-preserving noise schedule")
    asked = scenes() if prompts is None else of_user(prompts)
    content = json.dumps([model.digest, scale, asked.texts, asked.split])
    file = None
    if prompts is not None:
        file = shlex.quote(prompts) if isinstance(prompts, str) else "FILE"
    return Prompted(
        name=model.name,
        digest=hashlib.sha256(content.encode()).hexdigest(),
        shape=model.shape,
        num_conditions=len(asked.texts),
        condition_names=asked.texts,
        schedule=model.schedule,
        prediction=model.prediction,
        device=model.device,
        dtype=model.dtype,
        max_batch=max(1, model.max_batch // (1 if scale == 1 else 2)),
        model=model,
        prompts=asked,
        guidance=scale,
        request=None if asked.request is None else asked.request.to(model.device),
        conditions=model.encode(asked.texts),
        _file=file,
    )


def _index(generator: str) -> dict:
    """Return the parsed model_index.json of a generator; empty where there is none."""
    if generator in SHIPPED:
        return {}
    root, _ = find(generator, (*SHIPPED, *TEXT_TO_IMAGE), _fetch_index)
    path = root / "model_index.json"
    return read_json(path) if path.exists() else {}


def _fetch_index(generator: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(generator, allow_patterns=["model_index.json"]))
