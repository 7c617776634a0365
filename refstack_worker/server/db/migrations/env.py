"""Alembic's environment: migrates on the connection, and in the transaction, that ``schema.py`` hands over."""

from __future__ import annotations

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    version_table=attributes["version_table"],
    transaction_per_migration=False,
)
# no begin_transaction() of Alembic's: the caller's covers everything, so a failed migration leaves no trace
context.run_migrations()
