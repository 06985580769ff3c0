"""Where the time of a turn goes: from what the log says that its parts took, and from when it was said and heard."""

from collections.abc import Sequence

from bench.crowd import Wait
from bench.serving import Bot, Logged
from bench.timing import Json, spread

PARTS = {
    "queue": "queue",
    "moderation": "moderation",
    "retrieval": "search",
    "listening": "search",
    "generation": "generate",
    "ranker": "rank",
    "policy": "policy",
}
"""Which stage the parts of a turn belong to; all other parts are features."""

BEFORE, AFTER = "take in and wait", "store and send"


def of_turn(wait: Wait, turn: Logged) -> dict[str, float]:
    """Seconds by stage. BEFORE is all until the first part began, the wait for others' turns included where the log
    does not know it; AFTER is all from the decision on. Encoding is a part of search, whose first work it is."""
    found = dict.fromkeys(("queue", "moderation", "search", "generate", "rank", "features", "policy"), 0.0)
    for name, seconds in turn.seconds.items():
        found[PARTS.get(name, "features")] += seconds
    before = turn.at - wait.said - sum(turn.seconds.values())
    return {BEFORE: max(0.0, before), **found, AFTER: max(0.0, wait.seconds - (turn.at - wait.said))}


def stages(bot: Bot, waits: Sequence[Wait]) -> Json:
    """Milliseconds of each, medians over turns; and how turns were decided."""
    logged = bot.logged()
    known = [(wait, logged[wait.chat, wait.message]) for wait in waits if (wait.chat, wait.message) in logged]
    turns = [of_turn(wait, turn) for wait, turn in known]
    reasons = [turn.reason for _, turn in known]
    return {
        "ms": {name: spread([1000 * turn[name] for turn in turns]) for name in turns[0]},
        "decided": {reason: reasons.count(reason) / len(reasons) for reason in sorted(set(reasons))},
        "generated for": sum("generation" in turn.seconds for _, turn in known) / len(known),
    }
