"""Every input that the fuzzer keeps passes its target: what was found once is not let in again."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1] / "fuzz"
CORPUS = TOP / "corpus"
NAMES = sorted(path.name for path in CORPUS.iterdir())


@pytest.fixture(autouse=True)
def undone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the targets change in their process is undone for the tests that follow."""
    monkeypatch.setattr(socket, "getaddrinfo", socket.getaddrinfo)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_passes(name: str) -> None:
    from tests.fuzz import targets

    inputs = sorted((CORPUS / name).iterdir())
    assert inputs and sum(path.stat().st_size for path in inputs) < 256 * 1024
    for path in inputs:
        targets.TARGETS[name](path.read_bytes())


def test_every_target_has_inputs() -> None:
    from tests.fuzz import targets

    assert set(NAMES) == set(targets.TARGETS)
