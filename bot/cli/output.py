"""What verbs print: a table for people or, with --json, a document for programs; and where the logs go."""

import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

WHOLE = ("id", "latest", "time")
"""Columns that are not broken into lines: ids are copied, times compared."""

PIPE_WIDTH = 120
"""Columns of a table that goes into a pipe or a file."""

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def show_json(document: Any) -> None:
    """Prints a document to standard output; dataclasses become objects, times ISO 8601."""
    text = json.dumps(document, ensure_ascii=False, indent=2, default=_plain)
    typer.echo(text.encode("utf-8", "backslashreplace").decode())  # half a character becomes its escape


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Prints a table as wide as the terminal, or PIPE_WIDTH. A column whose name begins with "#" is of numbers."""
    from rich import box
    from rich.console import Console, JustifyMethod
    from rich.table import Table
    from rich.text import Text

    from bot.console_screen import printable

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        justify: JustifyMethod = "right" if name.startswith("#") else "left"
        table.add_column(name.removeprefix("#"), justify=justify, overflow="fold", no_wrap=name in WHOLE)
    for row in rows:
        table.add_row(*(Text(printable(_cell(value))) for value in row))
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    Console(highlight=False, width=None if known else PIPE_WIDTH).print(table)


def log_to_screen(level: str, form: str = "text", secrets: Iterable[str] = ()) -> None:
    """Our own logs from this level on, and the warnings of others, to standard error."""
    from bot.logs import write_log

    write_log(logging.StreamHandler(), level, form, secrets)


def log_to_file(file: Path, level: str, form: str = "text", secrets: Iterable[str] = ()) -> None:
    """The same to the end of a file. Raises UserError when it cannot be written."""
    from bot.logs import write_log
    from bot.settings import UserError

    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(0o600)
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{file} cannot be written ({error.strerror}): set KITH_DATA_DIR to a folder that can."
        ) from None
    write_log(handler, level, form, secrets)


def _cell(value: object) -> str:
    """Times are shown in the zone of this machine."""
    return f"{value.astimezone():%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not fit for JSON")
