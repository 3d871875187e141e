"""A CLIP tokenizer whose whole vocabulary is the words of the grammar."""

import json
from pathlib import Path

from genenvs.core.files import making
from genenvs.images.scenes import grammar

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 10  # the longest prompt has eight words


def write(folder: Path) -> None:
    """Write the files that `transformers.CLIPTokenizer.from_pretrained` reads.

    Pairs of symbols are merged, the most frequent first, until every word is one symbol. A word
    beyond the grammar falls apart into letters, or is `<|endoftext|>`, which CLIP has for unknown.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=10_000, min_frequency=1, end_of_word_suffix="</w>", show_progress=False,
        special_tokens=[START, END],
    )  # fmt: skip
    tokenizer.train_from_iterator([" ".join(grammar.vocabulary())], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    texts = {
        "vocab.json": json.dumps(model["vocab"], indent=0),
        "merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n",
        "tokenizer_config.json": json.dumps(
            {
                "tokenizer_class": "CLIPTokenizer",
                "model_max_length": LENGTH,
                "bos_token": START,
                "eos_token": END,
                "pad_token": END,
                "unk_token": END,
                "do_lower_case": True,
            },
            indent=2,
        ),
    }
    for name, text in texts.items():
        with making(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
