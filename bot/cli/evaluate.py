"""`kith evaluate`: how good the models are, against baselines, on data that they were not trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.output import Json, show_json, show_table

if TYPE_CHECKING:
    from ranking.evaluate import Row

app = typer.Typer(help="Measure the models against baselines.", no_args_is_help=True)

Seed = Annotated[int, typer.Option(help="Of the draw of positions and wrong replies.")]


@app.command()
def ranking(
    data: Annotated[list[Path], typer.Option(help="Dialogs: file or folder, can be repeated.")],
    votes: Annotated[list[Path], typer.Option(help="Rated replies: file or folder, can be repeated.")],
    ranker: Annotated[str, typer.Option(help="Folder of a ranker; default: the one in the settings.")] = "",
    positions: Annotated[int, typer.Option(help="Places in dialogs to ask about.", min=20)] = 500,
    most_votes: Annotated[int, typer.Option(help="Rated replies of each source at the most.", min=2)] = 1500,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Response selection, 1 in 20, and AUC on votes, on the held-back (valid) part, with 95 % intervals."""
    from bot.settings import load_settings
    from ranking import evaluate
    from ranking.data import SELECTION_SHARE
    from ranking.data import positions as draw_positions
    from ranking.ranker import CrossEncoderRanker
    from ranking.retriever import load_encoder
    from storage.corpora import read_dialogs, read_ratings

    settings = load_settings()
    model = CrossEncoderRanker(ranker if ranker else settings.ranker)
    encoder = load_encoder(settings.retriever)
    dialogs = [d for path in data for d in read_dialogs(path) if d.split == "valid"]
    asked = evaluate.questions(draw_positions(dialogs, positions, seed, shares=SELECTION_SHARE), seed)
    selected = evaluate.selection(asked, encoder, model)
    rated = [r for path in votes for r in read_ratings(path) if r.split == "valid"]
    judged = evaluate.votes(evaluate.at_most(rated, most_votes), model)
    if json:
        show_json({"ranker": model.version, "questions": len(asked), "selection": selected, "votes": judged})
        return
    _show(f"Response selection, 1 in {evaluate.CANDIDATES}, {len(asked)} contexts", selected)
    _show("Votes: AUC by source (rated replies)", judged)


@app.command()
def pool(json: Json = False) -> None:
    """What retrieval finds for the pool's own contexts, each with itself left out, by threshold of similarity."""
    from bot.assemble import load_retriever, open_store
    from bot.settings import load_settings
    from ranking.evaluate import pool_precision

    settings = load_settings()
    with open_store(settings) as store:
        retriever = load_retriever(settings, store)
    rows = pool_precision(retriever.index, retriever.encoder)
    if json:
        show_json([{"threshold": t, "found": found, "right": right} for t, found, right in rows])
        return
    shown = [(f"{t:.2f}", f"{found:.3f}", f"{right:.3f}") for t, found, right in rows]
    show_table(("#threshold", "#found", "#of the right situation"), shown, f"Retriever: {retriever.version}")


@app.command()
def generator(
    data: Annotated[list[Path], typer.Option(help="Dialogs: file or folder, can be repeated.")],
    model: Annotated[str, typer.Option(help="Folder or hub id; default: the one in the settings.")] = "",
    json: Json = False,
) -> None:
    """Bits per character on held-back dialogs, by source."""
    from bot.settings import load_settings
    from generation.generator import GptGenerator
    from generation.metrics import bits_per_character
    from storage.corpora import read_dialogs

    loaded = GptGenerator(model if model else load_settings().generator)
    dialogs = (d for path in data for d in read_dialogs(path) if d.split == "valid")
    bits = bits_per_character(loaded.model, loaded.tokenizer, dialogs, "en", loaded.room)
    if json:
        show_json({"generator": loaded.version, "bits_per_character": bits})
        return
    show_table(("source", "#bits per character"), [(s, f"{b:.3f}") for s, b in bits.items()], loaded.version)


def _show(title: str, rows: "list[Row]") -> None:
    names = list(rows[0].figures)
    show_table(
        ("model", *(f"#{n}" for n in names)), [(r.model, *(str(r.figures[n]) for n in names)) for r in rows], title
    )
