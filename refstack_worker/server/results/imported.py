"""Results that others made, in any of the formats that they have, as subunit v2."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subunit import StreamResultToBytes

from refstack_worker.contract import export_formats, strict_json
from refstack_worker.contract.text_files import decode_text
from refstack_worker.errors import PayloadError, ResultError
from refstack_worker.server.results import subunit_v1
from refstack_worker.server.results.subunit import split_id

_PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ": "xz", b"BZh": "bzip2", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of archives; servers of logs keep streams so."""
_BEFORE_TEXT = b"\xef\xbb\xbf\xff\xfe \t\r\n\0"
"""What may stand before a text's first letter: marks of UTF-8 and UTF-16, and blanks."""
_HEAD = 4096
"""Bytes in which a file's format shows."""
_MAX_SECONDS = 30 * 86400
"""Duration of a run that is believed."""
_UUID = re.compile(r"(?:id-)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\Z")
_HINT = (
    "import the run's subunit stream ('refstack-queue run export N subunit FILE' or 'stestr last --subunit' writes it) "
    "or the JSON of refstack-client"
)
_CONSOLE = re.compile(rb"^\{\d+\} \S.* (?:\.\.\. (?:ok|FAILED|SKIPPED)|\[[\d.]+s\])", re.MULTILINE)
"""A line that Tempest and stestr print for each test."""
_FOREIGN = (
    (re.compile(rb"(?:<\?xml[^>]*>\s*)?<testsuite"), export_formats.ON_PAGES[export_formats.JUNIT]),
    (re.compile(rb"<(?:!doctype html|html)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"<"), "XML"),
    (re.compile(rb"\["), "a list without the object that refstack-client writes around it"),
    (re.compile(rb"[^\n,]+(?:,[^\n,]*){2,}\n"), "CSV"),
)
"""How other files begin, and what they are."""
_STATES = frozenset({"status", "result", "outcome", "state", "verdict", "passed", "success"})
"""Keys that say how a test ended, in lower case."""
_FAULTS = frozenset({
    "failed", "failure", "error", "errors", "exception", "traceback", "reason", "skip", "skipped",
})  # fmt: skip
"""Keys that say why a test did not pass, unless they are empty."""
_PASSED = frozenset({"success", "successful", "passed", "pass", "ok"})


def write_stream(data: bytes, path: Path) -> dict[str, Any]:
    """Write a result of any of the formats as subunit v2; return what else it says.

    :raises ResultError: it is in another format, damaged, or JSON that does not list passed tests alone.
    """
    for signature, what in _PACKED.items():
        if data.startswith(signature):
            raise ResultError(f"result: the file is compressed ({what}); decompress it and import what is in it")
    data = _as_utf8(data)
    text = data.lstrip(_BEFORE_TEXT)[:_HEAD]
    with path.open("wb") as out:
        if text[:1] == b"{" and not _CONSOLE.match(text):
            return _from_json(data, out)
        if subunit_v1.is_v1(data[: subunit_v1.HEAD]) and not _CONSOLE.match(text):
            subunit_v1.to_v2(data, out)
        elif _is_text(data):
            raise ResultError(f"result: {_kind(text)} cannot be imported; {_HINT}")
        else:
            out.write(data)
    return {}


def _as_utf8(data: bytes) -> bytes:
    """Return a text that PowerShell saved as UTF-16 in UTF-8, and anything else as it is."""
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data
    try:
        return decode_text(data).encode("utf-8")
    except UnicodeError:
        raise ResultError(
            "result: the file begins as UTF-16 text but is not; was a binary file saved as text?"
        ) from None


def _is_text(data: bytes) -> bool:
    # no stream of version 2 is UTF-8: the first byte of a packet is none with which a letter begins
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _kind(text: bytes) -> str:
    """Return what a file is that begins so."""
    if not text:
        return "an empty file"
    if _CONSOLE.search(text):
        return "the console output of a run"
    return next((kind for begin, kind in _FOREIGN if begin.match(text)), "a file of an unknown format")


def _from_json(data: bytes, out: Any) -> dict[str, Any]:
    """Read what ``refstack-client`` makes, or RefStack's API gives: the tests that passed, with or without ids."""
    try:
        value = strict_json.loads(decode_text(data), "result")
    except (PayloadError, UnicodeDecodeError) as error:
        raise ResultError(
            f"result: not the JSON of refstack-client: {str(error).removeprefix('result: ')}; {_HINT}"
        ) from None
    to = StreamResultToBytes(out)
    for name, uuid in [_named(test) for test in _listed(value)]:
        test_id = f"{name}[id-{uuid}]" if uuid else name
        to.status(test_id=test_id, test_status="success")
    known = {"cpid": value["cpid"]} if "cpid" in value else {}
    seconds = value.get("duration_seconds")
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds <= _MAX_SECONDS:
        known["duration_seconds"] = seconds
    return dict(json.loads(json.dumps(known)))


def _listed(value: Mapping[str, Any]) -> list[Any]:
    """Return the entries of ``results``."""
    if "results" not in value:
        what = "an export of a run in JSON, or another file" if "tests" in value else "a file"
        raise ResultError(
            f"result: {what} without 'results', the list of passed tests in refstack-client's JSON; {_HINT}"
        )
    listed = value["results"]
    if not isinstance(listed, list):
        raise ResultError(f"result: 'results' is not a list of passed tests, as in refstack-client's JSON; {_HINT}")
    if "pagination" in value:
        raise ResultError(f"result: a page of RefStack's list of results, which names no tests; {_HINT}")
    if not listed:
        raise ResultError("result: 'results' is empty: the file lists no passed test")
    return listed


def _named(test: Any) -> tuple[str, str]:
    """Return a passed test's name without attributes, and its id."""
    stated = test.get("name") if isinstance(test, dict) else test
    name, inside = split_id(stated) if isinstance(stated, str) else ("", "")
    if not name:
        raise ResultError(f"result: an entry of 'results' has no name of a test: {json.dumps(test)[:200]}; {_HINT}")
    if not isinstance(test, dict):
        return name, inside
    if any(not _says_passed(key.lower(), said) for key, said in test.items()):
        raise ResultError(
            f"result: {name[:200]!r} is listed with an outcome, but refstack-client's JSON lists passed tests only; "
            "import the run's subunit stream instead"
        )
    found = _UUID.match(str(test.get("uuid") or "").strip().lower())
    return name, found.group(1) if found else inside


def _says_passed(key: str, said: Any) -> bool:
    """Return whether a key of a test leaves no doubt that it passed; keys that are not about its outcome do."""
    if key in _STATES:
        return (isinstance(said, str) and said.lower() in _PASSED) or (said is True and key in _PASSED)
    return key not in _FAULTS or not said
