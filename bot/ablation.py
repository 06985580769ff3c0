"""The whole bot, measured, and what each part of it is worth: `kith evaluate bot`.

The same candidates are decided by other policies: the best of one source by that source's own opinion, the best of all
by the ranker, the best of all by the policy, without generation where it is not needed, and drawn as the running bot
draws. What is said is judged by a second vote model, which learnt from votes on dialogs that neither ranker nor policy
was trained on. The shipped policy did learn from votes on the held-back dialogs of `generation/voice/`, so at each of
those it decides by weights that were fitted without the votes on that dialog.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TypeAlias

import numpy as np
from tqdm import tqdm

from bot.assemble import assemble, load_retriever, open_store, set_seed
from bot.pipeline import Pipeline
from bot.rehearsal import Answered, ScriptedUser, answer, scripted_users, self_play, talk
from bot.settings import Settings, UserError
from generation.replies import PEOPLE, Place, Said, distinct_in_halves, places_to_answer, reply_columns
from ranking.early import best_of, learn_bound
from ranking.fit import fit_halves, half_of
from ranking.policy import SHIPPED, ScoringPolicy, Weights, load_weights
from ranking.ranker import CrossEncoderRanker
from ranking.safety import guarded
from ranking.taste import JUDGE, Taste, load_taste
from ranking.vectors import Encoder
from storage.corpora import CorpusDialog, CorpusError, read_dialogs, read_votes
from storage.dialog import Candidate, Context, Decision
from storage.estimates import RESAMPLES, Floats, Measured, Row, draws, mean, measured, rows_against

RETRIEVAL, GENERATOR, LISTENER = "retrieval alone", "generator alone", "listener alone"
RANKER, WHOLE, DRAWN = "all, ranker", "all, policy", "drawn as in use"
HURRIED = "policy, early decisions"

Judge: TypeAlias = CrossEncoderRanker | Taste

VOTES = SHIPPED.with_name("votes.jsonl.gz")
"""What the shipped weights are fitted to."""

CROSSED = "At each held-back place the policy decides by weights that were fitted without the votes on its dialog."
APART = "Of the votes that the policy's weights were fitted to none is on the dialogs of the held-back places."
AS_THEY_ARE = (
    "At held-back places the policy decides by its weights as they are: votes on these dialogs may have taught them."
)

EARLY_RISK = 0.02
"""Share of turns that early decisions may change: as little as 200 turns can show."""

OF_CHAT = ("repetition", "echo", "listened")
"""Vetoes that are the policy's work; the others keep what must not be said from everybody's mouth."""


@dataclass(frozen=True, slots=True)
class BotEvaluation:
    """What is measured, on what."""

    data: tuple[Path, ...]
    judge: str = ""
    """Who judges: a file of `kith train taste`, or folder or hub id of a ranker; "" for the shipped judge."""
    places: int = 200
    """Replies at places of held-back dialogs, at the most, one a dialog."""
    users: int = 40
    """Scripted users, at the most."""
    self_play: int = 0
    """Dialogs of the bot with itself; 0 leaves this part out."""
    turns: int = 20
    """Replies in each of those."""
    lang: str = "en"
    seed: int = 0
    resamples: int = RESAMPLES


@dataclass(frozen=True, slots=True)
class Reply:
    """Something that was said, where, and by which source."""

    dialog: str
    context: Context
    text: str
    source: str
    early: bool = False
    """Whether generation was not asked."""


@dataclass(frozen=True, slots=True)
class Talked:
    """How one kind of talk went."""

    replies: int
    dialogs: int
    rows: list[Row]
    """By who decided; `against` is the difference to the whole bot, which has none."""


@dataclass(frozen=True, slots=True)
class Line:
    """A user's message and the reply, with the judge's probability of a 👍."""

    message: str
    reply: str
    source: str
    liked: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """A dialog with a scripted user."""

    user: str
    opening: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class BotFigures:
    """What came of it."""

    models: Mapping[str, str]
    talks: Mapping[str, Talked]
    """By kind of talk."""
    transcripts: tuple[Transcript, ...]
    """Of the bot as it runs, each draw included."""
    seconds: Mapping[str, float]
    policy: str
    """Whether its weights know votes on the dialogs of the held-back places: CROSSED, APART or AS_THEY_ARE."""


def evaluate_bot(settings: Settings, run: BotEvaluation) -> BotFigures:
    """Places, scripted users, and self-play when asked for. Raises what the parts of the bot raise, CorpusError on data
    that is unreadable or has no held-back part, UserError when a source is switched off."""
    if not settings.candidates or not settings.retrieved:
        raise UserError("The bot cannot be taken apart: set KITH_CANDIDATES and KITH_RETRIEVED to more than 0.")
    dialogs = held_back_dialogs(run.data, run.lang)
    with open_store(settings) as store:
        retriever = load_retriever(settings, store)
        pipeline = assemble(settings, store, retriever, run.seed)
    judge = load_judge(run.judge, retriever.encoder)
    policies = variants(weights_in_use(settings), settings.exploration, run.seed)
    set_seed(run.seed)
    marks, talks = [time.monotonic()], {}

    held = places_to_answer(dialogs, run.places, run.seed, pipeline.personas)
    at_places, policy = unseeing(settings, dialogs, held, run.seed)
    places = [(place.dialog, place.context) for place in held]
    with _bar("places", len(places)) as bar:
        answered = answer(pipeline, places, bar.update)
    said = {PEOPLE: [Reply(place.dialog, place.context, place.reply, PEOPLE) for place in held]}
    said |= {
        name: [decided_again(a, by[name], pipeline) for a, by in zip(answered, at_places, strict=True)]
        for name in policies
    }
    marks.append(time.monotonic())

    users = scripted_users()[: run.users]
    rehearsed = {name: rehearsing(pipeline, name, by) for name, by in policies.items()}
    with _bar("scripted users", len(rehearsed) * sum(len(user.says) for user in users)) as bar:
        heard = {name: talk(bot, users, bar.update) for name, bot in rehearsed.items()}
    # the bound for each kind of talk is learnt from the other one
    hurried = decided_early(answered, heard[WHOLE], [by[WHOLE] for by in at_places], pipeline)
    talks["held-back places"] = judged({**said, HURRIED: hurried}, judge, run)
    hurried = decided_early(heard[WHOLE], answered, [policies[WHOLE]] * len(heard[WHOLE]), pipeline)
    talks["scripted users"] = judged({**_replies(heard), HURRIED: hurried}, judge, run)
    marks.append(time.monotonic())

    if run.self_play:
        openings = {user.name: user.says[0] for user in users[: run.self_play]}
        alone = {name: bot for name, bot in rehearsed.items() if name != DRAWN}
        with _bar("self-play", len(alone) * len(openings) * run.turns) as bar:
            played = {name: self_play(bot, openings, run.turns, bar.update) for name, bot in alone.items()}
        talks["self-play"] = judged(_replies(played), judge, run)
        marks.append(time.monotonic())

    seconds = dict(zip(talks, np.diff(marks).round(1).tolist(), strict=True))
    models = {**pipeline.versions(), "judge": judge.version}
    return BotFigures(models, talks, transcripts(users, heard[DRAWN], judge), seconds, policy)


def held_back_dialogs(data: Sequence[Path], lang: str) -> list[CorpusDialog]:
    """The held-back dialogs of these files in a language. Raises CorpusError, also when there are none."""
    dialogs = [d for path in data for d in read_dialogs(path) if d.lang in ("", lang) and d.split == "valid"]
    if not dialogs:
        raise CorpusError("No dialogs to measure on: none of the files has any of the valid split in this language.")
    return dialogs


def weights_in_use(settings: Settings) -> Weights:
    """The policy's weights, with the vetoes that the settings ask for. Raises PolicyError."""
    weights = load_weights(settings.policy)
    return guarded(weights) if settings.safety == "on" else weights


def unseeing(
    settings: Settings, dialogs: Sequence[CorpusDialog], places: Sequence[Place], seed: int
) -> tuple[list[dict[str, ScoringPolicy]], str]:
    """For each place who decides there, by name: where votes on these dialogs taught the weights in use, by weights
    that those on the place's own dialog did not teach. And what was done, in words."""
    weights, votes = weights_in_use(settings), list(read_votes(VOTES))
    ids = {f"{dialog.source} {dialog.id}": dialog.id for dialog in dialogs}
    asked = [ids[place.dialog] for place in places]
    halves = fit_halves(votes, weights)
    if halves is None or not {vote.dialog_id for vote in votes} & set(asked):
        by = variants(weights, settings.exploration, seed)
        return [by] * len(places), AS_THEY_ARE if halves is None else APART
    of_half = [variants(fitted, settings.exploration, seed) for fitted in halves]
    return [of_half[half_of(dialog)] for dialog in asked], CROSSED


def load_judge(name: str, encoder: Encoder) -> Judge:
    """A vote model by name, "" for the shipped one. Raises ModelError."""
    if not name or Path(name).suffix == ".safetensors":
        return load_taste(Path(name) if name else JUDGE, encoder)
    return CrossEncoderRanker(name, encoder)


def variants(weights: Weights, exploration: float, seed: int) -> dict[str, ScoringPolicy]:
    """Who decides, by what the tables call it."""
    kept = {name: limit for name, limit in weights.vetoes.items() if name not in OF_CHAT}

    def by(name: str, feature: str, **vetoes: float) -> ScoringPolicy:
        return ScoringPolicy(Weights(name, {feature: 1.0}, {**kept, **vetoes}))

    return {
        RETRIEVAL: by(RETRIEVAL, "similarity", generated=1.0, listening=1.0),
        GENERATOR: by(GENERATOR, "likelihood", retrieved=1.0, listening=1.0),
        LISTENER: by(LISTENER, "tone", retrieved=1.0, generated=1.0),
        RANKER: by(RANKER, "ranker"),
        WHOLE: ScoringPolicy(weights),
        DRAWN: ScoringPolicy(weights, exploration, seed),
    }


def rehearsing(pipeline: Pipeline, name: str, policy: ScoringPolicy) -> Pipeline:
    """The bot with another policy, and with one source where only one may speak."""
    alone = {RETRIEVAL: ("retrieval",), GENERATOR: ("generation",), LISTENER: ("listening",)}
    only = alone.get(name, tuple(pipeline.sources))
    return replace(pipeline, sources={source: pipeline.sources[source] for source in only}, policy=policy)


def decided_again(answered: Answered, policy: ScoringPolicy, pipeline: Pipeline) -> Reply:
    """What another policy says of the same candidates; the fallback where it lets none pass."""
    if answered.turn.decision.reason == "moderated":  # no policy has a say in it
        return _as_reply(answered, answered.turn.decision)
    decision = policy.again(answered.turn.decision)
    if decision.chosen is None:
        decision = replace(decision, reply=pipeline.fallback(answered.context, answered.turn.asked.language))
    return _as_reply(answered, decision)


def decided_early(
    answered: Sequence[Answered], others: Sequence[Answered], policies: Sequence[ScoringPolicy], pipeline: Pipeline
) -> list[Reply]:
    """What is said without asking the slow sources where that is sure enough, by what is learnt from other turns.
    `policies`: who decides each of the turns."""
    bounds = {
        policy: learn_bound((policy.again(a.turn.decision) for a in others), pipeline.slow, EARLY_RISK).total
        for policy in dict.fromkeys(policies)
    }
    replies = []
    for each, policy in zip(answered, policies, strict=True):
        reply = decided_again(each, policy, pipeline)
        quick, _ = best_of(policy.again(each.turn.decision), pipeline.slow)
        if quick and quick.total >= bounds[policy] and each.turn.decision.reason != "moderated":
            reply = replace(reply, text=quick.candidate.text, source=quick.candidate.source, early=True)
        replies.append(reply)
    return replies


def _replies(heard: Mapping[str, Sequence[Answered]]) -> dict[str, list[Reply]]:
    return {name: [_as_reply(answered, answered.turn.decision) for answered in turns] for name, turns in heard.items()}


def _as_reply(answered: Answered, decision: Decision) -> Reply:
    source = "fallback" if decision.chosen is None else decision.ranked[decision.chosen].candidate.source
    return Reply(answered.dialog, answered.context, decision.reply, source)


def judged(said: Mapping[str, Sequence[Reply]], judge: Judge, run: BotEvaluation) -> Talked:
    """The figures of what each said, as differences to the whole bot. All said something in the same dialogs, in the
    same order."""
    first = next(iter(said.values()))
    drawn = draws([reply.dialog for reply in first], run.seed, run.resamples)
    texts = {name: [reply.text for reply in replies] for name, replies in said.items()}
    halves, _ = distinct_in_halves(texts, WHOLE, run.seed, run.resamples)
    figures: dict[str, Measured] = {
        name: {
            **{key: measured(values, drawn, mean) for key, values in columns(replies, judge).items()},
            "distinct-2": (float(halves[name][:, 1].mean()), halves[name][:, 1]),
        }
        for name, replies in said.items()
    }
    return Talked(len(first), len({reply.dialog for reply in first}), rows_against(figures, WHOLE))


def columns(replies: Sequence[Reply], judge: Judge) -> dict[str, Floats]:
    """What is averaged, each of shape (replies,). `generated` and `fallback` are nan for people."""
    said = reply_columns([reply.context for reply in replies], [Said(reply.text) for reply in replies])
    kept = {name: values for name, values in said.items() if name not in ("empty", "cut off")}
    mix = {"generated": "generation", "listening": "listening", "fallback": "fallback"}
    sources = {
        name: np.array([np.nan if r.source == PEOPLE else float(r.source == source) for r in replies])
        for name, source in mix.items()
    }
    early = np.array([float(reply.early) for reply in replies])
    return {"liked": liked(replies, judge), **kept, **sources, "early": early}


def liked(replies: Sequence[Reply], judge: Judge) -> Floats:
    """The judge's probability of a 👍 of each."""
    batch = [(reply.context, [Candidate(reply.text, reply.source, 0.0)]) for reply in replies]
    scores = [row[0] for start in range(0, len(batch), 64) for row in judge.score(batch[start : start + 64])]
    probabilities: Floats = 1 / (1 + np.exp(-np.array(scores)))
    return probabilities


def transcripts(users: Sequence[ScriptedUser], heard: Sequence[Answered], judge: Judge) -> tuple[Transcript, ...]:
    """The dialogs as they went."""
    replies = [_as_reply(answered, answered.turn.decision) for answered in heard]
    lines: dict[str, list[Line]] = {user.name: [] for user in users}
    for reply, probability in zip(replies, liked(replies, judge), strict=True):
        lines[reply.dialog].append(Line(reply.context.last, reply.text, reply.source, round(float(probability), 3)))
    return tuple(Transcript(user.name, user.opening, tuple(lines[user.name])) for user in users)


def _bar(what: str, turns: int) -> "tqdm[NoReturn]":
    return tqdm(total=turns, desc=what, unit="turn", mininterval=2, disable=None)
