"""`kith pool`: the replies that retrieval may say. Curated ones live in files, liked and imported ones in the log."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from bot.cli.log import open_log
from bot.cli.output import Json, Yes, show_json, show_table
from storage.dialog import PoolEntry

app = typer.Typer(help="The replies that retrieval may say.", no_args_is_help=True)

LONGEST = 2000
"""Characters of a text of the pool: a reply is one message, and never a flood of them."""

SOON = "A bot that is running takes this up within seconds."


@app.command("list")
def list_entries(
    origin: Annotated[Literal["curated", "liked", "imported"] | None, typer.Option(help="Only of this one.")] = None,
    find: Annotated[str, typer.Option(help="Only those whose reply or a context has this text.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="How many; 0: all.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the replies."""
    from ranking.pool import curated

    wanted = find.casefold()
    with open_log() as store:
        pool = [*curated(), *store.pool_entries()]
    found = [
        entry
        for entry in pool
        if origin in (None, entry.origin) and wanted in "\n".join((entry.reply, *entry.contexts)).casefold()
    ]
    shown = found[:limit] if limit else found
    if as_json:
        show_json(shown)
        return
    show_table(("id", "reply", "#contexts"), ((entry.id, entry.reply, len(entry.contexts)) for entry in shown))
    typer.echo(f"{len(shown)} of {len(found)} replies")


@app.command()
def add(
    reply: Annotated[str, typer.Argument(help="What may be said.")],
    context: Annotated[list[str], typer.Option(help="A message that it answers; give several.")],
    as_json: Json = False,
) -> None:
    """Add a reply of your own."""
    keep([new_entry(reply, context, "imported")], as_json)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help='JSON lines: {"reply": "...", "contexts": ["...", ...]}.')],
    as_json: Json = False,
) -> None:
    """Add the replies of a file."""
    keep(read_entries(file), as_json)


@app.command()
def promote(
    people: Annotated[int, typer.Option(min=1, help="How many people must have liked it.")] = 2,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let in replies that earned a 👍 from several people. They never enter by themselves, and never with a name, a
    number or an address in them."""
    from ranking.pool import curated, normal
    from storage.redaction import find

    with open_log() as store:
        known = {
            "",
            *(normal(entry.reply) for entry in (*curated(), *store.pool_entries())),
        }  # "": no words, as in "😂"
        replies = [reply for reply in store.liked_replies(people) if normal(reply.reply) not in known]
        liked = [reply for reply in replies if not find(reply.reply)]
        if not as_json:
            show_table(("reply", "#👍", "#👎"), ((reply.reply, reply.likes, reply.dislikes) for reply in liked))
        if liked and not yes:
            typer.confirm(f"Let these {len(liked)} replies into the pool?", abort=True, err=True)
        entries = [new_entry(reply.reply, reply.contexts, "liked") for reply in liked]
        turns = {entry.id: reply.turn_ids for entry, reply in zip(entries, liked, strict=True)}
        added = store.add_pool_entries(entries, turns)
    show_added(added, len(entries), as_json)


@app.command()
def remove(entry_id: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """Take out a liked or imported reply."""
    from bot.settings import UserError

    with open_log() as store:
        if not store.remove_pool_entry(entry_id):
            raise UserError(
                f"No liked or imported reply is called {entry_id}: `kith pool list --origin imported` and "
                "`--origin liked` show them; curated ones cannot be removed."
            )
    if as_json:
        show_json({"removed": entry_id})
    else:
        typer.echo(f"Removed. {SOON}")


def keep(entries: list[PoolEntry], as_json: bool) -> None:
    """Adds entries to the log's pool and says how many were new."""
    with open_log() as store:
        show_added(store.add_pool_entries(entries), len(entries), as_json)


def show_added(added: int, given: int, as_json: bool) -> None:
    """Says what came of adding; entries with the id of an older one are not new."""
    if as_json:
        show_json({"added": added, "known": given - added})
    else:
        typer.echo(f"{added} added, {given - added} known before." + (f" {SOON}" if added else ""))


def new_entry(reply: str, contexts: Sequence[str], origin: Literal["liked", "imported"]) -> PoolEntry:
    """An entry whose id follows from its words, so that the same reply is not added twice. Raises PoolError for one
    without words or without contexts."""
    from ranking.pool import PoolError, normal

    said = plain(reply)
    kept = tuple(dict.fromkeys(text for context in contexts if (text := plain(context))))
    if not normal(said) or not kept:
        raise PoolError("A pool entry needs a reply with words and a message that it answers.")
    if max(map(len, (said, *kept))) > LONGEST:
        raise PoolError(f"A reply and the messages that it answers have at most {LONGEST} characters.")
    digest = hashlib.sha256(normal(said).encode()).hexdigest()
    return PoolEntry(f"{origin}/{digest[:12]}", said, kept, origin)


def plain(text: str) -> str:
    """A text that can be shown and tokenized: without control characters and halves of characters."""
    from bot.console_screen import printable

    return printable(text.encode("utf-8", "replace").decode()).strip()


def read_entries(file: Path) -> list[PoolEntry]:
    """The entries of a file of JSON lines. Raises PoolError, which names the line."""
    from ranking.pool import PoolError
    from storage.lines import LineError, json_lines

    entries = []
    try:
        for number, record in json_lines(file):
            try:
                entries.append(as_entry(record))
            except PoolError as error:
                raise PoolError(f"{file}, line {number}: {error}") from None
    except LineError as error:
        raise PoolError(str(error)) from None
    return entries


def as_entry(record: object) -> PoolEntry:
    """A line of an imported file. Raises PoolError when it has another shape."""
    from ranking.pool import PoolError

    match record:
        case {"reply": str(reply), "contexts": [*contexts]} if all(isinstance(text, str) for text in contexts):
            return new_entry(reply, contexts, "imported")
    raise PoolError('A line looks like {"reply": "...", "contexts": ["...", "..."]}.')
