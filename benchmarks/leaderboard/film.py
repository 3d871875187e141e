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
from benchmarks.leaderboard.verify import LIMITS, Unplayable, checked, permit, policy_to_play
from genenvs.core.evaluate import random_policy
from genenvs.core.files import making, sha256

FRAMES, SIDE, MILLISECONDS = 40, 288, 120


def place(path: Path, submission: Submission) -> Path:
    """Where the film of a submission lies."""
    return path.parent / FOLDER / f"{name_of(submission)}{SUFFIX}"


def film(path: Path, limits: Limits = LIMITS, policies: Path | None = None) -> Path:
    """Play the first episode again, in a process apart, and write it beside the submission.

    Films of what the submission held before are removed.

    Args:
        path: of the submission.
        limits: of the process.
        policies: a folder in which a policy that does not lie beside its submission is looked for,
            by its hash.

    Raises:
        OSError: something cannot be read or written.
        ValueError: it is no valid submission, or cannot be played again.
        benchmarks.apart.Failed: playing it broke or took too much.
    """
    submission = checked(path)
    permit(submission)
    policy = None
    if not submission.playable_runs:
        policy = _found(submission, policies)
    target = place(path, submission)
    no_link(target.parent)
    with tempfile.TemporaryDirectory(prefix="film-") as folder:
        out = Path(folder) / f"film{SUFFIX}"
        command = ["benchmarks.leaderboard.film", str(path.resolve()), str(out)]
        if policy is not None:
            command.append(str(policy.resolve()))
        apart.run(command, limits.seconds, limits.memory_gb)
        with making(target) as temporary:
            temporary.write_bytes(out.read_bytes())
    for old in outdated(target.parent, submission):
        old.unlink()
    return target


def _found(submission: Submission, folder: Path | None) -> Path:
    """The policy that is filmed, wherever in a folder it lies.

    Raises:
        Unplayable: it is not there.
    """
    run = submission.filmed_run
    if folder is None or run is None or run.weights is None:
        raise Unplayable(f"{submission.name} has no policy beside it")
    for file in sorted(folder.glob("*.safetensors")):
        if file.stat().st_size == run.weights.bytes and sha256(file) == run.weights.sha256:
            return file
    raise Unplayable(
        f"{submission.name}: no .safetensors file in {folder} has the hash of seed {run.seed},"
        f" {run.weights.sha256[:12]}..."
    )


# --- in that process ---


def frames(submission: Submission, path: Path, policy: Path | None = None) -> list[np.ndarray]:
    """Pictures of the first episode, uint8 [H, W, 3] each."""
    from agents import evaluation
    from agents.problem import Problem

    protocol, environment = submission.protocol, submission.environment
    permit(submission)
    problem = Problem(environment.id, dict(environment.arguments))
    if submission.agent.kind == "learner":
        run = submission.filmed_run
        assert run is not None
        trained = policy_to_play(submission, path, run, policy)

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


def main(path: str, out: str, policy: str | None = None) -> None:
    """Play and write."""
    import torch

    torch.set_num_threads(1)
    apart.end_with_parent()
    kept = None if policy is None else Path(policy)
    write(frames(read(Path(path)), Path(path), kept), Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
