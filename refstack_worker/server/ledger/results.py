"""Results: one for each run, accepted once, never overwritten."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract import strict_json
from refstack_worker.contract.secrets import secret_values
from refstack_worker.contract.states import RunState, may_move
from refstack_worker.errors import LedgerError, NotFoundError, SealError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.db.inserts import add_many
from refstack_worker.server.domain.attempts import (
    Accepted,
    AttemptKey,
    Proof,
)
from refstack_worker.server.domain.clouds import Conf
from refstack_worker.server.domain.results import Counts, ParsedResult, ResultQuery, TestResult, Upload
from refstack_worker.server.domain.tested_cloud import cloud_in, noted, without_note
from refstack_worker.server.ledger import frozen_verdicts
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Move,
    Row,
    check_claim,
    key_of,
    refused,
    superseded,
)

CHUNK = 1024 * 1024
_ROWS = 500
"""Tests that are inserted at once."""
_ROW_BYTES = 100
"""Of a test's row, without its texts."""


class Results(LedgerPart):
    """Accept results and give them out again."""

    def find(self, proof: Proof, upload: Upload) -> tuple[Accepted | None, set[str]]:
        """Return the answer that these bytes got before (None: they may be accepted), and the secrets of the run.

        :raises RefusedError: ``no-proof``, ``wrong-proof``, ``claimed`` by another worker, ``superseded``, ``ended``,
            ``unclaimed``, or ``accepted``: other bytes were accepted before.
        """
        with self.database.reading() as connection:
            attempt = self.transactions.proven(connection, proof)
            check_claim(attempt, proof)
            run = connection.execute(_run_of(proof.test_id)).mappings().one()
            known = self._known(connection, run, attempt, upload)
        return known, secret_values(self._conf(run))

    def _conf(self, run: Row) -> Conf:
        """Return a run's options. :raises LedgerError: they cannot be decrypted; the result must be posted again."""
        try:
            return self.secrets.open(run["sealed_conf"])
        except SealError as error:
            raise LedgerError(f"the stored options of run {run['test_id']} cannot be decrypted: {error}") from error

    def accept(self, proof: Proof, upload: Upload, parsed: ParsedResult) -> Accepted:
        """Accept a result and finish its run, both or neither. The same bytes again get the same answer.

        :raises RefusedError: as :meth:`find`, which is asked again: much may have changed since.
        """
        with self.database.writing() as connection:
            run, attempt = self.transactions.held(connection, proof)
            check_claim(attempt, proof)
            known = self._known(connection, run, attempt, upload)
            if known is not None:
                return known
            self.store(connection, key_of(attempt), upload, parsed)
            counts = parsed.counts
            self.transactions.move(connection, run, Move(RunState.FINISHED, counts_text(counts)), asdict(counts))
            return Accepted(key_of(attempt), False, counts)

    def accept_anonymous(self, upload: Upload, parsed: ParsedResult, test_id: int | None = None) -> int:
        """Accept a result that belongs to no run, as RefStack did from anybody; return the id of its test.

        :param test_id: a test that is not a run; None: a new one.
        :raises NotFoundError: there is no such test.
        :raises RefusedError: ``no-proof``: it is a run. ``accepted``: it has another result.
        """
        with self.database.writing() as connection:
            if test_id is None:
                test_id = self.transactions.add_test(connection)
            elif self._has_result(connection, test_id, upload.digest):
                return test_id
            self.store(connection, AttemptKey(test_id, 0), upload, parsed)
            return test_id

    def _has_result(self, connection: Connection, test_id: int, digest: str) -> bool:
        """Return whether these bytes are a test's result; False: it has none yet. Holds the row of the test."""
        test, result = legacy_tables.test, queue_tables.result
        if connection.execute(select(test.c.id).where(test.c.id == test_id).with_for_update()).scalar() is None:
            raise NotFoundError(f"Invalid test ID: there is no test {test_id}")
        if connection.execute(_run_of(test_id)).first() is not None:
            raise refused("no-proof", "the secret of the attempt is needed")
        stored = connection.execute(select(result.c.digest).where(result.c.test_id == test_id)).scalar()
        if stored not in (None, digest):
            raise refused("accepted", f"test {test_id} has another result")
        return stored is not None

    def get(self, test_id: int) -> Row:
        """Return what is known of a test's result as a whole. :raises NotFoundError: it has none."""
        with self.database.reading() as connection:
            found = select(queue_tables.result).where(queue_tables.result.c.test_id == test_id)
            row = connection.execute(found).mappings().first()
            run = None if row else connection.execute(_run_of(test_id)).mappings().first()
        if row is None:
            raise NotFoundError(f"run {test_id} has no result{_why(run)}")
        summary = json.loads(row["summary"] or "{}")
        return {**row, "summary": without_note(summary), "tested": cloud_in(summary)}

    def tests(self, test_id: int, query: ResultQuery) -> list[TestResult]:
        """Return tests of a result in the order in which they ended; see :class:`ResultQuery`."""
        table = queue_tables.result_test
        question = select(table).where(table.c.test_id == test_id, table.c.position > query.after)
        if query.status:
            question = question.where(table.c.status == query.status)
        if query.text:
            wanted = query.text.lower()
            columns = (func.lower(table.c.name), table.c.uuid)
            question = question.where(or_(*(column.contains(wanted, autoescape=True) for column in columns)))
        order = (table.c.seconds.desc(), table.c.position) if query.slowest else (table.c.position,)
        with self.database.reading() as connection:
            rows = connection.execute(question.order_by(*order).limit(query.limit)).mappings().all()
        return [TestResult(**{name: value for name, value in row.items() if name != "test_id"}) for row in rows]

    def stream(self, test_id: int) -> Iterator[bytes]:
        """Yield the subunit stream of a result in pieces. :raises NotFoundError: it has none."""
        self.get(test_id)
        return self._unpacked(queue_tables.result_chunk, test_id)

    def has_log(self, test_id: int) -> bool:
        """Return whether Tempest's own log came with a result."""
        return self._chunks(queue_tables.log_chunk, test_id) > 0

    def log(self, test_id: int) -> Iterator[bytes]:
        """Yield Tempest's own log in pieces. :raises NotFoundError: there is none."""
        self.get(test_id)
        if not self.has_log(test_id):
            raise NotFoundError(f"run {test_id} has no tempest.log: its node sent none")
        return self._unpacked(queue_tables.log_chunk, test_id)

    def _unpacked(self, table: Table, test_id: int) -> Iterator[bytes]:
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16)
        for number in range(self._chunks(table, test_id)):
            with self.database.reading() as connection:
                question = select(table.c.data).where(table.c.test_id == test_id, table.c.number == number)
                packed = bytes(connection.execute(question).scalar_one())
            while packed:
                yield unpack.decompress(packed, CHUNK)
                packed = unpack.unconsumed_tail

    def _chunks(self, table: Table, test_id: int) -> int:
        question = select(func.count()).select_from(table).where(table.c.test_id == test_id)
        with self.database.reading() as connection:
            return int(connection.execute(question).scalar_one())

    def _note_size(self, connection: Connection, test_id: int, size: int) -> None:
        run = queue_tables.run
        values = {"stored_kib": run.c.stored_kib + size // 1024}
        connection.execute(update(run).where(run.c.test_id == test_id).values(values))

    def _options(self, connection: Connection, test_id: int) -> Conf:
        run = queue_tables.run
        sealed = connection.execute(select(run.c.sealed_conf).where(run.c.test_id == test_id)).scalar()
        return self._conf({"test_id": test_id, "sealed_conf": sealed})

    def _endpoint(self, connection: Connection, test_id: int) -> str:
        return frozen_verdicts.cloud_of(connection, test_id)["endpoint_v3"] or ""

    def _known(self, connection: Connection, run: Row, attempt: Row, upload: Upload) -> Accepted | None:
        """Return the answer that was given before; None: these bytes may be accepted now; else raise."""
        found = connection.execute(select(queue_tables.result).where(queue_tables.result.c.test_id == run["test_id"]))
        stored = found.mappings().first()
        if stored is not None and stored["attempt"] == attempt["attempt"]:
            if stored["digest"] == upload.digest:
                counts = Counts(stored["passed"], stored["failed"], stored["skipped"])
                return Accepted(key_of(attempt), True, counts)
            raise refused("accepted", "another result of this attempt was already accepted")
        if run["attempt"] != attempt["attempt"]:
            raise superseded(run)
        state = RunState(run["state"])
        if state.is_end:
            raise refused("ended", f"the run has ended: {state.value}")
        if not may_move(state, RunState.FINISHED):
            raise refused("unclaimed", "no worker has claimed this attempt")
        return None

    def store(self, connection: Connection, key: AttemptKey, upload: Upload, parsed: ParsedResult) -> None:
        """Add the rows of a result, in the caller's transaction; before its run ends and its options are erased."""
        summary = noted(upload.summary, self._options(connection, key.test_id), self._endpoint(connection, key.test_id))
        row = {
            "test_id": key.test_id,
            "attempt": key.attempt,
            "digest": upload.digest,
            "size": upload.size,
            "summary": strict_json.dumps(summary),
            "accepted_at": self.clock(),
            "seconds": parsed.seconds or upload.stated_seconds,
            **asdict(parsed.counts),
        }
        connection.execute(insert(queue_tables.result).values(row))
        packed = 0
        for table, path in ((queue_tables.result_chunk, parsed.packed), (queue_tables.log_chunk, parsed.log)):
            packed += path.stat().st_size if path else 0
            for number, data in enumerate(_pieces(path) if path else ()):
                chunk = {"test_id": key.test_id, "number": number, "data": data}
                connection.execute(insert(table).values(chunk))
        for rows in _batches({"test_id": key.test_id, **test.as_row()} for test in parsed.tests):
            add_many(connection, queue_tables.result_test, rows)
            packed += sum(_ROW_BYTES + len(row["name"]) + len(row["reason"]) for row in rows)
        self._note_size(connection, key.test_id, packed)
        frozen_verdicts.freeze(connection, key.test_id, parsed.tests, self.clock())
        legacy = {"finished": True, "parsed": json.dumps(asdict(parsed.counts))}
        connection.execute(update(legacy_tables.test).where(legacy_tables.test.c.id == key.test_id).values(legacy))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            yield data


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, _ROWS)):
        yield batch


def _run_of(test_id: int) -> Any:
    return select(queue_tables.run).where(queue_tables.run.c.test_id == test_id)


def _why(run: Row | None) -> str:
    """Return why a run has no result, to be put behind a sentence that says so."""
    if run is None:
        return ""
    state = RunState(run["state"])
    said = ": ".join(part for part in (run["reason"], run["message"]) if part) if state.is_end else ""
    return f"{'' if state.is_end else ' yet'}: {state.value}{f' ({said})' if said else ''}"


def counts_text(counts: Counts) -> str:
    """Return counts as the message of a run that has finished."""
    return f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"
