"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.Text, primary_key=True),
        _filled("language", sa.Text),
        _filled("buttons", sa.Boolean),
        _filled("consent", sa.Boolean),
        _filled("at", TIME),
    )
    op.create_table(
        "chat",
        sa.Column("key", sa.Text, primary_key=True),
        _filled("persona", sa.Text),
    )
    op.create_table(
        "dialog",
        sa.Column("id", sa.Text, primary_key=True),
        _filled("chat", sa.Text, _goes_with("chat.key"), index=True),
        _filled("at", TIME),
        _filled("active_at", TIME, index=True),
        sa.Column("ended_at", TIME),
    )
    current = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_dialog_current", "dialog", ["chat"], unique=True, sqlite_where=current, postgresql_where=current
    )
    op.create_table(
        "message",
        sa.Column("id", NUMBER, primary_key=True),
        _filled("dialog_id", sa.Text, _goes_with("dialog.id")),
        _filled("person_id", sa.Text, _goes_with("person.id"), index=True),
        _filled("text", sa.Text),
        _filled("update_key", sa.Text, unique=True),
        _filled("external_id", sa.Text, index=True),
        _filled("at", TIME),
        sa.Column("edited_at", TIME),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_message_dialog_id_id", "message", ["dialog_id", "id"])
    op.create_table(
        "turn",
        sa.Column("id", sa.Text, primary_key=True),
        _filled("message_id", NUMBER, _goes_with("message.id"), index=True),
        _filled("reply", sa.Text),
        _filled("reason", sa.Text),
        _filled("probability", sa.Double),
        _filled("versions", sa.JSON),
        _filled("seconds", sa.JSON),
        _filled("retry_of", sa.Text),
        _filled("rejected", sa.Boolean),
        _filled("at", TIME),
    )
    op.create_table(
        "candidate",
        sa.Column("turn_id", sa.Text, _goes_with("turn.id"), primary_key=True),
        sa.Column("rank", sa.Integer, primary_key=True),
        _filled("text", sa.Text),
        _filled("source", sa.Text),
        _filled("origin", sa.Text),
        sa.Column("score", sa.Double),
        _filled("features", sa.JSON),
        sa.Column("total", sa.Double),
        _filled("probability", sa.Double),
        _filled("veto", sa.Text),
        _filled("chosen", sa.Boolean),
    )
    op.create_table(
        "vote",
        sa.Column("turn_id", sa.Text, _goes_with("turn.id"), primary_key=True),
        sa.Column("person_id", sa.Text, _goes_with("person.id"), primary_key=True, index=True),
        _filled("value", sa.Integer),
        _filled("kind", sa.Text),
        _filled("reason", sa.Text),
        _filled("at", TIME),
    )
    op.create_table(
        "vote_event",
        sa.Column("id", NUMBER, primary_key=True),
        _filled("turn_id", sa.Text, _goes_with("turn.id"), index=True),
        _filled("person_id", sa.Text, _goes_with("person.id"), index=True),
        _filled("value", sa.Integer),
        _filled("kind", sa.Text),
        _filled("reason", sa.Text),
        _filled("at", TIME),
    )
    op.create_table(
        "delivery",
        sa.Column("chat", sa.Text, primary_key=True),
        sa.Column("external_id", sa.Text, primary_key=True),
        _filled("turn_id", sa.Text, _goes_with("turn.id"), index=True),
    )
    op.create_table(
        "pool_entry",
        sa.Column("id", sa.Text, primary_key=True),
        _filled("reply", sa.Text),
        _filled("contexts", sa.JSON),
        _filled("origin", sa.Text),
        _filled("at", TIME),
    )
    op.create_table(
        "pool_entry_turn",
        sa.Column("entry_id", sa.Text, _goes_with("pool_entry.id"), primary_key=True),
        sa.Column("turn_id", sa.Text, _goes_with("turn.id"), primary_key=True, index=True),
    )


def _filled(name: str, type_: Any, *args: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, *args, nullable=False, **options)


def _goes_with(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")
