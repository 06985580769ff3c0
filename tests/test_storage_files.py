"""Files of records: whole or not at all, and the same records whatever the ending."""

import csv
import gzip
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from storage.files import Columns, ExportError, Record, whole_file, write_records

ROOT = Path(__file__).parent.parent

COLUMNS: Columns = {
    "id": "string",
    "liked": "bool",
    "turns": [{"text": "string", "score": "double", "features": "json"}],
}
RECORDS: list[Record] = [
    {"id": "один", "liked": True, "turns": [{"text": 'a "b",\n\r\u2028', "score": 0.0, "features": {"x": 1.5}}]},
    {"id": "two", "liked": False, "turns": []},
    {"id": "", "liked": True, "turns": [{"text": "", "score": None, "features": {}}]},
]


def read(file: Path) -> list[Any]:
    """The records of a file of any kind."""
    if file.suffix == ".parquet":
        from pyarrow import parquet

        rows: list[Any] = parquet.read_table(file).to_pylist()
        for turn in (turn for row in rows for turn in row["turns"]):
            turn["features"] = json.loads(turn["features"])
        return rows
    text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    with TextIOWrapper(BytesIO(text), encoding="utf-8", newline="") as lines:
        if ".csv" not in file.suffixes:
            return [json.loads(line) for line in lines]
        return [
            {**row, "liked": row["liked"] == "True", "turns": json.loads(row["turns"])} for row in csv.DictReader(lines)
        ]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet", ".JSONL"])
def test_records_come_back_as_they_were(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"export{ending}"
    assert write_records(iter(RECORDS), COLUMNS, file) == 3
    assert read(file) == RECORDS
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet"])
def test_no_records_make_a_file_without_rows(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"export{ending}"
    assert write_records([], COLUMNS, file) == 0
    assert read(file) == []


def test_parquet_has_the_columns_of_the_shape_however_many_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet

    monkeypatch.setattr("storage.files.ROW_GROUP_BYTES", 1)
    file = tmp_path / "export.parquet"
    assert write_records(RECORDS * 40, COLUMNS, file) == 120
    assert parquet.ParquetFile(file).num_row_groups == 3
    assert read(file) == RECORDS * 40
    assert parquet.read_schema(file).names == list(COLUMNS)


def test_packed_files_of_the_same_records_are_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"]
    for file in files:
        write_records(RECORDS, COLUMNS, file)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("name", ["export", "export.json", "export.xlsx", "export.gz", "export.parquet.gz"])
def test_an_unknown_ending_is_told_with_those_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match=r"\.jsonl, \.jsonl\.gz, \.csv, \.csv\.gz, \.parquet\.$"):
        write_records(RECORDS, COLUMNS, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_parquet_without_its_library_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExportError, match=r"pip install -e '\.\[parquet\]'"):
        write_records(RECORDS, COLUMNS, tmp_path / "export.parquet")


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".csv.gz", ".parquet"])
def test_an_export_that_fails_leaves_the_old_file_as_it_was(tmp_path: Path, ending: str) -> None:
    def records() -> Iterator[Record]:
        yield from RECORDS
        raise RuntimeError("the log went away")

    file = tmp_path / f"export{ending}"
    file.write_text("old")
    with pytest.raises(RuntimeError, match="the log went away"):
        write_records(records(), COLUMNS, file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet"])
def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"export{ending}"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))  # what is over 20 bytes fails, as on a full disk
    try:
        with pytest.raises(ExportError, match=r"cannot be written \(.+\)\.$"):
            write_records(RECORDS, COLUMNS, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_killed_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text("old")
    script = (
        "import sys; from pathlib import Path; from storage.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as stream:\n"
        "    stream.write(b'half'); stream.flush(); print('written', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert file.read_text() == "old"
    assert [part.read_text() for part in tmp_path.glob("export.jsonl.*.part")] == ["half"]


def test_only_its_owner_reads_an_export_and_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(target)
    with whole_file(link) as stream:
        stream.write(b"private")
    assert link.is_symlink()
    assert target.read_bytes() == b"private"
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_folder_and_a_missing_folder_are_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(ExportError, match="is a folder: name a file"):
        write_records(RECORDS, COLUMNS, tmp_path / "folder.jsonl")
    with pytest.raises(ExportError, match=r"nowhere/export.jsonl cannot be written \(No such file or directory\)\.$"):
        write_records(RECORDS, COLUMNS, tmp_path / "nowhere" / "export.jsonl")


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1"])
def test_a_spreadsheet_calculates_nothing_of_what_people_say(tmp_path: Path, text: str) -> None:
    record = {"id": text, "score": -1, "turns": ["=1"]}
    for name in ("x.csv", "x.jsonl"):
        write_records([record], {"id": "string", "score": "int64", "turns": ["string"]}, tmp_path / name)
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as lines:
        assert list(csv.DictReader(lines)) == [{"id": f"'{text}", "score": "-1", "turns": '["=1"]'}]
    assert json.loads((tmp_path / "x.jsonl").read_text()) == record
