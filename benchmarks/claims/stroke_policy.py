"""A policy for VoxelStroke that begins as Warnsdorff's rule, mended where looking ahead mends it.

Its logits are what each move is expected to add to the coverage, less what the rule's move is, plus
a margin for the rule's move: it leaves the rule where the gain that it expects exceeds the margin.
What is expected is fitted by `learn` to rollouts (one step of policy iteration: Bertsekas,
"Rollout, Policy Iteration, and Distributed Reinforcement Learning", 2020): from states of the train
split every legal move is tried and the rule plays the stroke to its end, some hundred steps, which
the batched environment makes at a million a second. The rule sees where a stroke gets stuck only
when it is; of the moves that lead there, many are known by their window. PPO goes on from there.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from safetensors.torch import load_file, save_file
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from agents.sb3 import PPO
from agents.sb3_configs import PPOConfig
from genenvs.core.files import replacing
from genenvs.tasks.voxel_stroke.grids import PAD, TARGET, WINDOW
from genenvs.tasks.voxel_stroke.task import StrokeState, VoxelStroke

MOVES = 6
HIDDEN = 512
MARGIN = 0.15  # of coverage; tuned on the validation split, where 0.1 and 0.2 lost 0.01
SHARPNESS = 60.0  # logits for all of the coverage: the margin is worth a factor of e^9
ILLEGAL = -30.0
ASTRAY, EVERY = 0.03, 8  # of the walks that are learned from: random moves, steps between states


class Moves(nn.Module):
    """Observations of VoxelStroke to six logits and, behind them, what the value is read from.

    Attributes:
        features: 6, then window, position and progress.
    """

    around: Tensor

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__()
        around = torch.zeros(1, 1, 3, 3, 3)
        steps = [(2, 1, 1), (0, 1, 1), (1, 2, 1), (1, 0, 1), (1, 1, 2), (1, 1, 0)]  # as actions go
        for step in steps:
            around[(0, 0, *step)] = 1
        self.register_buffer("around", around, persistent=False)
        index = torch.tensor(steps).T
        self.x, self.y, self.z = index[0], index[1], index[2]
        seen = 2 * WINDOW**3 + MOVES + 3
        self.gain = nn.Sequential(
            nn.Linear(seen, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, MOVES),
        )  # fmt: skip
        self.features = MOVES + 2 * WINDOW**3 + 5

    def legal(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Which moves enter a new cell, bool [B, 6], and the new cells next to it, float [B, 6]."""
        new = (window[:, 0] > window[:, 1]).float()
        ways = functional.conv3d(new[:, None], self.around)[:, 0]  # [B, 3, 3, 3] at the cursor
        inner = new[:, PAD - 1 : PAD + 2, PAD - 1 : PAD + 2, PAD - 1 : PAD + 2]
        return inner[:, self.x, self.y, self.z] > 0, ways[:, self.x, self.y, self.z]

    def gains(self, window: Tensor, position: Tensor) -> Tensor:
        """What moves are expected to add to the coverage, up to a constant of each row: [B, 6]."""
        return self.gain(torch.cat([window.flatten(1), self.legal(window)[1], position], 1))

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """[B, features]."""
        window = observation["window"].float()
        legal, ways = self.legal(window)
        # Warnsdorff's: the fewest ways on, the first of equals.
        rank = ways * MOVES + torch.arange(MOVES, device=ways.device)
        rule = functional.one_hot(rank.masked_fill(~legal, torch.inf).argmin(1), MOVES)
        logits = SHARPNESS * (self.gains(window, observation["position"]) + MARGIN * rule)
        logits = logits.where(legal, ILLEGAL + logits.amin(1, keepdim=True))
        rest = (window.flatten(1), observation["position"], observation["progress"])
        return torch.cat([logits, *rest], 1)


class Logits(nn.Module):
    """The first of the features, which are logits already."""

    def forward(self, features: Tensor) -> Tensor:
        """[B, 6]."""
        return features[:, :MOVES]


class Rest(nn.Module):
    """The features behind the logits."""

    def forward(self, features: Tensor) -> Tensor:
        """[B, 255]."""
        return features[:, MOVES:]


class StrokePolicy(MultiInputActorCriticPolicy):
    """Stable-Baselines3's policy with `Moves` in place of its dense heads."""

    def _build(self, lr_schedule: Any) -> None:
        self._build_mlp_extractor()
        self.action_net = Logits()
        self.value_net = nn.Sequential(  # type: ignore[assignment]
            Rest(), nn.Linear(self.features_dim - MOVES, 128), nn.Tanh(), nn.Linear(128, 128),
            nn.Tanh(), nn.Linear(128, 1),
        )  # fmt: skip
        self.optimizer = self.optimizer_class(
            self.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )


@dataclass
class StrokeConfig(PPOConfig):
    """PPO's, tuned for the policy."""

    hidden: tuple[int, ...] = ()
    network: str = "benchmarks.claims.stroke_policy:Moves"
    gains: str = ""
    """A file of `learn`'s, to begin with."""
    num_envs: int = 256
    n_steps: int = 64
    batch_size: int = 2048
    n_epochs: int = 4
    learning_rate: float = 1e-4
    anneal: bool = True
    gamma: float = 0.999
    gae_lambda: float = 0.95
    reward_scale: float = 0.1


class StrokePPO(PPO):
    """Stable-Baselines3's PPO with `StrokePolicy`."""

    Config = StrokeConfig
    policies = StrokePolicy, StrokePolicy  # type: ignore[assignment]
    policy_arguments = ()

    def __init__(self, problem: Any, config: Any, state: Any = None) -> None:
        """As `PPO`; a new one begins with the gains of the configuration's file."""
        super().__init__(problem, config, state)
        if state is None and config.gains:
            self.model.policy.features_extractor.encoder.gain.load_state_dict(
                load_file(config.gains)
            )

    def settings(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """Without the file."""
        return {name: value for name, value in chosen.items() if name != "gains"}


# --- what moves add, learned from rollouts ---


def rows(state: StrokeState, index: Tensor) -> StrokeState:
    """Some rows of a state, copied."""
    return replace(state, **{f.name: getattr(state, f.name)[index] for f in fields(state)})


def played(task: VoxelStroke, state: Any) -> Tensor:
    """Cells that strokes cover when the rule plays on: int64 [B]. Consumes the state."""
    covered = state.covered.clone()
    place = torch.arange(len(covered))
    going = torch.ones_like(place, dtype=torch.bool)
    while bool(going.any()):
        made = task.transition(state, task.reference_action(state))
        state = made.state
        covered[place[going]] = state.covered[going]
        going &= ~made.terminated
        if float(going.float().mean()) < 0.8:  # rows that ended are stepped on until then
            state, place = rows(state, going), place[going]
            going = torch.ones_like(place, dtype=torch.bool)
    return covered


def gains(task: VoxelStroke, state: StrokeState) -> Tensor:
    """The coverage after each move and the rule's stroke from there: [B, 6], NaN where illegal."""
    legal = task.around(state) == TARGET
    row, move = legal.nonzero().unbind(1)
    made: Any = task.transition(rows(state, row), move)
    covered = made.state.covered.clone()
    going = ~made.terminated
    covered[going] = played(task, rows(made.state, going))
    found = torch.full(legal.shape, torch.nan)
    found[row, move] = covered / state.volume[row]
    return found


def experience(task: VoxelStroke, strokes: int, seed: int) -> list[Tensor]:
    """Windows int8 [N, 2, 5, 5, 5], positions [N, 3], gains [N, 6] of states with a choice."""
    random = torch.Generator().manual_seed(seed)
    instance = torch.randint(task.num_instances, (strokes,), generator=random)
    state: Any = task.initial_state(instance, torch.randint(2**60, (strokes,), generator=random))
    phase = torch.randint(EVERY, (strokes,), generator=random)
    met = []
    while len(phase):
        legal = task.around(state) == TARGET
        chosen = (phase + state.step) % EVERY == 0
        met.append(rows(state, chosen & (legal.sum(1) > 1)))
        move = task.reference_action(state)
        astray = torch.rand(len(move), generator=random) < ASTRAY
        if bool(astray.any()):
            move[astray] = legal[astray].float().multinomial(1, generator=random)[:, 0]
        made: Any = task.transition(state, move)
        going = ~made.terminated
        state, phase = rows(made.state, going), phase[going]
    parts = []
    for some in met_in_batches(met):
        seen: Any = task.observe(some)
        parts.append((seen["window"].clone(), seen["position"], gains(task, some)))
    return together(parts)


def together(parts: list[Any]) -> list[Tensor]:
    """Tuples of tensors, joined."""
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def met_in_batches(met: list[StrokeState]) -> list[StrokeState]:
    """States regrouped: batches that fill the cache and no more."""
    whole = replace(
        met[0], **{f.name: torch.cat([getattr(s, f.name) for s in met]) for f in fields(met[0])}
    )
    return [rows(whole, index) for index in torch.arange(len(whole.step)).split(2_048)]


def learn(path: Path, seed: int, strokes: int = 12_000, epochs: int = 16, batch: int = 512) -> None:
    """Fit the gains to rollouts on the train split, and write them; or leave a file that is there.

    Args:
        path: of safetensors.
        seed: of walks, weights and minibatches.
        strokes: walks to take states from, some 20 states each.
        epochs: passes over them.
        batch: states in a minibatch.
    """
    if path.exists():
        return
    torch.manual_seed(seed)
    task = VoxelStroke(split="train", horizon=1_024)
    parts = [
        experience(task, 1_000, seed * strokes + k)
        for k in tqdm(range(strokes // 1_000), desc="rollouts", unit="k strokes")
    ]
    windows, positions, found = together(parts)
    known = ~found.isnan()
    choices = known.sum(1, keepdim=True)

    def centred(values: Tensor, of: Tensor | slice) -> Tensor:
        values = values * known[of]
        return (values - values.sum(1, keepdim=True) / choices[of]) * known[of]

    aim = centred(found.nan_to_num(0.0), slice(None))
    net = Moves(task.observation_space)
    optimizer = torch.optim.AdamW(net.gain.parameters(), 1e-3, weight_decay=1e-3)
    total = epochs * (len(aim) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total)
    for _ in tqdm(range(epochs), desc="gains", unit="pass"):
        for pick in torch.randperm(len(aim))[: len(aim) // batch * batch].view(-1, batch):
            off = centred(net.gains(windows[pick].float(), positions[pick]), pick) - aim[pick]
            optimizer.zero_grad()
            off.square().sum(1).mean().backward()
            optimizer.step()
            schedule.step()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file(net.gain.state_dict(), temporary)
