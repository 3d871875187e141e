"""One declaration per id: task class, arguments, score metric; and the scores measured for it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

if TYPE_CHECKING:
    from genenvs.core.evaluate import Evaluation

SCORES = Path(__file__).parents[1] / "scores.json"  # written by `python -m benchmarks.scores`
_declared: dict[str, "Declaration"] = {}


@dataclass(frozen=True)
class Declaration:
    """What `genenvs` knows of an id; strings and numbers only, so that it costs no import.

    Attributes:
        id: `genenvs/<CamelCase>-v<N>`.
        task: `module:Class` of the `Task`.
        arguments: what the id registers, `horizon` among them; scores hold for these.
        score: the metric that scores an episode whatever the reward weights, or `return`.
        text: one line for tables.
        source: the paper, for tables.
        cheats: constant or scripted policies that should score no better than they do, printed
            beside the scores: name -> `module:function` of (envs) -> policy.
    """

    id: str
    task: str
    arguments: Mapping[str, Any]
    score: str
    text: str
    source: str
    cheats: Mapping[str, str] = field(default_factory=dict)


def declare(declaration: Declaration) -> None:
    """Register an id with Gymnasium, for `make` and `make_vec`.

    Raises:
        ValueError: the id is declared already, or has no `horizon`.
    """
    if declaration.id in _declared:
        raise ValueError(f"{declaration.id} is declared already")
    if "horizon" not in declaration.arguments:
        raise ValueError(f"{declaration.id} registers no horizon")
    _declared[declaration.id] = declaration
    gym.register(
        id=declaration.id,
        entry_point="genenvs.core.env:TaskEnv",
        vector_entry_point="genenvs.core.vector:TaskVectorEnv",
        kwargs={"task": declaration.task, **declaration.arguments},
    )


# Arguments that do not change the MDP of an id; the last one is make_vec's own.
NOT_OF_THE_MDP = frozenset({
    "split", "instances", "device", "render_mode", "task", "num_envs", "output", "autoreset_mode",
    "validate", "keep_final", "vectorization_mode",
})  # fmt: skip


def ids() -> list[str]:
    """Every declared id, in order of declaration."""
    return list(_declared)


def declaration(env_id: str) -> Declaration:
    """The declaration of an id, `module:id` included, which is how Gymnasium imports first.

    Raises:
        KeyError: no such id; names the nearest ones.
    """
    env_id = env_id.rpartition(":")[2]
    if env_id not in _declared:
        import difflib

        near = difflib.get_close_matches(env_id, _declared, n=3, cutoff=0.3)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise KeyError(f"no environment {env_id!r} in genenvs{hint}")
    return _declared[env_id]


def arguments_hash(env_id: str, overrides: Mapping[str, Any] | None = None) -> str:
    """A hash of the arguments that make the MDP: the registered ones with overrides.

    What does not change the MDP (device, split, reward weights unless the score is the return,
    ...) does not enter, nor does an override that spells out a default. Only an override of what
    the id does not register loads the task, to see its defaults.
    """
    known = declaration(env_id)
    ignored = NOT_OF_THE_MDP | (set() if known.score == "return" else {"reward_weights"})
    changes = {k: _plain(v) for k, v in (overrides or {}).items() if k not in ignored}
    if set(changes) - set(known.arguments):
        from genenvs.core.loading import defaults

        usual = {k: _plain(v) for k, v in defaults(known.task).items()}
        changes = {
            k: v
            for k, v in changes.items()
            if k in known.arguments or k not in usual or _text(v) != _text(usual[k])
        }
    return hashlib.sha256(
        _text({"task": known.task, **known.arguments, **changes}).encode()
    ).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Numpy's scalars as Python's, so that equal arguments have equal text."""
    return value.item() if isinstance(value, np.generic) else value


def _text(value: Any) -> str:
    # The names of torch's dtypes are accepted in both forms.
    return json.dumps(value, sort_keys=True, default=lambda x: str(x).removeprefix("torch."))


@cache
def _scores() -> dict[str, Any]:
    return json.loads(SCORES.read_text()) if SCORES.exists() else {}


def scores(env_id: str) -> dict[str, Any] | None:
    """What was measured for an id: `random`, `reference` and the cheats, each with interval.

    Returns:
        None where nothing was measured for the arguments that the id registers today.
    """
    entry = _scores().get(declaration(env_id).id)
    if entry is None or entry["arguments"] != arguments_hash(env_id):
        return None
    return entry


def normalise(env_id: str, score: "float | Evaluation", arguments: str | None = None) -> float:
    """A score on the scale where 0 is random and 1 the reference.

    Args:
        env_id: the id.
        score: what `evaluate` found on the test split, whose arguments and episodes are then
            compared with those of the measured scores; or a bare mean of the id's score metric,
            for which the caller answers.
        arguments: of a bare mean, the `arguments_hash` of the environment it was measured on.

    Raises:
        ValueError: other arguments or episodes than the registered scores', or none were measured.
    """
    entry = scores(env_id)
    if entry is None:
        raise ValueError(f"{env_id} has no measured scores: run `python -m benchmarks.scores`")
    if not isinstance(score, int | float | np.number):
        found = score
        if found.split != "test" or found.instances is not None:
            raise ValueError(
                f"the score of {env_id} was measured on split={found.split!r}, instances="
                f"{found.instances}: only the whole split 'test' has a normalised value"
            )
        arguments = found.arguments or "unknown"
        score = found.interval(declaration(env_id).score).mean
    if arguments is not None and arguments != entry["arguments"]:
        raise ValueError(
            f"the score of {env_id} was measured with other arguments ({arguments}) than the"
            f" registered ones ({entry['arguments']}): it has no normalised value"
        )
    low, high = entry["random"]["mean"], entry["reference"]["mean"]
    return (float(score) - low) / (high - low)
