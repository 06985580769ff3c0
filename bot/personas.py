"""Who Kith is in a chat: small files with a name and a description by language, and facts in the first person.

Ours lie in persona_files/; owners add theirs in the folder that the setting `personas_dir` names. The file's name
(lower case letters, digits, - and _) identifies a persona, so an owner's friend.toml takes the place of ours.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bot.settings import Settings, UserError

PERSONA_FILES = Path(__file__).parent / "persona_files"

ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""A persona's id travels in callback data, which Telegram limits to 64 bytes."""

Line = Annotated[str, Field(min_length=1)]


class Persona(BaseModel):
    """One way to talk. `name` and `description` are by language code, English at least."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Mapping[str, Line]
    description: Mapping[str, Line]
    facts: tuple[Line, ...] = Field(min_length=1)

    @field_validator("name", "description")
    @classmethod
    def _in_english(cls, texts: Mapping[str, str]) -> Mapping[str, str]:
        if "en" not in texts:
            raise ValueError('an "en" text is needed')
        return texts

    def called(self, language: str) -> str:
        """Its name in a language, or in English."""
        return self.name.get(language, self.name["en"])

    def described(self, language: str) -> str:
        """Its description in a language, or in English."""
        return self.description.get(language, self.description["en"])

    @property
    def system(self) -> str:
        """What the generator is told about itself: the facts, as one text."""
        return " ".join(self.facts)


def load_personas(own: Path | None = None) -> dict[str, Persona]:
    """Our personas and an owner's, by id. Raises UserError for a file or folder that cannot be used."""
    if own is not None and not own.is_dir():
        raise UserError(f"KITH_PERSONAS_DIR names {own}, which is not a folder: correct it or make the folder.")
    folders = (PERSONA_FILES,) if own is None else (PERSONA_FILES, own)
    return {path.stem: _persona(path) for folder in folders for path in sorted(folder.glob("*.toml"))}


def known_persona(personas: Mapping[str, Persona], name: str) -> str:
    """`name` itself. Raises UserError when there is no such persona."""
    if name not in personas:
        raise UserError(f"KITH_PERSONA is {name!r}, which is none of {', '.join(personas)}: choose one of these.")
    return name


def told(settings: Settings) -> str:
    """What the generator is told in a new chat. Raises UserError."""
    personas = load_personas(settings.personas_dir)
    return personas[known_persona(personas, settings.persona)].system


def _persona(path: Path) -> Persona:
    if not ID.fullmatch(path.stem):
        raise UserError(f"{path} cannot be a persona: its name may have a-z, 0-9, - and _, 32 characters at most.")
    try:
        return Persona.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path} is not a persona: {where}: {first['msg']}.") from None
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path} cannot be read as a persona: {error}.") from None
