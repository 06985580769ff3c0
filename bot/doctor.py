"""`kith doctor`: is all there that a bot needs, and does it work? Every model is loaded and answers one message."""

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bot.exposure import warning
from bot.logs import redacted
from bot.settings import Settings, UserError, env_name, load_settings
from storage.dialog import Candidate, Context, Message

GREETING = Context((Message("user", "Hi! How are you today?"),), persona="I am Kith, and I like to talk.")
BAD_NEWS = Context((Message("user", "I lost my job today and I feel awful."),))
FITTING = "I'm so sorry. Do you want to tell me what happened?"
SENSELESS = "Purple seven of the banana, la la la."

SAME = 0.01
"""Log-odds by which the scores of FITTING and SENSELESS must differ."""

Look: TypeAlias = Callable[[Settings], str]
"""Looks at a part and says what it found, or raises."""

OURS = ("bot.", "generation.", "ranking.", "storage.")


class Unfit(Exception):
    """Something that is there but does not do its work."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and what to do if it is not fine."""

    name: str
    fine: bool
    found: str
    advice: str = ""


def examine() -> Iterator[Check]:
    """All checks, one after the other; without settings there is nothing else to look at."""
    try:
        settings = load_settings()
    except UserError as error:
        yield Check("settings", False, str(error), "README.md lists the settings and what they may be.")
        return
    changed = ", ".join(env_name(name) for name in sorted(settings.model_fields_set))
    yield Check("settings", True, f"changed: {changed}" if changed else "all as they come")
    sound = True
    for name, look, advice in (
        ("secrets", secrets, "Let only yourself read them, by the command above."),
        ("database", database, "Correct KITH_DATABASE_URL, or set KITH_DATA_DIR to a folder that can be written."),
        ("versions", versions, "Put the folder back, or `kith models rollback` that kind."),
        ("personas", personas, "Correct the file, KITH_PERSONA or KITH_PERSONAS_DIR."),
        ("machine", machine, "Please report it with the name of your processor: float32 would be faster."),
        ("retriever", retriever, "Run `make run` again, or correct KITH_RETRIEVER; KITH_RETRIEVED=0 does without it."),
        ("generator", generator, "Correct KITH_GENERATOR or KITH_REMOTE_URL; KITH_CANDIDATES=0 does without it."),
        ("ranker", ranker, "Correct KITH_RANKER, or make one by `kith train ranker`."),
        ("taste", taste, "Correct KITH_TASTE, or make one by `kith train taste`."),
        ("policy", policy, "Correct KITH_POLICY, or leave it out for the shipped one."),
        ("experiment", experiment, "Correct KITH_VARIANTS, or leave it out: then everybody gets the same."),
        ("safety", safety, "Correct KITH_SAFETY_MODEL and KITH_HELP_LINES, or leave them out."),
        ("Telegram", telegram, "Until then, `kith chat` talks in this terminal."),
    ):
        if name in ("versions", "retriever") and not sound:
            yield Check(name, False, "not looked at, since they are in the database", "Mend the database first.")
            continue
        found = check(name, look, settings, advice)
        sound = sound and (found.fine or name != "database")
        if name == "versions" and found.fine:
            settings = promoted(settings)
        yield found


def check(name: str, look: Look, settings: Settings, advice: str) -> Check:
    """One check: what `look` found, or the error that it raised."""
    try:
        return Check(name, True, look(settings))
    except Exception as error:  # whatever a part suffers from is what is to be shown
        ours = type(error).__module__.startswith(OURS)
        words = str(error) if ours else f"{type(error).__name__}: {error}"
        return Check(name, False, redacted(words, settings.secrets), advice)


def secrets(settings: Settings) -> str:
    """Looks who else can read the files with secrets."""
    if sentence := warning(settings):
        raise Unfit(sentence)
    return "for your eyes only"


def database(settings: Settings) -> str:
    """Opens the log and counts."""
    from storage.database import shown
    from storage.stats import read_stats
    from storage.store import SqlDialogStore

    with SqlDialogStore(settings.database) as store, store.reading() as connection:
        found = read_stats(connection)
    return f"{shown(settings.database)}: {found.turns} turns, {found.people} people"


def versions(settings: Settings) -> str:
    """Says which versions were promoted and serve, and looks whether their folders are there."""
    from bot.assemble import open_store
    from bot.versions import all_served, misfit

    promoted(settings)
    with open_store(settings) as store:
        serve = all_served(settings, store)
    if found := misfit(settings, serve):
        raise Unfit(f"{found.name} does not fit: {found.reason}.")
    return ", ".join(f"{each.kind}: {each.name}" for each in serve.values() if each.version) or "none was promoted"


def promoted(settings: Settings) -> Settings:
    """The settings with what was promoted filled in."""
    from bot.assemble import open_store
    from bot.versions import with_promoted

    with open_store(settings) as store:
        return with_promoted(settings, store)


def personas(settings: Settings) -> str:
    """Reads the persona files."""
    from bot.personas import known_persona, load_personas

    found = load_personas(settings.personas_dir)
    return f"{', '.join(found)}; new chats: {known_persona(found, settings.persona)}"


def machine(settings: Settings) -> str:
    """Says in which number format the models compute here, and tries whether it is a fast one."""
    from bot.assemble import set_up_libraries
    from generation.place import tried

    set_up_libraries(settings)
    said, fine = tried()
    if not fine:
        raise Unfit(f"{said}.")
    return said


def retriever(settings: Settings) -> str:
    """Loads the bi-encoder, and the pool of curated, liked and imported replies."""
    from bot.assemble import load_retriever, open_store
    from ranking.encoders import STARTER

    if not settings.retrieved:
        return "switched off by KITH_RETRIEVED=0"
    with open_store(settings) as store:
        loaded = load_retriever(settings, store)
    return f"{loaded.version}, from {settings.retriever or STARTER}; {first(loaded.propose([GREETING])[0])}"


def generator(settings: Settings) -> str:
    """Loads the language model, or asks the server."""
    from bot.assemble import load_generator
    from generation.generator import STARTER

    if not settings.candidates:
        return "switched off by KITH_CANDIDATES=0"
    loaded = load_generator(settings)
    place = settings.remote_url or settings.generator or str(STARTER)
    return f"{loaded.version}, from {place}; {first(loaded.propose([GREETING])[0])}"


def ranker(settings: Settings) -> str:
    """Loads the cross-encoder and compares a fitting reply to a senseless one."""
    from ranking.encoders import load_encoder
    from ranking.ranker import STARTER, CrossEncoderRanker

    loaded = CrossEncoderRanker(settings.ranker, load_encoder(settings.retriever))
    replies = [Candidate(text, "doctor", 0.0) for text in (FITTING, SENSELESS)]
    fitting, senseless = loaded.score([(BAD_NEWS, replies)])[0]
    scores = f"{fitting:.2f} for a fitting reply, {senseless:.2f} for a senseless one"
    if not abs(fitting - senseless) >= SAME:  # so that NaN is unfit too
        raise Unfit(f"It does not tell replies apart: {scores}.")
    return f"{loaded.version}, from {settings.ranker or STARTER}; {scores}"


def taste(settings: Settings) -> str:
    """Loads the small network that reads the retriever's vectors, if there is one for this retriever."""
    from ranking.encoders import load_encoder
    from ranking.taste import STARTER, load_taste

    if settings.retriever and not settings.taste:
        return "none: the shipped one is for the shipped retriever; `kith train taste` makes one for yours"
    file = settings.taste or STARTER
    return f"{load_taste(file, load_encoder(settings.retriever)).version}, from {file}"


def policy(settings: Settings) -> str:
    """Reads the weights; one for a feature that nothing computes would silently count for nothing."""
    from ranking.features import cheap_features
    from ranking.policy import SHIPPED, load_weights
    from ranking.safety import VETOES

    loaded = load_weights(settings.policy)
    known = {*cheap_features(), *VETOES, "relevance", "ranker", "taste", "careless", "nearest"}
    unknown = {*loaded.weights, *loaded.vetoes} - known
    if unknown:
        raise Unfit(f"Nothing computes the features {', '.join(sorted(unknown))}.")
    return f"{loaded.version}, from {settings.policy or SHIPPED}"


def experiment(settings: Settings) -> str:
    """Loads what the variants have of their own."""
    from bot.assemble import load_generator
    from bot.variants import load_variants
    from ranking.encoders import load_encoder
    from ranking.policy import load_weights

    if not settings.variants:
        return "none: everybody gets the same"
    load_variants(settings, load_weights(settings.policy), load_encoder(settings.retriever), load_generator)
    return f"{settings.experiment}: {', '.join(f'{v.name} ({v.weight:g})' for v in settings.variants)}"


def safety(settings: Settings) -> str:
    """Loads the help lines, the classifier of danger and what checks replies."""
    from bot.assemble import load_moderation, load_toxicity_check
    from bot.help_lines import SHIPPED
    from ranking.danger import DangerSigns, load_readers
    from ranking.encoders import load_encoder

    if settings.safety == "off":
        return "SWITCHED OFF by KITH_SAFETY: nobody in danger is shown help, and replies are not checked for harm"
    encoder = load_encoder(settings.retriever)
    danger = DangerSigns(load_readers())
    for language, reader in danger.readers.items():
        if not all(map(math.isfinite, reader.odds(["hello"]).tolist())):
            raise Unfit(f"What reads danger in {language} tells no number.")
    load_moderation(settings, danger)
    loaded = load_toxicity_check(settings, encoder)
    checks = f"danger is told by {danger.version}, replies are checked by {loaded.version}"
    return f"help lines from {settings.help_lines or SHIPPED}; {checks}"


def telegram(settings: Settings) -> str:
    """Asks Telegram who the bot is."""
    from bot.telegram_chat import check_token

    if not settings.telegram_bot_token:
        return "no TELEGRAM_BOT_TOKEN: `kith run` talks in this terminal"
    return asyncio.run(check_token(settings))


def first(candidates: Sequence[Candidate]) -> str:
    """What a source says to GREETING. Raises Unfit when it says nothing."""
    if not candidates:
        raise Unfit(f"It has no reply to {GREETING.last!r}.")
    return f"says {candidates[0].text!r}"


def show(checks: Iterable[Check]) -> list[Check]:
    """Prints the checks as a table that grows, and returns them."""
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")  # of a path every letter counts
    done: list[Check] = []
    with Live(table, console=Console(highlight=False), auto_refresh=False) as live:
        for check in checks:
            done.append(check)
            mark = Text("✓", "green") if check.fine else Text("✗", "bold red")
            text = Text(check.found, "" if check.fine else "red")
            if not check.fine:
                text.append(f"\n→ {check.advice}", "yellow")
            table.add_row(mark, check.name, text)
            live.refresh()
    return done
