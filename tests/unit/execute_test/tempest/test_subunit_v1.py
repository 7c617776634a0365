"""Results as text of subunit v1, read back by python-subunit's own parser."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import Any

from subunit import ProtocolTestCase
from testtools.testresult.doubles import ExtendedTestResult

from refstack_worker.execute_test.tempest.subunit_v1 import to_v1
from tests.unit.execute_test.tempest.streams import written

BEGAN = datetime(2026, 11, 25, 21, 36, 0, 250000, timezone.utc)
ENDED = datetime(2026, 11, 25, 21, 36, 2, 0, timezone.utc)
NAME = "tempest.api.x.Test.test_one[id-6ea9ea50-0000-4000-8000-000000000001,smoke]"


def as_text(*events: dict[str, object]) -> bytes:
    out = io.BytesIO()
    to_v1(io.BytesIO(written(*events)), out)
    return out.getvalue()


def read(text: bytes) -> list[tuple[Any, ...]]:
    """What python-subunit finds in text: event, test, and the details' bytes."""
    found: list[tuple[Any, ...]] = []

    result: Any = ExtendedTestResult()
    ProtocolTestCase(io.BytesIO(text), passthrough=io.BytesIO()).run(result)
    for event in result._events:
        name, test, *more = event
        details = more[0] if more else None
        contents = {key: b"".join(value.iter_bytes()) for key, value in (details or {}).items()}
        found.append((name, test.id() if hasattr(test, "id") else test, contents))
    return found


def ended(test: str, status: str) -> list[dict[str, object]]:
    return [
        {"test_id": test, "test_status": "inprogress", "timestamp": BEGAN},
        {"test_id": test, "test_status": status, "timestamp": ENDED},
    ]


def test_each_outcome_has_its_word() -> None:
    statuses = {"success": "addSuccess", "fail": "addFailure", "skip": "addSkip", "xfail": "addExpectedFailure",
                "uxsuccess": "addUnexpectedSuccess"}  # fmt: skip
    events = [event for status in statuses for event in ended(f"a.b.test_{status}", status)]
    found = {name: test for name, test, _ in read(as_text(*events)) if name.startswith("add")}
    assert found == {event: f"a.b.test_{status}" for status, event in statuses.items()}


def test_names_with_ids_and_the_times_stay() -> None:
    text = as_text(*ended(NAME, "success"))
    assert read(text)[1][1] == NAME
    assert text.splitlines()[0] == b"time: 2026-11-25 21:36:00.250000Z"
    assert b"time: 2026-11-25 21:36:02.000000Z" in text


def test_tests_side_by_side_come_one_after_another() -> None:
    first, second = ended("a.one", "success"), ended("a.two", "fail")
    text = as_text(first[0], second[0], second[1], first[1])
    assert [name for name, *_ in read(text) if name != "time"] == [
        "startTest", "addFailure", "stopTest", "startTest", "addSuccess", "stopTest"]  # fmt: skip


def test_details_arrive_in_ascii() -> None:
    content = "Traceback\r\n]\nfailure: a.one\nü".encode() + b"\xff\x00"
    attached = {"test_id": "a.one", "file_name": "traceback", "mime_type": "text/plain"}
    events = [
        ended("a.one", "fail")[0],
        {**attached, "file_bytes": content[:-3]},
        {**attached, "file_bytes": content[-3:], "eof": True},
        {"test_id": "a.one", "file_name": "empty", "file_bytes": b"", "eof": True},
        ended("a.one", "fail")[1],
    ]
    text = as_text(*events)
    assert text.isascii(), "the database of 2014 fails with other bytes"
    (failure,) = [contents for name, _, contents in read(text) if name == "addFailure"]
    assert failure == {"traceback": b"Traceback\r\n]\nfailure: a.one\n\\xfc\\udcff\x00", "empty": b""}


def test_what_did_not_run_is_left_out() -> None:
    text = as_text({"test_id": "a.listed", "test_status": "exists"}, {"file_name": "stdout", "file_bytes": b"noise"},
                   {"test_id": "a.hangs", "test_status": "inprogress"})  # fmt: skip
    assert text == b""
