from __future__ import annotations

import errno
import json
import time
from pathlib import Path

import pytest

from refstack_worker.config.worker import SpoolSettings
from refstack_worker.contract.envelope import Opener
from refstack_worker.errors import NotFoundError, SpoolError
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from refstack_worker.worker.spool import spool as spools
from refstack_worker.worker.spool.spool import RELEASE, REPORT, RESULT, Spool, SpoolEntry


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool", SpoolSettings(first_retry=10.0, last_retry=35.0, limit_mb=1))
    made.prepare()
    return made


def keep(spool: Spool, claimed: ClaimedAttempt, **files: bytes) -> SpoolEntry:
    entry = SpoolEntry.of(claimed, RESULT)
    with spool.writer(claimed) as writer:
        for name, data in files.items():
            writer.write(name, data[:3])
            writer.write(name, data[3:])
        writer.keep(entry)
    return entry


def test_a_result_is_kept_with_its_files_and_no_secret_in_clear(
    spool: Spool, claimed: ClaimedAttempt, opener: Opener
) -> None:
    entry = keep(spool, claimed, subunit=b"stream", summary=b"{}")
    assert spool.entries() == [entry]
    folder = spool.path(entry)
    assert (folder / "subunit").read_bytes() == b"stream"
    assert folder.stat().st_mode & 0o077 == 0
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert b"hunter22" not in path.read_bytes() and claimed.payload.secret.encode() not in path.read_bytes()
    assert spool.claimed(entry, opener) == claimed


def test_files_that_are_not_kept_are_removed(spool: Spool, claimed: ClaimedAttempt) -> None:
    with spool.writer(claimed) as writer:
        writer.write("subunit", b"x")
    with pytest.raises(RuntimeError), spool.writer(claimed) as writer:
        writer.write("subunit", b"x")
        raise RuntimeError("broken off")
    assert list(spool.folder.iterdir()) == []


def test_incomplete_entries_are_removed_at_the_start(spool: Spool, claimed: ClaimedAttempt) -> None:
    writer = spool.writer(claimed)
    writer.write("subunit", b"x")
    assert len(list(spool.folder.iterdir())) == 1 and spool.entries() == []
    spool.prepare()
    assert list(spool.folder.iterdir()) == []


def test_a_full_spool_says_so_and_keeps_what_it_has(spool: Spool, claimed: ClaimedAttempt) -> None:
    first = keep(spool, claimed, subunit=b"x" * 700_000)
    with (
        pytest.raises(SpoolError, match="has reached spool.limit_mb; make room"),
        spool.writer(claimed) as writer,
    ):
        writer.write("subunit", b"x" * 700_000)
        writer.keep(SpoolEntry.of(claimed, REPORT))
    assert spool.entries() == [first]
    assert len(list(spool.folder.iterdir())) == 1


def test_a_full_disk_is_noted_and_not_raised_while_files_come_in(spool: Spool, claimed: ClaimedAttempt) -> None:
    with spool.writer(claimed) as writer:
        writer.write("subunit", b"x")
        writer._files["subunit"].close()
        writer._files["subunit"] = open("/dev/full", "wb", buffering=0)
        writer.write("subunit", b"x")
        assert "No space left" in writer.problem
        with pytest.raises(SpoolError, match="No space left"):
            writer.keep(SpoolEntry.of(claimed, RESULT))
    assert spool.entries() == []


@pytest.mark.parametrize("name", ["../x", "/etc/x", "..", "", "a/b"])
def test_a_file_stays_in_its_entry(spool: Spool, claimed: ClaimedAttempt, name: str, tmp_path: Path) -> None:
    with spool.writer(claimed) as writer:
        writer.write(name, b"x")
        assert writer.problem
    assert not (tmp_path / "x").exists()


def test_tries_come_after_twice_the_time_up_to_a_limit(spool: Spool, claimed: ClaimedAttempt) -> None:
    entry = keep(spool, claimed, subunit=b"x")
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
    assert spool.is_due(SpoolEntry(**{**found.__dict__, "next_try": time.time() + 3600})), "the clock jumped back"


def test_a_full_disk_makes_no_entry_due_at_once_again(
    spool: Spool, claimed: ClaimedAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = keep(spool, claimed, subunit=b"x")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(spools, "write_whole", full)
        spool.failed(entry, "down")
        (found,) = spool.entries()
        assert (found.tries, found.error) == (1, "down") and not spool.is_due(found)
        spool.failed(found, "down")
        assert spool.entries()[0].tries == 2
    spool.failed(spool.entries()[0], "down")
    assert Spool(spool.folder, SpoolSettings()).entries()[0].tries == 3


def test_an_entry_can_be_found_and_is_gone_when_removed(spool: Spool, claimed: ClaimedAttempt) -> None:
    entry = keep(spool, claimed, subunit=b"x")
    assert spool.find("7:2") == spool.find("7") == spool.find(entry.name) == entry
    spool.remove(entry)
    with pytest.raises(NotFoundError, match="spool list"):
        spool.find("7:2")
    assert list(spool.folder.iterdir()) == []
    assert spool.failed(entry, "late").tries == 1 and spool.entries() == []


def test_an_entry_that_is_removed_while_it_is_changed_stays_removed(
    spool: Spool, claimed: ClaimedAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the thread that posted it, while the one of the heartbeats makes it due."""
    entry = keep(spool, claimed, subunit=b"x")
    write = spools.write_whole

    def late(path: Path, content: bytes, mode: int) -> None:
        spool.remove(entry)
        write(path, content, mode)

    monkeypatch.setattr(spools, "write_whole", late)
    spool.due_now(entry)
    assert spool.entries() == [] and list(spool.folder.iterdir()) == []


def test_a_damaged_entry_hides_no_other(spool: Spool, claimed: ClaimedAttempt) -> None:
    entry = keep(spool, claimed, subunit=b"x")
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"kind": 1}')):
        (spool.folder / name).mkdir()
        (spool.folder / name / "entry.json").write_text(text)
    assert spool.entries() == [entry]


def test_an_entry_of_a_newer_version_is_read(spool: Spool, claimed: ClaimedAttempt) -> None:
    entry = keep(spool, claimed, subunit=b"x")
    path = spool.path(entry) / "entry.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "new_field": 1}))
    assert spool.entries() == [entry]


def test_too_old(spool: Spool, claimed: ClaimedAttempt) -> None:
    entry = SpoolEntry.of(claimed, RELEASE)
    assert not spool.is_too_old(entry)
    assert spool.is_too_old(SpoolEntry(**{**entry.__dict__, "since": time.time() - 8 * 86400}))


def test_a_lying_agent_cannot_open_files_without_end(spool: Spool, claimed: ClaimedAttempt) -> None:
    with spool.writer(claimed) as writer:
        for number in range(800):
            writer.write(f"file-{number}", b"x" * 10_000)
        assert len(writer.names) == spools.MAX_FILES and "more than 16 files" in writer.problem
        assert sum(path.stat().st_size for path in spool.folder.glob("*/*")) <= spools.MAX_FILES * 10_000


def test_the_limit_of_the_spool_holds_while_files_come_in(spool: Spool, claimed: ClaimedAttempt) -> None:
    with spool.writer(claimed) as writer:
        for _ in range(8):
            writer.write("subunit", b"x" * (1 << 20))
        assert "spool.limit_mb" in writer.problem
        assert sum(path.stat().st_size for path in spool.folder.glob("*/*")) <= 1 << 20
