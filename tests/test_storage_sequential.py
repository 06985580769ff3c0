"""A test that may be looked at every day. `python tests/covering.py sequential` does the same at length."""

import math

import numpy as np
import pytest
from looking import Experiment, looked

from storage.estimates import Floats
from storage.sequential import ALPHA, FEWEST, compare, radius

MONTH = Experiment(newcomers=8, days=30, approval=0.6, agreement=2, busyness=1.0)


def test_who_looks_every_day_is_rarely_wrong_where_a_plain_interval_often_is() -> None:
    days = [looked(MONTH, 0.0, [1, seed]) for seed in range(60)]
    told, plain = (sum(bool(day[place]) for day in days) for place in (0, 1))
    assert told <= 5
    assert plain >= 10


def test_a_difference_that_is_there_is_told_in_time() -> None:
    days = [looked(MONTH, 0.25, [2, seed])[0] for seed in range(20)]
    assert sum(0 < day <= 30 for day in days) >= 14


def people(count: int, liked: float) -> tuple[Floats, Floats]:
    """Four votes each, of which so many are likes on the whole."""
    votes = np.full(count, 4.0)
    return np.random.default_rng(0).binomial(4, liked, count).astype(float), votes


def test_the_word_says_which_way_and_the_interval_excludes_nothing_else() -> None:
    good, bad = people(200, 0.8), people(200, 0.5)
    found = compare(*good, *bad)
    assert (found.word, compare(*bad, *good).word) == ("better", "worse")
    assert 0 < found.difference.low < found.difference.value < found.difference.high < 1
    alike = compare(*good, *people(210, 0.8))
    assert alike.word == "not enough yet"
    assert alike.difference.low < 0 < alike.difference.high


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1])
def test_with_few_people_it_is_not_enough_yet_whatever_they_say(count: int) -> None:
    found = compare(np.ones(count), np.ones(count), np.zeros(100), np.ones(100))
    assert found.word == "not enough yet"
    assert math.isnan(found.difference.value)


def test_people_without_a_vote_count_for_nothing() -> None:
    good, bad = people(60, 0.8), people(60, 0.5)
    silent = np.append(good[0], np.zeros(500)), np.append(good[1], np.zeros(500))
    assert compare(*silent, *bad) == compare(*good, *bad)


def test_where_all_agree_it_is_still_not_certain() -> None:
    found = compare(np.ones(20), np.ones(20), np.ones(20), np.ones(20))
    assert found.difference.high - found.difference.low > 0.1


def test_one_person_who_votes_all_the_time_is_one_person() -> None:
    votes = np.append(np.ones(30), 1000.0)
    likes = np.append(np.repeat([0.0, 1.0], 15), 1000.0)
    assert compare(likes, votes, *people(200, 0.5)).word == "not enough yet"


def test_the_boundary_is_wider_than_one_look_s_and_grows_with_the_number_of_variants() -> None:
    for error in (0.3, 0.1, 0.03, 0.01, 0.003):
        assert radius(error) > 2.7 * error
        assert radius(error, ALPHA / 3) > radius(error)
