"""Every input that the fuzzer keeps passes its target: what was found once is not let in again."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
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


def test_small_inputs_are_kept_up_to_a_number_and_large_ones_never(tmp_path: Path) -> None:
    run = SourceFileLoader("tests_fuzz_run", str(TOP / "run")).load_module()
    fresh, kept = tmp_path / "fresh", tmp_path / "kept"
    for folder in (fresh, kept):
        folder.mkdir()
    for number in range(run.MAX_KEPT + 9):
        (fresh / f"{number:03}").write_bytes(b"%03d" % number * 100)
    (fresh / "large").write_bytes(b"x" * (run.MAX_KEPT_BYTES + 1))
    run.keep_smallest(fresh, kept)
    names = {path.name for path in kept.iterdir()}
    assert len(names) == run.MAX_KEPT and "large" not in names
