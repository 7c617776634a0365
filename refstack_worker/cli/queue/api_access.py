"""Where the commands of operators send their calls: to a server with a token, or to this machine's own ledger."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

from refstack_worker.cli.api_client import Api, access_of


class Calls(Protocol):
    """The calls of the API that commands make."""

    def get(self, path: str, query: Mapping[str, Any] | None = ...) -> Any: ...

    def post(self, path: str, body: Mapping[str, Any] | None = ..., key: str = ...) -> Any: ...

    def put(self, path: str, body: Mapping[str, Any]) -> Any: ...

    def delete(self, path: str) -> None: ...


def is_remote(options: Any) -> bool:
    """Return whether the commands of operators go over the network: a token is named, and no ``refstack.cfg`` is."""
    return options.config is None and options.token_file is not None


def operator_api(app: Any) -> AbstractContextManager[Calls]:
    """Return the API for a command of operators.

    With ``--token-file`` it is the server's, from any machine. Without, or with ``--config``, it is the same API in
    this process, on the database that ``refstack.cfg`` names: anyone who can read that file is an operator.
    """
    if is_remote(app.options):
        return cast("AbstractContextManager[Calls]", Api(access_of(app.options)))
    # only the server has what that module needs
    local = importlib.import_module("refstack_worker.cli.queue.local_api")
    return cast("AbstractContextManager[Calls]", local.local_api(app))
