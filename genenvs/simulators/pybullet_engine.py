"""Bullet, by pybullet: Linux on x86-64 and Python 3.11 have wheels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from genenvs.core.optional import require
from genenvs.simulators.engine import FRICTION, STEP, STEPS, Body, Settled

_RESET = 64  # scenes


class PyBullet:
    """One client without a window; what it holds between scenes is a floor alone.

    Every call names the client: pybullet's default is whichever came first.
    """

    name = "pybullet"

    def __init__(self) -> None:
        """Connect.

        Raises:
            ImportError: pybullet is missing; names the extra.
        """
        self._p: Any = require("pybullet", "pybullet")
        self._client = self._p.connect(self._p.DIRECT)
        self._played = 0
        self._start()

    def _start(self) -> None:
        p, client = self._p, self._client
        p.resetSimulation(physicsClientId=client)
        p.setGravity(0, 0, -9.81, physicsClientId=client)
        p.setTimeStep(STEP, physicsClientId=client)
        # The same scene settles the same way, whatever was settled before.
        p.setPhysicsEngineParameter(deterministicOverlappingPairs=1, physicsClientId=client)
        plane = p.createCollisionShape(p.GEOM_PLANE, physicsClientId=client)
        floor = p.createMultiBody(0, plane, physicsClientId=client)
        p.changeDynamics(floor, -1, lateralFriction=FRICTION, physicsClientId=client)
        self._empty = p.saveState(physicsClientId=client)

    def settle(self, bodies: Sequence[Body], steps: int = STEPS) -> Settled:
        """See `Engine`."""
        p, client = self._p, self._client
        try:
            made = [self._add(body) for body in bodies]
            moving = [k for k, body in enumerate(bodies) if body.mass > 0]
            p.performCollisionDetection(physicsClientId=client)
            depth = [-point[8] for point in p.getContactPoints(physicsClientId=client) or ()]
            before = [self._place(made[k])[0] for k in moving]
            for _ in range(steps):
                p.stepSimulation(physicsClientId=client)
            after = [self._place(made[k]) for k in moving]
            self._played += 1
            if self._played % _RESET:
                for number in made:
                    p.removeBody(number, physicsClientId=client)
                p.restoreState(self._empty, physicsClientId=client)
            else:  # shapes of bodies that are gone stay in memory until then
                self._start()
        except BaseException:  # whoever knows what is there by now
            self._start()
            raise
        drift = [float(np.linalg.norm(a - b)) for (a, _), b in zip(after, before, strict=True)]
        tilt = [angle for _, angle in after]
        return Settled(self.name, np.array(drift), np.array(tilt), max([0.0, *depth]))

    def _add(self, body: Body) -> int:
        p, client = self._p, self._client
        if body.hull is None:
            shape = p.createCollisionShape(
                p.GEOM_BOX, halfExtents=body.half, physicsClientId=client
            )
        else:  # without faces Bullet takes the convex hull
            shape = p.createCollisionShape(
                p.GEOM_MESH, vertices=body.hull.tolist(), physicsClientId=client
            )
        number = p.createMultiBody(
            body.mass, shape, basePosition=body.centre, physicsClientId=client
        )
        p.changeDynamics(number, -1, lateralFriction=FRICTION, physicsClientId=client)
        return int(number)

    def _place(self, number: int) -> tuple[np.ndarray, float]:
        """Position, and the angle between the body's z axis and the vertical."""
        place, turn = self._p.getBasePositionAndOrientation(number, physicsClientId=self._client)
        x, y, _, _ = turn
        return np.array(place), float(np.arccos(np.clip(1 - 2 * (x * x + y * y), -1, 1)))


def make() -> PyBullet:
    """The engine."""
    return PyBullet()
