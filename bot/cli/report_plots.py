"""The pictures of `kith report`, each as wide as a phone: what a bar is of stands over it, not beside it."""

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from bot.cli.drawing import BLUE, GREEN, INK, NARROW, ORANGE, PALE, QUIET, SLATE, grid, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bot.cli.report_figures import Calibration
    from storage.estimates import Estimate
    from storage.experiments import Experiment
    from storage.judged import Reason
    from storage.replied import Group, Period
    from storage.report import Step
    from storage.stats import Latency
    from storage.versions import Promotion

SOURCES = {"retrieval": BLUE, "listening": GREEN, "generation": ORANGE}

LONGEST = 44
"""Letters that fit over a bar."""

MOST_VERSIONS = 4
"""Of a model, those with the most replies."""


@styled
def votes_over_time(periods: "Sequence[Period]", promotions: "Sequence[Promotion]") -> "Figure":
    """👍 up and 👎 down, and under them the share of 👍; dotted lines where something was promoted."""
    from matplotlib.ticker import MaxNLocator

    figure, (counts, shares) = grid(2, 1, 1.75, shared=False, width=NARROW)
    middles = [day(p.start) + p.days / 2 for p in periods]
    widths = [0.8 * period.days for period in periods]
    counts.bar(middles, [p.likes for p in periods], widths, color=BLUE, alpha=0.85, zorder=2)
    counts.bar(middles, [-p.dislikes for p in periods], widths, color=ORANGE, alpha=0.85, zorder=2)
    counts.axhline(0, color=QUIET, linewidth=0.8)
    counts.set_title(f"Likes up, dislikes down, {per(periods)}")
    counts.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    counts.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    voted = [(m, p.approval) for m, p in zip(middles, periods, strict=True) if not math.isnan(p.approval.value)]
    for middle, approval in voted:
        shares.plot([middle, middle], [approval.low, approval.high], color=BLUE, linewidth=1.1, alpha=0.6, zorder=2)
    shares.plot([m for m, _ in voted], [a.value for _, a in voted], "o-", color=BLUE, markersize=3.5, linewidth=1.2)
    shares.set_title("Share of likes among the votes")
    percent_axis(shares, "y")
    for axes in (counts, shares):
        date_axis(axes, periods)
        for promotion in promotions:
            axes.axvline(day(promotion.at), color=QUIET, linewidth=0.9, linestyle=":", zorder=1)
    return figure


@styled
def approval_bars(groups: "Sequence[Group]") -> "Figure":
    """The share of likes, and of replies sent back, for each group."""
    figure, (liked, back) = grid(2, 1, 0.55 + 0.36 * len(groups), shared=False, width=NARROW)
    shades = [SOURCES.get(group.name, SLATE) for group in groups]
    names = [f"{group.name}, {counted(group.likes + group.dislikes, 'vote')}" for group in groups]
    bars(liked, names, [group.approval for group in groups], shades)
    liked.set_title("Share of likes among the votes")
    names = [f"{group.name}, {counted(group.turns, 'reply', 'replies')}" for group in groups]
    bars(back, names, [group.sent_back for group in groups], shades, most=None)
    back.set_title("Share of replies sent back")
    return figure


@styled
def version_bars(by_model: "Mapping[str, Sequence[Group]]") -> "Figure":
    """The share of likes by version, a panel a model."""
    shown = {model: groups[:MOST_VERSIONS] for model, groups in by_model.items()}
    most = max(len(groups) for groups in shown.values())
    figure, panels = grid(len(shown), 1, 0.55 + 0.36 * most, shared=False, width=NARROW)
    for axes, (model, groups) in zip(panels, shown.items(), strict=True):
        names = [f"{group.name}, {counted(group.likes + group.dislikes, 'vote')}" for group in groups]
        bars(axes, names, [group.approval for group in groups], [BLUE] * len(groups), places=most)
        axes.set_title(f"{model}: share of likes")
    return figure


@styled
def variant_bars(experiment: "Experiment") -> "Figure":
    """The share of likes by variant."""
    variants = experiment.variants
    figure, [axes] = grid(1, 1, 0.6 + 0.36 * len(variants), width=NARROW)
    names = [
        f"{v.name}, {counted(v.likes + v.dislikes, 'vote')} of {counted(v.people, 'person', 'people')}"
        for v in variants
    ]
    bars(axes, names, [v.approval for v in variants], [SLATE] + [BLUE] * (len(variants) - 1))
    axes.set_title(f"Experiment {experiment.name}: share of likes")
    return figure


@styled
def reliability(found: "Calibration") -> "Figure":
    """The share of likes against the ranker's probability of one, with Wilson's intervals."""
    from storage.estimates import share

    figure, [axes] = grid(1, 1, NARROW - 0.3, width=NARROW)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.9, linestyle=":", zorder=1)
    for each in found.bins:
        sure = share(round(each.liked * each.items), each.items)
        axes.plot([each.predicted] * 2, [sure.low, sure.high], color=ORANGE, linewidth=1.1, alpha=0.55, zorder=2)
    axes.plot(
        [b.predicted for b in found.bins], [b.liked for b in found.bins], "o", color=ORANGE, markersize=5, zorder=3
    )
    axes.set_title("Likes: expected, and real")
    axes.set(xlabel="expected probability of a like", ylabel="share of likes", aspect="equal")
    percent_axis(axes, "x")
    percent_axis(axes, "y")
    return figure


@styled
def reason_bars(reasons: "Sequence[Reason]") -> "Figure":
    """Which share of the dislikes has which reason."""
    figure, [axes] = grid(1, 1, 0.6 + 0.36 * len(reasons), width=NARROW)
    names = [f"{in_words(reason.name)}, {reason.dislikes}" for reason in reasons]
    shades = [ORANGE if reason.name else PALE for reason in reasons]
    bars(axes, names, [reason.share for reason in reasons], shades, most=None)
    axes.set_title("Share of the dislikes")
    return figure


@styled
def latency_bars(stages: "Sequence[Latency]") -> "Figure":
    """From the median to what 95 % of the replies do not exceed, a line a stage."""
    figure, [axes] = grid(1, 1, 0.75 + 0.36 * len(stages), width=NARROW)
    for place, stage in enumerate(stages):
        shade = INK if stage.stage == "total" else BLUE
        axes.plot([stage.p50, stage.p95], [place] * 2, color=shade, linewidth=5, alpha=0.3, solid_capstyle="round")
        axes.plot([stage.p50], [place], "o", color=shade, markersize=5)
        written(axes, place, stage.stage, f"{seconds(stage.p50)} to {seconds(stage.p95)}", gap=0.15)
    rows(axes, len(stages))
    axes.set(xscale="log", title="Seconds, from median to 95 %")
    axes.tick_params(which="minor", bottom=False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.margins(x=0.08)
    return figure


@styled
def funnel_bars(steps: "Sequence[Step]") -> "Figure":
    """How many of those who started came how far."""
    figure, [axes] = grid(1, 1, 0.6 + 0.36 * len(steps), width=NARROW)
    bars(axes, [f"{s.name}, {s.people}" for s in steps], [s.share for s in steps], [SLATE] + [GREEN] * (len(steps) - 1))
    axes.set_title("Share of the people who started")
    return figure


def bars(
    axes: "Axes",
    names: Sequence[str],
    figures: "Sequence[Estimate]",
    shades: Sequence[str],
    most: float | None = 1.0,
    places: int = 0,
) -> None:
    """Shares as horizontal bars, the first on top, each with its interval, over it its name and its value. `most` is
    the end of the axis, None as far as needed; `places`, for how many bars there is room."""
    digits = 1 if all(figure.value < 0.1 for figure in figures) else 0
    for place, (name, figure, shade) in enumerate(zip(names, figures, shades, strict=True)):
        nothing = math.isnan(figure.value)
        written(axes, place, name, "no votes" if nothing else f"{100 * figure.value:.{digits}f} %")
        if nothing:
            continue
        axes.barh(place, figure.value, height=0.3, color=shade, alpha=0.85, zorder=2)
        axes.plot([figure.low, figure.high], [place, place], color=INK, linewidth=1.1, zorder=3)
    rows(axes, max(places, len(names)))
    ends = [end for figure in figures for end in (figure.value, figure.high) if not math.isnan(end)]
    axes.set_xlim(0, most or 1.08 * max(ends, default=1.0) or 1.0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    axes.locator_params(axis="x", nbins=5)


def written(axes: "Axes", place: int, name: str, value: str, gap: float = 0.22) -> None:
    """A name and a value over a bar."""
    from matplotlib.transforms import blended_transform_factory

    across = blended_transform_factory(axes.transAxes, axes.transData)
    short = name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"
    axes.text(0, place - gap, short, transform=across, va="bottom", fontsize=8.5)
    axes.text(1, place - gap, value, transform=across, va="bottom", ha="right", fontsize=8.5)


def rows(axes: "Axes", count: int) -> None:
    """Room for so many bars with what stands over them."""
    axes.set_ylim(count - 0.65, -0.8)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def percent_axis(axes: "Axes", which: str) -> None:
    """From none to all."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    (axes.set_xlim if which == "x" else axes.set_ylim)(-0.02, 1.02)


def date_axis(axes: "Axes", periods: "Sequence[Period]") -> None:
    """From the first day to the last."""
    from matplotlib import dates

    first, last = periods[0], periods[-1]
    axes.set_xlim(day(first.start), day(last.start) + last.days)
    locator = dates.AutoDateLocator(minticks=3, maxticks=5)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]


def day(when: date) -> float:
    """A time, or the beginning of a day, as a place on an axis."""
    from matplotlib.dates import date2num

    return float(date2num(when))  # type: ignore[no-untyped-call]


def per(periods: "Sequence[Period]") -> str:
    """How long a period is."""
    return {1: "by day", 7: "by week"}.get(periods[0].days, "by four weeks")


def seconds(value: float) -> str:
    """A time, in what it is best read in."""
    return f"{value:.2g} s" if value >= 1 else f"{1000 * value:.{0 if value >= 0.01 else 1}f} ms"


def counted(count: int, one: str, more: str = "") -> str:
    """A number of things."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def in_words(reason: str) -> str:
    """A reason as people read it."""
    return reason.replace("_", " ") or "no reason given"
