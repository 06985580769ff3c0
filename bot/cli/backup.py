"""`kith backup` and `kith restore`: the log into a file of the owner's, and back."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.output import Json, show_json

app = typer.Typer()


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; only you may read it.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
    as_json: Json = False,
) -> None:
    """Copy the log into a file, also while the bot runs. Neither salt nor tokens are in it."""
    from bot.settings import load_settings
    from storage.backups import backup as back_up

    back_up(load_settings().database, file, force)
    if as_json:
        show_json({"file": str(file), "bytes": file.stat().st_size})
    else:
        typer.echo(
            f"{file.stat().st_size} bytes in {file}; what it does not hold: the salt, tokens and keys.", err=True
        )


@app.command()
def restore(file: Annotated[Path, typer.Argument(help="Of `kith backup`.")], as_json: Json = False) -> None:
    """Put a backup in the place of the log, which is kept beside it. The bot must not run."""
    from bot.settings import load_settings
    from storage.backups import restore as put_back

    replaced = put_back(load_settings().database, file)
    if as_json:
        show_json({"file": str(file), "replaced": replaced and str(replaced)})
        return
    kept = f"; the log that it replaces is kept in {replaced}" if replaced else ""
    typer.echo(f"{file} is restored{kept}.", err=True)
    typer.echo("Whoever had themselves forgotten since it was made is in it again: see `kith forget`.", err=True)
