"""What the interface says, from one catalogue file a language: catalogue/en.toml, catalogue/ru.toml.

A language is added by adding its file, with the keys and placeholders that the others have.
"""

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.protocols import Fallback
from storage.dialog import Context

CATALOGUES = Path(__file__).parent / "catalogue"
DEFAULT_LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that the interface says in one language."""

    language: str
    """What the language calls itself."""
    commands: Mapping[str, str]
    """The commands and what each does, in the order of the menu."""
    admin: Mapping[str, str]
    """The commands that only admins have, likewise."""
    reasons: Mapping[str, str]
    """What was wrong with a reply, by `storage.dialog.REASONS`."""
    fallback: tuple[str, ...]
    """Replies for when no candidate is fit to be said."""
    moderated: Mapping[str, tuple[str, ...]]
    """Texts for moments that are no place for a model, by what they are for."""
    says: Mapping[str, str]
    """All other texts, by key."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The catalogues by language code."""

    catalogues: Mapping[str, Catalogue]

    def language(self, code: str | None) -> str:
        """The language to speak with somebody whose app says `code` ("ru", "pt-BR", None): English where in doubt."""
        language = "" if code is None else code.partition("-")[0].lower()
        return language if language in self.catalogues else DEFAULT_LANGUAGE

    def of(self, language: str) -> Catalogue:
        """The catalogue of a language; the English one where there is none."""
        return self.catalogues[self.language(language)]

    def say(self, language: str, key: str, **values: str) -> str:
        """The text `key` with its placeholders filled in. An unknown key is a KeyError."""
        return self.of(language).says[key].format(**values)


def load_texts(folder: Path = CATALOGUES) -> Texts:
    """All catalogues of a folder; the file's name is the language code."""
    return Texts({path.stem: _catalogue(path) for path in sorted(folder.glob("*.toml"))})


def fallback(texts: Texts) -> Fallback:
    """Says that no good words were found, in words that this dialog has not heard yet as long as there are any."""

    def say(context: Context, language: str) -> str:
        replies = texts.of(language).fallback
        heard = {*context.said("assistant"), *context.rejected}
        unheard = [reply for reply in replies if reply not in heard]
        return random.choice(unheard if unheard else replies)

    return say


def _catalogue(path: Path) -> Catalogue:
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return Catalogue(
        language=content["language"],
        commands=content["commands"],
        admin=content["admin"],
        reasons=content["reasons"],
        fallback=tuple(content["fallback"]),
        moderated={key: tuple(texts) for key, texts in content["moderated"].items()},
        says={key: text.strip() for key, text in content["says"].items()},
    )
