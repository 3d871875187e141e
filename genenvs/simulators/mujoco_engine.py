"""MuJoCo, which has wheels for every platform."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from genenvs.core.optional import require
from genenvs.simulators.engine import FRICTION, STEP, STEPS, Body, Settled


class MuJoCo:
    """A model is compiled for each scene and forgotten after it: nothing is left to restore."""

    name = "mujoco"

    def __init__(self) -> None:
        """Load the library.

        Raises:
            ImportError: mujoco is missing; names the extra.
        """
        self._m: Any = require("mujoco", "mujoco")

    def settle(self, bodies: Sequence[Body], steps: int = STEPS) -> Settled:
        """See `Engine`."""
        m = self._m
        model = self._model(bodies)
        data = m.MjData(model)
        m.mj_forward(model, data)
        depth = [-float(contact.dist) for contact in data.contact]
        moving = [k + 1 for k, body in enumerate(bodies) if body.mass > 0]  # body 0 is the world
        before = data.xpos[moving].copy()
        for _ in range(steps):
            m.mj_step(model, data)
        m.mj_kinematics(model, data)
        drift = np.linalg.norm(data.xpos[moving] - before, axis=1)
        upright = data.xmat[moving][:, 8] if moving else np.zeros(0)
        tilt = np.arccos(np.clip(upright, -1, 1))
        return Settled(self.name, drift, tilt, max([0.0, *depth]))

    def _model(self, bodies: Sequence[Body]) -> Any:
        m = self._m
        spec = m.MjSpec()
        spec.option.timestep = STEP
        spec.option.gravity = [0, 0, -9.81]
        friction = [FRICTION, 0.005, 0.0001]
        spec.worldbody.add_geom(type=m.mjtGeom.mjGEOM_PLANE, size=[20, 20, 1], friction=friction)
        for number, body in enumerate(bodies):
            made = spec.worldbody.add_body(name=str(number), pos=body.centre)
            if body.mass > 0:
                made.add_freejoint()
                # As other engines have it: the mass of a full box, around the middle.
                x, y, z = np.square(body.half)
                made.mass, made.ipos, made.explicitinertial = body.mass, [0, 0, 0], True
                made.inertia = body.mass / 3 * np.array([y + z, x + z, x + y])
            shape: dict[str, Any] = {"type": m.mjtGeom.mjGEOM_BOX, "size": body.half}
            if body.hull is not None:
                mesh = spec.add_mesh(name=str(number), uservert=np.ravel(body.hull).tolist())
                # Kept in its own frame: compiling would move it to its centre of mass.
                shape = {"type": m.mjtGeom.mjGEOM_MESH, "meshname": mesh.name}
            made.add_geom(friction=friction, **shape)
        return spec.compile()


def make() -> MuJoCo:
    """The engine."""
    return MuJoCo()
