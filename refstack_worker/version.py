"""The version of this software, as its package says; ``packaging/source_version.py`` decides it."""

from __future__ import annotations

import importlib.metadata
from functools import cache

NOT_INSTALLED = "0.0.0"


@cache
def software_version() -> str:
    """Return the installed version; ``0.0.0`` in a source tree that was never installed."""
    try:
        return importlib.metadata.version("refstack-worker")
    except importlib.metadata.PackageNotFoundError:
        return NOT_INSTALLED
