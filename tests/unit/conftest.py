"""What all unit tests share: a program sets up logging for its process, which here is the tests' own."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

PROGRAMS = "refstack_worker"
"""The logger whose level the programs set."""


@pytest.fixture(autouse=True)
def quiet_root() -> Iterator[None]:
    root, programs = logging.getLogger(), logging.getLogger(PROGRAMS)
    before = list(root.handlers), root.level, programs.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    programs.setLevel(before[2])
