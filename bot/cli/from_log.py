"""`kith train KIND --from-log`: what all kinds have in common at the command line."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from bot.cli.output import show_json

FromLog = Annotated[
    bool, typer.Option("--from-log", help="Learn from the bot's own log, and write a version into its models folder.")
]

T = TypeVar("T")


def train_on_log(context: typer.Context, kind: str, as_json: bool) -> None:
    """Trains a kind with the options that were typed, and prints the name of the new version, or, as JSON, its card.
    All other options are those that a training from the log has by itself. Raises UserError."""
    from bot.from_log import train_from_log
    from bot.settings import UserError, load_settings
    from storage.store import SqlDialogStore

    options = typed(context)
    if "out" in options:
        raise UserError("Name either --out or --from-log: what is learnt from the log goes into the models folder.")
    if kind == "policy":
        if "votes" in options:
            raise UserError("Public rated replies lack the features of a log: leave out --votes, or --from-log.")
        options = {{"log": "votes", "before": "base"}.get(name, name): value for name, value in options.items()}
    files = {name: tuple(map(Path, options.pop(name, None) or ())) for name in ("data", "votes")}
    settings = load_settings()
    with SqlDialogStore(settings.database) as store:
        version = train_from_log(settings, store, kind, files["data"], files["votes"], **options)
    if as_json:
        show_json({"name": version.name, "kind": version.kind, "parent": version.parent, **version.card})
    else:
        typer.echo(version.name)


def typed(context: typer.Context) -> dict[str, Any]:
    """The options of a training that were typed, by the names of their parameters."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    others = ("from_log", "as_json")
    return {
        name: value
        for name, value in context.params.items()
        if name not in others and (source := sources[name]) is not None and source.name == "COMMANDLINE"
    }


def named(value: T | None, option: str) -> T:
    """What an option names, which only a training from the log can do without. Raises UserError."""
    from bot.settings import UserError

    if not value:
        raise UserError(f"Name {option}, or --from-log to learn from the bot's own log.")
    return value
