"""What the owner of a bot does with its log: `kith export`, `kith stats`, `kith dialogs`, `kith forget`,
`kith prune`."""

import re
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.importing import import_dialogs
from bot.cli.output import Json, Yes, show_json, show_table
from bot.cli.tables import cell

if TYPE_CHECKING:
    from storage.browse import LoggedTurn
    from storage.stats import Approval
    from storage.store import SqlDialogStore

app = typer.Typer()
dialogs = typer.Typer(help="Look at dialogs.", no_args_is_help=True)
app.add_typer(dialogs, name="dialogs")
dialogs.command("import")(import_dialogs)

MOST = 10**9
"""More rows than any log has; far higher numbers no database takes."""

TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
A_TIME = "2026-12-31 or 2026-12-31T18:00:00"


@app.command()
def export(
    format: Annotated[str, typer.Argument(help="dialogs, messages, votes, preferences or ranking.")],
    file: Annotated[
        Path | None,
        typer.Argument(help="Ends in .jsonl, .csv (both also with .gz) or .parquet; none: JSON lines here."),
    ] = None,
    since: Annotated[datetime | None, typer.Option(formats=TIMES, metavar="TIME", help=f"From {A_TIME} on.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=TIMES, metavar="TIME", help=f"Before {A_TIME}.")] = None,
    chat: Annotated[str | None, typer.Option(help="One chat, such as telegram:42.")] = None,
    liked: Annotated[bool, typer.Option("--liked", help="Only replies with a 👍.")] = False,
    disliked: Annotated[bool, typer.Option("--disliked", help="Only replies with a 👎 (both: with a vote).")] = False,
    source: Annotated[str | None, typer.Option(help="Only replies of this source, such as retrieval.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, max=MOST, help="So many records at most.")] = None,
    real_names: Annotated[bool, typer.Option("--real-names", help="Ids of people and chats, not pseudonyms.")] = False,
    unredacted: Annotated[bool, typer.Option("--unredacted", help="Texts as they were written.")] = False,
    as_json: Json = False,
) -> None:
    """Write the log as records for training: of people who said yes, without what tells who they are."""
    from rich.console import Console
    from rich.progress import Progress

    from bot.settings import load_settings
    from storage.export import Filters, count, load_salt
    from storage.export import export as export_records
    from storage.store import SqlDialogStore

    settings = load_settings()
    filters = Filters(local(since), local(until), chat, liked, disliked, source, limit)
    salt = None if real_names else load_salt(settings.data_dir)
    screen = Console(stderr=True)
    # Records on the same screen would run through the bar.
    hidden = not screen.is_terminal or (file is None and sys.stdout.isatty())
    with SqlDialogStore(settings.database) as store, Progress(console=screen, disable=hidden) as bar:
        task = bar.add_task("dialogs", total=count(store, filters))
        advance = partial(bar.advance, task)
        records = export_records(store, format, file, filters, salt, advance, unredacted)
    if as_json and file:
        show_json({"format": format, "file": str(file), "records": records})
    else:
        typer.echo(f"{records} records" + (f" in {file}" if file else ""), err=True)


@app.command()
def stats(as_json: Json = False) -> None:
    """Show people, turns, votes, approval by source and version, and how long replies take."""
    from bot.settings import load_settings
    from bot.versions import all_served
    from storage.stats import read_stats

    with open_log() as store:
        with store.reading() as connection:
            found = read_stats(connection)
        serve = all_served(load_settings(), store)
    if as_json:
        show_json(found)
        return
    counts = ("people", "dialogs", "messages", "turns", "rejected", "fallbacks")
    show_table(("log", "#"), ((name, getattr(found, name)) for name in counts))
    groups = (found.approval, *found.by_source, *found.by_version)
    show_table(("approval", "#turns", "#👍", "#👎", "#share", "95 %"), map(approval_row, groups))
    if any(each.version for each in serve.values()):
        show_table(("kind", "serves", "by"), ((each.kind, each.name or "shipped", each.by) for each in serve.values()))
    if found.after_talk.asked:
        shares = {"better": found.after_talk.better, "worse": found.after_talk.worse}
        told = {name: cell(share) for name, share in shares.items() if share}
        rows = {"asked": found.after_talk.asked, **found.after_talk.answers}
        show_table(("after a talk", "#", "#share"), ((name, rows[name], told.get(name, "")) for name in rows))
    if found.reasons:
        show_table(("👎 because", "#"), found.reasons.items())
    slow = [stage for stage in found.latency if stage.p95 >= 0.0005]  # the others would only show zeros
    if slow:
        times = ((stage.stage, stage.turns, f"{stage.p50:.3f}", f"{stage.p95:.3f}") for stage in slow)
        show_table(("seconds", "#turns", "#median", "#95 %"), times)


@dialogs.command("list")
def list_dialogs(
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the latest dialogs."""
    with open_log() as store:
        found = store.dialogs(limit)
    if as_json:
        show_json(found)
        return
    rows = ((d.id, d.chat, d.active_at, d.turns, d.likes, d.dislikes) for d in found)
    show_table(("id", "chat", "latest", "#turns", "#👍", "#👎"), rows)


@dialogs.command()
def show(dialog_id: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """Show a dialog with its votes; --json has every candidate too."""
    from bot.settings import UserError

    with open_log() as store:
        dialog = store.dialog(dialog_id)
    if dialog is None:
        raise UserError(f"There is no dialog {dialog_id}: `kith dialogs list` shows the latest.")
    if as_json:
        show_json(dialog)
        return
    rows: list[tuple[object, ...]] = []
    for message in dialog.messages:
        rows.append((message.at, message.person_id, message.text, ""))
        rows += (reply_row(turn) for turn in message.turns)
    show_table(("time", "who", "text", "votes"), rows, dialog.chat)


@app.command()
def forget(
    person: Annotated[str, typer.Argument(help="Such as telegram:42 or console:me.")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete everything of a person for good."""
    from bot.settings import UserError

    with open_log() as store:
        if store.personal_data(person)["person"] is None:
            raise UserError(f"Nothing is kept of {person}: `kith dialogs list` shows what people are called.")
        if not yes:
            typer.confirm(f"Delete all dialogs, votes and settings of {person} for good?", abort=True, err=True)
        counts = store.forget(person)
        trim_vectors(store)
    if as_json:
        show_json(counts)
    else:
        show_table(("deleted", "#rows"), counts.items())


@app.command()
def prune(
    older_than: Annotated[
        str | None, typer.Option(help="Such as 90d, 8w or 12h; without it, as KITH_KEEP_DAYS says.", metavar="AGE")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much it would be.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Also make SQLite's file anew, without traces; stop the bot before.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete old messages with their replies and votes, and dialogs that may not be learnt from."""
    from bot.settings import UserError, load_settings
    from storage.retention import expiry

    settings = load_settings()
    days = settings.keep_days if older_than is None else age_in_days(older_than)
    gone = expiry(days, settings.opted_out_hours)
    with open_log() as store:
        counts = store.count_expired(gone)
        if not as_json:
            show_table(("to delete", "#rows"), counts.items())
        if not dry_run:
            if counts["message"] and not yes:
                typer.confirm("Delete these for good?", abort=True, err=True)
            while store.prune(gone):
                pass
            trim_vectors(store)
            if not store.scrub(rebuild) and rebuild:
                raise UserError(
                    "Somebody uses the database, so its file was not made anew: stop the bot, and try again."
                )
    if as_json:
        show_json(counts)


def age_in_days(age: str) -> float:
    """Days of an age such as 90d, 8w or 12h."""
    from bot.settings import UserError

    parts = re.fullmatch(r"(\d{1,5})([hdw])", age)
    if parts is None or int(parts[1]) == 0:
        raise UserError(f"{age} is no age: give hours, days or weeks, such as 12h, 90d or 8w.")
    return int(parts[1]) * {"h": 1 / 24, "d": 1, "w": 7}[parts[2]]


def trim_vectors(store: "SqlDialogStore") -> None:
    """Takes out of the data folder the vectors of texts that have left the pool."""
    from bot.settings import load_settings
    from ranking.pool import curated, texts_of
    from ranking.pool_files import trim_pool

    trim_pool(load_settings().pool_vectors, texts_of([*curated(), *store.pool_entries()]))


def open_log() -> "SqlDialogStore":
    """The log that the settings name."""
    from bot.settings import load_settings
    from storage.store import SqlDialogStore

    return SqlDialogStore(load_settings().database)


def local(time: datetime | None) -> datetime | None:
    """A time that was typed is of this machine's zone. Raises UserError for one that its calendar has not."""
    from bot.settings import UserError

    try:
        return None if time is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UserError(f"{time:%Y-%m-%d} is out of range: name a later or an earlier day.") from None


def approval_row(group: "Approval") -> tuple[object, ...]:
    """A line of the table of approval."""
    counts = group.name, group.turns, group.likes, group.dislikes
    if group.share is None:
        return *counts, "", ""
    return *counts, f"{group.share:.0%}", f"{group.low:.0%} to {group.high:.0%}"


def reply_row(logged: "LoggedTurn") -> tuple[object, ...]:
    """A reply as a line of a dialog."""
    marks = ["👍" if vote.value > 0 else " ".join(("👎", vote.reason)).strip() for vote in logged.votes]
    if logged.rejected:
        marks.append("sent back")
    return logged.turn.at, "Kith", logged.turn.decision.reply, ", ".join(marks)
