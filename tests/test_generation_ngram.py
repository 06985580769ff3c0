"""The 5-gram model: probabilities computed by hand, by the book, and summed up."""

import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest

from generation.ngram import KneserNey, discounts, fit

A, B, C = 0, 1, 2


def last(model: KneserNey, *ids: int) -> float:
    return float(model.probabilities([ids])[0][-1])


def some_rows(count: int = 60, vocabulary: int = 5) -> list[list[int]]:
    """Rows in which ids follow each other or come twice; the last id of the vocabulary is unseen."""
    draw = np.random.default_rng(0)
    rows = []
    for length in draw.integers(1, 9, count):
        row = [int(draw.integers(vocabulary - 1))]
        while len(row) < length:
            row.append(
                int(draw.choice([(row[-1] + 1) % (vocabulary - 1), row[-1], int(draw.integers(vocabulary - 1))]))
            )
        rows.append(row)
    return rows


def test_a_bigram_model_is_the_one_computed_by_hand() -> None:
    """The rows abab and ac. After how many different ids they come: a 2 (the start, b), b 1, c 1. With discounts of 0.5
    for ones and 1 for twos, p(a) = 1/4 + 2/4 * 1/3 = 5/12 and p(b) = p(c) = 0.5/4 + 2/4 * 1/3 = 7/24. After a, b was
    seen twice and c once, so the lower order gets (1 + 0.5)/3."""
    model = fit([[A, B, A, B], [A, C]], vocabulary=3, order=2)
    assert last(model, A, B) == pytest.approx(1 / 3 + 1 / 2 * 7 / 24)
    assert last(model, A, C) == pytest.approx(0.5 / 3 + 1 / 2 * 7 / 24)
    assert last(model, A, A) == pytest.approx(1 / 2 * 5 / 12)
    assert last(model, C, A) == pytest.approx(5 / 12), "nothing was seen after c"
    assert last(model, A) == pytest.approx(1 / 2 + 1 / 2 * 5 / 12), "both rows begin with a"


def test_a_trigram_model_is_the_one_of_the_formula() -> None:
    rows, vocabulary, order = some_rows(), 5, 3
    model = fit(rows, vocabulary, order)
    expected = by_the_book(rows, vocabulary, order)
    for history in itertools.product(range(vocabulary), repeat=2):
        for word in range(vocabulary):
            assert last(model, *history, word) == pytest.approx(expected[history][word]), (history, word)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_probabilities_sum_to_one_after_any_history(order: int) -> None:
    vocabulary = 5
    model = fit(some_rows(), vocabulary, order)
    seen = some_rows()[0] + some_rows()[1]
    for history in ([], [3], seen[:4], seen[-6:], [4], [4, 4, 4, 4], [0, 4, 1, 2], [2, 0, 3, 1]):
        after = [last(model, *history, word) for word in range(vocabulary)]
        assert sum(after) == pytest.approx(1)
        assert min(after) > 0


def test_discounts_are_those_of_the_counts_of_counts() -> None:
    """Six ones, three twos, two threes, one four: Y = 6/12."""
    counts = np.array([1] * 6 + [2] * 3 + [3] * 2 + [4] + [9])
    assert discounts(counts) == pytest.approx([0, 1 - 2 * 0.5 * 3 / 6, 2 - 3 * 0.5 * 2 / 3, 3 - 4 * 0.5 * 1 / 2])


def test_where_counts_of_counts_give_no_discount_there_is_a_fixed_one() -> None:
    assert discounts(np.array([1, 1, 2])).tolist() == [0, 0.5, 1, 1.5]
    growing = np.array([1] + [2] * 2 + [3] * 3 + [4] * 12)
    assert discounts(growing) == pytest.approx([0, 1 - 2 * 0.2 * 2, 2 - 3 * 0.2 * 3 / 2, 1.5]), "3 - 4 * 0.2 * 4 < 0"


def test_rows_do_not_continue_each_other() -> None:
    model = fit([[A, B], [C, A]] * 5, vocabulary=3, order=3)
    apart, joined = model.probabilities([[A, B], [C]]), model.probabilities([[A, B, C]])
    assert [row.shape for row in apart] == [(2,), (1,)]
    assert apart[0] == pytest.approx(joined[0][:2])
    assert apart[1][0] > 1.5 * joined[0][2], "rows begin with c, but b is never followed"


def test_an_empty_row_is_no_error() -> None:
    model = fit([[A], [], [B]], vocabulary=2)
    assert [row.tolist() for row in model.probabilities([[], [A]])] == [[], [last(model, A)]]


def by_the_book(rows: list[list[int]], vocabulary: int, order: int) -> dict[tuple[int, ...], list[float]]:
    """The formula of Chen and Goodman with dictionaries, for all histories of order - 1 ids."""
    counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
    for row in rows:
        padded = [-1] * (order - 1) + row
        for end in range(order - 1, len(padded)):
            counts[order][tuple(padded[end - order + 1 : end + 1])] += 1
    for n in range(order, 1, -1):
        for gram in counts[n]:
            counts[n - 1][gram[1:]] += 1
    taken = [discounts(np.array([*level.values()] or [0])) for level in counts]
    after: list[defaultdict[tuple[int, ...], dict[int, int]]] = [defaultdict(dict) for _ in counts]
    for level, found in zip(counts, after, strict=True):
        for gram, count in level.items():
            found[gram[:-1]][gram[-1]] = count

    def probability(history: tuple[int, ...], word: int) -> float:
        n = len(history) + 1
        lower = probability(history[1:], word) if history else 1 / vocabulary
        seen = after[n].get(history, {})
        if not seen:
            return lower
        own = seen.get(word, 0) - float(taken[n][min(seen.get(word, 0), 3)])
        left = sum(float(taken[n][min(count, 3)]) for count in seen.values())
        return (own + left * lower) / sum(seen.values())

    histories = itertools.product(range(vocabulary), repeat=order - 1)
    return {history: [probability(history, word) for word in range(vocabulary)] for history in histories}
