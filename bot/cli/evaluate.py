"""`kith evaluate`: how good the models are, against baselines, on data that they were not trained on."""

from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.folders import model
from bot.cli.measuring import bot_run, generator_run, measure, measure_growth, measure_part, pool_rows, ranking_run
from bot.cli.output import Json, show_json, show_table
from bot.cli.tables import cell, show_ranking, show_rows

if TYPE_CHECKING:
    from bot.ablation import BotFigures
    from bot.pool_growth import GrowthFigures
    from generation.evaluate import GeneratorFigures
    from storage.estimates import Row

app = typer.Typer(help="Measure the models against baselines.", no_args_is_help=True)

Data = Annotated[list[Path], typer.Option(help="Dialogs: file or folder, can be repeated.")]
Votes = Annotated[list[Path], typer.Option(help="Rated replies: file or folder, can be repeated.")]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn.")]
Models = Annotated[
    list[str] | None, typer.Option(help="Folder or hub id, can be repeated; default: yours.", callback=model)
]
Positions = Annotated[int, typer.Option(help="Questions of each source at the most.", min=20)]
Judge = Annotated[str, typer.Option(help="Vote model that judges what is said; default: the shipped one.")]
SelfPlay = Annotated[int, typer.Option(help="Dialogs of the bot with itself; 0 for none.", min=0)]
Out = Annotated[Path | None, typer.Option(help="Folder for the run's file.")]
MostVotes = Annotated[int, typer.Option(help="Rated replies of each source at the most.", min=2)]

POOL_TITLE = "Pool: what is found at or over a similarity"


@app.command("all")
def everything(
    data: Data,
    votes: Votes,
    out: Annotated[Path, typer.Option(help="Folder for the run's file and report.html.")],
    retriever: Models = None,
    ranker: Models = None,
    generator: Models = None,
    judge: Judge = "",
    self_play: SelfPlay = 0,
    positions: Positions = 400,
    most_votes: MostVotes = 1500,
    quick: Annotated[bool, typer.Option("--quick", help="Few of everything, to see that it works.")] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Everything: tables here, a page with pictures and a file for programs in the folder."""
    import matplotlib  # noqa: F401 - if it is missing, that is to be said now and not after an hour

    from bot.cli.evaluate_page import page
    from bot.cli.run_file import as_json, save_run, write_whole
    from bot.cli.transcripts import as_markdown
    from bot.settings import load_settings

    settings = load_settings()
    of_ranking = ranking_run(settings, data, votes, retriever, ranker, positions, most_votes, seed)
    of_generator = generator_run(settings, data, generator, seed)
    of_bot = bot_run(data, judge, self_play, seed)
    if quick:
        of_ranking = replace(of_ranking, positions=24, most_votes=100, pool=100, resamples=100)
        of_generator = replace(of_generator, most=6, train=300, replies=8, identity=1, resamples=100)
        of_bot = replace(of_bot, places=12, users=2, resamples=100)
    run = measure(settings, of_ranking, of_generator, of_bot)
    saved, shown = save_run(out, run), write_whole(out / "report.html", page(run))
    talked = write_whole(out / "dialogs.md", as_markdown(run.bot, run.made))
    if json:
        show_json(as_json(run))
        return
    show_ranking(run.ranking)
    show_rows(POOL_TITLE, run.pool, "similarity")
    _show_generator(run.generator)
    _show_bot(run.bot)
    typer.echo(f"{saved}\n{shown}\n{talked}")


@app.command()
def ranking(
    data: Data,
    votes: Votes,
    retriever: Models = None,
    ranker: Models = None,
    positions: Positions = 400,
    most_votes: MostVotes = 1500,
    out: Out = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Response selection, retrieval, echo, and votes, on the held-back (valid) part."""
    from bot.assemble import set_up_libraries
    from bot.cli.run_file import as_json
    from bot.settings import load_settings
    from ranking.evaluate import evaluate_ranking

    settings = load_settings()
    set_up_libraries(settings)
    run = ranking_run(settings, data, votes, retriever, ranker, positions, most_votes, seed)
    found, saved = measure_part("ranking", run, evaluate_ranking, [*data, *votes], out)
    if json:
        show_json(as_json(found))
        return
    show_ranking(found)
    if saved:
        typer.echo(saved)


@app.command()
def pool(
    growth: Annotated[bool, typer.Option("--growth", help="Instead, what shares of it are worth: minutes.")] = False,
    data: Annotated[list[Path] | None, typer.Option(help="For --growth: dialogs, can be repeated.")] = None,
    places: Annotated[int, typer.Option(help="For --growth: held-back places, one a dialog.", min=1)] = 120,
    orders: Annotated[int, typer.Option(help="For --growth: random orders in which it grows.", min=1)] = 3,
    judge: Judge = "",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """What retrieval finds for the pool's own contexts, each with itself left out, by threshold of similarity. With
    --growth: how well held-back places are answered with a quarter, half, three quarters and all of its situations."""
    from bot.assemble import set_up_libraries
    from bot.cli.run_file import as_json
    from bot.settings import load_settings

    settings = load_settings()
    set_up_libraries(settings)
    if growth:
        grown = measure_growth(settings, data or (), places, orders, judge, seed)
        if json:
            show_json(as_json(grown))
        else:
            _show_growth(grown)
        return
    rows = pool_rows(settings, seed)
    if json:
        show_json(as_json(rows))
    else:
        show_rows(POOL_TITLE, rows, "similarity")


@app.command()
def safety(
    lines: Annotated[list[Path], typer.Option(help="Files of lines, as those of tests/safety_lines; can be repeated.")],
    json: Json = False,
) -> None:
    """How many messages of danger, and of unfit replies, are found, and how many others are taken for such."""
    from bot.assemble import load_toxicity_check, set_up_libraries
    from bot.cli.run_file import as_json
    from bot.settings import load_settings
    from ranking.danger import DangerSigns, load_readers
    from ranking.encoders import load_encoder
    from ranking.evaluate_safety import evaluate_safety

    settings = load_settings()
    set_up_libraries(settings)
    encoder = load_encoder(settings.retriever)
    found = evaluate_safety(lines, DangerSigns(load_readers()), lambda: load_toxicity_check(settings, encoder).score)
    if json:
        show_json(as_json(found))
        return
    for part in found:
        show_rows(part.title, part.rows, "lines")
        for miss in part.missed:
            typer.echo(f"missed: {miss}")
        for alarm in part.alarms:
            typer.echo(f"false alarm: {alarm}")


@app.command()
def generator(
    data: Data,
    model: Models = None,
    most: Annotated[int, typer.Option(help="Dialogs of each source to read, at the most.", min=1)] = 60,
    replies: Annotated[int, typer.Option(help="Contexts to answer; 0 for none.", min=0)] = 300,
    identity: Annotated[int, typer.Option(help="Times each persona is asked who it is; 0 for none.", min=0)] = 8,
    votes: Annotated[list[Path] | None, typer.Option(help="Votes: is what was liked likelier?")] = None,
    preferences: Annotated[list[Path] | None, typer.Option(help="Preferences, likewise.")] = None,
    out: Out = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Bits per character by source, replies next to people's, and likes, on the held-back (valid) part; and who each
    persona says it is."""
    from bot.assemble import set_up_libraries
    from bot.cli.run_file import as_json
    from bot.settings import load_settings
    from generation.evaluate import evaluate_generator

    settings = load_settings()
    set_up_libraries(settings)
    run = replace(generator_run(settings, data, model, seed), most=most, replies=replies, identity=identity)
    run = replace(run, votes=tuple(votes or ()), preferences=tuple(preferences or ()))
    read = [*run.data, *run.votes, *run.preferences]
    found, saved = measure_part("generator", run, evaluate_generator, read, out)
    if json:
        show_json(as_json(found))
        return
    _show_generator(found)
    if saved:
        typer.echo(saved)


@app.command()
def bot(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Folder for the run's file and dialogs.md, what was said.")] = None,
    judge: Judge = "",
    places: Annotated[int, typer.Option(help="Held-back places to answer, one a dialog.", min=1)] = 200,
    users: Annotated[int, typer.Option(help="Scripted users to talk with, at the most.", min=1, max=40)] = 40,
    self_play: SelfPlay = 0,
    turns: Annotated[int, typer.Option(help="Replies in each dialog of the bot with itself.", min=2)] = 20,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """The whole bot, and what each part is worth: held-back places, scripted users, the bot with itself."""
    from datetime import UTC, datetime

    from bot.ablation import evaluate_bot
    from bot.assemble import set_up_libraries
    from bot.cli.run_file import as_json, write_whole
    from bot.cli.transcripts import as_markdown
    from bot.settings import load_settings

    settings = load_settings()
    set_up_libraries(settings)
    run = replace(bot_run(data, judge, self_play, seed), places=places, users=users, turns=turns)
    found, saved = measure_part("bot", run, partial(evaluate_bot, settings), data, out)
    talked = write_whole(out / "dialogs.md", as_markdown(found, datetime.now(UTC))) if out else None
    if json:
        show_json(as_json(found))
        return
    _show_bot(found)
    if out:
        typer.echo(f"{saved}\n{talked}")


def _show_bot(figures: "BotFigures") -> None:
    from bot.ablation import WHOLE

    for kind, talked in figures.talks.items():
        _show_wide(f"The whole bot: {kind}, {talked.replies} replies of {talked.dialogs} dialogs", talked.rows, WHOLE)
    typer.echo(figures.policy)


def _show_growth(figures: "GrowthFigures") -> None:
    heads = ("situations", "#liked", "#less the whole pool", "#in single orders", "#said from it")
    for who, shares in figures.shares.items():
        rows = [
            (
                str(share.situations),
                cell(share.liked),
                cell(share.less_whole, signed=True),
                f"{min(share.by_order):.3f} to {max(share.by_order):.3f}",
                f"{share.of_pool:.2f}",
            )
            for share in shares
        ]
        show_table(heads, rows, f"Growth of the pool: {who}, {figures.replies} held-back places")
    typer.echo(figures.policy)


def _show_generator(figures: "GeneratorFigures") -> None:
    from generation.evaluate import ALL, NGRAM
    from generation.replies import PEOPLE

    _show_wide(f"Bits per character, {figures.bits.dialogs[ALL]} dialogs", figures.bits.rows, NGRAM)
    if figures.replies:
        said = f"Replies in {figures.replies.contexts} contexts, distinct-n of {figures.replies.words} words"
        _show_wide(said, figures.replies.rows, PEOPLE)
    if figures.identity:
        _show_wide("Asked who it is, as an opening and later in a dialog", figures.identity, "")
    if figures.liked:
        _show_wide("Is what people liked likelier?", figures.liked, figures.liked[0].model)


def _show_wide(title: str, rows: "list[Row]", baseline: str) -> None:
    """Under each row its differences to the baseline; in parts of four figures at most, for which 120 columns do."""
    from storage.estimates import Row

    lines = [line for row in rows for line in (row, Row(f"  less {baseline}", row.against)) if line.figures]
    names = list(rows[0].figures)
    size = ceil(len(names) / ceil(len(names) / 4))
    for start in range(0, len(names), size):
        part = names[start : start + size]
        _show("" if start else title, [Row(line.model, {name: line.figures[name] for name in part}) for line in lines])


def _show(title: str, rows: "list[Row]") -> None:
    names = list(rows[0].figures)
    show_table(
        ("model", *(f"#{n}" for n in names)), [(r.model, *(str(r.figures[n]) for n in names)) for r in rows], title
    )
