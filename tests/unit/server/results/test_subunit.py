from __future__ import annotations

import io
import os
import random
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from subunit import StreamResultToBytes

from refstack_worker.contract.outcomes import selected_packet, skipped_packet
from refstack_worker.errors import ResultError
from refstack_worker.server.domain.results import Counts, TestResult
from refstack_worker.server.results import result_rows, subunit
from tests.support.ledgers import Event, stream

STREAMS = Path(__file__).resolve().parents[3] / "data" / "streams"
UUID = "9b6d9a5a-1a2b-4c3d-8e4f-000000000001"


def parse(folder: Path, data: bytes, secrets: tuple[str, ...] = ()) -> tuple[subunit.Parsed, list[TestResult]]:
    (folder / "stream").write_bytes(data)
    parsed = subunit.parse(folder / "stream", folder / "rows", secrets)
    return parsed, list(parsed.tests)


def test_every_status_counts_as_what_it_is(tmp_path: Path) -> None:
    kinds = ["success", "xfail", "fail", "uxsuccess", "skip"]
    parsed, tests = parse(tmp_path, stream([Event(f"t.{kind}", kind, "why") for kind in kinds]))
    assert [test.status for test in tests] == ["passed", "skipped", "failed", "failed", "skipped"]
    assert (parsed.counts.passed, parsed.counts.failed, parsed.counts.skipped) == (1, 2, 2)
    expected = "why\nthe test failed, as it is marked to (an expected failure)"
    assert [test.reason for test in tests] == ["", expected, "why", "why", "why"]
    assert [test.position for test in tests] == [1, 2, 3, 4, 5]
    assert parsed.seconds == 5.0 and {test.seconds for test in tests} == {1.0}


@pytest.mark.parametrize(
    ("test_id", "name", "uuid"),
    [
        (f"tempest.api.x.T.test_a[id-{UUID},smoke]", "tempest.api.x.T.test_a", UUID),
        (f"tempest.api.x.T.test_a[compute,id-{UUID}]", "tempest.api.x.T.test_a", UUID),
        (f"tempest.api.x.T.test_a[id-{UUID}](scenario)", "tempest.api.x.T.test_a(scenario)", UUID),
        (f"tempest.api.x.T.test_a[id-{UUID.upper()},smoke]", "tempest.api.x.T.test_a", UUID),
        ("tempest.api.x.T.test_a", "tempest.api.x.T.test_a", ""),
        ("setUpClass (tempest.api.x.T)", "setUpClass (tempest.api.x.T)", ""),
        ("test_a[smoke", "test_a[smoke", ""),
        ("", "", ""),
    ],
)
def test_names_and_ids(test_id: str, name: str, uuid: str) -> None:
    assert subunit.split_id(test_id) == (name, uuid)


def test_a_test_that_never_ended_has_failed(tmp_path: Path) -> None:
    out = io.BytesIO(stream([Event("whole")]))
    out.seek(0, os.SEEK_END)
    from datetime import datetime, timezone

    StreamResultToBytes(out).status(
        test_id="killed", test_status="inprogress", timestamp=datetime(2026, 11, 22, tzinfo=timezone.utc)
    )
    _parsed, tests = parse(tmp_path, out.getvalue())
    assert [(test.name, test.status) for test in tests] == [("whole", "passed"), ("killed", "failed")]
    assert "did not end" in tests[1].reason


def test_a_secret_that_stands_across_two_packets_is_masked(tmp_path: Path) -> None:
    out = io.BytesIO()
    to = StreamResultToBytes(out)
    for piece in (b"the password is hun", b"ter2-long, he said"):
        to.status(test_id="t", file_name="traceback", file_bytes=piece, mime_type="text/plain")
    to.status(test_id="t", test_status="fail")
    _parsed, (test,) = parse(tmp_path, out.getvalue(), ("hunter2-long",))
    assert test.reason == "the password is ***, he said"


def test_a_long_traceback_keeps_its_end(tmp_path: Path) -> None:
    _parsed, (test,) = parse(tmp_path, stream([Event("t", "fail", "x" * 1_000_000 + "THE ERROR")]))
    assert len(test.reason) == subunit.MAX_REASON_LENGTH and test.reason.endswith("THE ERROR")


def test_a_warning_printed_between_packets_is_overlooked(tmp_path: Path) -> None:
    data = b"Warning: be careful\n" + stream([Event("a")]) + b"something else\n" + stream([Event("b")])
    assert [test.name for test in parse(tmp_path, data)[1]] == ["a", "b"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"<html>" * 100_000, id="a page"),
        pytest.param(random.Random(1).randbytes(300_000), id="noise"),
        pytest.param(b"\xb3" * 1000, id="signatures"),
        pytest.param(b"\xb3\x29\x01\x00", id="a packet of length nought"),
        pytest.param(stream([Event("a")])[:-1], id="cut off"),
        pytest.param(stream([Event("a"), Event("b")])[:40], id="cut off early"),
        pytest.param(stream([Event("t" * 5000)]), id="an endless name"),
    ],
)
def test_what_is_no_whole_result_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ResultError):
        parse(tmp_path, data)


def test_a_packet_with_a_right_checksum_and_nonsense_inside_is_refused(tmp_path: Path) -> None:
    body = b"\xb3" + (0x2000 | 0x0200).to_bytes(2, "big") + bytes([10])
    packet = body + b"\xff\xff" + zlib.crc32(body + b"\xff\xff").to_bytes(4, "big")
    with pytest.raises(ResultError):
        parse(tmp_path, packet)


def test_tests_that_only_begin_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subunit, "MAX_OPEN", 50)
    out = io.BytesIO()
    to = StreamResultToBytes(out)
    for number in range(60):
        to.status(test_id=f"t{number}", test_status="inprogress")
    with pytest.raises(ResultError, match="do not end"):
        parse(tmp_path, out.getvalue())


def test_a_million_tests_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert result_rows.MAX_TESTS < 1_000_000
    monkeypatch.setattr(result_rows, "MAX_TESTS", 20)
    assert parse(tmp_path, stream([Event(f"t.{number}") for number in range(20)]))[0].counts.total == 20
    with pytest.raises(ResultError, match="more than 20 tests"):
        parse(tmp_path, stream([Event(f"t.{number}") for number in range(21)]))


def test_a_packet_that_says_it_is_larger_than_any_is_refused_unread(tmp_path: Path) -> None:
    # the longest length that the format can write, and nothing behind it
    with pytest.raises(ResultError, match="subunit"):
        parse(tmp_path, b"\xb3\x29\x01" + b"\xff\xff\xff\xff" + b"x" * 100)
    # shorter than its own head: what is left to be read is less than nothing, which reads a file to its end
    with pytest.raises(ResultError, match="invalid length"):
        parse(tmp_path, b"\xb3\x29\x01" + b"\x01" + b"x" * 100)


def test_text_of_open_tests_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subunit, "MAX_KEPT", 100_000)
    out = io.BytesIO()
    to = StreamResultToBytes(out)
    for number in range(4):
        to.status(test_id=f"t{number}", file_name="traceback", file_bytes=b"x" * 40_000)
    with pytest.raises(ResultError, match="too much"):
        parse(tmp_path, out.getvalue())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.binary(max_size=2000))
def test_any_bytes_give_a_result_or_one_clear_error(tmp_path: Path, data: bytes) -> None:
    try:
        parse(tmp_path, b"\xb3" + data)
    except ResultError as error:
        assert str(error).startswith("result: ")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.integers(0, 10_000), some.integers(1, 255))
def test_any_damage_gives_a_result_or_one_clear_error(tmp_path: Path, place: int, change: int) -> None:
    data = bytearray(stream([Event("a"), Event("b", "fail", "boom"), Event("c", "skip", "no")]))
    data[place % len(data)] ^= change
    try:
        parse(tmp_path, bytes(data))
    except ResultError as error:
        assert str(error).startswith("result: ")


@pytest.mark.parametrize("place", range(0, 150))
def test_no_damage_anywhere_loses_a_test(tmp_path: Path, place: int) -> None:
    data = bytearray(stream([Event("a"), Event("b"), Event("c")]))
    data[place % len(data)] ^= 4
    with pytest.raises(ResultError):
        parse(tmp_path, bytes(data))


def packets(*events: tuple[str, str | None, dict[str, Any]]) -> bytes:
    """A stream of single events: test, status, and what else the library's writer takes."""
    out = io.BytesIO()
    to = StreamResultToBytes(out)
    for test_id, status, more in events:
        to.status(test_id=test_id, test_status=status, **more)
    return out.getvalue()


class TestKeptStreams:
    """Streams of real runs that were once read wrongly."""

    def read(self, folder: Path, name: str) -> tuple[subunit.Parsed, list[TestResult]]:
        return parse(folder, (STREAMS / f"{name}.subunit").read_bytes())

    def test_a_test_that_runs_twice_is_one_that_ran_twice(self, tmp_path: Path) -> None:
        parsed, tests = self.read(tmp_path, "same_test_twice")
        assert parsed.counts == Counts(passed=1)
        assert [(test.status, test.times) for test in tests] == [("passed", 2)]

    def test_a_result_in_which_no_test_began_lasts_no_time(self, tmp_path: Path) -> None:
        parsed, tests = self.read(tmp_path, "only_set_up_class")
        assert (parsed.seconds, parsed.counts) == (0.0, Counts(failed=1))
        assert tests[0].name.startswith("setUpClass (")

    def test_names_with_any_characters_are_kept(self, tmp_path: Path) -> None:
        _parsed, tests = self.read(tmp_path, "scenario_names")
        assert [test.name for test in tests if test.status == "failed"]

    def test_stray_bytes_on_stdout_are_a_failed_test_and_the_result_is_taken(self, tmp_path: Path) -> None:
        parsed, tests = self.read(tmp_path, "stray_bytes")
        assert parsed.counts.failed == 1 and parsed.counts.passed >= 1
        (failed,) = (test for test in tests if test.status == "failed")
        assert failed.name == "subunit.parser" and failed.reason


def test_a_class_that_cannot_be_set_up_answers_for_its_selected_tests(tmp_path: Path) -> None:
    data = stream([Event("setUpClass (t.C)", "fail", "Traceback\nno network"), Event("t.D.one")])
    data += b"".join(selected_packet(test) for test in (f"t.C.one[id-{UUID}]", "t.C.two", "t.D.one"))
    parsed, tests = parse(tmp_path, data)
    assert parsed.counts == Counts(passed=1, failed=2)
    assert [(test.name, test.uuid, test.status) for test in tests] == [
        ("t.D.one", "", "passed"),
        ("t.C.one", UUID, "failed"),
        ("t.C.two", "", "failed"),
    ]
    assert {test.reason for test in tests[1:]} == {
        "its class could not be set up: setUpClass (t.C)\nTraceback\nno network"
    }


@pytest.mark.parametrize(("first", "second"), [("success", "fail"), ("fail", "success")])
def test_the_worse_of_two_outcomes_stays_with_its_reason(tmp_path: Path, first: str, second: str) -> None:
    parsed, tests = parse(tmp_path, stream([Event("t", first, "boom"), Event("u"), Event("t", second, "boom")]))
    assert parsed.counts == Counts(passed=1, failed=1)
    assert sorted((test.name, test.status, test.times, test.reason) for test in tests) == [
        ("t", "failed", 2, "boom"),
        ("u", "passed", 1, ""),
    ]


def test_a_test_that_begins_again_and_is_killed_has_failed(tmp_path: Path) -> None:
    data = stream([Event("t")]) + packets(("t", "inprogress", {}))
    parsed, (test,) = parse(tmp_path, data)
    assert parsed.counts == Counts(failed=1) and test.times == 2 and "did not end" in test.reason


def test_a_stream_without_times_is_counted_all_the_same(tmp_path: Path) -> None:
    data = packets(("a", "inprogress", {}), ("a", "success", {}), ("b", "inprogress", {}))
    parsed, tests = parse(tmp_path, data)
    assert (parsed.counts, parsed.seconds) == (Counts(passed=1, failed=1), 0.0)
    assert [test.seconds for test in tests] == [0.0, 0.0]


def test_this_streams_own_damage_is_still_refused_beside_a_parser_failure_of_the_run(tmp_path: Path) -> None:
    run = packets(("subunit.parser", "fail", {"file_name": "Parser Error", "file_bytes": b"Short read", "eof": True}))
    assert parse(tmp_path, run)[0].counts == Counts(failed=1)
    with pytest.raises(ResultError, match="damaged or cut off"):
        parse(tmp_path, run + stream([Event("a")])[:-3])


def test_a_thousand_tests_of_a_class_repeat_a_short_reason(tmp_path: Path) -> None:
    data = stream([Event("setUpClass (t.C)", "fail", "x" * 20_000)])
    data += b"".join(selected_packet(f"t.C.test_{number}") for number in range(1000))
    parsed, tests = parse(tmp_path, data)
    assert parsed.counts == Counts(failed=1000)
    assert max(len(test.reason) for test in tests) < result_rows.MAX_GROUP_REASON + 100


NAMES = some.sampled_from(
    ["a.B.c", "a.B.d[id-1]", "a.E.f", "setUpClass (a.B)", "setUpModule (a)", "subunit.parser", "ü (x"]
)
STATUSES = some.sampled_from(["inprogress", "exists", "success", "fail", "skip", "xfail", "uxsuccess"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.lists(some.tuples(NAMES, STATUSES), min_size=1, max_size=25))
def test_the_rows_are_the_counts(tmp_path: Path, events: list[tuple[str, str]]) -> None:
    try:
        parsed, tests = parse(tmp_path, packets(*((name, status, {}) for name, status in events)))
    except ResultError as error:
        assert "contains no test" in str(error) and {status for _, status in events} == {"exists"}
        return
    counted = {status: sum(test.status == status for test in tests) for status in ("passed", "failed", "skipped")}
    assert parsed.counts == Counts(**counted)
    assert len({test.position for test in tests}) == len(tests) == len({test.name for test in tests})


@pytest.mark.parametrize("trouble", [MemoryError, OSError], ids=lambda kind: kind.__name__)
def test_trouble_of_the_server_is_no_damaged_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: type[Exception]
) -> None:
    def status(*_: Any, **__: Any) -> None:
        raise trouble

    monkeypatch.setattr(subunit._Collector, "status", status)
    with pytest.raises(trouble):
        parse(tmp_path, stream([Event("a.B.test_c")]))


def test_a_test_that_the_node_left_out_is_skipped_with_its_whole_reason(tmp_path: Path) -> None:
    reason = "not run: the test needs two accounts (roles: member, reader) at a time, and the run has one account"
    left_out = skipped_packet(f"t.api.T.test_a[id-{UUID}]", reason)
    parsed, tests = parse(tmp_path, left_out + stream([Event("t.api.T.test_b", "success")]))
    assert [(test.name, test.status, test.reason) for test in tests] == [
        ("t.api.T.test_a", "skipped", reason), ("t.api.T.test_b", "passed", "")
    ]  # fmt: skip
    assert (parsed.counts.passed, parsed.counts.skipped) == (1, 1) and parsed.seconds == 1.0


def test_a_name_begins_no_line_and_moves_no_cursor(tmp_path: Path) -> None:
    _, tests = parse(tmp_path, stream([Event("t.a\n| t.b | passed\x1bM\x9b2J\u202e(é, 中)[id-x]", "fail", "why")]))
    assert [test.name for test in tests] == ["t.a\ufffd| t.b | passed\ufffdM\ufffd2J\ufffd(é, 中)"]
