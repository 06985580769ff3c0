"""Precision and recall of storage/redaction.py on lines that we wrote, with 95 % intervals by bootstrap over lines:

    python tests/redaction_scores.py test        # or dev: its misses are shown too

A line has what is to be found as {kind:text}. It counts as found when all its letters and digits are inside spans of
that kind, and a span as right when it touches something of its kind.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.estimates import RESAMPLES, Estimate
from storage.redaction import KINDS, Span, find

MARK = re.compile(r"\{(\w+):([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Line:
    """A text and what is in it."""

    text: str
    spans: tuple[Span, ...]


def read_lines(name: str) -> list[Line]:
    """The lines of tests/redaction_NAME.txt."""
    content = Path(__file__).with_name(f"redaction_{name}.txt").read_text(encoding="utf-8")
    return [read_line(line) for line in content.splitlines()]


def read_line(marked: str) -> Line:
    """A line without its marks."""
    text, spans, last = "", [], 0
    for mark in MARK.finditer(marked):
        text += marked[last : mark.start()]
        spans.append(Span(len(text), len(text) + len(mark[2]), mark[1]))
        text, last = text + mark[2], mark.end()
    return Line(text + marked[last:], tuple(spans))


def counts(line: Line) -> dict[str, tuple[int, int, int, int]]:
    """By kind: what is there, what of it was found, spans made, spans that are right."""
    made = find(line.text)
    table = {}
    for kind in KINDS:
        there = [span for span in line.spans if span.kind == kind]
        of_kind = [span for span in made if span.kind == kind]
        found = sum(covered(line.text, span, of_kind) for span in there)
        right = sum(any(a.start < b.end and b.start < a.end for b in there) for a in of_kind)
        table[kind] = len(there), found, len(of_kind), right
    return table


def covered(text: str, span: Span, made: Sequence[Span]) -> bool:
    """Whether no letter or digit of a span is outside of these."""
    inside = {place for each in made for place in range(each.start, each.end)}
    return all(place in inside or not text[place].isalnum() for place in range(span.start, span.end))


def scores(lines: Sequence[Line]) -> dict[str, tuple[int, Estimate, Estimate]]:
    """By kind and for "all": how many there are, precision, recall."""
    by_line = [counts(line) for line in lines]
    cube = np.array([[table[kind] for kind in KINDS] for table in by_line], float)
    cube = np.concatenate([cube, cube.sum(1, keepdims=True)], axis=1)
    random = np.random.default_rng(0)
    samples = [cube[random.integers(len(cube), size=len(cube))].sum(0) for _ in range(RESAMPLES)]
    whole = cube.sum(0)
    return {
        kind: (int(whole[row, 0]), interval(whole, samples, row, 3, 2), interval(whole, samples, row, 1, 0))
        for row, kind in enumerate((*KINDS, "all"))
    }


def interval(whole: np.ndarray, samples: Sequence[np.ndarray], row: int, part: int, of: int) -> Estimate:
    """A share with its interval."""
    shares = [sample[row, part] / sample[row, of] for sample in samples if sample[row, of]]
    low, high = np.percentile(shares, (2.5, 97.5)) if shares else (np.nan, np.nan)
    return Estimate(float(whole[row, part] / max(whole[row, of], 1)), float(low), float(high))


def main(name: str) -> None:
    lines = read_lines(name)
    if name == "dev":
        for line in lines:
            if any(there != found or made != right for there, found, made, right in counts(line).values()):
                print(line.text, "|", [(span.kind, line.text[span.start : span.end]) for span in find(line.text)])
    for title, some in (
        ("all", lines),
        ("en", [x for x in lines if not cyrillic(x)]),
        ("ru", list(filter(cyrillic, lines))),
    ):
        print(f"\n{title}: {len(some)} lines")
        for kind, (count, precision, recall) in scores(some).items():
            print(f"| {kind} | {count} | {precision} | {recall} |")


def cyrillic(line: Line) -> bool:
    return bool(re.search("[а-яё]", line.text.lower()))


if __name__ == "__main__":
    main(sys.argv[1])
