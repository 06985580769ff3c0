"""Signs of danger: what is found on the lines that measure it, and that no text is too strange or too long."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoken import context, spoken

from ranking.danger import GENTLE, KINDS, lately, plain, rules, sign, ungentle
from ranking.lines import Line, read_lines
from storage.dialog import Candidate, Context

LINES = Path(__file__).parent / "safety_lines"
TEST = read_lines(LINES / "messages_test.toml")


def shares(lines: list[Line]) -> tuple[float, float]:
    """Of danger, what is found; of all else, what is taken for it."""
    found, alarms = ([sign(line.text) is not None for line in lines if line.fine == fine] for fine in (False, True))
    return sum(found) / len(found), sum(alarms) / len(alarms)


def test_the_test_lines_are_many_and_in_no_other_file() -> None:
    others = {
        plain(line.text) for name in ("dev", "more", "oblique") for line in read_lines(LINES / f"messages_{name}.toml")
    }
    assert not {plain(line.text) for line in TEST} & others
    dev = read_lines(LINES / "messages_dev.toml")
    assert sum(not line.fine for line in (*TEST, *dev)) >= 150
    assert sum(line.fine for line in (*TEST, *dev)) >= 250


@pytest.mark.parametrize("language", ["en", "ru"])
def test_danger_is_found_and_what_only_sounds_like_it_is_not(language: str) -> None:
    recall, alarms = shares([line for line in TEST if line.language == language])
    assert recall >= 0.95
    assert alarms < 0.02


@pytest.mark.parametrize("part", ["dev", "more", "oblique"])
def test_what_the_rules_were_made_with_stays_found(part: str) -> None:
    recall, alarms = shares(read_lines(LINES / f"messages_{part}.toml"))
    assert recall >= 0.94
    assert alarms < 0.02


@pytest.mark.parametrize(
    ("text", "kind", "acute"),
    [
        ("i want to die", "despair", False),
        ("im going to kill myself tonight", "despair", True),
        ("I cut myself again", "self_harm", False),
        ("my husband beats me", "violence", False),
        ("i just took a whole bottle of pills", "overdose", True),
        ("my friend wants to kill himself", "others", False),
        ("someone is following me home right now", "threat", True),
        ("хочу умереть", "despair", False),
        ("муж меня бьёт", "violence", False),
        ("Он не дышит!", "overdose", True),
    ],
)
def test_a_sign_says_of_what_and_whether_now(text: str, kind: str, acute: bool) -> None:
    found = sign(text)
    assert found is not None
    assert (found.kind, found.acute) == (kind, acute)


@pytest.mark.parametrize(
    "text", ["I want to d1e!!", "i want to dieeeee", "i want to D I E", "I  WANT\nto die…", "ｉ ｗａｎｔ ｔｏ ｄｉｅ"]
)
def test_the_spelling_hides_nothing(text: str) -> None:
    assert sign(text) is not None


def test_an_idiom_beside_a_sign_does_not_hide_it() -> None:
    assert sign("this homework is killing me") is None
    assert sign("this homework is killing me and i want to kill myself") is not None
    assert sign("years ago i used to cut myself") is None
    assert sign("years ago i used to cut myself, and now i started again") is not None


def test_a_sign_anywhere_in_a_long_message_is_found() -> None:
    chat = "we had soup and then we walked home and talked about the garden. " * 25
    assert sign(chat) is None
    for text in (
        f"i want to kill myself. {chat}",
        f"{chat} i want to kill myself",
        f"{chat} i want to kill myself. {chat}",
    ):
        assert sign(text) is not None


@given(st.text())
def test_every_text_is_read(text: str) -> None:
    found = sign(text)
    assert found is None or found.kind in KINDS
    assert plain(plain(text)) == plain(plain(plain(text)))


@pytest.mark.parametrize(
    "text", ["", "\ud800", "🙂" * 100_000, "i want to " * 10_000, "a " * 50_000, "я не хочу " * 10_000]
)
def test_no_text_is_too_long_or_strange(text: str) -> None:
    sign(text)


def test_no_rule_matches_nothing() -> None:
    known = rules()
    for _, expression in (*known.kinds, ("", known.idioms), ("", known.past), ("", known.story), ("", known.acute)):
        assert expression.search("") is None
        assert expression.search("hello there") is None


def test_after_a_sign_only_calm_replies_are_fit_for_a_few_messages() -> None:
    joke = Candidate("A horse walks into a bar.", "retrieval", 1.0, "daily.joke_please/1")
    smile = Candidate("Ha!", "listening", 1.0, "listening.laugh/1")
    calm = Candidate("I'm sorry. I'm here.", "listening", 1.0, "listening.comfort/3")
    made = Candidate("I'm here.", "generation", 1.0, "danger.fake/1")
    after = context("i want to die", "I'm here.", "ok thanks")
    assert ungentle([(after, [joke, smile, calm, made]), (context("ok thanks"), [joke, made])]) == [
        [1, 1, 0, 1],
        [0, 0],
    ]
    talk = ["i want to die", *(["Mm."] + ["we had soup", "Mm."] * GENTLE)]
    assert lately(Context(spoken(*talk[: 2 * GENTLE - 1])))
    assert not lately(Context(spoken(*talk, "and cake")))
