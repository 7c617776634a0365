"""What an API token allows: the scopes that server and commands know."""

from __future__ import annotations

OPERATOR = "operator"
VENDOR = "vendor"
READ = "read"
"""A token with this scope changes nothing."""
SCOPES = (OPERATOR, VENDOR, READ)
