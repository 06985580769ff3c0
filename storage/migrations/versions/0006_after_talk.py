"""How people said they feel after a talk."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "after_talk",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("dialog_id", sa.Text, sa.ForeignKey("dialog.id", ondelete="CASCADE"), nullable=False),
        sa.Column("person_id", sa.Text, sa.ForeignKey("person.id", ondelete="CASCADE"), nullable=False),
        sa.Column("feeling", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_after_talk_dialog_id", "after_talk", ["dialog_id"])
    op.create_index("ix_after_talk_person_id_at", "after_talk", ["person_id", "at"])
