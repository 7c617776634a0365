"""A small client of Keystone v3 and Swift, for preparing the test cloud and for counting what is in it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from democloud.ports import CloudError

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Account:
    """Somebody's credentials, scoped to a project of the default domain."""

    auth_url: str
    user: str
    password: str
    project: str


@dataclass(frozen=True)
class Answer:
    """What a service said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; ``None`` when there is none."""
        return json.loads(self.body) if self.body else None


class Session:
    """A token, and requests with it."""

    def __init__(self, account: Account) -> None:
        self.account = account
        answer = call("POST", f"{account.auth_url}/auth/tokens", _credentials(account))
        self.token = answer.headers["X-Subject-Token"]
        self.details: dict[str, Any] = answer.json()["token"]

    def keystone(self, method: str, path: str, body: Any = None) -> Any:
        """Ask Keystone; ``path`` begins behind ``/v3``. Returns the decoded JSON or ``None``."""
        return call(method, self.account.auth_url + path, body, self.token).json()

    def endpoint(self, kind: str) -> str:
        """The public address of a service of this kind."""
        for service in self.details["catalog"]:
            for endpoint in service["endpoints"]:
                if service["type"] == kind and endpoint["interface"] == "public":
                    return str(endpoint["url"])
        raise CloudError(f"no {kind} in the catalogue of {self.account.auth_url}")


def call(method: str, url: str, body: Any = None, token: str = "") -> Answer:  # nosec B107 - empty: none
    """Send one request; ``body`` goes as JSON.

    :raises CloudError: the service cannot be reached or answers 400 or more.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - our own loopback services
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        raise CloudError(f"{method} {url}: {error.code} {error.read(500)!r}") from error
    except (OSError, ValueError) as error:
        raise CloudError(f"{method} {url}: {error}") from error


def _credentials(account: Account) -> dict[str, Any]:
    domain = {"id": "default"}
    user = {"name": account.user, "domain": domain, "password": account.password}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": {"project": {"name": account.project, "domain": domain}}}}
