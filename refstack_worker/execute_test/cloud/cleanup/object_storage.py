"""Removes containers from Swift, which ``tempest cleanup`` does not know."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator

from refstack_worker.execute_test.cloud.catalog import service_endpoint
from refstack_worker.execute_test.cloud.cleanup.removal import Removal
from refstack_worker.execute_test.cloud.discovery import OPERATOR_ROLES
from refstack_worker.execute_test.cloud.keystone import CloudUser, Keystone, KeystoneToken
from refstack_worker.execute_test.failures import CloudFailure
from refstack_worker.execute_test.http import Denied, Unavailable

PAGE_SIZE = 1000


class ObjectStorage:
    """The Swift accounts of projects, as one user sees them."""

    def __init__(
        self, keystone: Keystone, user: CloudUser, token: KeystoneToken, region: str, removal: Removal
    ) -> None:
        self._keystone, self._user, self._token = keystone, user, token
        self._region, self._removal = region, removal

    def empty_project(self, project_id: str, name: str) -> None:
        """Remove the containers of a project that will be deleted.

        The administrator gets the roles that Swift requires, in this project only; they go with it.
        """
        if not self._account_url(self._token, project_id):
            return
        try:
            token = self._enter(project_id)
        except (Denied, CloudFailure) as error:
            self._removal.failed(f"what project {name} holds in Swift", error)
            return
        if self.remove_containers(token, project_id, f"project {name}", ""):
            # the account itself, in clouds that allow it
            with contextlib.suppress(Denied, CloudFailure):
                self._keystone.request_url("DELETE", self._account_url(token, project_id), token.value)

    def remove_containers(self, token: KeystoneToken, project_id: str, where: str, prefix: str) -> bool:
        """Remove the containers whose names begin with ``prefix``; returns whether all are gone."""
        account = self._account_url(token, project_id)
        if not account:
            return False
        gone = True
        try:
            for name in self._names(f"{account}?{urllib.parse.urlencode({'prefix': prefix})}", token):
                if name.startswith(prefix):  # not every Swift knows the filter
                    gone = self._remove_container(account, name, where, token) and gone
        except Denied as error:
            if error.status != 404:
                self._removal.failed(f"containers of {where}", error)
                return False
        return gone

    def _enter(self, project_id: str) -> KeystoneToken:
        """Give this user the roles that Swift requires in a project, and return a token for it."""
        me = str(self._token.body.get("user", {}).get("id", ""))
        for role in (self._keystone.request("GET", "/roles", self._token.value) or {}).get("roles", []):
            if str(role.get("name")).lower() in ("admin", "reselleradmin", *OPERATOR_ROLES):
                path = f"/projects/{project_id}/users/{me}/roles/{role['id']}"
                self._keystone.request("PUT", path, self._token.value)
        return self._keystone.scope(self._token, project_id, self._user)

    def _remove_container(self, account: str, container: str, where: str, token: KeystoneToken) -> bool:
        what = f"container {container} of {where}"
        try:
            url = _below(account, container)
            with contextlib.suppress(Denied):
                # with versioning on, each delete would only add a version
                self._keystone.request_url("DELETE", f"{url}?versions", token.value)
            for name in self._names(url, token):
                with contextlib.suppress(Denied):
                    self._keystone.request_url("DELETE", _below(url, name), token.value)
            self._keystone.request_url("DELETE", url, token.value)
        except Denied as error:
            if error.status == 404:
                return True
            self._removal.failed(what, error)
            return False
        self._removal.done(what)
        return True

    def _names(self, url: str, token: KeystoneToken) -> Iterator[str]:
        """Yield names of containers or objects, listed page by page."""
        marker, markers = "", {""}
        while True:
            join = "&" if "?" in url else "?"
            query = urllib.parse.urlencode({"format": "json", "limit": PAGE_SIZE, "marker": marker})
            response = self._keystone.request_url("GET", f"{url}{join}{query}", token.value)
            try:
                listed = response.json() if response.body else []
            except Unavailable as error:
                raise Denied(0, str(error)) from error
            names = [str(each["name"]) for each in listed if isinstance(each, dict) and "name" in each]
            yield from names
            if not names:
                return
            marker = names[-1]
            if marker in markers:
                raise Denied(0, f"{url} lists the same names again and again")
            markers.add(marker)

    def _account_url(self, token: KeystoneToken, project_id: str) -> str:
        """Return the address of a project's Swift account; empty in a region without Swift."""
        endpoint = service_endpoint(token, "swift", self._region) or ""
        return endpoint.replace(token.project_id, project_id).rstrip("/") if token.project_id else ""


def _below(url: str, name: str) -> str:
    """Return the address of a container or an object.

    :raises Denied: a client would take the name, or a part of it, for a way up: to another container or account.
    """
    path = urllib.parse.quote(name)
    if not {".", ".."}.isdisjoint(name.split("/")):
        path = urllib.parse.quote(name, safe="")
    if path in (".", ".."):
        raise Denied(0, f"{path} at {url} cannot be removed by its address")
    return f"{url}/{path}"
