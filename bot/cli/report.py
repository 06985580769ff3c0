"""`kith report`: how the bot does, out of its own log, as one page for its owner."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.log import age_in_days, open_log
from bot.cli.output import Json, show_json

app = typer.Typer()

PRIVATE = 0o600
"""The mode of what has people's words in it."""


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="The page to write, such as report.html.", metavar="FILE.html")],
    png: Annotated[
        Path | None, typer.Option(help="Folder for each picture as a file as well.", metavar="FOLDER")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only so much of the log, such as 30d, 8w or 12h.", metavar="AGE")
    ] = None,
    json: Json = False,
) -> None:
    """Votes, approval, dislikes, best and worst replies, latency, experiments, what serves: one page from the log."""
    import matplotlib  # noqa: F401 - if it is missing, that is to be said before anything is read

    from bot.cli.drawing import as_png
    from bot.cli.report_figures import gather
    from bot.cli.report_page import page, pictures, sections
    from bot.cli.run_file import as_json, write_whole
    from bot.settings import load_settings
    from storage.dialog import now

    made = now()
    begun = None if since is None else made - timedelta(days=age_in_days(since))
    with open_log() as store:
        figures = gather(load_settings(), store, begun, made)
    told = sections(figures)
    written = [write_whole(out, page(figures, told), PRIVATE)]
    if png:
        written += [write_whole(png / name, as_png(figure)) for name, figure in pictures(told)]
    if json:
        show_json(as_json(figures))
        return
    for file in written:
        typer.echo(file)
