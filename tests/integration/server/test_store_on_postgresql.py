"""The ledger's rules once more, on a real PostgreSQL: the fixtures beside this file hand over another database."""

from __future__ import annotations

from tests.unit.server.ledger.test_ledger import *  # noqa: F403
