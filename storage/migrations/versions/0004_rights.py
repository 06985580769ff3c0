"""Whom an admin shut out, and messages by person and time, for quotas."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "block",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_message_person_id_at", "message", ["person_id", "at"])
    op.drop_index("ix_message_person_id", "message")
