"""Instances of a generator task and the bank of their many-step solutions.

    python -m genenvs.generators.bank --generator FOLDER_OR_HUB_ID --instances 1024

An instance is an index into a split. Its condition and starting noise derive from (split, index)
alone, so only the solutions are stored: what a solver with many steps makes of that noise.
"""

import difflib
import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.core.files import cache_folder
from genenvs.core.task import SPLITS
from genenvs.generators import store
from genenvs.generators.denoiser import Denoiser
from genenvs.generators.folder import SHIPPED
from genenvs.generators.sampling import SAMPLERS

SHIPPED_SIZES = {"train": 8192, "validation": 1024, "test": 2048}
SHIPPED_SAMPLER: str = "ddim"
SHIPPED_STEPS: int = 200
USER_SAMPLER: str = "dpmpp_2m"
USER_STEPS: int = 50
# What the draws of an instance are for; see `random.counter`.
CONDITION, NOISE = 0, 1


def starts(denoiser: Denoiser, split: str, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return where instances of a split start.

    Args:
        denoiser: gives the shape and the split's conditions; its network is not called.
        split: "train", "validation" or "test".
        index: int64 [K], each >= 0.

    Returns:
        noise float32 [K, C, H, W], standard normal, and condition int64 [K], on the device of
        `index`. Row k depends on (split, index[k]) alone.

    Raises:
        ValueError: an unknown split, or one without a prompt.
    """
    key = random.mix(torch.full_like(index, random.word(f"genenvs.bank.{_known(split)}")), index)
    places = denoiser.places(split).to(index.device)
    condition = random.randint(key, random.counter(0, CONDITION), 1, len(places))
    size = torch.Size(denoiser.shape).numel()
    noise = random.normal(key, random.counter(0, NOISE), size)
    return noise.view(-1, *denoiser.shape), places[condition[:, 0]]


@dataclass(frozen=True)
class Key:
    """What a bank depends on; stored in the metadata of its file, compared when it is loaded."""

    weights: str  # the denoiser's digest, over prompts and guidance too where it has any
    schedule: str  # SHA-256 over the numbers of the schedule
    dtype: str  # precision of the network
    split: str
    sampler: str
    steps: str  # evaluations per solution, on the uniform grid of times

    def unlike(self, other: "Key") -> str:
        """Return the fields in which two keys differ, as words."""
        mine, theirs = asdict(self), asdict(other)
        return "; ".join(
            f"{name} {_short(mine[name])}, not {_short(theirs[name])}"
            for name in mine
            if mine[name] != theirs[name]
        )


def key_of(denoiser: Denoiser, split: str, sampler: str, steps: int | str) -> Key:
    """Return the key of a denoiser's bank."""
    dtype = str(denoiser.dtype).removeprefix("torch.")
    return Key(denoiser.digest, denoiser.schedule.digest, dtype, _known(split), sampler, str(steps))


def cached_path(key: Key) -> Path:
    """Return where a user's bank lies, in the cache folder."""
    name = f"{key.split}-{key.sampler}-{key.steps}-{key.dtype}.safetensors"
    return cache_folder() / "banks" / key.weights[:16] / name


def shipped_path(generator: str, split: str) -> Path:
    """Return where a shipped generator's bank lies."""
    return store.WEIGHTS / generator / f"bank-{split}.safetensors"


@dataclass(frozen=True, eq=False)
class Bank:
    """All instances of one split, with their solutions.

    Attributes:
        noise: float32 [M, C, H, W], where each instance starts.
        condition: int64 [M].
        solution: float16 [M, C, H, W], where the reference solver ends.
        key: what the solutions depend on.
    """

    noise: Tensor
    condition: Tensor
    solution: Tensor
    key: Key

    def __len__(self) -> int:
        """Return M, the number of instances."""
        return len(self.solution)

    @staticmethod
    def load(
        denoiser: Denoiser,
        split: str,
        sampler: str | None = None,
        device: str | torch.device | None = None,
    ) -> "Bank":
        """Load the bank of a split, once a process and device.

        Args:
            denoiser: whose solutions are asked for.
            split: "train", "validation" or "test".
            sampler: by which solver; None takes what there is, the most steps first.
            device: where the tensors go; None for the denoiser's.

        Raises:
            FileNotFoundError: there is no bank; says how to build it and what that costs.
            ValueError: an unknown split or sampler, a bank of another model, or a damaged file.
        """
        if sampler is not None and sampler not in SAMPLERS:
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {sampler!r}")
        path, key = _find(denoiser, _known(split), sampler)
        device = torch.device(device or denoiser.device)
        where = (path.resolve(), path.stat().st_mtime_ns, key, device)
        if where not in _cache:
            solution = read_solution(path, denoiser.shape)
            noise, condition = starts(denoiser, split, torch.arange(len(solution)))
            _cache[where] = Bank(noise.to(device), condition.to(device), solution.to(device), key)
        return _cache[where]


_cache: dict[tuple, Bank] = {}


def read_key(path: Path) -> Key:
    """Return the key in a bank's metadata.

    Raises:
        ValueError: the file is damaged or is no bank.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return Key(**json.loads(metadata["bank"]))
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"bank {path} is damaged ({error}); delete it and build it again"
        ) from error
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no bank: its metadata has no key ({error})") from error


def read_solution(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Return float16 [M, C, H, W] from a bank's file, checked."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        solution = load_file(path)["solution"]
    except (SafetensorError, OSError, KeyError) as error:
        raise ValueError(
            f"bank {path} is damaged ({error}); delete it and build it again"
        ) from error
    if solution.dtype != torch.float16 or solution.shape[1:] != shape or not len(solution):
        raise ValueError(
            f"bank {path} must hold float16 [M, {', '.join(map(str, shape))}]; "
            f"got {solution.dtype} {list(solution.shape)}"
        )
    if not torch.isfinite(solution).all():
        raise ValueError(f"bank {path} holds numbers that are not finite; build it again")
    return solution


def _find(denoiser: Denoiser, split: str, sampler: str | None) -> tuple[Path, Key]:
    """Return the file that fits, or raise an error that says what to do."""
    paths = []
    if denoiser.name in SHIPPED and (path := shipped_path(denoiser.name, split)).exists():
        store.verify([path], store.WEIGHTS)
        paths.append(path)
    pattern = cached_path(key_of(denoiser, split, "*", "*")).with_suffix("").parent
    paths += sorted(pattern.glob(f"{split}-*.safetensors"))
    found = [(path, read_key(path)) for path in paths]
    fits = [
        (path, key)
        for path, key in found
        if key == key_of(denoiser, split, sampler or key.sampler, key.steps)
    ]
    if fits:
        return max(fits, key=lambda each: int(each[1].steps))
    from genenvs.generators.bank_build import estimate

    if not found:
        reason = f"generator {denoiser.name!r} has no bank of solutions for split {split!r}"
    else:
        path, key = found[0]
        wanted = key_of(denoiser, split, sampler or key.sampler, key.steps)
        reason = f"bank {path} does not fit generator {denoiser.name!r}: {key.unlike(wanted)}"
    evaluations, minutes = estimate(denoiser, instances=1024, steps=USER_STEPS, split=split)
    flags = denoiser.flags()
    how = (
        f"python -m genenvs.generators.bank --generator {shlex.quote(denoiser.name)} "
        f"--instances 1024 --split {split} --sampler {sampler or USER_SAMPLER} "
        f"--steps {USER_STEPS} {flags}"
    )
    hint = " (in FILE your prompts, one a line)" if flags.endswith(" FILE") else ""
    raise (ValueError if found else FileNotFoundError)(
        f"{reason}. Build one{hint} with\n    {how}\n"
        f"which costs {evaluations:,} network evaluations, about {minutes:.1f} minutes here"
    )


def _known(split: str) -> str:
    if split not in SPLITS:
        near = difflib.get_close_matches(str(split), SPLITS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}{hint}")
    return split


def _short(value: str) -> str:
    return f"{value[:12]}..." if len(value) == 64 else value


if __name__ == "__main__":
    from genenvs.generators.bank_build import main

    main()
