"""Fits the danger classifier (ranking/danger_classifier.py): `kith train danger`.

Its thresholds are those at which few of the lines that only sound like danger, few messages of the pool and few of
ordinary dialogs are taken for it, when each author's lines, and a share of the situations of pool and dialogs, are
judged by what the others taught.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from ranking.danger import overrules
from ranking.danger_classifier import BUCKETS, KINDS, LANGUAGES, UNREAD, Classifier, Joint, scale
from ranking.danger_reader import DangerReader, begin_reader
from ranking.danger_rules import by_rules
from ranking.danger_words import Vocabulary, WordReader
from ranking.fit_danger_reader import Examples, M, fine_tuned, fit_joint, save_reader
from ranking.fit_danger_words import fit_words
from ranking.lines import Line, read_lines
from ranking.ngrams import hashed
from ranking.pool import curated
from ranking.pool_index import DANGER
from ranking.pretrained import loading
from storage.corpora import CorpusError, read_dialogs
from storage.estimates import Estimate, share

PENALTY = 30.0
"""C of the regressions. With an author left out, the AUC at 10 and at 30 differs by 0.001."""

ORDINARY_WEIGHT = 0.3
"""What a message of the pool or of a dialog counts where n-grams are fitted, and weighed beside meaning."""

GRAVE = ("low.crisis", "low.panic", "low.illness", "low.bullied")
"""Situations of dialogs that are not ordinary."""

OURS, MOST = "voice", 1500
"""The source of dialogs of which all messages count as ordinary, and of how many of each other one. Without these
others 61 of 6,000 public messages had log-odds over 1.5, with them 5; of two sources that were not learnt from 8 and
1."""

NOW = "_now"
"""What the names of kinds end in whose danger is happening now."""

SURE = (0.025, 0.01)
"""Which share of the lines that only sound like danger, and of ordinary messages, may be taken for it, by rules or
classifier."""

PERHAPS = (0.06, 0.02)
"""The same for what may be danger, where only the tone changes."""

PARTS = 10
"""Of the authors, and of the situations, each of which is told by the others."""

BEYOND = 99.0
"""Log-odds that stand for what a rule says."""

NEVER = -1
"""The fold of what is always learnt from."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The classifier, those that read meaning beside it, and how it does on the lines of authors it did not see."""

    classifier: Classifier
    reader: DangerReader
    words: WordReader
    told: dict[str, Estimate]
    base: str

    def save(self, folder: Path) -> None:
        """Writes all of them, each whole or not at all, the one that needs the others last."""
        save_reader(self.reader, self.base, folder)
        self.words.save(folder)
        self.classifier.save(folder)


def fit_danger(
    files: Sequence[Path], more: Sequence[Path], dialogs: Sequence[Path], base: str, vocabulary: Vocabulary
) -> Fitted:
    """Each of `files` is by another author; `more` is learnt from only, of `dialogs` what people say that is not GRAVE,
    as of the pool. English messages are also read by a BERT that starts as `base` (`begin_reader`), Russian ones by
    the words of `vocabulary`. Raises CorpusError and ModelError."""
    with loading(f"The base {base}"):
        begin_reader(base)  # now and not after an hour
    parts = [read_lines(file) for file in (*files, *more)]
    lines = [line for part in parts for line in part]
    pool = {text: entry.id.rpartition("/")[0] for entry in curated() for text in entry.contexts}
    pool = ordinary(dialogs) | pool
    for line in lines:  # what a line judges is not counted as ordinary
        pool.pop(line.text, None)
    danger = np.array([*(not line.fine for line in lines), *(name.startswith(DANGER) for name in pool.values())])
    language = np.array([*(line.language for line in lines), *("en" for _ in pool)])
    fold = np.array([*folds_of_lines(parts, len(files)), *folds_of(list(pool.values()))], np.intp)
    ours = np.arange(len(danger)) < len(lines)
    counts = np.where(ours, 1.0, ORDINARY_WEIGHT)
    texts = [*(line.text for line in lines), *pool]
    rarity, rows = weighted(texts, len(lines))
    ruled = np.array([by_rules(text) is not None for text in tqdm(texts, "rules", disable=None)])
    odds = left_out(rows, danger, counts, fold)
    served = beyond(odds, ruled)
    sure, perhaps = (thresholds(served, danger, language, ours, shares) for shares in (SURE, PERHAPS))
    models = [regression().fit(rows, danger, sample_weight=counts), *kind_models(rows, lines)]
    told = figures(served, danger, language, ours, sure, perhaps)
    joints: dict[str, Joint] = {}

    def read_by(name: str, train: Callable[[Examples, int], M]) -> M:
        some = language == name
        examples = Examples(
            [texts[place] for place in np.flatnonzero(some)], danger[some], counts[some], fold[some], odds[some]
        )
        reader, joint, both = fit_joint(examples, train)
        both = np.where(odds[some] <= UNREAD, odds[some], both)  # as it serves, and so is what follows
        overruled = np.array(list(map(overrules, both.tolist(), examples.texts)))
        both = beyond(both, ruled[some] & ~overruled)
        limits = [thresholds(both, danger[some], language[some], ours[some], shares) for shares in (SURE, PERHAPS)]
        joints[name] = replace(joint, sure=limits[0][name], perhaps=limits[1][name])
        read = figures(both, danger[some], language[some], ours[some], *limits)
        told.update({f"with meaning, {key}": figure for key, figure in read.items()})
        return reader

    words = read_by("ru", partial(fit_words, vocabulary))
    reader = read_by("en", partial(fine_tuned, base))
    weights = np.concatenate([model.coef_ for model in models]).T * rarity[:, None]
    made = Classifier(
        rarity.astype(np.float32),
        weights.astype(np.float32),
        np.concatenate([model.intercept_ for model in models]).astype(np.float32),
        sure,
        perhaps,
        joints,
        f"{len(lines)} lines, {len(pool)} messages of pool and dialogs",
    )
    return Fitted(made, reader, words, told, base)


def ordinary(dialogs: Sequence[Path]) -> dict[str, str]:
    """What people say in the dialogs that are trained on and not GRAVE, and in which situation; MOST of a source."""
    said: dict[str, dict[str, str]] = {}
    for dialog in chain.from_iterable(map(read_dialogs, dialogs)):
        if dialog.split == "train" and not dialog.id.startswith(GRAVE):
            texts = [message.text for message in dialog.messages if message.role == "user"]
            said.setdefault(dialog.source, {}).update(dict.fromkeys(texts, dialog.id.rpartition("/")[0]))
    some: dict[str, str] = {}
    for source, situations in said.items():
        most = len(situations) if source == OURS else min(MOST, len(situations))
        some.update(random.Random(0).sample(list(situations.items()), most))
    return some


def folds_of_lines(parts: Sequence[Sequence[Line]], authors: int) -> list[int]:
    """For each line of each file, a number below PARTS that all lines of its file and language have; NEVER for those of
    files after the authors'. Raises CorpusError where a language has fewer than two authors with lines of danger and
    fine ones: each is left out in turn."""
    number: dict[tuple[int, str], int] = {}
    for language in LANGUAGES:
        has = [{line.fine for line in part if line.language == language} for part in parts[:authors]]
        whole = [place for place, verdicts in enumerate(has) if len(verdicts) == 2]
        if len(whole) < 2:
            raise CorpusError(
                f"Lines of danger and fine ones in {language} are needed in at least two files, each by another author."
            )
        others = [place for place, verdicts in enumerate(has) if len(verdicts) == 1]
        number |= {(place, language): n % min(PARTS, len(whole)) for n, place in enumerate([*whole, *others])}
    return [number.get((place, line.language), NEVER) for place, part in enumerate(parts) for line in part]


def folds_of(situations: Sequence[str]) -> list[int]:
    """For each message, a number below PARTS that its whole situation has."""
    place = {name: number for number, name in enumerate(dict.fromkeys(situations))}
    return [place[name] % PARTS for name in situations]


def weighted(texts: Sequence[str], lines: int) -> tuple[NDArray[np.float64], Any]:
    """What each bucket counts, by how few of the first `lines` texts have it, and the texts as rows of length 1."""
    found = [hashed(text, BUCKETS) for text in tqdm(texts, "n-grams", disable=None)]
    places = np.repeat(np.arange(len(texts)), [len(each) for each in found])
    having = csr_matrix((np.ones(len(places)), (places, np.concatenate(found))), (len(texts), BUCKETS))
    times = np.asarray(having[:lines].sum(0)).ravel()
    rarity = (np.log((1 + lines) / (1 + times)) + 1).astype(np.float16).astype(np.float64)
    lengths = np.array([scale(rarity[each]) for each in found])
    return rarity, (diags(lengths) @ having @ diags(rarity)).tocsr()


def regression(**settings: Any) -> LogisticRegression:
    """A regression that nothing was fitted to yet."""
    return LogisticRegression(C=PENALTY, max_iter=3000, **settings)


def left_out(rows: Any, danger: NDArray[Any], counts: NDArray[Any], fold: NDArray[np.intp]) -> NDArray[np.float64]:
    """The log-odds of each row by a regression that saw none of its fold; nan in the fold NEVER."""
    odds = np.full(len(danger), np.nan)
    for number in tqdm(range(fold.max() + 1), "authors left out", disable=None):
        seen, held = fold != number, fold == number
        if held.any():
            odds[held] = (
                regression().fit(rows[seen], danger[seen], sample_weight=counts[seen]).decision_function(rows[held])
            )
    return odds


def beyond(odds: NDArray[np.float64], ruled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-odds with those of what a rule stands for BEYOND all limits; nan stays."""
    return np.where(ruled & np.isfinite(odds), BEYOND, odds)


def kind_models(rows: Any, lines: Sequence[Line]) -> list[LogisticRegression]:
    """Regressions for the kind, with an output for each of KINDS, and for whether it is now, on lines that name it."""
    kinds = [line.kind.removesuffix(NOW) for line in lines]
    some = np.array([not line.fine and kind in KINDS for line, kind in zip(lines, kinds, strict=True)])
    named = np.array([KINDS.index(kind) if kind in KINDS else NEVER for kind in kinds])
    now = np.array([line.kind.endswith(NOW) for line in lines])
    rows = rows[: len(lines)][some]
    return [regression().fit(rows, named[some]), regression(class_weight="balanced").fit(rows, now[some])]


def thresholds(
    odds: NDArray[Any], danger: NDArray[Any], language: NDArray[Any], ours: NDArray[Any], shares: tuple[float, float]
) -> dict[str, float]:
    """By language, the log-odds that at most these shares of fine lines and of the pool's fine messages exceed."""
    fine = ~danger & np.isfinite(odds)
    found = {}
    for name in np.unique(language).tolist():
        parts = ((fine & (language == name) & part, most) for part, most in zip((ours, ~ours), shares, strict=True))
        found[name] = max(float(np.quantile(odds[part], 1 - most)) for part, most in parts if part.any())
    return found


def figures(
    odds: NDArray[Any],
    danger: NDArray[Any],
    language: NDArray[Any],
    ours: NDArray[Any],
    sure: Mapping[str, float],
    perhaps: Mapping[str, float],
) -> dict[str, Estimate]:
    """What is found, and what is taken for it, at both thresholds: of lines by language, of ordinary messages."""
    known = np.isfinite(odds)
    made = {}
    for word, limits in (("sure", sure), ("perhaps", perhaps)):
        over = odds > np.array([limits[name] for name in language])
        for name in limits:
            some = known & ours & (language == name)
            made[f"{name}: {word}, found"] = counted(over[some & danger])
            made[f"{name}: {word}, false alarms"] = counted(over[some & ~danger])
        if (known & ~ours).any():
            made[f"pool: {word}, false alarms"] = counted(over[known & ~ours & ~danger])
    return made


def counted(hits: NDArray[Any]) -> Estimate:
    """The share of hits."""
    return share(int(hits.sum()), len(hits))
