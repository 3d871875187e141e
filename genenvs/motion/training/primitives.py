"""Train the motion primitives: `python -m genenvs.motion.training.primitives`.

A conditional variational autoencoder as in GAMMA (Zhang and Tang, CVPR 2022), a thousandth of its
size, and the linear decoder that it is compared with. Reads pybullet's clips of walks where it is
installed (extra `pybullet`), or with `--clips` walks of one's own, and writes
primitives-cvae.safetensors and primitives-pca.safetensors, and primitives.json, which says how well
they walk. The run of the clips is left out: it flies, and DIMOS's contact score of it is 0.46.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from genenvs.core.manifest import seal, write_json
from genenvs.core.optional import require
from genenvs.motion import clips as files
from genenvs.motion import feet, fitting, primitives, walks
from genenvs.motion import frames as vectors
from genenvs.motion.clips import Clip
from genenvs.motion.frames import PLACE, WIDTH
from genenvs.motion.primitives import FPS, FRAMES, GIVEN, LATENT, MADE, SEEDS, SLOPE, Primitives


@dataclass(frozen=True)
class Training:
    """What a run depends on; the defaults made the shipped weights."""

    walks: int = 300
    frames: int = 800  # of a walk, 20 s
    steps: int = 8_000
    batch: int = 128
    primitives: int = 6  # one after the other, each from what was made before: walks go on
    learning_rate: float = 2e-3  # at its peak, a fifth of the way
    hidden: int = 256
    divergence: float = 0.01  # weight of Kullback and Leibler's; 9 nats for 8 numbers at the end
    noise: float = 0.05  # deviations of seeds that are disturbed, of half the walks
    clip: float = 1.0  # norm of the gradient
    seed: int = 0


# Weights of squared errors: place in metres and radians, soles in metres and metres a second, the
# latter where a foot should stand, below 0.2 m/s, and elsewhere.
_PLACE, _STEP, _SOLE, _STANDING, _MOVING, _STILL = 100.0, 0.5, 400.0, 10.0, 0.3, 0.2


def walking_clips() -> tuple[Clip, ...]:
    """The six clips of walks that come with pybullet, 7.5 seconds.

    Raises:
        ImportError: pybullet is missing; names the extra.
    """
    data = Path(require("pybullet_data", "pybullet").getDataPath()) / "data" / "motions"
    found = [data / "humanoid3d_walk.txt", *sorted((data / "walker").glob("*.txt"))]
    return tuple(files.read_clip(path, FPS) for path in found)


class Model(nn.Module):
    """Encoder and decoder; both are told the seeds."""

    centre: Tensor
    scale: Tensor
    middle: Tensor
    spread: Tensor
    unit: Tensor
    encoder: nn.Sequential
    decoder: nn.Sequential

    def __init__(self, frame: Primitives, sample: Tensor, hidden: int) -> None:
        super().__init__()
        step = sample.diff(dim=1)[:, SEEDS - 1 :].flatten(0, 1)
        for name, value in (
            ("centre", frame.centre), ("scale", frame.scale), ("middle", step.mean(0)),
            ("spread", step.std(0) + 1e-4), ("unit", _deviation(sample)),
        ):  # fmt: skip
            self.register_buffer(name, value.float())
        self.encoder = _perceptron(GIVEN + MADE * WIDTH, hidden, 2 * LATENT)
        self.decoder = _perceptron(GIVEN + LATENT, hidden, MADE * WIDTH)

    def told(self, frames: Tensor) -> Tensor:
        """Of stretches [B, 2 or more, 34], each seen from its first frame."""
        return (torch.cat([frames[:, 0, PLACE:], frames[:, 1]], 1) - self.centre) / self.scale

    def encode(self, told: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B, 8] of the latents of real primitives [B, 10, 34]."""
        step = (real.diff(dim=1)[:, SEEDS - 1 :] - self.middle) / self.spread
        mean, spread = self.encoder(torch.cat([told, step.flatten(1)], 1)).chunk(2, 1)
        return mean, spread.clamp(-8, 4)

    def decode(self, told: Tensor, last: Tensor, latent: Tensor) -> Tensor:
        """Frames [B, 8, 34] after the last seed [B, 1, 34]."""
        step = self.decoder(torch.cat([told, latent], 1)).unflatten(1, (MADE, WIDTH))
        return last + (step * self.spread + self.middle).cumsum(1)

    def layers(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """The decoder's, its last in metres and radians a frame."""
        found = [(m.weight.detach().double(), m.bias.detach().double())
                 for m in self.decoder if isinstance(m, nn.Linear)]  # fmt: skip
        spread, middle = (x.double().repeat(MADE) for x in (self.spread, self.middle))
        weight, bias = found[-1]
        return (*found[:-1], (weight * spread[:, None], bias * spread + middle))


def _deviation(sample: Tensor) -> Tensor:
    return sample[..., PLACE:].flatten(0, 1).std(0) + 1e-3


def _perceptron(given: int, hidden: int, made: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(given, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, hidden),
        nn.LeakyReLU(SLOPE), nn.Linear(hidden, made),
    )  # fmt: skip


def train(corpus: Tensor, setting: Training, progress: bool = True) -> Primitives:
    """A decoder of walks float64 [N, T, 34]."""
    torch.manual_seed(setting.seed)
    generator = torch.Generator().manual_seed(setting.seed)
    sample = fitting.windows(corpus, 20_000, generator)
    frame = fitting.frame(corpus, sample, generator)
    model = Model(frame, sample, setting.hidden)
    optimiser = torch.optim.Adam(model.parameters(), setting.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, setting.learning_rate, total_steps=setting.steps, pct_start=0.2
    )
    soles = vectors.soles(corpus).float()
    corpus = corpus.float()
    length = SEEDS + MADE * setting.primitives
    for step in tqdm(range(setting.steps), disable=not progress, mininterval=5):
        walk = torch.randint(len(corpus), (setting.batch, 1), generator=generator)
        first = torch.randint(corpus.shape[1] - length + 1, walk.shape, generator=generator)
        at = first + torch.arange(length)
        loss = _loss(model, corpus[walk, at], soles[walk, at], setting, generator)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), setting.clip)
        optimiser.step()
        schedule.step()
        if step % 1000 == 999:
            print(f"step {step + 1}: {float(loss.detach()):.4f}", flush=True)
    return Primitives(**{**vars(frame), "layers": model.layers()})


def _loss(
    model: Model, real: Tensor, soles: Tensor, setting: Training, generator: torch.Generator
) -> Tensor:
    """Errors of primitives that follow each other, and the divergence of their latents."""
    batch = len(real)
    unit = torch.cat([torch.zeros(PLACE), model.unit])
    disturbed = torch.rand(batch, 1, 1, generator=generator) < 0.5
    noise = setting.noise * unit * torch.randn(batch, SEEDS, WIDTH, generator=generator)
    seeds = real[:, :SEEDS] + disturbed * noise
    total = real.new_zeros(())
    for k in range(setting.primitives):
        here = slice(MADE * k, MADE * k + FRAMES)
        origin = real[:, MADE * k, :PLACE]
        wanted = vectors.seen_from(real[:, here], origin)  # [B, 10, 34]
        feet_wanted = _seen(soles[:, here], origin)
        seeds = vectors.seen_from(seeds, seeds[:, 0, :PLACE])
        told = model.told(seeds)
        mean, spread = model.encode(told, wanted)
        latent = mean + (spread / 2).exp() * torch.randn(mean.shape, generator=generator)
        made = torch.cat([seeds, model.decode(told, seeds[:, 1:], latent)], 1)
        error = (made - wanted)[:, SEEDS:]
        total = total + (error[..., PLACE:] / model.unit).square().mean()
        total = total + _PLACE * error[..., :PLACE].square().mean()
        step = (made - wanted).diff(dim=1)[:, SEEDS - 1 :] / model.spread
        total = total + _STEP * step.square().mean()
        feet_made = vectors.soles(made)
        total = total + _SOLE * (feet_made - feet_wanted).square().mean()
        speed, speed_wanted = (x.diff(dim=1) * FPS for x in (feet_made, feet_wanted))
        still = (-(speed_wanted.norm(dim=-1, keepdim=True) / _STILL).square()).exp()
        weight = _MOVING + _STANDING * still
        total = total + (weight * (speed - speed_wanted).square()).mean()
        divergence = 0.5 * (mean.square() + spread.exp() - 1 - spread).sum(1).mean()
        total = total + setting.divergence * divergence
        seeds = made[:, -SEEDS:]
    return total / setting.primitives


def _seen(points: Tensor, origin: Tensor) -> Tensor:
    """Points [B, T, 4, 3] as `seen_from` sees frames."""
    moved = points[..., :2] - origin[:, None, None, :2]
    turned = vectors.turn(moved, -origin[:, None, None, 2])
    return torch.cat([turned, points[..., 2:]], -1)


def report(model: Primitives, steps: int = 48, rows: int = 512, seed: int = 1) -> dict[str, float]:
    """How it walks when latents are drawn at random: contact, slide, speed and turning."""
    generator = torch.Generator().manual_seed(seed)
    frames = [model.starts[torch.randint(len(model.starts), (rows,), generator=generator)]]
    for _ in range(steps):
        latent = torch.randn(rows, LATENT, generator=generator).double()
        frames.append(model.decode(frames[-1][:, -SEEDS:], latent)[:, SEEDS:])
    return measure(torch.cat(frames, 1))


def measure(walk: Tensor) -> dict[str, float]:
    """Of walks [N, T, 34]: means over all."""
    soles = vectors.soles(walk)
    second = int(FPS)
    pace = (walk[:, second:, :2] - walk[:, :-second, :2]).norm(dim=-1)
    turning = torch.rad2deg(walk[:, second:, 2] - walk[:, :-second, 2]).abs()
    return {
        "contact score": float(feet.contact_score(soles, FPS).mean()),
        "slide, m/s": float(feet.slide(soles, FPS).mean() * FPS / walk.shape[1]),
        "lowest sole, m": float(soles[..., 2].amin()),
        "pace, m/s": float(pace.mean()),
        "turning, 95th percentile, degrees/s": float(turning.flatten()[::7].quantile(0.95)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Make walks, train, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=Path, help="walks of your own, a file or a folder")
    parser.add_argument("--output", type=Path, default=primitives.WEIGHTS)
    parser.add_argument("--steps", type=int, default=Training.steps)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    given = parser.parse_args(arguments)
    if given.clips and given.output == primitives.WEIGHTS:
        parser.error("clips of your own need --output, or they would replace the weights that ship")
    torch.set_num_threads(1)  # the result depends on it
    setting = Training(steps=given.steps)
    clips = files.read_usable(given.clips, FPS) if given.clips else walking_clips()
    started, worked = time.perf_counter(), time.process_time()
    corpus = walks.corpus(clips, setting.walks, setting.frames, setting.seed)
    models = {"pca": fitting.linear(corpus, setting.seed)}
    prepared = time.process_time()
    models["cvae"] = train(corpus, setting, not given.quiet)
    rate = (time.process_time() - prepared) / setting.steps * 1000
    paths = []
    for kind, model in models.items():
        paths.append(given.output / f"primitives-{kind}.safetensors")
        primitives.write(paths[-1], model)
    found: dict[str, Any] = {
        "training": asdict(setting),
        "mixing": asdict(walks.Mixing()),
        "clips": {clip.name: round(clip.duration, 2) for clip in clips},
        "threads": torch.get_num_threads(),
        "minutes": round((time.perf_counter() - started) / 60, 1),  # also of other work there
        "CPU minutes": round((time.process_time() - worked) / 60, 1),
        "CPU seconds per 1,000 steps": round(rate, 1),
        "walks made of the clips": measure(corpus),
        "random latents": {kind: report(model) for kind, model in models.items()},
    }
    write_json(given.output / "primitives.json", found)
    seal([*paths, given.output / "primitives.json"], given.output)
    print(found)


if __name__ == "__main__":
    main()
