"""Find and read a text-to-image pipeline folder, with errors that teach."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genenvs.core.files import making_folder
from genenvs.core.manifest import write_json
from genenvs.generators import adapters
from genenvs.generators.families import FAMILIES, Family
from genenvs.generators.folder import (
    SHIPPED,
    TEXT_TO_IMAGE,
    UnsupportedPipeline,
    content_hash,
    find,
    read_json,
    read_model,
)
from genenvs.generators.schedule import NoiseSchedule, from_scheduler

FLOW_SCHEDULER = "FlowMatchEulerDiscreteScheduler"
TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast", "T5Tokenizer", "T5TokenizerFast")
# Files of a component: its configuration, weights and vocabulary; never a pickle.
READ = ("*.json", "*.safetensors", "*.txt", "*.model")


@dataclass(frozen=True)
class Pipeline:
    """The files of one pipeline.

    Attributes:
        label: what to call it in messages.
        root: the folder.
        index: the parsed model_index.json. Beside what diffusers writes there it may hold
            "unconditional": false, for a network that was never trained without its prompt,
            "max_sequence_length", the length of T5's part of the condition, and
            "closed_vocabulary": true, where every word that the model knows is one token.
        family: which pipeline it is.
        files: all that is read.
    """

    label: str
    root: Path
    index: dict
    family: Family
    files: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over all files."""
        return content_hash(self.files)

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the components that are there."""
        return present(self.family, self.index)


@dataclass(frozen=True, eq=False)
class Parts:
    """What was read: frozen networks, tokenizers and the schedule.

    Attributes:
        pipeline: a pipeline of diffusers' own class, which encodes prompts.
        prediction: "epsilon", "v_prediction", "sample" or "flow".
        schedule: diffusion only, on the CPU.
        scheduler: configuration of the scheduler, its class's defaults filled in.
    """

    pipeline: Any
    network: Any  # modules, whose attributes mypy cannot see
    vae: Any
    prediction: str
    schedule: NoiseSchedule | None
    scheduler: dict

    @property
    def modules(self) -> list[torch.nn.Module]:
        """All networks, text encoders included."""
        found = self.pipeline.components.values()
        return [each for each in found if isinstance(each, torch.nn.Module)]


def resolve(generator: str) -> Pipeline:
    """Find the files of a shipped name, a local folder or a hub id; verify shipped ones.

    Raises:
        FileNotFoundError: nothing of that name; the message says where was looked.
        ValueError: no pipeline, one that is not supported, an incomplete one, or a shipped file
            that was changed.
    """
    if generator in SHIPPED:
        raise ValueError(
            f"{generator} is no text-to-image pipeline; genenvs.generators.denoiser.load reads it. "
            f"Here fit: {', '.join(TEXT_TO_IMAGE)}"
        )
    root, label = find(generator, TEXT_TO_IMAGE, snapshot)
    path = root / "model_index.json"
    if not path.exists():
        raise ValueError(
            f"{label} is no diffusers pipeline: there is no model_index.json in it"
            + ("; `denoiser.load` reads single networks" if (root / "config.json").exists() else "")
        )
    index = read_json(path)
    family = family_of(index, label)
    files = [path, root / "scheduler" / "scheduler_config.json"]
    for component in present(family, index):
        files += component_files(root / component, label)
    missing = [str(file.relative_to(root)) for file in files if not file.exists()]
    if missing:
        raise ValueError(f"{label}: {', '.join(missing)} is not there; is the folder complete?")
    return Pipeline(label, root, index, family, tuple(files))


def family_of(index: dict, label: str) -> Family:
    """Return the family that a model_index.json names.

    Raises:
        UnsupportedPipeline: none of ours; the message names them.
    """
    name = index.get("_class_name")
    if name not in FAMILIES:
        raise UnsupportedPipeline(
            f"{label}: pipeline class {name} is not supported; supported: {', '.join(FAMILIES)}"
        )
    return FAMILIES[name]


def present(family: Family, index: dict) -> tuple[str, ...]:
    """Return the components of a pipeline that are not null, without its scheduler.

    Raises:
        ValueError: one that the family needs is null or of a class that is not supported.
    """
    wanted: list[tuple[str, tuple[str, ...]]] = [
        (family.network, (family.network_class,)),
        ("vae", ("AutoencoderKL",)),
    ]
    for tokenizer, encoder, encoder_class in family.text:
        wanted += [(tokenizer, TOKENIZERS), (encoder, (encoder_class,))]
    found = []
    for component, classes in wanted:
        _, name = index.get(component) or (None, None)
        if name is None and component in family.optional:
            continue
        if name not in classes:
            raise UnsupportedPipeline(
                f"{family.pipeline}: component {component} of class {name} is not supported; "
                f"supported: {', '.join(classes)}"
            )
        found.append(component)
    return tuple(found)


def component_files(folder: Path, label: str) -> list[Path]:
    """Return the files of one component that are read.

    Raises:
        ValueError: a network without safetensors.
    """
    if not folder.is_dir():
        raise ValueError(f"{label}: there is no folder {folder.name}/ in it")
    files = sorted(path for pattern in READ for path in folder.glob(pattern))
    if folder.name.startswith(("tokenizer", "scheduler")):
        return files
    if not (folder / "config.json").exists():
        raise ValueError(f"{label}: there is no {folder.name}/config.json")
    if not any(path.suffix == ".safetensors" for path in files):
        others = [path.name for path in folder.glob("*.bin")]
        why = f" ({others[0]} is a pickle, which is never loaded)" if others else ""
        raise ValueError(
            f"{label}: {folder.name}/ has no safetensors weights{why}; save the pipeline with "
            "save_pretrained(..., safe_serialization=True)"
        )
    kept = variant(folder)
    return [
        path
        for path in files
        if path.suffix != ".safetensors" or (".fp16" in path.name) == (kept is not None)
    ]


def variant(folder: Path) -> str | None:
    """Return "fp16" where a network is there in that precision only."""
    names = [path.name for path in folder.glob("*.safetensors")]
    return "fp16" if names and all(".fp16" in name for name in names) else None


def snapshot(generator: str) -> Path:
    """Fetch the files of a hub id, once its index says that the pipeline is supported."""
    from diffusers import DiffusionPipeline
    from huggingface_hub import hf_hub_download

    index = Path(hf_hub_download(generator, "model_index.json"))
    family_of(json.loads(index.read_text(encoding="utf-8")), generator)
    return Path(
        DiffusionPipeline.download(
            generator, use_safetensors=True, safety_checker=None, image_encoder=None
        )
    )


def read(source: Pipeline, dtype: torch.dtype, adapter: Path | None = None) -> Parts:
    """Read and check every component; an adapter is added to the network.

    The safety checker is left out: what it blackens would be a reward of its own. With an adapter
    the network is read in float32 and rounded to `dtype` once, after the two are added.

    Raises:
        ValueError: damaged files, or a configuration that is not supported.
    """
    import diffusers
    import transformers

    family, label = source.family, source.label
    settings = {
        name: read_json(source.root / name / "config.json")
        for name in source.components
        if not name.startswith("tokenizer")
    }
    check_networks(family, settings, label)
    scheduler, prediction, schedule = read_scheduler(source)

    parts: dict[str, Any] = dict.fromkeys(("tokenizer_3", "text_encoder_3"))
    for component in source.components:
        folder = source.root / component
        what = f"{label}: cannot load {component}/"
        if component.startswith("tokenizer"):
            made = getattr(transformers, source.index[component][1])
            parts[component] = read_tokenizer(made, folder, what)
            continue
        options: dict[str, Any] = {"variant": variant(folder)}
        if component.startswith("text_encoder"):
            made, options["dtype"] = getattr(transformers, source.index[component][1]), dtype
        else:
            made = getattr(diffusers, source.index[component][1])
            whole = component == "vae" and settings["vae"].get("force_upcast", True)
            whole = whole or (component == family.network and adapter is not None)
            options["torch_dtype"] = torch.float32 if whole else dtype
            options["low_cpu_mem_usage"] = diffusers.utils.is_accelerate_available()
        # Older text encoders and VAEs carry buffers that their classes no longer know.
        strict = component == family.network
        with quiet():
            parts[component] = read_model(made, folder, what, strict, **options)

    if adapter is not None:
        adapters.apply(parts[family.network], adapter, family)
        nn.Module.to(parts[family.network], dtype)

    needed = {name for each in family.text for name in each[:2]} | {family.network, "vae"}
    extra: dict[str, Any] = {}
    if family.name == "sd":
        extra = {"safety_checker": None, "feature_extractor": None}
        extra["requires_safety_checker"] = False
    if family.name == "sdxl":
        zeros = source.index.get("force_zeros_for_empty_prompt", True)
        extra = {"force_zeros_for_empty_prompt": zeros, "add_watermarker": False}
    pipeline = getattr(diffusers, family.pipeline)(
        scheduler=None, **{name: parts[name] for name in needed}, **extra
    )
    return Parts(pipeline, parts[family.network], parts["vae"], prediction, schedule, scheduler)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars that transformers shows for each part of a model."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_networks(family: Family, settings: dict[str, dict], label: str) -> None:
    """Check that network and VAE fit each other.

    Raises:
        ValueError: they do not, or the network takes inputs that a prompt does not give.
    """
    network, vae = settings[family.network], settings["vae"]
    channels, latents = family.channels(network), vae.get("latent_channels", 4)
    out = network.get("out_channels") or network["in_channels"]
    if family.name == "flux":
        out //= 4
    if not channels == out == latents:
        raise UnsupportedPipeline(
            f"{label}: the network maps {channels} to {out} channels and the VAE has {latents}; "
            "inpainting and editing inputs are not supported"
        )
    if network.get("time_cond_proj_dim") is not None:
        raise UnsupportedPipeline(
            f"{label}: a U-Net with an embedded guidance scale (time_cond_proj_dim) is not "
            "supported"
        )


def read_scheduler(source: Pipeline) -> tuple[dict, str, NoiseSchedule | None]:
    """Return the scheduler's configuration, the prediction type and the noise schedule.

    Raises:
        ValueError: a scheduler of the wrong kind.
    """
    import diffusers

    path = source.root / "scheduler" / "scheduler_config.json"
    config = read_json(path)
    if source.family.kind == "flow":
        name = config.get("_class_name")
        if name != FLOW_SCHEDULER or config.get("invert_sigmas"):
            raise UnsupportedPipeline(
                f"{path}: {name}{' with invert_sigmas' if name == FLOW_SCHEDULER else ''} is not "
                f"supported for a flow model; supported: {FLOW_SCHEDULER}"
            )
        made = diffusers.FlowMatchEulerDiscreteScheduler.from_config(config)
        return dict(made.config), "flow", None
    schedule, prediction = from_scheduler(config, str(path))
    filled = dict(getattr(diffusers, config["_class_name"]).from_config(config).config)
    if source.family.name == "sd" and "steps_offset" in filled:
        filled["steps_offset"] = 1  # as the pipeline's constructor does, with a long warning
    return filled, prediction, schedule


def read_tokenizer(made: type, folder: Path, what: str) -> Any:
    """Return a tokenizer.

    Raises:
        ValueError: its files are damaged or not there.
    """
    try:
        return made.from_pretrained(folder, local_files_only=True)  # type: ignore[attr-defined]
    except Exception as error:  # tokenizers raises plain `Exception`
        raise ValueError(f"{what}, damaged ({type(error).__name__}: {error})") from error


def shapes(
    source: Pipeline, parts: Parts, size: tuple[int, int] | None
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return the shapes (C, h, w) of one latent and (3, H, W) of one image.

    Raises:
        ValueError: the model cannot make images of that size.
    """
    family, network, vae = source.family, dict(parts.network.config), dict(parts.vae.config)
    factor = 2 ** (len(vae["block_out_channels"]) - 1)
    if size is None:
        try:
            height, width = family.side(network, vae)
        except ValueError as error:
            raise ValueError(f"{source.label}: {error}") from error
    else:
        height, width = (side // factor for side in size)
    step = family.divisor if family.name == "flux" else network.get("patch_size") or 1
    if (size and (height * factor, width * factor) != tuple(size)) or height % step or width % step:
        raise ValueError(
            f"{source.label}: sides of an image must be multiples of {factor * step}; "
            f"got {size or (height * factor, width * factor)}"
        )
    channels = vae.get("out_channels", 3)
    return (family.channels(network), height, width), (channels, height * factor, width * factor)


def save(root: Path, index: dict, family: Family, network: Any, folder: Path) -> Path:
    """Write a pipeline folder with another network; see `TextToImage.save`."""
    network = adapters.merged(unwrapped(network))
    with making_folder(folder) as temporary:
        kept = [name for name in present(family, index) if name != family.network]
        for component in [*kept, "scheduler"]:
            (temporary / component).mkdir()
            files = component_files(root / component, str(root))
            for path in files:
                shutil.copyfile(path, temporary / component / path.name.replace(".fp16", ""))
        network.save_pretrained(temporary / family.network, safe_serialization=True)
        known = {name for name in index if not isinstance(index[name], list)}
        known |= {*kept, "scheduler", family.network}
        written = {name: value if name in known else [None, None] for name, value in index.items()}
        write_json(temporary / "model_index.json", written)
    return folder


def unwrapped(network: Any) -> Any:
    """Return the network inside DistributedDataParallel or torch.compile."""
    for name in ("module", "_orig_mod"):
        network = getattr(network, name, network)
    return network
