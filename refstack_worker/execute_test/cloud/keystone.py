"""Keystone v3 of the cloud under test."""

from __future__ import annotations

import contextlib
import json
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from refstack_worker.contract.accounts import accounts_in
from refstack_worker.contract.keystone_address import v3_address
from refstack_worker.execute_test.addresses import base_url
from refstack_worker.execute_test.cloud.service_types import ALL_TYPES, interfaces_of, own_regions_of, types_of
from refstack_worker.execute_test.failures import BadInput, CloudFailure
from refstack_worker.execute_test.http import Denied, HttpClient, HttpResponse, Unavailable, patiently
from refstack_worker.execute_test.log import LOG
from refstack_worker.execute_test.tempest.conf import is_true

CLOUD_PATIENCE = 5.0
"""Seconds to retry a cloud that fails."""
SECOND_FACTOR_HEADER = "openstack-auth-receipt"
"""In a response 401: the password is right, and more is asked for (Keystone's multi-factor authentication)."""
NONSENSE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading an answer meets that has not the form of such answers."""


@contextlib.contextmanager
def sensible_answers() -> Iterator[None]:
    """In this context, an answer that cannot be read is the cloud's failure, and no fault of this program.

    :raises CloudFailure: there was one, or a service refused what it was asked.
    """
    try:
        yield
    except (Denied, Unavailable) as error:
        raise CloudFailure(f"the cloud: {error}") from error
    except NONSENSE as error:
        LOG.error("an answer of the cloud cannot be read", exc_info=True)
        what = f"{type(error).__name__}: {error}"[:200]
        raise CloudFailure(f"the cloud sent an invalid response ({what}); see execute_test.log") from error


@dataclass(frozen=True)
class CloudUser:
    name: str
    password: str = field(repr=False)
    project: str = ""
    user_domain: str = ""
    project_domain: str = ""
    project_id: str = ""
    user_domain_id: str = ""
    project_domain_id: str = ""
    user_id: str = ""

    @property
    def known_as(self) -> str:
        """The user's name or, without one, the id."""
        return self.name or self.user_id

    @property
    def who(self) -> dict[str, Any]:
        """The user with the password, as Keystone takes it."""
        whom = {"id": self.user_id} if self.user_id else {"name": self.name, "domain": self.domain}
        return {**whom, "password": self.password}

    @property
    def domain(self) -> dict[str, str]:
        """The user's domain, as Keystone takes it."""
        return _domain(self.user_domain, self.user_domain_id)

    @property
    def scope(self) -> dict[str, Any] | None:
        """The project, as Keystone takes it; None without one."""
        if self.project_id:
            return {"project": {"id": self.project_id}}
        if not self.project:
            return None
        own = (self.project_domain, self.project_domain_id)
        domain = _domain(*(own if any(own) else (self.user_domain, self.user_domain_id)))
        return {"project": {"name": self.project, "domain": domain}}


@dataclass(frozen=True)
class KeystoneToken:
    value: str = field(repr=False)
    body: Mapping[str, Any]
    interfaces: Mapping[str, str] = field(default_factory=dict)
    """Type of a service to the interface at which Tempest reaches it; public where it is not named."""
    types: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: ALL_TYPES)
    """Service to the types under which the catalogue may have it."""
    regions: Mapping[str, str] = field(default_factory=dict)
    """Type of a service to the region that was set for it alone."""

    @property
    def roles(self) -> list[str]:
        """Names of the user's roles in the project."""
        return [str(role.get("name")) for role in self.body.get("roles", [])]

    def has_role(self, name: str) -> bool:
        """Return whether the user has a role; as for Keystone and Tempest, case does not matter."""
        return name.lower() in (role.lower() for role in self.roles)

    @property
    def catalog(self) -> list[Mapping[str, Any]]:
        """The services of the cloud."""
        return [entry for entry in self.body.get("catalog", []) if isinstance(entry, dict)]

    @property
    def project_id(self) -> str:
        """The project that it is for; empty without one."""
        return str((self.body.get("project") or {}).get("id", ""))


class Keystone:
    """Sends requests to Keystone and, with a token, to any other service of the cloud."""

    def __init__(self, conf: Mapping[str, Mapping[str, Any]]) -> None:
        identity = conf.get("identity", {})
        self.url = keystone_url(identity)
        self._interfaces, self._types, self._regions = interfaces_of(conf), types_of(conf), own_regions_of(conf)
        unchecked = is_true(identity.get("disable_ssl_certificate_validation", ""))
        verify = False if unchecked else identity.get("ca_certificates_file") or True
        # Tempest takes no proxy from the environment, and fetches tokens without its own
        self._login_client = HttpClient(verify, proxy="")
        self._client = HttpClient(verify, proxy=str(conf.get("service-clients", {}).get("proxy_url") or ""))

    @property
    def _log_in_url(self) -> str:
        return f"{self.url}/auth/tokens"

    def request(self, method: str, path: str, token: str = "", body: Any = None) -> Any:  # nosec B107 - empty: none
        """Send a request to Keystone; ``path`` begins after ``/v3``. Returns the JSON, or None for an empty response.

        :raises CloudFailure: Keystone cannot be reached, or keeps failing.
        :raises Denied: it refuses.
        """
        response = self.request_url(method, self.url + path, token, body)
        try:
            return response.json() if response.body else None
        except Unavailable as error:
            raise CloudFailure(f"the cloud's Keystone: {error}; check identity.uri_v3") from error

    def request_url(self, method: str, url: str, token: str, body: Any = None, media_type: str = "") -> HttpResponse:
        """Send a request to any service of this cloud; raises as :meth:`request` does.

        :param body: bytes are sent as they are, anything else as JSON.
        :param media_type: what the body is, unless it is plain JSON.
        """
        headers = {"X-Auth-Token": token} if token else {}
        options: dict[str, Any] = {}
        if body is not None:
            options["data"] = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = media_type or "application/json"
        client = self._login_client if url == self._log_in_url else self._client
        try:
            return patiently(lambda: client.request(method, url, headers=headers, **options), CLOUD_PATIENCE)
        except Unavailable as error:
            if error.status:
                who = "the cloud's Keystone" if url.startswith(f"{self.url}/") else "the service"
                raise CloudFailure(f"{who} fails: {error}") from error
            raise CloudFailure(f"the cloud cannot be reached: {error}{_unused_proxy()}") from error

    def log_in(self, user: CloudUser) -> KeystoneToken:
        """Return a token for the user's project; without a project name, for the only one.

        :raises CloudFailure: the credentials are rejected.
        :raises BadInput: there are several projects to choose from.
        """
        identity = {"methods": ["password"], "password": {"user": user.who}}
        if user.scope:
            return self._token({"auth": {"identity": identity, "scope": user.scope}}, user)
        token = self._token({"auth": {"identity": identity}}, user)
        if token.body.get("project"):
            return token
        return self.scope(token, self._only_project(token, user), user)

    def scope(self, token: KeystoneToken, project_id: str, user: CloudUser) -> KeystoneToken:
        """Return a token of the same user for another project."""
        identity = {"methods": ["token"], "token": {"id": token.value}}
        return self._token({"auth": {"identity": identity, "scope": {"project": {"id": project_id}}}}, user)

    def list_named(self, token: KeystoneToken, kind: str, prefix: str) -> list[dict[str, Any]]:
        """Return the projects, users, roles or the like whose names begin with ``prefix``.

        :raises Denied: this user may not list them.
        """
        # not every Keystone knows the filter
        listed = self.request("GET", f"/{kind}?{urllib.parse.urlencode({'name__startswith': prefix})}", token.value)
        return [each for each in (listed or {}).get(kind, []) if str(each.get("name", "")).startswith(prefix)]

    def _only_project(self, token: KeystoneToken, user: CloudUser) -> str:
        projects = (self.request("GET", "/auth/projects", token.value) or {}).get("projects", [])
        likely = [each for each in projects if each.get("name") in ("admin", user.known_as)]
        candidates = projects if len(projects) == 1 else likely
        if not projects:
            raise BadInput(f"conf_json: the user {user.known_as} has no role in any project; give the user a role "
                           "in the project for the tests")  # fmt: skip
        if len(candidates) != 1:
            names = ", ".join(sorted(str(each.get("name")) for each in projects))
            raise BadInput(f"conf_json: which project should {user.known_as} use? Name one of: {names[:500]}")
        return str(candidates[0]["id"])

    def _token(self, body: Any, user: CloudUser) -> KeystoneToken:
        try:
            response = self.request_url("POST", self._log_in_url, "", body)
            value, body = response.headers["X-Subject-Token"], response.json()["token"]
            return KeystoneToken(value, body, self._interfaces, self._types, self._regions)
        except Denied as error:
            raise CloudFailure(_refusal(error, user)) from error
        except (KeyError, TypeError, Unavailable) as error:
            text = f"{self.url} does not respond like Keystone v3; check identity.uri_v3"
            raise CloudFailure(text) from error


def _refusal(error: Denied, user: CloudUser) -> str:
    """Return why a log-in was refused, and what to check."""
    if error.status == 401 and SECOND_FACTOR_HEADER in error.headers:
        return (f"the cloud asks for a second factor for the user {user.known_as}, and Tempest logs in with a password "
                "alone; give a user for whom the password is enough")  # fmt: skip
    if error.status == 401:
        project = user.project or user.project_id
        scope = f" for the project {project}" if project else ""
        text = f"the cloud rejects the user {user.known_as}{scope}: check name, password, project and domain"
        return f"{text} ({error}){_quotes_hint(user.password)}"
    # Keystone itself refuses with the others: the address is right
    is_elsewhere = error.status < 400 or error.status in (404, 405) or "html" in error.headers.get("content-type", "")
    if is_elsewhere:
        return f"the cloud's Keystone: {error}; check identity.uri_v3"
    return f"the cloud's Keystone refuses to log in the user {user.known_as}: {error}"


def _quotes_hint(password: str) -> str:
    """Return a remark about quotes around a password, which ``docker --env-file`` does not remove as a shell does."""
    if len(password) < 2 or not any(password.startswith(quote) and password.endswith(quote) for quote in "'\""):
        return ""
    return "; the password begins and ends with a quote: remove the quotes if they are not part of it"


def keystone_url(identity: Mapping[str, Any]) -> str:
    """Return the address of Keystone's v3 API from ``uri_v3`` or the older ``uri``.

    :raises BadInput: neither is set, or it is not an address.
    """
    text = str(identity.get("uri_v3") or identity.get("uri") or "").strip()
    if not text:
        raise BadInput("conf_json: identity.uri_v3 is missing: the address of the cloud's Keystone")
    return v3_address(_in_ascii(base_url(text, "identity.uri_v3")))


def _in_ascii(address: str) -> str:
    """Return an address as it is sent: Tempest takes no other letters, as in the name of an international domain.

    :raises BadInput: the name is not one.
    """
    if address.isascii():
        return address
    try:
        return str(requests.Request("GET", address).prepare().url)
    except requests.RequestException:
        raise BadInput(f"identity.uri_v3: {address[:200]!r} does not have the name of a valid host") from None


def administrator(conf: Mapping[str, Mapping[str, Any]]) -> CloudUser | None:
    """Return the administrator in a configuration, if it has a password too."""
    auth = conf.get("auth", {})
    if not (auth.get("admin_username") and auth.get("admin_password")):
        return None
    domain = auth.get("admin_domain_name") or ""
    return CloudUser(
        name=str(auth["admin_username"]),
        password=str(auth["admin_password"]),
        project=str(auth.get("admin_project_name") or ""),
        user_domain=str(auth.get("admin_user_domain_name") or domain),
        project_domain=str(auth.get("admin_project_domain_name") or domain),
    )


def ordinary_users(conf: Mapping[str, Mapping[str, Any]]) -> list[CloudUser]:
    """Return the prepared accounts in a configuration or, without any, its first and second user with a password."""
    accounts = accounts_in(conf)
    if accounts:
        return [_user(account, "", {}) for account in accounts]
    identity = conf.get("identity", {})
    return [
        _user(identity, who, identity)
        for who in ("", "alt_")
        if (identity.get(f"{who}username") or identity.get(f"{who}user_id")) and identity.get(f"{who}password")
    ]


def _user(options: Mapping[str, Any], who: str, common: Mapping[str, Any]) -> CloudUser:
    """Return a user from options that begin with ``who``; a domain that is missing there is taken from ``common``."""

    def option(name: str) -> str:
        return str(options.get(f"{who}{name}") or "")

    def domain(kind: str) -> tuple[str, str]:
        """Name and id, both from the same place: an id from elsewhere must not hide a name."""
        for source, prefix in ((options, who), (common, "")):
            for of in (kind, ""):
                pair = [str(source.get(f"{prefix}{of}domain_{what}") or "") for what in ("name", "id")]
                if any(pair):
                    return pair[0], pair[1]
        return "", ""

    (user_domain, user_domain_id), (project_domain, project_domain_id) = domain("user_"), domain("project_")
    return CloudUser(
        name=option("username"),
        password=option("password"),
        project=option("project_name"),
        user_domain=user_domain,
        project_domain=project_domain,
        project_id=option("project_id"),
        user_domain_id=user_domain_id,
        project_domain_id=project_domain_id,
        user_id=option("user_id"),
    )


def _unused_proxy() -> str:
    """Return a remark about a proxy of the environment, which may be why the cloud is not reached without it."""
    names = [name for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY") if os.environ.get(name)]
    if not names:
        return ""
    return f"; {names[0]} is set, but Tempest ignores proxy variables, so this call does not use the proxy either"


def _domain(name: str, domain_id: str) -> dict[str, str]:
    return {"id": domain_id} if domain_id else {"name": name} if name else {"id": "default"}


def acting_user(conf: Mapping[str, Mapping[str, Any]]) -> CloudUser:
    """Return the administrator in a configuration or, without one, the first user."""
    return administrator(conf) or ordinary_users(conf)[0]
