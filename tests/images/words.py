"""Tokenizers so small that they are written in a moment."""

from __future__ import annotations

import json
from pathlib import Path

import transformers


def clip_tokenizer(folder: Path) -> str:
    """CLIP's, of single letters: 54 words, of which the last two start and end a text."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{each}</w>" for each in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    paths = [str(folder / name) for name in ("vocab.json", "merges.txt")]
    transformers.CLIPTokenizer(*paths).save_pretrained(folder)
    return str(folder)


def bert_tokenizer(folder: Path) -> int:
    """BERT's, of a few words; gives how many."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "two", "red", "blue", "circle"]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return len(words)
