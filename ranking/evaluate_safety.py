"""How well danger in messages and unfitness of replies are told, on lines that people wrote: `kith evaluate safety`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ranking.danger import sign
from ranking.features import Batch, unsafe
from ranking.lines import Line, read_lines
from ranking.pool import curated
from ranking.retriever import DANGER
from ranking.safety import VETOES
from storage.corpora import CorpusError
from storage.dialog import Candidate, Context
from storage.estimates import Estimate, Row, share

POOL = "messages of the pool"

Load = Callable[[], Callable[[Batch], Sequence[Sequence[float]]]]
"""Loads the scorer of toxicity, which messages do not need."""


@dataclass(frozen=True, slots=True)
class Told:
    """The figures of a file, the lines that were missed and those that were taken for what they are not."""

    title: str
    rows: list[Row]
    missed: list[str]
    alarms: list[str]


def evaluate_safety(files: Sequence[Path], load: Load) -> list[Told]:
    """A table for each file, of messages or of replies. Raises CorpusError."""
    return [_of_file(file, load) for file in files]


def _of_file(file: Path, load: Load) -> Told:
    lines = read_lines(file)
    verdicts = {line.verdict for line in lines if not line.fine}
    if verdicts == {"danger"}:
        found = [sign(line.text) is not None for line in lines]
        texts = [text for entry in curated() if not entry.id.startswith(DANGER) for text in entry.contexts]
        ordinary = sorted(set(texts))
        extra = [Row(POOL, _figures([], [sign(text) is not None for text in ordinary]))]
        return _told(f"Danger in messages: {file.name}", lines, found, extra)
    if verdicts == {"unfit"}:
        return _told(f"Unfit replies: {file.name}", lines, unfit([line.text for line in lines], load), [])
    raise CorpusError(f"{file} is no file of messages (danger, fine) or of replies (unfit, fine).")


def unfit(texts: Sequence[str], load: Load) -> list[bool]:
    """Whether each reply is vetoed by the word list or by the classifier."""
    candidates = [Candidate(text, "generation", 0.0) for text in texts]
    toxic = load()([(Context(()), candidates)])[0]
    return [p >= VETOES["toxic"] or unsafe(Context(()), c) > 0 for p, c in zip(toxic, candidates, strict=True)]


def _told(title: str, lines: Sequence[Line], found: Sequence[bool], extra: list[Row]) -> Told:
    rows = []
    for language in ("all", *dict.fromkeys(line.language for line in lines)):
        some = [(line, hit) for line, hit in zip(lines, found, strict=True) if language in ("all", line.language)]
        rows.append(Row(language, _figures([h for n, h in some if not n.fine], [h for n, h in some if n.fine])))
    missed = [line.text for line, hit in zip(lines, found, strict=True) if not line.fine and not hit]
    alarms = [line.text for line, hit in zip(lines, found, strict=True) if line.fine and hit]
    wrong = sum(not line.fine for line in lines)
    return Told(f"{title}, {wrong} and {len(lines) - wrong} fine", [*rows, *extra], missed, alarms)


def _figures(wrong: Sequence[bool], fine: Sequence[bool]) -> dict[str, Estimate]:
    return {"found": share(sum(wrong), len(wrong)), "false alarms": share(sum(fine), len(fine))}
