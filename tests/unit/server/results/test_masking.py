"""The stored stream: read back with subunit's own reader, it says the same as before, but for the secrets."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from subunit import ByteStreamToStreamResult, StreamResultToBytes

from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance, subunit
from tests.support.ledgers import PASSWORD, Event, claimed, stream

SECRET = "hunter2-long&/$x"
NOW = datetime(2026, 11, 22, 15, 0, 0, 123456, tzinfo=timezone.utc)


class Heard:
    """Keeps the events of a stream."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def status(self, **event: Any) -> None:
        self.events.append(event)


def events_of(data: bytes) -> list[dict[str, Any]]:
    heard = Heard()
    ByteStreamToStreamResult(io.BytesIO(data), non_subunit_name="noise").run(heard)
    return heard.events


def content(data: bytes, file_name: str = "traceback") -> bytes:
    return b"".join(event["file_bytes"] or b"" for event in events_of(data) if event["file_name"] == file_name)


def masked(folder: Path, data: bytes, *secrets: str) -> bytes:
    (folder / "stream").write_bytes(data)
    kept = io.BytesIO()
    subunit.parse(folder / "stream", folder / "rows", secrets, kept)
    return kept.getvalue()


def written(*pieces: bytes, status: str = "fail", **more: Any) -> bytes:
    """Return a stream of one test with a file in these pieces."""
    out = io.BytesIO()
    to = StreamResultToBytes(out)
    to.status(test_id="t", test_status="inprogress", timestamp=NOW)
    for piece in pieces:
        to.status(test_id="t", file_name="traceback", file_bytes=piece, mime_type="text/plain", timestamp=NOW, **more)
    to.status(test_id="t", test_status=status, timestamp=NOW)
    return out.getvalue()


def test_without_secrets_the_stream_is_as_it_was(tmp_path: Path) -> None:
    data = b"a warning\n" + stream([Event("a", "fail", "why"), Event("b")])
    assert masked(tmp_path, data) == data


def test_packets_without_a_secret_come_out_byte_for_byte(tmp_path: Path) -> None:
    out = io.BytesIO()
    to = StreamResultToBytes(out)
    to.status(test_id="t", test_status="exists", timestamp=NOW)
    to.status(test_id="t", test_status="inprogress", timestamp=NOW, test_tags={"worker-0", "a"}, route_code="0")
    to.status(test_id="t", file_name="x", file_bytes=b"\0\xff", mime_type="application/octet-stream", timestamp=NOW)
    to.status(test_id="t", file_name="x", file_bytes=b"", eof=True, timestamp=NOW)
    to.status(test_id="t", test_status="skip", file_name="reason", file_bytes=b"no", eof=True, timestamp=NOW)
    to.status(file_name="stdout", file_bytes=b"of no test", timestamp=NOW)
    to.status(test_id="u", test_status="success", runnable=False)
    made = masked(tmp_path, b"noise\n" + out.getvalue(), SECRET)
    assert events_of(made) == events_of(b"noise\n" + out.getvalue())
    # the tags are a set, and a set has no order
    assert len(made) == len(out.getvalue()) + 6


@pytest.mark.parametrize("cut", range(len(SECRET) + 1))
def test_wherever_a_secret_is_cut_it_is_masked(tmp_path: Path, cut: int) -> None:
    text = b"he said %s, twice: %s" % (SECRET.encode(), SECRET.encode())
    at = text.index(SECRET.encode()) + cut
    made = masked(tmp_path, written(text[:at], text[at:]), SECRET)
    assert content(made) == b"he said ***, twice: ***"


def test_a_beginning_that_is_none_is_kept(tmp_path: Path) -> None:
    pieces = (b"hunter2-", b"short, hunter2-lon", b"")
    assert content(masked(tmp_path, written(*pieces), SECRET)) == b"".join(pieces)


def test_every_spelling_is_masked(tmp_path: Path) -> None:
    secret = 'pa"ss<&>w$rd/7 ü'
    spelt = [
        secret,
        'pa\\"ss<&>w$rd/7 \\u00fc',
        "pa%22ss%3C%26%3Ew%24rd%2F7%20%C3%BC",
        "pa%22ss%3C%26%3Ew%24rd%2F7+%C3%BC",
    ]
    spelt += ['pa"ss&lt;&amp;&gt;w$rd/7 ü', 'pa"ss<&>w$$rd/7 ü', "cGEic3M8Jj53JHJkLzcgw7w="]
    made = masked(tmp_path, written("|".join(spelt).encode()), secret)
    assert content(made).decode() == "|".join(["***"] * len(spelt))


def test_names_and_noise_hold_no_secret_either(tmp_path: Path) -> None:
    out = io.BytesIO()
    StreamResultToBytes(out).status(
        test_id=f"t({SECRET})", test_status="fail", test_tags={SECRET}, file_name=SECRET, file_bytes=b"x", timestamp=NOW
    )
    made = masked(tmp_path, f"warning: {SECRET}\n".encode() + out.getvalue() + f"and {SECRET}".encode(), SECRET)
    assert SECRET.encode() not in made
    tests = [event for event in events_of(made) if event.get("test_id")]
    assert [(one["test_id"], one["test_tags"], one["file_name"]) for one in tests] == [("t(***)", {"***"}, "***")]
    assert made.startswith(b"warning: ***\n") and made.endswith(b"and ***")


def test_a_password_that_is_a_word_leaves_the_names_of_tests_alone(tmp_path: Path) -> None:
    name = "tempest.api.identity.admin.v3.T.test_secret[id-9b6d9a5a-1a2b-4c3d-8e4f-000000000001]"
    made = masked(tmp_path, stream([Event(name, "fail", "password: secret, user: admin")]), "secret", "admin")
    assert {event["test_id"] for event in events_of(made)} == {name}
    assert content(made) == b"password: ***, user: ***"
    assert '"tempest.api.identity.admin.v3.T.test_secret"' in (tmp_path / "rows").read_text()


def test_a_file_of_many_megabytes_is_masked_in_bounded_packets(tmp_path: Path) -> None:
    piece = b"x" * 3_500_000
    made = masked(tmp_path, written(piece + SECRET[:5].encode(), SECRET[5:].encode() + piece), SECRET)
    assert content(made) == piece + b"***" + piece
    assert max(len(event["file_bytes"] or b"") for event in events_of(made)) <= 2**20


@given(text=some.text("hunter2-x", max_size=60), cuts=some.lists(some.integers(0, 60), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_whatever_the_pieces_are_the_text_is_masked_as_a_whole(tmp_path: Path, text: str, cuts: list[int]) -> None:
    data = text.encode()
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    pieces = [data[begin:end] for begin, end in zip([0, *ends], ends)]
    assert content(masked(tmp_path, written(*pieces), "hunter2-")) == data.replace(b"hunter2-", b"***")


def test_what_the_ledger_gives_out_holds_no_password(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "result"
    file.write_bytes(stream([Event("a", "fail", f"wrong password: {PASSWORD}"), Event("b")]))
    job = claimed(ledger)
    accepted = acceptance.accept(
        ledger, job.proof, Upload.of(file, {"message": f"it was {PASSWORD}", "counts": {"n": 2}})
    )
    given_out = b"".join(ledger.results.stream(accepted.key.test_id))
    assert PASSWORD.encode() not in given_out and content(given_out) == b"wrong password: ***"
    assert ledger.results.get(accepted.key.test_id)["summary"] == {"message": "it was ***", "counts": {"n": 2}}
    # what was posted is recognised by its own bytes
    assert acceptance.accept(ledger, job.proof, Upload.of(file, {})).repeated
