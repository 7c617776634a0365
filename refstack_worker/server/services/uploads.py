"""Upload results to RefStack: under the vendor's own key, or with a signature that was made elsewhere, and once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from refstack_worker.contract import upload_key
from refstack_worker.contract.upload_key import UploadKey
from refstack_worker.errors import RefstackError, SignatureError, StateError, UnansweredError
from refstack_worker.server.domain.runs import IMPORTED, Run
from refstack_worker.server.domain.tested_cloud import TestedCloud
from refstack_worker.server.domain.uploads import StoredKey, UploadRecord
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.uploads import unknown
from refstack_worker.server.results import upload
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.compare import all_tests
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.turns import Turns

TURNS = Turns(3, 1, "Another upload of yours is under way. Try again in a moment.")
"""RefStack may take a minute to answer."""


@dataclass(frozen=True)
class Uploaded:
    record: UploadRecord
    repeated: bool
    """It had been uploaded before; nothing was sent."""
    notes: tuple[str, ...] = ()
    """What could not be set at RefStack, for people."""


def cpid_of_run(ledger: Ledger, run: Run) -> str:
    """Return the cpid that the node found, or that of the cloud's address."""
    tested: TestedCloud = ledger.results.get(run.test_id)["tested"]
    return tested.cpid_or_of(run.cloud.endpoint_v3)


def request_of(ledger: Ledger, run: Run) -> bytes:
    """Return the bytes that are uploaded, and signed."""
    result: Any = ledger.results.get(run.test_id)
    return upload.body(cpid_of_run(ledger, run), result["seconds"], all_tests(ledger, run.test_id))


@dataclass(frozen=True)
class UploadWish:
    """How a result is to be uploaded."""

    signature: str = ""
    """Hex, made elsewhere over :func:`request_of`; empty: signed here."""
    public_key: str = ""
    """Whose signature that is, in OpenSSH's form."""
    again: bool = False
    """Also if it may be there, because an earlier upload got no answer."""


def upload_run(ledger: Ledger, caller: Caller, run: Run, how: UploadWish) -> Uploaded:
    """Upload the passed tests of a run.

    :raises StateError: no server is set up, there is no key to sign with, or the result may be there.
    :raises UsageError: the signature is not one of this request.
    """
    if not ledger.settings.outbound.upload_url:
        raise StateError("Uploads aren't set up on this server (UPLOAD_URL).")
    if bool(how.signature) ^ bool(how.public_key):
        raise invalid("signature", "give signature and public_key together")
    with TURNS.turn(caller.token.account):
        return _upload(ledger, caller, run, how)


def _upload(ledger: Ledger, caller: Caller, run: Run, how: UploadWish) -> Uploaded:
    signature, public_key = how.signature, how.public_key
    server = ledger.settings.outbound.upload_url
    body = request_of(ledger, run)
    stored = None if signature else _key(ledger, caller, run)
    if stored is None:
        _check(public_key, body, signature)
        signed = upload.Signed(body, signature.strip(), " ".join(public_key.split()[:2]))
    else:
        signed = upload.sign(body, UploadKey.parse(stored.pem.encode("ascii"), "upload key", is_checked=True))
    digest = hashlib.sha256(signed.public_key.encode("utf-8")).hexdigest()
    wish = UploadRecord(run.test_id, server, key_digest=digest, uploaded_by=caller.name)
    known = ledger.uploads.reserve(wish, how.again)
    if known is not None:
        return Uploaded(known, True)
    return _send(ledger, run, wish, signed, stored)


def _check(public_key: str, body: bytes, signature: str) -> None:
    try:
        upload_key.verify(public_key, body, signature)
    except SignatureError as error:
        raise invalid("signature", str(error)) from None


def _send(ledger: Ledger, run: Run, wish: UploadRecord, signed: upload.Signed, stored: StoredKey | None) -> Uploaded:
    try:
        answer = upload.send(wish.server, signed)
    except UnansweredError as error:
        ledger.uploads.note_unknown(wish)
        raise UnansweredError(f"{error}; {unknown(wish)}") from error
    except RefstackError:
        ledger.uploads.give_up(wish)
        raise
    done = replace(wish, remote_id=answer["test_id"], url=answer["url"])
    ledger.uploads.finish(done)
    return Uploaded(done, False, _describe(ledger, run, done, stored))


def _describe(ledger: Ledger, run: Run, done: UploadRecord, stored: StoredKey | None) -> tuple[str, ...]:
    """Set guideline and target at RefStack, where the key's owner is known there."""
    verdict = ledger.guidelines.verdict(run.test_id)
    if verdict is None:
        return ()
    if stored is None or not stored.openid:
        return ("guideline and target are not set at RefStack: that needs a stored key with your OpenID",)
    key = UploadKey.parse(stored.pem.encode("ascii"), "upload key", is_checked=True)
    token = key.web_token({"user_openid": stored.openid, "exp": int(ledger.clock()) + 300})
    try:
        upload.describe(done.server, done.remote_id, token, verdict.guideline, verdict.target)
    except RefstackError as error:
        return (f"guideline and target are not set at RefStack: {error}",)
    return ()


def _key(ledger: Ledger, caller: Caller, run: Run) -> StoredKey:
    """Return whose name the result gets: the vendor's own; the operator's for the operator's own calls."""
    own = ledger.uploads.key(run.owner_id) if run.owner_id is not None else None
    if own is None and caller.token.user_id is not None:
        own = ledger.uploads.key(caller.token.user_id)
    if own is not None:
        return own
    operators = ledger.settings.outbound.upload_key
    if caller.is_operator and operators is not None:
        if run.kind == IMPORTED:
            raise StateError(
                "imported results cannot be uploaded with the operator's key, which vouches only for runs made here; "
                "the owner can store a key, or sign the upload elsewhere"
            )
        key = UploadKey.read(operators)
        return StoredKey(key.pem, key.public)
    if caller.is_operator:
        raise StateError("there is no upload key: set UPLOAD_KEY_FILE, or sign elsewhere (run sign-request)")
    raise StateError(
        "you have no upload key here: store one ('refstack-queue key set FILE'), or sign elsewhere "
        "('run sign-request' and 'run upload --signature')"
    )
