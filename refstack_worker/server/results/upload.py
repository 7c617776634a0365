"""Upload of a result to a RefStack server's ``v1/results``, signed as refstack-client does.

Only the tests that passed are sent, with their names and idempotent ids. The signature is RSA, PKCS#1 v1.5 with
SHA-256,
over the bytes of the body; the key decides under whose name the result appears there.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from refstack_worker.contract.upload_key import UploadKey
from refstack_worker.errors import RefusedError, ResultError, ServerError, UnansweredError
from refstack_worker.server.domain.results import TestResult

SECONDS = (10.0, 60.0)
"""For the connection and for the answer."""
_CPID = re.compile(r"[0-9A-Za-z_-]{1,128}\Z")


@dataclass(frozen=True)
class Signed:
    """A body and what proves whose it is."""

    body: bytes
    signature: str
    """Hex."""
    public_key: str
    """OpenSSH's form."""

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "X-Signature": self.signature,
            "X-Public-Key": self.public_key,
        }


def body(cpid: str, seconds: float, tests: Iterable[TestResult]) -> bytes:
    """Return what ``POST v1/results`` takes.

    :param cpid: id of the cloud: of the identity service in its catalogue, or :func:`cpid_of` its address.
    :param seconds: duration of the run.
    :raises ResultError: no test passed, so that there is nothing to upload, or the cpid is none.
    """
    if not cpid:
        raise ResultError("upload: the result does not say which cloud it is of; import it with its cpid (--cpid)")
    if not _CPID.match(cpid):
        raise ResultError(f"upload: {cpid[:40]!r} is not the id of a cloud")
    passed = {test.name: test for test in tests if test.status == "passed"}
    if not passed:
        raise ResultError("upload: no test passed, and a RefStack server accepts only passed tests")
    results = [{"name": name, "uuid": test.uuid} if test.uuid else {"name": name} for name, test in passed.items()]
    whole: Mapping[str, Any] = {"cpid": cpid, "duration_seconds": round(seconds), "results": results}
    return json.dumps(whole).encode("utf-8")


def sign(data: bytes, key: UploadKey) -> Signed:
    return Signed(data, key.sign(data), key.public)


def send(server: str, signed: Signed) -> dict[str, Any]:
    """Post a signed body and return the server's answer, ``test_id`` and ``url``.

    :raises RefusedError: the server does not take it.
    :raises ServerError: it cannot be reached.
    :raises UnansweredError: no answer says whether it took it.
    """
    url = f"{server.rstrip('/')}/v1/results/"
    try:
        answer = requests.post(url, signed.body, headers=signed.headers, timeout=SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        if _was_sent(error):
            raise UnansweredError(f"{url}: no answer: {type(error).__name__}") from error
        raise ServerError(f"{url}: cannot be reached: {type(error).__name__}; is the address right?") from error
    if 300 <= answer.status_code < 400:
        raise RefusedError(f"{url}: redirects elsewhere ({answer.status_code}); is the address right?")
    if 400 <= answer.status_code < 500:
        raise RefusedError(f"{url}: rejects the result ({answer.status_code}): {answer.text[:300]}")
    try:
        said = answer.json()
        if answer.status_code != 201:
            raise ValueError
        return {"test_id": str(said["test_id"]), "url": str(said.get("url", ""))}
    except (ValueError, KeyError, TypeError):
        raise UnansweredError(
            f"{url}: response {answer.status_code} without the id of a result; is this a RefStack server?"
        ) from None


def _was_sent(error: requests.RequestException) -> bool:
    """Return whether a request that failed may have reached the server."""
    if isinstance(error, (requests.ConnectTimeout, requests.exceptions.ProxyError, ValueError)):
        return False
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    is_untrusted = any(isinstance(one, ssl.SSLCertVerificationError) for one in getattr(reason, "args", ()))
    return not (isinstance(reason, NewConnectionError) or is_untrusted)


def describe(server: str, remote_id: str, token: str, guideline: str, target: str) -> None:
    """Say at RefStack by which guideline and for which program a result is meant.

    :param token: a web token of its owner; see :meth:`UploadKey.web_token`.
    :raises RefusedError: the server does not take it.
    :raises ServerError: it cannot be reached.
    """
    # RefStack names an add-on's guideline without the add-on: that is the target
    version = guideline.rpartition(f"{target}.")[2] if guideline.startswith(f"{target}.") else guideline
    for name, value in (("guideline", f"{version}.json"), ("target", target)):
        url = f"{server.rstrip('/')}/v1/results/{remote_id}/meta/{name}"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/plain"}
        try:
            answer = requests.post(url, value.encode(), headers=headers, timeout=SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            raise ServerError(f"{url}: cannot be reached: {type(error).__name__}") from error
        if answer.status_code != 201:
            raise RefusedError(f"{url}: {answer.status_code}: {answer.text[:200]}")
