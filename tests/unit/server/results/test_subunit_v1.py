"""Streams of subunit v1 as runners, editors and Windows leave them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from refstack_worker.errors import ResultError
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.results import subunit, subunit_v1
from tests.support.ledgers import Event, stream

THREE = (
    b"test: a.B.t1\nfailure: a.B.t1 [\nboo\n]\ntest: a.B.t2\nsuccess: a.B.t2\ntest: a.B.t3\nskip: a.B.t3 [\nwhy\n]\n"
)
OUTCOMES = {"a.B.t1": "failed", "a.B.t2": "passed", "a.B.t3": "skipped"}


def rows(folder: Path, data: bytes) -> list[TestResult]:
    assert subunit_v1.is_v1(data[: subunit_v1.HEAD])
    with (folder / "stream").open("wb") as out:
        subunit_v1.to_v2(data, out)
    return list(subunit.parse(folder / "stream", folder / "rows").tests)


def read(folder: Path, data: bytes) -> dict[str, str]:
    return {test.name: test.status for test in rows(folder, data)}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(THREE, id="as it was written"),
        pytest.param(THREE.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(b"noise\n" + THREE.replace(b"\n", b"\r\n"), id="CRLF after another line"),
        pytest.param(b"\xef\xbb\xbf" + THREE, id="byte order mark"),
        pytest.param(THREE[:-1], id="no end of the last line"),
        pytest.param(THREE.replace(b":", b""), id="no colon"),
        pytest.param(THREE.replace(b"test: ", b"testing ").replace(b"success: ", b"successful: "), id="longer words"),
    ],
)
def test_a_stream_is_read_however_its_lines_are_written(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, data) == OUTCOMES
    assert rows(tmp_path, data)[0].reason.strip() == "boo"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_details_in_parts_keep_their_lengths(tmp_path: Path, end: bytes) -> None:
    out = io.BytesIO()
    subunit_v1.to_v1(io.BytesIO(stream([Event("a.B.t1", "fail", "Traceback\r\n]\nboom"), Event("a.B.t2")])), out)
    tests = rows(tmp_path, out.getvalue().replace(b"\n", end))
    assert [(test.name, test.status) for test in tests] == [("a.B.t1", "failed"), ("a.B.t2", "passed")]
    assert tests[0].reason == "Traceback\r\n]\nboom"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("details", [b" [\nboo\n", b" [\n", b" [ multipart\nContent-Type: text/plain\nlog\n3\r\nab"])
def test_a_stream_that_ends_inside_details_is_refused(tmp_path: Path, details: bytes, end: bytes) -> None:
    data = b"test: a.B.t0\nsuccess: a.B.t0\ntest: a.B.t1\nfailure: a.B.t1" + details
    with pytest.raises(ResultError, match="cut off: it ends inside the details of 'a.B.t1'"):
        read(tmp_path, data.replace(b"\n", end))


@pytest.mark.parametrize(
    "data",
    [
        b"test: t1\ntest: t2\nsuccess: t1\nfailure: t2\n",
        b"test: t1\ntest: t2\nfailure: t2 [\nwhy\n]\nsuccess: t1\n",
        b"test t1\ntest t2\ntest: t1\nfailure t2\nsuccess t1\n" + b"test: a.B.c\nsuccess: a.B.c\n",
    ],
)
def test_tests_side_by_side_keep_their_outcomes(tmp_path: Path, data: bytes) -> None:
    found = read(tmp_path, data)
    assert (found["t1"], found["t2"]) == ("passed", "failed")


def test_tests_side_by_side_keep_their_times(tmp_path: Path) -> None:
    at = b"time: 2026-11-25 21:36:0%d.000000Z\n"
    data = at % 0 + b"test: t1\n" + at % 1 + b"test: t2\n" + at % 5 + b"success: t1\n" + at % 8 + b"success: t2\n"
    assert {test.name: test.seconds for test in rows(tmp_path, data)} == {"t1": 5.0, "t2": 7.0}


def test_what_never_ends_has_failed_beside_what_went_on(tmp_path: Path) -> None:
    data = b"test: a.B.t1\ntest: a.B.t2\ntest: a.B.t3\nsuccess: a.B.t2\n"
    assert read(tmp_path, data) == {"a.B.t1": "failed", "a.B.t2": "passed", "a.B.t3": "failed"}


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"error: setUpClass (a.B) [\nno network\n]\n", "failed"),
        (b"error: setUpClass (a.B)\n", "failed"),
        (b"error setUpClass (a.B) [ multipart\nContent-Type: text/plain\nreason\nA\r\nno network0\r\n]\n", "failed"),
        (b"skip: setUpClass (a.B) [\nno network\n]\n", "skipped"),
    ],
)
def test_a_class_that_cannot_be_set_up_needs_no_line_of_its_begin(tmp_path: Path, line: bytes, status: str) -> None:
    for data in (line + b"test: c.D.t\nsuccess: c.D.t\n", b"test: c.D.t\n" + line + b"success: c.D.t\n"):
        assert read(tmp_path, data) == {"setUpClass (a.B)": status, "c.D.t": "passed"}


def test_an_outcome_without_a_begin_counts_where_it_is_surely_a_test(tmp_path: Path) -> None:
    data = b"test: a.B.t1\nsuccess: a.B.t1\nfailure: a.B.t2[id-1]\nerror: cannot open a.txt\nsuccess story\n"
    assert read(tmp_path, data) == {"a.B.t1": "passed", "a.B.t2": "failed"}


def test_what_a_test_prints_is_no_test(tmp_path: Path) -> None:
    noise = (
        b"test data loaded\ntesting the net\ntest: one two\nerror: x.y\nskip this\ntime flies\nprogress is slow\ntags\n"
    )
    assert read(tmp_path, b"test: a.B.t1\n" + noise + b"success: a.B.t1\n" + noise[:17]) == {"a.B.t1": "passed"}


@pytest.mark.parametrize(
    "text", [b"test data loaded\n", b"error while loading a.B\n", b"testing 1.5 GB\n", b"a,b\n1,2\n"]
)
def test_other_text_is_no_stream_of_version_1(text: bytes) -> None:
    assert not subunit_v1.is_v1(text)
    assert not subunit_v1.is_v1(text + stream([Event("a.B.t1")]))


def test_details_and_names_in_another_encoding(tmp_path: Path) -> None:
    latin = THREE.replace(b"boo", b"d\xe9faut").replace(b"a.B.t2", b"a.B.t2(\xe9)")
    tests = rows(tmp_path, latin)
    assert {test.name: test.status for test in tests} == {
        "a.B.t1": "failed",
        "a.B.t2(\N{REPLACEMENT CHARACTER})": "passed",
        "a.B.t3": "skipped",
    }
    assert tests[0].reason.strip() == "d\N{REPLACEMENT CHARACTER}faut"


def test_details_in_parts_are_counted_in_bytes_whatever_their_encoding(tmp_path: Path) -> None:
    details = b"failure: a.B.t1 [ multipart\nContent-Type: text/plain\nreason\n6\r\nd\xe9fau\n0\r\n]\n"
    data = b"test: a.B.t1\n" + details + b"test: a.B.t2\nsuccess: a.B.t2\n"
    assert read(tmp_path, data) == {"a.B.t1": "failed", "a.B.t2": "passed"}


@pytest.mark.parametrize("size", [3, 3000])
def test_packets_of_version_2_behind_it_are_refused(tmp_path: Path, size: int) -> None:
    text = b"".join(b"test: a.B.t%d\nsuccess: a.B.t%d\n" % (number, number) for number in range(size))
    for end in (b"", b"\n"):
        with pytest.raises(ResultError, match="subunit v1 and subunit v2 in one file"):
            read(tmp_path, text.rstrip() + end + stream([Event("x.Y.t1", "fail")]))


@pytest.mark.parametrize("size", [3, 3000])
def test_it_is_refused_behind_packets_of_version_2(tmp_path: Path, size: int) -> None:
    text = b"".join(b"time: 2026-01-01 00:00:00Z\ntest: a.B.t%d\nfailure: a.B.t%d [\n]\n" % (n, n) for n in range(size))
    (tmp_path / "stream").write_bytes(stream([Event("x.Y.t1")]) + text)
    with pytest.raises(ResultError, match="subunit v1 and subunit v2 in one file"):
        subunit.parse(tmp_path / "stream", tmp_path / "rows")


def test_packets_in_the_details_of_a_test_are_its_own(tmp_path: Path) -> None:
    out = io.BytesIO()
    packet = stream([Event("x.Y.t1")])
    out.write(b"test: subunit.parser\nfailure: subunit.parser [ multipart\nContent-Type: text/plain\nPacket data\n")
    out.write(b"%X\r\n%s0\r\n]\n" % (len(packet), packet) + b"test: a.B.t1\nsuccess: a.B.t1\n")
    assert read(tmp_path, out.getvalue()) == {"subunit.parser": "failed", "a.B.t1": "passed"}


def test_a_stray_first_byte_of_a_packet_is_none(tmp_path: Path) -> None:
    assert read(tmp_path, THREE + b"\xb3 \xb3\x29\x08 20 m\xb3\n") == OUTCOMES
