"""The API within this process, on the server's ledger, for users who can read ``refstack.cfg``."""

from __future__ import annotations

import getpass
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refstack_worker import errors
from refstack_worker.cli.queue.ledger_access import open_ledger, settings_of
from refstack_worker.contract.scopes import OPERATOR
from refstack_worker.errors import RefstackError, ServerError
from refstack_worker.server import auth
from refstack_worker.server.app import create_app
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.ledger.ledger import Ledger

_KINDS = {
    kind.reason: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RefstackError)
}
"""Reason of a refusal to the error that a command ends with."""


@contextmanager
def local_api(app: Any) -> Iterator[LocalApi]:
    """Give the API on the ledger of a command's settings."""
    with open_ledger(settings_of(app)) as ledger:
        yield LocalApi(ledger, getpass.getuser())


class LocalApi:
    """The calls of the API; the same checks hold and the audit log is kept as over the network."""

    def __init__(self, ledger: Ledger, user: str) -> None:
        # no result is posted here: the folder for those, which belongs to the service, is not touched
        self._client = create_app(ledger, uploads=Path(tempfile.gettempdir())).test_client()
        self._environ = {auth.KNOWN_TOKEN: Token(0, f"{user} on the server", (OPERATOR,))}

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON at a path. :raises RefstackError: as the API refuses."""
        return self._call("GET", path, query_string=dict(query or {}))

    def post(self, path: str, body: Mapping[str, Any] | None = None, key: str = "") -> Any:
        """Return the JSON answer to a JSON body."""
        return self._call("POST", path, json=dict(body or {}), headers={"Idempotency-Key": key} if key else {})

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON answer to a JSON body that takes the place of what is there."""
        return self._call("PUT", path, json=dict(body))

    def delete(self, path: str) -> None:
        """Remove what is at a path."""
        self._call("DELETE", path)

    def _call(self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        # a bearer token makes the guard count and record the call; whose it is stands in the environment
        given = {"Authorization": "Bearer local", **(headers or {})}
        answer = self._client.open(path, method=method, headers=given, environ_overrides=self._environ, **more)
        if answer.status_code == 204:
            return None
        body = answer.get_json(silent=True)
        if answer.status_code < 300:
            return body
        problem = body if isinstance(body, dict) else {}
        detail = str(problem.get("detail") or problem.get("error") or f"unexpected response {answer.status_code}")
        raise _KINDS.get(str(problem.get("reason")), ServerError)(detail)
