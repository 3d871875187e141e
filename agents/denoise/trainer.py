"""What the agents share that learn by the log-probabilities of denoising steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from genenvs.generators.transition import (
    RULES,
    kl,
    log_prob,
)
from genenvs.images.rewards import load
from genenvs.images.rewards.reward import WeightedSum

from .. import checkpoint, parallel
from ..problem import Problem
from ..run import Run
from .checks import check_noise, steps_with_noise, tell_if_ratios_are_off
from .chunks import in_chunks_that_fit
from .pictures import Shown
from .policy import LIMIT, DenoiserPolicy
from .rollout import ChainPlayer, Chains

SPACES = "DenoiseLatent, DenoiseNoise"
DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
CHUNK = 256


@dataclass
class DenoiserConfig:
    """What every denoising agent asks; each sets its own defaults."""

    num_prompts: Annotated[int, Ge(1)] = 16
    """Prompts in a batch."""
    group_size: Annotated[int, Ge(1)] = 16
    """Pictures of each of them."""
    learning_rate: Annotated[float, Gt(0)] = 3e-4
    anneal: bool = False
    """Let the learning rate fall to 0 over the run, in a line: gradients of few pictures are mostly
    noise, and weights that go on moving by it draw worse than those that come to rest."""
    max_grad_norm: Annotated[float, Gt(0)] = 1.0
    weight_decay: Annotated[float, Ge(0)] = 1e-4
    rule: str | None = None
    """How a step adds noise, a rule of `genenvs.generators.transition`; None: the environment's."""
    level: float | None = None
    """The noise level of the rule; None: the environment's, or the rule's own."""
    guidance: float | None = None
    """Guidance scale of the policy, in rollouts, gradients and evaluation; None: the task's."""
    evaluate_level: Annotated[float, Ge(0)] = 0.0
    """Noise level when the agent acts for evaluation; 0 is the deterministic sampler."""
    average: Annotated[float, Ge(0), Lt(1)] = 0.9
    """Decay of the averaged weights, which evaluation uses, per gradient step; 0: none."""
    lora_rank: Annotated[int, Ge(0)] = 0
    """Train adapters of this rank in place of the whole network, whose weights are then held once;
    the generator keeps the precision of its dtype. Saved in `lora` too, for `lora=`."""
    autocast: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the network's arithmetic; latents, steps and log-probabilities are float32.
    With float16 the loss is scaled, and an update whose gradient overflows is left out."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    chunk: Annotated[int, Ge(1)] | None = None
    """Steps in one forward and backward pass; gradients of a batch are accumulated. None: 256,
    or fewer where the generator evaluates fewer at once."""
    pictures: Annotated[int, Ge(0)] = 20
    """Write sample grids every so many batches; 0: none but the last."""


@dataclass
class PolicyGradientConfig(DenoiserConfig):
    """Of those that sample, and follow the log-probabilities of what was good."""

    updates: Annotated[int, Ge(1)] = 2
    """Gradient steps on each batch, each on its own part of the pictures."""
    epochs: Annotated[int, Ge(1)] = 1
    """Passes over a batch."""
    clip: float | None = None
    """How far the ratio of probabilities counts, per dimension; None: 1e-3 at 256 dimensions, and
    falling with the root of their number (1.25e-4 at 16,384), which keeps the joint step alike."""
    advantages: Literal["sum", "each"] = "sum"
    """Of a weighted sum of rewards: normalise the sum, or each reward by itself, and then add."""
    set_rewards: dict[str, float] = field(default_factory=dict)
    """Rewards of sets and their weights: what a picture adds to those of its prompt in the batch,
    `coverage` or `mmd` say. An environment cannot pay them, as they depend on the neighbours."""
    advantage_bound: Annotated[float, Gt(0)] = 5.0
    kl_coef: Annotated[float, Ge(0)] = 0.0
    """Of the divergence from the frozen generator's step, per dimension."""
    timestep_fraction: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of the steps of a chain that are learned from, drawn anew for each batch."""
    step_weight: Annotated[float, Ge(0)] = 0.0
    """Power of a step's standard deviation that its advantage is weighted by, 1 on average over the
    learned steps. 0: all alike; 1: as TempFlow-GRPO has it (He et al., 2025, arXiv 2508.04324),
    since steps with little noise have the noisiest gradients and decide the least."""


class DenoiserAgent(Shown):
    """An agent whose policy is the environment's own generator, fine-tuned."""

    Config: ClassVar[type]
    spaces: ClassVar[str] = SPACES
    several_processes: ClassVar[bool] = True

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """Copy the generator's network, or take over a copy that was trained.

        Raises:
            TypeError: an environment whose action is not the next latent.
            ValueError: a configuration that cannot learn.
        """
        self.problem, self.config = problem, config
        if config.autocast not in DTYPES:
            raise ValueError(
                f"autocast must be one of {', '.join(DTYPES)}; got {config.autocast!r}"
            )
        self.processes = parallel.launched()
        self.player = self.make_player()
        self.task = self.player.task
        self.policy = DenoiserPolicy(
            self.task, rule=config.rule, level=config.level, guidance=config.guidance,
            lora_rank=config.lora_rank, checkpointing=config.checkpointing,
            autocast=DTYPES[config.autocast],
        )  # fmt: skip
        highest = RULES[self.policy.rule].highest
        if not 0 <= config.evaluate_level <= highest:
            raise ValueError(
                f"evaluate_level of {self.policy.rule} is in 0..{highest:g};"
                f" got {config.evaluate_level}"
            )
        self.chunk = int(config.chunk or min(CHUNK, self.task.generator.max_batch))
        self.optimizer = torch.optim.AdamW(
            self.policy.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.scaler = torch.amp.GradScaler(
            torch.device(problem.device).type, enabled=config.autocast == "float16"
        )
        self.batches = 0
        if state is not None:
            self.policy.load(checkpoint.part(state, "policy"))
            checkpoint.load_optimizer(self.optimizer, checkpoint.part(state, "optimizer"))
            self.batches = int(state["batches"])
            if kept := checkpoint.part(state, "scaler"):
                self.scaler.load_state_dict({name: value.item() for name, value in kept.items()})

    def make_player(self) -> ChainPlayer:
        """The environments that are learned in."""
        size = self.config.group_size
        rows = self.config.num_prompts * size
        return ChainPlayer(self.problem, rows, size, processes=self.processes)

    def descend(self, run: Run, **logged: Tensor | float) -> None:
        """One step of the optimiser with the gradients that are there, of all processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * (1 - self.config.anneal * run.fraction)
        self.processes.add_up(self.policy.parameters())
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.max_grad_norm)
        # An overflow is what the scale is lowered for, until there is nothing left to lower.
        scaled = self.scaler.is_enabled()
        left_out = scaled and not bool(norm.isfinite()) and self.scaler.get_scale() > 1
        if scaled:
            logged["left_out"] = float(left_out)
        run.log(**logged, **({} if left_out else {"grad_norm": norm}))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if not left_out:
            self.policy.follow(self.config.average)

    def state(self) -> dict[str, Tensor]:
        """Weights, their average, and the optimiser's moments."""
        return (
            checkpoint.under("policy", self.policy.state())
            | checkpoint.under("optimizer", checkpoint.optimizer_tensors(self.optimizer))
            | checkpoint.under(
                "scaler", {k: torch.tensor(v) for k, v in self.scaler.state_dict().items()}
            )
            | {"batches": torch.tensor(self.batches)}
        )


class PolicyGradient(DenoiserAgent):
    """Samples chains, values them, and takes clipped steps."""

    config: Any

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """See `DenoiserAgent`.

        Raises:
            ValueError: a noise level of 0: a deterministic sampler has no log-probability; or
                advantages of each reward, where there is one.
        """
        super().__init__(problem, config, state)
        if not self.task.reaches(self.policy.rule, self.policy.level):
            raise ValueError(
                f"{self.policy.rule} at level {self.policy.level:g} goes where"
                f" {type(self.task).__name__}, which adds the noise of {self.task.rule} at level"
                f" {self.task.level:g}, cannot follow: give the environment that rule and level"
            )
        self.sets = {name: load(name) for name in config.set_rewards}
        for name, reward in self.sets.items():
            if not reward.of_set:
                raise ValueError(f"set_rewards: {name!r} is not of a set; reward={name!r} pays it")
            if config.group_size < 2:
                raise ValueError("set_rewards are of groups of one prompt: group_size must be >= 2")
        self.weights = {"reward": 1.0}  # of what `rewards` names
        if config.advantages == "each":
            self.weights = self.weights_of_parts() | config.set_rewards
        self.learned = self.learned_steps()
        check_noise(self.policy, self.learned)
        weights = self.task.deviations(self.policy.rule, self.policy.level) ** config.step_weight
        self.step_weights = weights / weights[self.learned.to(weights.device)].mean()  # [T]
        size = self.policy.dimensions
        self.clip = 1e-3 * (256 / size) ** 0.5 if config.clip is None else config.clip
        if not self.clip > 0:
            raise ValueError(f"clip must be above 0; got {config.clip}")

    def weights_of_parts(self) -> dict[str, float]:
        """What each reward of a weighted sum counts, the environment's own weight included."""
        reward = self.task.reward
        paid = float(self.player.envs.unwrapped.weights["image"])
        if self.sets and not isinstance(reward, WeightedSum):
            return {"reward": paid}
        if not isinstance(reward, WeightedSum):
            raise ValueError(
                f'advantages "each" are for a weighted sum of rewards; the only one here is'
                f" {reward.name!r}. A sum is given as reward={{name: weight, ...}}"
            )
        return {name: paid * weight for name, weight in reward.weights.items()}

    def rewards(self, chains: Chains) -> dict[str, Tensor]:
        """What advantages are of, [N] each: the sum of all rewards, or every one by itself."""
        group = torch.arange(len(chains.reward), device=chains.reward.device)
        context = {"group": group // self.config.group_size}
        found = {
            name: reward(chains.images.float() / 255, context) for name, reward in self.sets.items()
        }
        if self.config.advantages == "sum":
            more = [self.config.set_rewards[name] * value for name, value in found.items()]
            return {"reward": sum(more, chains.reward)}
        return (chains.parts or {"reward": chains.reward}) | found

    def learned_steps(self) -> Tensor:
        """Steps that have noise, and so a log-probability: int64 [K]."""
        return steps_with_noise(self.policy)

    def advantage(self, chains: Chains) -> tuple[Tensor, dict[str, Tensor]]:
        """How good each chain was, [N], and what to log; left to each agent."""
        raise NotImplementedError

    def surrogate(self, ratio: Tensor, advantage: Tensor) -> Tensor:
        """The loss of each step."""
        from .losses import clipped

        return clipped(ratio, advantage, self.clip)

    def step_advantage(self, advantage: Tensor, n: Tensor, t: Tensor) -> Tensor:
        """That of steps `t` of chains `n`, [B]: the chain's."""
        return advantage[n]

    def learn(self, run: Run) -> None:
        """Alternate: play chains, take a few clipped steps on them."""
        run.attach(self.player)
        while run.going():
            self.policy.network.eval()
            chains, before = self.play()
            run.advance(chains.steps)
            self.report(run, chains)
            self.improve(run, chains, before)
        self.finish(run)

    @torch.no_grad()
    def play(self) -> tuple[Chains, Tensor]:
        """A batch of chains, and the log-probability of each of their steps, float32 [T, N]."""
        proposed: list[tuple[Tensor, Tensor]] = []
        chains = self.player.collect(partial(self.sample, proposed), self.policy.guidance)
        own = chains.latents[:, self.processes.share(len(chains.prompt))]
        # Of where the environment went: on its way through an action a latent may be rounded.
        found = [log_prob(x, *each) for x, each in zip(own[1:], proposed, strict=True)]
        return chains, self.processes.gather(torch.stack(found), 1)

    @torch.no_grad()
    def sample(
        self, proposed: list[tuple[Tensor, Tensor]], x: Tensor, t: int, prompt: Tensor
    ) -> Tensor:
        """The next latents; the mean and standard deviation of them go to `proposed`."""
        step = torch.full_like(prompt, t)
        mean, std = self.policy.gaussian(x, step, prompt, self.policy.network)
        proposed.append((mean, std))
        noise = self.processes.normal(mean)
        return (mean + std[:, None, None, None] * noise).clamp(-LIMIT, LIMIT)

    def improve(self, run: Run, chains: Chains, before: Tensor) -> None:
        """`epochs` x `updates` gradient steps on one batch."""
        config = self.config
        advantage, logged = self.advantage(chains)
        if logged:
            run.log(**logged)
        rows = len(chains.prompt)
        for epoch in range(config.epochs):
            order = torch.randperm(rows, device=advantage.device)
            for number, part in enumerate(order.chunk(config.updates)):
                steps = self.steps_of(len(part), advantage.device)
                row = part[:, None].expand_as(steps).flatten()
                first = epoch == number == 0
                self.accumulate(run, chains, before, advantage, row, steps.flatten(), first)

    def steps_of(self, rows: int, device: torch.device) -> Tensor:
        """Which steps of each chain are learned from, int64 [rows, K]."""
        known = self.learned.to(device)
        count = max(1, round(self.config.timestep_fraction * len(known)))
        return known[torch.rand(rows, len(known), device=device).argsort(1)[:, :count]]

    def accumulate(
        self,
        run: Run,
        chains: Chains,
        before: Tensor,
        advantage: Tensor,
        row: Tensor,
        step: Tensor,
        first: bool = False,
    ) -> None:
        """One gradient step over pairs of chain and step, in chunks that fit.

        Each process takes its share of the pairs. The first of a batch finds the network that
        played it: its ratios must be 1.
        """
        pairs = len(row)
        mine = self.processes.share(pairs)
        sums, worst = in_chunks_that_fit(
            self, "steps", len(row[mine]),
            lambda: self.differentiate(
                chains, before, advantage, row[mine], step[mine], pairs, first
            ),
        )  # fmt: skip
        logged = {name: self.processes.total(value) / pairs for name, value in sums.items()}
        if first:
            worst = self.processes.gather(worst[None]).max()
            logged["ratio_error"] = worst
            tell_if_ratios_are_off(float(worst), self.clip)
        self.descend(run, **logged)

    def differentiate(
        self,
        chains: Chains,
        before: Tensor,
        advantage: Tensor,
        row: Tensor,
        step: Tensor,
        pairs: int,
        first: bool,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Add the gradient of the mean loss over `pairs`, of which `row` and `step` are a part.

        Where the divergence is not part of the loss it is looked at all the same, in one chunk of
        the `first` step on a batch: it costs an evaluation of the frozen network.

        Returns:
            Sums of what is logged, and how far a ratio was from 1 at most.
        """
        config, size = self.config, self.policy.dimensions
        sums = {"policy_loss": row.new_zeros((), dtype=torch.float32)}
        seen = bool(config.kl_coef) or first
        sums |= {name: sums["policy_loss"] for name in (("kl",) if seen else ()) + ("clipped",)}
        worst = sums["policy_loss"]
        gaussian = partial(self.policy.gaussian, guidance=chains.guidance)
        for k, chosen in enumerate(torch.arange(len(row), device=row.device).split(self.chunk)):
            n, t = row[chosen], step[chosen]
            x, x_next = chains.latents[t, n], chains.latents[t + 1, n]
            mean, std = gaussian(x, t, chains.prompt[n], self.policy.network)
            new = log_prob(x_next, mean, std)
            ratio = ((new - before[t, n]) / size).exp()
            gain = self.step_weights[t] * self.step_advantage(advantage, n, t)
            parts = {"policy_loss": self.surrogate(ratio, gain)}
            if config.kl_coef or (first and k == 0):
                with torch.no_grad():
                    frozen, _ = gaussian(x, t, chains.prompt[n], None)
                parts["kl"] = kl(mean, frozen, std) / size
            loss = parts["policy_loss"] + config.kl_coef * parts.get("kl", 0.0)
            self.scaler.scale(loss.sum() / pairs).backward()
            off = (ratio.detach() - 1).abs()
            worst = torch.maximum(worst, off.max())
            parts["clipped"] = (off > self.clip).float()
            if not config.kl_coef and "kl" in parts:
                parts["kl"] = parts["kl"] * (len(row) / len(chosen))  # it stands for all of them
            for name, value in parts.items():
                sums[name] = sums[name] + value.detach().sum()
        return sums, worst
