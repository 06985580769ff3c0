"""The listener: replies that fit whatever was told, for when no situation of the pool does.

A pool knows situations, a talk has more. What a friend says who has no better words, "Go on, I'm with you", presumes
nothing but a tone. Which tone a message asks for (something nice, hard, funny, a question ...) is told by a logistic
regression for each on its vector, fitted to votes on such replies, some of which are liked more than others of their
tone; the policy weighs them against all other candidates.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from ranking.dialog_acts import asks, takes_leave
from ranking.pool import PoolError, normal
from ranking.similarity import halfway
from ranking.vectors import Encoder, Vectors
from storage.corpora import RatedReply
from storage.dialog import Candidate, Context

LISTENING = Path(__file__).parent / "listening.toml"

PROPOSED = 6
"""Replies a turn."""

FOR_QUESTIONS = "listening.question"
"""How the origins of replies begin that were written for questions."""

FAREWELL = "listening.farewell"
"""How the origins of replies begin with which it says goodbye."""

SPREAD = 0.5
"""How much chance decides which are proposed, on the scale of the log-odds: without, all dialogs would be alike."""

PENALTY = 1.0
"""C of the regressions: some hundred numbers of a vector against some thousand votes a tone."""


class Listener:
    """Proposes replies that are likely to be liked; their score is the log-odds of it."""

    def __init__(self, encoder: Encoder, seed: int | None = None) -> None:
        """`encoder`: the retriever's; without weights fitted for these replies nothing is ever proposed."""
        self.encoder = encoder
        self.random = np.random.default_rng(seed)
        self.texts = [
            (f"listening.{kind}/{n}", text) for kind in replies() for n, text in enumerate(replies()[kind], 1)
        ]
        fitted = encoder.listening is not None and len(encoder.listening) == len(self.texts)
        self.weights = encoder.listening if fitted else None

    def propose(self, contexts: Sequence[Context]) -> list[list[Candidate]]:
        """For each context PROPOSED candidates, the likeliest first, none that was said in this dialog by either side
        or sent back; drawn without replacement, as by a softmax of the log-odds over SPREAD (Gumbel's trick). Who asks
        gets those written for questions, who goes a goodbye, everybody else none of either, while there are some: votes
        made evading the policy's heaviest malus, and of 13 such replies to other messages one fitted."""
        if self.weights is None or not contexts:
            return [[] for _ in contexts]
        odds = log_odds(self.weights, halfway(*self.encoder.contexts(contexts)))
        return [self._some(row, context) for row, context in zip(odds, contexts, strict=True)]

    def _some(self, odds: Vectors, context: Context) -> list[Candidate]:
        said = {normal(text) for text in (*(m.text for m in context.messages), *context.rejected)}
        drawn = np.argsort(-odds - SPREAD * self.random.gumbel(size=len(odds)))
        fresh = [number for number in drawn if normal(self.texts[number][1]) not in said]
        kinds = fit_for(context.last)
        fresh = [number for number in fresh if self.texts[number][0].startswith(kinds)] or fresh
        return [
            Candidate(self.texts[number][1], "listening", float(odds[number]), self.texts[number][0])
            for number in sorted(fresh[:PROPOSED], key=lambda number: -odds[number])
        ]


def fit_for(message: str) -> tuple[str, ...]:
    """How the origins begin of what may be said to it."""
    if asks(message):
        return (FOR_QUESTIONS,)
    if takes_leave(message):
        return (FAREWELL,)
    return tuple(
        f"listening.{kind}/" for kind in replies() if not f"listening.{kind}".startswith((FOR_QUESTIONS, FAREWELL))
    )


@cache
def replies(file: Path = LISTENING) -> Mapping[str, tuple[str, ...]]:
    """The replies by tone. Raises PoolError on a broken file."""
    try:
        kinds = tomllib.loads(file.read_text(encoding="utf-8"))
        return {kind: tuple(map(str, texts)) for kind, texts in kinds.items()}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise PoolError(f"{file} is not a file of replies ({error}): it needs lists of texts.") from error


def fit_listening(encoder: Encoder, votes: Sequence[RatedReply]) -> Vectors | None:
    """Shape (replies, width + 1), the intercept last: replies of one tone differ in it alone. From votes on them; None
    when a tone has no 👍 or no 👎."""
    from sklearn.linear_model import LogisticRegression  # 1.1 s, and a bot that runs fits nothing

    place = {normal(text): (kind, n) for kind, texts in replies().items() for n, text in enumerate(texts)}
    rows = []
    for kind, texts in replies().items():
        own = [
            (vote, place[normal(vote.reply)][1]) for vote in votes if place.get(normal(vote.reply), ("",))[0] == kind
        ]
        liked = [vote.liked for vote, _ in own]
        if len(set(liked)) < 2:
            return None
        asked = halfway(*encoder.contexts([Context(vote.messages) for vote, _ in own]))
        which = np.eye(len(texts), dtype=np.float32)[[number for _, number in own]]
        weights = [vote.weight for vote, _ in own]
        fitted = LogisticRegression(C=PENALTY, max_iter=1000).fit(np.hstack([asked, which]), liked, weights)
        shared, offsets = fitted.coef_[0, : encoder.width], fitted.coef_[0, encoder.width :]
        rows += [np.append(shared, fitted.intercept_ + offset) for offset in offsets]
    return np.stack(rows).astype(np.float32)


def log_odds(weights: Vectors, asked: Vectors) -> Vectors:
    """Shape (contexts, replies): the log-odds that each would be liked there."""
    odds: Vectors = asked @ weights[:, :-1].T + weights[:, -1]
    return odds
