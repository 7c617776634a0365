"""Accept a posted result: parse it, mask the secrets of its run, and let the ledger keep it."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from refstack_worker.contract.secrets import Masker
from refstack_worker.server.domain.attempts import Accepted, Proof
from refstack_worker.server.domain.results import Counts, TestResult, Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import masked_copy, parser_process, subunit
from refstack_worker.server.results.masked_log import masked_log


@dataclass(frozen=True)
class MaskedResult:
    """A parsed stream, and the file that keeps it without the secrets."""

    parsed: subunit.Parsed
    packed: Path
    log: Path | None = None

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
    with masked(upload, secrets, ledger.settings.data) as result:
        return ledger.results.accept(proof, upload, result)


def accept_anonymous(ledger: Ledger, upload: Upload, test_id: int | None = None) -> int:
    """Accept a result that belongs to no run.

    :param test_id: a test of RefStack's that is not a run; None: a new one.
    :return: the test's id.
    :raises ResultError: as above.
    :raises NotFoundError: there is no such test.
    :raises RefusedError: ``accepted``: the test has another result.
    """
    with masked(upload, (), ledger.settings.data) as result:
        return ledger.results.accept_anonymous(upload, result, test_id)


@contextmanager
def masked(upload: Upload, secrets: Collection[str], data: Path) -> Iterator[MaskedResult]:
    """Parse, mask and compress an upload into files that are gone afterwards.

    :param data: the server's folder for data, in which large results wait for their turn.
    :raises ResultError: the bytes are not a complete result.
    """
    with tempfile.TemporaryDirectory(prefix="refstack-", dir=upload.path.parent) as folder:
        place = Path(folder)
        log = masked_log(upload.log, place / "log", secrets)
        if upload.size >= parser_process.MIN_BYTES:
            parsed = parser_process.parse_apart(upload.path, place, secrets, data)
        else:
            parsed = masked_copy.parse_into(place, upload.path, secrets)
        yield MaskedResult(parsed, place / masked_copy.PACKED, log)
