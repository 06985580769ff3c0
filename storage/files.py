"""Records into files: JSON lines, CSV or Parquet by the file's ending. A file appears whole or not at all."""

import csv
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BufferedWriter, TextIOWrapper
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow

Record: TypeAlias = dict[str, Any]

Shape: TypeAlias = "str | list[Shape] | dict[str, Shape]"
"""What a value is: an Arrow type by name, "json" (a mapping with keys of its own), [shape of the elements] or
{key: shape}."""

Columns: TypeAlias = dict[str, Shape]
"""The shape of a record."""

Writer: TypeAlias = Callable[[Iterable[Record], Columns, IO[bytes]], int]
"""Writes records and says how many they were."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With what a text begins that spreadsheets take for a formula; they skip spaces at its front."""

PIECE = 50
"""Records that become Arrow's columns at once; as Python objects they take ten times the memory."""

ROW_GROUP_BYTES = 8 * 2**20
"""What Parquet keeps in memory before it is written."""


class ExportError(Exception):
    """An export that cannot be made: one sentence that says why and what to do."""


def writer_for(file: Path) -> Writer:
    """What writes files with this ending. Raises ExportError for an unknown one, or when its library is missing."""
    ending = next((ending for ending in WRITERS if file.name.lower().endswith(ending)), None)
    if ending is None:
        raise ExportError(f"{file} has no known ending: use {', '.join(WRITERS)}.")
    if ending == ".parquet" and find_spec("pyarrow") is None:
        raise ExportError("Parquet needs pyarrow: pip install -e '.[parquet]' where Kith's source is.")
    return WRITERS[ending]


def write_records(records: Iterable[Record], columns: Columns, file: Path | None) -> int:
    """Writes records into a file, or as JSON lines to standard output; how many. Raises ExportError."""
    if file is None:
        return _write_jsonl(records, columns, sys.stdout.buffer)
    write = writer_for(file)
    with whole_file(file) as stream:
        return write(records, columns, stream)


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Where to write a file, which takes its name when it is done; an error leaves nothing behind. Its folder is made.
    For what can be made again: what cannot be outlasts a power cut by `whole_file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent) as folder:
        scratch = Path(folder) / file.name
        yield scratch
        scratch.replace(file)


@contextmanager
def whole_file(file: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its name when all of it is on the disk; nobody but its owner may read it.

    An error leaves nothing behind, a power cut or kill -9 at most a "….part" beside it. Raises ExportError.
    """
    try:
        file = file.resolve()  # a link stays one
        if file.is_dir():
            raise ExportError(f"{file} is a folder: name a file.")
        # Not deleted by itself, since it is to be renamed; made with mode 0600, for a log of private talk.
        with NamedTemporaryFile(dir=file.parent, prefix=f"{file.name}.", suffix=".part", delete=False) as stream:
            part = Path(stream.name)
            try:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                part.replace(file)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        _sync_folder(file.parent)
    except OSError as error:
        raise ExportError(f"{file} cannot be written ({error.strerror}).") from error


def _sync_folder(folder: Path) -> None:
    """Makes a new name in a folder outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_jsonl(records: Iterable[Record], columns: Columns, stream: IO[bytes]) -> int:
    count = 0
    for record in records:
        stream.write(_json(record).encode() + b"\n")
        count += 1
    stream.flush()
    return count


def _write_csv(records: Iterable[Record], columns: Columns, stream: IO[bytes]) -> int:
    """Nested values become JSON. A text that a spreadsheet would calculate gets an apostrophe before it: what people
    say to the bot must not run on its owner's desk. Some readers take a text such as "NA" for none. Other kinds of
    files know none of this."""
    text = TextIOWrapper(stream, encoding="utf-8", newline="")
    rows = csv.writer(text)
    rows.writerow(columns)
    count = 0
    for record in records:
        rows.writerow(_cell(record[name]) for name in columns)
        count += 1
    text.detach()  # flushes; the stream is closed by whoever opened it
    return count


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return _json(value)
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA) else value


def _write_parquet(records: Iterable[Record], columns: Columns, stream: IO[bytes]) -> int:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, _arrow(shape)) for name, shape in columns.items()])
    rows = iter(records)
    group = schema.empty_table()
    count = 0
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        while piece := [_as_columns(record, columns) for record in islice(rows, PIECE)]:
            count += len(piece)
            group = pyarrow.concat_tables([group, pyarrow.Table.from_pylist(piece, schema=schema)])
            if group.nbytes >= ROW_GROUP_BYTES:
                writer.write_table(group)
                group = schema.empty_table()
        if len(group):
            writer.write_table(group)
    return count


def _zipped(write: Writer) -> Writer:
    def write_zipped(records: Iterable[Record], columns: Columns, stream: IO[bytes]) -> int:
        # Without name and time of the temporary file, so that the same records make the same bytes.
        zipped = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0)
        with BufferedWriter(zipped) as buffer:
            return write(records, columns, buffer)

    return write_zipped


WRITERS: dict[str, Writer] = {
    ".jsonl": _write_jsonl,
    ".jsonl.gz": _zipped(_write_jsonl),
    ".csv": _write_csv,
    ".csv.gz": _zipped(_write_csv),
    ".parquet": _write_parquet,
}


def _arrow(shape: Shape) -> "pyarrow.DataType":
    import pyarrow

    if isinstance(shape, list):
        return pyarrow.list_(_arrow(shape[0]))
    if isinstance(shape, dict):
        return pyarrow.struct([(name, _arrow(inner)) for name, inner in shape.items()])
    # Arrow's map would fit, but `datasets` does not read it.
    return pyarrow.string() if shape == "json" else pyarrow.type_for_alias(shape)


def _as_columns(value: Any, shape: Shape) -> Any:
    """A value with its mappings of free keys as JSON."""
    if shape == "json":
        return _json(value)
    if isinstance(shape, list):
        return [_as_columns(element, shape[0]) for element in value]
    if isinstance(shape, dict):
        return {name: _as_columns(value[name], inner) for name, inner in shape.items()}
    return value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
