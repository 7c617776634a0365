from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from refstack_worker.config.worker import SpoolSettings
from refstack_worker.contract.envelope import Opener
from refstack_worker.errors import NotFoundError, PayloadError, SpoolError
from refstack_worker.worker.attempt.claimed import Notes
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from refstack_worker.worker.spool.spool import RELEASE, REPORT, RESULT, Entry, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool", SpoolSettings(first_retry=10.0, last_retry=35.0, limit_mb=1))
    made.prepare()
    return made


def keep(spool: Spool, held: ClaimedAttempt, **files: bytes) -> Entry:
    entry = Entry.of(held, RESULT)
    with spool.writer(held) as writer:
        for name, data in files.items():
            writer.write(name, data[:3])
            writer.write(name, data[3:])
        writer.keep(entry)
    return entry


def test_a_result_is_kept_with_its_files_and_no_secret_in_clear(
    spool: Spool, held: ClaimedAttempt, opener: Opener
) -> None:
    entry = keep(spool, held, subunit=b"stream", summary=b"{}")
    assert spool.entries() == [entry]
    folder = spool.path(entry)
    assert (folder / "subunit").read_bytes() == b"stream"
    assert folder.stat().st_mode & 0o077 == 0
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert b"hunter22" not in path.read_bytes() and held.payload.secret.encode() not in path.read_bytes()
    assert spool.held(entry, opener) == held


def test_what_is_not_told_to_be_kept_goes(spool: Spool, held: ClaimedAttempt) -> None:
    with spool.writer(held) as writer:
        writer.write("subunit", b"x")
    with pytest.raises(RuntimeError), spool.writer(held) as writer:
        writer.write("subunit", b"x")
        raise RuntimeError("broken off")
    assert list(spool.folder.iterdir()) == []


def test_what_never_became_whole_is_removed_at_the_start(spool: Spool, held: ClaimedAttempt) -> None:
    writer = spool.writer(held)
    writer.write("subunit", b"x")
    assert len(list(spool.folder.iterdir())) == 1 and spool.entries() == []
    spool.prepare()
    assert list(spool.folder.iterdir()) == []


def test_a_full_spool_says_so_and_keeps_what_it_has(spool: Spool, held: ClaimedAttempt) -> None:
    first = keep(spool, held, subunit=b"x" * 700_000)
    with pytest.raises(SpoolError, match="as large as spool.limit_mb allows; make room"), spool.writer(held) as writer:
        writer.write("subunit", b"x" * 700_000)
        writer.keep(Entry.of(held, REPORT))
    assert spool.entries() == [first]
    assert len(list(spool.folder.iterdir())) == 1


def test_a_full_disk_is_noted_and_not_raised_while_files_come_in(spool: Spool, held: ClaimedAttempt) -> None:
    with spool.writer(held) as writer:
        writer.write("subunit", b"x")
        writer._files["subunit"].close()
        writer._files["subunit"] = open("/dev/full", "wb", buffering=0)
        writer.write("subunit", b"x")
        assert "No space left" in writer.problem
        with pytest.raises(SpoolError, match="No space left"):
            writer.keep(Entry.of(held, RESULT))
    assert spool.entries() == []


@pytest.mark.parametrize("name", ["../x", "/etc/x", "..", "", "a/b"])
def test_a_file_stays_in_its_entry(spool: Spool, held: ClaimedAttempt, name: str, tmp_path: Path) -> None:
    with spool.writer(held) as writer:
        writer.write(name, b"x")
        assert writer.problem
    assert not (tmp_path / "x").exists()


def test_tries_come_after_twice_the_time_up_to_a_limit(spool: Spool, held: ClaimedAttempt) -> None:
    entry = keep(spool, held, subunit=b"x")
    waits = []
    for _ in range(4):
        before = time.time()
        entry = spool.failed(entry, "down")
        waits.append(round(entry.next_try - before))
    assert waits == [10, 20, 35, 35]
    (found,) = spool.entries()
    assert (found.tries, found.error) == (4, "down")
    assert not spool.is_due(found)
    assert spool.due_now(found).next_try == 0.0
    assert spool.is_due(spool.due_now(found))
    assert spool.is_due(Entry(**{**found.__dict__, "next_try": time.time() + 3600})), "the clock jumped back"


def test_an_entry_can_be_found_and_is_gone_when_removed(spool: Spool, held: ClaimedAttempt) -> None:
    entry = keep(spool, held, subunit=b"x")
    assert spool.find("7:2") == spool.find("7") == spool.find(entry.name) == entry
    spool.remove(entry)
    with pytest.raises(NotFoundError, match="spool list"):
        spool.find("7:2")
    assert list(spool.folder.iterdir()) == []
    assert spool.failed(entry, "late").tries == 1 and spool.entries() == []


def test_a_damaged_entry_hides_no_other(spool: Spool, held: ClaimedAttempt) -> None:
    entry = keep(spool, held, subunit=b"x")
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"kind": 1}')):
        (spool.folder / name).mkdir()
        (spool.folder / name / "entry.json").write_text(text)
    assert spool.entries() == [entry]


def test_an_entry_of_a_newer_version_is_read(spool: Spool, held: ClaimedAttempt) -> None:
    entry = keep(spool, held, subunit=b"x")
    path = spool.path(entry) / "entry.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "new_field": 1}))
    assert spool.entries() == [entry]


def test_too_old(spool: Spool, held: ClaimedAttempt) -> None:
    entry = Entry.of(held, RELEASE)
    assert not spool.is_too_old(entry)
    assert spool.is_too_old(Entry(**{**entry.__dict__, "since": time.time() - 8 * 86400}))


def test_a_note_of_a_held_attempt_outlives_a_crash_and_holds_no_secret(
    tmp_path: Path, held: ClaimedAttempt, opener: Opener
) -> None:
    notes = Notes(tmp_path / "held")
    notes.prepare()
    notes.write(held)
    (path,) = (tmp_path / "held").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    assert held.payload.secret not in path.read_text() and "hunter22" not in path.read_text()
    (tmp_path / "held" / "8-1.json").write_text("{cut off")
    assert notes.left(opener) == [held]
    assert len(list((tmp_path / "held").iterdir())) == 1
    notes.remove(held)
    assert notes.left(opener) == []


def test_a_note_that_the_keys_no_longer_open_is_let_go(tmp_path: Path, held: ClaimedAttempt, opener: Opener) -> None:
    notes = Notes(tmp_path / "held")
    notes.prepare()
    notes.write(ClaimedAttempt(held.payload, held.envelope[:-4] + b"AAAA", held.claim, held.worker, ""))
    with pytest.raises(PayloadError):
        opener.open(held.envelope[:-4] + b"AAAA")
    assert notes.left(opener) == []
