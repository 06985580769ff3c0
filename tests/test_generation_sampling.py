"""What a model wrote, made fit to be shown."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.sampling import tidy


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("I like it. And you", "I like it."),
        ('He said "no." Then', 'He said "no."'),
        ("Really?! Wow... and", "Really?! Wow..."),
        ("Ну да… потом", "Ну да…"),
        ("It costs 3.50 at", ""),
        ("no sentence at all", ""),
        ("Two of them. Whole.", "Two of them. Whole."),
        ("", ""),
    ],
)
def test_a_text_that_was_cut_off_loses_its_broken_sentence(written: str, shown: str) -> None:
    assert tidy(written, finished=False) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [("  hi\n\n you \t", "hi you"), ("no full stop", "no full stop"), ("caf\ufffd", "caf"), ("\n", "")],
)
def test_a_text_that_was_finished_is_one_line_without_stray_spaces(written: str, shown: str) -> None:
    assert tidy(written, finished=True) == shown


@given(st.text(), st.booleans())
def test_what_is_shown_is_one_clean_line_out_of_what_was_written(text: str, finished: bool) -> None:
    shown = tidy(text, finished)
    assert shown == " ".join(shown.split())
    left = (c for c in text if c != "\ufffd" and not c.isspace() and unicodedata.category(c) not in ("Cc", "Cs"))
    assert "".join(shown.split()) in "".join(left)
    assert tidy(shown, finished) == shown
