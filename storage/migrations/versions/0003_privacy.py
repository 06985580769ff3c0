"""When somebody said whether their dialogs may be learnt from, and an index to find old messages by.

Before, everybody was told at /start that writing meant agreeing, and could opt out: what was in force then stays so.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("person", sa.Column("consent_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE person SET consent_at = at")
    op.create_index("ix_message_at", "message", ["at"])
