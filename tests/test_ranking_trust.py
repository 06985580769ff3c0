"""Whose votes count, and how much: trolls little, nobody much, and what was not said in words less."""

import random
from collections.abc import Callable
from statistics import mean

import numpy as np
import pytest
from spoken import spoken

from ranking.metrics import auc
from ranking.trust import (
    DISCOUNTED,
    MOST_IMPLICIT,
    RUDE_AT_MOST,
    Features,
    few_implicit,
    rudeness,
    told_by_hints,
    told_by_others,
    trust_of,
    weigh,
)
from storage.corpora import RatedReply

GOOD = {f"good {i}": 0.9 for i in range(6)}
BAD = {f"bad {i}": 0.15 for i in range(6)}
CHANCE = {**GOOD, **BAD}
"""How likely an honest person likes each reply."""


def rating(person: str, reply: str, liked: bool, number: int = 0, implicit: bool = False) -> RatedReply:
    messages = spoken(f"{person} says {number}")
    return RatedReply(f"{person} {number}", "kith", "train", messages, reply, liked, person=person, implicit=implicit)


def votes(person: str, count: int, like: Callable[[random.Random, float], bool], seed: int = 0) -> list[RatedReply]:
    """So many votes on replies of CHANCE; `like` decides by their chance."""
    draw = random.Random(f"{seed} {person}")
    replies = [draw.choice(list(CHANCE)) for _ in range(count)]
    return [rating(person, reply, like(draw, CHANCE[reply]), i) for i, reply in enumerate(replies)]


def honest(draw: random.Random, chance: float) -> bool:
    return draw.random() < chance


def troll(draw: random.Random, chance: float) -> bool:
    return draw.random() > chance


def down(draw: random.Random, chance: float) -> bool:
    return False


def share_of_likes(ratings: list[RatedReply]) -> float:
    return sum(r.weight for r in ratings if r.liked) / sum(r.weight for r in ratings)


def none_of(ratings: list[RatedReply]) -> list[Features]:
    return [{} for _ in ratings]


def unknown(ratings: list[RatedReply]) -> list[bool | None]:
    return [None for _ in ratings]


@pytest.mark.parametrize("kind", [troll, down, lambda draw, chance: True])
def test_thirty_percent_of_trolls_are_found_and_the_others_kept(kind: Callable[[random.Random, float], bool]) -> None:
    cast = [vote for i in range(28) for vote in votes(f"honest {i}", 12, honest)]
    cast += [vote for i in range(12) for vote in votes(f"troll {i}", 12, kind)]
    trust = trust_of(cast, none_of(cast), unknown(cast))
    trusted = {person for person, value in trust.items() if value >= DISCOUNTED}
    assert sum(person.startswith("honest") for person in trusted) >= 25
    assert sum(person.startswith("troll") for person in trusted) <= 2


def test_where_no_words_come_twice_the_features_tell(seed: int = 0) -> None:
    draw = random.Random(seed)
    cast, features = [], []
    for i in range(40):
        for number in range(12):
            score = draw.gauss(0, 1)
            liked = draw.random() < 1 / (1 + 2.718 ** (-3 * score))
            cast.append(rating(f"p{i}", f"reply {i} {number}", liked == (i < 30), number))
            features.append({"ranker": score, "noise": draw.gauss(0, 1)})
    trust = trust_of(cast, features, unknown(cast))
    assert sum(trust[f"p{i}"] > 0.8 for i in range(30)) >= 28
    assert sum(trust[f"p{i}"] < 0.2 for i in range(30, 40)) >= 9


def test_who_votes_against_what_they_feel_is_told_by_what_they_do_next() -> None:
    draw, cast, went_on = random.Random(0), [], []
    for i in range(60):
        for number in range(9):
            happy = draw.random() < 0.5
            cast.append(rating(f"p{i}", f"reply {i} {number}", happy == (i < 40), number))
            went_on.append(draw.random() < (0.95 if happy else 0.6) if draw.random() < 0.9 else None)
    found, blind = (trust_of(cast, none_of(cast), known) for known in (went_on, unknown(cast)))
    against = {f"p{i}" for i in range(40, 60)}
    assert mean(found[p] for p in found.keys() - against) > mean(found[p] for p in against) + 0.3
    assert mean(blind[p] for p in blind.keys() - against) < mean(blind[p] for p in against) + 0.1


def test_what_others_do_next_tells_how_likely_a_like_is() -> None:
    draw = random.Random(0)
    cast, happy, rows = [], [], []
    for i in range(50):
        for number in range(32):
            rows.append([draw.gauss(0, 1) for _ in range(11)])
            happy.append(draw.random() < 1 / (1 + 2.718 ** -sum(rows[-1])))
            implicit = number >= 2
            liked = draw.random() < (0.94 if happy[-1] else 0.72) if implicit else happy[-1]
            cast.append(rating(f"p{i}", f"reply {i} {number}", liked, number, implicit))
    votes, hints = ([i for i, row in enumerate(cast) if row.implicit == implicit] for implicit in (False, True))
    ours, theirs = ([cast[i] for i in of] for of in (votes, hints))
    columns, columns_of_hints = (np.array([rows[i] for i in of]) for of in (votes, hints))
    hinted = told_by_hints(ours, columns, theirs, columns_of_hints)
    assert hinted is not None
    told, blind = (told_by_others(ours, columns, np.ones(len(ours)), given) for given in (hinted, None))
    truth = np.array([float(happy[i]) for i in votes])
    told_right, blind_right = (auc(np.stack([each, truth], axis=1)) for each in (told, blind))
    assert told_right > 0.75 > 0.6 > blind_right  # a hundred votes alone are too few for eleven features


def test_what_others_do_next_counts_nothing_where_it_tells_nothing() -> None:
    draw = random.Random(0)
    cast, features = [], []
    for i in range(40):
        for number in range(20):
            score, implicit = draw.gauss(0, 1), number >= 8
            liked = draw.random() < (0.8 if implicit else 1 / (1 + 2.718 ** (-3 * score)))
            cast.append(rating(f"p{i}", f"reply {i} {number}", liked, number, implicit))
            features.append({"ranker": score})
    trust = trust_of(cast, features, unknown(cast))
    assert sum(value > 0.8 for value in trust.values()) >= 38


def test_nobody_is_a_troll_for_going_on_after_all_and_any() -> None:
    cast = [vote for i in range(40) for vote in votes(f"honest {i}", 8, honest)]
    always: list[bool | None] = [True for _ in cast]
    assert trust_of(cast, none_of(cast), always) == pytest.approx(
        trust_of(cast, none_of(cast), unknown(cast)), abs=0.05
    )


def test_a_few_votes_condemn_nobody() -> None:
    cast = [vote for i in range(30) for vote in votes(f"honest {i}", 10, honest)]
    cast += [rating("newcomer", "good 1", False), rating("newcomer", "bad 1", True, 1)]
    assert trust_of(cast, none_of(cast), unknown(cast))["newcomer"] > 0.2
    alone = votes("a", 20, down) + votes("b", 20, honest)
    assert set(trust_of(alone, none_of(alone), unknown(alone)).values()) == {1.0}


def test_one_person_counts_for_so_many_votes_at_the_most() -> None:
    cast = [vote for i in range(20) for vote in votes(f"honest {i}", 5, honest)] + votes("loud", 400, honest)
    weighed = weigh(cast, none_of(cast), unknown(cast), 0.1, 50)
    assert sum(r.weight for r in weighed.ratings if r.person == "loud") == pytest.approx(50, abs=0.01)
    assert sum(r.weight for r in weighed.ratings if r.person == "honest 1") > 4
    assert weighed.facts["people_capped"] == 1
    assert weighed.facts["likes"] + weighed.facts["dislikes"] == len(cast)


def test_the_same_votes_have_the_same_weights_and_their_order_is_nothing() -> None:
    cast = [vote for i in range(10) for vote in votes(f"honest {i}", 8, honest)] + votes("troll", 8, troll)
    one, again, other = (weigh(each, none_of(each), unknown(each), 0.1, 50) for each in (cast, cast, cast[::-1]))
    assert one == again
    assert other.trust == pytest.approx(one.trust, abs=1e-3)


def test_implicit_labels_weigh_less_are_few_and_do_not_move_the_share_of_likes() -> None:
    cast = [rating(f"p{i}", f"reply {i}", i % 4 == 0, 0) for i in range(40)]
    cast += [rating(f"p{i % 40}", "hm", i % 10 != 0, 1 + i, implicit=True) for i in range(400)]
    weighed = weigh(cast, none_of(cast), unknown(cast), 0.1, 50).ratings
    implicit = [r for r in weighed if r.implicit]
    assert len(implicit) <= MOST_IMPLICIT * 40
    assert max(r.weight for r in implicit) <= 0.1
    explicit = [r for r in weighed if not r.implicit]
    assert share_of_likes(implicit) == pytest.approx(share_of_likes(explicit), abs=0.01)
    assert not any(r.implicit for r in weigh(cast, none_of(cast), unknown(cast), 0.0, 50).ratings)
    assert len(few_implicit(cast)) == 40 + MOST_IMPLICIT * 40


def test_implicit_labels_of_one_kind_tell_nothing() -> None:
    cast = [rating(f"p{i}", "x", i % 2 == 0) for i in range(20)]
    went_on = [rating(f"p{i}", "x", True, 1, implicit=True) for i in range(20)]
    assert not any(
        r.implicit
        for r in weigh([*cast, *went_on], none_of([*cast, *went_on]), unknown([*cast, *went_on]), 0.1, 50).ratings
    )


def test_rude_messages_lower_trust_but_never_decide() -> None:
    calm, rude = votes("x", 20, honest), [
        RatedReply(f"d{i}", "kith", "train", spoken(f"you bitch {i}"), "hm", True, person="x") for i in range(20)
    ]  # fmt: skip
    assert rudeness(calm) == 0
    assert 2.718 ** rudeness(rude) == pytest.approx(RUDE_AT_MOST, rel=0.01)
    cast = [vote for i in range(20) for vote in votes(f"honest {i}", 10, honest)]
    angry = [RatedReply(r.dialog_id, r.source, r.split, spoken("fuck my boss"), r.reply, r.liked, person=r.person)
             for r in votes("angry", 10, honest)]  # fmt: skip
    assert trust_of([*cast, *angry], none_of([*cast, *angry]), unknown([*cast, *angry]))["angry"] > DISCOUNTED


def test_nothing_has_no_weights() -> None:
    weighed = weigh([], [], [], 0.1, 50)
    assert (weighed.ratings, weighed.trust) == ([], {})
