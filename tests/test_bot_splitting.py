"""Tests of bot/splitting.py: pieces fit, nothing is lost, and cuts come where a reader would pause."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram_people import units

from bot.splitting import split


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("", 10, []),
        (" \n ", 10, []),
        ("One. Two.", 10, ["One. Two."]),
        ("One. Two. Three.", 10, ["One. Two.", "Three."]),
        ("One. Two three four.", 12, ["One.", "Two three", "four."]),
        ('He said "so what?" and left.', 20, ['He said "so what?"', "and left."]),
        ("First line\nsecond line", 15, ["First line", "second line"]),
        ("no stop in sight at all", 10, ["no stop in", "sight at", "all"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("3.14 is pi", 5, ["3.14", "is pi"]),
        ("🙃🙃🙃", 4, ["🙃🙃", "🙃"]),  # an emoji is two units
        ("Да! Нет. Не знаю…", 8, ["Да! Нет.", "Не знаю…"]),
    ],
)
def test_a_text_is_cut_after_a_sentence_else_at_a_space_else_anywhere(text: str, limit: int, pieces: list[str]) -> None:
    assert split(text, limit) == pieces


@given(st.text(alphabet="ab .!?\n🙃ё", max_size=200), st.integers(2, 30))
def test_every_piece_fits_and_nothing_but_space_is_lost(text: str, limit: int) -> None:
    pieces = split(text, limit)
    assert all(piece.strip() and units(piece) <= limit for piece in pieces)
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", text)
