"""The one interface to a frozen text-to-image model: encode, predict, decode."""

import copy
import math
import threading
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from genenvs.core.files import making_folder
from genenvs.core.instances import is_whole
from genenvs.core.memory import Limit, in_parts
from genenvs.generators import adapters
from genenvs.generators.denoiser import full_float32
from genenvs.generators.families import Conditions, Family, take
from genenvs.generators.folder import content_hash
from genenvs.generators.guidance import both_branches, gradient_asked, scale_of
from genenvs.generators.pipelines import (
    Parts,
    Pipeline,
    read,
    resolve,
    save,
    shapes,
    unwrapped,
)
from genenvs.generators.schedule import NoiseSchedule, conversion
from genenvs.generators.times import diffusion_times, flow_times

__all__ = ["Conditions", "TextToImage", "load", "take"]

# Elements of latents, and of images, in one chunk. On a CPU what stays in its cache is 20 % faster.
CHUNK_ELEMENTS = {"cpu": 2**15, "cuda": 2**22}
DECODE_ELEMENTS = {"cpu": 2**18, "cuda": 2**23}
PROMPTS_AT_ONCE = 64
REMEMBERED = 4  # lists of prompts whose conditions are kept


@dataclass(frozen=True, eq=False)
class TextToImage:
    """A frozen text-to-image model as tasks and agents see it; made by `load`.

    Latents, times, predictions and conditions are float32 whatever the network's precision. A
    float32 network on a GPU is evaluated in full float32, without TF32. No result is an inference
    tensor.

    Attributes:
        name: what it was loaded by.
        digest: SHA-256 over all files that were read, and the adapter's.
        kind: "diffusion", x = alpha[k] clean + sigma[k] noise with k in 0..N, or "flow",
            x = (1 - s) clean + s noise with s in [0, 1].
        family: "sd", "sdxl", "sd3" or "flux".
        guided_by: how guidance works: "branches" (with and without the prompt), "embedded" (the
            network takes the scale as an input, as FLUX.1-dev does) or "none" (the network was
            never trained without its prompt).
        shape: (C, h, w) of one latent.
        image_shape: (3, H, W) of one image.
        schedule: the noise schedule of a diffusion model, on `device`; None of a flow.
        prediction: what the network predicts: "epsilon", "v_prediction", "sample" or "flow".
        device: where all of it lies.
        dtype: the precision of network and text encoders; the VAE's too, unless its configuration
            demands float32 (force_upcast).
        network: the denoising `UNet2DConditionModel` or transformer; evaluation mode, frozen.
        vae: the `AutoencoderKL`.
    """

    name: str
    digest: str
    kind: Literal["diffusion", "flow"]
    family: str
    guided_by: Literal["branches", "embedded", "none"]
    shape: tuple[int, int, int]
    image_shape: tuple[int, int, int]
    schedule: NoiseSchedule | None
    prediction: str
    device: torch.device
    dtype: torch.dtype
    network: nn.Module = field(repr=False)
    vae: Any = field(repr=False)  # a module, whose methods mypy cannot see
    _parts: Parts = field(repr=False)
    _family: Family = field(repr=False)
    _root: Path = field(repr=False)
    _index: dict = field(repr=False)
    _table: Tensor | None = field(repr=False)  # float32 [N + 1, 4, 1, 1, 1], see `conversion`
    _evaluating: Limit = field(repr=False)
    _decoding: Limit = field(repr=False)
    _memory: dict[tuple, Any] = field(repr=False, default_factory=dict)

    @property
    def max_batch(self) -> int:
        """Rows that the network evaluates at once where no gradient is asked for.

        A row with guidance counts twice. More are evaluated in chunks, which changes results by
        rounding only. Where memory does not suffice it is halved, with a warning.
        """
        return self._evaluating.rows

    @property
    def decode_batch(self) -> int:
        """Images that the VAE decodes or encodes at once; halved where memory does not suffice."""
        return self._decoding.rows

    def times(self, steps: int) -> Tensor:
        """Return the times of a rollout, float32 [steps + 1], falling, on `device`.

        Diffusion: whole places on the schedule, spaced as the scheduler's configuration says; the
        last is 0, or 1 where `set_alpha_to_one` is false. Flow: sigmas from 1 to 0 with the
        scheduler's shift. With them deterministic DDIM, or Euler's steps, visit exactly what the
        plain pipeline visits.

        Raises:
            ValueError: `steps` is not positive, or more than the schedule has.
        """
        limit = self.schedule.steps if self.schedule is not None else None
        if steps < 1 or (limit is not None and steps > limit):
            raise ValueError(f"steps must be in 1..{limit or 'inf'}; got {steps}")
        if ("times", steps) not in self._memory:
            if limit is not None:
                made = diffusion_times(self._parts.scheduler, steps, limit)
            else:
                patch = getattr(self.network.config, "patch_size", 2) or 2
                patch = 2 if self.family == "flux" else patch
                tokens = (self.shape[1] // patch) * (self.shape[2] // patch)
                made = flow_times(self._parts.scheduler, self._family, tokens, steps)
            self._memory["times", steps] = made.to(self.device)
        return self._memory["times", steps].clone()

    def encode(self, prompts: Sequence[str]) -> Conditions:
        """Return the conditions of prompts, float32, one row each, on `device`.

        Words that no tokenizer knows are reported with a warning; see `unknown_words`. The same
        prompts give the same tensors again, which many environments share: do not write to them.

        Args:
            prompts: one or more.

        Raises:
            ValueError: none at all, or something else than strings.
        """
        if isinstance(prompts, str) or not all(isinstance(each, str) for each in prompts):
            raise ValueError(f"prompts must be a sequence of strings; got {prompts!r:.80}")
        if not len(prompts):
            raise ValueError("prompts is empty; at least one is needed")
        if unknown := self.unknown_words(prompts):
            warnings.warn(
                f"{self.name}: the tokenizer does not know {', '.join(map(repr, unknown[:8]))}"
                + (f" and {len(unknown) - 8} more words" if len(unknown) > 8 else ""),
                UserWarning,
                stacklevel=2,
            )
        key = ("encode", *prompts)
        if key not in self._memory:
            older = [name for name in self._memory if name[0] == "encode"]
            for name in older[: 1 - REMEMBERED]:
                self._memory.pop(name, None)
            self._memory[key] = self._encode(prompts)
        return dict(self._memory[key])

    def unconditional(self) -> Conditions:
        """Return the condition without a prompt, one row, as the pipeline's guidance uses it.

        Of SDXL zeros, where `force_zeros_for_empty_prompt` says so; else the empty prompt.

        Raises:
            ValueError: the model has no unconditional branch.
        """
        if self.guided_by == "none":
            raise ValueError(
                f"{self.name} has no unconditional branch: it was never trained without a prompt "
                '("unconditional": false in its model_index.json); leave guidance at 1'
            )
        if ("unconditional",) not in self._memory:
            made = self._encode([""])
            if self.family == "sdxl" and self._index.get("force_zeros_for_empty_prompt", True):
                made["prompt_embeds"].zero_()
                made["pooled"].zero_()
            self._memory["unconditional",] = made
        return self._memory["unconditional",]

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """Return words of which every tokenizer makes an unknown token, in order, each once.

        Of a model with a closed vocabulary ("closed_vocabulary" in its model_index.json) also
        words that fall apart into several tokens.
        """
        words = list(dict.fromkeys(word for prompt in prompts for word in prompt.split()))
        longest = 1 if self._index.get("closed_vocabulary") else math.inf
        for tokenizer in self._tokenizers():
            if not words:
                break
            unknown = tokenizer.unk_token_id
            # The token may also end the text, so only the word's own are looked at.
            ids = tokenizer(words, add_special_tokens=False).input_ids
            words = [
                word
                for word, each in zip(words, ids, strict=True)
                if unknown in each or len(each) > longest
            ]
        return words

    def predict(
        self,
        x: Tensor,
        time: Tensor,
        condition: Conditions,
        guidance: Tensor | float | None = None,
        unconditional: Conditions | None = None,
        network: nn.Module | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the predicted clean latents and noise, float32 [B, C, h, w] each.

        Both are converted from the network's own output: of v and of a velocity neither is
        obtained by dividing by a small number. Where a gradient is asked for, all rows are
        evaluated together; else in chunks of `max_batch`.

        Args:
            x: float32 [B, C, h, w], latents at `time`.
            time: float32 [B], each row's own. A row at 0 is already clean: a diffusion model
                returns (x, 0) there.
            condition: rows [B, ...] of `encode`, see `take`.
            guidance: scale, a number or [B]; None is 1. With "branches" rows that are not at 1 are
                also evaluated without their prompt, in the same call of the network, and output is
                without + guidance (with - without); which rows, waits for a GPU once, so a tensor
                there is better on the CPU. With "embedded" it is an input of the network.
            unconditional: the other branch in place of `unconditional()`, 1 or B rows.
            network: evaluated in place of the frozen one, for example a policy that is trained:
                gradients flow to its parameters, also under autocast.

        Raises:
            ValueError: wrong shapes, or guidance where the model cannot have it.
            RuntimeError: too little memory for one row, or with gradients for all.
        """
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.no_grad():
                return self.predict(x, time, condition, guidance, unconditional, network)
        self._check(x, time, condition)
        if not len(x):  # attention cannot be asked for nothing
            return x.float(), x.float()
        scale, guided = self._guidance(guidance, len(x), unconditional)
        if scale is not None and self.guided_by == "branches" and unconditional is None:
            unconditional = self.unconditional()
        whole = torch.is_grad_enabled() and gradient_asked(
            [x, *condition.values(), *(unconditional or {}).values()], scale, network
        )

        def output(rows: slice) -> Tensor:
            strength = None if scale is None else scale[rows]
            mine = x[rows], time[rows], take(condition, rows)
            if strength is None or unconditional is None:
                return self._evaluate(*mine, strength, network)
            shared = all(len(each) == 1 for each in unconditional.values())
            other = unconditional if shared else take(unconditional, rows)
            which = None if guided is None else guided[rows]

            def evaluate(x: Tensor, time: Tensor, condition: Conditions) -> Tensor:
                return self._evaluate(x, time, condition, None, network)

            return both_branches(evaluate, *mine, strength, which, other)

        cost = 1 if unconditional is None or scale is None else 2
        return self._convert(x, time, in_parts(self._evaluating, output, len(x), cost, whole))

    def _evaluate(
        self,
        x: Tensor,
        time: Tensor,
        condition: Conditions,
        scale: Tensor | None,
        network: nn.Module | None,
    ) -> Tensor:
        """Return the network's output, float32 [B, C, h, w]."""
        network = self.network if network is None else network
        dtype = next(network.parameters()).dtype
        with full_float32() if self._strict else nullcontext():
            rows = {name: values.to(dtype) for name, values in condition.items()}
            return self._family.evaluate(network, x.to(dtype), time, rows, scale).float()

    def _convert(self, x: Tensor, time: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        if self._table is None:
            sigma = time.float()[:, None, None, None]
            return x - sigma * output, x + (1 - sigma) * output
        of_x, of_output, noise_of_x, noise_of_output = self._table[time.long()].unbind(1)
        clean = torch.addcmul(of_x * x, of_output, output)
        return clean, torch.addcmul(noise_of_x * x, noise_of_output, output)

    def _guidance(
        self, guidance: Tensor | float | None, rows: int, other: Conditions | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the scale [B], None where it is 1 everywhere, and which rows it concerns."""
        scale, guided = scale_of(guidance, rows, self.device)
        if self.guided_by == "embedded":
            if other is not None:
                raise ValueError(f"{self.name} takes guidance as an input; it has one branch only")
            return scale, None
        if not guided.any():
            return None, None
        if self.guided_by == "none":
            self.unconditional()  # raises
        return scale, None if guided.all() else guided

    def _check(self, x: Tensor, time: Tensor, condition: Conditions) -> None:
        fits = x.shape[1:] == self.shape and len(time) == len(x)
        if not fits or any(len(values) != len(x) for values in condition.values()):
            of = ", ".join(f"{name} {list(values.shape)}" for name, values in condition.items())
            raise ValueError(
                f"{self.name} takes x [B, {', '.join(map(str, self.shape))}] with time [B] and "
                f"condition rows [B, ...]; got {list(x.shape)}, {list(time.shape)}, {of}"
            )

    def decode(self, latents: Tensor) -> Tensor:
        """Return images, float32 [B, 3, H, W] in [0, 1], in chunks of `decode_batch`.

        Differentiable where gradients are on; a value that had to be clamped passes none.

        Args:
            latents: float32 [B, C, h, w], at time 0.
        """
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.no_grad():
                return self.decode(latents)
        if not len(latents):
            return latents.new_empty(0, *self.image_shape, dtype=torch.float32)
        scale, shift = self._scaling()
        whole = torch.is_grad_enabled() and latents.requires_grad

        def part(rows: slice) -> Tensor:
            with full_float32() if self._strict else nullcontext():
                unscaled = latents[rows] / scale + shift
                image = self.vae.decode(unscaled.to(self.vae.dtype), return_dict=False)[0]
            return (image.float() / 2 + 0.5).clamp(0, 1)

        return in_parts(self._decoding, part, len(latents), 1, whole)

    def encode_image(self, images: Tensor) -> Tensor:
        """Return the latents of images, float32 [B, C, h, w]: the posterior's mean, scaled.

        Args:
            images: float32 [B, 3, H, W] in [0, 1].
        """
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.no_grad():
                return self.encode_image(images)
        if not len(images):
            return images.new_empty(0, *self.shape, dtype=torch.float32)
        scale, shift = self._scaling()
        whole = torch.is_grad_enabled() and images.requires_grad

        def part(rows: slice) -> Tensor:
            with full_float32() if self._strict else nullcontext():
                found = self.vae.encode((images[rows] * 2 - 1).to(self.vae.dtype))
                return (found.latent_dist.mean.float() - shift) * scale

        return in_parts(self._decoding, part, len(images), 1, whole)

    def copy_network(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """Return a trainable copy of the network.

        It is in evaluation mode: with dropout a ratio of probabilities would not be 1 before the
        first update.

        Args:
            dtype: float32 is what optimizers need; autocast makes the arithmetic cheaper.
        """
        # As `load` does it: diffusers' own `to` remarks on every copy that it keeps no module back.
        return nn.Module.to(copy.deepcopy(self.network), dtype).eval().requires_grad_(True)

    def network_with_lora(self, rank: int = 4) -> nn.Module:
        """Return the network with a trainable adapter, at the memory of the adapter alone.

        The weights below it are the frozen network's own tensors, in its precision: do not write
        to them. The frozen network stays without the adapter and is the reference of a KL term.

        Args:
            rank: of each update; see `adapters.add_lora`.

        Raises:
            ImportError: peft is not installed.
        """
        tensors = [*self.network.parameters(), *self.network.buffers()]
        # What a deep copy finds here it takes as it is: modules are copied, weights are not.
        network = copy.deepcopy(self.network, {id(each): each for each in tensors})
        return adapters.add_lora(network, rank)

    def save_lora(self, folder: str | Path, network: nn.Module) -> Path:
        """Save the adapter of a network as diffusers does; `load(..., lora=folder)` reads it.

        Written whole or not at all; what stood there is replaced.

        Args:
            folder: the place; what is above it is made.
            network: of `network_with_lora`, perhaps wrapped for several devices.
        """
        with making_folder(Path(folder)) as temporary:
            adapters.save_lora(temporary, unwrapped(network), self._family)
        return Path(folder)

    def save(self, folder: str | Path, network: nn.Module) -> Path:
        """Save the pipeline with another network, as diffusers does; return the folder.

        Plain `DiffusionPipeline.from_pretrained(folder)` loads it, and so does `load`. An adapter
        is merged into the weights, and the network then saved in float32 whatever its precision:
        in half precision most of what an adapter learned would be rounded away, and is where the
        folder is loaded so. Written under a temporary name and then renamed, so that a folder of
        that name is there whole or not at all; what stood there is replaced.

        Args:
            folder: the place; what is above it is made.
            network: of the class of `network`, perhaps with LoRA or wrapped for several devices.
        """
        return save(self._root, self._index, self._family, network, Path(folder))

    def _encode(self, prompts: Sequence[str]) -> Conditions:
        tokens = self._index.get("max_sequence_length", self._family.tokens)
        parts = []
        precision = full_float32() if self._strict else nullcontext()
        with torch.inference_mode(False), torch.no_grad(), precision:
            for start in range(0, len(prompts), PROMPTS_AT_ONCE):
                some = prompts[start : start + PROMPTS_AT_ONCE]
                parts.append(self._family.encode(self._parts.pipeline, some, tokens))
            made = {name: torch.cat([part[name] for part in parts]).float() for name in parts[0]}
            if self.family == "sdxl":
                # Size of the original, where it was cropped, size asked for.
                sizes = [*self.image_shape[1:], 0, 0, *self.image_shape[1:]]
                made["time_ids"] = made["pooled"].new_tensor(sizes).repeat(len(prompts), 1)
        return made

    def _tokenizers(self) -> list[Any]:
        found = [getattr(self._parts.pipeline, each[0]) for each in self._family.text]
        return [tokenizer for tokenizer in found if tokenizer is not None]

    def _scaling(self) -> tuple[Tensor | float, Tensor | float]:
        """Return (scale, shift): latents = (posterior - shift) * scale."""
        config = self.vae.config
        scale, shift = config.scaling_factor, getattr(config, "shift_factor", None) or 0.0
        mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if self.family == "sdxl" and mean is not None and std is not None:
            column = torch.tensor([mean, std], device=self.device)[..., None, None]
            return scale / column[1], column[0]
        return scale, shift

    @property
    def _strict(self) -> bool:
        # Only float32 has a precision to lose to TF32.
        return self.device.type == "cuda" and torch.float32 in (self.dtype, self.vae.dtype)


_parts: dict[tuple, Parts] = {}  # content, device, dtype
_made: dict[tuple, TextToImage] = {}
_lock = threading.Lock()


def load(
    generator: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    max_batch: int | None = None,
    lora: str | None = None,
    image_size: int | tuple[int, int] | None = None,
) -> TextToImage:
    """Load a text-to-image model; the same content on the same device is loaded once a process.

    Args:
        generator: a shipped name ("sprites", "sprites-tuned", "sprites-flow"), a local folder, or
            a hub id ("owner/name"), of a `StableDiffusionPipeline` (1.x and 2.x),
            `StableDiffusionXLPipeline`, `StableDiffusion3Pipeline` or `FluxPipeline`. Only JSON,
            safetensors and the tokenizers' vocabularies are read.
        device: where to put it.
        dtype: precision of network and text encoders.
        max_batch: rows per evaluation of the network; None chooses by image size and device.
        lora: folder or file of an adapter in diffusers' format, added to the frozen network in
            float32 before that is rounded to `dtype`. Small changes are then kept on average, not
            weight by weight; in float32 they are kept.
        image_size: (H, W) in pixels, or one number for both; None is the pipeline's own.

    Raises:
        FileNotFoundError: there is no such name, folder or reachable hub repository.
        ValueError: a pipeline that is not supported (the message names those that are), damaged
            files, or an image size that the model cannot make.
        ImportError: an adapter without peft.
    """
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    if max_batch is not None and not is_whole(max_batch):
        raise ValueError(f"max_batch must be at least 1, a whole number; got {max_batch!r}")
    size = _size(image_size)
    with _lock:
        source = resolve(generator)
        adapter = None if lora is None else adapters.locate(lora)
        digest = source.digest if adapter is None else content_hash((adapter, *source.files))
        key = (digest, device, dtype)
        if (*key, generator, max_batch, size) in _made:
            return _made[*key, generator, max_batch, size]
        if key not in _parts:
            parts = read(source, dtype, adapter)
            for module in parts.modules:
                nn.Module.to(module, device)
            _parts[key] = parts
        made = _assemble(generator, digest, source, _parts[key], device, dtype, max_batch, size)
        _made[*key, generator, max_batch, size] = made
        return made


def _size(given: Any) -> tuple[int, int] | None:
    """(H, W) of what `image_size` may be.

    Raises:
        ValueError: it is something else.
    """
    if given is None:
        return None
    pair = (given, given) if is_whole(given) else given
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(map(is_whole, pair)):
        raise ValueError(
            f"image_size must be a positive number of pixels, or (height, width); got {given!r}"
        )
    return int(pair[0]), int(pair[1])


def _assemble(
    name: str,
    digest: str,
    source: Pipeline,
    parts: Parts,
    device: torch.device,
    dtype: torch.dtype,
    max_batch: int | None,
    size: tuple[int, int] | None,
) -> TextToImage:
    family = source.family
    shape, image_shape = shapes(source, parts, size)
    guided_by: Literal["branches", "embedded", "none"] = "branches"
    if getattr(parts.network.config, "guidance_embeds", False):
        guided_by = "embedded"
    elif source.index.get("unconditional") is False:
        guided_by = "none"
    schedule = None if parts.schedule is None else parts.schedule.to(device)
    table = None if schedule is None else conversion(schedule, parts.prediction)
    latents, pixels = torch.Size(shape).numel(), torch.Size(image_shape).numel()
    kind = "cpu" if device.type == "cpu" else "cuda"
    rows = max_batch or max(1, CHUNK_ELEMENTS[kind] // latents)
    return TextToImage(
        name=name,
        digest=digest,
        kind=family.kind,
        family=family.name,
        guided_by=guided_by,
        shape=shape,
        image_shape=image_shape,
        schedule=schedule,
        prediction=parts.prediction,
        device=device,
        dtype=dtype,
        network=parts.network,
        vae=parts.vae,
        _parts=parts,
        _family=family,
        _root=source.root,
        _index=source.index,
        _table=None if table is None else table[..., None, None, None],
        _evaluating=Limit(rows, f"{name}: max_batch"),
        _decoding=Limit(max(1, DECODE_ELEMENTS[kind] // pixels), f"{name}: decode_batch"),
    )
