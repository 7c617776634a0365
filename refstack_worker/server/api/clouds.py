"""``/v1/clouds``, ``/v1/guidelines``: what a run is made against, and by what it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, jsonify, request

from refstack_worker.contract import tempest_options
from refstack_worker.errors import UsageError
from refstack_worker.server import auth
from refstack_worker.server.api.responses import MAX_ID, Surroundings, json_body, number, text
from refstack_worker.server.api.serializers import iso
from refstack_worker.server.domain.clouds import CloudRecord, NewCloud
from refstack_worker.server.domain.guidelines import ADVISORY, StoredGuideline
from refstack_worker.server.services import outside
from refstack_worker.server.services.runs import RunService

_FIELDS = frozenset({"label", "endpoint_v3", "region", "release", "test_user", "alt_user", "admin_user", "version"})
_KNOWN = _FIELDS | {"conf_json", "user_id"}


class CloudCalls:
    """Clouds and guidelines."""

    def __init__(self, around: Surroundings) -> None:
        self._ledger = around.ledger
        self._desk = RunService(around.ledger, around.nudge)

    def register(self, app: Flask) -> None:
        """Add the calls to an application."""
        rules: tuple[tuple[str, str, Any], ...] = (
            ("GET", "/v1/clouds", self.clouds),
            ("POST", "/v1/clouds", self.add),
            ("GET", "/v1/clouds/<int:cloud_id>", self.show),
            ("PUT", "/v1/clouds/<int:cloud_id>", self.change),
            ("DELETE", "/v1/clouds/<int:cloud_id>", self.delete),
            ("POST", "/v1/clouds/<int:cloud_id>/check", self.check),
            ("GET", "/v1/clouds/<int:cloud_id>/history", self.history),
            ("GET", "/v1/guidelines", self.guidelines),
            ("POST", "/v1/guidelines", self.add_guideline),
            ("GET", "/v1/guidelines/<int:guideline_id>", self.guideline),
            ("DELETE", "/v1/guidelines/<int:guideline_id>", self.delete_guideline),
        )
        for method, path, view in rules:
            app.add_url_rule(path, f"clouds.{view.__name__}", view, methods=[method])

    def clouds(self) -> Response:
        """List clouds."""
        found = self._ledger.clouds.all(self._desk.viewer(self._caller()))
        return jsonify({"clouds": [cloud_json(known) for known in found]})

    def add(self) -> Response:
        """Enter a cloud."""
        caller = self._caller()
        caller.need_writer()
        known = self._ledger.clouds.add(new_cloud(json_body(), caller))
        answer = jsonify(cloud_json(known))
        answer.status_code = 201
        answer.headers["Location"] = f"/v1/clouds/{known.cloud.id}"
        return answer

    def show(self, cloud_id: int) -> Response:
        """Show a cloud."""
        return jsonify(cloud_json(self._desk.cloud(self._caller(), cloud_id)))

    def change(self, cloud_id: int) -> Response:
        """Change a cloud; kept passwords stay unless new ones are given."""
        caller = self._caller()
        self._desk.cloud(caller, cloud_id)
        return jsonify(cloud_json(self._ledger.clouds.change(cloud_id, new_cloud(json_body(), caller))))

    def delete(self, cloud_id: int) -> Response:
        """Remove a cloud."""
        self._desk.cloud(self._caller(), cloud_id)
        self._ledger.clouds.delete(cloud_id)
        return Response(status=204)

    def check(self, cloud_id: int) -> Response:
        """Look whether Keystone answers, and which services there are."""
        caller = self._caller()
        conf = conf_of(json_body())
        return jsonify(cloud_json(self._desk.check_cloud(caller, cloud_id, conf)))

    def history(self, cloud_id: int) -> Response:
        """List the last runs of a cloud that have a result, the oldest first."""
        self._desk.cloud(self._caller(), cloud_id)
        rows = self._ledger.clouds.history(cloud_id)
        return jsonify({"runs": [{**row, "ended_at": iso(row["ended_at"])} for row in rows]})

    def guidelines(self) -> Response:
        """List guidelines."""
        found = self._ledger.guidelines.all(self._desk.viewer(self._caller()))
        return jsonify({"guidelines": [guideline_json(one) for one in found]})

    def add_guideline(self) -> Response:
        """Keep a guideline: its text, or where it is to be fetched."""
        caller = self._caller()
        body = json_body()
        given = body.get("text", "")
        if not isinstance(given, str) or set(body) - {"text", "url"} or bool(given) == bool(body.get("url")):
            raise UsageError("text, url: one of the two is expected")
        answer = jsonify(guideline_json(self._desk.add_guideline(caller, given, text(body, "url", 2048))))
        answer.status_code = 201
        return answer

    def guideline(self, guideline_id: int) -> Response:
        """Show a guideline: its programs with the number of tests that they ask for."""
        wanted = number(guideline_id, "guideline_id", 1, MAX_ID)
        stored, found = self._ledger.guidelines.get(wanted, self._desk.viewer(self._caller()))
        programs = [
            {
                "name": program.name,
                "description": program.description,
                "required": len(list(program.tests())),
                "advisory": len(list(program.tests((ADVISORY,)))),
                "tests": list(program.entries()),
            }
            for program in found.programs.values()
        ]
        return jsonify({**guideline_json(stored), "programs": programs})

    def delete_guideline(self, guideline_id: int) -> Response:
        """Remove a guideline."""
        caller = self._caller()
        wanted = number(guideline_id, "guideline_id", 1, MAX_ID)
        stored, _found = self._ledger.guidelines.get(wanted, self._desk.viewer(caller))
        if stored.owner_id is None:
            caller.need_operator()
        self._ledger.guidelines.delete(guideline_id)
        return Response(status=204)

    def _caller(self) -> auth.Caller:
        return auth.caller(request, self._ledger)


def cloud_json(known: CloudRecord) -> dict[str, Any]:
    """Return a cloud. No password is in it."""
    cloud, check = known.cloud, known.check
    return {
        "id": cloud.id,
        **{name: getattr(cloud, name) for name in ("label", "endpoint_v3", "test_user", "alt_user", "admin_user")},
        "version": cloud.version,
        "region": known.region,
        "release": known.release,
        "keeps_passwords": known.keeps_passwords,
        "user_id": cloud.user_id,
        "check": {"ok": check.ok, "said": check.said, "at": iso(check.at)} if check else None,
    }


def guideline_json(stored: StoredGuideline) -> dict[str, Any]:
    """Return a guideline."""
    return {
        "id": stored.id,
        "name": stored.name,
        "source": stored.source,
        "added_by": stored.added_by,
        "created_at": iso(stored.created_at),
    }


def new_cloud(body: Mapping[str, Any], caller: auth.Caller) -> NewCloud:
    """Return the cloud in a JSON object. :raises UsageError: it is none."""
    unknown = sorted(set(body) - _KNOWN)
    if unknown:
        raise UsageError(f"unknown field {', '.join(str(name)[:40] for name in unknown[:5])}")
    endpoint = text(body, "endpoint_v3", 512, needed=True).rstrip("/")
    outside.split(endpoint)
    user_id = caller.token.user_id
    if caller.is_operator and body.get("user_id") is not None:
        user_id = number(body["user_id"], "user_id", 1, MAX_ID)
    if user_id is None and not caller.is_operator:
        raise UsageError("this token belongs to no user, so the cloud would be nobody's")
    longest = {"label": 60, "region": 80, "release": 40, "version": 80}
    values = {name: text(body, name, longest.get(name, 80)) for name in _FIELDS - {"endpoint_v3"}}
    if not values["label"]:
        raise UsageError("label: is missing")
    return NewCloud(endpoint_v3=endpoint, user_id=user_id, conf_json=conf_of(body) or None, **values)


def conf_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options in a JSON object's ``conf_json``. :raises UsageError: there is something else."""
    conf = body.get("conf_json") or {}
    if not isinstance(conf, dict) or not all(isinstance(section, dict) for section in conf.values()):
        raise UsageError("conf_json: an object of sections, each an object of options, is expected")
    tempest_options.check(conf)
    return conf
