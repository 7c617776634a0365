"""Requests to one service of the cloud."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from refstack_worker.contract.keystone_address import shown_malformed
from refstack_worker.execute_test.cloud.keystone import Keystone, KeystoneToken
from refstack_worker.execute_test.http import Denied, Unavailable

WHAT_TO_CHECK = "Check the service's address, proxies in between and what this user may list"
"""Where :meth:`ServiceApi.known_records` is None."""
_VERSION_SEGMENT = re.compile(r"/(v\d+(?:\.\d+)?)(?:/|$)")


def not_listed(url: str, kind: str) -> str:
    """Return for people that :meth:`ServiceApi.known_records` is None: not that the cloud has none."""
    return f"the response from {shown_malformed(url)[:200]} is not a list of {kind}"


def is_up(service: Mapping[str, Any]) -> bool:
    """Return whether a part of Nova or Cinder, as an administrator sees it, is up and takes work."""
    return service.get("state") == "up" and service.get("status", "enabled") == "enabled"


class ServiceApi:
    """A service as one user sees it. What the user may not ask, or the service does not know, is None."""

    def __init__(self, keystone: Keystone, token: KeystoneToken, endpoint: str) -> None:
        self._keystone, self._token = keystone, token
        self.endpoint = endpoint.rstrip("/")

    @property
    def root(self) -> str:
        """The address without its version, below which a service lists its versions."""
        match = _VERSION_SEGMENT.search(self.endpoint)
        return self.endpoint[: match.start()] if match else self.endpoint

    @property
    def version(self) -> str:
        """The version in the catalogue's address, as ``v2.1``; empty without one."""
        match = _VERSION_SEGMENT.search(self.endpoint)
        return match[1] if match else ""

    def versioned(self, version: str) -> str:
        """Return the address of a version (``v2``), whether or not the catalogue's address has one.

        An address of another major version is that of an API that no longer exists, and Tempest replaces it too.
        """
        is_same = self.version.partition(".")[0] == version.partition(".")[0]
        return self.endpoint if is_same else f"{self.root}/{version}"

    def get(self, url: str) -> Any:
        """Return the JSON at an address; None when it cannot be had.

        :raises CloudFailure: the service does not respond at all.
        """
        try:
            response = self._keystone.request_url("GET", url, self._token.value)
            return response.json() if response.body else None
        except (Denied, Unavailable):
            return None

    def records(self, url: str, kind: str) -> list[dict[str, Any]]:
        """Return the list named ``kind`` in the JSON at an address; empty when it cannot be had."""
        return self.known_records(url, kind) or []

    def known_records(self, url: str, kind: str) -> list[dict[str, Any]] | None:
        """Return the same; None when it cannot be had."""
        body = self.get(url)
        listed = body.get(kind) if isinstance(body, dict) else None
        return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else None

    def send(self, method: str, url: str, body: Any = None, media_type: str = "") -> Any:
        """Send a request that changes something and return the JSON of the response.

        :param body: bytes, or a value for JSON.
        :param media_type: what the body is, unless it is plain JSON.
        :raises Denied: the service refuses it.
        :raises CloudFailure: the service does not respond at all.
        """
        response = self._keystone.request_url(method, url, self._token.value, body, media_type)
        try:
            return response.json() if response.body else None
        except Unavailable:
            return None

    def microversions(self, major: str) -> tuple[str, str]:
        """Return the oldest and newest microversion of a major version (``v2.1``); empty texts when unknown.

        Where the list of all versions cannot be had, as behind a gateway, the version's own address is asked.
        """
        own = f"{self.root}/{self.version or major}/"
        for url in (f"{self.root}/", own):
            for version in _versions(self.get(url)):
                if version.get("id") == major:
                    newest = version.get("version") or version.get("max_version") or ""
                    return str(version.get("min_version") or ""), str(newest)
        return "", ""


def _versions(body: Any) -> list[Mapping[str, Any]]:
    """Return the versions in a service's answer, which lists all of them or has its own."""
    if not isinstance(body, dict):
        return []
    listed = body.get("versions")
    both = [*(listed if isinstance(listed, list) else ()), body.get("version")]
    return [version for version in both if isinstance(version, dict)]
