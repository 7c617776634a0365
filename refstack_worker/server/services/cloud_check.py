"""Look at a cloud when it is entered: does Keystone answer, does it take the password, which services are there?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refstack_worker.config.server import Network
from refstack_worker.errors import RefstackError, ServerError
from refstack_worker.server.domain.clouds import CloudCheck, CloudRecord, Conf
from refstack_worker.server.services.outside import Question, ask

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
    password: str = field(repr=False)
    project: str = ""
    domain: str = "Default"


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


def check(known: CloudRecord, conf: Conf, networks: Sequence[Network]) -> CloudCheck:
    """Look at a cloud and say what was found; a cloud that cannot be reached is no error but what is said.

    :param conf: options of Tempest; its ``identity`` section holds the password, or nothing does.
    """
    try:
        found = look(known.cloud.endpoint_v3, login_of(known, conf), networks)
    except RefstackError as error:
        return CloudCheck(False, str(error))
    said = [f"Keystone answered: Identity API {found.identity}"]
    if found.services:
        said.append(f"services: {', '.join(found.services)}")
        said += [f"{name} {version}" for name, version in found.versions.items()]
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


def login_of(known: CloudRecord, conf: Conf) -> Login | None:
    """Return the login in a cloud's record and its options; None: there is no password."""
    identity, auth = conf.get("identity", {}), conf.get("auth", {})
    pairs = (
        (known.cloud.test_user or identity.get("username"), identity.get("password"), identity.get("project_name")),
        (
            known.cloud.admin_user or auth.get("admin_username"),
            auth.get("admin_password"),
            auth.get("admin_project_name"),
        ),
        (known.cloud.admin_user, identity.get("admin_password"), identity.get("admin_project_name")),
    )
    domain = str(identity.get("domain_name") or auth.get("admin_domain_name") or "Default")
    for user, password, project in pairs:
        if user and password:
            return Login(str(user), str(password), str(project or ""), domain)
    return None


def look(endpoint: str, login: Login | None, networks: Sequence[Network]) -> Found:
    """Ask a cloud. :raises RefstackError: what is not right with it, for people."""
    base = endpoint.rstrip("/")
    identity = _identity(base, networks)
    if login is None:
        return Found(identity)
    token, body = _token(base, login, networks)
    catalogue = body.get("catalog") or []
    if not catalogue:
        token, body = _scoped(base, token, networks)
        catalogue = body.get("catalog") or []
    return Found(
        identity,
        tuple(sorted({str(item.get("type")) for item in catalogue})),
        tuple(
            sorted({str(one.get("region_id") or one.get("region")) for item in catalogue for one in item["endpoints"]})
        ),
        next((str(item.get("id", "")) for item in catalogue if item.get("type") == "identity"), ""),
        _versions(catalogue, token, networks),
    )


def _identity(base: str, networks: Sequence[Network]) -> str:
    answer = ask(Question(f"{base}/"), networks)
    try:
        return str(answer.json()["version"]["id"])
    except (ServerError, KeyError, TypeError):
        raise ServerError(
            f"{base}: answers, but not as Keystone's v3 does ({answer.status}); is the address right?"
        ) from None


def _token(base: str, login: Login, networks: Sequence[Network]) -> tuple[str, Any]:
    user = {"name": login.user, "password": login.password, "domain": {"name": login.domain}}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if login.project:
        auth["scope"] = {"project": {"name": login.project, "domain": {"name": login.domain}}}
    return _authenticate(base, auth, login.user, networks)


def _scoped(base: str, token: str, networks: Sequence[Network]) -> tuple[str, Any]:
    """Without a project there is no catalogue: take the first that the user has."""
    answer = ask(Question(f"{base}/auth/projects", headers={"X-Auth-Token": token}), networks)
    projects = answer.json().get("projects") if answer.status == 200 else None
    if not projects:
        return token, {}
    auth = {
        "identity": {"methods": ["token"], "token": {"id": token}},
        "scope": {"project": {"id": projects[0]["id"]}},
    }
    return _authenticate(base, auth, "the user", networks)


def _authenticate(base: str, auth: Mapping[str, Any], who: str, networks: Sequence[Network]) -> tuple[str, Any]:
    answer = ask(Question(f"{base}/auth/tokens", "POST", body={"auth": auth}), networks)
    if answer.status == 401:
        raise ServerError(f"Keystone refuses the password of {who}")
    if answer.status != 201 or "x-subject-token" not in answer.headers:
        raise ServerError(f"Keystone answers {answer.status} when {who} signs in")
    return answer.headers["x-subject-token"], answer.json().get("token") or {}


def _versions(catalogue: Sequence[Any], token: str, networks: Sequence[Network]) -> dict[str, str]:
    found = {}
    for item in catalogue:
        public = next((str(one["url"]) for one in item["endpoints"] if one.get("interface") == "public"), "")
        try:
            if item.get("type") == "object-store" and public:
                answer = ask(Question(f"{public.partition('/v1')[0]}/info"), networks)
                found["Swift"] = str(answer.json()["swift"]["version"])
            elif item.get("type") == "compute" and public:
                answer = ask(Question(public, headers={"X-Auth-Token": token}), networks)
                found["Nova"] = _nova(str(answer.json()["version"]["version"]))
        except (RefstackError, KeyError, TypeError):
            # what a service does not tell of itself is no fault of the cloud
            continue
    return found


def _nova(microversion: str) -> str:
    major, _, minor = microversion.partition(".")
    number = int(minor) if minor.isdigit() else 0
    fitting = [release for least, release in _NOVA if round((least - 2) * 100) <= number and major == "2"]
    return f"API {microversion}" + (f" ({fitting[-1]} or later)" if fitting else "")
