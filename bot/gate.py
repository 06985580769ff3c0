"""The gate: may a version follow the one that serves? Both are compared on the newest votes of the log, which neither
has learnt from, and on the regression set; the rules are those of bot/verdict.py.

Votes count by the trust in who gave them (ranking/trust.py). What is compared on them is the policy's total: it decides
what is said, so a ranker that tells likes better in a way that the policy makes nothing of is no better bot. (Its own
figure is shown as well.) Features that another version computed when the reply was logged are computed anew by both
sides; of what would have been chosen of the logged candidates the shares of echoes, repetitions and safety hits are
compared. A generator is compared by whether it finds liked replies likelier than disliked ones, what people's text
costs it, and what it writes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np

from bot.gate_features import Considered, considered, features_of, said, shares, totals, totals_at
from bot.gate_generator import generator_figures
from bot.settings import Settings, UserError
from bot.taking_up import BrokenVersion, Loaded, load, load_promoted
from bot.verdict import MARGINS, Figure, Verdict, about_as_often, must_be_better, no_more, refusals_of, too_few
from bot.versions import filled_in, of_version
from ranking.metrics import auc
from ranking.regression import ordered, places
from ranking.trust import DISCOUNTED, trust_of
from storage.dialog import now
from storage.estimates import Estimate, Floats, compared, draws, mean
from storage.signals import Disclosed, read_signals
from storage.store import SqlDialogStore
from storage.versions import Version
from storage.voted import HeldOut, Voted, held_out

HELD_OUT = 0.3
"""Of the votes, the newest: what training from the log leaves out."""

OWN = ("ranker", "taste")
"""Kinds with an opinion of their own on each reply, under the feature of that name."""


def gate(
    settings: Settings,
    store: SqlDialogStore,
    candidates: Sequence[Version],
    against: Sequence[Version] = (),
    loaded: Loaded | None = None,
) -> Verdict:
    """What speaks for and against these versions, which are to serve together, in the place of what serves, or of
    others. `loaded`: what serves, where it is loaded already. Raises UserError when they cannot serve at all, or two
    are of one kind."""
    kinds = [version.kind for version in candidates]
    if len(set(kinds)) < len(kinds):
        raise UserError("Name one version of each kind: two cannot serve at once.")
    if not {version.kind for version in against} <= set(kinds):
        raise UserError("Versions of two kinds cannot be compared: name two of one kind.")
    bare = settings.model_copy(update={"candidates": 0})  # no candidate is written anew but by generators themselves
    before = with_versions(bare, store, load_promoted(bare, store, loaded), against)
    after = with_versions(bare, store, before, candidates)
    with store.reading() as connection:
        held = held_out(connection, HELD_OUT, learnt_until([before, after]), settings.context_messages)
    votes, dialogs = held.votes, len({vote.turn.asked.dialog_id for vote in held.votes})
    likes = sum(vote.liked for vote in votes)
    few = too_few(likes, len(votes) - likes, dialogs, held.trained_on)
    figures: list[Figure] = []
    trust: dict[str, float] = {}
    if set(kinds) - {"generator"}:
        if not few:
            trust = trust_in(settings, store)
            counts = counts_of(votes, trust, settings.votes_a_person)
            figures += figures_of_votes(before, after, held, counts, kinds)
        figures.append(figure_of_order(before, after))
    if "generator" in kinds:
        then, now = (filled_in(settings, loaded.serve.values()) for loaded in (before, after))
        figures += generator_figures(then, now, before.pipeline, () if few else votes)
    refusals = refusals_of(figures)
    new, old = ({kind: loaded.serve[kind].name for kind in kinds} for loaded in (after, before))
    voters = {vote.turn.asked.person_id for vote in votes}
    discounted = sum(trust.get(person, 1.0) < DISCOUNTED for person in voters)
    return Verdict(new, old, len(votes), dialogs, discounted, tuple(figures), (few, *refusals) if few else refusals)


def trust_in(settings: Settings, store: SqlDialogStore) -> dict[str, float]:
    """How far each person is trusted whose votes are in the log."""
    nobody = Disclosed(str, str, timedelta(hours=settings.idle_hours), now())
    with store.reading() as connection:
        signals = list(read_signals(connection, nobody))
    ratings, features = [signal.rating for signal in signals], [signal.features for signal in signals]
    return trust_of(ratings, features, [signal.went_on for signal in signals], votes_teach=False)


def counts_of(votes: Sequence[Voted], trust: Mapping[str, float], most: float) -> Floats:
    """What each vote counts: the trust in who gave it, and all of a person's together `most` at the most."""
    people = [vote.turn.asked.person_id for vote in votes]
    cast = Counter(people)
    return np.array([min(trust.get(person, 1.0), most / cast[person]) for person in people])


def with_versions(settings: Settings, store: SqlDialogStore, loaded: Loaded, versions: Sequence[Version]) -> Loaded:
    """The same with these versions. Raises UserError."""
    serve = {**loaded.serve, **{version.kind: of_version(settings, version) for version in versions}}
    try:
        return load(settings, store, serve, loaded)
    except BrokenVersion as broken:
        raise UserError(f"{broken.name} cannot serve: {broken}.") from broken


def learnt_until(loaded: Sequence[Loaded]) -> datetime | None:
    """When the dialogs began that none of these has learnt from; None: they say nothing of the log."""
    cards = [each.version.card for some in loaded for each in some.serve.values() if each.version]
    return max((datetime.fromisoformat(card["until"]) for card in cards if card.get("until")), default=None)


def figures_of_votes(
    before: Loaded, after: Loaded, held: HeldOut, counts: Floats, kinds: Sequence[str]
) -> list[Figure]:
    """The AUC on held-out votes, of which each counts so much, and the shares of what would have been chosen."""
    rows = considered(held.votes)
    old = features_of(before, rows)
    new = features_of(after, rows, (before, old))
    voted = np.column_stack([[row.vote.liked for row in rows], counts])
    drawn = draws(dialogs_of(rows))

    def told(current: Floats, candidate: Floats) -> tuple[Estimate, Estimate, Estimate]:
        return compared(np.column_stack([current, voted]), np.column_stack([candidate, voted]), drawn, auc)

    figures = [must_be_better("AUC of the total", *told(totals(before, old, rows), totals(after, new, rows)))]
    for kind in [kind for kind in OWN if kind in kinds]:
        figures.append(Figure(f"AUC of the {kind} alone", *told(said(old, rows, kind), said(new, rows, kind))))
    whole = [number for number, row in enumerate(rows) if row.whole]
    some = [rows[number] for number in whole]
    chosen = [shares(loaded, some, [f[n] for n in whole]) for loaded, f in ((before, old), (after, new))]
    drawn = draws(dialogs_of(some))
    for name, margin in MARGINS.items():
        figures.append(no_more(name, *compared(chosen[0][name], chosen[1][name], drawn, mean), margin))
    return figures


def figure_of_order(before: Loaded, after: Loaded) -> Figure:
    """How often good is above bad on the regression set."""
    found = places()
    current, candidate = (ordered(totals_at(loaded), found) for loaded in (before, after))
    drawn = draws([str(number) for number in range(len(found))])
    return about_as_often("good above bad", *compared(current, candidate, drawn, mean))


def dialogs_of(rows: Sequence[Considered]) -> list[str]:
    """The dialog of each."""
    return [row.vote.turn.asked.dialog_id for row in rows]
