"""Run by Alembic for each migration, on the connection and in the transaction that storage.database gives."""

from alembic import context

from storage.schema import Base

# The metadata carries the naming convention, so that versions need not name their constraints.
context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
