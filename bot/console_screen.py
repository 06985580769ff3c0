"""What the terminal chat looks like, and how a line is read.

At a terminal: colours, a prompt, hints. Between pipes it is plain: what answers a line goes to standard output, notices
go to standard error, and there are no escape codes.
"""

import importlib
import io
import os
import re
import signal
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from storage.dialog import Scored, Turn

NAME = "Kith"
NAME_STYLE, YOU_STYLE, DIM = "bold magenta", "cyan", "dim"

LABEL = 6
"""Width of the column of names; what is said begins three further right."""
INDENT = LABEL + 3
LINE = 80
"""Longest line of text: longer ones are hard to read."""

ARROW = "›"


class Screen:
    """Where a chat is shown, and where its lines come from."""

    def __init__(self, plain: bool | None = None) -> None:
        """`plain`: by default, whether standard input or output is no terminal."""
        self.plain = not (sys.stdin.isatty() and sys.stdout.isatty()) if plain is None else plain
        self.console = Console(highlight=False, markup=False, emoji=False, force_terminal=False if self.plain else None)
        if not self.plain:
            with suppress(ImportError):  # line editing and history, where Python was built with it
                importlib.import_module("readline")
        elif isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")

    def header(self, text: str) -> None:
        """Opens the chat."""
        if not self.plain:
            self.console.print()
            self._row(NAME, NAME_STYLE, text, DIM)

    def read(self, you: str) -> str | None:
        """The next line, None at the end of them or at Ctrl-C. It blocks the event loop, in which nothing else is going
        on then."""
        with interruptible(), suppress(EOFError, KeyboardInterrupt):
            if not self.plain:
                self.console.print()
                return input(self._prompt(you))
            line = sys.stdin.readline()
            return line.rstrip("\r\n") if line else None
        if not self.plain:
            self.console.print()
        return None

    def reply(self, text: str, hint: str = "") -> None:
        """Shows what Kith says, and under it what can be done about it."""
        if self.plain:
            print(printable(text), flush=True)
            return
        self._row(NAME, NAME_STYLE, text)
        if hint:
            self._row("", "", hint, DIM)

    def say(self, text: str) -> None:
        """Shows what answers a command."""
        if self.plain:
            print(printable(text), flush=True)
        else:
            self._row("", "", text)

    def notice(self, text: str) -> None:
        """Shows what is good to know but answers nothing."""
        if self.plain:
            print(printable(text), file=sys.stderr, flush=True)
        else:
            self._row("", "", text, DIM)

    def offer(self, choices: Sequence[str]) -> None:
        """Shows what may be chosen, numbered."""
        numbered = [f"{number} {choice}" for number, choice in enumerate(choices, 1)]
        if self.plain:
            self.notice("\n".join(numbered))
        else:
            self._row("", "", "   ".join(numbered), YOU_STYLE)

    def working(self, text: str) -> AbstractContextManager[object]:
        """Shows that something is going on, for as long as it is."""
        if self.plain:
            return nullcontext()
        return self.console.status(Text(text, DIM), spinner="dots", spinner_style=DIM)

    def explain(self, turn: Turn) -> None:
        """Shows how a turn was decided and by what, its candidates, and every feature of each by its number."""
        ranked = turn.decision.ranked
        versions = (f"{name} {version}" for name, version in turn.versions.items())
        by = " · ".join((turn.decision.reason, f"{sum(turn.seconds.values()):.2f} s", *versions))
        self.console.print(Text(by, DIM))
        if ranked:
            self.console.print(candidate_table(ranked, turn.decision.chosen))
        at_once = max(1, (self.console.width - 16) // 8)
        for start in range(0, len(ranked), at_once):
            self.console.print(feature_table(ranked[start : start + at_once], start))

    def _row(self, name: str, name_style: str, text: str, style: str = "") -> None:
        grid = Table.grid(padding=(0, INDENT - LABEL))
        grid.add_column(justify="right", width=LABEL, no_wrap=True)
        grid.add_column(max_width=LINE)
        grid.add_row(Text(name, name_style), Text(printable(text), style))
        self.console.print(grid)

    def _prompt(self, you: str) -> str:
        """The prompt; colours are marked as such, or readline would count them as columns."""
        label = f"{you:>{LABEL}} {ARROW} "
        if self.console.color_system is None or "readline" not in sys.modules:
            return label
        return f"\001\033[36m\002{label}\001\033[0m\002"


@contextmanager
def interruptible() -> Iterator[None]:
    """Makes Ctrl-C a KeyboardInterrupt at once; under asyncio it only cancels the task, which no blocking call sees."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def system_language() -> str:
    """The language of the terminal, by the variables that POSIX names: "ru" of "ru_RU.UTF-8"; "" when none is set."""
    spoken = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return re.split(r"[._@]", spoken)[0].lower()


def printable(text: str) -> str:
    """A text without control characters, and halves of characters: nobody may send the terminal commands through what
    they say."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))


def candidate_table(ranked: Sequence[Scored], chosen: int | None) -> Table:
    """What was considered, best first; the chosen one is marked."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", style=NAME_STYLE)
    table.add_column("#", justify="right", style=DIM)
    table.add_column("candidate", max_width=LINE)
    table.add_column("source", no_wrap=True)
    for name in ("total", "prob."):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("veto", style="red", overflow="fold")
    for number, scored in enumerate(ranked):
        candidate, mark = scored.candidate, "▶" if number == chosen else ""
        numbers = f"{scored.total:.2f}", f"{scored.probability:.2f}"
        said = Text(printable(candidate.text))
        style = DIM if scored.veto else "bold" if mark else ""
        table.add_row(mark, str(number + 1), said, candidate.source, *numbers, scored.veto, style=style)
    return table


def feature_table(ranked: Sequence[Scored], first: int) -> Table:
    """A column a candidate, a row a feature; `first` candidates came in tables before."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("feature", no_wrap=True)
    for number in range(first, first + len(ranked)):
        table.add_column(str(number + 1), justify="right", no_wrap=True)
    for name in dict.fromkeys(name for scored in ranked for name in scored.features):
        values = [scored.features.get(name) for scored in ranked]
        table.add_row(
            name, *(Text(f"{value:.2f}" if value is not None else "", "" if value else DIM) for value in values)
        )
    return table
