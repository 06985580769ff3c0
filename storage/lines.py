"""Lines of JSON, plain or gzip, in files that others made: no line can fill the memory, whatever it unpacks to."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST = 16 * 2**20
"""Bytes of a line. A dialog of ten thousand messages, with all that was considered for each, has as many."""


class LineError(ValueError):
    """A file that cannot be read; the message names it and, where it has one, the line."""


def json_lines(file: Path) -> Iterator[tuple[int, Any]]:
    """The values of the lines that are not empty, with their numbers. Raises LineError."""
    number = 0
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            while line := lines.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    raise LineError(f"{file}, line {number}: longer than {LONGEST:,} bytes.")
                if line.strip():
                    yield number, _value(line, f"{file}, line {number}")
    except (EOFError, OSError, zlib.error) as error:
        place = f"{file}, near line {number}:" if number or isinstance(error, gzip.BadGzipFile) else str(file)
        raise LineError(f"{place} cannot be read ({error}).") from error


def _value(line: bytes, place: str) -> Any:
    """Escapes may spell half a character, which nothing can write or tokenize."""
    try:
        value = json.loads(line.decode("utf-8-sig"))
        return _whole(value) if b"\\ud" in line.lower() else value
    except (ValueError, RecursionError) as error:  # no JSON, a number of thousands of digits, lists in lists in lists
        raise LineError(f"{place}: cannot be read ({error}).") from error


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return {_whole(key): _whole(each) for key, each in value.items()} if isinstance(value, dict) else value
