"""Results that others made, in any of the formats that they have, as subunit v2."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from subunit import StreamResultToBytes

from refstack_worker.contract import strict_json
from refstack_worker.contract.text_files import decode_text
from refstack_worker.errors import PayloadError, ResultError
from refstack_worker.server.results import subunit_v1
from refstack_worker.server.results.subunit import split_id

_PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ": "xz", b"BZh": "bzip2", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of archives; servers of logs keep streams so."""
_BEFORE_TEXT = b"\xef\xbb\xbf\xff\xfe \t\r\n\0"
"""What may stand before a text's first letter: marks of UTF-8 and UTF-16, and blanks."""
_MAX_SECONDS = 30 * 86400
"""Duration of a run that is believed."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def write_stream(data: bytes, path: Path) -> dict[str, Any]:
    """Write a result of any of the formats as subunit v2; return what else it says."""
    for signature, what in _PACKED.items():
        if data.startswith(signature):
            raise ResultError(f"result: the file is compressed ({what}); decompress it and import what is in it")
    with path.open("wb") as out:
        if data.lstrip(_BEFORE_TEXT)[:1] == b"{":
            return _from_json(data, out)
        if subunit_v1.is_v1(data[: subunit_v1.HEAD]):
            subunit_v1.to_v2(data, out)
        else:
            out.write(data)
    return {}


def _from_json(data: bytes, out: Any) -> dict[str, Any]:
    """Read what ``refstack-client`` makes, or RefStack's API gives: the tests that passed, with or without ids."""
    try:
        value = strict_json.loads(decode_text(data), "result")
        results = [_named(test) for test in value["results"]]
    except (PayloadError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"result: not the JSON of refstack-client: {error}") from None
    to = StreamResultToBytes(out)
    for name, uuid in results:
        test_id = f"{name}[id-{uuid}]" if uuid else name
        to.status(test_id=test_id, test_status="success")
    known = {"cpid": value["cpid"]} if "cpid" in value else {}
    seconds = value.get("duration_seconds")
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds <= _MAX_SECONDS:
        known["duration_seconds"] = seconds
    return dict(json.loads(json.dumps(known)))


def _named(test: Any) -> tuple[str, str]:
    """Return a test's name without attributes, and its id."""
    name, inside = split_id(test if isinstance(test, str) else str(test["name"]))
    given = "" if isinstance(test, str) else str(test.get("uuid") or "").lower()
    return name, given if _UUID.match(given) else inside
