"""What happens in a bot, for its log and for whoever counts: turns and votes, without who and without their words."""

import logging
from collections.abc import Callable
from typing import TypeAlias

from bot.logs import facts
from storage.dialog import Turn, Vote

log = logging.getLogger(__name__)

Watch: TypeAlias = Callable[[Turn | Vote], None]
"""Is told of each turn and each vote once they are in the store."""


def log_event(event: Turn | Vote) -> None:
    """A line of the log. The turn's id leads to everything else, for those who may read the store."""
    if isinstance(event, Vote):
        log.info("a vote", extra=facts(turn=event.turn_id, value=event.value, kind=event.kind, reason=event.reason))
        return
    seconds = round(sum(event.seconds.values()), 3)
    log.info("a turn", extra=facts(turn=event.id, source=source_of(event), seconds=seconds))


def source_of(turn: Turn) -> str:
    """Where a reply came from: a source, or the reason why none was asked or fit."""
    decision = turn.decision
    return decision.reason if decision.chosen is None else decision.ranked[decision.chosen].candidate.source
