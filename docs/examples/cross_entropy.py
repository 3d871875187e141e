"""An agent of one's own: the cross-entropy method on a linear policy (Rubinstein 1999).

    python -m agents train --agent cross_entropy:CrossEntropy --env CartPole-v1 --out runs/cem

with the folder of this file on PYTHONPATH. `Config` gives the flags; then three methods.
"""

from dataclasses import dataclass

import torch

from agents.distributions import Actions
from agents.networks import prepare, prepared_shapes
from agents.play import Player


@dataclass
class Config:
    """Its fields are flags: --population 64."""

    population: int = 32
    """Policies tried in a generation, one in each row of the batch."""
    elite: int = 8
    """How many of them the next generation is drawn around."""
    floor: float = 0.05
    """Least standard deviation, so that the search goes on."""


class CrossEntropy:
    """Draw policies around a mean, keep the best, draw around those."""

    Config = Config
    spaces = "Box, Discrete, MultiDiscrete, MultiBinary"

    def __init__(self, problem, config, state=None):
        self.problem, self.config = problem, config
        self.observations, actions = problem.spaces
        self.actions = Actions(actions)
        features = sum(torch.Size(s).numel() for s in prepared_shapes(self.observations).values())
        size = (features + 1, self.actions.outputs)
        self.mean = torch.zeros(size) if state is None else state["mean"]
        self.std = torch.ones(size) if state is None else state["std"]

    def learn(self, run):
        player = Player(self.problem, self.config.population)
        run.attach(player)  # a checkpoint keeps these environments
        while run.going():  # writes the curve and checkpoints when they are due
            noise = torch.randn(self.config.population, *self.mean.shape)
            weights = self.mean + self.std * noise
            returns = torch.zeros(self.config.population)
            alive = torch.ones(self.config.population, dtype=torch.bool)
            player.restart()
            while alive.any():  # the first episode of every row
                action = self.choose(player.observation, player.mask, weights)
                reward, terminated, truncated, _ = player.step(action)
                returns += reward * alive
                alive &= ~(terminated | truncated)
                run.advance(len(reward))
            best = weights[returns.topk(self.config.elite).indices]
            self.mean, self.std = best.mean(0), best.std(0) + self.config.floor
            run.log(best_return=returns.max(), std=self.std.mean())  # columns of curve.csv

    def act(self, observation, info):
        mask = info.get("action_mask")
        return self.actions.to_env(self.choose(observation, mask, self.mean[None]))

    def state(self):
        return {"mean": self.mean, "std": self.std}

    def choose(self, observation, mask, weights):
        prepared = prepare(observation, self.observations)
        parts = prepared.values() if isinstance(prepared, dict) else [prepared]
        features = torch.cat([part.flatten(1) for part in parts], 1)
        features = torch.cat([features, torch.ones(len(features), 1)], 1)
        outputs = torch.einsum("bf,bfa->ba", features, weights.expand(len(features), -1, -1))
        return self.actions.distribution(outputs, torch.zeros(1), mask).mode()
