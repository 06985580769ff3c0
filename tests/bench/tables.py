"""A run's figures as the tables of docs/performance.md, each between two marks: what is written around them stays."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.timing import Json


def figure(value: Any, digits: int = 3) -> str:
    """A number as it is read, with its quartiles where it has some."""
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        shown = figure(value["median"], digits)
        return shown if value["repeats"] == 1 else f"{shown} ({figure(value['low'])}–{figure(value['high'])})"
    if isinstance(value, float | int):
        return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
    return str(value)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Markdown."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([figure(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(run: Json) -> str:
    """What was measured on, and how."""
    found, made = run["machine"], run["made"].replace("T", " ")
    flags = ", ".join(found["flags"]) or "no AVX-512"
    names = ("python", "torch", "transformers", "sentence-transformers", "ctranslate2")
    versions = ", ".join(f"{name} {run['versions'][name]}" for name in names if name in run["versions"])
    return (
        f"{made}, `{run['command']}`{' (quick)' if run['quick'] else ''}: {found['cpu']}, {found['cores']} cores, "
        f"{flags}, {found['memory GiB']:.0f} GiB, OMP_WAIT_POLICY {found['OMP_WAIT_POLICY']}, load average "
        f"{found['load average']:.1f} before it began. {versions}. {sum(run['seconds'].values()) / 60:.1f} minutes in "
        "all. Figures are medians, in brackets the quartiles of the repeats."
    )


def peers(part: Json) -> str:
    """A line for each way to build the bot."""
    rows = []
    for people, found in part["people"].items():
        for name, ms in found["ms until all have their reply"].items():
            ratio = found["times as long as Kith"].get(name)
            rows.append([f"{people} at once: {name}", ms, found["turns a second"][name], ratio])
    first = next(iter(part["people"].values()))
    theirs, asked = (
        first["candidates that the peers rank a turn"],
        first["share of turns that were generated for"],
    )
    note = (
        f"Number formats of the peers, the faster ones: {in_words(part['formats of the peers'])}. Candidates ranked a "
        f"turn: {figure(first['candidates a turn'])} by Kith, {figure(theirs)} by the peers; Kith asked the generator "
        f"in {100 * asked:.0f} % of the turns."
    )
    return table(("", "ms until all have their reply", "turns a second", "times as long as Kith"), rows) + f"\n\n{note}"


def decode(part: Json) -> str:
    """A line for each engine, and the floor."""
    rows = []
    for chats, found in part["chats"].items():
        many = f"{chats} chat{'s' * (chats != '1')}"
        rows.append([f"{many}: the floor", found["floor ms"], None, None, 1])
        for name, ms in found["ms"].items():
            ratio = found["times as long as Kith"].get(name)
            rows.append([f"{many}: {name}", ms, found["tokens a second"][name], ratio, found["times the floor"][name]])
    peaks = "; ".join(f"{name}: {figure(value)}" for name, value in part["machine's peaks"].items())
    missing = " ".join(f"{name}: {why}." for name, why in part["missing"].items())
    head = ("", "ms", "tokens a second", "times as long as Kith", "times the floor")
    return f"{table(head, rows)}\n\n{peaks}. {missing}"


def loads(part: Json) -> str:
    """The closed loop, its stages, the open loop, and the long run when there was one."""
    crowds = part["people"]
    names = (
        "turns a second", "p50 s", "p95 s", "longest mean wait over shortest", "lost", "turns", "CPU seconds a turn",
        "CPU seconds a turn, the load itself", "joules a turn, whole machine", "peak memory MiB",
    )  # fmt: skip
    closed = table(["people at once", *crowds], ([name, *(found[name] for found in crowds.values())] for name in names))
    parts = next(iter(crowds.values()))["stages ms"]["ms"]
    stages = table(
        ["ms of a turn, at so many at once", *crowds],
        ([name, *(found["stages ms"]["ms"][name] for found in crowds.values())] for name in parts),
    )
    tried = sorted(part["open"]["tried"], key=lambda each: float(each["rate"]))
    rows = ([figure(each["rate"]), each["p95 s"], each["messages"]] for each in tried)
    opened = table(("messages a second", "p95 s (– : given up)", "messages"), rows)
    last = (
        f"p95 stays under 2 s up to {figure(part['open']['capacity'])} messages a second. From the start of `kith run` "
        f"until it asks for messages: {figure(part['seconds to the start'])} s."
    )
    long = [sustain(part["sustain"])] if "sustain" in part else []
    return "\n\n".join([closed, stages, opened, last, *long])


def sustain(part: Json) -> str:
    """The long run, as a sentence and its table."""
    shown = {name: value for name, value in part.items() if name != "memory MiB"}
    return table(("at 80 % of it", ""), shown.items())


def growth(part: Json) -> str:
    """A table for each thing that grows."""
    tables = []
    for what, found in part.items():
        rows = ([f"{int(size):,}", ms, found["turns a second"][size]] for size, ms in found["ms a turn"].items())
        tables.append(table((what, "ms a turn", "turns a second"), rows))
    return "\n\n".join(tables)


def training(part: Json) -> str:
    """A line for each number format."""
    rows = (
        [name, found["tokens a second"], found["share of the best peak"]] for name, found in part["formats"].items()
    )
    peaks = "; ".join(f"{name} {figure(value)}" for name, value in part["peak, G operations a second"].items())
    return f"{table(('', 'tokens a second', 'share of the best peak'), rows)}\n\nPeaks, G operations a second: {peaks}."


def in_words(facts: Mapping[str, str]) -> str:
    """Names and values, one after the other."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())


TABLES = {"peers": peers, "decode": decode, "loads": loads, "growth": growth, "training": training}


def filled(page: str, run: Json) -> str:
    """The page with the tables of a run in their places; those of parts that it has not stay. Raises ValueError when
    a place is missing."""
    for name, part in run["parts"].items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if page.count(start) != 1 or page.count(end) != 1:
            raise ValueError(f"docs/performance.md has no place for {name}: {start} and {end} are needed.")
        inside = f"{start}\n{TABLES[name](part)}\n\n{machine(run)}\n{end}"
        before, _, rest = page.partition(start)
        page = before + inside + rest.partition(end)[2]
    return page
