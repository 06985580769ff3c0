"""Lines that were written to learn from or to measure with: `[verdict.language]` tables of lists by kind, in TOML."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from storage.corpora import CorpusError

FINE = "fine"
"""The verdict of lines that nothing is wrong with."""


@dataclass(frozen=True, slots=True)
class Line:
    """A message or reply, and whether something is wrong with it: `verdict` is "danger", "unfit" or FINE."""

    text: str
    verdict: str
    language: str
    kind: str

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.verdict == FINE


def read_lines(file: Path) -> list[Line]:
    """The lines of a file. Raises CorpusError when it has another shape."""
    try:
        read = tomllib.loads(file.read_text(encoding="utf-8"))
        lines = [
            Line(text, verdict, language, kind)
            for verdict, languages in read.items()
            for language, kinds in languages.items()
            for kind, texts in kinds.items()
            for text in texts
        ]
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise CorpusError(
            f"{file} is not a file of lines ({error}): [danger.en] with lists of texts is needed."
        ) from error
    if not all(isinstance(line.text, str) for line in lines):
        raise CorpusError(f"{file} is not a file of lines: all of its lists must hold texts.")
    return lines
