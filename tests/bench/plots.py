"""A run's figures as pictures."""

from typing import TYPE_CHECKING, Any

from bench.tables import figure
from bench.timing import Json
from bot.cli.drawing import BLUE, BROWN, GREEN, INK, ORANGE, PALE, QUIET, SLATE, grid, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OTHERS = (BROWN, SLATE, GREEN, PALE, QUIET, ORANGE)
STAGES = (QUIET, PALE, BROWN, GREEN, ORANGE, BLUE, SLATE, INK, "#9a6fb0")


def colours(names: list[str]) -> dict[str, str]:
    """Ours stands out."""
    others = iter(OTHERS)
    return {name: BLUE if name == "Kith" else next(others) for name in names}


def bars(axes: "Axes", figures: Json, unit: str) -> None:
    """Horizontal bars with quartiles, the first on top, each with its value."""
    shown = colours(list(figures))
    for place, (name, value) in enumerate(figures.items()):
        axes.barh(place, value["median"], height=0.62, color=shown[name], zorder=2)
        axes.plot([value["low"], value["high"]], [place, place], color=INK, linewidth=1.1, zorder=3)
        end, text = max(value["median"], value["high"]), figure(value["median"])
        axes.annotate(text, (end, place), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set_yticks(range(len(figures)), list(figures))
    axes.set_ylim(len(figures) - 0.4, -0.6)
    axes.margins(x=0.18)
    axes.set_xlim(left=0)
    axes.set_xlabel(unit)
    axes.grid(axis="y", visible=False)


@styled
def peers(part: Json) -> "Figure":
    """Milliseconds of each way, a panel for each crowd."""
    picture, panels = grid(len(part["people"]), 1, 1.5, shared=False)
    for axes, (people, found) in zip(panels, part["people"].items(), strict=True):
        bars(axes, found["ms until all have their reply"], "ms until all have their reply")
        axes.set_title(f"{people} at once" if people != "1" else "one person")
    return picture


@styled
def decode(part: Json) -> "Figure":
    """Milliseconds of each engine and the floor, a panel for each number of chats."""
    height = 0.8 + 0.26 * max(len(found["ms"]) for found in part["chats"].values())
    picture, panels = grid(len(part["chats"]), 1, height, shared=False)
    for axes, (chats, found) in zip(panels, part["chats"].items(), strict=True):
        bars(axes, found["ms"], "ms until all tokens are written; the line is the floor")
        axes.axvline(found["floor ms"], color=ORANGE, linewidth=1.5, zorder=4)
        axes.set_title(f"{chats} chats" if chats != "1" else "one chat")
    return picture


@styled
def loads(part: Json) -> "Figure":
    """Stages of a turn by crowd, waits against the rate, and memory of the long run."""
    long = part.get("sustain")
    picture, panels = grid(3 if long else 2, 3, 3.4, shared=False)
    stacked(panels[0], part["people"])
    tried = sorted((each for each in part["open"]["tried"] if each["p95 s"] is not None), key=lambda each: each["rate"])
    panels[1].plot([each["rate"] for each in tried], [each["p95 s"] for each in tried], "o-", color=BLUE)
    for each in part["open"]["tried"]:
        if each["p95 s"] is None:
            panels[1].axvline(each["rate"], color=ORANGE, linestyle=":")
    panels[1].axhline(2, color=QUIET, linewidth=1)
    most = 1.1 * max([2.0, *(each["p95 s"] for each in tried)])
    panels[1].set(xlabel="messages a second (dotted: given up)", ylabel="p95, s", ylim=(0, most), title="Open loop")
    if long:
        memory = long["memory MiB"]
        panels[2].plot([long["minutes"] * n / len(memory) for n in range(1, len(memory) + 1)], memory, color=BLUE)
        panels[2].set(xlabel="minutes", ylabel="MiB", ylim=(0, 1.1 * max(memory)), title="Memory at 80 % of capacity")
    return picture


def stacked(axes: "Axes", crowds: Json) -> None:
    """What a turn's time is made of, in shares: a bar for each crowd."""
    first = next(iter(crowds.values()))["stages ms"]["ms"]
    names = [name for name in first if any(found["stages ms"]["ms"][name]["median"] for found in crowds.values())]
    left = [0.0] * len(crowds)
    sums = [sum(value["median"] for value in found["stages ms"]["ms"].values()) for found in crowds.values()]
    for name, colour in zip(names, STAGES, strict=False):
        shares: list[Any] = [
            100 * found["stages ms"]["ms"][name]["median"] / total
            for found, total in zip(crowds.values(), sums, strict=True)
        ]
        axes.barh(range(len(crowds)), shares, left=left, height=0.6, color=colour, label=name, zorder=2)
        left = [before + share for before, share in zip(left, shares, strict=True)]
    axes.set_yticks(
        range(len(crowds)), [f"{people}: {total:,.0f} ms" for people, total in zip(crowds, sums, strict=True)]
    )
    axes.set_ylim(len(crowds) - 0.4, -0.6)
    axes.set(
        xlabel="% of the time (medians of the stages)",
        ylabel="people at once",
        title="Where a turn's time goes",
        xlim=(0, 100),
    )
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=8)


@styled
def growth(part: Json) -> "Figure":
    """Milliseconds of a turn against each thing that grows."""
    picture, panels = grid(len(part), 3, 2.6, shared=False)
    for axes, (what, found) in zip(panels, part.items(), strict=True):
        values = list(found["ms a turn"].values())
        places = range(len(values))
        axes.plot(places, [value["median"] for value in values], "o-", color=BLUE)
        axes.fill_between(places, [v["low"] for v in values], [v["high"] for v in values], color=BLUE, alpha=0.18)
        axes.set_xticks(places, [f"{int(size):,}" for size in found["ms a turn"]])
        axes.set(xlabel=what, ylim=(0, 1.1 * max(value["high"] for value in values)))
    panels[0].set_ylabel("ms a turn, one person")
    return picture


@styled
def training(part: Json) -> "Figure":
    """Tokens a second by number format."""
    picture, panels = grid(1, 1, 1.4)
    bars(panels[0], {name: found["tokens a second"] for name, found in part["formats"].items()}, "tokens a second")
    return picture


PLOTS = {"peers": peers, "decode": decode, "loads": loads, "growth": growth}
