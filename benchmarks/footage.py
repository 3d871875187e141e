"""How well shots and their attributes are told from pixels and sound, on drawn clips, which know.

    python -m benchmarks.footage

Two seconds of each of `CLIPS` clips with random attributes are measured and guessed, as those of a
user's file are (`genenvs.video.user`); films of such clips with all four transitions are cut into
shots. No threshold was set on these clips. Prints the table of docs/video.md.
"""

import argparse

import numpy as np
import torch
from torch import Tensor

from genenvs.core import random
from genenvs.video import clips, film, guess, measure
from genenvs.video.attributes import NAMES, SIZES
from genenvs.video.film import TRANSITIONS, Edit
from genenvs.video.footage import Drawn
from genenvs.video.measure import HIGH, WIDE, Measures
from genenvs.video.sound import PER_FRAME

CLIPS, FRAMES = 120, 48
FILMS, SHOTS, LASTS = 8, 7, 40
_KEYS, _FILMS = random.word("benchmark of footage"), random.word("films of that benchmark")


def small(pictures: np.ndarray) -> Tensor:
    """Pictures as they are measured: uint8 [T, H, W, 3] -> uint8 [T, 36, 64, 3]."""
    frames = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    averaged = torch.nn.functional.interpolate(frames, size=(HIGH, WIDE), mode="area")
    return averaged.round().byte().permute(0, 2, 3, 1).contiguous()


def measured(keys: Tensor, frames: int = FRAMES) -> tuple[Tensor, list[Measures]]:
    """Of clips drawn from keys (int64 [N]): attributes int64 [N, 8], and what is measured."""
    footage = Drawn(clips.draw(keys))
    found = []
    for clip, length in enumerate(footage.length.tolist()):
        count = min(frames, length)
        seen = footage.pictures(torch.full((count,), clip), torch.arange(count))
        found.append(measure.measure(small(seen), footage.sound(clip)[: count * PER_FRAME]))
    return footage.attributes, found


def shots_found(films: int) -> dict[str, tuple[int, int]]:
    """By transition how many were found, and how many there were; `none`: found where none was."""
    counts = {name: [0, 0] for name in (*TRANSITIONS, "none")}
    for number in range(films):
        key = random.mix(torch.arange(SHOTS), _FILMS, number)
        footage = Drawn(clips.draw(key))
        ways = random.randint(key[:1], 1, SHOTS, len(TRANSITIONS))[0]
        ways[0] = film.CUT
        length = footage.length.clamp(max=LASTS)
        edit = Edit(torch.arange(SHOTS), torch.zeros_like(length), length, ways)
        pictures = small(np.concatenate(list(film.frames(edit, footage))))
        frames = pictures.permute(0, 3, 1, 2).float() / 255
        begins = measure.begins(measure.changes(frames), measure.mixed(frames))
        rest = set(begins) - {0}
        for begun, way in zip(edit.begins[1:].tolist(), ways[1:].tolist(), strict=True):
            met = {at for at in rest if -1 <= at - begun <= film.LASTS}
            counts[TRANSITIONS[way]][0] += bool(met)
            counts[TRANSITIONS[way]][1] += 1
            rest -= met
        counts["none"][0] += len(rest)
    return {name: (found, there) for name, (found, there) in counts.items()}


def main() -> None:
    """Measure, guess, compare."""
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    truth, seen = measured(random.mix(torch.arange(CLIPS), _KEYS))
    guessed = torch.tensor([guess.attributes(each) for each in seen])
    right = (guessed == truth).float().mean(0).tolist()
    print("| attribute | right | by chance |\n|---|---|---|")
    for name, share, size in zip(NAMES, right, SIZES, strict=True):
        print(f"| {name} | {share:.0%} | {1 / size:.0%} |")
    print(", ".join(f"{k} {a} of {b}" if b else f"{k} {a}" for k, (a, b) in
                    shots_found(FILMS).items()))  # fmt: skip


if __name__ == "__main__":
    main()
