"""How the tables came to be: Alembic versions, applied by storage.database when a database is opened.

A new version is a file in versions/ that names the one before it as `down_revision`; a test compares the outcome with
storage/schema.py.
"""
