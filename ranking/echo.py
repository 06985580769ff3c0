"""Echo: would the retriever give people their own words back?

The last messages of all contexts are put among the replies that can be found. A good retriever finds many replies
nearer to a context than the message in it. Ranks count from 0, as Replika published them: a mean of 0.9 before it was
trained with the context as a hard negative, 19.4 after (with another pool, so the figures compare in kind only).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.baselines import PlainMiniLM, last_message, whole_context
from ranking.selection import Question, answering, asked_vectors, distinct_replies
from ranking.vectors import Encoder
from storage.estimates import RESAMPLES, Floats, Row, draws, interval

FIGURES: Mapping[str, Callable[[Floats], float]] = {
    "mean rank": lambda ranks: float(np.mean(ranks)),
    "median rank": lambda ranks: float(np.median(ranks)),
    "found first": lambda ranks: float(np.mean(ranks == 0)),
}
BASELINE = "plain MiniLM, context"


@dataclass(frozen=True, slots=True)
class Echo:
    """How far down the context itself is found."""

    contexts: int
    candidates: int
    rows: list[Row]


def echo(
    asked: Sequence[Question],
    minilm: PlainMiniLM,
    encoders: Mapping[str, Encoder],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Echo:
    """The rank at which the last message itself is found, by plain MiniLM and by the encoders."""
    own = [question.place.context.last for question in asked]
    texts = list(dict.fromkeys([*distinct_replies(asked)[0], *own]))
    place = {text: number for number, text in enumerate(texts)}
    places = np.array([place[text] for text in own])
    contexts = [question.place.context for question in asked]
    plain = minilm.encode(texts)
    ranks = {
        "plain MiniLM, last message": echo_ranks(minilm.encode([last_message(c) for c in contexts]), plain, places),
        BASELINE: echo_ranks(minilm.encode([whole_context(c) for c in contexts]), plain, places),
    }
    for name, encoder in encoders.items():
        ranks[name] = echo_ranks(asked_vectors(asked, encoder), answering(texts, encoder), places)
    drawn = draws([question.place.dialog_id for question in asked], seed, resamples)
    return Echo(len(asked), len(texts), [_row(name, found, ranks[BASELINE], drawn) for name, found in ranks.items()])


def echo_ranks(contexts: NDArray[np.float32], texts: NDArray[np.float32], own: NDArray[np.intp]) -> Floats:
    """For each context how many texts are nearer to it than text `own`; what is as near does not count."""
    products = contexts @ texts.T
    nearer = (products > np.take_along_axis(products, own[:, None], axis=1)).sum(axis=1)
    ranks: Floats = nearer.astype(np.float64)
    return ranks


def _row(name: str, ranks: Floats, baseline: Floats, drawn: Sequence[NDArray[np.intp]]) -> Row:
    figures = {
        key: interval(metric(ranks), [metric(ranks[chosen]) for chosen in drawn]) for key, metric in FIGURES.items()
    }
    gap = ranks - baseline
    above = interval(float(gap.mean()), [float(gap[chosen].mean()) for chosen in drawn])
    return Row(name, figures, {} if name == BASELINE else {"mean rank": above})
