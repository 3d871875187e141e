"""Every registered environment keeps every law."""

import gymnasium as gym
import pytest

import genenvs
from genenvs.testing import check_task


def ids() -> list:
    """All ids; those whose task an earlier id has already are marked `again`."""
    met: set = set()
    marked = []
    for env_id in genenvs.ids():
        task = gym.spec(env_id).kwargs["task"]
        marks = [pytest.mark.again] if task in met else []
        marked.append(pytest.param(env_id, marks=marks))
        met.add(task)
    return marked


def test_every_task_has_an_id_that_is_not_marked():
    tasks = [gym.spec(each.values[0]).kwargs["task"] for each in ids() if not each.marks]
    assert sorted(tasks) == sorted({gym.spec(env).kwargs["task"] for env in genenvs.ids()})


@pytest.mark.parametrize("env_id", ids())
def test_every_id_keeps_the_laws(env_id):
    check_task(env_id)
