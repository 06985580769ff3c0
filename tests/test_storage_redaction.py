"""What tells who somebody is, out of texts. How much of it is found is measured on lines of ours (docs/privacy.md)."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from exporting import SALT, retry, vote
from hypothesis import given
from hypothesis import strategies as st
from redaction_scores import read_lines, scores
from turn_values import talk

from storage.export import FORMATS, Filters, export
from storage.redaction import KINDS, find, luhn, redact
from storage.store import SqlDialogStore


@pytest.mark.parametrize("text, redacted", [
    ("My name is Anna Kern, write to anna@example.com", "My name is [name], write to [email]"),
    ("позвони Серёже на +7 912 345-67-89", "позвони [name] на [phone]"),
    ("see https://example.com/a?b=c. Then sleep", "see [link]. Then sleep"),
    ("my insta is kate_k99, or @kate.k", "my insta is [handle], or [handle]"),
    ("карта 4111 1111 1111 1111", "карта [card]"),
    ("паспорт 4509 № 123456", "паспорт [passport]"),
    ("at 14 Maple Street, Leeds LS6 3HN.", "at [address]."),
    ("живу на ул. Ленина, д. 5, кв. 12", "живу на [address]"),
    ("Rose met Rose", "Rose met [name]"),
    ("Вера в Веру", "Вера в [name]"),
    ("it rose by 12 in 2019-2020", "it rose by 12 in 2019-2020"),
    ("a@b.com at foo dot com", "[email] at foo dot com"),
    ("so will texted me, and i texted grace", "so [name] texted me, and i texted [name]"),
    ("have the grace to say what you will", "have the grace to say what you will"),
    ("auntie bola and ji-woo are at rob's", "[name] and [name] are at [name]'s"),
    ("мы с верой и дядей колей ждём рому, рома сказал", "мы с [name] и [name] ждём рому, [name] сказал"),
    ("с верой в лучшее, читаю роман", "с верой в лучшее, читаю роман"),
    ("настюха и Гульнара Рашидовна, вован и кирюха", "[name] и [name], [name] и [name]"),
    ("my sister Ngozi loves Harry Potter in San Jose", "my sister [name] loves Harry Potter in San Jose"),
    ("ssn 078-05-1120, ni number AB 12 34 56 C", "ssn [passport], ni number [passport]"),
    ("ИНН 771234567890, СНИЛС 112-233-445 95", "ИНН [passport], СНИЛС [passport]"),
    ("1234 567890 is my licence number", "[passport] is my licence number"),
    ("my passport expired on 2019-05-12", "my passport expired on 2019-05-12"),
    ("come to apt 3, 210 west 45th street", "come to [address]"),
    ("живу на гагарина 15 кв 7", "живу на [address]"),
    ("живу на севере 15 лет", "живу на севере 15 лет"),
    ("", ""),
])  # fmt: skip
def test_placeholders_say_what_was_there(text: str, redacted: str) -> None:
    assert redact(text) == redacted
    assert redact(redacted) == redacted


@pytest.mark.parametrize("number, right", [("4111111111111111", True), ("4111111111111112", False), ("0", True)])
def test_the_check_digit_of_a_card(number: str, right: bool) -> None:
    assert luhn(number) is right


@given(st.text(max_size=300) | st.text(alphabet="@.# -0123456789АнаAn\0\n/", max_size=100))
def test_any_text_keeps_all_that_was_not_found(text: str) -> None:
    spans = find(text)
    assert all(0 <= span.start < span.end <= len(text) and span.kind in KINDS for span in spans)
    assert all(before.end <= after.start for before, after in pairwise(spans))
    kept = [text[before:after] for before, after in zip(
        [0, *(span.end for span in spans)], [*(span.start for span in spans), len(text)], strict=True
    )]  # fmt: skip
    rest = redact(text)
    for piece in kept:
        assert piece in rest
        rest = rest[rest.index(piece) + len(piece) :]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_redacted_in_every_text(store: SqlDialogStore, tmp_path: Path, format: str) -> None:
    turn = talk(
        store, "I am Quentina, quentina@example.com", "Hello my friend Quentina", "Quentina? My friend Quentina!"
    )
    vote(store, retry(store, turn, "Good day, Mrs Quentina"), 1)
    file = tmp_path / "records.jsonl"
    export(store, format, file, Filters(), SALT)
    assert file.read_text()
    assert "friend Quentina" not in file.read_text() and "Mrs Quentina" not in file.read_text()
    assert "example.com" not in file.read_text()
    export(store, format, file, Filters(), SALT, unredacted=True)
    assert "quentina@example.com" in json.dumps(file.read_text())


@pytest.mark.parametrize("name", ["test", "second"])
def test_most_of_it_is_found_and_little_else(name: str) -> None:
    """On lines that the rules were not written against; docs/privacy.md has the tables."""
    measured = scores(read_lines(name))
    for kind in KINDS:
        _, precision, recall = measured[kind]
        assert precision.value >= 0.8 and recall.value >= 0.7, (kind, precision, recall)
