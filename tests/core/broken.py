"""Variants of the throw-away tasks, each of which breaks one law."""

import multiprocessing

import numpy as np
import torch
from gymnasium import spaces

from genenvs.core import random
from genenvs.core.rewards import Metric, Term
from genenvs.core.task import Outcome, Transition
from tests.core.throwaway import Bandit, BanditState, Grid, Network, NetworkState, Walk


class DependsOnBatchSize(Grid):
    def transition(self, state, action):
        result = super().transition(state, action)
        closer = result.terms["closer"] + len(action)
        return Transition(result.state, {"closer": closer}, result.terminated, result.metrics)


class IgnoresTheSeedOfTheEpisode(Walk):
    starts = 0

    def initial_state(self, instance, key):
        type(self).starts += 1
        return super().initial_state(instance + type(self).starts, key)


class DrawsFromTorch(Grid):
    def transition(self, state, action):
        torch.rand(1)
        return super().transition(state, action)


class DrawsFromNumpy(Walk):
    def observe(self, state):
        return super().observe(state) + float(np.random.rand())


class Aliases(Bandit):
    def initial_state(self, instance, key):
        state = super().initial_state(instance, key)
        return state.replace(chosen=state.context)


class Expands(Bandit):
    def initial_state(self, instance, key):
        return (
            super()
            .initial_state(instance, key)
            .replace(chosen=torch.zeros(1, 3).expand(len(key), 3))
        )


class KeepsOneBuffer(Walk):
    def __init__(self, **common):
        super().__init__(**common)
        self.buffer = torch.zeros(64, 1)

    def observe(self, state):
        return self.buffer[: len(state.key)].copy_(super().observe(state))


class WidensTheObservation(Walk):
    def observe(self, state):
        return super().observe(state).double()


class LeavesTheSpace(Walk):
    def observe(self, state):
        return super().observe(state) + 2000


class ObservesNaN(Walk):
    def observe(self, state):
        return super().observe(state) * float("nan")


class Unbounded(Walk):
    def __init__(self, **common):
        super().__init__(**common)
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,))


class WideActions(Bandit):
    def __init__(self, **common):
        super().__init__(**common)
        self.action_space = spaces.Box(-2, 2, (3,))


class SaysInvalid(Grid):
    """Correct: a grid that reports illegal moves."""

    metrics = Grid.metrics | {"invalid": Metric("Whether the move was illegal.", "step")}

    def transition(self, state, action):
        legal = super().action_mask(state)[torch.arange(len(action)), action]
        result = super().transition(state, action)
        return Transition(result.state, result.terms, result.terminated,
                          result.metrics | {"invalid": (~legal).float()})  # fmt: skip


class MaskTooWide(SaysInvalid):
    def action_mask(self, state):
        return torch.ones_like(super().action_mask(state))

    def reference_action(self, state):
        return None


class MaskTooNarrow(SaysInvalid):
    def action_mask(self, state):
        mask = super().action_mask(state).clone()
        first = mask.float().argmax(1)
        mask[torch.arange(len(mask)), first] = mask.sum(1) == 1
        return mask

    def reference_action(self, state):
        return None


class MaskEmpty(Grid):
    def action_mask(self, state):
        return super().action_mask(state) & (state.step < 2)[:, None]

    def reference_action(self, state):
        return None


class MaskOfNumbers(Grid):
    def action_mask(self, state):
        return super().action_mask(state).float()


class ReferenceIllegal(Grid):
    def reference_action(self, state):
        return super().action_mask(state).float().argmin(1)


class DoesNotTelescope(Grid):
    def transition(self, state, action):
        result = super().transition(state, action)
        wrong = result.terms["closer"].clamp(min=0)
        return Transition(result.state, {"closer": wrong}, result.terminated, result.metrics)


class TelescopesNothing(Walk):
    terms = {"forward": Term(1.0, "Change.", change_of="no metric")}


class ForgetsToCount(Walk):
    def transition(self, state, action):
        result = super().transition(state, action)
        return Transition(result.state.replace(step=state.step), result.terms, result.terminated,
                          result.metrics)  # fmt: skip


class EndsByTheOtherFlag(Walk):
    ends = "terminates"

    def __init__(self, **common):
        super().__init__(**common)
        self.ends = "truncates"


class EndsLate(Walk):
    def __init__(self, **common):
        super().__init__(**common)
        self.horizon += 1


class CallsPrepareInTransition(Network):
    def transition(self, state, action):
        return super().transition(self.prepare(state), action)


class CallsModuleInObserve(Walk):
    def __init__(self, **common):
        super().__init__(**common)
        self.module = torch.nn.Identity()

    def observe(self, state):
        return self.module(super().observe(state))


class RaisesAfterTheEnd(Bandit):
    def transition(self, state, action):
        if (state.step >= self.horizon).any():
            raise RuntimeError("this episode is over")
        return super().transition(state, action)


class EndedRowsPoisonOthers(Walk):
    def transition(self, state, action):
        result = super().transition(state, action)
        over = (state.step >= self.horizon).any().float()
        return Transition(result.state, {"forward": result.terms["forward"] + over},
                          result.terminated, result.metrics)  # fmt: skip


class NeighboursMatter(Walk):
    def transition(self, state, action):
        result = super().transition(state, action)
        mean = result.state.position.mean()
        return Transition(result.state, result.terms, result.terminated,
                          {"position": result.state.position + mean})  # fmt: skip


class RemembersInSelf(Walk):
    def __init__(self, **common):
        super().__init__(**common)
        self.calls = 0

    def transition(self, state, action):
        self.calls += 1
        result = super().transition(state, action)
        moved = result.state.position + 0.01 * self.calls
        return Transition(result.state.replace(position=moved), result.terms, result.terminated,
                          {"position": moved.clone()})  # fmt: skip


class ObserveWrites(Walk):
    def observe(self, state):
        state.position.add_(1)
        return super().observe(state)


class InferenceTensors(Walk):
    def initial_state(self, instance, key):
        with torch.inference_mode():
            return super().initial_state(instance.clone(), key.clone())


class TermNeverSeen(Walk):
    terms = Walk.terms | {"bonus": Term(1.0, "Promised.")}


class MetricOfAnotherKind(Walk):
    metrics = {"position": Metric("Where the walk is.", "end", gold=True)}


class NoGold(Walk):
    metrics = {"position": Metric("Where the walk is.", "step")}


class WideTerm(Walk):
    def transition(self, state, action):
        result = super().transition(state, action)
        return Transition(result.state, {"forward": result.terms["forward"].double()},
                          result.terminated, result.metrics)  # fmt: skip


class NaNMetric(Bandit):
    def outcome(self, state):
        result = super().outcome(state)
        return Outcome(result.terms, {"error": result.metrics["error"] * float("nan")})


class JudgesNothing(Walk):
    metrics = Walk.metrics | {"quality": Metric("Slow.", "judge")}


class FeaturesUndeclared(Walk):
    def features(self, final):
        return final.position[:, None]


class DrawsFloats(Walk):
    def render(self, state, index):
        return super().render(state, index).astype(np.float32)


class RenderMoves(Walk):
    def render(self, state, index):
        state.position[index] += 1
        return super().render(state, index)


class DrawsRandomly(Walk):
    frames = 0

    def render(self, state, index):
        type(self).frames += 1
        return np.full((16, 16, 3), self.frames % 256, np.uint8)


class SplitsShareInstances(Bandit):
    def initial_state(self, instance, key):
        context = random.uniform(random.mix(instance, 5), 0, 3)
        return BanditState(instance, key, torch.zeros_like(key), context, torch.zeros_like(context))


class SplitsShareAState(Network):
    def initial_state(self, instance, key):
        state = super().initial_state(instance, key)
        return NetworkState(instance, key + 1, state.step, state.x, state.prediction)


class OtherInAWorker(Walk):
    def observe(self, state):
        return super().observe(state) + float(multiprocessing.parent_process() is not None)
