"""Help lines: who can help in danger, by language, from a file that an owner can replace (KITH_HELP_LINES)."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bot.settings import UserError
from bot.texts import DEFAULT_LANGUAGE

SHIPPED = Path(__file__).parent / "help_lines.toml"

MOST = 4
"""Lines that are shown at once: more is a wall."""


class HelpLine(BaseModel):
    """One place to turn to."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    line: Annotated[str, Field(min_length=1)]
    purposes: tuple[Literal["despair", "violence", "others", "emergency"], ...] = Field(alias="for", min_length=1)


LINES = TypeAdapter(Mapping[str, Annotated[tuple[HelpLine, ...], Field(min_length=1)]])


class HelpLines:
    """The lines of a file."""

    def __init__(self, lines: Mapping[str, Sequence[HelpLine]]) -> None:
        self._lines = lines

    def shown(self, language: str, purpose: str) -> list[str]:
        """What to show, in a language or else in English, or in the first one that there is."""
        known = self._lines.get(language) or self._lines.get(DEFAULT_LANGUAGE) or next(iter(self._lines.values()))
        return [line.line for line in known if purpose in line.purposes][:MOST]

    def given(self, text: str) -> bool:
        """Whether a reply holds one of them."""
        return any(line.line in text for lines in self._lines.values() for line in lines)


def load_help_lines(file: Path | None = None) -> HelpLines:
    """The lines of a file, by default ours. Raises UserError for one that cannot be used."""
    file = file or SHIPPED
    try:
        lines = LINES.validate_python(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"KITH_HELP_LINES names {file}, which cannot be read ({error}): correct it.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"KITH_HELP_LINES names {file}, which is wrong at {where}: {first['msg']}.") from None
    if not lines:
        raise UserError(f"KITH_HELP_LINES names {file}, which has no lines: bot/help_lines.toml shows the form.")
    return HelpLines(lines)
