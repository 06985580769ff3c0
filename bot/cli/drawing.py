"""How our pages' pictures look, by matplotlib: as SVG with real text, so that they are sharp and take the page's type,
once for a light and once for a dark page; and as PNG."""

import base64
import io
import math
import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, RULE, PALE = "#33373d", "#6d737c", "#dcd9d2", "#c3c6cb"
BLUE, ORANGE, GREEN, BROWN, SLATE = "#2f6690", "#c8642b", "#4f7f5b", "#a39274", "#7b8794"
GRID, PAPER = "#eceae5", "#fbfaf7"

DARK = {
    INK: "#e4e2dd", QUIET: "#a2a8b1", RULE: "#43474d", PALE: "#5b6068", GRID: "#2b2f34", PAPER: "#16181b",
    BLUE: "#74add9", ORANGE: "#e8925f", GREEN: "#84bb92", BROWN: "#bfae8f", SLATE: "#98a4b1",
}  # fmt: skip
"""What takes each colour's place on a dark page."""

WIDTH = 9.6
"""Inches of a picture, which a wide page shows 1056 pixels wide: 9 points of type come to 14 pixels."""

NARROW = 3.9
"""The same for a page on a phone: in the 328 pixels there 9 points of type come to 10.5, on a larger screen to 14."""

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Helvetica Neue", "Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": RULE,
    "axes.labelcolor": QUIET,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.titlepad": 7.0,
    "axes.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "legend.frameon": False,
    "figure.constrained_layout.w_pad": 0.09,
    "figure.constrained_layout.h_pad": 0.07,
    "svg.fonttype": "none",
    "svg.hashsalt": "kith",
}

P = ParamSpec("P")


def styled(draw: "Callable[P, Figure]") -> "Callable[P, Figure]":
    """A drawing in our style."""

    @wraps(draw)
    def drawn(*arguments: P.args, **named: P.kwargs) -> "Figure":
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **named)

    return drawn


def grid(
    panels: int, columns: int, height: float, shared: bool = True, width: float = WIDTH
) -> "tuple[Figure, list[Axes]]":
    """A figure with so many panels of so many inches' height, their axes shared. What has no panel below it has the
    numbers of its axis."""
    from matplotlib.figure import Figure

    columns = min(columns, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(width, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).ravel().tolist()
    for spare in axes[panels:]:
        spare.set_visible(False)
    for lowest in axes[max(0, panels - columns) : panels]:
        lowest.tick_params(labelbottom=True)
    return figure, axes[:panels]


def as_svg(figure: "Figure") -> str:
    """A figure as SVG, for a light page."""
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):  # type is written as text or as paths here, not when it is drawn
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return stream.getvalue().decode()


def as_png(figure: "Figure") -> bytes:
    """A figure as PNG, on the page's paper; three times as fine as a screen of old."""
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(stream, format="png", dpi=288, facecolor=PAPER)
    return stream.getvalue()


def darkened(svg: str) -> str:
    """The same picture for a dark page."""
    return re.sub("|".join(DARK), lambda found: DARK[found[0]], svg)


def data_uri(svg: str) -> str:
    """SVG as an address that holds it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
