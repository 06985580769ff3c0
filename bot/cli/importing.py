"""`kith dialogs import`: votes that others gathered, as a log of their own, to be trained on and measured by."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.output import Json, show_json, show_table

if TYPE_CHECKING:
    from bot.pipeline import Pipeline
    from storage.importing import RatedDialog

AT_ONCE = 256
"""Replies whose features are computed together."""


def import_dialogs(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Rated replies, in the order of their times.")],
    as_json: Json = False,
) -> None:
    """Make a log of rated replies, with the features that the models give them now. It must be empty: name a folder of
    its own in KITH_DATA_DIR."""
    from tqdm import tqdm

    from bot.assemble import assemble, open_store, set_up_libraries
    from bot.settings import UserError, load_settings
    from storage.corpora import read_ratings
    from storage.importing import LogNotEmpty, rated_dialogs

    settings = load_settings()
    set_up_libraries(settings)
    dialogs = list(rated_dialogs(rating for file in files for rating in read_ratings(file)))
    with open_store(settings) as store:
        if store.dialogs(1):
            raise UserError(str(LogNotEmpty()))
        pipeline = assemble(settings.model_copy(update={"candidates": 0}), store, None)
        dialogs = with_features(pipeline, dialogs)
        with tqdm(total=len(dialogs), desc="dialogs", disable=None) as bar:
            counts = store.import_dialogs(dialogs, bar.update)
    if as_json:
        show_json(counts)
    else:
        show_table(("imported", "#rows"), counts.items())


def with_features(pipeline: "Pipeline", dialogs: "Sequence[RatedDialog]") -> "list[RatedDialog]":
    """The dialogs with what each scorer says of their rated replies."""
    from tqdm import tqdm

    from storage.dialog import Candidate, Context
    from storage.signals import IMPORTED

    places = [(number, place) for number, dialog in enumerate(dialogs) for place in dialog.rated]
    rows: list[dict[int, dict[str, float]]] = [{} for _ in dialogs]
    for start in tqdm(range(0, len(places), AT_ONCE), desc="features", disable=None):
        some = places[start : start + AT_ONCE]
        rated = [dialogs[number].rated[place] for number, place in some]
        batch = [(Context(rating.messages), [Candidate(rating.reply, IMPORTED, 0.0)]) for rating in rated]
        scored = {name: scorer(batch) for name, scorer in pipeline.scorers.items()}
        for i, (number, place) in enumerate(some):
            rows[number][place] = {name: values[i][0] for name, values in scored.items()}
    return [replace(dialog, features=row) for dialog, row in zip(dialogs, rows, strict=True)]
