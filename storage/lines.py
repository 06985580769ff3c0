"""Lines of JSON, plain or gzip, in files that others made: no line can fill the memory, whatever it unpacks to."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

LONGEST = 16 * 2**20
"""Characters of a line. A dialog of ten thousand messages, with all that was considered for each, has as many."""


class LineError(ValueError):
    """A file that cannot be read; the message names it and, where it has one, the line."""


def json_lines(file: Path) -> Iterator[tuple[int, Any]]:
    """The values of the lines that are not empty, with their numbers. Raises LineError."""
    number = 0
    try:
        with _open(file) as lines:
            while line := lines.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    raise LineError(f"{file}, line {number}: longer than {LONGEST:,} characters.")
                if line.strip():
                    yield number, _value(line, f"{file}, line {number}")
    except LineError:
        raise
    except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        place = f", near line {number}:" if number else ""
        raise LineError(f"{file}{place} cannot be read ({error}).") from error


def _open(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig")
    return file.open(encoding="utf-8-sig")


def _value(line: str, place: str) -> Any:
    """Escapes may spell half a character, which nothing can write or tokenize."""
    try:
        value = json.loads(line)
        return _whole(value) if "\\ud" in line.lower() else value
    except (ValueError, RecursionError) as error:  # no JSON, a number of thousands of digits, lists in lists in lists
        raise LineError(f"{place}: cannot be read ({error}).") from error


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return {_whole(key): _whole(each) for key, each in value.items()} if isinstance(value, dict) else value
