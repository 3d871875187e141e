"""Every registered environment keeps every law."""

import pytest

import genenvs
from genenvs.testing import check_task


@pytest.mark.parametrize("env_id", genenvs.ids())
def test_every_id_keeps_the_laws(env_id):
    check_task(env_id)
