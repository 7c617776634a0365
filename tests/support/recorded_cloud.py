"""A cloud that answers as a real one did: its answers were recorded, and a test may take things away from them.

``python -m tests.system.cloud.record FOLDER`` makes the recordings in ``tests/data/clouds``.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.http_server import Asked, Reply, Scripted, as_json, serving

FOLDER = Path(__file__).resolve().parents[1] / "data" / "clouds"
PASSWORD = "recorded-password"  # noqa: S105 - of no real account
HERE = "{here}"
"""Stands for the address of the server, in recordings."""


@dataclass
class RecordedCloud:
    """One cloud as one of its users saw it."""

    server: Scripted
    token: dict[str, Any]
    answers: dict[str, Any]
    """Path with its query to the JSON."""
    made: list[str] = field(default_factory=list)
    """Requests that would have changed something."""

    def __post_init__(self) -> None:
        self.server.otherwise = self._answer

    @property
    def is_admin(self) -> bool:
        return any(role["name"] == "admin" for role in self.token["roles"])

    @property
    def conf(self) -> dict[str, dict[str, Any]]:
        """What a vendor gives: address and administrator, or an ordinary user."""
        identity: dict[str, Any] = {"uri_v3": f"{self.server.url}/identity/v3"}
        name, project = self.token["user"]["name"], self.token["project"]["name"]
        if self.is_admin:
            auth = {"admin_username": name, "admin_password": PASSWORD, "admin_project_name": project}
            return {"identity": identity, "auth": auth}
        return {"identity": {**identity, "username": name, "password": PASSWORD, "project_name": project}}

    def without(self, *types: str) -> None:
        """Take services out of the catalogue."""
        self.token["catalog"] = [one for one in self.token["catalog"] if one["type"] not in types]

    def with_region(self, name: str, *, only_identity_here: bool = False) -> None:
        """Add a region in front of the others, whose services are somewhere else."""
        for service in self.token["catalog"]:
            here = [] if only_identity_here and service["type"] != "identity" else service["endpoints"]
            other = {"interface": "public", "region": name, "region_id": name, "url": "http://127.0.0.1:9/away"}
            service["endpoints"] = [other, *here]

    def empty(self, path: str, name: str) -> None:
        """Let the lists below a path be empty."""
        for asked in [asked for asked in self.answers if urlsplit(asked).path == path]:
            self.answers[asked] = {name: []}

    def change(self, path: str, value: Any) -> None:
        """Give another answer for a path, whatever its query."""
        for asked in [asked for asked in self.answers if urlsplit(asked).path == path]:
            del self.answers[asked]
        self.answers[path] = value

    def _answer(self, asked: Asked) -> Reply:
        path = urlsplit(asked.path).path
        if path == "/identity/v3/auth/tokens":
            return self._log_in(json.loads(asked.body))
        if asked.method != "GET":
            self.made.append(f"{asked.method} {path}")
            return as_json({"id": "11111111-2222-3333-4444-555555555555"} if asked.method == "POST" else {}, 201)
        body = self.answers.get(asked.path, self.answers.get(path))
        return as_json({"error": "not recorded"}, 404) if body is None else self._shown(body)

    def _log_in(self, body: Any) -> Reply:
        user = body["auth"]["identity"].get("password", {}).get("user", {})
        if user.get("password", PASSWORD) != PASSWORD:
            return as_json({"error": {"code": 401, "message": "It requires authentication."}}, 401)
        shown = self._shown({"token": self.token})
        return Reply(201, shown.body, {**shown.headers, "X-Subject-Token": "token-of-recording"})

    def _shown(self, body: Any) -> Reply:
        return Reply(200, json.dumps(body).replace(HERE, self.server.url).encode())


@contextmanager
def recorded_cloud(name: str) -> Iterator[RecordedCloud]:
    """Serve a recording (``admin`` or ``user``) for the length of the block."""
    recording = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    with serving() as server:
        yield RecordedCloud(server, copy.deepcopy(recording["token"]), dict(recording["answers"]))


def recording_of(token: Any, answers: dict[str, Any], services: dict[str, str]) -> str:
    """Return a recording as it is kept: without addresses and secrets, one answer a line.

    :param services: address of each service, without its path, to the name of its path here.
    """
    kept = {name: token[name] for name in ("user", "project", "roles", "catalog")}
    text = json.dumps(
        {"token": kept, "answers": {path: _short(body) for path, body in answers.items()}}, sort_keys=True
    )
    for address, path in services.items():
        text = text.replace(address, f"{HERE}/{path}")
    whole = json.loads(re.sub(rf"(?<=\"){re.escape(HERE)}(?=/\S*\": )", "", text))
    lines = [f"{json.dumps(path)}: {json.dumps(body)}" for path, body in sorted(whole["answers"].items())]
    return f'{{"token": {json.dumps(whole["token"])},\n"answers": {{\n' + ",\n".join(lines) + "\n}}\n"


def _short(body: Any) -> Any:
    """Leave out what describes extensions: only their names matter, and there are hundreds."""
    if isinstance(body, dict) and isinstance(body.get("extensions"), list):
        return {"extensions": [{"alias": one.get("alias")} for one in body["extensions"]]}
    return body
