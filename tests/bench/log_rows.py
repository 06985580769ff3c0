"""Rows for a log of a size that nobody has talked yet: people, dialogs of ten turns, each turn with all its candidates,
one in ten with a vote. They are made by the database itself, 18 million candidates in some minutes, as a bot would have
left them: in the order of time, under ids in no order."""

import json
import random
from collections.abc import Iterator
from string import Template
from typing import Any

from sqlalchemy import text
from tqdm import tqdm

from storage.database import engine_for

CANDIDATES, FEATURES = 18, 25
DIALOG = 10
"""Turns of a dialog."""
PEOPLE = 20_000
"""The dialogs go round among them."""
STEP = 10_000
SPAN_SECONDS = 365 * 24 * 3600
KINDS = 200
"""Different candidates."""

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)"

SQLITE = {
    "TURN": "printf('%08x%024x', (i * 2654435761) % 4294967296, i)",
    "DIALOG": f"printf('%08x%024x', ((i / {DIALOG}) * 2654435761) % 4294967296, i / {DIALOG})",
    "AT": "strftime('%Y-%m-%d %H:%M:%f', 'now', printf('-%d seconds', 3600 + (:total - i) * :span)) || '000'",
    "YES": "1",
    "NO": "0",
}
POSTGRES = {
    "TURN": "lpad(to_hex((i * 2654435761) % 4294967296), 8, '0') || lpad(to_hex(i), 24, '0')",
    "DIALOG": f"lpad(to_hex(((i / {DIALOG}) * 2654435761) % 4294967296), 8, '0')"
    f" || lpad(to_hex(i / {DIALOG}), 24, '0')",
    "AT": "now() - make_interval(secs => 3600 + (:total - i) * :span)",
    "YES": "true",
    "NO": "false",
}
"""What the databases spell differently; `i` is the number of a turn."""

JSON = {
    "versions": json.dumps(
        {name: f"starter 2026-11-20 {name[:4]:0<8}" for name in ("retrieval", "generation", "ranker")}
    ),
    "seconds": json.dumps({f"part_{number:02}": 0.0123 * number for number in range(FEATURES)}),
}

EVERYWHERE = {"NUMBERS": NUMBERS, "PERSON": f"'telegram:' || (i / {DIALOG}) % {PEOPLE}", "LONG": DIALOG, "KINDS": KINDS}

ROWS = (
    "INSERT INTO person (id, language, buttons, consent, consent_at, at) $NUMBERS"
    " SELECT DISTINCT $PERSON, 'en', $YES, $YES, $AT, $AT FROM n WHERE i % $LONG = 0 ON CONFLICT DO NOTHING",
    "INSERT INTO chat (key, persona) $NUMBERS"
    " SELECT DISTINCT $PERSON, '' FROM n WHERE i % $LONG = 0 ON CONFLICT DO NOTHING",
    "INSERT INTO dialog (id, chat, at, active_at, ended_at) $NUMBERS"
    " SELECT $DIALOG, $PERSON, $AT, $AT, $AT FROM n WHERE i % $LONG = 0",
    "INSERT INTO message (id, dialog_id, person_id, text, update_key, external_id, at)"
    " $NUMBERS SELECT i, $DIALOG, $PERSON, 'my manager moved the deadline again, number ' || i,"
    " 'telegram:1:' || i, '' || i, $AT FROM n",
    "INSERT INTO turn (id, message_id, reply, reason, probability, versions, seconds, retry_of, rejected, at)"
    " $NUMBERS SELECT $TURN, i, 'Ouch. How are you holding up?', 'policy', 0.25, :versions, :seconds, '', $NO, $AT"
    " FROM n",
    "INSERT INTO candidate"
    " (turn_id, rank, text, source, origin, score, features, total, probability, veto, chosen)"
    " $NUMBERS SELECT $TURN, k.rank, k.text || i, k.source, 'situations.work/3', 0.5, k.features, 1.0 - k.rank, 0.05,"
    " '', CASE WHEN k.rank = 0 THEN $YES ELSE $NO END FROM n JOIN kind k ON k.kind = i % $KINDS",
    "INSERT INTO vote (turn_id, person_id, value, kind, reason, at)"
    " $NUMBERS SELECT $TURN, $PERSON, 1, 'button', '', $AT FROM n WHERE i % 10 = 0",
    "INSERT INTO vote_event (turn_id, person_id, value, kind, reason, at)"
    " $NUMBERS SELECT $TURN, $PERSON, 1, 'button', '', $AT FROM n WHERE i % 10 = 0",
    "INSERT INTO delivery (chat, external_id, turn_id) $NUMBERS SELECT $PERSON, 'r' || i, $TURN FROM n",
    "INSERT INTO received (key, person_id, body, sent_back, tries, at)"
    " $NUMBERS SELECT 'telegram:1:' || i, '', NULL, '', 0, $AT FROM n WHERE :total - i < 50000",
)
"""What is made of each turn. A row of `received` stays three days: 50,000 are those of 17,000 updates a day."""


def fill(url: str, turns: int) -> None:
    """Adds so many turns to a log that was opened once before. Nobody else may use it meanwhile."""
    engine = engine_for(url)
    sqlite = engine.dialect.name == "sqlite"
    if sqlite:
        pooled = engine.raw_connection()  # the one that comes out of the pool next
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-1000000"):
            pooled.cursor().execute(f"PRAGMA {pragma}")
        pooled.close()
    spelt = EVERYWHERE | (SQLITE if sqlite else POSTGRES)
    with engine.connect() as connection:
        if not sqlite:
            connection.execute(text("SET session_replication_role = replica"))
        connection.execute(
            text("CREATE TEMPORARY TABLE kind (kind integer, rank integer, text text, source text, features text)")
        )
        connection.execute(text("INSERT INTO kind VALUES (:kind, :rank, :text, :source, :features)"), list(kinds()))
        newest = connection.execute(text("SELECT coalesce(max(id), 0) FROM message")).scalar_one()
        start = (newest // DIALOG + 1) * DIALOG
        end = start + turns
        for first in tqdm(range(start, end, STEP), "turns", disable=None):
            values = {"first": first, "last": min(first + STEP, end) - 1, "total": end, "span": SPAN_SECONDS // turns}
            for statement in ROWS:
                made = Template(statement).substitute(spelt)
                connection.execute(
                    text(made), {name: value for name, value in values.items() | JSON.items() if f":{name}" in made}
                )
            connection.commit()
        if not sqlite:
            for name in ("message", "vote_event", "received"):
                connection.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}")  # noqa: S608
                )
            connection.commit()
    engine.dispose()


def kinds() -> Iterator[dict[str, Any]]:
    """Candidates to take turns from: KINDS sets of CANDIDATES each."""
    numbers = random.Random(0)
    for kind in range(KINDS):
        for rank in range(CANDIDATES):
            features = {f"feature_{n:02}": numbers.random() if n % 2 else float(n % 4 > 2) for n in range(FEATURES)}
            source = ("retrieval", "generation", "listening")[rank % 3]
            words = "That sounds like a lot to carry on a Monday, number "
            yield {"kind": kind, "rank": rank, "text": words, "source": source, "features": json.dumps(features)}
