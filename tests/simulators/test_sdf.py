"""Finished rooms as SDF worlds, which pybullet loads again."""

import shutil

import pytest
import torch

from genenvs.rooms import furnished, furniture
from genenvs.rooms.export import write_sdf
from genenvs.rooms.physics import bodies
from tests.needs import import_or_skip, needs

pytestmark = needs("pybullet", extra="pybullet")


@needs("trimesh", extra="shapes")
@pytest.mark.parametrize("own", [False, True])
def test_a_room_that_was_written_loads_with_every_body_in_its_place(tmp_path, own):
    p = import_or_skip("pybullet", extra="pybullet")
    data = import_or_skip("pybullet_data", extra="pybullet").getDataPath()
    room = furnished.load("validation").rows(torch.tensor([2]))
    models = {}
    if own:  # a mesh that comes with pybullet, read where it is installed
        shutil.copy(f"{data}/teddy2_VHACD_CHs.obj", tmp_path / "armchair.obj")
        try:
            models = furniture.load(tmp_path)
        except ValueError as error:
            assert "metres" in str(error)
            import_or_skip("trimesh", extra="shapes").load_mesh(
                tmp_path / "armchair.obj"
            ).apply_scale(0.08).export(tmp_path / "armchair.obj")
            models = furniture.load(tmp_path)
    path = tmp_path / "Räume" / "my room #1.sdf"
    write_sdf(path, room, models)
    expected = bodies(room, models)
    client = p.connect(p.DIRECT)
    try:
        found = p.loadSDF(str(path), physicsClientId=client)
        assert len(found) == len(expected) + 1  # the floor
        for number, body in zip(found, expected, strict=False):
            place, _ = p.getBasePositionAndOrientation(number, physicsClientId=client)
            assert place == pytest.approx(body.centre, abs=1e-4), body.name
            low, high = p.getAABB(number, physicsClientId=client)
            half = [(b - a) / 2 for a, b in zip(low, high, strict=True)]
            # Bullet adds margins of up to 4 cm to boxes around meshes.
            assert half == pytest.approx(body.half, abs=0.05), body.name
            mass = p.getDynamicsInfo(number, -1, physicsClientId=client)[0]
            assert mass == pytest.approx(body.mass, rel=1e-3), body.name
        high = p.getAABB(found[-1], physicsClientId=client)[1]
        assert high[2] == pytest.approx(0, abs=0.05)
        p.setGravity(0, 0, -9.81, physicsClientId=client)
        for _ in range(240):
            p.stepSimulation(physicsClientId=client)
        for number, body in zip(found, expected, strict=False):
            place, _ = p.getBasePositionAndOrientation(number, physicsClientId=client)
            assert place[2] > 0, body.name
            # Nothing falls or is pushed away; a teddy rolls over.
            assert own or place == pytest.approx(body.centre, abs=0.01), body.name
    finally:
        p.disconnect(physicsClientId=client)
