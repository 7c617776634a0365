"""Migrations once more, on a real PostgreSQL."""

from __future__ import annotations

from tests.unit.server.test_schema import *  # noqa: F403
