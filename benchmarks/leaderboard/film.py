"""What an agent makes: the first episode that a submission was scored on, as a small film."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import apart
from benchmarks.cells import Limits
from benchmarks.leaderboard.site.films import FOLDER, SUFFIX, name_of, outdated
from benchmarks.leaderboard.submission import Submission, no_link, read
from benchmarks.leaderboard.verify import LIMITS, checked, playable, policy_to_play
from genenvs.core.evaluate import random_policy
from genenvs.core.files import making

FRAMES, SIDE, MILLISECONDS = 40, 288, 120


def place(path: Path, submission: Submission) -> Path:
    """Where the film of a submission lies."""
    return path.parent / FOLDER / f"{name_of(submission)}{SUFFIX}"


def film(path: Path, limits: Limits = LIMITS) -> Path:
    """Play the first episode again, in a process apart, and write it beside the submission.

    Films of what the submission held before are removed.

    Raises:
        OSError: something cannot be read or written.
        ValueError: it is no valid submission, or cannot be played again.
        benchmarks.apart.Failed: playing it broke or took too much.
    """
    submission = checked(path)
    playable(submission)
    target = place(path, submission)
    no_link(target.parent)
    with tempfile.TemporaryDirectory(prefix="film-") as folder:
        out = Path(folder) / f"film{SUFFIX}"
        command = ["benchmarks.leaderboard.film", str(path.resolve()), str(out)]
        apart.run(command, limits.seconds, limits.memory_gb)
        with making(target) as temporary:
            temporary.write_bytes(out.read_bytes())
    for old in outdated(target.parent, submission):
        old.unlink()
    return target


# --- in that process ---


def frames(submission: Submission, path: Path) -> list[np.ndarray]:
    """Pictures of the first episode, uint8 [H, W, 3] each."""
    from agents import evaluation
    from agents.problem import Problem

    protocol, environment = submission.protocol, submission.environment
    played = playable(submission)
    problem = Problem(environment.id, dict(environment.arguments))
    if submission.agent.kind == "learner":
        trained = policy_to_play(submission, path, played[0])

        def make(envs: Any) -> Any:
            return evaluation.Policy(trained.agent)
    elif submission.agent.name == "random":

        def make(envs: Any) -> Any:
            return random_policy(envs, protocol.env_seeds[0])
    else:

        def make(envs: Any) -> Any:
            return lambda observation, info: envs.unwrapped.reference_action()

    return evaluation.frames(problem, make, protocol.env_seeds[0], 0, protocol.split, FRAMES)


def write(pictures: Sequence[np.ndarray], path: Path) -> None:
    """An animation that a page shows small; the last picture stands longer."""
    images = [Image.fromarray(picture) for picture in pictures]
    for image in images:
        image.thumbnail((SIDE, SIDE))
    times = [MILLISECONDS] * (len(images) - 1) + [10 * MILLISECONDS]
    images[0].save(
        path, "WEBP", save_all=True, append_images=images[1:], duration=times, loop=0, quality=70,
        method=4,
    )  # fmt: skip


def main(path: str, out: str) -> None:
    """Play and write."""
    import torch

    torch.set_num_threads(1)
    apart.end_with_parent()
    write(frames(read(Path(path)), Path(path)), Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
