"""Votes as rows for TRL: ids that are rendered as they are served, each record as often as its weight says."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tqdm import tqdm

from generation.rendering import Rendering
from storage.corpora import (
    RATED_SHARE,
    CorpusDialog,
    CorpusError,
    Preference,
    RatedReply,
    read_dialogs,
    read_preferences,
    read_ratings,
)
from storage.dialog import Context

Record: TypeAlias = CorpusDialog | RatedReply | Preference
Row: TypeAlias = dict[str, Any]

READERS: Mapping[str, Callable[[Path], Iterator[Record]]] = {
    "sft": lambda path: read_dialogs(path, RATED_SHARE),  # so that all methods hold the same dialogs back
    "dpo": read_preferences,
    "kto": read_ratings,
}
"""By method, what reads its records."""

UNLEARNT = -100
"""The label of an id that carries no loss."""

EXPORTS = {"sft": "messages", "dpo": "preferences", "kto": "votes"}


@dataclass(frozen=True, slots=True)
class TuningRows:
    """All that may be learnt. `weights` and `rows` have one entry each for a dialog, or a piece of a long one, a rated
    reply, or a pair."""

    rows: list[Row]
    weights: list[float]
    dialogs: int
    too_long: int
    """Those with a reply that had no room after its context."""


def read_records(method: str, files: Sequence[Path]) -> list[Record]:
    """The records of a method. Raises CorpusError on other ones, with their keys and the export that is needed."""
    try:
        return [record for path in files for record in READERS[method](path)]
    except CorpusError as error:
        if "; it has " not in str(error):
            raise
        raise CorpusError(f"--method {method} takes `kith export {EXPORTS[method]}`. {error}") from error


def tuning_rows(records: Sequence[Record], rendering: Rendering, persona: str, length: int) -> TuningRows:
    """Rows of at most `length` ids of the train split's records. Raises CorpusError when there is none."""
    train = [record for record in records if record.split == "train" and record.weight > 0]
    rows, weights, too_long = [], [], 0
    for record in tqdm(train, "rendering", mininterval=2, disable=None):
        for row in _rows(record, rendering, persona, length):
            if _length(row) > length:
                too_long += 1
                continue
            rows.append(row)
            weights.append(record.weight)
    if not rows:
        raise CorpusError("Nothing to train on: none of the files has a reply of the train split that has a weight.")
    return TuningRows(rows, weights, len({_dialog_id(record) for record in train}), too_long)


def in_order(weights: Sequence[float], count: int, seed: int) -> list[int]:
    """`count` places of rows, one pass after the other, each in an order of its own. Of a weight of 2.3 a pass has two,
    and three passes in ten a third."""
    draw = random.Random(seed)
    order: list[int] = []
    while len(order) < count:
        once = [place for place, w in enumerate(weights) for _ in range(int(w) + (draw.random() < w % 1))]
        draw.shuffle(once)
        order += once
    return order[:count]


def steps_of(weights: Sequence[float], epochs: float, rows_a_step: int) -> int:
    """How many steps so many passes are, at least one."""
    return max(1, math.ceil(epochs * sum(weights) / rows_a_step))


def _rows(record: Record, rendering: Rendering, persona: str, length: int) -> Iterator[Row]:
    if isinstance(record, CorpusDialog):
        yield from _dialog_rows(record, rendering, persona, length)
        return
    prompt = rendering.prompt(Context(record.messages, persona))
    if isinstance(record, RatedReply):
        yield {"prompt_ids": prompt, "completion_ids": rendering.reply(record.reply), "label": record.liked}
    else:
        chosen, rejected = map(rendering.reply, (record.chosen, record.rejected))
        yield {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}


def _dialog_rows(dialog: CorpusDialog, rendering: Rendering, persona: str, length: int) -> Iterator[Row]:
    """The assistant's replies in as few rows as may be. A reply goes on in the row before it where its own prompt
    begins with that row: then the ids are those that are served, and each is read once instead of again for every
    reply after it. Where old messages had to be cut it begins a row."""
    facts = " ".join(dialog.personas[1]) or persona
    ids: list[int] = []
    labels: list[int] = []
    for place, message in enumerate(dialog.messages):
        if message.role != "assistant" or not place or dialog.messages[place - 1].role != "user":
            continue
        prompt, reply = rendering.prompt(Context(dialog.messages[:place], facts)), rendering.reply(message.text)
        if ids and (prompt[: len(ids)] != ids or len(prompt) + len(reply) > length):
            yield {"input_ids": ids, "labels": labels}
            ids, labels = [], []
        labels = [*labels, *[UNLEARNT] * (len(prompt) - len(ids)), *reply]
        ids = [*prompt, *reply]
    if ids:
        yield {"input_ids": ids, "labels": labels}


def _length(row: Row) -> int:
    """The most ids that are read at once."""
    if "input_ids" in row:
        return len(row["input_ids"])
    replies = (row[key] for key in ("completion_ids", "chosen_ids", "rejected_ids") if key in row)
    return len(row["prompt_ids"]) + max(map(len, replies))


def _dialog_id(record: Record) -> str:
    return record.id if isinstance(record, CorpusDialog) else record.dialog_id
