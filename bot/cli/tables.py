"""What `kith evaluate` prints: tables of figures with their 95 % intervals, which fit 120 columns."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.cli.output import show_table

if TYPE_CHECKING:
    from ranking.echo import Echo
    from ranking.evaluate import RankingFigures
    from ranking.rated import Rated
    from ranking.selection import Retrieved, Selected
    from storage.estimates import Estimate, Row

BASELINES = (
    "chance", "reply alone", "BM25", "TF-IDF", "plain MiniLM", "majority", "reply length", "wording", "5-gram",
    "people",
)  # fmt: skip
"""What the names of rows begin with that are there to be compared with."""


def show_ranking(found: "RankingFigures") -> None:
    """Response selection, retrieval, echo and votes."""
    for part in found.selection:
        show_rows(title(part), part.rows)
    show_all_differences(found.selection)
    show_rows(title(found.retrieval), found.retrieval.rows)
    show_rows(title(found.echo), found.echo.rows)
    for judged in found.votes:
        show_rows(title(judged), judged.rows)
    show_all_differences(found.votes)


def show_rows(heading: str, rows: "Sequence[Row]", first: str = "model") -> None:
    """Models down, figures across."""
    names = list(rows[0].figures)
    lines = [(row.model, *(cell(row.figures[name]) for name in names)) for row in rows]
    show_table((first, *(f"#{name}" for name in names)), lines, heading)


def show_all_differences(parts: "Sequence[Selected | Rated]") -> None:
    """Each difference of our models to a baseline; "AUC" alone is that to the baseline that has none itself."""
    baseline = next(row.model for row in parts[0].rows if not row.against)
    for figure in dict.fromkeys(key for row in parts[0].rows if is_ours(row.model) for key in row.against):
        show_differences(figure if " less " in figure else f"{figure} less {baseline}", parts, figure)


def show_differences(heading: str, parts: "Sequence[Selected | Rated]", figure: str) -> None:
    """Sources down, across those of our models that have the difference."""
    models = [row.model for row in parts[0].rows if is_ours(row.model) and figure in row.against]
    lines = []
    for part in parts:
        against = {row.model: row.against[figure] for row in part.rows if figure in row.against}
        lines.append((label(part), *(cell(against[model], signed=True) for model in models)))
    show_table(("source", *(f"#{model}" for model in models)), lines, heading)


def is_ours(model: str) -> bool:
    """Whether a row is of a model that is measured, not of a baseline."""
    return not model.startswith(BASELINES)


def label(part: "Selected | Rated") -> str:
    """The source, and which part of it."""
    return f"{part.source} (new wordings)" if getattr(part, "unseen", False) else part.source


def title(part: "Selected | Retrieved | Rated | Echo") -> str:
    """What a table of it is called."""
    from ranking.echo import Echo
    from ranking.selection import CANDIDATES, Retrieved, Selected

    if isinstance(part, Retrieved):
        return f"Retrieval by the last message alone: the true reply among {part.replies}, {part.contexts} contexts"
    if isinstance(part, Echo):
        return f"Echo: rank of the context itself among {part.candidates} texts, {part.contexts} contexts"
    if isinstance(part, Selected):
        return f"Selection, 1 in {CANDIDATES}: {part.source}, {part.questions} contexts of {part.dialogs} dialogs"
    return (
        f"Votes: {label(part)}, {part.replies} replies of {part.dialogs} dialogs, {100 * part.liked:.0f} % liked; "
        f"true probabilities: ECE {part.floor:.3f}"
    )


def cell(figure: "Estimate", signed: bool = False) -> str:
    """A figure with its interval."""
    return " ".join(shown(figure, signed)).strip()


def shown(figure: "Estimate", signed: bool = False) -> tuple[str, str]:
    """A value and its interval in brackets: three decimals, or one where there are tens; a dash for what is not a
    number, and no brackets without an interval."""
    numbers = figure.value, figure.low, figure.high
    if math.isnan(figure.value):
        return "–", ""
    form = f"{'+' if signed else ''}.{1 if max(map(abs, numbers)) >= 10 else 3}f"
    value, low, high = (format(number, form) for number in numbers)
    if math.isnan(figure.low):
        return value, ""
    return value, f"[{low}, {high}]"
