"""Pages that need nothing besides themselves, light or dark as the reader's screen is: pictures, what is seen in them,
and all numbers with their intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bot.cli.drawing import as_svg, darkened, data_uri
from bot.cli.tables import is_ours, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from storage.estimates import Estimate, Row

STYLE = Path(__file__).parent / "page.css"


@dataclass(frozen=True, slots=True)
class Listing:
    """A table of words: its columns, of which the first is the widest, and its lines."""

    columns: Sequence[str]
    lines: Sequence[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what was asked, pictures each with a sentence, what else is to be said, and tables by caption: of
    words, which are shown, and of numbers, which can be opened."""

    heading: str
    about: str
    pictures: "Sequence[tuple[Figure, str]]" = ()
    tables: "Mapping[str, Sequence[Row]]" = field(default_factory=dict)
    notes: Sequence[str] = ()
    listings: Mapping[str, Listing] = field(default_factory=dict)


def whole_page(title: str, layout: Literal["wide", "narrow"], parts: Iterable[str]) -> str:
    """The document. On a narrow one pictures are as wide as a phone."""
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f'<body class="{layout}"><main>\n{body}\n</main></body></html>\n'
    )


def as_html(section: Section) -> str:
    """A section."""
    parts = [f"<h2>{escape(section.heading)}</h2>", f"<p>{escape(section.about)}</p>"]
    parts += [_figure(figure, sentence) for figure, sentence in section.pictures]
    parts += [f'<p class="note">{escape(note)}</p>' for note in section.notes]
    parts += [_listing(caption, listing) for caption, listing in section.listings.items()]
    if section.tables:
        tables = "\n".join(_table(caption, rows) for caption, rows in section.tables.items())
        parts.append(f'<details><summary>All numbers</summary><div class="scroll">{tables}</div></details>')
    return "\n".join(parts)


def cell(figure: "Estimate", signed: bool = False) -> str:
    """A value with its interval."""
    value, interval = shown(figure, signed)
    return f"{value}<i>{interval}</i>".replace("-", "\N{MINUS SIGN}")


def facts(caption: str, told: Iterable[tuple[str, object]]) -> str:
    """Names and values, which can be opened."""
    lines = (
        f"<tr><td>{escape(name)}</td><td class='long'><code>{escape(str(value))}</code></td></tr>"
        for name, value in told
    )
    table = f"<table class='facts'>{''.join(lines)}</table>"
    return f"<details><summary>{caption}</summary><div class='scroll'>{table}</div></details>"


def _figure(figure: "Figure", sentence: str) -> str:
    svg = as_svg(figure)
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="{data_uri(darkened(svg))}">'
    image = f'<picture>{dark}<img alt="{escape(sentence)}" src="{data_uri(svg)}"></picture>'
    return f'<figure><figcaption>{escape(sentence)}</figcaption><div class="scroll">{image}</div></figure>'


def _listing(caption: str, listing: Listing) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in listing.columns)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(str(value))}</td>' for value in line)}</tr>" for line in listing.lines)
    return f'<table class="words"><caption>{escape(caption)}</caption><tr>{head}</tr>{lines}</table>'


def _table(caption: str, rows: "Sequence[Row]") -> str:
    names = list(rows[0].figures)
    compared = list(dict.fromkeys(name for row in rows for name in row.against))
    heads = ["", *names, *(name if " less " in name else f"{name}, difference" for name in compared)]
    some_are_baselines = not all(is_ours(row.model) for row in rows)
    lines = []
    for row in rows:
        cells = [cell(row.figures[name]) for name in names]
        cells += [cell(row.against[name], signed=True) if name in row.against else "" for name in compared]
        ours = ' class="ours"' if some_are_baselines and is_ours(row.model) else ""
        lines.append(f"<tr{ours}><td>{escape(row.model)}</td>{''.join(f'<td>{each}</td>' for each in cells)}</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{''.join(lines)}</table>"
