"""The section of the results page on speed, from what `python -m benchmarks.speed` wrote."""

from pathlib import Path
from typing import Any

from benchmarks.speed import families
from benchmarks.speed.jumanji_peer import BESIDE, COMPARED
from benchmarks.speed.peers import PEERS
from benchmarks.speed.report import number, reached
from benchmarks.speed.results import METHOD, Cell, Results
from genenvs.cli.page import table
from genenvs.core import registry

LINKED = 4_096  # rows of the batches whose floors are shown
SHOWN = ("floor", "transition", "torch", "numpy", "single", "sb3", "policy", "training")
COMPARABLE = (
    "`sync` and `async` are Gymnasium's vector environments and `subproc` is Stable-Baselines3's, "
    "each over single environments of the very id, which play the same actions in the same states: "
    "these ratios are of the same work. All processes are forked. `cartpole` is Gymnasium's native "
    "CartPole, a few dozen floating-point operations a row: it says what a batch costs at least, "
    "and nothing about what a task computes. Jumanji runs on JAX's CPU back end with as many cores "
    "as PyTorch has threads, in a process of its own; its random legal actions are drawn inside "
    "the compiled step, it compiles for each batch size (not timed), and resets in the same step, "
    "as ours does here. `jumanji` is a call from Python for each step; `jumanji scan` is one "
    "compiled program of many steps, in which only an agent in JAX can act. "
    f"Single environments one by one are measured up to {PEERS['sync'].most}, where their rate no "
    f"longer changes, and in processes up to {PEERS['async'].most}; CartPole and Jumanji up to "
    f"{PEERS['cartpole'].most:,}, `jumanji scan` there alone."
)


def section(folder: Path, device: str) -> list[str]:
    """Paragraphs in Markdown; none without a file of this device."""
    path = folder / f"speed-{device}.json"
    if not path.exists():
        return []
    results = Results(path)
    ids = [env for env in registry.ids() if any(_rates(results, env))]
    found = [
        f"## Speed and memory ({device})",
        "Environment steps a second of random legal play, episodes in all phases, SAME_STEP "
        "autoreset. Levels and peers of one batch size are measured in turns: medians of ten "
        "repeats, or of fewer, three at least, where these would take too long; the file has their "
        "number and range. Ratios are taken repeat by repeat, in one run. Up to batches of some "
        "hundred a lap pays for first states that longer play would spread over more steps.",
        *_older(results),
        f"![Scaling](../{folder.parent.name}/{folder.name}/speed-{device}.png)",
        table(
            ("environment", "batch", "floor", "a step", "share of the floor", "why"),
            _links(results, ids),
        ),
        "*Floor*: what a step cannot do without, alone, at the batch of 4,096 or the largest "
        "smaller one; *a step*: the vector face with torch output. Both in environment steps a "
        "second.",
        table(("environment", "batch", *SHOWN, "MB", "run"), _levels(results, ids)),
        "`policy`: a network of two layers of 64 chooses as well; `training`: `actor_critic` "
        "learns in rollouts of five steps, and plays its own actions: where these decide what a "
        "step costs, it is not of the same work. *MB*: by how much memory grew at most while the "
        f"batch was made and stepped. *run*: see [below](#speed-runs-{device}).",
        *_left(results, ids),
        *_against(results, ids),
    ]
    if targets := _targets(results, ids):
        found += [table(("environment", "batch", "aim", "measured", "reached"), targets)]
    if parts := _parts(results):
        header = ("of", "what", "rows", "median", "range", "unit", "aim", "threads", "run")
        found += [table(header, parts)]
    return [*found, *_runs(results, device)]


def _older(results: Results) -> list[str]:
    """A warning where the benchmark measures something else by now."""
    if all(run["machine"].get("method") == METHOD for run in results.runs):
        return []
    return [
        "Of some of the runs below **the method is older** than the benchmark's: it measures "
        "floors of rooms, memory, peaks and largest batches otherwise by now."
    ]


def _rates(results: Results, env: str) -> list[Cell]:
    """The cells of an id in which something was measured."""
    return [cell for cell in results.cells if cell["env"] == env and cell["rates"]]


def _runs_of(cell: Cell) -> str:
    return ", ".join(str(run + 1) for run in sorted({r["run"] for r in cell["rates"].values()}))


def _links(results: Results, ids: list[str]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for env in ids:
        cells = [c for c in _rates(results, env) if "floor" in c["over"]]
        cells = [c for c in cells if c["num_envs"] <= LINKED]
        if cells:
            cell = cells[-1]
            words, share = families.floor(env)[0], cell["over"]["floor"]
            floor, step = (number(cell["rates"][name]["median"]) for name in ("floor", "torch"))
            rows.append(
                (
                    _short(env),
                    _size(cell),
                    f"{words}: {floor}",
                    step,
                    _ratio(share),
                    families.why(env),
                )
            )
    return rows


def _levels(results: Results, ids: list[str]) -> list[tuple[str, ...]]:
    return [
        (
            _short(env),
            _size(cell),
            *(number(cell["rates"][n]["median"]) if n in cell["rates"] else "" for n in SHOWN),
            "" if cell["mb"] is None else number(cell["mb"]),
            _runs_of(cell),
        )
        for env in ids
        for cell in _rates(results, env)
    ]


def _left(results: Results, ids: list[str]) -> list[str]:
    """What was not measured, and why; peers say themselves at which sizes they are."""
    rows = [
        (_short(env), _size(cell), "everything" if name == "all" else f"`{name}`", why)
        for env in ids
        for cell in results.cells
        if cell["env"] == env
        for name, why in cell["left"].items()
        if not why.startswith("measured from ")
    ]
    if not rows:
        return []
    return ["Left out:", table(("environment", "batch", "what", "why"), rows)]


def _against(results: Results, ids: list[str]) -> list[str]:
    """Ratios to others, and what can be compared."""
    names = ("sync", "async", "subproc", "cartpole", "jumanji", "jumanji scan")
    cells = [c for env in ids for c in _rates(results, env) if set(names) & set(c["over"])]
    if not cells:
        return []
    rows = [
        (
            _short(cell["env"]),
            _size(cell),
            *(_ratio(cell["over"].get(name)) for name in names),
        )
        for cell in cells
    ]
    beside = [
        f"- {_short(env)} and Jumanji's {name}. {COMPARED[name]}" for env, name in BESIDE.items()
    ]
    return [
        "How many times as fast as others the native batch is, at the same batch size:",
        table(("environment", "batch", *names), rows),
        COMPARABLE,
        "\n".join(beside),
    ]


def _targets(results: Results, ids: list[str]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for env in ids:
        for target in families.targets(env):
            found = reached(results, target)
            if found is not None:
                what = f"{target.level} / {target.over}" if target.over else f"{target.level}, 1/s"
                aim = f"{what}: at least {number(target.least)}"
                met = "yes" if found >= target.least else "no"
                rows.append((_short(env), f"{target.num_envs:,}", aim, number(found), met))
    return rows


def _parts(results: Results) -> list[tuple[str, ...]]:
    return [
        (
            _short(part["of"]),
            row["what"],
            f"{row['num_envs']:,}",
            number(row["median"]),
            f"{number(row['low'])} .. {number(row['high'])}",
            row["unit"],
            row["target"],
            str(row.get("threads", "")),
            str(part["run"] + 1),
        )
        for part in results.parts
        for row in part["rows"]
    ]


def _runs(results: Results, device: str) -> list[str]:
    told = [
        f"{k}. `{run['command']}`; " + ", ".join(f"{k} {v}" for k, v in run["machine"].items())
        for k, run in enumerate(results.runs, 1)
    ]
    return [f'<a id="speed-runs-{device}"></a>Runs:', "\n".join(told)]


def _short(env: str) -> str:
    return env.rpartition("/")[2]


def _size(cell: dict[str, Any]) -> str:
    return f"{cell['num_envs']:,}" + (f" (most in {cell['bound']})" if "bound" in cell else "")


def _ratio(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    return f"{number(found['median'])} ({number(found['low'])} .. {number(found['high'])})"
