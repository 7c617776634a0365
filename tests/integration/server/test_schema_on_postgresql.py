"""Migrations once more, on a real PostgreSQL."""

from __future__ import annotations

from tests.unit.server.db.test_migrate import *  # noqa: F403
