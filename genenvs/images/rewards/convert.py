"""Turn checkpoints as they were published into folders that `learned` reads.

    python -m genenvs.images.rewards.convert hps HPS_v2.1_compressed.pt folder
    python -m genenvs.images.rewards.convert image_reward ImageReward.pt folder
    python -m genenvs.images.rewards.convert aesthetic sac+logos+ava1-l14-linearMSE.pth folder

The files are pickles; only their tensors are read (`torch.load(weights_only=True)`). Tokenizers
come from the hub or a folder (`--tokenizer`). `aesthetic` writes its head alone: give that file as
`head=`, or put it beside a CLIP model.
"""

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from genenvs.core.optional import require
from genenvs.images.rewards.learned import CLIP
from genenvs.images.rewards.networks import BLIP_UNUSED, HEAD

BERT = "google-bert/bert-base-uncased"
State = Mapping[str, Tensor]
# open_clip's ViT-H/14 has heads of 80 in its image tower; other widths have heads of 64.
CLIP_HEADS = {1280: 16}


def read(checkpoint: str | Path) -> dict[str, Tensor]:
    """The tensors of a published file.

    Raises:
        ValueError: it holds anything else.
    """
    try:
        found = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{checkpoint} is no file of tensors: {error}") from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{checkpoint} holds no named tensors")
    return {key: value.contiguous() for key, value in found.items() if isinstance(value, Tensor)}


def aesthetic(checkpoint: str | Path, folder: str | Path) -> None:
    """LAION's head as `head.safetensors`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(read(checkpoint), Path(folder) / HEAD)


def hps(checkpoint: str | Path, folder: str | Path, tokenizer: str = CLIP) -> None:
    """HPSv2, or any CLIP of open_clip's plain kind, as a folder of `CLIPModel`.

    Raises:
        ValueError: the file is of another kind.
    """
    transformers = require("transformers", "rewards")
    state = read(checkpoint)
    _demand(state, checkpoint, "visual.conv1.weight", "token_embedding.weight", "ln_final.weight")
    patch = state["visual.conv1.weight"].shape[-1]
    side = round((len(state["visual.positional_embedding"]) - 1) ** 0.5) * patch
    config = transformers.CLIPConfig(
        vision_config={
            **_sizes(state, "visual.transformer.resblocks"),
            "image_size": side,
            "patch_size": patch,
        },
        text_config={
            **_sizes(state, "transformer.resblocks"),
            "vocab_size": len(state["token_embedding.weight"]),
            "max_position_embeddings": len(state["positional_embedding"]),
            # The last two words start and end a text.
            "bos_token_id": len(state["token_embedding.weight"]) - 2,
            "eos_token_id": len(state["token_embedding.weight"]) - 1,
        },
        projection_dim=state["text_projection"].shape[1],
    )
    _save(transformers, transformers.CLIPModel(config), clip_names(state), folder, tokenizer)


def _sizes(state: State, blocks: str) -> dict[str, Any]:
    inner, width = state[f"{blocks}.0.mlp.c_fc.weight"].shape
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": _count(state, blocks),
        "num_attention_heads": CLIP_HEADS.get(width, max(1, width // 64)),
        "hidden_act": "gelu",
    }


def clip_names(state: State) -> dict[str, Tensor]:
    """From open_clip's names to those of `CLIPModel`."""
    found: dict[str, Tensor] = {}
    whole = {
        "logit_scale": "logit_scale",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
    }
    turned = {"visual.proj": "visual_projection", "text_projection": "text_projection"}
    norms = {
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "ln_final": "text_model.final_layer_norm",
    }
    parts = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for key, value in state.items():
        stem, _, kind = key.rpartition(".")
        block = re.fullmatch(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)", key)
        if key in whole:
            found[whole[key]] = value
        elif key in turned:
            found[f"{turned[key]}.weight"] = value.T.contiguous()
        elif stem in norms:
            found[f"{norms[stem]}.{kind}"] = value
        elif block:
            tower = "vision_model" if block[1] else "text_model"
            layer = f"{tower}.encoder.layers.{block[2]}"
            if block[3].startswith("attn.in_proj_"):
                kind = block[3].removeprefix("attn.in_proj_")
                for name, part in zip("qkv", value.chunk(3), strict=True):
                    found[f"{layer}.self_attn.{name}_proj.{kind}"] = part.contiguous()
            else:
                inner, _, kind = block[3].rpartition(".")
                found[f"{layer}.{parts[inner]}.{kind}"] = value
    return found


def image_reward(checkpoint: str | Path, folder: str | Path, tokenizer: str = BERT) -> None:
    """ImageReward as a folder of `BlipForImageTextRetrieval` with its head.

    Raises:
        ValueError: the file is of another kind.
    """
    transformers = require("transformers", "rewards")
    state = read(checkpoint)
    look, say = "blip.visual_encoder", "blip.text_encoder"
    first = f"{say}.encoder.layer.0"
    _demand(state, checkpoint, f"{look}.pos_embed", f"{first}.intermediate.dense.weight")
    width, _, patch, _ = state[f"{look}.patch_embed.proj.weight"].shape
    inner, hidden = state[f"{first}.intermediate.dense.weight"].shape
    config = transformers.BlipConfig(
        vision_config={
            "hidden_size": width,
            "intermediate_size": len(state[f"{look}.blocks.0.mlp.fc1.weight"]),
            "num_hidden_layers": _count(state, f"{look}.blocks"),
            "num_attention_heads": max(1, width // 64),
            "image_size": round((state[f"{look}.pos_embed"].shape[1] - 1) ** 0.5) * patch,
            "patch_size": patch,
            "layer_norm_eps": 1e-6,
        },
        text_config={
            "vocab_size": len(state[f"{say}.embeddings.word_embeddings.weight"]),
            "max_position_embeddings": len(state[f"{say}.embeddings.position_embeddings.weight"]),
            "hidden_size": hidden,
            "encoder_hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": _count(state, f"{say}.encoder.layer"),
            "num_attention_heads": max(1, hidden // 64),
        },
    )
    model = transformers.BlipForImageTextRetrieval(config)
    _save(transformers, model, blip_names(state), folder, tokenizer)
    head = {key: value for key, value in state.items() if key.startswith("mlp.")}
    save_file(head, Path(folder) / HEAD)


def blip_names(state: State) -> dict[str, Tensor]:
    """From the names of ImageReward's BLIP to those of `BlipForImageTextRetrieval`."""
    vision = {
        "cls_token": "embeddings.class_embedding",
        "pos_embed": "embeddings.position_embedding",
        "patch_embed.proj": "embeddings.patch_embedding",
        "norm": "post_layernorm",
    }
    parts = {
        "norm1": "layer_norm1",
        "norm2": "layer_norm2",
        "attn.qkv": "self_attn.qkv",
        "attn.proj": "self_attn.projection",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    found = {}
    for key, value in state.items():
        name = key.removeprefix("blip.visual_encoder.")
        if key.startswith("blip.text_encoder.") and not key.endswith("position_ids"):
            found[key.removeprefix("blip.")] = value
        elif name != key:
            block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", name)
            stem, _, kind = name.rpartition(".")
            if block:
                new = f"encoder.layers.{block[1]}.{parts[block[2]]}.{block[3]}"
            elif name in vision:
                new = vision[name]
            else:
                new = f"{vision[stem]}.{kind}"
            found[f"vision_model.{new}"] = value
    return found


def _count(state: State, blocks: str) -> int:
    """How many numbered blocks there are."""
    found = (re.match(rf"{re.escape(blocks)}\.(\d+)\.", key) for key in state)
    return 1 + max(int(match[1]) for match in found if match)


def _demand(state: State, checkpoint: str | Path, *keys: str) -> None:
    missing = [key for key in keys if key not in state]
    if missing:
        raise ValueError(f"{checkpoint} is another kind of model: it has no {', '.join(missing)}")


def _save(transformers: Any, model: Any, state: State, folder: str | Path, words: str) -> None:
    """A model with these weights, every one of which must have its place."""
    unfilled, unknown = model.load_state_dict(state, strict=False)
    unfilled = [
        key
        for key in unfilled
        if not key.startswith(BLIP_UNUSED) and not key.endswith("position_ids")
    ]
    if unfilled or unknown:
        raise ValueError(f"weights without a place: {unknown}; places without a weight: {unfilled}")
    model.float().save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(words).save_pretrained(folder)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kind", choices=("hps", "image_reward", "aesthetic"))
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", help="hub id or folder")
    given = parser.parse_args(arguments)
    if given.kind == "aesthetic":
        aesthetic(given.checkpoint, given.folder)
    elif given.kind == "hps":
        hps(given.checkpoint, given.folder, given.tokenizer or CLIP)
    else:
        image_reward(given.checkpoint, given.folder, given.tokenizer or BERT)


if __name__ == "__main__":
    main()
