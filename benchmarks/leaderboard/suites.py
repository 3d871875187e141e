"""Suites: which environments, how many seeds, what budgets. Each is a YAML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

import genenvs
from benchmarks.cells import SCRIPTED, Cell
from benchmarks.cells import Limits as CellLimits

FOLDER = Path(__file__).with_name("suites")
# Of Stable-Baselines3 and sb3-contrib these are told nothing of which actions are legal.
KNOW_NO_MASK = ("ppo", "a2c", "dqn", "ddpg", "td3", "sac", "recurrent_ppo")
STAND_IN = {"ppo": "maskable_ppo"}  # the same but for the mask
# Where the agent is a denoiser: those that train one, as near as there is to the others.
DENOISERS = {"ppo": "denoiser_ppo", "actor_critic": "ddpo", "a3c": "flow_grpo"}


@dataclass
class Limits:
    """Of each run."""

    __pydantic_config__ = {"extra": "forbid"}

    seconds: Annotated[float, Gt(0)] = 1_800.0
    memory_gb: Annotated[float, Gt(0)] = 6.0


@dataclass
class Settings:
    """The keys of a suite's file."""

    text: str = ""
    """One line for tables."""
    environments: Literal["all"] | list[str] = "all"
    """Ids, or every one that genenvs declares."""
    seeds: Annotated[int, Ge(1)] = 5
    """Run seeds 0 .. N - 1, of every learner; who plays a script plays it once."""
    steps: dict[str, Annotated[int, Ge(1)]] = field(default_factory=dict)
    """Environment steps of training: `default`, and others by the beginning of a name."""
    episodes: dict[str, Annotated[int, Ge(1)] | None] = field(default_factory=dict)
    """Of the test split, likewise; null: all of it, or 1,000 where instances are endless."""
    train_episodes: Annotated[int, Ge(0)] = 0
    """Of the training instances, for the generalisation gap; 0: none."""
    instances: Annotated[int, Ge(1)] | None = None
    """Train on the first N of the training split; null: on all of it."""
    masked: list[str] = field(default_factory=list)
    """Ids that agents which know no mask are spared."""
    denoisers: list[str] = field(default_factory=list)
    """Ids whose action is a denoiser's output: agents that are none are spared them."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Suite:
    """A suite as it is played."""

    name: str
    settings: Settings
    given: str
    """How a command names it."""

    @property
    def environments(self) -> list[str]:
        """Its ids."""
        chosen = self.settings.environments
        return genenvs.ids() if chosen == "all" else list(chosen)

    @property
    def limits(self) -> CellLimits:
        """Of each run."""
        return CellLimits(self.settings.limits.seconds, self.settings.limits.memory_gb)

    def steps_of(self, env: str) -> int:
        """The training budget of an id."""
        return _by_name(self.settings.steps, env)

    def episodes_of(self, env: str) -> int | None:
        """How many episodes score a run on an id; None: all of the split."""
        return _by_name(self.settings.episodes, env)


def _by_name(table: Mapping[str, Any], env: str) -> Any:
    """The entry with the longest key that begins the name; `default` where none does."""
    name = env.rpartition("/")[2]
    fitting = [key for key in table if key != "default" and name.startswith(key)]
    return table[max(fitting, key=len) if fitting else "default"]


@cache
def load(suite: str) -> Suite:
    """A suite of ours by name, or anybody's by the path of its file.

    Raises:
        ValueError: no such suite, a key that there is not, or a value that cannot be.
    """
    from agents import configs

    path = Path(suite) if suite.endswith((".yaml", ".yml")) else FOLDER / f"{suite}.yaml"
    if not path.is_file():
        known = sorted(each.stem for each in FOLDER.glob("*.yaml"))
        raise ValueError(f"no suite {suite!r}; there are {', '.join(known)}, or a path to a .yaml")
    settings = configs.make(Settings, configs.read_yaml(path), str(path))
    for key in ("steps", "episodes"):
        if "default" not in getattr(settings, key):
            raise ValueError(f"{path}: {key} must have an entry `default`")
    for env in [
        *settings.masked,
        *settings.denoisers,
        *(() if settings.environments == "all" else settings.environments),
    ]:
        if env not in genenvs.ids():
            raise ValueError(f"{path}: no environment {env!r} in genenvs")
    from benchmarks.leaderboard.submission import NAME

    if not NAME.fullmatch(path.stem):
        raise ValueError(f"{path}: a suite's name must be letters, digits, _, . and -")
    return Suite(path.stem, settings, suite)


# --- who plays what ---


def spared(suite: Suite, agent: str, env: str) -> tuple[str, str | None] | None:
    """Why an agent does not play an environment that it could, and who does; None: it plays."""
    if agent in SCRIPTED:
        return None
    if env in suite.settings.masked and agent in KNOW_NO_MASK:
        return f"{agent} knows no mask", STAND_IN.get(agent)
    if env in suite.settings.denoisers:
        from agents.registry import find

        if "DenoiseLatent" not in getattr(find(agent), "spaces", "").split(", "):
            return f"{agent} is no denoiser", DENOISERS.get(agent)
    return None


@dataclass(frozen=True)
class Left:
    """An agent that does not play an environment, and why."""

    agent: str
    env: str
    why: str


def plan(
    suite: Suite,
    agents: Sequence[str],
    seeds: int | None = None,
    environments: Sequence[str] | None = None,
) -> tuple[list[Cell], list[Left]]:
    """Every run of a suite, environment by environment; and what is left out, with reasons.

    Args:
        suite: what to play.
        agents: names, `random` and `reference` among them.
        seeds: of learners, in place of the suite's.
        environments: only these ids of the suite.

    Raises:
        ValueError: there is no such agent, or an id is none of the suite's.
    """
    from agents import configs
    from agents.registry import find

    for agent in agents:
        if agent not in SCRIPTED:
            find(agent)  # an unknown one is told before hours are spent
    for env in environments or ():
        if env not in suite.environments:
            raise ValueError(f"the suite {suite.name} has no environment {env!r}")
    cells, left = [], []
    for env in dict.fromkeys(environments or suite.environments):
        wanted = list(dict.fromkeys(agents))
        for agent in wanted:
            if (found := spared(suite, agent, env)) is not None:
                why_not, stand_in = found
                instead = f"; {stand_in} plays in its place" if stand_in else ""
                left.append(Left(agent, env, f"{why_not}{instead}"))
                if stand_in is None or stand_in in wanted:
                    continue
                agent = stand_in
            why = unsuited(agent, env)
            if why is not None:
                left.append(Left(agent, env, why))
                continue
            scripted = agent in SCRIPTED
            cells += [
                Cell(
                    agent, env, seed,
                    steps=0 if scripted else suite.steps_of(env),
                    episodes=suite.episodes_of(env),
                    config={} if scripted else configs.tuned(agent, env),
                    instances=None if scripted else suite.settings.instances,
                    judged=True,
                    train_episodes=0 if scripted else suite.settings.train_episodes,
                    keep=True,
                )
                for seed in range(1 if scripted else seeds or suite.settings.seeds)
            ]  # fmt: skip
    return cells, left


@cache
def unsuited(agent: str, env: str) -> str | None:
    """Why an agent cannot play an environment, by its action space; None where it can."""
    if agent in SCRIPTED:
        return None
    from agents.agent import EVERYTHING
    from agents.registry import find

    handled = getattr(find(agent), "spaces", EVERYTHING)
    if handled == EVERYTHING:
        return None  # without a look at the environment, which may have to load a generator
    action = _action_space(env)
    kinds = {kind.__name__ for kind in type(action).__mro__}
    names = handled.split(", ")
    if kinds & set(names) or env.rpartition("/")[2].startswith(tuple(names)):
        return None
    return f"{agent} handles {handled} actions, {env} has {action}"


@cache
def _action_space(env: str) -> Any:
    import gymnasium as gym

    made = gym.make(env)
    try:
        return made.action_space
    finally:
        made.close()
