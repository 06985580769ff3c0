"""The pictures of `kith evaluate all`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bot.cli.drawing import BLUE, BROWN, GREEN, INK, ORANGE, PALE, QUIET, SLATE, grid, styled
from bot.cli.tables import is_ours, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bot.ablation import Talked
    from generation.evaluate import Bits
    from generation.replies import Replies
    from ranking.echo import Echo
    from ranking.fit import Fit
    from ranking.metrics import Bin
    from ranking.rated import Rated
    from ranking.selection import Selected
    from storage.estimates import Estimate, Row


def colour(model: str) -> str:
    """Ours stand out, baselines step back."""
    if is_ours(model):
        return BLUE if model.startswith("retriever") else ORANGE if model.startswith("ranker") else GREEN
    if model.startswith(("plain MiniLM", "people")):
        return SLATE
    return PALE if model in ("chance", "majority", "reply alone") else BROWN


@styled
def recall_curves(selected: "Sequence[Selected]") -> "Figure":
    """R@k for k = 1 to 20, a panel a source."""
    figure, panels = grid(len(selected), 3, 2.5)
    for axes, part in zip(panels, selected, strict=True):
        for model, shares in part.curves.items():
            ours = is_ours(model)
            line = "--" if model.endswith(("last message", "P(like)")) else ":" if colour(model) == PALE else "-"
            axes.plot(
                range(1, len(shares) + 1), shares, line, color=colour(model), linewidth=2.0 if ours else 1.2,
                zorder=3 if ours else 2, label=model,
            )  # fmt: skip
        axes.set_title(f"{part.source}, n = {part.questions}")
        axes.set(xlim=(1, 20), ylim=(0, 1.01), xticks=[1, 2, 5, 10, 15, 20])
    for axes in panels[::3]:
        axes.set_ylabel("found among the first k")
    panels[-1].set_xlabel("k")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def bars(axes: "Axes", named: "Iterable[tuple[str, Estimate]]", start: float = 0.0, digits: int = 2) -> None:
    """Horizontal bars from `start`, the first on top, each with its interval and, at the right, its value."""
    from matplotlib.transforms import blended_transform_factory

    rows = list(named)
    right = blended_transform_factory(axes.transAxes, axes.transData)
    for place, (model, figure) in enumerate(rows):
        if math.isnan(figure.value):
            continue
        axes.barh(place, figure.value - start, left=start, height=0.62, color=colour(model), alpha=0.85, zorder=2)
        axes.plot([figure.low, figure.high], [place, place], color=INK, linewidth=1.1, zorder=3)
        axes.text(1.02, place, f"{figure.value:.{digits}f}", transform=right, va="center", fontsize=8.5)
    axes.set_yticks(range(len(rows)), [model for model, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def beside(axes: "Axes", text: str, place: tuple[float, float]) -> None:
    """A remark in small type, a little to the right of a place."""
    axes.annotate(
        text, place, (4, 0), textcoords="offset points", color=QUIET, fontsize=8.5, va="bottom", annotation_clip=False
    )


@styled
def recall_bars(selected: "Sequence[Selected]") -> "Figure":
    """R@1 with its interval, a panel a source."""
    figure, panels = grid(len(selected), 3, 0.45 + 0.24 * len(selected[0].rows))
    for axes, part in zip(panels, selected, strict=True):
        bars(axes, ((row.model, row.figures["R@1"]) for row in part.rows))
        axes.set_title(f"{part.source}, n = {part.questions}")
        axes.set_xlim(0, 1)
    return figure


@styled
def echo_bars(echo: "Echo") -> "Figure":
    """The mean rank of the context itself, beside what Replika published."""
    figure, [axes] = grid(1, 1, 0.9 + 0.3 * len(echo.rows))
    bars(axes, ((row.model, row.figures["mean rank"]) for row in echo.rows), digits=1)
    for rank, text in ((0.9, "Replika before: 0.9"), (19.4, "Replika after: 19.4")):
        axes.axvline(rank, color=QUIET, linewidth=0.9, linestyle=":", zorder=1)
        beside(axes, text, (rank, -0.62))
    axes.set_xlim(0, max(24.0, *(row.figures["mean rank"].high * 1.05 for row in echo.rows)))
    axes.set_xlabel(f"replies nearer to the context than its own last message, of {echo.candidates} (mean)")
    return figure


@styled
def vote_bars(rated: "Sequence[Rated]") -> "Figure":
    """AUC with its interval, a panel a source: all replies, and those in words that are new."""
    figure, panels = grid(len(rated), 2, 0.45 + 0.26 * len(rated[0].rows))
    for axes, part in zip(panels, rated, strict=True):
        bars(axes, ((row.model, row.figures["AUC"]) for row in part.rows), start=0.5)
        axes.set_title(f"{label(part)}, n = {part.replies}")
        axes.axvline(0.5, color=QUIET, linewidth=0.9)
        axes.set_xlim(0.3, 1)
    panels[-1].set_xlabel("AUC; 0.5 knows nothing")
    return figure


@styled
def reliability(rated: "Sequence[Rated]") -> "Figure":
    """The share of likes against the predicted probability, a panel a source; 95 % intervals by Wilson's formula."""
    figure, panels = grid(len(rated), 4, 2.7)
    for axes, part in zip(panels, rated, strict=True):
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.9, linestyle=":", zorder=1)
        for found in part.bins:
            axes.plot([found.predicted] * 2, wilson(found), color=ORANGE, linewidth=1.0, alpha=0.55, zorder=2)
        axes.plot(
            [b.predicted for b in part.bins], [b.liked for b in part.bins], "o", color=ORANGE, markersize=4, zorder=3
        )
        axes.set_title(f"{part.source}, n = {part.replies}")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    panels[0].set_ylabel("share of likes")
    panels[0].set_xlabel("predicted probability of a like")
    return figure


def wilson(found: "Bin", z: float = 1.96) -> tuple[float, float]:
    """The interval of a share (Wilson 1927)."""
    share, count = found.liked, found.items
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - half, middle + half


@styled
def pool_lines(rows: "Sequence[Row]", abstains: float) -> "Figure":
    """What is found, and how much of it is right, by threshold of similarity."""
    figure, [axes] = grid(1, 1, 2.8)
    thresholds = [float(row.model) for row in rows]
    for name, shade in (("found", SLATE), ("of the right situation", BLUE)):
        shown = [row.figures[name] for row in rows]
        axes.fill_between(thresholds, [f.low for f in shown], [f.high for f in shown], color=shade, alpha=0.15, lw=0)
        axes.plot(thresholds, [f.value for f in shown], color=shade, linewidth=2.0)
        axes.text(thresholds[-1] + 0.008, shown[-1].value, name, color=shade, va="center")
    axes.axvline(abstains, color=QUIET, linewidth=0.9, linestyle=":")
    beside(axes, "proposes from here on", (abstains, 0.03))
    axes.set(xlim=(thresholds[0], thresholds[-1] + 0.12), ylim=(0, 1.02), xlabel="similarity")
    axes.set_xticks(thresholds[::2])
    return figure


@styled
def bit_bars(found: "Bits") -> "Figure":
    """Bits per character with their intervals, a panel a source."""
    sources = list(found.rows[0].figures)
    figure, panels = grid(len(sources), 3, 0.5 + 0.24 * len(found.rows))
    for axes, source in zip(panels, sources, strict=True):
        bars(axes, ((row.model, row.figures[source]) for row in found.rows))
        axes.set_title(f"{source}, n = {found.dialogs.get(source, 0)}")
        axes.set_xlim(0, 1.05 * max(figure.high for row in found.rows for figure in row.figures.values()))
    panels[-1].set_xlabel("bits per character")
    return figure


@styled
def policy_bars(found: "Fit") -> "Figure":
    """What features count in the total, the largest first."""
    strengths = found.strengths
    figure, [axes] = grid(1, 1, 0.9 + 0.24 * len(strengths))
    values = list(strengths.values())
    axes.barh(
        range(len(values)), values, height=0.62, color=[GREEN if value > 0 else BROWN for value in values], alpha=0.85
    )
    right = axes.get_yaxis_transform()
    for place, value in enumerate(values):
        axes.text(
            1.02, place, f"{value:+.2f}".replace("-", "\N{MINUS SIGN}"), transform=right, va="center", fontsize=8.5
        )
    axes.set_yticks(range(len(values)), list(strengths))
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=QUIET, linewidth=0.9)
    axes.set_xlabel("weight times the feature's standard deviation" if found.facts.get("spread") else "weight")
    return figure


@styled
def ablation_bars(talks: "Mapping[str, Talked]") -> "Figure":
    """The judge's probability of a 👍 with its interval, a panel a kind of talk."""
    most = max(len(talked.rows) for talked in talks.values())
    figure, panels = grid(len(talks), 3, 0.6 + 0.26 * most, shared=False)
    for axes, (kind, talked) in zip(panels, talks.items(), strict=True):
        bars(axes, ((row.model, row.figures["liked"]) for row in talked.rows))
        axes.set_title(f"{kind}, n = {talked.replies}")
        axes.set_xlim(0, 1.05 * max(row.figures["liked"].high for row in talked.rows))
    panels[0].set_xlabel("probability of a like, by the judge")
    return figure


@styled
def source_mix(talks: "Mapping[str, Talked]") -> "Figure":
    """Which share of what was said came from where, a panel a kind of talk."""
    most = max(len(talked.rows) for talked in talks.values())
    figure, panels = grid(len(talks), 3, 0.6 + 0.26 * most, shared=False)
    for axes, (kind, talked) in zip(panels, talks.items(), strict=True):
        rows = [row for row in talked.rows if not math.isnan(row.figures["generated"].value)]
        generated = [row.figures["generated"].value for row in rows]
        listening = [row.figures["listening"].value for row in rows]
        fallback = [row.figures["fallback"].value for row in rows]
        retrieved = [1 - sum(others) for others in zip(generated, listening, fallback, strict=True)]
        start = [0.0] * len(rows)
        for name, shares, shade in (
            ("retrieved", retrieved, BLUE), ("listening", listening, GREEN), ("generated", generated, ORANGE),
            ("fallback", fallback, PALE),
        ):  # fmt: skip
            axes.barh(range(len(rows)), shares, left=start, height=0.62, color=shade, label=name, alpha=0.85)
            start = [s + share for s, share in zip(start, shares, strict=True)]
        axes.set_yticks(range(len(rows)), [row.model for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_title(f"{kind}, n = {talked.replies}")
        axes.set_xlim(0, 1)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def reply_bars(found: "Replies") -> "Figure":
    """What replies are like, a panel a figure, each on its own scale."""
    names = list(found.rows[0].figures)
    figure, panels = grid(len(names), 3, 0.5 + 0.24 * len(found.rows), shared=False)
    for axes, name in zip(panels, names, strict=True):
        bars(axes, ((row.model, row.figures[name]) for row in found.rows), digits=1 if name == "words" else 3)
        axes.set_title(name)
        axes.set_xlim(0, max(0.05, *(row.figures[name].high * 1.05 for row in found.rows)))
    return figure
