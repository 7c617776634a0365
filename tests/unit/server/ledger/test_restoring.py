"""A backup holds everything; where it is restored nothing of the old queue can run, and no id is given twice."""

from __future__ import annotations

import dataclasses
import tarfile
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.errors import BackupError, RefusedError
from refstack_worker.server.db import account_tables, backup, legacy_tables, migrate, node_key_tables, queue_tables
from refstack_worker.server.domain.attempts import Claim, Release
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.domain.schedules import Times
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.monitor.due_schedules import start_due
from tests.support.ledgers import claimed, make_settings, new_run, queued
from tests.support.notifications import finished, subscribe
from tests.support.schedules import schedule


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "refstack.tar.gz"


@pytest.fixture
def other(tmp_path: Path) -> Ledger:
    """Another server with an empty database and no keys."""
    (tmp_path / "other").mkdir()
    made = Ledger(make_settings(tmp_path / "other"))
    for path in backup.key_paths(made.settings.keys, []):
        path.unlink()
    yield made
    made.close()


def back_up(ledger: Ledger, file: Path) -> None:
    backup.create(ledger.database, file, backup.key_paths(ledger.settings.keys, []), "1.0")


def restore(ledger: Ledger, file: Path, replace: bool = False):
    with backup.opened(file) as (folder, manifest):
        backup.restore_keys(folder, ledger.settings.keys)
        backup.load(ledger.database, folder, manifest, replace)
        return ledger.restoring.settle()


def test_all_of_it_comes_back(ledger, other, file) -> None:
    run = ledger.runs.add(new_run())
    ledger.tokens.add("op", ["operator"])
    back_up(ledger, file)
    assert file.stat().st_mode & 0o777 == 0o600
    restore(other, file)
    assert other.runs.get(run.test_id).spec == ledger.runs.get(run.test_id).spec
    assert [token.name for token in other.tokens.all()] == ["op"]
    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert {"keys/sign.key", "keys/store.key", "tables/queue_run.jsonl", "manifest.json"} <= set(names)


@pytest.mark.parametrize("place", ["read", "upgrade"])
def test_an_interrupted_restore_leaves_keys_and_rows_together(
    ledger: Ledger, other: Ledger, file: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    ledger.runs.add(new_run())
    back_up(ledger, file)
    migrate.upgrade(other.database)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, backup.opened(file) as (folder, manifest):
        patch.setattr(backup.copy_rows if place == "read" else migrate, place, interrupted)
        with pytest.raises(KeyboardInterrupt):
            backup.restore(other.database, folder, manifest, other.settings.keys)
    has_rows = place == "upgrade"
    assert bool(other.runs.find(RunQuery())) is has_rows
    assert bool(backup.key_paths(other.settings.keys, [])) is has_rows


def test_a_job_of_the_old_queue_is_refused(ledger, other, file) -> None:
    old = queued(ledger)
    back_up(ledger, file)
    settled = restore(other, file)
    assert (settled.queued, settled.held) == (1, 0)
    answer = None
    try:
        answer = other.attempts.claim(old.proof, Claim("c" * 32, "node-1"))
    except RefusedError as error:
        assert error.reason in ("superseded", "wrong-proof")
    assert answer is None or not answer.granted
    (again,) = other.submissions.next()
    assert again.key.attempt == old.submission.key.attempt + 100
    assert not other.submissions.next(), "it is given to the queue once"


def test_a_run_that_a_node_still_has_goes_on(ledger, other, file) -> None:
    job = claimed(ledger)
    back_up(ledger, file)
    assert restore(other, file).held == 1
    answer = other.attempts.heartbeat(job.proof, job.claim_id, Progress())
    assert answer.reply.value == "go"
    assert other.runs.get(job.submission.key.test_id).state is RunState.CLAIMED


def test_a_run_that_no_node_has_any_more_is_not_started_again(ledger, other, file) -> None:
    job = claimed(ledger)
    back_up(ledger, file)
    restore(other, file)
    key = job.submission.key
    other.attempts.requeue(key, Release.LOST, "node-1 is silent")
    run = other.runs.get(key.test_id)
    assert run.state is RunState.FAILED and not other.submissions.next()


def test_ids_are_not_given_twice(ledger, other, file) -> None:
    back_up(ledger, file)
    lost = ledger.runs.add(new_run())
    restore(other, file)
    assert other.runs.add(new_run()).test_id > lost.test_id + 1000


def test_what_is_there_is_not_overwritten(ledger, other, file) -> None:
    ledger.runs.add(new_run())
    back_up(ledger, file)
    restore(other, file)
    with pytest.raises(BackupError, match="the database has 1 run, "):
        restore(other, file)
    restore(other, file, replace=True)
    with pytest.raises(BackupError, match="exists already"):
        back_up(ledger, file)


def test_accounts_are_not_overwritten_either(ledger, other, file) -> None:
    back_up(ledger, file)
    other.upgrade()
    vendor = other.accounts.add_vendor("Bravo").id
    other.tokens.add("op", ["operator"])
    with pytest.raises(BackupError, match="the database has 1 vendor, 1 token;.*--replace"):
        restore(other, file)
    assert [one.id for one in other.accounts.vendors()] == [vendor] and len(other.tokens.all()) == 1
    restore(other, file, replace=True)
    assert not other.accounts.vendors()


def test_accounts_are_not_lost_to_an_older_backup(ledger, other, file) -> None:
    back_up(ledger, file)
    other.upgrade()
    vendor = other.accounts.add_vendor("Bravo").id
    with backup.opened(file) as (folder, manifest), pytest.raises(BackupError, match="older revision.*has 1 vendor;"):
        backup.load(other.database, folder, dataclasses.replace(manifest, revision="0015"))
    assert migrate.current(other.database) == migrate.newest()
    assert [one.id for one in other.accounts.vendors()] == [vendor]


def test_what_a_service_notes_by_itself_is_no_content(ledger, other, file) -> None:
    test_id = ledger.runs.add(new_run()).test_id
    back_up(ledger, file)
    other.upgrade()
    with other.database.writing() as connection:
        connection.execute(insert(queue_tables.server).values(name="here", skew=0.0, seen_at=1.0))
        connection.execute(insert(account_tables.rate).values(name="a", level=1.0, changed_at=1.0))
    restore(other, file)
    assert other.runs.exists(test_id)


def test_a_damaged_backup_is_refused(ledger, other, file) -> None:
    back_up(ledger, file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BackupError, match="not a whole backup|damaged"):
        restore(other, file)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(BackupError, match="not a whole backup"):
        restore(other, file)


def test_keys_come_back_where_they_are_missing(ledger, file, tmp_path) -> None:
    back_up(ledger, file)
    files = ledger.settings.keys
    before = files.store.read_bytes()
    files.store.unlink()
    with backup.opened(file) as (folder, _):
        restored = backup.restore_keys(folder, files)
        assert files.store in restored and files.store.read_bytes() == before
        assert files.store.stat().st_mode & 0o777 == 0o600
        files.store.write_text("another")
        with pytest.raises(BackupError, match="differs from the key in the backup"):
            backup.restore_keys(folder, files)


def test_what_may_have_been_used_or_taken_back_since_is_over(ledger, other, file) -> None:
    """Security: a sign-out, a used invitation and a used enrolment token do not become undone."""
    ledger.tokens.add("op", ["operator"])
    tables = (account_tables.session, account_tables.invitation, node_key_tables.enrolment)
    times = {"created_at": 1.0, "expires_at": 9e9}
    with ledger.database.writing() as connection:
        user = connection.execute(
            insert(legacy_tables.user).values(name="u", email="u@example.org")
        ).inserted_primary_key
        connection.execute(insert(tables[0]).values(digest="a", token_id=1, **times))
        connection.execute(insert(tables[1]).values(digest="b", user_id=user[0], **times))
        connection.execute(insert(tables[2]).values(digest="c", node="n", created_by="op", **times))
    back_up(ledger, file)
    restore(other, file)
    with other.database.reading() as connection:
        assert [connection.execute(select(func.count()).select_from(table)).scalar() for table in tables] == [0, 0, 0]
    assert other.tokens.all()


def test_a_schedule_that_was_due_since_starts_no_second_run(ledger, clock, file) -> None:
    due, later = schedule(ledger), schedule(ledger, times=Times.of("03:59"))
    back_up(ledger, file)
    clock.time = due.next_at + 1
    assert start_due(ledger) == 1
    clock.forward(3600)
    assert restore(ledger, file, replace=True).schedules == 1
    assert start_due(ledger) == 0
    settled = ledger.schedules.get(due.id)
    assert settled.next_at == due.next_at + 86400 and "may have run after the backup" in settled.problem
    assert ledger.schedules.get(later.id) == later
    clock.time = settled.next_at + 1
    assert start_due(ledger) == 1, "it goes on"


def test_a_message_that_waited_is_not_sent_again(ledger, clock, file, tmp_path) -> None:
    number = subscribe(ledger).id
    finished(ledger, tmp_path)
    fan_out(ledger)
    finished(ledger, tmp_path)  # of this one no message is made yet
    back_up(ledger, file)
    assert len(ledger.deliveries.take(10)) == 1 and fan_out(ledger) == 1
    clock.forward(3600)
    assert restore(ledger, file, replace=True).messages == 1
    assert ledger.deliveries.take(10) == [] and fan_out(ledger) == 0
    (closed,) = ledger.deliveries.of(number)
    assert "may have been sent after the backup" in closed.error
    finished(ledger, tmp_path)
    assert fan_out(ledger) == 1 and len(ledger.deliveries.take(10)) == 1, "it goes on"


def fan_out(ledger: Ledger) -> int:
    return ledger.deliveries.fan_out(lambda event, readers: {reader.id: {"n": event.id} for reader, _ in readers})


def test_a_member_that_the_manifest_does_not_name_is_refused(ledger, other, file, tmp_path) -> None:
    back_up(ledger, file)
    forged = tmp_path / "forged.tar.gz"
    with tarfile.open(file) as archive, tarfile.open(forged, "w:gz") as more:
        for member in archive:
            more.addfile(member, archive.extractfile(member))
        more.addfile(tarfile.TarInfo("keys/authorized"))
    with pytest.raises(BackupError, match="does not name keys/authorized"):
        restore(other, forged)


def test_keys_of_one_name_are_not_mixed(ledger, file, tmp_path) -> None:
    (tmp_path / "upload").mkdir()
    (tmp_path / "upload" / "store.key").write_text("x")
    keys = [*backup.key_paths(ledger.settings.keys, []), tmp_path / "upload" / "store.key"]
    with pytest.raises(BackupError, match="the same name"):
        backup.create(ledger.database, file, keys, "1.0")
    assert not file.exists()
