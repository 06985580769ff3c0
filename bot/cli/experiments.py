"""`kith experiments`: how the variants of an experiment do, and whether one is better, which may be asked every day."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.log import open_log
from bot.cli.output import Json, show_json, show_table
from bot.cli.tables import cell

if TYPE_CHECKING:
    from storage.experiments import Experiment, VariantFigures

app = typer.Typer()

COUNTS = ("people", "dialogs", "turns", "likes", "dislikes", "answers")
FIGURES = (
    "approval", "felt_better", "felt_worse", "dialogs_a_person", "turns_a_dialog", "sent_back", "seconds_median",
    "seconds_95",
)  # fmt: skip


@app.command()
def experiments(
    name: Annotated[str, typer.Argument(help="Of one experiment; default: all that the log has.")] = "",
    json: Json = False,
) -> None:
    """Show approval, how people felt, dialogs, retries and latency by variant, and whether a variant is better."""
    from bot.cli.run_file import as_json
    from bot.settings import UserError, load_settings
    from storage.experiments import read_experiments

    order = [variant.name for variant in load_settings().variants]
    with open_log() as store, store.reading() as connection:
        found = read_experiments(connection, order)
    known = [each.name for each in found]
    if name and name not in known:
        raise UserError(f"The log has no experiment {name}; it has {', '.join(known) or 'none'}.")
    found = [each for each in found if name in ("", each.name)]
    if json:
        show_json(as_json(found))
        return
    if not found:
        typer.echo("No turn in the log is of an experiment: name variants in kith.toml (docs/learning.md).")
    for each in found:
        show(each)


def show(experiment: "Experiment") -> None:
    """Counts and figures down, variants across, and what is to be said of each variant but the first."""
    variants = experiment.variants
    rows: list[tuple[object, ...]] = [(name, *(getattr(v, name) for v in variants)) for name in COUNTS]
    rows += ((name.replace("_", " "), *(cell(getattr(v, name)) for v in variants)) for name in FIGURES)
    show_table(("", *(f"#{variant.name}" for variant in variants)), rows, f"Experiment {experiment.name}")
    first, *others = variants
    for variant in others:
        typer.echo(sentence(variant, first.name))


def sentence(variant: "VariantFigures", first: str) -> str:
    """The verdict in words."""
    from storage.sequential import FEWEST

    if variant.verdict is None or math.isnan(variant.verdict.difference.value):
        return f"{variant.name} against {first}: not enough yet, {FEWEST} people with votes in each are needed"
    gap = variant.verdict.difference
    points = f"{100 * gap.value:+.1f} points of approval, between {100 * gap.low:+.1f} and {100 * gap.high:+.1f}"
    return f"{variant.name} against {first}: {variant.verdict.word} ({points})"
