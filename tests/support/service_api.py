"""A service of a cloud that answers from a table and remembers what it was sent."""

from __future__ import annotations

import json
from typing import Any

from refstack_worker.execute_test.cloud.keystone import KeystoneToken
from refstack_worker.execute_test.cloud.service_api import ServiceApi
from refstack_worker.execute_test.http import Denied, HttpResponse

ENDPOINT = "http://cloud.example/v2.1"


class TableKeystone:
    """Takes the place of Keystone's connection: JSON by path, without its query unless the table has it."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        self.sent: list[tuple[str, str, Any]] = []

    def request_url(self, method: str, url: str, token: str, body: Any = None, media_type: str = "") -> HttpResponse:
        path = url.partition("cloud.example")[2]
        if method != "GET":
            self.sent.append((method, path, body))
            answer = self.table.get(f"{method} {path}", self.table.get(method, {}))
        else:
            answer = self.table.get(path, self.table.get(path.partition("?")[0]))
        answer = answer(self) if callable(answer) else answer
        if answer is None:
            raise Denied(404, f"{url}: response 404")
        if isinstance(answer, Exception):
            raise answer
        return HttpResponse(200, {}, json.dumps(answer).encode(), url)


def service_api(table: dict[str, Any], endpoint: str = ENDPOINT) -> tuple[ServiceApi, TableKeystone]:
    """Return a service whose answers are in a table, and what stands behind it."""
    keystone = TableKeystone(table)
    return ServiceApi(keystone, KeystoneToken("token", {}), endpoint), keystone  # type: ignore[arg-type]
