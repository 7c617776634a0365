"""Names of the project's packages."""

from __future__ import annotations

WORKER = "refstack-worker"
KEYRING = "refstack-archive-keyring"
FAMILY = (WORKER, "python3-refstack-worker", "refstack-execute-test")
"""Built together; they change version together."""
TEMPEST = "refstack-tempest-"
"""Followed by the Tempest version."""
