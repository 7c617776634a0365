"""The shapes of what ``/v1`` takes and answers, for ``openapi.py``."""

from __future__ import annotations

from typing import Any

from refstack_worker.contract.states import RunState
from refstack_worker.server.auth import SCOPES

Json = dict[str, Any]


def string(longest: int = 0, pattern: str = "") -> Json:
    """Return the schema of a text."""
    return {
        "type": "string",
        **({"maxLength": longest} if longest else {}),
        **({"pattern": pattern} if pattern else {}),
    }


def integer(least: int | None = None, most: int | None = None) -> Json:
    """Return the schema of a whole number."""
    bounds = {"minimum": least, "maximum": most}
    return {"type": "integer", **{name: value for name, value in bounds.items() if value is not None}}


def array(items: Json) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def shape(**properties: Json) -> Json:
    """Return the schema of an object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def given(*needed: str, **properties: Json) -> Json:
    """Return the schema of an object that is sent: ``needed`` of these, and nothing else."""
    made: Json = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**made, "required": list(needed)} if needed else made


def maybe(schema: Json) -> Json:
    """Return the schema of something that may be null."""
    return {**schema, "nullable": True}


def reference(name: str) -> Json:
    """Return a reference to one of the shapes."""
    return {"$ref": f"#/components/schemas/{name}"}


FORMAT = {"type": "string", "enum": ["junit", "html", "csv", "json"]}
TIME = maybe({"type": "string", "format": "date-time"})
_STATE = {"type": "string", "enum": [state.value for state in RunState]}
_STATUS = {"type": "string", "enum": ["passed", "failed", "skipped"]}
_NUMBER = {"type": "number"}
_FLAG = {"type": "boolean"}
_OBJECT = {"type": "object"}
_ID = integer(1, 2**31 - 1)
_CONF: Json = {
    "type": "object",
    "description": "Tempest options: section, option, value; passwords too",
    "additionalProperties": {"type": "object"},
}
_TESTCASES = given(names=array(string(512)), regexes=array(string(2048)), url=string(2048))
_RERUN = {"conf_json": _CONF, "label": string(200)}
_CLOUD = {name: string(80) for name in ("region", "test_user", "alt_user", "admin_user", "version")}
_COUNTS = shape(passed=integer(0), failed=integer(0), skipped=integer(0))
_KIND = shape(passed=integer(0), total=integer(0), capabilities=array(_OBJECT))

SCHEMAS: Json = {
    "Problem": shape(type=string(), title=string(), status=integer(400, 599), detail=string(), reason=string()),
    "Me": shape(token=string(), scopes=array(string()), user=maybe(_OBJECT)),
    "Run": shape(
        test_id=_ID,
        state=_STATE,
        attempt=integer(1),
        reason=string(),
        message=string(),
        label=string(),
        created_by=string(),
        tempest_version=maybe(string()),
        openstack_release=maybe(string()),
        plugins=_OBJECT,
        testcases=maybe(_OBJECT),
        concurrency=integer(0),
        timeout=integer(0),
        tag=string(),
        priority=integer(-1, 1),
        cloud=maybe(shape(id=_ID, label=string())),
        worker=string(),
        progress=_OBJECT,
        counts=_COUNTS,
        rerun_of=maybe(integer()),
        created_at=TIME,
        updated_at=TIME,
        started_at=TIME,
        ended_at=TIME,
    ),
    "NewRun": given(
        tempest_version=string(40),
        openstack_release=string(40),
        plugins={"type": "object", "additionalProperties": string(40)},
        conf_json=_CONF,
        testcases=_TESTCASES,
        guideline=given("program", id=_ID, name=string(60), program=string(200), advisory=_FLAG),
        concurrency=integer(0, 64),
        timeout=integer(0, 172_800),
        tag=string(32),
        priority=integer(-1, 1),
        label=string(200),
        test_id=_ID,
        cloud_id=_ID,
    ),
    "Rerun": given(only={"type": "string", "enum": ["all", "failed"]}, **_RERUN),
    "Attempt": shape(attempt=integer(1), is_current=_FLAG, worker=string(), outcome=string(), note=string()),
    "Message": shape(id=integer(1), message=string(), time=TIME),
    "Place": shape(ahead=integer(0), slots=integer(0), seconds=maybe(_NUMBER)),
    "Test": shape(
        position=integer(1),
        name=string(),
        uuid=string(),
        status=_STATUS,
        seconds=_NUMBER,
        reason=string(),
        started_at=TIME,
    ),
    "Report": shape(run=reference("Run"), passed=integer(0), failed=integer(0), skipped=integer(0), seconds=_NUMBER),
    "Verdict": shape(guideline=string(), program=string(), passed=_FLAG, required=_KIND, advisory=_KIND),
    "Comparison": shape(**{name: array(reference("Test")) for name in ("broken", "mended", "other", "added", "gone")}),
    "Cloud": shape(id=_ID, label=string(), endpoint_v3=string(), keeps_passwords=_FLAG, check=maybe(_OBJECT)),
    "NewCloud": given(
        "label",
        "endpoint_v3",
        label=string(60),
        endpoint_v3=string(512),
        release=string(40),
        user_id=_ID,
        conf_json=_CONF,
        **_CLOUD,
    ),
    "Passwords": given(conf_json=_CONF),
    "Guideline": shape(id=_ID, name=string(), source=string(), added_by=string(), created_at=TIME),
    "NewGuideline": given(text=string(), url=string(2048)),
    "Node": shape(name=string(), state=string(), versions=array(string()), slots=integer(0), busy=integer(0)),
    "Queue": shape(paused=_FLAG, runs=_OBJECT),
    "Demand": shape(
        function=string(),
        version=string(),
        queued=integer(0),
        running=integer(0),
        waited=_NUMBER,
        slots=integer(0),
        needed=integer(0),
    ),
    "Token": shape(id=_ID, name=string(), scopes=array(string()), user_id=maybe(integer()), created_at=TIME),
    "NewToken": given(
        "name",
        name=string(200),
        scopes=array({"type": "string", "enum": list(SCOPES)}),
        user_id=_ID,
        days=integer(0, 3650),
    ),
    "Vendor": shape(id=_ID, name=string()),
    "NewVendor": given("name", name=string(80), contact_name=string(120), contact_email=string(120)),
    "User": shape(id=_ID, name=string(), email=string(), vendor_id=maybe(integer())),
    "NewUser": given("name", name=string(60), email=string(200), vendor_id=_ID),
}
