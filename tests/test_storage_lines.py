"""Tests of storage/lines.py: lines of JSON that others made, whatever is in them."""

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import lines
from storage.corpora import CorpusError, read_dialogs, read_ratings, read_votes
from storage.lines import LineError, json_lines

DIALOG = {"turns": [{"role": "a", "text": "hi"}, {"role": "b", "text": "hello"}]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some, max_size=3),
    max_leaves=8,
)
"""Any JSON, half characters and numbers that are none among it."""

KEYS = ("turns", "messages", "context", "prompt", "completion", "reply", "label", "role", "text", "content", "split",
        "persona", "candidates", "features", "chosen", "votes", "value", "id", "dialog_id", "lang")  # fmt: skip
RECORDS = st.recursive(
    JSON | st.sampled_from(["a", "b", "user", "assistant", "system", "hi"]),
    lambda some: st.lists(some, max_size=2) | st.dictionaries(st.sampled_from(KEYS), some, max_size=5),
    max_leaves=12,
)
"""JSON that looks a little like a record."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines")


def written(folder: Path, content: bytes, name: str = "x.jsonl") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


@given(content=st.binary(max_size=200))
def test_any_bytes_are_lines_or_one_error(folder: Path, content: bytes) -> None:
    for name, packed in (("x.jsonl", content), ("x.jsonl.gz", content), ("y.jsonl.gz", gzip.compress(content))):
        try:
            list(json_lines(written(folder, packed, name)))
        except LineError as error:
            assert str(error).startswith(str(folder / name))


@given(value=JSON)
def test_what_is_read_can_be_written(folder: Path, value: Any) -> None:
    file = written(folder, json.dumps(value).encode())
    for _, read in json_lines(file):
        json.dumps(read, ensure_ascii=False).encode()


@given(record=st.dictionaries(st.sampled_from(KEYS), RECORDS, max_size=5))
def test_a_record_of_any_shape_is_read_or_is_one_error(folder: Path, record: Any) -> None:
    file = written(folder, json.dumps(record).encode() + b"\n")
    for read in (read_dialogs, read_ratings, read_votes):
        try:
            list(read(file))
        except CorpusError as error:
            assert str(file) in str(error)


@pytest.mark.parametrize("content", [b"[" * 200_000, b"1" * 5000, b"{", b"nul", b"\xff", "ж".encode("cp1251")])
def test_what_no_parser_bears_is_one_error_with_its_line(folder: Path, content: bytes) -> None:
    with pytest.raises(LineError, match="line 2: cannot be read"):
        list(json_lines(written(folder, json.dumps(DIALOG).encode() + b"\n" + content)))


def test_a_byte_order_mark_and_foreign_line_ends_are_no_mistake(folder: Path) -> None:
    file = written(folder, b"\xef\xbb\xbf" + b"\r\n\r\n".join([json.dumps(DIALOG).encode()] * 2) + b"\r\n")
    assert [value for _, value in json_lines(file)] == [DIALOG] * 2


def test_a_separator_that_is_no_line_end_stays_in_its_line(folder: Path) -> None:
    text = "one\u2028two\x85three"
    file = written(folder, json.dumps(text, ensure_ascii=False).encode())
    assert list(json_lines(file)) == [(1, text)]


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_that_is_too_long_is_one_error(folder: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(lines, "LONGEST", 100)
    content = b'"' + b"x" * 97 + b'"\n' + b'"' + b"x" * 99 + b'"'
    file = written(folder, gzip.compress(content) if packed else content, "x.jsonl.gz" if packed else "x.jsonl")
    with pytest.raises(LineError, match="line 2: longer than 100 bytes"):
        list(json_lines(file))


def test_a_packed_file_cannot_fill_the_memory(folder: Path) -> None:
    file = folder / "bomb.jsonl.gz"
    with gzip.open(file, "wb", compresslevel=1) as stream:
        for _ in range(100):
            stream.write(b"a" * 2**20)
    assert file.stat().st_size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(CorpusError, match="line 1: longer than"):
            list(read_dialogs(file))
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("label", ["0", "no", 2, -1, None, [], 0.5])
def test_a_label_is_0_or_1(folder: Path, label: object) -> None:
    file = written(folder, json.dumps({"context": [], "reply": "hi", "label": label}).encode())
    with pytest.raises(CorpusError, match="a rated reply needs"):
        list(read_ratings(file))


def test_a_folder_and_a_file_that_is_not_there_are_named(folder: Path) -> None:
    for path in (folder, folder / "nowhere.jsonl"):
        with pytest.raises(LineError, match=f"^{path} cannot be read"):
            list(json_lines(path))
