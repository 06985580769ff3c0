"""The listener: replies that fit whatever was told, for when no situation of the pool does.

A pool knows situations, a talk has more. What a friend says who has no better words, "Go on, I'm with you", presumes
nothing but a tone. What kind of reply a message wants is told by its words where it asks, thanks or takes leave
(ranking/dialog_acts.py), and else, for something nice, hard, funny or annoying, by a logistic regression for each tone
on its vector, fitted to votes on such replies, some of which are liked more than others of their tone; the policy
weighs them against all other candidates.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from ranking.dialog_acts import LUCK, PRAISE, STAKES, THANKS, asked_for, asks, greets, plain
from ranking.leave_taking import takes_leave
from ranking.pool import PoolError, normal
from ranking.similarity import halfway
from ranking.vectors import Encoder, Vectors
from storage.corpora import RatedReply
from storage.dialog import Candidate, Context

LISTENING = Path(__file__).parent / "listening.toml"

PROPOSED = 6
"""Replies a turn."""

QUESTION = "question"
"""The kind of replies for questions of no kind; with _ and a kind of `QUESTIONS` those for it."""

BY_WORDS = ("greeting", "farewell", "parting", "thanks", "praised")
"""Kinds of replies that are said where words ask for them, and nowhere else, as those for questions."""

FOR_QUESTIONS = f"listening.{QUESTION}"
"""How the origins of replies begin that were written for questions."""

ASKED_FOR = (FOR_QUESTIONS, *(f"listening.{kind}/" for kind in BY_WORDS))
"""How the origins of all begin that words ask for."""

CALM = frozenset(["comfort", "short"])
"""Kinds of which one is always proposed: after a sign of danger nothing livelier is said (ranking/danger.py), and then
something of them is to be left."""

PARTING = frozenset(["parting"])
"""What is said then to who takes leave, of which one is always proposed to them too."""

RUN = 3
"""Words in a row that make a reply sound like one that was said before: "That made me smile", with other ends."""

SPREAD = 0.5
"""How much chance decides which are proposed, on the scale of the log-odds: without, all dialogs would be alike."""

FEWEST = 50
"""Votes on replies of a tone, to be fitted anew: with fewer it stays as it was."""

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
        self.kinds = [kind for kind, texts in replies().items() for _ in texts]
        self.runs = [runs(text) for _, text in self.texts]
        fitted = encoder.listening is not None and len(encoder.listening) == len(self.texts)
        self.weights = encoder.listening if fitted else None

    def propose(self, contexts: Sequence[Context]) -> list[list[Candidate]]:
        """For each context up to PROPOSED candidates, the likeliest first, none that was said in this dialog by either
        side or sent back; drawn without replacement, as by a softmax of the log-odds over SPREAD (Gumbel's trick), of
        the kinds that fit what the message does, and one that is calm; those that sound like what was said, if there
        are no others."""
        if self.weights is None or not contexts:
            return [[] for _ in contexts]
        odds = log_odds(self.weights, halfway(*self.encoder.contexts(contexts)))
        return [self._some(row, context) for row, context in zip(odds, contexts, strict=True)]

    def _some(self, odds: Vectors, context: Context) -> list[Candidate]:
        said = {normal(text) for text in (*(m.text for m in context.messages), *context.rejected)}
        heard = set[tuple[str, ...]]().union(*map(runs, context.said("assistant")))
        drawn = np.argsort(-odds - SPREAD * self.random.gumbel(size=len(odds)))
        fresh = [number for number in drawn if normal(self.texts[number][1]) not in said]
        fresh.sort(key=lambda number: not heard.isdisjoint(self.runs[number]))

        def of(kinds: frozenset[str]) -> list[int]:
            return [number for number in fresh if self.kinds[number] in kinds]

        wanted = fit_for(context.last)
        fit = next(filter(None, map(of, wanted)), [])
        gentle = [number for kinds in (PARTING & wanted[0], CALM) for number in of(kinds)[:1]]
        first = PROPOSED - len(gentle)
        fresh = list(dict.fromkeys([*fit[:first], *gentle, *fit[first:]]))[:PROPOSED]
        return [
            Candidate(self.texts[number][1], "listening", float(odds[number]), self.texts[number][0])
            for number in sorted(fresh, key=lambda number: -odds[number])
        ]


def fit_for(message: str) -> list[frozenset[str]]:
    """The kinds of replies that fit what a message does, and those that fit when all of them were said. Where much may
    hang on an answer, calm ones alone."""
    tones = frozenset(kind for kind in replies() if not kind.startswith((QUESTION, *BY_WORDS)))
    text = plain(message)
    if asks(text):
        if STAKES.search(text):
            return [CALM]
        kind = asked_for(text)
        return [frozenset([f"{QUESTION}_{kind}" if kind else QUESTION]), frozenset([QUESTION]), CALM]
    if takes_leave(text) and not STAKES.search(text):
        return [frozenset(["farewell"]) | PARTING, tones]
    if greets(text) and not STAKES.search(text):
        return [frozenset(["greeting"]) | tones]
    for words, kind in ((THANKS, "thanks"), (LUCK, "luck"), (PRAISE, "praised")):
        if words.search(text) and not STAKES.search(text):
            return [frozenset([kind]), tones]
    return [tones]


def runs(text: str) -> set[tuple[str, ...]]:
    """The RUNs of words in a text."""
    words = normal(text).split()
    return {tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1)}


@cache
def replies(file: Path = LISTENING) -> Mapping[str, tuple[str, ...]]:
    """The replies by tone. Raises PoolError on a broken file."""
    try:
        kinds = tomllib.loads(file.read_text(encoding="utf-8"))
        return {kind: tuple(map(str, texts)) for kind, texts in kinds.items()}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise PoolError(f"{file} is not a file of replies ({error}): it needs lists of texts.") from error


def fit_listening(encoder: Encoder, votes: Sequence[RatedReply]) -> Vectors | None:
    """Shape (replies, width + 1), the intercept last: replies of one tone differ in it alone. From votes on them where
    their tone may be said, of FEWEST at least where the encoder knows the tone; None where it knows nothing of one that
    has no votes."""
    from sklearn.linear_model import LogisticRegression  # 1.1 s, and a bot that runs fits nothing

    place = {normal(text): (kind, n) for kind, texts in replies().items() for n, text in enumerate(texts)}
    cast: dict[str, list[tuple[RatedReply, int]]] = {kind: [] for kind in replies()}
    for vote in votes:
        kind, number = place.get(normal(vote.reply), ("", 0))
        if kind and kind in fit_for(vote.messages[-1].text)[0]:
            cast[kind].append((vote, number))
    before = encoder.listening
    rows: list[Vectors] = []
    if before is not None and len(before) != sum(map(len, replies().values())):
        before = None
    for kind, texts in replies().items():
        own = cast[kind]
        if before is not None and len(own) < FEWEST:
            rows += list(before[len(rows) : len(rows) + len(texts)])
            continue
        if not own:
            return None
        liked = [vote.liked for vote, _ in own]
        if len(set(liked)) < 2:  # a regression needs both; one more of each is the usual correction
            row = np.zeros(encoder.width + 1, np.float32)
            row[-1] = math.log((sum(liked) + 1) / (len(liked) - sum(liked) + 1))
            rows += [row] * len(texts)
            continue
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
