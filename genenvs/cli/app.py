"""The commands and their options; what they do stands in the modules beside this one.

Nothing here imports torch before a command needs it.
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress
from rich.status import Status
from rich.table import Table

import genenvs
from genenvs.cli import problems
from genenvs.cli.problems import FAILED, USAGE, Problem, guarded, sentence
from genenvs.core import registry

PIPED_WIDTH = 160  # columns of a table where the output is no terminal
PAGE_WIDTH = 100  # columns of prose

app = typer.Typer(
    name="genenvs",
    help="Environments in which making something visual is a Markov decision process.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or unknown id, 130 stopped by Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters
    app(prog_name="genenvs")


def complete_id(incomplete: str) -> list[str]:
    """Ids that begin so, with or without the namespace."""
    known = registry.ids()
    return [i for i in [*known, *(i.partition("/")[2] for i in known)] if i.startswith(incomplete)]


def known(name: str) -> registry.Declaration:
    """The declaration of an id, which may lack its namespace.

    Raises:
        Problem: no such id; names the nearest ones.
    """
    name = name.removeprefix("genenvs:")
    try:
        return registry.declaration(name if "/" in name else f"genenvs/{name}")
    except KeyError as error:
        raise Problem(f"{error.args[0]}; `genenvs list` shows all", USAGE) from error


Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="An id, with or without `genenvs/`.", autocompletion=complete_id
    ),
]


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"genenvs {genenvs.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=show_version, help="Print the version and stop."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="GENENVS_DEBUG", help="Raise errors with their traceback."),
    ] = False,
) -> None:
    """Keep what holds for every command."""
    problems.debug = debug


@app.command("list")
@guarded
def list_ids(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List every environment, with the scores of a random and of the reference agent."""
    from genenvs.cli.page import score_text

    declared = [registry.declaration(env_id) for env_id in registry.ids()]
    if as_json:
        entries = [
            {
                "id": item.id,
                "text": item.text,
                "source": item.source,
                "arguments": dict(item.arguments),
                "score": item.score,
                "scores": registry.scores(item.id),
            }
            for item in declared
        ]
        typer.echo(json.dumps(entries, indent=2, default=str))
        return
    table = Table("id", "what is made", "paper", "score", "random", "reference")
    table.columns[0].no_wrap = True
    for item in declared:
        scores = (score_text(item.id, policy) for policy in ("random", "reference"))
        table.add_row(item.id, item.text, item.source, item.score, *scores)
    console().print(table)


@app.command()
@guarded
def info(env_id: Id) -> None:
    """Show the page of an environment: what it is, spaces, reward terms, metrics, scores."""
    from genenvs.cli.page import page

    declared = known(env_id)
    with waiting(f"loading {declared.id}"):
        try:
            text, problem = page(declared.id), None
        except Problem as error:  # the page without its spaces is worth reading too
            text, problem = page(declared.id, spaces=False), error
    screen = console()
    if screen.is_terminal:
        screen.print(Markdown(text), width=min(screen.width, PAGE_WIDTH))
    else:
        typer.echo(text, nl=False)  # Markdown for whoever reads it next
    if problem is not None:
        raise problem


@app.command()
@guarded
def rollout(
    env_id: Id,
    agent: Annotated[Literal["random", "reference"], typer.Option(help="Who acts.")] = "random",
    episodes: Annotated[int, typer.Option(min=1, help="How many episodes.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the environment.")] = 0,
    split: Annotated[
        Literal["train", "validation", "test"], typer.Option(help="Which instances.")
    ] = "test",
    out: Annotated[
        Path | None,
        typer.Option(
            help="A film of every step (.gif, .mp4) or a sheet of what was made (.png).",
            dir_okay=True,
        ),
    ] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="An argument of the environment, as horizon=10; repeatable."
        ),
    ] = None,
) -> None:
    """Play episodes, print what they scored, and keep them as a film or a contact sheet."""
    from genenvs.cli import rollout as rollouts

    declared = known(env_id)
    arguments = rollouts.read_arguments(arg or [])
    with rollouts.output(out) as pictures:
        with waiting(f"loading {declared.id}"):
            env = rollouts.make(declared, split=split, render_mode="rgb_array", **arguments)
            policy = rollouts.POLICIES[agent](env, seed)
        film = out is not None and out.suffix.lower() != ".png"
        played = rollouts.play(env, policy, seed, episodes, declared.score, pictures, film)
        screen = console(err=True)
        with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
            done = list(progress.track(played, total=episodes, description="episodes"))
    score = f"score ({declared.score})"
    columns: dict[str, list[float]] = {
        score: [one.score for one in done if one.score is not None],
        "return": [one.total for one in done],
        "length": [one.length for one in done],
    }
    table = Table("", "mean", "lowest", "highest", title=f"{declared.id}, {agent}, {split} split")
    for name, values in columns.items():
        shown = (sum(values) / len(values), min(values), max(values)) if values else ()
        table.add_row(name, *(f"{value:.4g}" for value in shown))
    console().print(table)
    if not columns[score]:
        typer.echo(f"{declared.score} is measured by genenvs.evaluate alone.")
    if out is not None:
        typer.echo(f"wrote {out}")


@app.command()
@guarded
def check(
    env_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID...", help="Which ids.", autocompletion=complete_id),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every id.")] = False,
    no_scores: Annotated[
        bool, typer.Option("--no-scores", help="Leave out that the reference beats random.")
    ] = False,
) -> None:
    """Check that an environment keeps the laws that every environment keeps."""
    if bool(env_ids) == everything:
        raise Problem("name the ids to check, or --all", USAGE)
    chosen = registry.ids() if everything else [known(name).id for name in env_ids or []]
    from genenvs.testing import check_task

    broken = 0
    for env_id in chosen:
        start = time.perf_counter()
        try:
            with waiting(f"checking {env_id}"):
                found = check_task(env_id, scores=not no_scores, collect=not problems.debug)
                said = [str(error) for error in found]
        except Exception as error:
            if problems.debug:
                raise
            said = [sentence(error)]
        for text in said:
            typer.echo(f"✗ {env_id}: {text}")
        if not said:
            typer.echo(f"✓ {env_id} ({time.perf_counter() - start:.1f} s)")
        broken += bool(said)
    if broken:
        raise Problem(f"{broken} of {len(chosen)} broke a law or could not be checked", FAILED)


@app.command()
@guarded
def doctor() -> None:
    """Print what belongs into a bug report: versions, devices, extras, weights."""
    from genenvs.doctor import examine, text

    with waiting("looking"):
        sections = examine()
    typer.echo(text(sections))
    ill = [line.name for lines in sections.values() for line in lines if line.ill]
    if ill:
        raise Problem(f"something is wrong with {', '.join(ill)}", FAILED)


@app.command()
@guarded
def train() -> None:
    """Say where the agents are: they run from a checkout, not from the installed package."""
    from genenvs.doctor import says_agents

    typer.echo(
        "Agents are read and run from a checkout of the repository, not from the wheel:\n\n"
        "    make demo                  trains a first one and draws what it makes\n"
        "    python -m agents           every reference agent, on any environment\n\n"
        f"From this folder, `python -m agents` is {says_agents()}.\n\n"
        "Any library that takes Gymnasium environments trains on these too, with\n"
        'gym.make or gym.make_vec("genenvs/..."); `genenvs list` shows the ids.'
    )


def console(err: bool = False) -> Console:
    """Where tables go; as wide as the terminal, or wide enough where there is none."""
    made = Console(stderr=err, highlight=False)
    if not made.is_terminal:
        made.width = max(made.width, PIPED_WIDTH)
    return made


def waiting(text: str) -> Status:
    """A spinner on stderr, where that is a terminal."""
    return console(err=True).status(text)
