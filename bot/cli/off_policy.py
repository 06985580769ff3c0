"""`kith evaluate off-policy`: how another policy, temperature or ranker would have done on the turns of a log."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from bot.cli.folders import model
from bot.cli.output import Json, show_json, show_table
from bot.cli.tables import cell

if TYPE_CHECKING:
    from bot.settings import Settings
    from ranking.off_policy import Log, Target
    from ranking.policy import Weights
    from storage.decided import Decided
    from storage.estimates import Estimate, Floats

app = typer.Typer()

Turns: TypeAlias = "Callable[[], Iterator[Decided]]"
"""The turns on which a policy decided, from their first one, as often as it is called."""

AT_ONCE = 16
"""Turns whose candidates a ranker reads in one pass."""

FIGURES = ("approval", "difference", "likes a turn")
"""What the table shows; --json has `votes a turn` as well."""


@app.command("off-policy")
def off_policy(
    log: Annotated[
        list[Path] | None,
        typer.Option(help="File of `kith export dialogs`, can be repeated; default: the bot's own log."),
    ] = None,
    policy: Annotated[list[Path] | None, typer.Option(help="Policy weights to judge, can be repeated.")] = None,
    temperature: Annotated[
        list[float] | None, typer.Option(min=0, max=10, help="Exploration to judge, can be repeated.")
    ] = None,
    ranker: Annotated[
        list[str] | None, typer.Option(help="Folder of a ranker to judge, can be repeated.", callback=model)
    ] = None,
    json: Json = False,
) -> None:
    """How your settings, and each of these instead, would have done on the logged turns. Nobody is asked anew."""
    from bot.cli.run_file import as_json
    from bot.settings import UserError, load_settings
    from ranking.off_policy import as_logged, log_of

    settings = load_settings()
    turns = turns_of(log, settings)
    logged = log_of((turn.dialog_id, turn.decision, turn.vote) for turn in turns())
    if not logged.dialogs:
        raise UserError(
            "The log has no turn on which a policy decided, of people who said yes: let the bot talk first."
        )
    found = judged(settings, logged, turns, policy or (), temperature or (), ranker or ())
    counts = {"turns": len(logged.voted), "dialogs": len(set(logged.dialogs)), "votes": int(logged.voted.sum())}
    then = as_logged(logged)
    if json:
        show_json(as_json({**counts, "as logged": then, "targets": found}))
    else:
        show(counts, then, found)


def turns_of(files: Sequence[Path] | None, settings: "Settings") -> Turns:
    """Those of files, or of the bot's own log."""
    from storage.corpora import read_decided
    from storage.decided import decided_turns
    from storage.export import documents
    from storage.store import SqlDialogStore

    def of_files() -> "Iterator[Decided]":
        for file in files or ():
            yield from read_decided(file)

    def of_store() -> "Iterator[Decided]":
        with SqlDialogStore(settings.database) as store:
            for record in documents(store):
                yield from decided_turns(record)

    return of_files if files else of_store


def judged(
    settings: "Settings",
    log: "Log",
    turns: Turns,
    policies: Iterable[Path],
    temperatures: Iterable[float],
    rankers: Iterable[str],
) -> "list[Target]":
    """The policy of the settings, and with each of these in place of what the settings name. Raises PolicyError,
    ModelError."""
    from ranking.off_policy import chances, evaluate, rewards
    from ranking.policy import load_weights
    from ranking.safety import guarded

    def weights(file: Path | None) -> "Weights":
        return guarded(load_weights(file)) if settings.safety == "on" else load_weights(file)

    now, drawn = weights(settings.policy), settings.exploration
    targets = {"your settings": chances(log, now, drawn)}
    targets |= {f"policy {file}": chances(log, weights(file), drawn) for file in policies}
    targets |= {f"temperature {value:g}": chances(log, now, value) for value in temperatures}
    for name in rankers:
        targets[f"ranker {name}"] = chances(log, now, drawn, scores(settings, name, turns, len(log.said)))
    expected = rewards(log)
    return [evaluate(log, target, name, expected) for name, target in targets.items()]


def scores(settings: "Settings", name: str, turns: Turns, count: int) -> "Floats":
    """What a ranker says of each candidate of each turn."""
    import numpy as np
    from tqdm import tqdm

    from bot.assemble import set_up_libraries
    from ranking.encoders import load_encoder
    from ranking.ranker import CrossEncoderRanker

    set_up_libraries(settings)
    ranker = CrossEncoderRanker(name, load_encoder(settings.retriever))
    told: list[float] = []
    with tqdm(total=count, desc=f"ranker {name}", unit="turn", mininterval=2, disable=None) as bar:
        for part in parts(turns(), AT_ONCE):
            read = [(turn.context, [scored.candidate for scored in turn.decision.ranked]) for turn in part]
            told += (score for row in ranker.score(read) for score in row)
            bar.update(len(part))
    return np.array(told)


def parts(turns: "Iterator[Decided]", size: int) -> "Iterator[list[Decided]]":
    """So many at once."""
    part: list[Decided] = []
    for turn in turns:
        part.append(turn)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def show(counts: Mapping[str, int], then: "Mapping[str, Estimate]", found: "Sequence[Target]") -> None:
    """A table, and under it what cannot be told and why."""
    from storage.estimates import NONE

    rows: list[tuple[object, ...]] = [("as logged", "", "", *(cell(then.get(name, NONE)) for name in FIGURES))]
    for target in found:
        start = target.name, f"{target.effective_votes:.0f}"
        for method, figures in target.figures.items():
            shown = (cell(figures[name], signed=name == "difference") for name in FIGURES)
            rows.append((*start, method, *shown))
            start = "", ""
    title = f"{counts['turns']} turns of {counts['dialogs']} dialogs, {counts['votes']} votes"
    show_table(("who decides", "#votes' worth", "by", *(f"#{name}" for name in FIGURES)), rows, title)
    for target in found:
        if target.refused:
            typer.echo(f"{target.name}: cannot be told. {target.refused}")
