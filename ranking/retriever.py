"""The retriever: a bi-encoder that finds, in the pool, replies to messages like this one."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ranking.danger import DangerSigns
from ranking.inverted import InvertedLists
from ranking.nearest import Rows
from ranking.pool import normal
from ranking.pool_index import DANGER, Index, Told, build_index
from ranking.similarity import Search, mean_of_nearest
from ranking.vectors import Encoder, Vectors
from storage.dialog import Candidate, Context, PoolEntry

OF_ONE_SITUATION = 3
"""Proposals that may share their contexts, so that a message misunderstood by one situation is left another."""

SMILES = tuple(f"listening.{kind}/" for kind in ("smile", "laugh", "joy", "well_done", "annoyed", "praised"))
"""What is not said to somebody who mourns: the listener takes a fond memory for a happy one."""

GRIM = re.compile(
    r"\b(?:cut(?:ting|s)?|disappear\w*|vanish\w*|end\sit|die|dying|kill\w*|suicid\w*|pills?|overdos\w*|relapsed?)\b",
    re.IGNORECASE,
)
"""Words with which a message that is near to danger is not taken for a fine one: "should i cut deeper or stop?" has
answers about hair nearer by."""

LOSS = re.compile(
    r"\b(?:died|dead|death|dying|passed(?:\saway)?|funeral|grave|widow(?:er|ed)?|buried|ashes|mourning|grieving|miscarr\w*"
    r"|lost\s(?:him|her|our|the\sbaby|my\s(?:mum|mom|dad|nan|gran\w*|wife|husband|son|daughter|brother|sister|dog|cat|friend))"
    r"|late\s(?:husband|wife|mum|mom|dad)|put(?:ting)?\s(?:\w+\s){0,3}(?:down|to\ssleep)|let\s(?:him|her)\sgo|not\swith\sus"
    r"|miss\s(?:him|her))\b",
    re.IGNORECASE,
)
"""Words of a death. Without them near to grief is not enough: so are pets, sons and mothers of all kinds, and of 1,940
messages without a death 112 were met without a smile, and the two after each; now 14 are."""

SAME = 1e-4
"""What rounding makes of two equal likenesses."""

GRAVE = 0.5
"""Likeness of the last message to such a situation from which on it is taken for one. Of 42 contexts of theirs, each
with itself left out, 83 % reach it, of 1,500 others 1.2 % (0.45: 95 and 3.8 %, 0.55: 74 and 0.6 %)."""

FAR_NEARER = 0.25
"""By how much more a message is to be like one context of another situation, to be none of danger. Of the 119 of 376
lines of danger in tests/safety_lines (English) that reach GRAVE, none is nearer to another by more than 0.2."""

FINE = 0.0
"""Log-odds of the danger classifier, by meaning, under which a message that is near to a situation of danger, and
nearer to another, is none. Of 6,381 lines of danger in tests/safety_lines 13 are found by being near alone, 11 of these
with at least as much; of 129 fine lines and messages that are near to one 120 have less, "my fingers hurt so bad" among
them, which was met with words for danger."""

FIRST, FIRST_SITUATIONS = 256, 16
"""Contexts of the pool whose situations are looked at, and of these those whose replies are, before it is known which
others could hold a better one."""

ABSTAIN_BELOW = 0.35
"""Similarity under which nothing is proposed. At it something was found for all of that pool's own contexts and for
56 % of 600 messages out of public dialogs. Of replies retrieved between 0.4 and 0.55 13 % of 231 were liked, of the
starter generator's 2 of 238: abstaining early helps nobody, and `similarity` has a weight."""


class Retriever:
    """Proposes pool replies whose contexts are like the message; abstains when none is."""

    def __init__(
        self,
        entries: Sequence[PoolEntry],
        encoder: Encoder,
        top_k: int = 8,
        threshold: float = ABSTAIN_BELOW,
        lists: Mapping[str, InvertedLists] | None = None,
        danger: DangerSigns | None = None,
    ) -> None:
        """`lists`: as `build_index` takes them. `danger`: tells what is near to danger and none; None: by words."""
        self.encoder, self.top_k, self.threshold = encoder, top_k, threshold
        self.index = build_index(entries, encoder, lists)
        self.danger = danger or DangerSigns()
        self.situations = {
            entry.id: situation
            for entry, situation in zip(self.index.entries, self.index.situation.tolist(), strict=True)
            if entry.contexts
        }
        """Of each entry that has contexts the number of its situation, by the entry's id."""

    @property
    def version(self) -> str:
        """The model and the size of the pool."""
        return f"{self.encoder.version}, {len(self.index.entries)} replies"

    def propose(self, contexts: Sequence[Context]) -> list[list[Candidate]]:
        """For each context up to `top_k` candidates, best first, with their similarity; none that was said in this
        dialog by either side or sent back, none below the threshold, and few (OF_ONE_SITUATION) of one situation."""
        if not self.index.entries or not contexts:
            return [[] for _ in contexts]
        search = Search(self.index, self.encoder, contexts)
        in_danger = grave(self.index, self.encoder, self.danger, contexts)
        return [self._best(search, asked, bool(danger)) for asked, danger in enumerate(in_danger)]

    def careless(self, batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        """A scorer: 1 for what was not written for it where somebody is in danger, and for a smile where one of the
        last messages was about a death, else 0."""
        contexts = [context for context, _ in batch]
        serious = grave(self.index, self.encoder, self.danger, contexts)
        sad = mourning(self.index, self.encoder, contexts)
        return [
            [
                float((danger and not c.origin.startswith(DANGER)) or (grief and c.origin.startswith(SMILES)))
                for c in candidates
            ]
            for danger, grief, (_, candidates) in zip(serious, sad, batch, strict=True)
        ]

    def nearest(self, batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        """A scorer: the likeness of the last message to the nearest one that a reply was written for, 0 where there is
        none. The similarity, a mean of three and of the whole context, tells less whether this very thing was meant."""
        last = self.encoder.liken(self.encoder.encode([context.last for context, _ in batch]))
        return [self._nearest(row, candidates) for row, (_, candidates) in zip(last, batch, strict=True)]

    def _nearest(self, last: Vectors, candidates: Sequence[Candidate]) -> list[float]:
        found = [self.situations.get(c.origin) if c.source == "retrieval" else None for c in candidates]
        numbers = np.unique(np.array([number for number in found if number is not None], np.intp))
        rows, place = self.index.contexts_of.of(numbers)
        best = np.full(len(numbers), -np.inf, np.float32)
        np.maximum.at(best, place, self.index.contexts.vectors(rows) @ last)
        likeness = dict(zip(numbers.tolist(), best.tolist(), strict=True))
        return [0.0 if number is None else likeness[number] for number in found]

    def _best(self, search: Search, asked: int, danger: bool) -> list[Candidate]:
        """Situations are looked at, the nearest first, until none that is left can hold a better reply."""
        if danger:
            return self._chosen([search.scored(asked, search.situations(asked, self.index.danger))], search, asked)
        count, loose = FIRST, search.loosely(asked)
        while True:
            situations, others = search.nearest(asked, count)
            situations = situations.some(np.argsort(-situations.bounds))
            scored = [loose, search.scored(asked, situations.some(np.s_[:FIRST_SITUATIONS]))]
            found = self._chosen(scored, search, asked)
            rest = situations.some(np.s_[FIRST_SITUATIONS:])
            rest = rest.some(rest.bounds >= self._floor(found))
            if len(rest.numbers):
                found = self._chosen([*scored, search.scored(asked, rest)], search, asked)
            if others < self._floor(found):
                return found
            count *= 4

    def _floor(self, found: Sequence[Candidate]) -> float:
        return found[-1].score if len(found) == self.top_k else self.threshold

    def _chosen(self, scored: Sequence[tuple[Rows, Vectors]], search: Search, asked: int) -> list[Candidate]:
        context = search.contexts[asked]
        said = {normal(text) for text in (*(m.text for m in context.messages), *context.rejected)}
        entries, scores = (np.concatenate(parts) for parts in zip(*scored, strict=True))
        found: list[Candidate] = []
        taken: Counter[int] = Counter()
        for place in np.lexsort((entries, -scores)):
            entry, score = int(entries[place]), float(scores[place])
            if score < self.threshold or len(found) == self.top_k:
                break
            pooled, situation = self.index.entries[entry], int(self.index.situation[entry])
            if normal(pooled.reply) in said or (pooled.contexts and taken[situation] == OF_ONE_SITUATION):
                continue
            taken[situation] += 1
            found.append(Candidate(pooled.reply, "retrieval", score, pooled.id))
        return found


def grave(index: Index, encoder: Encoder, danger: DangerSigns, contexts: Sequence[Context]) -> NDArray[np.bool_]:
    """Shape (contexts,): whether the last message is near to a situation of danger, not by far nearer to another ("i
    think i want to quit" is near to some, but speaks of work), and not fine."""
    last = [context.last for context in contexts]
    near = near_to(index.danger_told, encoder, last)
    for number in np.flatnonzero(near):  # one message in a thousand
        asked = encoder.liken(encoder.encode([last[number]]))
        farther = nearest_of_all(index, asked) - float((asked @ index.danger_told.vectors.T).max())
        near[number] = farther <= SAME or (farther <= FAR_NEARER and not is_fine(danger, last[number]))
    return near


def is_fine(danger: DangerSigns, text: str) -> bool:
    """Whether a message that is near to danger is none by what it means; without a reader of meaning none is."""
    if not danger.readers or GRIM.search(text) or danger.sign(text):
        return False
    return danger.guess(text).odds < FINE


def mourning(index: Index, encoder: Encoder, contexts: Sequence[Context]) -> NDArray[np.bool_]:
    """Shape (contexts,): whether one of the person's last three messages is near to a situation of grief, and speaks of
    a loss in words (LOSS) or is nearer to no other situation."""
    recent = [(number, text) for number, context in enumerate(contexts) for text in context.said("user")[-3:]]
    near = near_to(index.grief_told, encoder, [text for _, text in recent])
    sad = set()
    for place in np.flatnonzero(near):
        number, text = recent[place]
        asked = encoder.liken(encoder.encode([text]))
        if LOSS.search(text) or nearest_of_all(index, asked) <= (asked @ index.grief_told.vectors.T).max() + SAME:
            sad.add(number)
    return np.array([number in sad for number in range(len(contexts))], bool)


def nearest_of_all(index: Index, asked: Vectors) -> float:
    """The likeness of a message, (1, width), to the nearest context of the whole pool."""
    everywhere = index.contexts.likeness(asked)
    return float(everywhere.of(0, everywhere.best(0, 1)).max())


def near_to(told: Told, encoder: Encoder, texts: Sequence[str]) -> NDArray[np.bool_]:
    """Shape (texts,): whether each is like the messages of one of a few situations."""
    if not told.table.size or not texts:
        return np.zeros(len(texts), bool)
    likeness = encoder.liken(encoder.encode(texts)) @ told.vectors.T
    cosines = np.pad(likeness, ((0, 0), (0, 1)), constant_values=-np.inf)
    return np.array([mean_of_nearest(row[told.table])[0].max() >= GRAVE for row in cosines], bool)
