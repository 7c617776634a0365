from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from refstack_worker.contract.console import ConsoleLine, RequestLine, TestLine
from refstack_worker.execute_test.tempest import console
from refstack_worker.execute_test.tempest.console import RunConsole, ServiceAddresses
from tests.unit.execute_test.tempest.streams import taken, written

LINE = (
    "2026-11-26 04:37:30.742 3193 INFO tempest.lib.common.rest_client [req-0f85 req-0f85 ] Request"
    " (FlavorsV2TestJSON:test_list_flavors): 200 GET http://cloud:8774/v2.1/flavors?limit=1 0.314s\n"
)
OLD = (
    "2016-11-26 04:37:30.742 3193 INFO tempest_lib.common.rest_client [-] Request (X:setUpClass): 201 POST"
    " http://cloud:5000/v3/auth/tokens\n"
)


@pytest.fixture
def lines() -> list[ConsoleLine]:
    return []


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "tempest.log"


@pytest.fixture
def run(lines: list[ConsoleLine], log: Path) -> RunConsole:
    return RunConsole(lines.append, log, ServiceAddresses([("http://cloud:8774/v2.1", "compute")]))


def test_a_request_in_the_log_becomes_a_line(run: RunConsole, log: Path, lines: list[ConsoleLine]) -> None:
    log.write_text("2026-11-26 04:37:13.896 919 INFO tempest [-] Using tempest config file\n" + LINE + OLD)
    run.read_log()
    first, second = lines
    assert isinstance(first, RequestLine) and isinstance(second, RequestLine)
    assert (first.method, first.path, first.status, first.ms) == ("GET", "/v2.1/flavors?limit=1", 200, 314)
    assert (first.service, first.request_id) == ("compute", "req-0f85")
    assert first.test == "FlavorsV2TestJSON:test_list_flavors"
    assert datetime.fromtimestamp(first.time).isoformat() == "2026-11-26T04:37:30.742000"
    assert (second.request_id, second.service, second.ms) == ("", "", 0), "an old Tempest, and no such endpoint"


def test_each_request_is_reported_once_as_the_log_grows(run: RunConsole, log: Path, lines: list[ConsoleLine]) -> None:
    run.read_log()  # the log is not there yet
    with open(log, "w") as file:
        for number in range(20):
            text = LINE.replace("req-0f85", f"req-{number}")
            file.write(text[:100])
            file.flush()
            run.read_log()
            assert len(lines) == number
            file.write(text[100:])
            file.flush()
            run.read_log()
            assert len(lines) == number + 1
    run.close()
    assert [line.request_id for line in lines if isinstance(line, RequestLine)] == [f"req-{n}" for n in range(20)]


def test_a_line_without_end_takes_no_memory(run: RunConsole, log: Path, lines: list[ConsoleLine]) -> None:
    log.write_bytes(b"x" * (4 << 20))
    run.read_log()
    assert len(run._rest) <= console.MAX_LOG_LINE
    with open(log, "a") as file:
        file.write("\n" + LINE)
    run.read_log()
    assert len(lines) == 1


def test_tests_start_and_end_with_their_seconds(run: RunConsole, lines: list[ConsoleLine]) -> None:
    def at(second: int) -> datetime:
        return datetime(2026, 11, 26, 4, 0, second, tzinfo=timezone.utc)

    stream = written(
        {"test_id": "a.B.c", "test_status": "inprogress", "timestamp": at(1)},
        {"test_id": "a.B.c", "file_name": "traceback", "file_bytes": b"x", "timestamp": at(2)},
        {"test_id": "a.B.c", "test_status": "fail", "timestamp": at(3)},
        {"test_id": "a.B.d", "test_status": "skip", "timestamp": at(4)},
        {"test_id": "a.B.d", "test_status": "skip", "timestamp": at(5)},
    )
    for packet in taken(stream)[1]:
        run.packet(packet)
    start = at(0).timestamp()
    assert lines == [
        TestLine(start + 1, "a.B.c", "started"),
        TestLine(start + 3, "a.B.c", "failed", 2.0),
        TestLine(start + 4, "a.B.d", "skipped", 0.0),
    ]


def test_the_number_of_lines_is_bounded(
    run: RunConsole, log: Path, lines: list[ConsoleLine], monkeypatch: pytest.MonkeyPatch
) -> None:
    run._left = 3
    log.write_text(LINE * 10)
    run.read_log()
    run.read_log()
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("http://cloud:8774/v2.1/servers", "compute"),
        ("http://cloud:8774/", "compute"),
        ("https://cloud:8774/v2.1/servers", ""),
        ("http://cloud/identity/v3/users", "identity"),
        ("http://cloud/volume/v3/1/volumes", "block-storage"),
        ("http://cloud/elsewhere", ""),
        ("http://other/", ""),
    ],
)
def test_the_service_is_found_by_the_catalogue(url: str, service: str) -> None:
    addresses = ServiceAddresses(
        [
            ("http://cloud:8774/v2.1", "compute"),
            ("http://cloud:8774/v2.1/", "compute"),
            ("http://cloud/identity", "identity"),
            ("http://cloud/volume/v3/1", "block-storage"),
        ]
    )
    assert addresses.service_of(url) == service


def test_addresses_and_times_that_are_none_end_no_run(log: Path, lines: list[ConsoleLine]) -> None:
    services = ServiceAddresses([("http://[internal", "volumev3"), ("http://cloud:8774/v2.1", "compute")])
    run = RunConsole(lines.append, log, services)
    log.write_text(LINE.replace("http://cloud", "http://[cloud") + LINE.replace("2026-11", "2026-99") + LINE)
    run.read_log()
    assert [line.service for line in lines if isinstance(line, RequestLine)] == ["compute"]
