"""Results that others made, taken in as results of their own kind: "imported, not run here"."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subunit import StreamResultToBytes

from refstack_worker.contract import attempt_token, strict_json
from refstack_worker.errors import PayloadError, ResultError
from refstack_worker.server.domain.attempts import Claim, Proof
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import IMPORTED, NewRun, Run, RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.results import acceptance, subunit, subunit_v1
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.exclusions import Exclusions
from refstack_worker.server.services.guidelines import GuidelineService
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.run_input import release_of
from refstack_worker.server.services.inputs.schema import fields, maybe, string

MAX_BYTES = subunit_v1.MAX_BYTES
"""Of a result; as text in a request it is a third larger."""
NEW_IMPORT = fields(
    "content",
    "tempest_version",
    content={"type": "string", "minLength": 1, "description": "The file in base64: subunit v1 or v2, or JSON"},
    tempest_version=string(40, description="Tempest version that produced it", examples=["47.0.0"]),
    cpid=string(128, "^[0-9A-Za-z_-]*$", description="Id of the cloud; refstack-client's JSON contains it"),
    label=string(200),
    guideline=maybe(fields("program", name=string(60), program=string(200, minLength=1))),
)
_WORKER = "imported"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def take_in(ledger: Ledger, caller: Caller, body: Mapping[str, Any]) -> Run:
    """Record a result that was not run here, and judge it by the guideline that is named.

    :param body: of the schema :data:`NEW_IMPORT`.
    :raises ResultError: it is not a result, or holds no test.
    """
    caller.need_writer()
    if not caller.is_operator and caller.token.user_id is None:
        raise refused("scope", "This token belongs to no user, so its results would have no owner.")
    choice, _ = GuidelineService(ledger).chosen(caller, body.get("guideline"), Exclusions({}))
    data = _decoded(body["content"])
    with tempfile.TemporaryDirectory(prefix="refstack-import-") as folder:
        stream = Path(folder, "stream")
        summary = _write_stream(data, stream)
        # what cannot be read must leave no run behind
        subunit.parse(stream, Path(folder, "rows"))
        summary = {**summary, **({"cpid": body["cpid"]} if body.get("cpid") else {})}
        new = NewRun(
            spec=RunSpec(tempest_version=release_of(body)),
            label=body.get("label", ""),
            created_by=caller.name,
            owner_id=caller.token.user_id,
            kind=IMPORTED,
        )
        claim = Claim(secrets.token_hex(16), _WORKER, new.spec.tempest_version)
        held = ledger.runs.add_held(new, claim)
        if choice is not None:
            ledger.guidelines.choose(held.key.test_id, choice)
        proof = Proof(held.key.test_id, held.secret, held.key.attempt, attempt_token.mark(claim.claim_id))
        acceptance.accept(ledger, proof, Upload.of(stream, summary))
    return ledger.runs.get(held.key.test_id)


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("content", "is not base64") from None
    if len(data) > MAX_BYTES:
        raise invalid("content", f"is larger than {MAX_BYTES} bytes")
    return data


def _write_stream(data: bytes, path: Path) -> dict[str, Any]:
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
