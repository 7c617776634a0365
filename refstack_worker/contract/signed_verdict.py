"""The signed verdict: a document with all that a verdict rests on, and the server's Ed25519 signature over it.

Anyone who has the server's public key (``sign.pub``) checks it without the server. The signature covers the document in
one fixed form (:func:`canonical`), so that the file may be indented, sorted or embedded in a page.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from refstack_worker.contract import strict_json
from refstack_worker.contract.keys import Keyring
from refstack_worker.errors import SignatureError, UsageError

FORMAT = "refstack-verdict/1"
ALGORITHM = "ed25519"
MAX_BYTES = 64 * 1024 * 1024
HTML_ID = "signed-verdict"
"""Id of the ``script`` element in which a report's page carries its signed verdict."""
_CONTEXT = b"refstack verdict 1\0"
"""Keeps a signature over a verdict from being one over anything else that the same key signs."""
_IN_PAGE = re.compile(rf'<script[^>]*\bid="?{HTML_ID}"?[^>]*>(.*?)</script>', re.DOTALL)


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed: JSON in UTF-8, keys sorted, no blanks. A document holds no fractions."""
    return strict_json.dumps(document).encode("utf-8")


def sign(document: Mapping[str, Any], keys: Keyring[SigningKey]) -> dict[str, Any]:
    """Return the document with a signature by the newest key."""
    key_id, key = keys.newest
    signature = key.sign(_CONTEXT + canonical(document)).signature
    value = base64.b64encode(signature).decode("ascii")
    return {"document": dict(document), "signature": {"algorithm": ALGORITHM, "key": key_id, "value": value}}


def read(text: str, what: str) -> dict[str, Any]:
    """Return the signed verdict in a JSON file or in a report's HTML page. :raises UsageError: there is none."""
    found = _IN_PAGE.findall(text)
    if len(found) > 1:
        raise UsageError(f"{what}: the page holds several signed verdicts")
    # raises PayloadError for what is not JSON, or ambiguous JSON
    value = strict_json.loads(found[0] if found else text.removeprefix("\ufeff"), what)
    if not isinstance(value, dict) or not {"document", "signature"} <= set(value):
        raise UsageError(f"{what}: contains no signed verdict ('refstack-queue run export N verdict' writes one)")
    return value


def verify(signed: Mapping[str, Any], keys: Keyring[VerifyKey]) -> dict[str, Any]:
    """Return the document of a signed verdict whose signature is right.

    :raises SignatureError: it was changed, or is signed by another key.
    """
    signature, document = signed["signature"], signed["document"]
    if not isinstance(signature, dict) or not isinstance(document, dict) or signature.get("algorithm") != ALGORITHM:
        raise SignatureError("unknown kind of signature")
    if document.get("format") != FORMAT:
        raise SignatureError(f"the document is not a {FORMAT}; a newer refstack-queue may be able to read it")
    key = keys.get(str(signature.get("key")))
    if key is None:
        known = ", ".join(key_id for key_id, _ in keys.keys)
        raise SignatureError(f"it is signed by key {str(signature.get('key'))[:40]!r}; given: {known}")
    try:
        key.verify(_CONTEXT + canonical(document), base64.b64decode(str(signature.get("value")), validate=True))
    except (BadSignatureError, binascii.Error, ValueError):
        raise SignatureError("the signature is wrong: the verdict was changed after the server signed it") from None
    return document
