"""Limits that more than one part must know. Standard library alone."""

from __future__ import annotations

MIN_RUN_SECONDS = 60
MAX_RUN_SECONDS = 172_800
"""Time limit of a run in seconds: 48 hours."""
DEFAULT_RUN_SECONDS = 14_400
MAX_CONCURRENCY = 64
"""Test processes of a run of the queue."""
MAX_SECRETS = 100
"""Different values of secret options in a run."""
MAX_SECRET_CHARACTERS = 32_768
"""All of those together: what masking costs grows with them."""
MAX_TEXT_BYTES = 8 * 1024 * 1024
"""A text that people write: options, accounts, clouds, tokens, lists of tests."""
MAX_GUIDELINE_BYTES = 4 * 1024 * 1024
MAX_IMPORT_BYTES = 32 * 1024 * 1024
"""A result that is imported, and any stream of subunit v1."""
MAX_COUNT = 10_000_000
"""Tests in a progress report."""
