"""`kith models`: versions that were trained here, which of them serve, and the gate between the two."""

import getpass
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from bot.cli.log import open_log
from bot.cli.output import Json, log_to_screen, show_json, show_table

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.verdict import Verdict
    from storage.store import SqlDialogStore
    from storage.versions import Promotion

app = typer.Typer(help="Versions of the models, and which of them serve.", no_args_is_help=True)

Names: TypeAlias = Annotated[list[str], typer.Argument(metavar="NAME...", help="Versions, at most one of each kind.")]

SOON = "A bot that is running takes this up within seconds."


@app.command("list")
def list_versions(as_json: Json = False) -> None:
    """Show what serves, and all versions."""
    from bot.settings import load_settings
    from bot.versions import KINDS, all_served

    settings = load_settings()
    with open_log() as store:
        serve, versions = all_served(settings, store), store.versions()
    names = {each.name for each in serve.values() if each.version}
    if as_json:
        show_json({"serving": {kind: serve[kind] for kind in KINDS}, "versions": versions})
        return
    show_table(("kind", "serves", "by"), ((each.kind, each.name or "shipped", each.by) for each in serve.values()))
    rows = (
        (v.name, v.parent, v.at, "serving" if v.name in names else v.state, v.card.get("votes", "")) for v in versions
    )
    show_table(("id", "parent", "time", "state", "#votes"), rows)


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME")], as_json: Json = False) -> None:
    """Show how a version came to be, and when it was promoted by whom."""
    from bot.versions import known_version

    with open_log() as store:
        version = known_version(store, name)
        promotions = [each for each in store.promotions() if each.name == name]
    if as_json:
        show_json({"version": version, "promotions": promotions})
        return
    facts = {"kind": version.kind, "parent": version.parent, "made": version.at, "state": version.state}
    show_table(("", ""), [*facts.items(), *version.card.items()], name)
    if promotions:
        show_table(("time", "by", "how"), ((each.at, each.by, how(each)) for each in promotions))


@app.command()
def compare(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="In the place of what serves.")] = "",
    as_json: Json = False,
) -> None:
    """Ask the gate about a version, without promoting it."""
    with prepared() as (settings, store):
        from bot.gate import gate
        from bot.versions import known_version

        against = [known_version(store, other)] if other else []
        verdict = gate(settings, store, [known_version(store, name)], against)
    show_verdict(verdict, as_json)


@app.command()
def promote(
    names: Names,
    force: Annotated[bool, typer.Option("--force", help="Also when the gate refuses; the log keeps that.")] = False,
    as_json: Json = False,
) -> None:
    """Let versions serve, if the gate finds them better. Those that stand on one another are named together."""
    from bot.settings import UserError

    with prepared() as (settings, store):
        from bot.gate import gate
        from bot.versions import known_version
        from storage.versions import Promotion

        versions = [known_version(store, name) for name in dict.fromkeys(names)]
        verdict = gate(settings, store, versions)
        forced = force and not verdict.passed
        if verdict.passed or force:
            facts, by = verdict.as_json(), account()
            store.promote([Promotion(v.kind, v.name, by, forced=forced, verdict=facts) for v in versions])
        else:
            for version in versions:
                if version.state == "new":
                    store.mark_version(version.name, "refused")
    show_verdict(verdict, as_json, forced)
    if not verdict.passed and not force:
        raise UserError(f"Not promoted: {'; '.join(verdict.refusals)}. --force does it all the same, and is logged.")
    if not as_json:
        typer.echo(f"{'Promoted by force' if forced else 'Promoted'}: {', '.join(v.name for v in versions)}. {SOON}")
        warn_of_settings(settings, [version.kind for version in versions])


@app.command()
def rollback(
    kinds: Annotated[list[str], typer.Argument(metavar="KIND...", help="retriever, ranker, taste, policy, generator.")],
    as_json: Json = False,
) -> None:
    """Go back to what served before, in the end to the shipped model. Kinds that stand on one another go together."""
    from bot.settings import UserError, load_settings
    from bot.versions import all_served, misfit, served, served_by
    from storage.versions import Promotion

    settings = load_settings()
    with open_log() as store:
        before: dict[str, str] = {}
        for kind in dict.fromkeys(kinds):
            served(settings, store, kind)  # which knows the kinds
            name = store.served_before(kind)
            if name is None:
                raise UserError(f"Nothing to take back: the shipped {kind} serves, or what KITH_{kind.upper()} names.")
            before[kind] = name
        now = all_served(settings, store)
        found = misfit(settings, {**now, **{k: served_by(settings, store, k, name) for k, name in before.items()}})
        if found and not misfit(settings, now):
            raise UserError(f"Not rolled back: {found.reason}; name both kinds, and they go back together.")
        store.promote([Promotion(kind, name, account(), back=True) for kind, name in before.items()])
    if as_json:
        show_json({"serving": before})
        return
    shown = ", ".join(f"{name or 'the shipped one'} serves as {kind}" for kind, name in before.items())
    typer.echo(f"{shown}. {SOON}")
    warn_of_settings(settings, before)


@contextmanager
def prepared() -> Iterator[tuple["Settings", "SqlDialogStore"]]:
    """Settings and log for comparing models."""
    from bot.assemble import open_store, set_up_libraries
    from bot.settings import load_settings

    settings = load_settings()
    log_to_screen("WARNING")
    set_up_libraries(settings)
    with open_store(settings) as store:
        yield settings, store


def show_verdict(verdict: "Verdict", as_json: bool, forced: bool = False) -> None:
    """The gate's figures, and what speaks against the version."""
    if as_json:
        show_json({**verdict.as_json(), "forced": forced})
        return
    columns = ("figure", "current", "candidate", "gain", "asked", "")
    rows = [
        (f.name, f.current, f.candidate, f.gain, f.rule, "✗" if f.refusal else "✓" if f.rule else "")
        for f in verdict.figures
    ]
    names = " and ".join(
        f"{name} against {verdict.current[kind] or 'the shipped one'}" for kind, name in verdict.candidates.items()
    )
    distrusted = f", {verdict.discounted} people discounted" if verdict.discounted else ""
    show_table(columns, rows, f"{names}, on {verdict.votes} held-out votes in {verdict.dialogs} dialogs{distrusted}")
    if verdict.passed:
        typer.echo("The gate lets it pass.")
    for refusal in verdict.refusals:
        typer.echo(f"Refused: {refusal}.")


def how(promotion: "Promotion") -> str:
    """How a version came to serve."""
    if promotion.back:
        return "rolled back to"
    return "promoted by force" if promotion.forced else "promoted"


def warn_of_settings(settings: "Settings", kinds: Iterable[str]) -> None:
    """Says where an owner's setting keeps a promotion from serving."""
    from bot.settings import env_name
    from bot.versions import named_by_owner

    for kind in kinds:
        if named := named_by_owner(settings, kind):
            typer.echo(f"But {env_name(kind)} names {named}, which goes first: remove it, and what is promoted serves.")


def account() -> str:
    """Whose account this is; "" where the system does not know it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
