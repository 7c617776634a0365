"""What the tests of commands share: each program sets up logging for its process, which here is the tests' own."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from refstack_worker.cli import app


@pytest.fixture(autouse=True)
def quiet_root() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers), root.level, app.LOG.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    app.LOG.setLevel(before[2])
