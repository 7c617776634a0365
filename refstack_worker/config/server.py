"""The server's settings, from RefStack's own ``refstack.cfg``. Every name is described in ``docs/server.md``."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

from refstack_worker.config import refstack_cfg, users
from refstack_worker.config.users import UserSettings
from refstack_worker.config.values import Values
from refstack_worker.contract import tempest_options
from refstack_worker.contract.payload import check_callback
from refstack_worker.errors import ConfigError, PayloadError
from refstack_worker.gearman import DEFAULT_PORT, Address

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

FILE = Path("/etc/refstack/refstack.cfg")
"""Read when neither ``--config`` nor ``REFSTACK_CFG`` names another."""

LOOPBACK = ("127.0.0.0/8", "::1/128")
METHODS = ("gearman", "local")

NAMES = frozenset(
    {
        "GEARMAN_SERVER",
        "GEARMAN_PORT",
        "TEST_METHOD",
        "QUEUE_TIMEOUT",
        "DATABASE_URL",
        "SQLALCHEMY_DATABASE_URI",
        "DATA_FOLDER",
        "KEY_FOLDER",
        "SIGN_KEY_FILE",
        "FLEET_KEY_FILE",
        "STORE_KEY_FILE",
        "APP_ADDRESS",
        "TESTING_HOSTS",
        "TRUSTED_PROXIES",
        "MAX_RESULT_MB",
        "ALLOW_ANONYMOUS_RESULTS",
        "HEARTBEAT_SECONDS",
        "HEARTBEAT_LIMIT",
        "ATTEMPT_LIMIT",
        "RELEASE_LIMIT",
        "RUN_TIMEOUT",
        "RUN_GRACE",
        "CANCEL_LIMIT",
        "TEMPEST_CONFIG",
        "TEMPEST_TESTCASES",
        "TEMPEST_VERSION",
        "TEMPEST_HOME",
        *users.NAMES,
    }
)
"""The names in ``refstack.cfg`` that are ours; all others are left alone."""


@dataclass(frozen=True)
class QueueSettings:
    """Where runs are given to the workers."""

    servers: tuple[Address, ...] = (Address("127.0.0.1"),)
    """The Gearman servers, tried in this order."""
    method: str = "gearman"
    """``gearman``, or ``local``: in a process of this machine."""


@dataclass(frozen=True)
class DatabaseSettings:
    """The ledger."""

    url: str = field(repr=False)
    """SQLAlchemy URL; may hold a password."""


@dataclass(frozen=True)
class KeySettings:
    """Key files (``contract/keys.py``)."""

    sign: Path
    """Private: signs payloads."""
    fleet: Path
    """Public: payloads are sealed to it."""
    store: Path
    """Private: seals what the ledger keeps of passwords; never leaves the server."""


@dataclass(frozen=True)
class WebSettings:
    """What the HTTP side lets in."""

    address: str = "http://127.0.0.1:8000"
    """Base URL under which workers reach this server: the callback."""
    testing_hosts: tuple[Network, ...] = tuple(ipaddress.ip_network(text) for text in LOOPBACK)
    trusted_proxies: tuple[Network, ...] = ()
    """Peers whose ``X-Forwarded-For`` is believed."""
    max_result_bytes: int = 512 * 1024 * 1024
    allow_anonymous_results: bool = False


@dataclass(frozen=True)
class RunRules:
    """Limits by which runs live; seconds unless said otherwise."""

    heartbeat_seconds: float = 2.0
    """How often workers are asked to be heard of."""
    heartbeat_limit: float = 60.0
    """Silence after which an attempt counts as lost."""
    attempt_limit: int = 3
    """Attempts that may be lost before the run fails."""
    release_limit: int = 20
    """Times that workers may hand a run back (restart, drain) before it fails."""
    queue_timeout: float = 86400.0
    """How long a run may wait for a worker; 0: for ever."""
    run_timeout: int = 14400
    """For runs that say nothing of it."""
    run_grace: float = 900.0
    """Beyond its own timeout, for building, posting and cleaning up, before the server ends a run by itself."""
    cancel_limit: float = 60.0
    """How long a worker may take to confirm a cancel."""


@dataclass(frozen=True)
class TempestSettings:
    """What the operator says of every run's Tempest."""

    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options, section → option → value; below the cloud's own, above the common ones."""
    testcases: tuple[str, ...] = ("tempest",)
    """For runs that name none."""
    version: str = ""
    """For runs that name none (``TempestTester``)."""
    home: Path | None = None
    """Tempest of the ``local`` method."""


@dataclass(frozen=True)
class ServerSettings:
    """All of it."""

    database: DatabaseSettings
    keys: KeySettings
    data: Path
    """Folder for uploads on their way, and for the SQLite database unless ``DATABASE_URL`` says otherwise."""
    queue: QueueSettings = QueueSettings()
    web: WebSettings = WebSettings()
    rules: RunRules = RunRules()
    tempest: TempestSettings = TempestSettings()
    users: UserSettings = UserSettings()


def load(path: Path | None = None) -> ServerSettings:
    """Return the settings in a file: ``path``, or what ``REFSTACK_CFG`` names, or :data:`FILE`.

    :raises ConfigError: there is no such file, or it says something that cannot be.
    """
    file = path or Path(os.environ.get("REFSTACK_CFG") or FILE)
    return from_mapping(refstack_cfg.read(file, NAMES), str(file))


def from_mapping(given: Mapping[str, Any], where: str = "settings") -> ServerSettings:
    """Return the settings in name → value, as ``refstack.cfg`` has them; see :func:`load`."""
    values = Values(given, where)
    data = values.path("DATA_FOLDER", Path("/var/lib/refstack"))
    return ServerSettings(
        database=DatabaseSettings(_database_url(values, data)),
        keys=_keys(values),
        data=data,
        queue=_queue(values),
        web=_web(values),
        rules=_rules(values),
        tempest=_tempest(values),
        users=users.read(values),
    )


def _database_url(values: Values, data: Path) -> str:
    other = values.text("SQLALCHEMY_DATABASE_URI", f"sqlite:///{data.absolute()}/refstack.sqlite")
    url = values.text("DATABASE_URL", other)
    if "://" not in url:
        raise values.wrong("DATABASE_URL", "is no SQLAlchemy URL (as postgresql://user:password@host/refstack)")
    return url


def _keys(values: Values) -> KeySettings:
    folder = values.path("KEY_FOLDER", Path("/etc/refstack/keys"))
    return KeySettings(
        sign=values.path("SIGN_KEY_FILE", folder / "sign.key"),
        fleet=values.path("FLEET_KEY_FILE", folder / "fleet.pub"),
        store=values.path("STORE_KEY_FILE", folder / "store.key"),
    )


def _queue(values: Values) -> QueueSettings:
    port = int(values.number("GEARMAN_PORT", DEFAULT_PORT, 1, 65535))
    names = values.texts("GEARMAN_SERVER", ("127.0.0.1",))
    if not names:
        raise values.wrong("GEARMAN_SERVER", "names no server")
    method = values.text("TEST_METHOD", "gearman").lower()
    if method not in METHODS:
        raise values.wrong("TEST_METHOD", f"must be one of {', '.join(METHODS)}")
    return QueueSettings(tuple(Address.parse(name, port) for name in names), method)


def _web(values: Values) -> WebSettings:
    usual = WebSettings()
    try:
        address = check_callback(values.text("APP_ADDRESS", usual.address))
    except PayloadError:
        raise values.wrong("APP_ADDRESS", "is no base URL (as https://refstack.example)") from None
    return WebSettings(
        address=address,
        testing_hosts=_networks(values, "TESTING_HOSTS", LOOPBACK),
        trusted_proxies=_networks(values, "TRUSTED_PROXIES", ()),
        max_result_bytes=int(values.number("MAX_RESULT_MB", usual.max_result_bytes // 2**20, 1, 100_000) * 2**20),
        allow_anonymous_results=values.flag("ALLOW_ANONYMOUS_RESULTS", False),
    )


def _networks(values: Values, name: str, usual: tuple[str, ...]) -> tuple[Network, ...]:
    found: list[Network] = []
    for text in values.texts(name, usual):
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise values.wrong(name, f"{error}; addresses and networks (as 10.1.0.0/16) are expected") from None
    return tuple(found)


def _rules(values: Values) -> RunRules:
    usual = RunRules()
    rules = RunRules(
        heartbeat_seconds=values.number("HEARTBEAT_SECONDS", usual.heartbeat_seconds, 0.05, 600),
        heartbeat_limit=values.number("HEARTBEAT_LIMIT", usual.heartbeat_limit, 0.2, 86400),
        attempt_limit=int(values.number("ATTEMPT_LIMIT", usual.attempt_limit, 1, 100)),
        release_limit=int(values.number("RELEASE_LIMIT", usual.release_limit, 1, 1000)),
        queue_timeout=values.number("QUEUE_TIMEOUT", usual.queue_timeout, 0, 10**8),
        run_timeout=int(values.number("RUN_TIMEOUT", usual.run_timeout, 60, 172800)),
        run_grace=values.number("RUN_GRACE", usual.run_grace, 0, 86400),
        cancel_limit=values.number("CANCEL_LIMIT", usual.cancel_limit, 1, 86400),
    )
    if rules.heartbeat_limit <= 2 * rules.heartbeat_seconds:
        raise values.wrong("HEARTBEAT_LIMIT", "must be more than twice HEARTBEAT_SECONDS")
    return rules


def _tempest(values: Values) -> TempestSettings:
    config = values.sections("TEMPEST_CONFIG")
    try:
        tempest_options.check(config)
    except PayloadError as error:
        raise ConfigError(f"{values.where}: TEMPEST_CONFIG: {error}") from None
    return TempestSettings(
        config=config,
        testcases=values.texts("TEMPEST_TESTCASES", ("tempest",)) or ("tempest",),
        version=values.text("TEMPEST_VERSION", ""),
        home=values.path("TEMPEST_HOME", None),
    )
