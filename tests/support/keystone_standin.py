"""A Keystone and a Swift that keep a few resources in memory, over real HTTP: enough to log in, list and remove."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.http_server import Asked, Reply, Scripted, as_json, serving

ADMIN_PASSWORD = "adm1n-password"
KINDS = ("projects", "users", "groups", "roles", "services", "domains")


@dataclass
class KeystoneStandin:
    """One cloud. Users log in with the same password; ``admins`` have the role ``admin``."""

    server: Scripted
    admins: set[str] = field(default_factory=lambda: {"admin"})
    resources: dict[str, dict[str, str]] = field(default_factory=dict)
    """Kind → id → name."""
    assigned: set[str] = field(default_factory=set)
    """Ids of the projects that have role assignments."""
    containers: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Project → container → objects."""
    has_swift: bool = True
    more_services: dict[str, str] = field(default_factory=dict)
    """Type → address of what else the catalogue has."""
    immortal: set[str] = field(default_factory=set)
    """Ids that cannot be deleted."""

    def __post_init__(self) -> None:
        self.resources = {kind: dict(self.resources.get(kind, {})) for kind in KINDS}
        self.resources["projects"]["p0"] = "demo"
        self.resources["roles"].update(r0="member", r1="admin")
        self.server.otherwise = self._answer

    @property
    def url(self) -> str:
        """Address of Keystone."""
        return f"{self.server.url}/v3"

    def conf(self, **identity: Any) -> dict[str, dict[str, Any]]:
        """Return what a vendor gives of this cloud: an administrator."""
        auth = {"admin_username": "admin", "admin_password": ADMIN_PASSWORD}
        return {"identity": {"uri_v3": self.url, **identity}, "auth": auth}

    def _answer(self, asked: Asked) -> Reply:
        parts = urlsplit(asked.path)
        words = parts.path.strip("/").split("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if words[:3] == ["v3", "auth", "tokens"]:
            return self._log_in(json.loads(asked.body))
        if words[:3] == ["v3", "auth", "projects"]:
            return as_json({"projects": [{"id": "p0", "name": "demo"}]})
        if words[:2] == ["v3", "role_assignments"]:
            is_assigned = query["scope.project.id"] in self.assigned
            return as_json({"role_assignments": [{}] if is_assigned else []})
        if words[0] == "v3":
            return self._resource(asked.method, words[1:], query)
        if words[0] == "swift":
            return self._swift(asked.method, words[1], words[2:], query)
        return as_json({"error": "not here"}, 404)

    def _log_in(self, body: Any) -> Reply:
        identity, scope = body["auth"]["identity"], body["auth"].get("scope", {}).get("project", {})
        user = identity.get("password", {}).get("user", {})
        if user and user["password"] != ADMIN_PASSWORD:
            return as_json({"error": {"code": 401, "message": "wrong password"}}, 401)
        known = user.get("name") or user.get("id", "").removeprefix("u-")
        name = known or identity["token"]["id"].removeprefix("token-of-")
        token: dict[str, Any] = {"user": {"id": f"u-{name}", "name": name, "domain": {"name": "Default"}}}
        projects = self.resources["projects"]
        project = scope.get("id") or next((key for key, each in projects.items() if each == scope.get("name")), "")
        if scope:
            token["project"] = {"id": project, "name": projects[project], "domain": {"name": "Default"}}
            token["roles"] = [{"name": "admin" if name in self.admins else "member"}]
            token["catalog"] = self._catalog(project)
        return as_json({"token": token}, 201, **{"X-Subject-Token": f"token-of-{name}"})

    def _catalog(self, project: str) -> list[dict[str, Any]]:
        def service(kind: str, url: str) -> dict[str, Any]:
            return {
                "type": kind,
                "id": f"id-{kind}",
                "endpoints": [{"interface": "public", "region": "R1", "url": url}],
            }

        swift = [service("object-store", f"{self.server.url}/swift/AUTH_{project}")] if self.has_swift else []
        others = [service(kind, url) for kind, url in self.more_services.items()]
        return [service("identity", self.url), *swift, *others]

    def _resource(self, method: str, words: list[str], query: dict[str, str]) -> Reply:
        kind = words[0]
        found = self.resources.get(kind, {})
        if len(words) == 1:
            prefix = query.get("name__startswith", "")
            return as_json(
                {kind: [{"id": key, "name": name} for key, name in found.items() if name.startswith(prefix)]}
            )
        if words[1] not in found:
            return as_json({"error": {"message": "no such thing"}}, 404)
        if len(words) > 2 or method == "PATCH":
            return Reply(204, b"")
        if method == "DELETE":
            if words[1] in self.immortal:
                return as_json({"error": {"message": "it is needed"}}, 403)
            del found[words[1]]
            return Reply(204, b"")
        return as_json({kind[:-1]: {"id": words[1], "name": found[words[1]]}})

    def _swift(self, method: str, account: str, words: list[str], query: dict[str, str]) -> Reply:
        containers = self.containers.setdefault(account.partition("_")[2], {})
        if method == "GET":
            names = list(containers) if not words else containers.get(words[0], [])
            names = [
                name for name in names if name.startswith(query.get("prefix", "")) and name > query.get("marker", "")
            ]
            return as_json([{"name": name} for name in sorted(names)])
        if len(words) == 2:
            containers[words[0]].remove(words[1])
        elif words and "versions" not in query:
            if containers.get(words[0]):
                return as_json({"error": "not empty"}, 409)
            containers.pop(words[0], None)
        return Reply(204, b"")


@contextmanager
def keystone_standin(**options: Any) -> Iterator[KeystoneStandin]:
    """A cloud that runs for the length of the block."""
    with serving() as server:
        yield KeystoneStandin(server, **options)
