"""Results that others made, in any of the formats that they have, as subunit v2."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from subunit import StreamResultToBytes

from refstack_worker.contract import strict_json
from refstack_worker.errors import PayloadError, ResultError
from refstack_worker.server.results import subunit_v1

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def write_stream(data: bytes, path: Path) -> dict[str, Any]:
    """Write a result of any of the formats as subunit v2; return what else it says."""
    with path.open("wb") as out:
        if data.lstrip()[:1] == b"{":
            return _from_json(data, out)
        if subunit_v1.is_v1(data[: subunit_v1.HEAD]):
            subunit_v1.to_v2(data, out)
        else:
            out.write(data)
    return {}


def _from_json(data: bytes, out: Any) -> dict[str, Any]:
    """Read what ``refstack-client`` makes: the tests that passed, with their ids."""
    try:
        value = strict_json.loads(data.decode("utf-8-sig"), "result")
        results = [(str(test["name"]), str(test.get("uuid") or "")) for test in value["results"]]
    except (PayloadError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"result: not the JSON of refstack-client: {error}") from None
    to = StreamResultToBytes(out)
    for name, uuid in results:
        test_id = f"{name}[id-{uuid}]" if _UUID.match(uuid) else name
        to.status(test_id=test_id, test_status="success")
    known = {name: value[name] for name in ("cpid", "duration_seconds") if name in value}
    return dict(json.loads(json.dumps(known)))
