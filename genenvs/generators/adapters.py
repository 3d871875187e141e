"""Low-rank adapters (LoRA) of a denoising network, through peft."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genenvs.core.optional import require
from genenvs.generators.families import Family

FILE = "pytorch_lora_weights.safetensors"  # what diffusers calls it
# Query, key, value and output of all attention, of the text's stream too in SD3 and Flux.
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
ATTENTION_TO_TEXT = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


def add_lora(network: Any, rank: int = 4, alpha: float | None = None, seed: int = 0) -> nn.Module:
    """Freeze a network and give its attention a trainable adapter; return the network.

    The adapter begins as nothing: the network's output does not change. Its parameters are
    float32 whatever the network's precision.

    Args:
        network: of diffusers; changed in place.
        rank: of each update.
        alpha: updates are scaled by alpha / rank; None is `rank`.
        seed: of the first matrices; torch's global random state stays as it is.

    Raises:
        ImportError: peft is not installed.
        ValueError: a rank below 1.
    """
    peft = require("peft", "agents")
    if rank < 1:
        raise ValueError(f"rank must be at least 1; got {rank}")
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=rank if alpha is None else alpha,
        init_lora_weights="gaussian",
        target_modules=[*ATTENTION, *ATTENTION_TO_TEXT],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.requires_grad_(False)
        network.add_adapter(config)
    for parameter in trainable(network):
        parameter.data = parameter.data.float()
    return network.eval()


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that ask for a gradient."""
    return [each for each in network.parameters() if each.requires_grad]


@contextmanager
def without_lora(network: Any) -> Iterator[Any]:
    """The network as it is without its adapter, for example as the reference of a KL term."""
    network.disable_adapters()
    try:
        yield network
    finally:
        network.enable_adapters()


def locate(lora: str) -> Path:
    """Return the file of an adapter, given it or its folder.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: the folder holds no adapter in safetensors.
    """
    path = Path(lora).expanduser()
    if path.is_dir():
        named = path / FILE
        found = [named] if named.exists() else sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            raise ValueError(
                f"lora folder {lora!r} must hold {FILE} or one other safetensors file; it holds "
                f"{', '.join(each.name for each in found) or 'none'}"
            )
        return found[0]
    if not path.exists():
        raise FileNotFoundError(f"lora {lora!r} is neither a folder nor a file here ({Path.cwd()})")
    if path.suffix != ".safetensors":
        raise ValueError(f"lora {lora!r} is no safetensors file; a pickle is never loaded")
    return path


def apply(network: Any, path: Path, family: Family) -> None:
    """Add an adapter to a network's weights, which stay frozen.

    It is part of them from then on: evaluation costs nothing more, and whoever trains another
    adapter on top, or all of the weights, finds a plain network.

    Args:
        network: in float32, whatever precision it is used in afterwards: an adapter's changes are
            mostly smaller than the steps of a bfloat16 weight, and added there they would be lost.
        path: of the adapter's file.
        family: of the network.

    Raises:
        ImportError: peft is not installed.
        ValueError: a damaged file, or one that is for another network or for text encoders.
    """
    require("peft", "agents")
    import diffusers
    from safetensors import SafetensorError

    reader: Any = getattr(diffusers, family.pipeline)
    options: dict[str, Any] = {"weight_name": path.name, "local_files_only": True}
    options |= {"use_safetensors": True, "return_lora_metadata": True}
    alphas = None
    try:
        if family.kind == "diffusion":
            options["unet_config"] = network.config
            state, alphas, metadata = reader.lora_state_dict(path.parent, **options)
        else:
            state, metadata = reader.lora_state_dict(path.parent, **options)
        others = sorted(name for name in state if not name.startswith(f"{family.network}."))
        if others or not state:
            raise ValueError(f"it has {others[0] if others else 'no tensors'}")
        network.load_lora_adapter(
            state, prefix=family.network, network_alphas=alphas, metadata=metadata
        )
        network.fuse_lora()
        network.unload_lora()
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"lora {path}: no adapter of this {family.network} ({type(error).__name__}: {error})"
        ) from error
    network.eval().requires_grad_(False)


def save_lora(folder: str | Path, network: Any, family: Family) -> Path:
    """Save the adapter of a network as diffusers does, small; `load(..., lora=)` reads it."""
    peft = require("peft", "agents")
    import diffusers

    writer: Any = getattr(diffusers, family.pipeline)
    name = family.network
    state = peft.get_peft_model_state_dict(network)
    metadata = {f"{name}_lora_adapter_metadata": network.peft_config["default"].to_dict()}
    writer.save_lora_weights(folder, **{f"{name}_lora_layers": state}, **metadata)
    return Path(folder)


def merged(network: Any) -> Any:
    """Return the network with its adapter added to its weights; itself where it has none.

    The sum is a copy in float32, in the host's memory: most changes of an adapter are smaller than
    the steps of a bfloat16 weight, and would be lost in a sum of the network's own precision.
    """
    if not getattr(network, "peft_config", None):
        return network
    # A deep copy takes what it finds here: no second copy of all weights beside the training's.
    memory: dict[int, Any] = {
        id(each): nn.Parameter(each.detach().to("cpu", torch.float32, copy=True), False)
        for each in network.parameters()
    }
    memory |= {id(each): each.to("cpu", copy=True) for each in network.buffers()}
    network = nn.Module.to(copy.deepcopy(network, memory), torch.float32)
    network.fuse_lora()
    network.unload_lora()
    return network
