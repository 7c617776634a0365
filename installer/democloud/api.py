"""A small client of OpenStack's APIs, for preparing the test cloud and for counting what is in it."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from democloud.ports import CloudError

REGION = "RegionOne"
TIMEOUT_SECONDS = 60.0
SERVICE_TYPES = {"volume": ("volumev3", "block-storage")}
"""Services that catalogues list under several types."""
VERSIONS = "compute 2.90, volume 3.60"
"""Microversions; both, for Cinder refuses a header that names Nova alone."""


class MissingError(CloudError):
    """A service does not know what it was asked for (404)."""


@dataclass(frozen=True)
class Account:
    """A user's credentials, scoped to a project of the default domain."""

    auth_url: str
    user: str
    password: str
    project: str
    ca_file: str = ""
    """Certificate of a private CA to trust; empty: the system's."""
    region: str = REGION


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Their names in small letters: HTTP does not tell them apart, and proxies change them."""
    body: bytes

    def json(self) -> Any:
        """The body as JSON; ``None`` when there is none."""
        return json.loads(self.body) if self.body else None


class Session:
    """A token, and requests with it."""

    def __init__(self, account: Account) -> None:
        self.account = account
        answer = call("POST", f"{account.auth_url}/auth/tokens", _credentials(account), ca_file=account.ca_file)
        self.token = answer.headers["x-subject-token"]
        self.details: dict[str, Any] = answer.json()["token"]

    def keystone(self, method: str, path: str, body: Any = None) -> Any:
        """Ask Keystone; ``path`` begins behind ``/v3``. Returns the decoded JSON or ``None``."""
        return self.call(method, self.account.auth_url + path, body)

    def ask(self, method: str, service: str, path: str, body: Any = None) -> Any:
        """Ask another service, such as ``compute``; ``path`` begins behind its address in the catalogue."""
        project = f"/{self.details['project']['id']}" if service == "volume" else ""
        return self.call(method, self.endpoint(service) + project + path, body)

    def every(self, service: str, path: str, name: str) -> list[Any]:
        """All of a list that a service has; none where it does not know that kind of thing."""
        try:
            answer = self.keystone("GET", path) if service == "identity" else self.ask("GET", service, path)
        except MissingError:
            return []
        return list(answer[name])

    def call(self, method: str, url: str, body: Any = None) -> Any:
        """Send a request with the token. Returns the decoded JSON or ``None``."""
        return call(method, url, body, self.token, self.account.ca_file).json()

    def upload(self, url: str, data: bytes) -> None:
        """Send bytes with the token."""
        call("PUT", url, data, self.token, self.account.ca_file)

    def has(self, service: str) -> bool:
        """Whether the catalogue lists a service."""
        return self._address(service) is not None

    def endpoint(self, service: str) -> str:
        """The public address of a service in the cloud's region."""
        url = self._address(service)
        if url is None:
            raise CloudError(f"no {service} in the catalogue of {self.account.auth_url}")
        return url

    def _address(self, service: str) -> str | None:
        kinds = SERVICE_TYPES.get(service, (service,))
        wanted = {"interface": "public", "region": self.account.region}
        for listed in self.details["catalog"]:
            for endpoint in listed["endpoints"] if listed["type"] in kinds else ():
                if wanted.items() <= endpoint.items():
                    return str(endpoint["url"])
        return None


def call(method: str, url: str, body: Any = None, token: str = "", ca_file: str = "") -> Answer:  # nosec B107 - none
    """Send one request; ``body`` goes as JSON, unless it is bytes.

    :raises MissingError: the service answers 404.
    :raises CloudError: it cannot be reached, or answers 400 or more.
    """
    headers = {"Content-Type": "application/json", "OpenStack-API-Version": VERSIONS}
    headers.update({"X-Auth-Token": token} if token else {})
    if isinstance(body, bytes):
        data, headers["Content-Type"] = body, "application/octet-stream"
    else:
        data = b"" if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data or None, headers, method=method)  # noqa: S310 - our own loopback services
    try:
        with _opener(ca_file).open(request, timeout=TIMEOUT_SECONDS) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
    except urllib.error.HTTPError as error:
        kind = MissingError if error.code == HTTPStatus.NOT_FOUND else CloudError
        raise kind(f"{method} {url}: {error.code} {error.read(500)!r}") from error
    except (OSError, ValueError) as error:
        raise CloudError(f"{method} {url}: {error}") from error


def _opener(ca_file: str) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if ca_file:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))
    return urllib.request.build_opener(*handlers)


def _credentials(account: Account) -> dict[str, Any]:
    domain = {"id": "default"}
    user = {"name": account.user, "domain": domain, "password": account.password}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": {"project": {"name": account.project, "domain": domain}}}}
