"""The pool: what makes two replies the same, how files are read, and that the curated replies are fit to be said."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.features import unsafe, wordless
from ranking.pool import PoolError, curated, distinct, normal
from storage.dialog import Candidate, Context, PoolEntry

MESSAGE_LIMIT = 4096
"""The longest message that Telegram takes, in UTF-16 units."""

words = st.text(alphabet="aB! ", max_size=6)
entries = st.lists(
    st.builds(PoolEntry, st.uuids().map(str), words, st.lists(words, max_size=3).map(tuple), st.just("imported"))
)


@pytest.fixture(scope="module")
def shipped() -> list[PoolEntry]:
    return curated()


def test_the_shipped_pool_has_many_replies_over_many_situations(shipped: list[PoolEntry]) -> None:
    assert len(distinct(shipped)) >= 1500
    assert len({entry.id.split("/")[0] for entry in shipped}) >= 150


def test_every_shipped_situation_has_several_replies_and_contexts(shipped: list[PoolEntry]) -> None:
    replies = Counter(entry.id.split("/")[0] for entry in shipped)
    assert min(replies.values()) >= 3, replies.most_common()[-1]
    assert [entry.id for entry in shipped if len(set(entry.contexts)) < 3] == []


def test_every_shipped_reply_is_fit_to_be_said(shipped: list[PoolEntry]) -> None:
    asked = Context(())
    for entry in shipped:
        candidate = Candidate(entry.reply, "retrieval", 1.0, entry.id)
        assert unsafe(asked, candidate) == 0, entry
        assert wordless(asked, candidate) == 0, entry
        assert len(entry.reply.encode("utf-16-le")) // 2 <= MESSAGE_LIMIT, entry
        assert entry.reply == entry.reply.strip(), entry


def test_no_shipped_reply_comes_twice_and_no_id_names_two(shipped: list[PoolEntry]) -> None:
    assert [reply for reply, count in Counter(normal(entry.reply) for entry in shipped).items() if count > 1] == []
    assert [name for name, count in Counter(entry.id for entry in shipped).items() if count > 1] == []


def test_entries_are_numbered_within_their_situation_and_share_its_contexts(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text('[[situation]]\nname = "b"\ncontexts = ["x", "y"]\nreplies = ["1", "2"]\n')
    (tmp_path / "a.toml").write_text('[[situation]]\nname = "a"\ncontexts = ["z"]\nreplies = ["3"]\n')
    assert curated(tmp_path) == [
        PoolEntry("a/1", "3", ("z",), "curated"),
        PoolEntry("b/1", "1", ("x", "y"), "curated"),
        PoolEntry("b/2", "2", ("x", "y"), "curated"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"not toml",
        b"\xff\xfe",
        b"",
        b"situation = 3",
        b"[[situation]]\nname = 'no replies'\ncontexts = ['hi']",
        b"[[situation]]\nname = 'no contexts'\nreplies = ['hi']",
    ],
)
def test_a_broken_pool_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(PoolError, match=r"mine\.toml is not a pool file"):
        curated(tmp_path)


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("Hello, THERE!", "hello there"),
        ("  Привет\n… как ДЕЛА? ", "привет как дела"),
        ("*hi* 🙂", "hi"),
        ("🙂 ... __", ""),
    ],
)
def test_case_spaces_and_punctuation_make_no_difference(text: str, same_as: str) -> None:
    assert normal(text) == same_as


@given(st.text())
def test_what_is_normal_stays_as_it_is(text: str) -> None:
    assert normal(normal(text)) == normal(text)
    assert normal(f"  {text}!?\n") == normal(text)


@given(st.text())
def test_only_a_text_without_any_letter_or_digit_has_no_words(text: str) -> None:
    assert bool(normal(text)) == any(character.isalnum() for character in text)


@given(entries)
def test_distinct_entries_have_words_and_differ_and_none_is_lost(pool: list[PoolEntry]) -> None:
    kept = distinct(pool)
    keys = [normal(entry.reply) for entry in kept]
    assert keys == list(dict.fromkeys(normal(entry.reply) for entry in pool if normal(entry.reply)))
    for entry in kept:
        same = [other for other in pool if normal(other.reply) == normal(entry.reply)]
        assert entry.id == same[0].id
        assert set(entry.contexts) == {context for other in same for context in other.contexts}
    assert distinct(kept) == kept
