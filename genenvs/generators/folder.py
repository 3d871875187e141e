"""Find a generator's folder and read a diffusers `UNet2DModel` from it, with errors that teach."""

import difflib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from genenvs.core.files import sha256
from genenvs.generators import store
from genenvs.generators.schedule import NoiseSchedule, from_scheduler

SHIPPED = ("digits",)
TEXT_TO_IMAGE = ("sprites", "sprites-tuned", "sprites-flow")
SUPPORTED = "UNet2DModel"
HUB_FILES = [f"{folder}{name}" for folder in ("", "unet/") for name in ("*.json", "*.safetensors")]
HUB_FILES.append("scheduler/*.json")


class UnsupportedPipeline(ValueError):
    """A folder of diffusers that no code here runs; the message names what is supported."""


@dataclass(frozen=True)
class Source:
    """The files that make up one generator: what to hash and what to read."""

    label: str  # for error messages
    model: Path  # folder with the network's config.json and weights
    scheduler: Path  # scheduler_config.json
    names: Path | None  # model_index.json, which may name the classes
    weights: tuple[Path, ...]
    digest: str


@dataclass(frozen=True)
class Content:
    """What was read: a frozen network and what it needs to be used."""

    unet: torch.nn.Module
    schedule: NoiseSchedule
    prediction: str
    shape: tuple[int, ...]
    conditional: bool
    condition_names: tuple[str, ...]


def resolve(generator: str) -> Source:
    """Find the files of a shipped name, a local folder or a hub id; verify shipped ones.

    Raises:
        FileNotFoundError: nothing of that name; the message says where was looked.
        ValueError: a folder that is no diffusers model, or a shipped file that was changed.
    """
    if generator in TEXT_TO_IMAGE:
        raise ValueError(
            f"{generator} is a text-to-image pipeline; genenvs.generators.text_to_image.load "
            f"reads it. Here fit: {', '.join(SHIPPED)}"
        )
    # Beside the network lie banks, which have a reader of their own.
    return inspect(*find(generator, SHIPPED, snapshot, ("unet/", "scheduler/")))


def snapshot(generator: str) -> Path:
    """Fetch what a `Denoiser` is read from."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(generator, allow_patterns=HUB_FILES))


def find(
    generator: str,
    shipped: tuple[str, ...],
    fetch: Callable[[str], Path],
    parts: tuple[str, ...] = ("",),
) -> tuple[Path, str]:
    """Return the folder of a shipped name, a local folder or a hub id, and what to call it.

    Args:
        generator: the name.
        shipped: names of folders in the package.
        fetch: brings the files of a hub id and returns their folder.
        parts: beginnings of the paths inside a shipped folder whose SHA-256 is checked.

    Raises:
        FileNotFoundError: nothing of that name; the message says where was looked.
        ValueError: no string, a file, or a shipped file that was changed.
    """
    if not isinstance(generator, str) or not generator:
        raise ValueError(f"generator must be a non-empty string; got {generator!r}")
    if generator in shipped:
        # Integrity before meaning: a truncated JSON should say so and not fail to parse.
        listed = [
            store.WEIGHTS / name
            for name in store.read_manifest(store.WEIGHTS)
            if name.startswith(tuple(f"{generator}/{part}" for part in parts))
        ]
        if not listed:
            raise ValueError(f"{generator} is not in {store.WEIGHTS / store.MANIFEST}; reinstall")
        # Once a process, as long as the files look the same: every environment loads.
        looks = tuple(looked_at(path) for path in listed if path.exists())
        if looks not in _verified or len(looks) < len(listed):
            store.verify(listed, store.WEIGHTS)
            _verified.add(looks)
        return store.WEIGHTS / generator, generator
    folder = Path(generator).expanduser()
    if folder.is_dir():
        return folder, str(folder)
    if folder.exists():
        raise ValueError(f"generator {generator!r} is a file; give the folder that holds the model")
    return download(generator, shipped, fetch), generator


def download(generator: str, shipped: tuple[str, ...], fetch: Callable[[str], Path]) -> Path:
    """Fetch the files of a hub id and return their folder."""
    near = difflib.get_close_matches(generator, shipped, n=3, cutoff=0.5)
    names = f"shipped: {', '.join(shipped)}"
    hint = f" (did you mean {' or '.join(map(repr, near))}? {names})" if near else f" ({names})"
    what = f"generator {generator!r} is not a folder here ({Path.cwd()}) and not shipped{hint}"
    parts = generator.split("/")
    if len(parts) != 2 or not all(parts) or parts[0] in (".", "..", "~"):
        raise FileNotFoundError(f"{what}; a hub id would read 'owner/name'")
    from huggingface_hub.errors import HFValidationError

    try:
        return fetch(generator)
    except HFValidationError as error:
        raise FileNotFoundError(f"{what}, and is no hub id: {error}") from error
    except UnsupportedPipeline:
        raise
    except Exception as error:  # the client raises its own and its transport's errors
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise FileNotFoundError(
            f"{what}, and as a hub id it could not be fetched ({reason}); check the spelling and "
            "the network, or download the folder and give its path"
        ) from error


def inspect(folder: Path, label: str) -> Source:
    """Find a model's files in a folder: the model itself, or a pipeline with unet/ inside.

    Raises:
        ValueError: the files of a diffusers model are not all there.
    """
    model = folder / "unet" if (folder / "unet" / "config.json").exists() else folder
    if not (model / "config.json").exists():
        raise ValueError(
            f"{label} is no diffusers model: neither config.json nor unet/config.json is in it"
        )
    places = [
        folder / "scheduler" / "scheduler_config.json",
        folder / "scheduler_config.json",
        folder.parent / "scheduler" / "scheduler_config.json",  # given the unet/ of a pipeline
    ]
    scheduler = next((path for path in places if path.exists()), None)
    if scheduler is None:
        raise ValueError(
            f"{label} has no noise schedule: put scheduler_config.json beside config.json or into "
            "scheduler/ (diffusers writes it with scheduler.save_pretrained)"
        )
    weights = tuple(sorted(model.glob("diffusion_pytorch_model*.safetensors")))
    if not weights:
        others = [path.name for path in model.glob("*.bin")]
        why = f" ({others[0]} is a pickle, which is never loaded)" if others else ""
        raise ValueError(
            f"{label} has no diffusion_pytorch_model.safetensors{why}; save the model with "
            "save_pretrained(..., safe_serialization=True)"
        )
    names = folder / "model_index.json"
    names = names if names.exists() else folder.parent / "model_index.json"
    return Source(
        label=label,
        model=model,
        scheduler=scheduler,
        names=names if names.exists() else None,
        weights=weights,
        digest=content_hash((model / "config.json", scheduler, *weights)),
    )


_hashes: dict[tuple, str] = {}
_verified: set[tuple] = set()


def looked_at(path: Path) -> tuple[Path, int, int]:
    """Return what tells a changed file without reading it: path, size, modification time."""
    found = path.stat()
    return path.resolve(), found.st_size, found.st_mtime_ns


def content_hash(paths: tuple[Path, ...]) -> str:
    """Return one SHA-256 over files, in the order given.

    Remembered by path, size and modification time, so that the thousandth environment of a
    process does not read gigabytes again.
    """
    key = tuple(looked_at(path) for path in paths)
    if key not in _hashes:
        _hashes[key] = hashlib.sha256("".join(map(sha256, paths)).encode()).hexdigest()
    return _hashes[key]


def read_json(path: Path) -> dict:
    """Return a parsed JSON object.

    Raises:
        ValueError: the file does not parse, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); is the file damaged?") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object; got {type(value).__name__}")
    return value


def read_folder(source: Source) -> Content:
    """Read and check the network, the schedule and the conditions.

    Raises:
        ValueError: unsupported class or configuration, damaged, missing or non-finite weights.
    """
    label, config = source.label, read_json(source.model / "config.json")
    name = config.get("_class_name")
    if name != SUPPORTED:
        raise ValueError(
            f"{label}: model class {name} is not supported; supported: {SUPPORTED} "
            "(unconditional or class-conditional). Text-to-image pipelines are read by "
            "genenvs.generators.text_to_image.load"
        )
    size, channels = config.get("sample_size"), config.get("in_channels", 3)
    if size is None:
        raise ValueError(f"{label}: config.json has no sample_size, so the image size is unknown")
    height, width = (size, size) if isinstance(size, int) else size
    if config.get("out_channels", 3) != channels:
        raise ValueError(
            f"{label}: the network maps {channels} to {config.get('out_channels', 3)} channels; "
            "a learned variance or an inpainting input is not supported"
        )
    if config.get("class_embed_type") is not None:
        raise ValueError(
            f"{label}: class_embed_type {config['class_embed_type']!r} is not supported; "
            "classes must be an embedding (num_class_embeds)"
        )
    schedule, prediction = from_scheduler(read_json(source.scheduler), str(source.scheduler))
    classes = config.get("num_class_embeds")
    return Content(
        unet=read_network(source),
        schedule=schedule,
        prediction=prediction,
        shape=(channels, height, width),
        conditional=classes is not None,
        condition_names=class_names(source.names, classes),
    )


def class_names(index: Path | None, classes: int | None) -> tuple[str, ...]:
    """Return one name per condition: id2label of model_index.json, else the numbers."""
    if classes is None:
        return ("unconditional",)
    labels = (read_json(index).get("id2label") if index else None) or {}
    return tuple(str(labels.get(str(number), number)) for number in range(classes))


def read_network(source: Source) -> torch.nn.Module:
    """Return the `UNet2DModel` in evaluation mode, float32, frozen."""
    from diffusers import UNet2DModel

    files = ", ".join(path.name for path in source.weights)
    return read_model(
        UNet2DModel, source.model, f"{source.label}: cannot load {files}", low_cpu_mem_usage=False
    ).float()


def read_model(
    made: type, folder: Path, what: str, strict: bool = True, **options: object
) -> torch.nn.Module:
    """Return a network of diffusers or transformers from safetensors: checked, frozen, eval mode.

    Torch's global random state, from which weights are first filled, stays as it is.

    Args:
        made: the class, which has `from_pretrained`.
        folder: holds config.json and the weights.
        what: begins the error messages.
        strict: weights that the class does not know are an error; missing ones always are.
        options: more arguments of `from_pretrained`.

    Raises:
        ValueError: damaged, missing, superfluous or non-finite weights.
    """
    from safetensors import SafetensorError

    try:
        with torch.random.fork_rng(devices=[]):
            model, found = made.from_pretrained(  # type: ignore[attr-defined]
                folder,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{what}, truncated or of another architecture ({type(error).__name__}: {error})"
        ) from error
    wrong = [f"missing {key}" for key in sorted(found["missing_keys"])]
    wrong += [f"misshapen {each}" for each in sorted(map(str, found.get("mismatched_keys", ())))]
    if strict:
        wrong += [f"unexpected {key}" for key in sorted(found["unexpected_keys"])]
    if wrong:
        raise ValueError(
            f"{what}: the weights do not fit config.json: {'; '.join(wrong[:3])}"
            + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        )
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{what}: weights of {name} are not finite (NaN or infinite)")
    return model.eval().requires_grad_(False)
