"""The payload: what the server tells a worker about one attempt of one test run.

The schema is the contract of ``docs/protocol.md``; a worker checks every payload against it although it is signed,
because a server may be newer, older, or wrong.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from packaging.version import InvalidVersion, Version

from refstack_worker.contract import strict_json, tempest_options
from refstack_worker.contract.execute_test import DISCOVERERS
from refstack_worker.contract.limits import DEFAULT_RUN_SECONDS, MAX_CONCURRENCY, MAX_RUN_SECONDS, MIN_RUN_SECONDS
from refstack_worker.contract.testcases import MAX_REGEXES, MAX_TEST_NAME, Testcases, check_testcases, split_url
from refstack_worker.errors import PayloadError

VERSION = 1
MAX_BYTES = 1024 * 1024
"""Size limit of the payload's JSON text. Real ones have a few KB; test lists that are longer go by URL."""
SECRET_BYTES = 32
MAX_VERSION = 40
"""Characters of a version."""
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"
_SCALAR = {"type": ["string", "number", "boolean"]}

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "version",
        "test_id",
        "attempt",
        "callback",
        "conf_json",
        "concurrency",
        "timeout",
        "submitted_at",
        "secret",
    ],
    "oneOf": [{"required": ["tempest_version"]}, {"required": ["openstack_release"]}],
    "properties": {
        "version": {"const": VERSION},
        "test_id": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
        "attempt": {"type": "integer", "minimum": 1, "maximum": 10000},
        "callback": {"type": "string", "maxLength": 512},
        "tempest_version": {"type": "string", "minLength": 1, "maxLength": MAX_VERSION},
        "openstack_release": {"type": "string", "pattern": r"^(20[0-9]{2}\.[12]|[a-z]{4,12})\Z"},
        "plugins": {
            "type": "object",
            "maxProperties": 20,
            "additionalProperties": False,
            "patternProperties": {rf"^{_NAME}\Z": {"type": "string", "maxLength": 40}},
        },
        "conf_json": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]},
            },
        },
        "testcases": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "names": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "minLength": 1, "maxLength": MAX_TEST_NAME},
                },
                "regexes": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_REGEXES,
                    "items": {"type": "string", "minLength": 1, "maxLength": 2048},
                },
                "url": {"type": "string", "minLength": 1, "maxLength": 2048},
            },
        },
        "concurrency": {"type": "integer", "minimum": 0, "maximum": MAX_CONCURRENCY},
        "discover": {"enum": list(DISCOVERERS)},
        "timeout": {"type": "integer", "minimum": MIN_RUN_SECONDS, "maximum": MAX_RUN_SECONDS},
        "submitted_at": {"type": "string", "maxLength": 20},
        "secret": {"type": "string", "pattern": r"^[A-Za-z0-9_-]{43}\Z"},
    },
}

_RELEASE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\Z", re.ASCII)
_FROM_SOURCE = re.compile(
    r"[0-9]+\.[0-9]+\.[0-9]+((a|b|rc)[0-9]+)?(\.post[0-9]+)?(\.dev[0-9]+)?(\+[a-z0-9.]+)?\Z", re.ASCII
)
"""Versions of Tempest beside releases: those of commits, checkouts and sites (``47.0.1.dev5+g1a2b3c4``)."""


@dataclass(frozen=True)
class Payload:
    """One attempt of one test run, valid by construction from :meth:`from_bytes`."""

    test_id: int
    attempt: int
    callback: str
    """Base URL of the RefStack server."""
    conf_json: Mapping[str, Mapping[str, Any]] = field(repr=False)
    """Tempest options, section → option → value. Holds passwords."""
    secret: str = field(repr=False)
    """The secret of the attempt; shown as bearer token it proves that one was handed the run."""
    submitted_at: str
    """When the attempt was given to the queue, UTC."""
    tempest_version: str = ""
    """Exact version; empty when the run asks by OpenStack release."""
    openstack_release: str = ""
    plugins: Mapping[str, str] = field(default_factory=dict)
    testcases: Testcases | None = None
    """None: the worker asks the server."""
    concurrency: int = 0
    """Test processes side by side; 0 is as many as the node has cores."""
    timeout: int = DEFAULT_RUN_SECONDS
    """Seconds for the whole run."""
    discover: str = ""
    """What finds the options that are not set; empty, and not in the JSON: Keystone and the other services."""

    @classmethod
    def from_bytes(cls, data: bytes) -> Payload:
        """Return the payload that these bytes are.

        :raises PayloadError: whatever else they are, with a sentence that says what is wrong.
        """
        _check_size(data)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PayloadError(f"payload: not UTF-8 at byte {error.start}") from None
        return cls.from_json(strict_json.loads(text, "payload"))

    @classmethod
    def from_json(cls, value: Any) -> Payload:
        """Return the payload that a parsed JSON value is; see :meth:`from_bytes`."""
        _check_version(value)
        _check_schema(value)
        testcases = Testcases.from_json(value["testcases"]) if "testcases" in value else None
        made = cls(**_fields(value, testcases))
        _check_meaning(made)
        return made

    def to_json(self) -> dict[str, Any]:
        """Return the payload as a JSON object; :meth:`from_json` reads it back."""
        shown = dataclasses.asdict(self)
        shown["version"] = VERSION
        shown["testcases"] = self.testcases.to_json() if self.testcases else None
        for name in ("tempest_version", "openstack_release", "plugins", "testcases", "discover"):
            if not shown[name]:
                del shown[name]
        return shown

    def to_bytes(self) -> bytes:
        """Return the text that is signed and sealed.

        :raises PayloadError: it is larger than a worker would take, or not valid.
        """
        data = strict_json.dumps(value := self.to_json()).encode("utf-8")
        _check_size(data)
        _check_schema(value)
        # its test cases were checked when they came in: compiling expressions again for each sealing costs much
        _check_meaning(dataclasses.replace(self, testcases=None))
        return data

    def serialized(self) -> bytes:
        """Return the same text of a payload whose content was checked before. :raises PayloadError: it is too large."""
        data = strict_json.dumps(self.to_json()).encode("utf-8")
        _check_size(data)
        return data

    @property
    def prefix(self) -> str:
        """The start of the name of everything that this attempt makes in the cloud."""
        return self.prefix_of(self.attempt)

    def prefix_of(self, attempt: int) -> str:
        """The prefix of another attempt of the same run.

        It carries an id of the server: two servers of one node may test the same cloud and give out the same test id.
        """
        return resource_prefix(self.callback, self.test_id, attempt)


def resource_prefix(server_url: str, test_id: int, attempt: int) -> str:
    """Return the start of the name of everything that an attempt makes in the cloud."""
    server = hashlib.sha256(server_url.rstrip("/").encode("utf-8")).hexdigest()[:6]
    return f"refstack-{server}-{test_id}-{attempt}"


def new_secret() -> str:
    """Return a fresh secret for an attempt: 32 random bytes as base64url without padding."""
    return base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode("ascii")


def secret_digest(secret: str) -> str:
    """Return what the server keeps of a secret (hex SHA-256; the secret is random, so no salt is needed)."""
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()


def proves(secret: str, digest: str) -> bool:
    """Return whether a secret is the one of this digest, in constant time."""
    return hmac.compare_digest(secret_digest(secret), digest)


def now() -> str:
    """Return the present time as a payload writes it (UTC, whole seconds)."""
    return datetime.now(timezone.utc).strftime(TIME_FORMAT)


def check_callback(url: str) -> str:
    """Return a server's base URL without a trailing slash.

    :raises PayloadError: not a plain http(s) URL.
    """
    parts = split_url(url, "callback")
    if parts.query or parts.fragment:
        raise PayloadError("payload: callback: a base URL has no query and no fragment")
    return url.rstrip("/")


def check_exact_version(version: str, what: str) -> str:
    """Return a PEP 440 version in its normal form.

    :raises PayloadError: it is none.
    """
    try:
        parsed = Version(version)
    except InvalidVersion:
        raise PayloadError(f"payload: {what}: {version!r} is not an exact version, e.g. 47.0.0") from None
    if str(parsed) != version:
        raise PayloadError(f"payload: {what}: write {version!r} as {parsed}")
    return version


def release_trouble(version: str) -> str:
    """Return what is wrong with a version of Tempest; empty: nothing.

    It has three numbers, and what is not a release says more: ``47.0.1.dev5+g1a2b3c4``. ``47`` is a valid version, but
    no Tempest is called so: a run of it would wait for a node for ever.
    """
    if not _FROM_SOURCE.match(version) or len(version) > MAX_VERSION:
        return f"{version[:MAX_VERSION]!r} is not a version of Tempest; write three numbers, e.g. 47.0.0"
    try:
        normal = str(Version(version))
    except InvalidVersion:
        return f"{version!r} is not a version of Tempest; write three numbers, e.g. 47.0.0"
    return "" if normal == version else f"write the version {version!r} as {normal}"


def is_release(version: str) -> bool:
    """Tell whether a version is that of a release, three numbers and nothing more."""
    return _RELEASE.match(version) is not None


@functools.lru_cache(maxsize=1)
def _validator() -> Any:
    # imported when the first payload comes: it takes 120 ms and 14 MB, which a command or an idle node does not need
    from jsonschema import Draft7Validator

    return Draft7Validator(SCHEMA)


def _fields(value: Mapping[str, Any], testcases: Testcases | None) -> dict[str, Any]:
    taken = {key: item for key, item in value.items() if key != "version"}
    return {**taken, "testcases": testcases}


def _check_size(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise PayloadError(f"payload: {len(data)} bytes, more than the {MAX_BYTES} allowed; give long lists by URL")


def _check_version(value: Any) -> None:
    if not isinstance(value, dict):
        raise PayloadError("payload: not a JSON object")
    version = value.get("version")
    if type(version) is not int or version != VERSION:
        raise PayloadError(
            f"payload: version {str(version)[:20]} is unknown (this side supports {VERSION}); upgrade the older side"
        )


def _check_schema(value: Any) -> None:
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(value))
    if error is None:
        return
    where = ".".join(str(step)[:60] for step in error.absolute_path) or "top level"
    # the offending value itself may be a password: name the place and the rule, never the value
    raise PayloadError(f"payload: {where}: {_rule(error)}")


def _rule(error: Any) -> str:
    if error.validator == "required":
        return f"lacks {', '.join(name for name in error.validator_value if name not in error.instance)}"
    if error.validator == "additionalProperties":
        known = set(error.schema.get("properties", {}))
        unknown = sorted(str(name)[:60] for name in error.instance if name not in known)
        return f"unknown field {', '.join(unknown[:5])}" if known else "a name that is not allowed"
    if error.validator == "oneOf":
        return "exactly one of tempest_version and openstack_release is needed"
    if error.validator == "anyOf":
        return "must be text, a number, true or false, or a list of those"
    return f"breaks the rule {error.validator} {str(error.validator_value)[:80]}"


def _check_meaning(made: Payload) -> None:
    check_callback(made.callback)
    if made.tempest_version:
        check_exact_version(made.tempest_version, "tempest_version")
    for name, version in made.plugins.items():
        check_exact_version(version, f"plugins.{name}")
    _check_time(made.submitted_at)
    _check_secret(made.secret)
    tempest_options.check(made.conf_json)
    if made.testcases:
        check_testcases(made.testcases)


def _check_time(text: str) -> None:
    try:
        datetime.strptime(text, TIME_FORMAT)
    except ValueError:
        raise PayloadError("payload: submitted_at: write the time as 2026-11-22T15:00:00Z") from None


def _check_secret(text: str) -> None:
    try:
        raw = base64.urlsafe_b64decode(text + "=")
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != SECRET_BYTES:
        raise PayloadError(f"payload: secret: not {SECRET_BYTES} bytes of base64url")
