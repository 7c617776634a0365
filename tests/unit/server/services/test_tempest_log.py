"""Tempest's own log of a run: masked, in pages, searched, with the place of the first failure."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.services import tempest_log
from refstack_worker.server.services.tempest_log import MAX_LINE, FailurePlace, LogQuery, lines_of, log_key, log_page
from tests.support.ledgers import PASSWORD, Event, claimed, stream

LOG = f"""INFO start with {PASSWORD}
INFO Request (B:setUpClass): 201 POST http://cloud/v3/auth/tokens
INFO Request (B:test_one): 200 GET http://cloud/v3
INFO Request (B:test_two): 403 GET http://cloud/v3/users
INFO Request (B:test_two): 404 GET http://cloud/v3/users/1
INFO Request (C:test_other): 200 GET http://cloud/v3
2026 ERROR tempest something else
"""


@pytest.fixture
def test_id(ledger: Ledger, tmp_path: Path) -> int:
    job = claimed(ledger)
    file, log = tmp_path / "stream", tmp_path / "log.gz"
    file.write_bytes(
        stream([Event("a.B.test_one"), Event("a.B.test_two[id-1]", "fail", "no"), Event("a.C.test_other")])
    )
    log.write_bytes(gzip.compress(LOG.encode()))
    acceptance.accept(ledger, job.proof, Upload.of(file, {}, log))
    return job.submission.key.test_id


def test_it_is_masked_and_leads_to_the_first_failure(ledger: Ledger, test_id: int) -> None:
    page = log_page(ledger, test_id, LogQuery())
    assert (page.total, page.more, page.failure) == (7, 0, 5)
    assert page.lines[0].text == "INFO start with ***"
    assert [line.number for line in page.lines if line.is_error] == [7]


def test_pages_and_search(ledger: Ledger, test_id: int) -> None:
    page = log_page(ledger, test_id, LogQuery(first=2, text="b:TEST_", limit=2))
    assert [line.number for line in page.lines] == [3, 4] and page.more == 5


def test_a_result_without_a_log(ledger: Ledger, tmp_path: Path) -> None:
    job = claimed(ledger)
    (tmp_path / "stream").write_bytes(stream([Event("a.B.test_one")]))
    (tmp_path / "log").write_bytes(b"not gzip")
    acceptance.accept(ledger, job.proof, Upload.of(tmp_path / "stream", {}, tmp_path / "log"))
    assert not ledger.results.has_log(job.submission.key.test_id), "what cannot be read costs the result nothing"
    with pytest.raises(NotFoundError, match=r"tempest\.log"):
        log_page(ledger, job.submission.key.test_id, LogQuery())


@pytest.mark.parametrize(("failed", "line"), [("a.B.test_two", 4), ("a.B.test_gone", 4), ("a.Z.test_none", 0), ("", 6)])
def test_the_place_of_a_failure(failed: str, line: int) -> None:
    place = FailurePlace(failed)
    for number, text in enumerate(LOG.splitlines()[1:], 1):
        place.see(number, text)
    assert place.line == (line or 6)


def test_lines_over_pieces() -> None:
    assert list(lines_of([b"on", b"e\ntw", b"o"])) == ["one", "two"]


def test_a_test_is_called_as_the_log_calls_it() -> None:
    assert log_key("tempest.api.x.Class.test_a[id-1,smoke]") == "Class:test_a"


def test_a_line_without_end_is_cut_and_takes_no_memory() -> None:
    log = "é".encode() + b"x" * (16 * MAX_LINE)
    pieces = [log[start : start + MAX_LINE] for start in range(0, len(log), MAX_LINE)]
    tracemalloc.start()
    lines = [line.casefold() for line in lines_of([*pieces, b"\nnext"])]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [len(line) for line in lines] == [MAX_LINE - 1, len("next")]
    assert peak < 20 * MAX_LINE


def test_lines_without_number_are_not_all_looked_at(
    ledger: Ledger, test_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempest_log, "MAX_LINES", 3)
    assert log_page(ledger, test_id, LogQuery()).total == 3
