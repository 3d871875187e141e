"""What a submission is: one JSON file, one agent on one environment, every seed of it.

The models below are the format; schema.json is made from them (`python -m benchmarks.leaderboard
schema`). Reading one never unpickles, imports or runs anything that it names: names are compared,
policies are tensors in safetensors files beside it.
"""

import datetime
import json
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from genenvs.core.files import making
from genenvs.core.optional import require

require("pydantic", "agents")
from pydantic import (  # noqa: E402
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

FORMAT = 1
SCHEMA = Path(__file__).with_name("schema.json")
POLICIES = "policies"  # folder beside a submission
LARGEST = 20_000_000  # bytes of a file
MOST_RUNS = 1_000
MOST_ROWS = 2_000  # of a curve
DEPTH = 8  # of tables within tables, in a configuration


def _clean(text: str) -> str:
    """Refuse what no file or page can show; markup is text like any other."""
    for sign in text:
        if unicodedata.category(sign) in ("Cc", "Cs") and sign not in "\n\t":
            raise ValueError(f"must hold no control characters; got {sign!r}")
    return text


def _ascii(text: str) -> str:
    """Refuse letters that look like others, or like nothing."""
    if not text.isascii():
        raise ValueError(f"must be plain ASCII: tables tell agents apart by it; got {text!a:.80}")
    return text


def _plain(value: Any, depth: int = DEPTH) -> Any:
    """Refuse a table that is nested too deeply, or holds strings or numbers out of bounds."""
    if depth < 0:
        raise ValueError(f"must be nested at most {DEPTH} deep")
    if isinstance(value, str):
        if len(value) > 2_000:
            raise ValueError(f"must hold strings of at most 2,000 characters; got {len(value):,}")
        return _clean(value)
    if isinstance(value, int | float) and not abs(value) <= 1e15:
        raise ValueError(f"must hold numbers within 1e15; got {value!r:.60}")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _plain(key, depth - 1)
            _plain(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _plain(item, depth - 1)
    return value


def _day(text: str) -> str:
    """Refuse a day that never was."""
    datetime.date.fromisoformat(text)
    return text


Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Positive = Annotated[float, Field(ge=0, le=1e12)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
Name = Annotated[str, StringConstraints(pattern=NAME.pattern)]
EnvId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,60}/[A-Za-z0-9_]{1,80}-v\d{1,6}$")
]
Metric = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./ -]{0,99}$")]
PolicyFile = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,150}\.safetensors$")
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Date = Annotated[str, StringConstraints(pattern=r"^[12]\d{3}-\d{2}-\d{2}$"), AfterValidator(_day)]
Line = Annotated[str, StringConstraints(max_length=300), AfterValidator(_clean)]
Text = Annotated[str, StringConstraints(max_length=5_000), AfterValidator(_clean)]
Table = Annotated[dict[str, Any], AfterValidator(_plain)]


class Strict(BaseModel):
    """Nothing unknown, nothing converted, no NaN, nothing changed afterwards."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


class Sample(Strict):
    """Values of a set of episodes."""

    mean: Number
    std: Positive | None = None
    """Standard deviation over episodes (divided by n - 1; 0 for one); None: of a set metric."""
    n: Annotated[int, Field(ge=1, le=10**9)]
    """Episodes that have a value."""


class Weights(Strict):
    """The policy of a run."""

    sha256: Sha256
    bytes: Count
    file: PolicyFile | None = None
    """In the folder `policies` beside the submission; None where it is not kept there."""


class Row(Strict):
    """A point of a training curve: what was paid, not what is scored."""

    steps: Count
    mean_return: Number
    """Of the episodes that ended since the row before."""
    episodes: Count


class Run(Strict):
    """One seed of the agent."""

    seed: Seed
    score: Sample
    """The id's score metric on the episodes of the protocol."""
    normalised: Number | None
    """(score - random) / (reference - random), by the registry; None where it has no scores."""
    paid: Sample
    """The return of the same episodes: the proxy that the agent was trained on."""
    metrics: dict[Metric, Sample]
    """Every other metric of the same episodes, the gold ones among them."""
    train_score: Sample | None = None
    """The score metric on the instances that were trained on, for the generalisation gap."""
    episodes: Annotated[list[Number], Field(max_length=100_000)] | None = None
    """The score of every episode, in their order, where it is published."""
    curve: Annotated[list[Row], Field(max_length=MOST_ROWS)] = []
    seconds: Positive
    """Of training and evaluation."""
    cpu_seconds: Positive
    weights: Weights | None = None
    """None for scripted agents."""


class Failure(Strict):
    """A seed that gave no score."""

    seed: Seed
    why: Text


class Agent(Strict):
    """Who played."""

    name: Annotated[Line, Field(min_length=1), AfterValidator(_ascii)]
    """`random`, `reference`, a name of `python -m agents list`, or anybody's."""
    kind: Literal["scripted", "learner"]
    text: Line = ""
    """A line for tables."""


class Environment(Strict):
    """What was played."""

    id: EnvId
    arguments_hash: Hash
    """`genenvs.core.registry.arguments_hash`; results are compared where it agrees."""
    arguments: Table = {}
    """What was passed beside the registered ones, without `split` and `instances`."""
    score: Metric
    """Name of the score metric."""


class Training(Strict):
    """What a learner was given."""

    steps: Count
    """Environment steps over all rows."""
    split: Literal["train", "validation", "test"]
    instances: Count | None
    """The first N of the split; None: all of it."""


class Tuning(Strict):
    """How the configuration was found."""

    trials: Count | None
    """Configurations that were tried; 0: the defaults were taken as they are; None: not counted."""
    steps: Count | None
    """Environment steps of all trials."""
    text: Text = ""


class Protocol(Strict):
    """How it was scored."""

    split: Literal["train", "validation", "test"]
    episodes: Annotated[int, Field(ge=1, le=10**6)]
    """Of each environment seed."""
    env_seeds: Annotated[list[Seed], Field(min_length=1, max_length=1_000)]
    actions: Literal["greedy", "stochastic", "scripted"]
    checkpoint: Literal["last", "best", "none"]
    """Which moment of training is scored; `best`: chosen on the validation split."""


class Hardware(Strict):
    """What it ran on."""

    cpu: Line
    cores: Count
    memory_gb: Positive
    gpu: Line | None = None
    platform: Line


class Software(Strict):
    """Versions."""

    genenvs: Line
    commit: Line | None
    """Of the checkout; `+` behind it where files differed from it. Several, where runs differ."""
    python: Line
    libraries: dict[Line, Line] = {}


class Summary(Strict):
    """Means over the runs; `validate` recomputes them."""

    score: Number
    normalised: Number | None
    seeds: Annotated[int, Field(ge=1, le=MOST_RUNS)]


class Submission(Strict):
    """One agent on one environment, as it is published."""

    format: Literal[1]
    name: Name
    """Unique on a board; it names files and links."""
    suite: Name
    author: Line
    date: Date
    command: Text
    """That makes it again."""
    agent: Agent
    config: Table
    """Complete, defaults included."""
    tuning: Tuning
    environment: Environment
    training: Training | None
    """None for scripted agents."""
    protocol: Protocol
    hardware: Hardware
    software: Software
    runs: Annotated[list[Run], Field(max_length=MOST_RUNS)]
    failed: Annotated[list[Failure], Field(max_length=MOST_RUNS)] = []
    summary: Summary | None
    """None where every seed failed."""
    notes: Text = ""

    @property
    def playable_runs(self) -> list[Run]:
        """Runs that can be played again: of a learner those whose policy lies beside it."""
        if self.agent.kind == "scripted":
            return list(self.runs)
        return [
            run for run in self.runs if run.weights is not None and run.weights.file is not None
        ]

    @property
    def filmed_run(self) -> Run | None:
        """The first that can be played again, else the first whose policy is known by its hash."""
        hashed = [run for run in self.runs if run.weights is not None]
        return next(iter(self.playable_runs or hashed), None)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.runs and not self.failed:
            raise ValueError("must hold at least one run, or one that failed")
        if bool(self.runs) != (self.summary is not None):
            raise ValueError("summary must stand where there are runs, and only there")
        if (self.agent.kind == "learner") != (self.training is not None):
            raise ValueError("training must stand for learners, and only for them")
        return self


def read(path: Path) -> Submission:
    """A submission, if the file is one.

    Raises:
        OSError: it cannot be read.
        ValueError: it is a link, too large, truncated, not JSON, or not of the format; says where.
    """
    no_link(path)
    if path.is_dir():
        os.listdir(path)  # one that cannot be read says why
    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{path.name} is no file")
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{path.name} must have at most {LARGEST:,} bytes; it has {size:,}")
    return parse(path.read_bytes(), path.name)


def no_link(path: Path) -> None:
    """Refuse what would lead out of a folder that somebody else has filled.

    Raises:
        ValueError: it is a link.
    """
    if path.is_symlink():
        raise ValueError(f"{path.name} is a link: links are not followed")


def parse(content: bytes, source: str) -> Submission:
    """A submission from the bytes of its file.

    Raises:
        ValueError: it is none; says where.
    """
    try:
        table = json.loads(
            content.decode("utf-8"), object_pairs_hook=_no_doubles, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is no JSON, or was cut short: {error}") from error
    if not isinstance(table, dict):
        raise ValueError(f"{source} must hold a table; got {type(table).__name__}")
    if table.get("format") != FORMAT:
        raise ValueError(f"{source} must have format {FORMAT}; got {table.get('format')!r:.60}")
    try:
        return of(table)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def of(table: Mapping[str, Any]) -> Submission:
    """A submission from what its file holds.

    Raises:
        ValueError: it is none; says where.
    """
    try:
        return Submission.model_validate(table)
    except ValidationError as error:
        raise ValueError(explain(error)) from error


def explain(error: ValidationError, most: int = 5) -> str:
    """The first few things that are wrong, each with its place and what came."""
    lines = []
    for each in error.errors()[:most]:
        place = ".".join(map(str, each["loc"])) or "submission"
        came = "" if each["type"] == "missing" or place == "submission" else f", got {_short(each)}"
        lines.append(f"{place}: {each['msg']}{came}")
    more = error.error_count() - most
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")


def _short(error: Any) -> str:
    text = repr(error["input"])
    return text if len(text) <= 80 else text[:77] + "..."


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {key!r:.80} stands twice in a table")
        table[key] = value
    return table


def _no_constant(text: str) -> float:
    raise ValueError(f"numbers must be finite; got {text}")


def write(submission: Submission, path: Path) -> None:
    """Write a submission, whole or not at all; its folder is made."""
    with making(path) as temporary:
        temporary.write_text(dump(submission), encoding="utf-8")


def dump(submission: Submission) -> str:
    """As its file holds it: a line for what has no tables or lists inside, a curve's point say."""
    text = json.dumps(submission.model_dump(mode="json"), indent=1, allow_nan=False)
    # No string holds a bare end of a line, so that none is changed.
    return re.sub(r"([\[{])\n([^\[\]{}]*)\n *([\]}])", _in_one_line, text) + "\n"


def _in_one_line(found: re.Match[str]) -> str:
    return found[1] + re.sub(r"\n *", " ", found[2]).strip() + found[3]


def schema() -> str:
    """The JSON Schema of the format, as schema.json holds it."""
    table = Submission.model_json_schema()
    table = {"$schema": "https://json-schema.org/draft/2020-12/schema", **table}
    return json.dumps(table, indent=1) + "\n"
