"""docs/examples/cleanrl_ppo.py learns, and to it a truncation is no end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core import random, registry
from genenvs.core.registry import Declaration
from genenvs.core.rewards import Metric, Term
from genenvs.core.task import Outcome, State, Task, Transition
from tests.interop.examples import MOST_LINES, lines, load

EXAMPLE = "cleanrl_ppo.py"
ENV_ID = "genenvs/DenoiseSchedule-v0"
CUT_ID = "genenvs/CutShort-v0"


@dataclass(frozen=True)
class CutShortState(State):
    rich: Tensor  # float32 [B]


class CutShort(Task):
    """A rich episode pays 1 a step, a poor one nothing, and each is cut off after one step."""

    ends = "truncates"
    terms = {"wealth": Term(1.0, "Whether the episode is rich.")}
    metrics = {"rich": Metric("Whether the episode is rich.", "end", gold=True)}

    def __init__(self, **common):
        super().__init__(**common)
        self.action_space = spaces.Discrete(2)
        self.observation_space = spaces.Dict({"rich": spaces.Box(0.0, 1.0, (1,), np.float32)})

    def initial_state(self, instance, key):
        rich = (random.uniform(instance, random.counter(0, 1), 1)[:, 0] < 0.5).float()
        return CutShortState(instance, key, torch.zeros_like(key), rich)

    def transition(self, state, action):
        never = torch.zeros_like(state.rich, dtype=torch.bool)
        return Transition(state.advance(), {"wealth": state.rich.clone()}, never, {})

    def outcome(self, state):
        return Outcome({}, {"rich": state.rich.clone()})

    def observe(self, state):
        return {"rich": state.rich[:, None].clone()}

    def render(self, state, index):
        return np.full((8, 8, 3), 255 * int(state.rich[index]), np.uint8)


@pytest.fixture
def cut_short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_declared", {})
    task = f"{__name__}:CutShort"
    registry.declare(Declaration(CUT_ID, task, {"horizon": 1}, "rich", "Cut short.", "Us"))
    yield
    del gym.registry[CUT_ID]


def test_the_example_is_short() -> None:
    assert lines(EXAMPLE) <= MOST_LINES


def test_a_short_run_beats_random(capsys: pytest.CaptureFixture[str]) -> None:
    load(EXAMPLE).train(ENV_ID, steps=10_240)
    (low,) = re.findall(r"\[(\S+),", capsys.readouterr().out)
    random_score = registry.scores(ENV_ID)["random"]
    assert float(low) > random_score["high"] + 0.05


@pytest.mark.usefixtures("cut_short")
def test_a_truncation_bootstraps_from_the_final_observation() -> None:
    """The value of being rich is 1 + 0.5 + 0.25 + ... = 2, though every step is the last.

    It is 1 where a truncation counts as an end, and 1.5 where it bootstraps from the observation
    that was returned, the first of the next episode.
    """
    _, critic = load(EXAMPLE).train(CUT_ID, steps=61_440, gamma=0.5, scale=1.0)
    with torch.no_grad():
        poor, rich = critic(torch.tensor([[0.0], [1.0]])).tolist()
    assert rich == pytest.approx(2.0, abs=0.1)
    assert poor == pytest.approx(0.0, abs=0.1)
