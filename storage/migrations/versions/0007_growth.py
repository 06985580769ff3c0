"""What is asked of a log often is found without reading all of it, however long it is."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_index("ix_turn_at", "turn", ["at"])
    op.create_index(
        "ix_candidate_chosen",
        "candidate",
        ["turn_id", "source", "chosen"],
        sqlite_where=sa.text("chosen = 1"),  # as queries say it, or it is not used
        postgresql_where=sa.text("chosen"),
    )
    in_hand = sa.text("body IS NOT NULL")
    op.create_index("ix_received_in_hand", "received", ["at"], sqlite_where=in_hand, postgresql_where=in_hand)
