"""Training from the log of a running bot: `kith train KIND --from-log`, a version of a kind out of its own store.

It learns from the dialogs of people who said yes, as an export has them: without names, under pseudonyms. The newest
30 % of those with votes are never trained on, so that the gate can compare on them. ranking/trust.py says what a vote
weighs. The shipped ratings are mixed in, so that a dozen votes do not turn a model. It goes on from what serves now.
Words of people stay in memory; only the generator's trainers want files, which are in a folder of their owner's alone
while they run.
"""

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from bot.personas import told
from bot.settings import Settings, UserError
from bot.versions import FILES, Card, add_version, new_version, served, with_promoted
from storage.corpora import LoggedVote, RatedReply, held_back, read_ratings, read_votes
from storage.dialog import Decision, now
from storage.export import Filters, count, export, load_salt, pseudonym
from storage.redaction import redact
from storage.signals import EXPLICIT, Disclosed, Signal, newest, read_signals
from storage.store import SqlDialogStore
from storage.versions import Version
from storage.voted import held_out

if TYPE_CHECKING:
    from ranking.vectors import Encoder

HELD_OUT = 0.3
"""Of the dialogs with votes, the newest: for the gate."""

NEEDED: Mapping[str, int] = {"policy": 50, "taste": 100, "ranker": 100, "retriever": 100, "generator": 100}
"""Votes and sent back replies in the log, before training on them tells more than chance. Of 100 the gate has some 30,
whose AUC has a standard error of 0.1; fewer could not show that anything became better."""

SHIPPED_SHARE = 0.1
"""Of the dialogs with shipped ratings, those that are mixed in: 6,470 of 66,440 ratings, which language models gave. A
dozen votes change little beside them, of some thousands of people they are the smaller part, and all of them would take
ten times as long."""
SHIPPED_WEIGHTS = (0.25, 0.05)
"""What each of the 7,872 votes counts that the shipped policy was fitted to: together as much as 1,970 of people, or as
394 where that tells people's better. They cost no time, so all of them are taken."""

LEARNS_FROM: Mapping[str, str] = {"sft": "messages", "dpo": "preferences", "kto": "votes"}
"""Of each method of generation.tuning, the export that it learns from."""

STARTER = Path(__file__).parent.parent / "ranking" / "starter"
VOICE = Path(__file__).parent.parent / "generation" / "voice"


@dataclass(frozen=True, slots=True)
class Learnt:
    """What may be learnt from the log."""

    signals: list[Signal]
    """Weighed."""
    dialogs: frozenset[str]
    """Those with votes of people who are trusted, each person's up to the limit of their votes."""
    card: Card

    @property
    def ratings(self) -> list[RatedReply]:
        """The rated replies of the log."""
        return [signal.rating for signal in self.signals]


@dataclass(frozen=True, slots=True)
class Job:
    """One training."""

    settings: Settings
    """With what was promoted filled in."""
    store: SqlDialogStore
    learnt: Learnt
    folder: Path
    """Of the new version."""
    base: str
    data: tuple[Path, ...]
    votes: tuple[Path, ...]
    seed: int
    encoder: "Encoder | None"
    """The one of the retriever that serves, where it is loaded already."""
    options: Mapping[str, Any]


def train_from_log(
    settings: Settings,
    store: SqlDialogStore,
    kind: str,
    data: tuple[Path, ...] = (),
    votes: tuple[Path, ...] = (),
    seed: int = 0,
    encoder: "Encoder | None" = None,
    **options: Any,
) -> Version:
    """Trains a kind and adds it as a new version, which serves nobody before it is promoted. `data`, `votes`: files to
    learn from besides; `encoder`: that of the retriever that serves, where it is loaded already; `options`: fields of
    that kind's training. Raises UserError when the log has too few votes, and what the training raises; then nothing is
    left of it."""
    from ranking.training import end

    started = now()
    learnt = learn_from(settings, store, kind)
    serving = served(settings, store, kind)
    base = str(options.pop("base", "")) or serving.model
    folder = new_version(settings, kind)
    try:
        job = Job(with_promoted(settings, store), store, learnt, folder, base, data, votes, seed, encoder, options)
        facts = TRAININGS[kind](job)
        card = Card(**learnt.card)
        card["retriever"] = str(facts.pop("retriever", ""))
        card["arguments"] = {
            **{name: value if isinstance(value, int | float) else str(value) for name, value in options.items()},
            "data": [file.name for file in data],
            "votes": [file.name for file in votes],
            "seconds": round((now() - started).total_seconds()),
        }
        card["seeds"], card["metrics"] = [seed], facts
        parent = serving.version.name if serving.version and base == serving.model else ""
        if not parent:
            card["base"] = Path(base).name or "shipped"
        version = Version(folder.name, kind, parent, card)
        add_version(settings, store, version)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        end(folder, finished=True)
    return version


def learn_from(settings: Settings, store: SqlDialogStore, kind: str) -> Learnt:
    """What the log has to teach, older than what the gate compares on. Raises UserError when that is too little."""
    from ranking.trust import DISCOUNTED, weigh

    signals = signals_of(settings, store)
    votes = sum(signal.kind in EXPLICIT for signal in signals)
    older, held, until = newest(signals, HELD_OUT)
    if votes < NEEDED[kind] or until is None:
        raise UserError(
            f"A {kind} needs {NEEDED[kind]} votes of people who said that Kith may learn from them, in several "
            f"dialogs, and the log has {votes}: let people talk and vote, and train it then."
        )
    weighed = weigh(
        [signal.rating for signal in older],
        [signal.features for signal in older],
        [signal.went_on for signal in older],
        settings.implicit_weight,
        settings.votes_a_person,
    )
    kept = [replace(older[i], rating=rating) for i, rating in zip(weighed.kept, weighed.ratings, strict=True)]
    explicit = [signal for signal in kept if signal.kind in EXPLICIT]
    voted: dict[str, list[str]] = {}
    for signal in explicit:
        if weighed.trust[signal.rating.person] >= DISCOUNTED:
            voted.setdefault(signal.rating.person, []).append(signal.rating.dialog_id)
    dialogs = frozenset(name for names in voted.values() for name in names[: math.ceil(settings.votes_a_person)])
    card = Card(
        data=digest(kept),
        filter={
            "consent": True,
            "redacted": True,
            "implicit_weight": settings.implicit_weight,
            "votes_a_person": settings.votes_a_person,
            **({"shipped_share": SHIPPED_SHARE} if kind != "policy" else {}),
        },
        until=until.isoformat(),
        people=len({signal.rating.person for signal in kept}),
        dialogs=len({signal.rating.dialog_id for signal in kept}),
        votes=len(explicit),
        labels={
            **weighed.facts,
            "sent_back": sum(signal.kind == "retry" for signal in kept),
            "with_a_reason": sum(bool(signal.reason) for signal in kept),
            "held_out_votes": sum(signal.kind in EXPLICIT for signal in held),
        },
    )
    return Learnt(kept, dialogs, card)


def signals_of(settings: Settings, store: SqlDialogStore) -> list[Signal]:
    """All labels of the log, as an export would name people."""
    name = partial(pseudonym, load_salt(settings.data_dir))
    disclosed = Disclosed(name, redact, timedelta(hours=settings.idle_hours), now())
    with store.reading() as connection, tqdm(total=count(store, Filters()), desc="log", disable=None) as bar:
        return list(read_signals(connection, disclosed, bar.update))


def digest(signals: list[Signal]) -> str:
    """SHA-256 of what is learnt."""
    found = hashlib.sha256()
    for signal in signals:
        rating = signal.rating
        said = [[message.role, message.text] for message in rating.messages]
        row = [rating.dialog_id, said, rating.reply, rating.liked, rating.weight, sorted(signal.features.items())]
        found.update(json.dumps(row).encode())
    return found.hexdigest()


def shipped_ratings() -> list[RatedReply]:
    """Some of what the shipped models learnt from."""
    return [r for r in read_ratings(STARTER / "ratings.jsonl.gz") if held_back(r.dialog_id, SHIPPED_SHARE)]


def train_policy(job: Job) -> dict[str, Any]:
    """The weights of the policy, from the features that the replies had. `votes` are files of `kith export dialogs`.
    With the option `taste` they are for a new taste that learns from the same votes, and is promoted together with
    the policy: what it says of each vote is told by one that learnt from the others (stacking, Wolpert 1992), since of
    votes that it learnt from it knows too much. Of the shipped votes it knows nothing."""
    from ranking.exploring import scale_for
    from ranking.fit import OF_LOG, fit_policy, save_fit, weight_beside
    from ranking.off_policy import log_of
    from ranking.policy import Weights, load_weights

    signals = [signal for signal in job.learnt.signals if signal.features]
    shipped = list(read_votes(STARTER / "votes.jsonl.gz"))
    if job.options.get("taste"):
        from ranking.taste import told_by_others

        told = told_by_others(encoder_of(job), [s.rating for s in signals], shipped_ratings(), job.seed)
        pairs = zip(signals, told, strict=True)
        signals = [replace(signal, features={**signal.features, "taste": value}) for signal, value in pairs]
        shipped = [replace(vote, features={**vote.features, "taste": 0.0}) for vote in shipped]
    own = [LoggedVote(s.rating.dialog_id, s.features, s.rating.liked, s.rating.weight, s.rating.implicit)
           for s in signals]  # fmt: skip
    own += [vote for file in job.votes for vote in read_votes(file)]
    weight = weight_beside(own, shipped, OF_LOG, SHIPPED_WEIGHTS)
    shipped = [replace(vote, weight=weight) for vote in shipped]
    before = load_weights(Path(job.base) if job.base else None)
    fit = fit_policy([*own, *shipped], OF_LOG, before, job.seed)
    scale = scale_for(log_of(learnt_turns(job)), fit.weights, before, job.settings.exploration)
    weights = {name: round(scale * value, 4) for name, value in fit.weights.weights.items()}
    save_fit(job.folder / FILES["policy"], replace(fit, weights=Weights(job.folder.name, weights, before.vetoes)))
    return {**fit.facts, "shipped_weight": weight, "scale": scale, "weights": weights}


def learnt_turns(job: Job) -> list[tuple[str, Decision, int]]:
    """The judged turns that are learnt from, as `log_of` takes them; of a new taste they know nothing yet."""
    dialogs = {signal.rating.dialog_id for signal in job.learnt.signals}
    with job.store.reading() as connection:
        turns = [vote.turn for vote in held_out(connection, 1.0, None, 1).votes]
    return [(t.asked.dialog_id, t.decision, 0) for t in turns if t.asked.dialog_id in dialogs and t.decision.ranked]


def train_taste(job: Job) -> dict[str, Any]:
    """The taste, on the vectors of the retriever that serves."""
    from ranking.taste import train_taste as train

    encoder = encoder_of(job)
    more = [rating for file in job.votes for rating in read_ratings(file)]
    taste, facts = train(encoder, [*job.learnt.ratings, *more, *shipped_ratings()], job.seed)
    taste.save(job.folder / FILES["taste"], {"version": job.folder.name})
    return {**facts, "retriever": encoder.version}


def encoder_of(job: Job) -> "Encoder":
    """Of the retriever that serves, or that the options name."""
    from ranking.encoders import load_encoder

    named = str(job.options.get("retriever") or "")
    return job.encoder if job.encoder and not named else load_encoder(named or job.settings.retriever)


def train_ranker(job: Job) -> dict[str, Any]:
    """The ranker, onward from the one that serves."""
    from ranking.ranker import STARTER as SHIPPED
    from ranking.train import RankerTraining
    from ranking.train import train_ranker as train

    options = {"retriever": job.settings.retriever, **job.options}
    run = RankerTraining(job.data, job.votes, job.folder, job.base or str(SHIPPED), seed=job.seed, **options)
    return train(run, [*job.learnt.ratings, *shipped_ratings()])


def train_retriever(job: Job) -> dict[str, Any]:
    """What is alike and when to listen, on the vectors as they are; with dialogs in `data`, and of a model of others,
    the vectors too."""
    from ranking.dialog_encoder import is_bert
    from ranking.encoders import STARTER as SHIPPED
    from ranking.pretrained import loading
    from ranking.train_retriever import RetrieverTraining
    from ranking.train_retriever import train_retriever as train

    base = job.base or str(SHIPPED)
    with loading(f"The base {base}"):
        vectors = bool(job.data) or not is_bert(base)
    options = {"epochs": float(vectors), **job.options}
    run = RetrieverTraining(job.data, job.folder, job.votes, base, seed=job.seed, **options)
    return train(run, [*job.learnt.ratings, *shipped_ratings()])


def train_generator(job: Job) -> dict[str, Any]:
    """The generator, onward from the one that serves: on what trusted people talked up to a reply that they liked, and
    on Kith's own voice; or by another `method` of generation.tuning, on their votes."""
    from generation.generator import STARTER as SHIPPED
    from generation.train import GeneratorTraining
    from generation.train import train_generator as train
    from generation.tuning import Tuning, tune

    salt, options = load_salt(job.settings.data_dir), dict(job.options)
    method = options.pop("method", "pretrain")
    # For its owner alone (mode 700), and gone at the end, whatever happens.
    with tempfile.TemporaryDirectory(prefix="kith-") as private:
        files = {}
        for name in ("messages", "preferences", "votes"):
            files[name] = Path(private) / f"{name}.jsonl"
            filters = Filters(liked=name == "messages", dialogs=job.learnt.dialogs)
            export(job.store, name, files[name], filters, salt)
        if method == "pretrain":
            data = (files["messages"], VOICE, *job.data)
            return train(GeneratorTraining(data, job.folder, job.base or str(SHIPPED), seed=job.seed, **options))
        return tune(
            Tuning(
                method,
                (files[LEARNS_FROM[method]], *job.data),
                job.folder,
                job.base,
                votes=(files["votes"], *job.votes),
                preferences=(files["preferences"],),
                persona=told(job.settings),
                examples=job.settings.examples,
                seed=job.seed,
                **options,
            )
        )


TRAININGS: Mapping[str, Callable[[Job], dict[str, Any]]] = {
    "policy": train_policy,
    "taste": train_taste,
    "ranker": train_ranker,
    "retriever": train_retriever,
    "generator": train_generator,
}
