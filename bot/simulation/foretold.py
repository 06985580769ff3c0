"""What the log of before says of versions that did not talk yet, by off-policy evaluation, to be held against what
became true.

Of the votes that the versions did not learn from, as the gate's: of those that they learnt from a taste knows too much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.gate import HELD_OUT, learnt_until, with_versions
from bot.gate_features import Considered, features_of
from bot.settings import Settings
from bot.taking_up import Loaded
from ranking.exploring import sureness
from ranking.off_policy import chances, evaluate, log_of
from ranking.safety import guarded
from storage.dialog import Decision
from storage.estimates import Estimate, ratio
from storage.store import SqlDialogStore
from storage.versions import Version
from storage.voted import held_out


@dataclass(frozen=True, slots=True)
class Foretold:
    """Of votes, not of what people felt: where many vote against what they feel, it is what the owner would see."""

    approval: Estimate
    """The share of 👍 that the versions would have had, self-normalised."""
    doubt: str
    """Why `kith evaluate off-policy` would not have said so, or ""."""
    sure: tuple[float, float]
    """The mean probability of the likeliest candidate: as it was logged, and under the versions. How much is explored
    at one temperature hangs on the weights."""


def foretell(settings: Settings, store: SqlDialogStore, shipped: Loaded, versions: Sequence[Version]) -> Foretold:
    """How these versions would have done on the newest replies that were voted on."""
    after = with_versions(settings, store, shipped, versions)
    with store.reading() as connection:
        votes = held_out(connection, HELD_OUT, learnt_until([after]), settings.context_messages).votes
    rows = [
        Considered(vote, vote.turn.decision.ranked, vote.turn.decision.chosen, True)
        for vote in votes
        if vote.turn.decision.chosen is not None
    ]
    decisions = [again(row, found) for row, found in zip(rows, features_of(after, rows), strict=True)]
    log = log_of(
        (row.vote.turn.asked.dialog_id, decision, 1 if row.vote.liked else -1)
        for row, decision in zip(rows, decisions, strict=True)
    )
    weights = guarded(after.parts.weights) if settings.safety == "on" else after.parts.weights
    target = chances(log, weights, settings.exploration)
    once, then = (sureness(log, drawn) for drawn in (log.drawn, target))
    weight = target[log.said] / log.drawn[log.said]
    approval = ratio((weight * log.liked, weight), log.dialogs, least=0.0, most=1.0)
    return Foretold(approval, evaluate(log, target, "").refused, (once, then))


def again(row: Considered, features: Sequence[dict[str, float]]) -> Decision:
    """What was decided, with the features as other models give them."""
    ranked = (replace(scored, features=own) for scored, own in zip(row.candidates, features, strict=True))
    return replace(row.vote.turn.decision, ranked=tuple(ranked))
