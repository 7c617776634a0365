"""Tests the connection to a cloud: does Keystone answer, does it accept the password, which services are there?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refstack_worker.contract.accounts import accounts_in
from refstack_worker.contract.keystone_address import v3_address
from refstack_worker.contract.messages import clean_line
from refstack_worker.errors import RefstackError, ServerError
from refstack_worker.execute_test.cloud.keystone import SECOND_FACTOR_HEADER
from refstack_worker.http.guard import Deadline, GuardedRequest, Network, OutboundGuard, ask_guarded
from refstack_worker.server.domain.clouds import CloudCheck, CloudRecord, Conf
from refstack_worker.server.services.turns import Turns

LOG = logging.getLogger(__name__)

MAX_CHECKS = 4
"""That one process carries out at a time: each holds a thread that answers requests."""
MAX_OF_ONE = 2
"""The same, of one account."""
CHECK_SECONDS = 20.0
"""For all questions of one check together."""
_SERVICES = "services: "
_DEFAULT_DOMAIN = {"id": "default"}
"""As on the node: its name may be another one."""
MAX_TEXT = 1000
"""Characters of the finding."""

_NOVA = (
    (2.79, "train"),
    (2.87, "victoria"),
    (2.88, "wallaby"),
    (2.90, "yoga"),
    (2.93, "zed"),
    (2.95, "2023.2"),
    (2.96, "2024.2"),
)
"""Greatest compute microversion (as 2.NN) to the newest release that ended with it."""


@dataclass(frozen=True)
class Login:
    """With what a cloud is asked."""

    user: str
    """The name; may be empty where there is an id."""
    password: str = field(repr=False)
    domain: Mapping[str, str]
    """The user's, as Keystone takes it."""
    scope: Mapping[str, Any] | None = None
    """The project, as Keystone takes it; None: the user's only one."""
    user_id: str = ""
    """Where it is set, it counts and not the name."""

    @classmethod
    def of(cls, user: str, options: Mapping[str, Any], who: str, common: Mapping[str, Any]) -> Login:
        """Return the login in options that begin with ``who``; a missing domain is taken from ``common``."""

        def option(name: str) -> str:
            return str(options.get(f"{who}{name}") or common.get(name) or "")

        names = option("domain_name"), option("domain_id")
        own = _domain(option("user_domain_name"), option("user_domain_id")) or _domain(*names) or _DEFAULT_DOMAIN
        its = _domain(option("project_domain_name"), option("project_domain_id")) or _domain(*names) or own
        project_id, project = options.get(f"{who}project_id"), options.get(f"{who}project_name")
        scope = {"id": str(project_id)} if project_id else {"name": str(project), "domain": its} if project else None
        # as on the node, where an administrator has no id
        user_id = "" if who else str(options.get("user_id") or "")
        return cls(user, str(options[f"{who}password"]), own, {"project": scope} if scope else None, user_id)


@dataclass(frozen=True)
class Found:
    """What a cloud says of itself."""

    identity: str
    """Version of the Identity API, as ``v3.14``."""
    services: tuple[str, ...] = ()
    """Types in the catalogue."""
    regions: tuple[str, ...] = ()
    cpid: str = ""
    """Id of the identity service."""
    versions: Mapping[str, str] = field(default_factory=dict)
    is_logged_in: bool = False


TURNS = Turns(MAX_CHECKS, MAX_OF_ONE, "Too many connection tests are running. Try again in a moment.")


def check(known: CloudRecord, conf: Conf, networks: Sequence[Network]) -> CloudCheck:
    """Ask a cloud and return what was found. A cloud that cannot be reached, or answers nonsense, is a finding too.

    :param conf: Tempest options; its ``identity`` section may hold the password.
    """
    guard = OutboundGuard(networks, Deadline(CHECK_SECONDS))
    try:
        found = look(known.cloud.endpoint_v3, login_of(known, conf), guard)
    except RefstackError as error:
        return CloudCheck(False, clean_line(str(error))[:MAX_TEXT])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        # nothing in an answer is as it must be only because it is JSON
        LOG.info("%s: %r", known.cloud.endpoint_v3, error)
        return CloudCheck(False, "Keystone's response does not conform to the Identity API v3.")
    finding = _finding(known, found)
    return CloudCheck(finding.ok, clean_line(finding.said)[:MAX_TEXT])


def _finding(known: CloudRecord, found: Found) -> CloudCheck:
    said = [f"Keystone answered: Identity API {found.identity}"]
    if found.services:
        said.append(f"{_SERVICES}{', '.join(found.services)}")
        said += [f"{name} {version}" for name, version in found.versions.items()]
    elif found.is_logged_in:
        said.append("the login works, but the user's catalogue lists no services")
    else:
        said.append("no password given, so its services are not known")
    if found.regions and known.region and known.region not in found.regions:
        said.append(f"it has no region {known.region}; it has {', '.join(found.regions)}")
        return CloudCheck(False, "; ".join(said))
    if found.regions:
        said.append(f"region{'s' if len(found.regions) > 1 else ''} {', '.join(found.regions)}")
    if known.release:
        said.append(f"release as entered: {known.release}")
    return CloudCheck(True, "; ".join(said))


def services_in(said: str) -> tuple[str, ...]:
    """Return the services that a finding names; none if they were not asked for."""
    part = next((part for part in said.split("; ") if part.startswith(_SERVICES)), "")
    return tuple(part[len(_SERVICES) :].split(", ")) if part else ()


def login_of(known: CloudRecord, conf: Conf) -> Login | None:
    """Return the login in a cloud's record and its options; None: there is no password.

    As in a run, the options count more than the record.
    """
    identity, auth = conf.get("identity", {}), conf.get("auth", {})
    candidates: tuple[tuple[Any, Mapping[str, Any], str, Mapping[str, Any]], ...] = (
        (identity.get("username") or known.cloud.test_user, identity, "", {}),
        (auth.get("admin_username") or known.cloud.admin_user, auth, "admin_", {}),
        (identity.get("admin_username") or known.cloud.admin_user, identity, "admin_", identity),
        *((one.get("username"), one, "", identity) for one in accounts_in(conf)[:1]),
    )
    for user, options, who, common in candidates:
        if (user or (not who and options.get("user_id"))) and options.get(f"{who}password"):
            return Login.of(str(user or ""), options, who, common)
    return None


def _domain(name: str, domain_id: str) -> dict[str, str]:
    return {"id": domain_id} if domain_id else {"name": name} if name else {}


def look(endpoint: str, login: Login | None, guard: OutboundGuard) -> Found:
    """Ask a cloud. :raises RefstackError: what is not right with it, for people."""
    base = v3_address(endpoint)
    identity = _identity(base, guard)
    if login is None:
        return Found(identity)
    token, body = _token(base, login, guard)
    catalogue = body.get("catalog") or []
    if not catalogue:
        token, body = _scoped(base, token, guard)
        catalogue = body.get("catalog") or []
    return Found(
        identity,
        _names(item.get("type") for item in catalogue),
        _names(one.get("region_id") or one.get("region") for item in catalogue for one in item.get("endpoints") or ()),
        next((str(item.get("id", "")) for item in catalogue if item.get("type") == "identity"), ""),
        _versions(catalogue, token, guard),
        is_logged_in=True,
    )


def _names(values: Iterable[Any]) -> tuple[str, ...]:
    """Return what has a name, sorted."""
    return tuple(sorted({str(value) for value in values if value}))


def _identity(base: str, guard: OutboundGuard) -> str:
    answer = ask_guarded(GuardedRequest(f"{base}/"), guard)
    try:
        return str(answer.json()["version"]["id"])
    except (ServerError, KeyError, TypeError):
        raise ServerError(
            f"{base}: responds, but not like Keystone v3 ({answer.status}); is the address right?"
        ) from None


def _token(base: str, login: Login, guard: OutboundGuard) -> tuple[str, Any]:
    whom = {"id": login.user_id} if login.user_id else {"name": login.user, "domain": login.domain}
    user = {**whom, "password": login.password}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if login.scope:
        auth["scope"] = login.scope
    return _authenticate(base, auth, login.user or login.user_id, guard)


def _scoped(base: str, token: str, guard: OutboundGuard) -> tuple[str, Any]:
    """Scope the token to the user's first project: an unscoped token has no catalogue."""
    answer = ask_guarded(GuardedRequest(f"{base}/auth/projects", headers={"X-Auth-Token": token}), guard)
    projects = answer.json().get("projects") if answer.status == 200 else None
    if not projects:
        return token, {}
    auth = {
        "identity": {"methods": ["token"], "token": {"id": token}},
        "scope": {"project": {"id": projects[0]["id"]}},
    }
    return _authenticate(base, auth, "the user", guard)


def _authenticate(base: str, auth: Mapping[str, Any], who: str, guard: OutboundGuard) -> tuple[str, Any]:
    answer = ask_guarded(GuardedRequest(f"{base}/auth/tokens", "POST", body={"auth": auth}), guard)
    if answer.status == 401 and SECOND_FACTOR_HEADER in answer.headers:
        raise ServerError(f"Keystone asks for a second factor for {who}; tests log in with a password alone")
    if answer.status == 401:
        # it does not say which of them is wrong
        raise ServerError(f"Keystone refuses the password of {who}: check name, password, project and domain")
    if answer.status != 201 or "x-subject-token" not in answer.headers:
        raise ServerError(f"Keystone: response {answer.status} when {who} signs in")
    return answer.headers["x-subject-token"], answer.json().get("token") or {}


def _versions(catalogue: Sequence[Any], token: str, guard: OutboundGuard) -> dict[str, str]:
    found = {}
    for item in catalogue:
        public = next((str(one["url"]) for one in item.get("endpoints") or () if one.get("interface") == "public"), "")
        try:
            if item.get("type") == "object-store" and public:
                answer = ask_guarded(GuardedRequest(f"{public.partition('/v1')[0]}/info"), guard)
                found["Swift"] = str(answer.json()["swift"]["version"])
            elif item.get("type") == "compute" and public:
                answer = ask_guarded(GuardedRequest(public, headers={"X-Auth-Token": token}), guard)
                found["Nova"] = _nova(str(answer.json()["version"]["version"]))
        except (RefstackError, KeyError, TypeError):
            # a service need not tell its version
            continue
    return found


def _nova(microversion: str) -> str:
    major, _, minor = microversion.partition(".")
    number = int(minor) if minor.isdigit() else 0
    fitting = [release for least, release in _NOVA if round((least - 2) * 100) <= number and major == "2"]
    return f"API {microversion}" + (f" ({fitting[-1]} or later)" if fitting else "")
