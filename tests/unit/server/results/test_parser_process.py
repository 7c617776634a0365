"""A large result is parsed in a process of its own, with the same outcome as in this one."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest

from refstack_worker import process
from refstack_worker.errors import LedgerError, ResultError
from refstack_worker.server.results import masked_copy, parser_process
from refstack_worker.server.results.machine_turns import MachineTurns
from refstack_worker.server.results.parser_process import parse_apart
from tests.support.ledgers import Event, stream

EVENTS = (
    Event("tempest.a.T.test_one[id-a22ef352-a342-4587-8f47-3bbdb5b039c4]"),
    Event("tempest.a.T.test_two", "fail", "the password is hunter22"),
    Event("tempest.a.T.test_two"),
    Event("tempest.a.T.test_three", "skip", "no such service"),
)


def in_both(folder: Path, content: bytes) -> tuple[Path, Path, Path]:
    file = folder / "result"
    file.write_bytes(content)
    here, apart = folder / "here", folder / "apart"
    here.mkdir()
    apart.mkdir()
    return file, here, apart


def test_it_is_the_same_as_in_this_process(tmp_path: Path) -> None:
    file, here, apart = in_both(tmp_path, stream(EVENTS))
    expected = masked_copy.parse_into(here, file, ["hunter22"])
    parsed = parse_apart(file, apart, ["hunter22"], tmp_path)
    assert (parsed.counts, parsed.seconds) == (expected.counts, expected.seconds)
    assert list(parsed.tests) == list(expected.tests)
    copies = [gzip.decompress((folder / masked_copy.PACKED).read_bytes()) for folder in (here, apart)]
    assert copies[0] == copies[1] and b"hunter22" not in copies[1]


def test_a_damaged_stream_is_refused_in_the_same_words(tmp_path: Path) -> None:
    file, here, apart = in_both(tmp_path, stream(EVENTS)[:-7])
    with pytest.raises(ResultError) as expected:
        masked_copy.parse_into(here, file, ())
    with pytest.raises(ResultError) as raised:
        parse_apart(file, apart, (), tmp_path)
    assert str(raised.value) == str(expected.value)


def test_trouble_of_the_server_is_not_the_results_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _, apart = in_both(tmp_path, stream(EVENTS))
    with pytest.raises(LedgerError, match="cannot be parsed now"):
        parse_apart(file, tmp_path / "gone", (), tmp_path)
    with pytest.raises(LedgerError, match="cannot be parsed now"):
        parse_apart(file, apart, (), file)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(LedgerError, match="cannot be parsed now"):
        parse_apart(file, apart, (), tmp_path)


def test_secrets_are_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _, apart = in_both(tmp_path, stream(EVENTS))
    words = []
    run = process.run
    monkeypatch.setattr(process, "run", lambda argv, options: words.extend(argv) or run(argv, options))
    parse_apart(file, apart, ["hunter22"], tmp_path)
    assert words and "hunter22" not in str(words)


def test_a_large_result_that_gets_no_turn_in_time_is_posted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _, apart = in_both(tmp_path, stream(EVENTS))
    monkeypatch.setattr(parser_process, "_TURNS", MachineTurns("parser", 1))
    monkeypatch.setattr(parser_process, "WAIT_SECONDS", 0.1)
    with MachineTurns("parser", 1).turn(tmp_path, 0.0), pytest.raises(LedgerError, match="post it again"):
        parse_apart(file, apart, (), tmp_path)
    assert parse_apart(file, apart, (), tmp_path).counts.passed == 1, "the turn was given back"
