"""The one interface to a frozen denoiser: predict noise and clean image for a batch of rows."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from genenvs.generators.folder import read_folder, resolve
from genenvs.generators.schedule import NoiseSchedule, conversion

__all__ = ["ClassConditional", "Denoiser", "NoiseSchedule", "load"]

# Elements of x in one chunk: 4,096 digits, or 85 images of 3 x 32 x 32, on a CPU.
CHUNK_ELEMENTS = {"cpu": 2**18, "cuda": 2**22}


@dataclass(frozen=True, eq=False)
class Denoiser(ABC):
    """A frozen diffusion model as tasks, samplers and banks see it.

    Latents are float32; of a model without a VAE they are images in [-1, 1]. The `clip_sample` and
    `thresholding` settings of a scheduler are sampling heuristics and are not applied.

    A float32 network on a GPU is evaluated in full float32: cuDNN's default for convolutions,
    TF32, is off during the evaluation, since it would let a row depend on its batch by 1e-3. What
    `torch.set_float32_matmul_precision` says of matrix products stays as it is.

    Attributes:
        name: what it was loaded by.
        digest: SHA-256 over all that its predictions depend on, hexadecimal.
        shape: (C, H, W) of one latent.
        num_conditions: number of classes or prompts; 1 when unconditional.
        condition_names: one name per condition.
        schedule: the noise schedule, on `device`.
        prediction: what the network predicts: "epsilon", "v_prediction" or "sample".
        device: where the network lies.
        dtype: the network's precision; whatever it is, results are float32.
        max_batch: rows per evaluation; more are evaluated in chunks. Changing it changes results
            by rounding only.
    """

    name: str
    digest: str
    shape: tuple[int, ...]
    num_conditions: int
    condition_names: tuple[str, ...]
    schedule: NoiseSchedule
    prediction: str
    device: torch.device
    dtype: torch.dtype
    max_batch: int

    def predict(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """Return the predicted noise, float32 [B, C, H, W].

        Gradients flow to `x` if it asks for them; the network has none. The result is never an
        inference tensor.

        Args:
            x: float32 [B, C, H, W], the latents.
            time: int64 [B] in 1..N, each row's own. A row at 0 is already clean: its noise is 0.
            condition: int64 [B] in 0..num_conditions - 1; ignored when unconditional.

        Raises:
            ValueError: `x` has another shape.
        """
        return self.predict_both(x, time, condition)[1]

    @abstractmethod
    def predict_both(self, x: Tensor, time: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predicted clean latents and noise, float32 [B, C, H, W] each.

        One network evaluation, both converted from the network's own output: of a v-prediction
        neither is obtained by dividing by a small alpha or sigma. Arguments as for `predict`; a
        row at time 0 gives (x, 0).
        """

    def picture(self, x: Tensor) -> Tensor:
        """Return what latents show, float32 [B, 1 or 3, H, W] in [-1, 1] where they are clean.

        Args:
            x: float32 [B, C, H, W].
        """
        return x

    def places(self, split: str) -> Tensor:
        """Return the conditions that instances of a split may have, int64 [P], on the CPU.

        Raises:
            ValueError: there are none.
        """
        return torch.arange(self.num_conditions)

    def asks(self, condition: int) -> str:
        """Return what a condition asks for, in words."""
        return f"class {self.condition_names[condition]}"

    def flags(self) -> str:
        """Return what, beside its name, tells `python -m genenvs.generators.bank` of this one."""
        return f"--dtype {str(self.dtype).removeprefix('torch.')} --device {self.device}"


@dataclass(frozen=True, eq=False)
class ClassConditional(Denoiser):
    """A `UNet2DModel` of images, by class or unconditional; made by `load`.

    Attributes:
        unet: the `UNet2DModel` itself, in evaluation mode, its parameters frozen.
    """

    unet: torch.nn.Module = field(repr=False)
    _table: Tensor = field(repr=False)  # float32 [N + 1, 4, 1, 1, 1], see `conversion`
    _conditional: bool = field(repr=False)
    _full_float32: bool = field(repr=False)  # a float32 network on a GPU: TF32 is to be off

    def predict(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """See `Denoiser`; without the clean image that nobody asks for."""
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.no_grad():
                return self.predict(x, time, condition)
        output = self._evaluate(x, time, condition)
        _, _, of_x, of_output = self._table[time].unbind(1)
        return torch.addcmul(of_x * x, of_output, output)

    def predict_both(self, x: Tensor, time: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """See `Denoiser`."""
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.no_grad():
                return self.predict_both(x, time, condition)
        output = self._evaluate(x, time, condition)
        of_x, of_output, noise_of_x, noise_of_output = self._table[time].unbind(1)
        clean = torch.addcmul(of_x * x, of_output, output)
        return clean, torch.addcmul(noise_of_x * x, noise_of_output, output)

    def _evaluate(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """Return the network's output, float32 [B, C, H, W], in chunks of `max_batch`."""
        if x.shape[1:] != self.shape or not len(x) == len(time) == len(condition):
            raise ValueError(
                f"{self.name} takes x [B, {', '.join(map(str, self.shape))}] with time [B] and "
                f"condition [B]; got {list(x.shape)}, {list(time.shape)}, {list(condition.shape)}"
            )
        if len(x) > self.max_batch:
            parts = zip(*(each.split(self.max_batch) for each in (x, time, condition)), strict=True)
            return torch.cat([self._evaluate(*part) for part in parts])
        label = condition if self._conditional else None
        with full_float32() if self._full_float32 else nullcontext():
            output = self.unet(x.to(self.dtype), time - 1, label, return_dict=False)[0]
        return output.float()


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch TF32 off for convolutions; every other setting stays."""
    # Since PyTorch 2.9 each kind of operation has its own setting, and `cudnn.allow_tf32` and
    # `cudnn.flags` raise where a user has given some of them.
    cudnn = torch.backends.cudnn
    place, name, off = (
        (cudnn.conv, "fp32_precision", "ieee")
        if hasattr(cudnn, "conv")
        else (cudnn, "allow_tf32", False)
    )
    before = getattr(place, name)
    if before == off:  # written explicitly, a setting follows its parent no longer
        yield
        return
    setattr(place, name, off)
    try:
        yield
    finally:
        setattr(place, name, before)


# By content, device, dtype and max_batch, then by name.
_cache: dict[tuple, dict[str, ClassConditional]] = {}
_lock = threading.Lock()


def load(
    generator: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    max_batch: int | None = None,
) -> ClassConditional:
    """Load a class-conditional generator; the same content on one device is loaded once a process.

    `prompted.load` takes text-to-image models too.

    Args:
        generator: a shipped name ("digits"), a local folder, or a hub id ("owner/name"). A folder
            holds either a `UNet2DModel` (config.json, safetensors weights, scheduler_config.json)
            or a pipeline with unet/ and scheduler/. Only JSON and safetensors files are read.
        device: where to put it.
        dtype: precision of the network.
        max_batch: rows per evaluation; None chooses by image size and device.

    Raises:
        FileNotFoundError: there is no such name, folder or reachable hub repository.
        ValueError: the folder holds no model that is supported, or its files are damaged.
    """
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    if max_batch is not None and max_batch < 1:
        raise ValueError(f"max_batch must be at least 1; got {max_batch}")
    with _lock:
        source = resolve(generator)
        key = (source.digest, device, dtype, max_batch)
        named = _cache.setdefault(key, {})
        if generator in named:
            return named[generator]
        if named:  # the same content under another name: share the network
            made = replace(next(iter(named.values())), name=generator)
        else:
            content = read_folder(source)
            schedule = content.schedule.to(device)
            elements = CHUNK_ELEMENTS.get(device.type, CHUNK_ELEMENTS["cuda"])
            size = torch.Size(content.shape).numel()
            made = ClassConditional(
                name=generator,
                digest=source.digest,
                shape=content.shape,
                num_conditions=len(content.condition_names),
                condition_names=content.condition_names,
                schedule=schedule,
                prediction=content.prediction,
                device=device,
                dtype=dtype,
                max_batch=max_batch or max(1, elements // size),
                # Not diffusers' own `to`, which warns about layers that this class has not.
                unet=_frozen(torch.nn.Module.to(content.unet, device=device, dtype=dtype), dtype),
                _table=conversion(schedule, content.prediction)[..., None, None, None],
                _conditional=content.conditional,
                _full_float32=device.type == "cuda" and dtype == torch.float32,
            )
        named[generator] = made
        return made


def _frozen(network: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """The network, which knows its precision and no longer looks for it.

    diffusers goes through all modules for `dtype`, twice a forward: a tenth of a small one.
    """
    kind = type(network)
    network.__class__ = type(
        kind.__name__, (kind,), {"dtype": dtype, "__module__": kind.__module__}
    )
    return network
