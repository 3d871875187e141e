"""How well shots and their attributes are told from pixels and sound, on drawn clips, which know.

    python -m benchmarks.footage

Two seconds of each of `CLIPS` clips with random attributes are measured and guessed, as those of a
user's file are (`genenvs.video.user`); films of such clips with all four transitions, grain and
flashes are cut into shots, by the detectors of PySceneDetect too. No threshold was set on these
clips. Prints the tables of docs/video.md.
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from genenvs.core import random
from genenvs.core.optional import require
from genenvs.video import boundaries, clips, film, guess, measure
from genenvs.video.attributes import NAMES, SIZES
from genenvs.video.film import TRANSITIONS, Edit
from genenvs.video.footage import Drawn
from genenvs.video.measure import HIGH, WIDE, Measures
from genenvs.video.sound import PER_FRAME

CLIPS, FRAMES = 120, 48
FILMS, SHOTS, LASTS = 32, 7, 40
GRAIN, FLASH, BRIGHTER = (
    4.0,
    2,
    110.0,
)  # of 255: standard deviation; frames, one flash a film; of 255
PEERS = ("AdaptiveDetector", "ContentDetector", "HistogramDetector", "ThresholdDetector")
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


def films(count: int) -> Iterator[tuple[np.ndarray, list[int], list[int]]]:
    """Small pictures with grain and a flash, frames at which transitions begin, and their kinds."""
    for number in range(count):
        key = random.mix(torch.arange(SHOTS), _FILMS, number)
        footage = Drawn(clips.draw(key))
        ways = random.randint(key[:1], 1, SHOTS, len(TRANSITIONS))[0]
        ways[0] = film.CUT
        length = footage.length.clamp(max=LASTS)
        edit = Edit(torch.arange(SHOTS), torch.zeros_like(length), length, ways)
        pictures = np.concatenate(list(film.frames(edit, footage))).astype(np.float32)
        flash = int(edit.begins[SHOTS // 2]) + (film.LASTS + LASTS) // 2
        pictures[flash : flash + FLASH] += BRIGHTER
        grain = np.random.default_rng(number).standard_normal(pictures.shape, np.float32)
        seen = (pictures + GRAIN * grain).clip(0, 255).round().astype(np.uint8)
        yield small(seen).numpy(), edit.begins[1:].tolist(), ways[1:].tolist()


def of_pyscenedetect(name: str) -> Callable[[np.ndarray], list[int]]:
    """A detector of PySceneDetect as it comes, but for `boundaries.LEAST`."""
    scenedetect = require("scenedetect", "video")

    def begins(pictures: np.ndarray) -> list[int]:
        detector = getattr(scenedetect, name)(min_scene_len=boundaries.LEAST)
        return [0, *boundaries.fed(detector, pictures)]

    return begins


def shots_found(
    count: int, detectors: dict[str, Callable[[np.ndarray], list[int]]]
) -> dict[str, dict[str, tuple[int, int]]]:
    """By detector and transition how many were found, and how many there were in `count` films.

    `none`: begins of shots where there is none, a transition's second ones too.
    """
    counts = {name: {kind: [0, 0] for kind in (*TRANSITIONS, "none")} for name in detectors}
    for pictures, places, ways in films(count):
        for name, begins in detectors.items():
            rest = set(begins(pictures)) - {0}
            for begun, way in zip(places, ways, strict=True):
                last = begun + (film.LASTS if way != film.CUT else 0)
                met = sorted(at for at in rest if begun <= at <= last)
                rest -= set(met[:1])
                counts[name][TRANSITIONS[way]][0] += bool(met)
                counts[name][TRANSITIONS[way]][1] += 1
            counts[name]["none"][0] += len(rest)
    return {
        name: {kind: (found, there) for kind, (found, there) in row.items()}
        for name, row in counts.items()
    }


def main() -> None:
    """Measure, guess, compare."""
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    truth, seen = measured(random.mix(torch.arange(CLIPS), _KEYS))
    guessed = torch.tensor([guess.attributes(each) for each in seen])
    right = (guessed == truth).float().mean(0).tolist()
    print("| attribute | right | by chance |\n|---|---|---|")
    for name, share, size in zip(NAMES, right, SIZES, strict=True):
        print(f"| {name} | {share:.0%} | {1 / size:.0%} |")
    detectors = {"genenvs.video": boundaries.begins} | {
        name: of_pyscenedetect(name) for name in PEERS
    }
    print("\n| detector |", " | ".join((*TRANSITIONS, "none")), "|\n|---|---|---|---|---|---|")
    for name, row in shots_found(FILMS, detectors).items():
        said = [f"{found} of {there}" if there else str(found) for found, there in row.values()]
        print(f"| {name} | {' | '.join(said)} |")


if __name__ == "__main__":
    main()
