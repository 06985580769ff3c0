"""`kith evaluate early`: from which total on generation need not be waited for, learnt from a log."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.off_policy import turns_of
from bot.cli.output import Json, show_json, show_table

app = typer.Typer()


@app.command("early")
def early(
    log: Annotated[
        list[Path] | None,
        typer.Option(help="File of `kith export dialogs`, can be repeated; default: the bot's own log."),
    ] = None,
    risk: Annotated[float, typer.Option(help="Share of turns that may be decided otherwise.", min=0.001, max=0.5)] = (
        0.01
    ),
    json: Json = False,
) -> None:
    """The bound for KITH_EARLY that your policy's logged turns bear out, and what it saves and costs. It is heeded with
    KITH_EXPLORATION=0 alone."""
    import math

    from bot.pipeline import SLOW
    from bot.settings import UserError, load_settings
    from ranking.early import learn_bound
    from ranking.policy import ScoringPolicy, load_weights
    from ranking.safety import guarded

    settings = load_settings()
    weights = load_weights(settings.policy)
    policy = ScoringPolicy(guarded(weights) if settings.safety == "on" else weights)
    found = learn_bound((policy.again(turn.decision) for turn in turns_of(log, settings)()), SLOW, risk)
    if not math.isfinite(found.total):
        raise UserError(
            f"No bound keeps a risk of {risk:g} on {found.turns} turns: allow more by --risk, or let the bot talk more."
        )
    if json:
        show_json(asdict(found))
        return
    row = f"{found.total:.3f}", str(found.turns), str(found.early), str(found.otherwise)
    show_table(("#KITH_EARLY", "#turns", "#decided early", "#decided otherwise"), [row], "Early decisions")
