"""Results from elsewhere, stored as a separate kind: "imported, not run here"."""

from __future__ import annotations

import base64
import binascii
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from refstack_worker.contract import attempt_token
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefstackError
from refstack_worker.server.domain.attempts import Claim, Proof
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import IMPORTED, NewRun, Run, RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.results import acceptance, confined, subunit, subunit_v1
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.guidelines import GuidelineService
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.run_input import release_of
from refstack_worker.server.services.inputs.schema import fields, maybe, string
from refstack_worker.server.services.turns import Turns

MAX_BYTES = subunit_v1.MAX_BYTES
"""Limit for a result; as text in a request it is a third larger."""
NEW_IMPORT = fields(
    "content",
    "tempest_version",
    content={"type": "string", "minLength": 1, "description": "The file in base64: subunit v1 or v2, or JSON"},
    tempest_version=string(40, description="Tempest version that produced it", examples=["47.0.0"]),
    cpid=string(128, "^[0-9A-Za-z_-]*$", description="Id of the cloud; refstack-client's JSON contains it"),
    label=string(200),
    guideline=maybe(fields("program", name=string(60), program=string(200, minLength=1))),
)
MAX_TESTS = 20_000
"""More than any version of Tempest has. Other writers wait while a result is stored."""
TURNS = Turns(2, 1, "Another result of yours is being imported. Try again in a moment.")
_WORKER = "imported"


def take_in(ledger: Ledger, caller: Caller, body: Mapping[str, Any]) -> Run:
    """Record a result that was not run here, and judge it by the guideline that is named.

    :param body: of the schema :data:`NEW_IMPORT`.
    :raises ResultError: it is not a result, or holds no test.
    """
    caller.need_writer()
    if not caller.is_operator and caller.token.user_id is None:
        raise refused("scope", "This token belongs to no user, so its results would have no owner.")
    with TURNS.turn(caller.token.account):
        return _taken_in(ledger, caller, body)


def _taken_in(ledger: Ledger, caller: Caller, body: Mapping[str, Any]) -> Run:
    named = body.get("guideline")
    choice = GuidelineService(ledger).choice(caller, named.get("name", ""), named["program"]) if named else None
    with tempfile.TemporaryDirectory(prefix="refstack-import-") as folder:
        given, stream = Path(folder, "given"), Path(folder, "stream")
        given.write_bytes(_decoded(body["content"]))
        summary = confined.import_result(given, stream)
        # what cannot be read must leave no run behind
        parsed = subunit.parse(stream, Path(folder, "rows"))
        if parsed.counts.total > MAX_TESTS:
            raise invalid("content", f"has {parsed.counts.total} tests; at most {MAX_TESTS} are imported")
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
        proof = Proof(held.key.test_id, held.secret, held.key.attempt, attempt_token.mark(claim.claim_id))
        seconds = float(summary.get("duration_seconds", 0))
        try:
            if choice is not None:
                ledger.guidelines.choose(held.key.test_id, choice)
            acceptance.accept(ledger, proof, replace(Upload.of(stream, summary), stated_seconds=seconds))
        except Exception:
            _undo(ledger, proof)
            raise
    return ledger.runs.get(held.key.test_id)


def _undo(ledger: Ledger, proof: Proof) -> None:
    """Remove the run of a result that could not be stored. If that fails too, the monitor ends the run."""
    with suppress(RefstackError):
        ledger.attempts.report(proof, Report(RunState.FAILED, "the result could not be stored", "import"))
        ledger.retention.delete(proof.test_id)


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("content", "is not base64") from None
    if len(data) > MAX_BYTES:
        raise invalid("content", f"is larger than {MAX_BYTES} bytes")
    return data
