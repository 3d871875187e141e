"""A CLIP tokenizer whose whole vocabulary is the words of the grammar."""

import json
from collections.abc import Mapping
from pathlib import Path

from genenvs.core.files import making
from genenvs.images.scenes import grammar

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 10  # the longest prompt has eight words


def write(folder: Path, vocabulary: Mapping[str, int] | None = None) -> None:
    """Write the files that `transformers.CLIPTokenizer.from_pretrained` reads.

    Pairs of symbols are merged, the most frequent first, until every word is one symbol. A word
    beyond the grammar falls apart into letters, or is `<|endoftext|>`, which CLIP has for unknown.

    Args:
        folder: where to.
        vocabulary: the number of each symbol, as a model learned them; None: letters first, sorted.
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
    made = ["".join(pair.split(" ")) for pair in merges]
    letters = sorted(set(model["vocab"]) - {START, END} - set(made))
    # The library numbers letters anew in every call: a model would take one for another.
    known = vocabulary or {each: k for k, each in enumerate((START, END, *letters, *made))}
    if set(known) != set(model["vocab"]):
        raise ValueError("another vocabulary than the grammar's")
    texts = {
        "vocab.json": json.dumps(dict(sorted(known.items(), key=lambda each: each[1])), indent=0),
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
