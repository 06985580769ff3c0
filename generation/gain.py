"""What fine-tuning brought: one model before and after it, on held-back replies and held-back text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from generation.metrics import bits, per_character, readings
from generation.preferences import Judged, LogProbabilities, figures, log_probabilities
from generation.rendering import Rendering
from storage.corpora import CorpusDialog
from storage.estimates import Floats, Measured, draws, interval, measured, rows_against

BITS, LOSS = "bits per character", "bits per character, relative to before"


@dataclass(frozen=True, slots=True)
class Scale:
    """What a model is measured on."""

    rendering: Rendering
    judged: Judged
    text: Sequence[CorpusDialog]
    persona: str
    length: int
    """Ids that the model reads at most."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model makes of it."""

    text: Floats
    """Bits and characters of each dialog, shape (dialogs, 2)."""
    replies: LogProbabilities


def read(model: PreTrainedModel, scale: Scale, title: str) -> Reading:
    """Reads all that the scale has with a model in float32."""
    reader = [(scale.rendering.tokenizer, scale.length)]
    rows = [row for dialog in scale.text for row in readings(reader, dialog.messages)]
    columns = np.stack([bits(model, rows, f"{title}: bits"), [float(row.characters) for row in rows]], axis=1)
    replies = log_probabilities(model, scale.rendering, scale.judged, scale.persona, f"{title}: replies")
    return Reading(columns, replies)


def compare(before: Reading, after: Reading, scale: Scale, seed: int) -> dict[str, Any]:
    """By figure: before, after, and how much they differ, each with its 95 % interval by bootstrap over dialogs; of
    the bits also the share by which they grew. A figure of which the scale has nothing is left out."""
    drawn = draws([str(number) for number in range(len(before.text))], seed) if len(before.text) else []
    models: dict[str, Measured] = {}
    for name, own in (("before", before), ("after", after)):
        text = {BITS: measured(own.text, drawn, per_character)} if drawn else {}
        models[name] = {**figures(scale.judged, own.replies, before.replies, seed), **text}
    first, last = rows_against(models, "before")
    found: dict[str, Any] = {
        name: {
            "before": asdict(first.figures[name]),
            "after": asdict(last.figures[name]),
            "difference": asdict(last.against[name]),
        }
        for name in first.figures
    }
    if not drawn:
        return found
    (was, was_drawn), (now, now_drawn) = models["before"][BITS], models["after"][BITS]
    return found | {LOSS: asdict(interval(now / was - 1, (now_drawn / was_drawn - 1).tolist()))}
