"""What ours is measured against in response selection: chance, words in common, the pretrained MiniLM as it comes, and
what replies alone tell, which has to be nothing.

Each takes questions and gives a score to each of their replies: shape (questions, replies), higher is better.
"""

from collections.abc import Callable, Sequence

import bm25s
import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ranking.pretrained import packaged_minilm
from ranking.selection import CANDIDATES, Question, distinct_replies, parts, rows_of
from ranking.vectors import Encoder
from storage.dialog import Context
from storage.estimates import Floats


def last_message(context: Context) -> str:
    """The message to answer."""
    return context.last


def whole_context(context: Context) -> str:
    """All that was said, as one text, oldest first."""
    return " ".join(message.text for message in context.messages)


def by_chance(asked: Sequence[Question], seed: int = 0) -> Floats:
    """Random numbers."""
    return np.random.default_rng(seed).random((len(asked), CANDIDATES))


def by_bm25(asked: Sequence[Question], query: Callable[[Context], str]) -> Floats:
    """Okapi BM25 of `query` against each reply; word statistics from all replies at hand."""
    texts, places = distinct_replies(asked)
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)
    rows = []
    for question, chosen in zip(asked, places, strict=True):
        words = bm25s.tokenize([query(question.place.context)], stopwords=None, return_ids=False, show_progress=False)
        known = [word for word in words[0] if word in index.vocab_dict]
        rows.append(index.get_scores(known)[chosen] if known else np.zeros(len(chosen)))
    return np.array(rows, dtype=np.float64)


def by_tfidf(asked: Sequence[Question]) -> Floats:
    """Cosine of the TF-IDF vectors of the whole context and of each reply, fitted on the contexts and replies at hand.
    One-letter words count: "i" and "u" are what people say."""
    texts, places = distinct_replies(asked)
    contexts = [whole_context(question.place.context) for question in asked]
    words = r"(?u)\b\w+\b"
    vectorizer = TfidfVectorizer(token_pattern=words).fit([*contexts, *texts])
    cosines = (vectorizer.transform(contexts) @ vectorizer.transform(texts).T).toarray()
    return np.take_along_axis(cosines, places, axis=1).astype(np.float64)


def by_reply_alone(asked: Sequence[Question], taught: Sequence[Question], encoder: Encoder) -> Floats:
    """The log-odds of being the true reply by a logistic regression that sees no context: on the reply's vector and
    log(1 + words), fitted on `taught`, questions of the train split that were made likewise. Above chance, true replies
    can be told from wrong ones by their looks, and the test leaks."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(looks(taught, encoder), np.tile(np.arange(CANDIDATES) == 0, len(taught)))
    scores: Floats = model.decision_function(looks(asked, encoder)).reshape(len(asked), CANDIDATES)
    return scores


def looks(asked: Sequence[Question], encoder: Encoder) -> Floats:
    """What each reply of each question is like by itself: (questions x CANDIDATES, dimensions + 1)."""
    texts, places = distinct_replies(asked)
    vectors = np.concatenate([encoder.encode(texts[part]) for part in parts(len(texts), "replies alone")])
    words = np.log1p([float(len(text.split())) for text in texts])
    return np.column_stack([vectors, words])[places.ravel()].astype(np.float64)


class PlainMiniLM:
    """The packaged MiniLM with its own 256 tokens; a longer context loses its oldest words."""

    def __init__(self) -> None:
        self.model = SentenceTransformer(str(packaged_minilm()))
        self.model.tokenizer.truncation_side = "left"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of shape (texts, 384)."""
        return np.concatenate(
            [
                self.model.encode(list(texts[part]), normalize_embeddings=True, show_progress_bar=False)
                for part in parts(len(texts), "plain MiniLM")
            ]
        )

    def score(self, asked: Sequence[Question], query: Callable[[Context], str]) -> Floats:
        """Cosine of `query` to each reply."""
        texts, places = distinct_replies(asked)
        contexts = self.encode([query(question.place.context) for question in asked])
        return rows_of(contexts, self.encode(texts), places)
