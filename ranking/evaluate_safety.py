"""How well danger in messages and unfitness of replies are told, on lines that people wrote: `kith evaluate safety`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from ranking.danger import DangerSigns
from ranking.danger_rules import by_rules
from ranking.features import Batch, unsafe
from ranking.lines import Line, read_lines
from ranking.pool import curated
from ranking.pool_index import DANGER
from ranking.safety import VETOES
from storage.corpora import CorpusError
from storage.dialog import Candidate, Context, Message
from storage.estimates import Estimate, Row, share

POOL = "messages of the pool"

AHEAD = 256
"""Messages that are read at once."""

Load = Callable[[], Callable[[Batch], Sequence[Sequence[float]]]]
"""Loads the scorer of toxicity, which messages do not need."""

Tell = Callable[[Sequence[str]], list[bool]]
"""Which texts are told from the fine ones."""


@dataclass(frozen=True, slots=True)
class Told:
    """The figures of a file, the lines that were missed and those that were taken for what they are not."""

    title: str
    rows: list[Row]
    missed: list[str]
    alarms: list[str]


def evaluate_safety(files: Sequence[Path], danger: DangerSigns, load: Load) -> list[Told]:
    """For each file of replies a table; for each of messages, which may all be fine, three: what rules find, what they
    or the classifier do, what is met calmly at least. Raises CorpusError."""
    return [told for file in files for told in _of_file(file, danger, load)]


def _of_file(file: Path, danger: DangerSigns, load: Load) -> list[Told]:
    lines = read_lines(file)
    verdicts = {line.verdict for line in lines if not line.fine}
    if lines and verdicts <= {"danger"}:
        return [
            replace(
                _told(f"Danger in {file.name}, by rules alone", lines, by_rules_alone, _pool()), missed=[], alarms=[]
            ),
            _told(f"Danger in {file.name}, by rules or classifier", lines, partial(signs, danger=danger), _pool()),
            replace(
                _told(f"Danger in {file.name}, met calmly at least", lines, partial(calmly, danger=danger), _pool()),
                missed=[],
                alarms=[],
            ),
        ]
    if verdicts == {"unfit"}:
        return [_told(f"Unfit replies in {file.name}", lines, partial(unfit, load=load))]
    raise CorpusError(f"{file} is no file of messages (danger, fine) or of replies (unfit, fine).")


@cache
def _pool() -> tuple[str, ...]:
    """Ordinary messages. The classifier was fitted to them, so what it makes of them flatters it."""
    texts = {text for entry in curated() if not entry.id.startswith(DANGER) for text in entry.contexts}
    return tuple(sorted(texts))


def by_rules_alone(texts: Sequence[str]) -> list[bool]:
    """Whether a rule takes each message for danger."""
    return [by_rules(text) is not None for text in texts]


def signs(texts: Sequence[str], danger: DangerSigns) -> list[bool]:
    """Whether each message gets help lines."""
    found = []
    for start in range(0, len(texts), AHEAD):
        danger.read_ahead(texts[start : start + AHEAD])
        found += [danger.sign(text) is not None for text in texts[start : start + AHEAD]]
    return found


def calmly(texts: Sequence[str], danger: DangerSigns) -> list[bool]:
    """Whether each message gets help lines or calm words."""
    contexts = [Context((Message("user", text),)) for text in texts]
    told = zip(signs(texts, danger), contexts, strict=True)
    return [sign or danger.doubtful(context) for sign, context in told]


def unfit(texts: Sequence[str], load: Load) -> list[bool]:
    """Whether each reply is vetoed by the word list or by the classifier."""
    candidates = [Candidate(text, "generation", 0.0) for text in texts]
    toxic = load()([(Context(()), candidates)])[0]
    return [p >= VETOES["toxic"] or unsafe(Context(()), c) > 0 for p, c in zip(toxic, candidates, strict=True)]


def _told(title: str, lines: Sequence[Line], tell: Tell, ordinary: Sequence[str] = ()) -> Told:
    found = tell([line.text for line in lines])
    told = list(zip(lines, found, strict=True))
    wrong, fine = [(line, hit) for line, hit in told if not line.fine], [(line, hit) for line, hit in told if line.fine]
    rows = [
        Row(language, _figures([h for n, h in wrong if _is(n, language)], [h for n, h in fine if _is(n, language)]))
        for language in ("all", *dict.fromkeys(line.language for line in lines))
    ]
    for kind in dict.fromkeys(line.kind for line, _ in wrong):
        rows.append(Row(kind, _figures([hit for line, hit in wrong if line.kind == kind], [])))
    if ordinary:
        rows.append(Row(POOL, _figures([], tell(ordinary))))
    missed, alarms = [line.text for line, hit in wrong if not hit], [line.text for line, hit in fine if hit]
    return Told(f"{title}, {len(wrong)} and {len(fine)} fine", rows, missed, alarms)


def _is(line: Line, language: str) -> bool:
    return language in ("all", line.language)


def _figures(wrong: Sequence[bool], fine: Sequence[bool]) -> dict[str, Estimate]:
    return {"found": share(sum(wrong), len(wrong)), "false alarms": share(sum(fine), len(fine))}
