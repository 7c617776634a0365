"""Limits that more than one part must know. Standard library alone."""

from __future__ import annotations

MIN_RUN_SECONDS = 60
MAX_RUN_SECONDS = 172_800
"""Time limit of a run in seconds: 48 hours."""
MAX_CONCURRENCY = 64
"""Test processes of a run of the queue."""
MAX_COUNT = 10_000_000
"""Tests in a progress report."""
