"""The interface of physics engines: bodies in, how they settled out."""

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

import numpy as np

ENGINES = ("mujoco", "pybullet")  # by preference: wheels of the first exist everywhere
STEPS, STEP = 240, 1 / 240  # a second
FRICTION = 0.6
MOST_PROCESSES = 8
_STARTS, _SLOWEST = 120.0, 20.0  # seconds for a process to start and for a scene, far above usual
_FEW = 16  # scenes below which no process is started


@dataclass(frozen=True)
class Body:
    """A rigid body, upright at first.

    Attributes:
        name: of the body, unique in its scene.
        centre: metres, of its bounding box, which is where its centre of mass is taken to be.
        half: half the sides of the box.
        mass: kilograms; 0: it never moves.
        hull: float [V, 3], points around the centre whose convex hull is the body; None: the box.
    """

    name: str
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    mass: float
    hull: np.ndarray | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Settled:
    """What became of a scene's bodies that can move, [M] in their order.

    Attributes:
        engine: whose physics it was.
        drift: float64 [M], metres from where each began.
        tilt: float64 [M], radians between its own upright axis and the vertical.
        penetration: metres, the deepest overlap of two bodies at the beginning, at least 0.
    """

    engine: str
    drift: np.ndarray
    tilt: np.ndarray
    penetration: float


class Engine(Protocol):
    """A physics engine; one instance a process."""

    name: str

    def settle(self, bodies: Sequence[Body], steps: int = STEPS) -> Settled:
        """Put the bodies on a floor at z = 0 and let gravity act.

        Args:
            bodies: of one scene.
            steps: of 1 / 240 s.
        """


def installed() -> list[str]:
    """The engines that can be imported here, the preferred one first."""
    return [name for name in ENGINES if find_spec(name) is not None]


@cache
def engine(name: str) -> Engine:
    """This process's instance of an engine.

    Raises:
        ValueError: no such engine.
        ImportError: it is not installed; names the extra.
    """
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {name!r}")
    found: Engine = import_module(f"genenvs.simulators.{name}_engine").make()
    return found


def settle_all(
    scenes: Sequence[Sequence[Body]],
    name: str,
    steps: int = STEPS,
    processes: int | None = None,
) -> list[Settled]:
    """Settle many scenes, each on its own, in as many processes as there are processors.

    Args:
        scenes: bodies of each.
        name: of the engine.
        steps: of 1 / 240 s.
        processes: None: as many as pay; 1: this process alone.

    Raises:
        ImportError: the engine is not installed; names the extra.
    """
    alone = engine(name)  # raises here rather than in a process
    count = processes or (1 if len(scenes) < _FEW else min(os.cpu_count() or 1, MOST_PROCESSES))
    if count == 1:
        return [alone.settle(scene, steps) for scene in scenes]
    parts = [scenes[k::count] for k in range(count)]
    with ThreadPoolExecutor(count) as threads:
        found = list(threads.map(lambda part: _elsewhere(name, part, steps), parts))
    return [found[k % count][k // count] for k in range(len(scenes))]


def _elsewhere(name: str, scenes: Sequence[Sequence[Body]], steps: int) -> list[Settled]:
    """Settle scenes in a process of their own.

    A plain program, since `multiprocessing` would either fork, which is not safe once PyTorch has
    run threads, or import the caller's script again, which not every script survives.
    """
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        # Pickles go to this process's own child and back. -P: the working folder may hold anything.
        done = subprocess.run(
            [sys.executable, "-P", "-m", "genenvs.simulators.worker"],
            input=pickle.dumps((name, scenes, steps)),
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
            timeout=_STARTS + _SLOWEST * len(scenes),
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(
            f"a process of {name} was stopped: {len(scenes)} scenes took more than"
            f" {error.timeout:.0f} s"
        ) from error
    if done.returncode:
        raise RuntimeError(f"a process of {name} ended with code {done.returncode}; see above")
    results: list[Settled] = pickle.loads(done.stdout)
    return results
