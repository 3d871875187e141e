"""Write a pipeline's folder: whole, small, and with the tokenizer in both of its formats."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from genenvs.generators.store import write_json
from genenvs.generators.training.sprites import words


def write(pipeline: Any, folder: Path, **facts: Any) -> list[Path]:
    """Save beside `folder`, then put it in place; return the files.

    The larger networks are in half precision.

    Args:
        pipeline: of diffusers, float32.
        folder: where to.
        **facts: more for `model_index.json`, which diffusers passes over.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        pipeline.to(dtype=torch.float16)
        for name, part in pipeline.components.items():
            # diffusers loads its networks as float32 whatever was saved, transformers as saved.
            if name.startswith("text_encoder") and part is not None:
                part.float()
        pipeline.save_pretrained(temporary, safe_serialization=True)
        for place in temporary.glob("tokenizer*"):
            # vocab.json and merges.txt, which older transformers read
            words.write(place, pipeline.tokenizer.get_vocab())
            for name in ("tokenizer.json", "special_tokens_map.json"):
                (place / name).unlink(missing_ok=True)
        index = temporary / "model_index.json"
        known = json.loads(index.read_text(encoding="utf-8"))
        write_json(index, known | {"closed_vocabulary": True} | facts)  # letters are no words
        (temporary / "README.md").unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
        folder.chmod(0o755)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        pipeline.to(dtype=torch.float32)
    return sorted(path for path in folder.rglob("*") if path.is_file())
