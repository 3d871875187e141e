"""Motion primitives: a quarter of a second of a walk, made from a latent.

After GAMMA (Zhang and Tang, CVPR 2022) and DIMOS (Zhao et al., ICCV 2023): ten frames at 40 a
second, of which the first two are the last of the primitive before. A decoder makes the other eight
from those and a latent, in the frame of reference of the first: it stands at the origin and looks
along x, so a walk is the same in every direction.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from genenvs.core import folders
from genenvs.core.files import making
from genenvs.core.manifest import verify
from genenvs.motion import frames as vectors
from genenvs.motion.clips import SUFFIXES as CLIPS
from genenvs.motion.frames import PLACE, POSE, WIDTH

FPS = 40.0
SEEDS, MADE = 2, 8  # frames that a primitive is given, and that it makes
FRAMES = SEEDS + MADE
LATENT = 8
GIVEN = POSE + WIDTH  # of two seeds: the first is at the origin, so only its pose is told
WEIGHTS = Path(__file__).parent / "weights"
KINDS = ("cvae", "pca")
SLOPE = 0.2  # of leaky rectifiers
# Most that a body moves in a frame, metres each way and radians: far beyond any walk, so that no
# decoder, however poor, leaves the numbers that can be counted on.
FASTEST = (0.15, 0.15, 0.3)


@dataclass(frozen=True)
class Prior:
    """What poses are usual, as VPoser says of DIMOS's: coordinates with mean 0 and deviation 1.

    Attributes:
        mean: [31].
        axes: [31, D], whitening principal axes.
    """

    mean: Tensor
    axes: Tensor

    def __call__(self, frames: Tensor) -> Tensor:
        """How far poses are from the mean, in deviations an axis: [..., 34] -> [...]."""
        found = (frames[..., PLACE:] - self.mean) @ self.axes
        return found.norm(dim=-1) / self.axes.shape[1] ** 0.5


@dataclass(frozen=True)
class Primitives:
    """A decoder and what belongs to it; float64, so that a batch's size shows in no digit.

    Attributes:
        layers: weight [out, in] and bias [out] of each; between them leaky rectifiers. One alone is
            a linear model.
        centre: [65], mean of what seeds tell.
        scale: [65], its deviation.
        low: [31], poses end there,
        high: [31], and there.
        prior: see there.
        starts: [N, 2, 34], seeds to begin a walk with.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    centre: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor
    prior: Prior
    starts: Tensor

    def to(self, device: str | torch.device) -> "Primitives":
        """On another device."""
        return _from_tensors({k: v.to(device) for k, v in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name, as files hold it."""
        named = {name: getattr(self, name) for name in _FIELDS}
        named |= {"prior.mean": self.prior.mean, "prior.axes": self.prior.axes}
        for k, (weight, bias) in enumerate(self.layers):
            named |= {f"layers.{k}.weight": weight, f"layers.{k}.bias": bias}
        return named

    def told(self, seeds: Tensor) -> Tensor:
        """What a network is told of two frames, in deviations: [B, 2, 34] -> [B, 65]."""
        first, second = vectors.seen_from(seeds, seeds[:, 0, :PLACE]).unbind(1)
        return (torch.cat([first[:, PLACE:], second], 1) - self.centre) / self.scale

    def decode(self, seeds: Tensor, latent: Tensor) -> Tensor:
        """Go on from two frames.

        Args:
            seeds: float64 [B, 2, 34], in the world.
            latent: float64 [B, 8]; of a walk they are standard normal.

        Returns:
            float64 [B, 10, 34]: the seeds, then what follows; poses within `low` .. `high`, and no
            frame farther than `FASTEST` from the one before.
        """
        x = torch.cat([self.told(seeds), latent], 1)
        for k, (weight, bias) in enumerate(self.layers):
            if k:
                x = torch.nn.functional.leaky_relu(x, SLOPE)
            x = torch.addmm(bias, x, weight.T)
        step = x.unflatten(1, (MADE, WIDTH))
        most = step.new_tensor(FASTEST)
        place = step[..., :PLACE].clamp(-most, most)
        step = torch.cat([place, step[..., PLACE:]], -1)
        origin = seeds[:, 0, :PLACE]
        last = vectors.seen_from(seeds[:, 1:], origin)
        made = last + step.cumsum(1)
        pose = made[..., PLACE:].clamp(self.low, self.high)
        made = vectors.placed_at(torch.cat([made[..., :PLACE], pose], -1), origin)
        return torch.cat([seeds, made], 1)


_FIELDS = ("centre", "scale", "low", "high", "starts")


def _from_tensors(named: dict[str, Tensor]) -> Primitives:
    count = sum(name.endswith(".bias") for name in named)
    layers = tuple(
        (named[f"layers.{k}.weight"].double(), named[f"layers.{k}.bias"].double())
        for k in range(count)
    )
    prior = Prior(named["prior.mean"].double(), named["prior.axes"].double())
    return Primitives(layers, prior=prior, **{name: named[name].double() for name in _FIELDS})


def _wrong(model: Primitives) -> str:
    """What keeps a decoder of a file from being walked with; empty where nothing does."""
    if not model.layers:
        return "no layers"
    shapes: dict[str, tuple[int, ...]] = {"centre": (GIVEN,), "scale": (GIVEN,)}
    shapes |= {"low": (POSE,), "high": (POSE,)}
    shapes["starts"] = (max(1, len(model.starts)), SEEDS, WIDTH)
    shapes |= {"prior.mean": (POSE,), "prior.axes": (POSE, max((1, *model.prior.axes.shape[-1:])))}
    width = GIVEN + LATENT
    for k, (weight, _) in enumerate(model.layers):
        out = MADE * WIDTH if k == len(model.layers) - 1 else max(1, len(weight))
        shapes |= {f"layers.{k}.weight": (out, width), f"layers.{k}.bias": (out,)}
        width = out
    for name, value in model.tensors().items():
        if value.shape != shapes[name]:
            return f"{name} is {list(value.shape)}, not {list(shapes[name])}"
        if not value.isfinite().all():
            return f"{name} is not finite"
    if not bool((model.scale > 0).all() and (model.low <= model.high).all()):
        return "a scale is not above 0, or a lower bound above the upper one"
    return ""


def write(path: Path, model: Primitives) -> None:
    """Write a decoder as safetensors, in float32."""
    from safetensors.torch import save_file

    named = {k: v.float().contiguous() for k, v in model.tensors().items()}
    with making(path) as temporary:
        save_file(named, temporary)


def read(path: Path) -> Primitives:
    """Read what `write` wrote.

    Raises:
        ValueError: the file holds something else, or numbers that no walk can be made with.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        model = _from_tensors(load_file(path))
        if wrong := _wrong(model):
            raise TypeError(wrong)
        return model
    except (KeyError, TypeError, OSError, SafetensorError) as error:
        raise ValueError(f"{path} holds no motion primitives: {error}") from error


def load(
    kind: str | Path = "cvae", clips: str | Path | None = None, device: str = "cpu"
) -> Primitives:
    """The shipped decoder, or a linear one of the user's own clips; files are read once a process.

    Args:
        kind: `cvae`, `pca`, or the path of a file that the training script wrote.
        clips: a BVH file, one in DeepMimic's text format, or a folder of them: walks. A linear
            decoder is fitted to them, which takes seconds.
        device: where tensors live.

    Raises:
        ValueError: no such kind; clips that cannot be used, with the reasons; clips with a kind
            other than `pca`; a file that is not what was shipped.
    """
    if clips is not None:
        if kind != "pca":
            raise ValueError(
                f"clips are made into primitives by generator='pca'; got {kind!r}. A network of"
                " them is trained by python -m genenvs.motion.training.primitives"
                " --clips CLIPS --output FOLDER"
            )
        return _of_clips(Path(clips), device, folders.stamp(Path(clips), CLIPS))
    if str(kind).endswith(".safetensors"):
        return _read(Path(kind), device, folders.stamp(Path(kind)))
    if kind not in KINDS:
        raise ValueError(
            f"generator must be {' or '.join(KINDS)}, or the path of a .safetensors file;"
            f" got {kind!r}"
        )
    path = WEIGHTS / f"primitives-{kind}.safetensors"
    verify([path], WEIGHTS)
    return _read(path, device, folders.stamp(path))


# What a stamp is for: files that were written anew are read anew.
@lru_cache(maxsize=8)
def _read(path: Path, device: str, stamp: tuple[tuple[Path, int, int], ...]) -> Primitives:
    return read(path).to(device)


@lru_cache(maxsize=8)
def _of_clips(path: Path, device: str, stamp: tuple[tuple[Path, int, int], ...]) -> Primitives:
    from genenvs.motion import fitting

    return fitting.of_clips(path).to(device)
