"""`kith train generator` on votes: the model is told what the bot's settings tell it, and what came of it is shown."""

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any


def tuned(**run: Any) -> dict[str, Any]:
    """Runs generation.tuning with the persona and the examples of the settings; returns the figures by name."""
    from bot.personas import told
    from bot.settings import UserError, load_settings
    from generation.tuning import Tuning, tune

    if run["method"] == "kto" and run["batch_rows"] < 2:
        raise UserError("KTO compares the replies of a batch: --batch-rows must be 2 or more.")
    settings = load_settings()
    with redirect_stdout(sys.stderr):  # the Trainer prints the loss, and --json promises a document
        return tune(Tuning(persona=told(settings), examples=settings.examples, **run))


def readable(found: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The figures, a line each."""
    from storage.estimates import Estimate

    lines = {}
    for name, figure in found.items():
        if "value" in figure:
            lines[name] = str(Estimate(**figure))
        else:
            before, after, difference = (Estimate(**figure[key]) for key in ("before", "after", "difference"))
            lines[name] = f"{before} before, {after} after, difference {difference}"
    return lines
