"""Accept a posted result: parse it, mask the secrets of its run, and let the ledger keep it."""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from refstack_worker.contract.secrets import Masker
from refstack_worker.errors import ResultError
from refstack_worker.server.domain.attempts import Accepted, Proof
from refstack_worker.server.domain.results import Counts, TestResult, Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import subunit, subunit_v1

_BUFFER = 1024 * 1024


@dataclass(frozen=True)
class MaskedResult:
    """A parsed stream, and the file that keeps it without the secrets."""

    parsed: subunit.Parsed
    packed: Path

    @property
    def counts(self) -> Counts:
        return self.parsed.counts

    @property
    def seconds(self) -> float:
        return self.parsed.seconds

    @property
    def tests(self) -> Iterable[TestResult]:
        return self.parsed.tests


def accept(ledger: Ledger, proof: Proof, upload: Upload) -> Accepted:
    """Accept a result and finish its run; the same bytes again get the same answer.

    :raises RefusedError: see :meth:`refstack_worker.server.ledger.results.Results.find`.
    :raises ResultError: the bytes are not a complete result.
    """
    known, secrets = ledger.results.find(proof, upload)
    if known is not None:
        return known
    upload = replace(upload, summary=Masker(secrets).value(upload.summary))
    # parsing takes its time: outside of any transaction
    with _masked(upload, secrets) as result:
        return ledger.results.accept(proof, upload, result)


def accept_anonymous(ledger: Ledger, upload: Upload, test_id: int | None = None) -> int:
    """Accept a result that belongs to no run.

    :param test_id: a test of RefStack's that is not a run; None: a new one.
    :return: the test's id.
    :raises ResultError: as above.
    :raises NotFoundError: there is no such test.
    :raises RefusedError: ``accepted``: the test has another result.
    """
    with _masked(upload, ()) as result:
        return ledger.results.accept_anonymous(upload, result, test_id)


def _as_v2(path: Path, converted: Path) -> Path:
    """Return a stream of version 2: the file itself, or what it is as text of version 1 converted to."""
    with path.open("rb") as file:
        head = file.read(subunit_v1.HEAD)
        if not subunit_v1.is_v1(head):
            return path
        data = head + file.read(subunit_v1.MAX_BYTES)
    if len(data) > subunit_v1.MAX_BYTES:
        raise ResultError(f"result: a subunit v1 stream may have at most {subunit_v1.MAX_BYTES} bytes; send version 2")
    with converted.open("wb") as out:
        subunit_v1.to_v2(data, out)
    return converted


@contextmanager
def _masked(upload: Upload, secrets: Collection[str]) -> Iterator[MaskedResult]:
    """Parse, mask and compress an upload into files that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="refstack-", dir=upload.path.parent) as folder:
        packed = Path(folder, "packed")
        source = _as_v2(upload.path, Path(folder, "v2"))
        with (
            gzip.open(packed, "wb", compresslevel=4) as file,
            io.BufferedWriter(cast(io.RawIOBase, file), _BUFFER) as out,
        ):
            parsed = subunit.parse(source, Path(folder, "tests"), secrets, out)
        yield MaskedResult(parsed, packed)
