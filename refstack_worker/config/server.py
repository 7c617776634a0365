"""The server's settings, from RefStack's own ``refstack.cfg``.

Each setting is declared once, as a field: its name in the file, default, bounds and meaning. The table in
``docs/server.md`` is made of the fields by ``python -m tools.settings_table``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refstack_worker.config import refstack_cfg
from refstack_worker.config import server_values as read
from refstack_worker.config.declared import names_of, read_group, setting
from refstack_worker.config.notifications import NotifySettings
from refstack_worker.config.server_values import DATA_FOLDER, KEY_FOLDER, MEBIBYTE, Network
from refstack_worker.config.sign_in import SignInSettings
from refstack_worker.config.values import Values
from refstack_worker.contract import heartbeat
from refstack_worker.contract.limits import DEFAULT_RUN_SECONDS, MAX_RUN_SECONDS, MIN_RUN_SECONDS
from refstack_worker.contract.run_log import MAX_PACKED
from refstack_worker.gearman import DEFAULT_PORT, Address

LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True)
class QueueSettings:
    """How runs reach the workers."""

    method: str = setting(
        "TEST_METHOD",
        "gearman",
        'How runs are carried out: `"gearman"`, or `"local"` (`execute_test` in a process of this machine, for '
        "development).",
        read=read.method,
    )
    servers: tuple[Address, ...] = setting(
        "GEARMAN_SERVER",
        (Address("127.0.0.1"),),
        'The Gearman server, `"host"` or `"host:port"`; a list for several, tried in this order.',
        read=read.servers,
        shown='`"127.0.0.1"`',
    )
    port: int = setting("GEARMAN_PORT", DEFAULT_PORT, "Port of the Gearman servers that name none.", bounds=(1, 65535))


@dataclass(frozen=True)
class DatabaseSettings:
    """The ledger's database, and the files beside it."""

    data_folder: Path = setting(
        "DATA_FOLDER", DATA_FOLDER, "Folder for uploads in transit, local runs and the SQLite database."
    )
    url: str = setting(
        "DATABASE_URL",
        "",
        "SQLAlchemy URL of the ledger. `SQLALCHEMY_DATABASE_URI` is RefStack's own name for it; `DATABASE_URL` wins.",
        read=read.database_url,
        shown="SQLite in `DATA_FOLDER`",
        also=("SQLALCHEMY_DATABASE_URI",),
        secret=True,
    )


@dataclass(frozen=True)
class KeySettings:
    folder: Path = setting("KEY_FOLDER", KEY_FOLDER, "Folder of the key files.")
    sign: Path = setting(
        "SIGN_KEY_FILE",
        KEY_FOLDER / "sign.key",
        "Private key that signs payloads and verdicts.",
        read=read.key_file,
        shown="`sign.key` in `KEY_FOLDER`",
    )
    fleet: Path = setting(
        "FLEET_KEY_FILE",
        KEY_FOLDER / "fleet.pub",
        "Public key to which payloads are sealed.",
        read=read.key_file,
        shown="`fleet.pub` in `KEY_FOLDER`",
    )
    store: Path = setting(
        "STORE_KEY_FILE",
        KEY_FOLDER / "store.key",
        "Private key that seals the passwords in the ledger; it never leaves the server.",
        read=read.key_file,
        shown="`store.key` in `KEY_FOLDER`",
    )
    seal_to: str = setting(
        "SEAL_TO",
        read.FLEET,
        "Which keys runs are sealed to: `fleet` (its key and those of enrolled nodes) or `nodes` (only those of "
        "enrolled nodes).",
        read=read.recipients,
    )


@dataclass(frozen=True)
class WebSettings:
    """What the HTTP side accepts, and from whom."""

    address: str = setting(
        "APP_ADDRESS",
        "http://127.0.0.1:8000",
        "Base URL at which workers reach the API (the callback). Use `https` unless everything runs on one machine.",
        read=read.address,
    )
    testing_hosts: tuple[Network, ...] = setting(
        "TESTING_HOSTS",
        tuple(ipaddress.ip_network(text) for text in LOOPBACK),
        "Addresses and networks of the workers. Only these may claim runs, send heartbeats and report.",
        read=read.networks,
        shown="loopback",
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "TRUSTED_PROXIES",
        (),
        "Addresses and networks of the proxies in front; their `X-Forwarded-For` is trusted.",
        read=read.networks,
    )
    max_result_bytes: int = setting(
        "MAX_RESULT_MB", 512 * MEBIBYTE, "Largest result in MiB.", read=read.mebibytes, shown="`512`"
    )
    allow_anonymous_results: bool = setting(
        "ALLOW_ANONYMOUS_RESULTS",
        False,
        "Work as RefStack did in 2014: accept results that belong to no run, and, for tests that are not runs, give "
        "the mini-conf to anyone and accept one result each.",
    )
    session_hours: float = setting(
        "SESSION_HOURS", 12.0, "Hours after which a browser has to sign in again.", bounds=(0.1, 720)
    )
    rate_limit: int = setting(
        "RATE_LIMIT",
        1200,
        "API calls that one user, or one token without a user, may make per minute. Each 8 KiB of a body count as a "
        "call. 0: no limit.",
        bounds=(0, 10**6),
    )
    sign_in_limit: int = setting(
        "SIGN_IN_LIMIT",
        10,
        "Failed sign-ins and wrong tokens from one address per minute; 0: no limit.",
        bounds=(0, 10**6),
    )
    event_streams: int = setting(
        "EVENT_STREAMS",
        8,
        "Live streams that one process keeps open; each holds a thread, and one user may have half of them. Further "
        "clients are asked to try again.",
        bounds=(0, 10**4),
    )

    @property
    def max_post_bytes(self) -> int:
        """Largest body with a result: the stream, Tempest's compressed log, and the form around them."""
        return self.max_result_bytes + MAX_PACKED + MEBIBYTE


@dataclass(frozen=True)
class RunRules:
    """Limits of runs, in seconds unless stated otherwise."""

    heartbeat_seconds: float = setting(
        "HEARTBEAT_SECONDS",
        heartbeat.DEFAULT_SECONDS,
        "Heartbeat interval in seconds. A cancel reaches the worker with the next heartbeat.",
        bounds=(heartbeat.MIN_SECONDS, heartbeat.MAX_SECONDS),
    )
    heartbeat_limit: float = setting(
        "HEARTBEAT_LIMIT",
        60.0,
        "Seconds without a heartbeat after which an attempt is lost. Three missed heartbeats are enough when gearmand "
        "hands out the job again.",
        bounds=(0.2, 86400),
    )
    attempt_limit: int = setting("ATTEMPT_LIMIT", 3, "Attempts that may be lost before the run fails.", bounds=(1, 100))
    release_limit: int = setting(
        "RELEASE_LIMIT",
        20,
        "Times that workers may release a run (restart, drain) before it fails.",
        bounds=(1, 1000),
    )
    queue_timeout: float = setting(
        "QUEUE_TIMEOUT",
        86400.0,
        "Seconds that a run may wait for a worker before it fails; 0: no limit.",
        bounds=(0, 10**8),
    )
    max_open_runs: int = setting(
        "MAX_OPEN_RUNS",
        200,
        "Runs of one vendor that may wait or be carried out at the same time; 0: no limit. Runs that belong to no user "
        "do not count.",
        bounds=(0, 10**6),
    )
    max_stored: int = setting(
        "MAX_STORED_MB",
        20480,
        "MiB that the runs of one vendor may take in the database: what they ask for, and their results. 0: no limit.",
        bounds=(0, 10**8),
    )
    max_clouds: int = setting(
        "MAX_CLOUDS", 100, "Clouds that the users of one vendor may store; 0: no limit.", bounds=(0, 10**6)
    )
    run_timeout: int = setting(
        "RUN_TIMEOUT",
        DEFAULT_RUN_SECONDS,
        "Time limit in seconds of runs that set none.",
        bounds=(MIN_RUN_SECONDS, MAX_RUN_SECONDS),
    )
    run_grace: float = setting(
        "RUN_GRACE",
        900.0,
        "Seconds beyond a run's own time limit, for preparing, posting and cleaning up, before the server ends it.",
        bounds=(0, 86400),
    )
    cancel_limit: float = setting(
        "CANCEL_LIMIT", 60.0, "Seconds that a worker may take to confirm a cancel.", bounds=(1, 86400)
    )
    retention_days: float = setting(
        "RETENTION_DAYS",
        0.0,
        "Days after its end at which a run is removed with its result; a result without a run goes that many days "
        "after it arrived. 0: never.",
        bounds=(0, 36500),
    )

    @property
    def retention_seconds(self) -> float:
        return self.retention_days * 86400


@dataclass(frozen=True)
class TempestSettings:
    """The operator's defaults for every run's Tempest."""

    config: Mapping[str, Mapping[str, Any]] = setting(
        "TEMPEST_CONFIG",
        {},
        "Tempest options of every run, section → option → value. The cloud's own options win over them, and the "
        "run's win over both.",
        read=read.options,
        shown="`{}`",
    )
    testcases: tuple[str, ...] = setting(
        "TEMPEST_TESTCASES", ("tempest",), "Tests of runs that name none.", read=read.testcases
    )
    version: str = setting(
        "TEMPEST_VERSION",
        "",
        "Version for `TempestTester`; without it the OpenStack release in the cloud's `version` decides.",
    )
    home: Path | None = setting("TEMPEST_HOME", None, 'Virtualenv or checkout with Tempest, for the method `"local"`.')


@dataclass(frozen=True)
class OutboundSettings:
    """What the server may fetch, and where it sends results."""

    list_urls: tuple[str, ...] = setting(
        "LIST_URLS",
        (),
        "What URLs of guidelines and test lists must begin with; nothing else is fetched.",
        read=read.url_beginnings,
    )
    cloud_networks: tuple[Network, ...] = setting(
        "CLOUD_NETWORKS",
        (),
        "Private networks in which clouds are allowed, but no metadata service.",
        read=read.networks,
    )
    upload_url: str = setting("UPLOAD_URL", "", "RefStack server to which results may be uploaded.", read=read.url)
    upload_key: Path | None = setting(
        "UPLOAD_KEY_FILE", None, "RSA key that signs uploads without a vendor's own key.", secret=True
    )


GROUPS = (
    QueueSettings,
    DatabaseSettings,
    KeySettings,
    WebSettings,
    SignInSettings,
    RunRules,
    TempestSettings,
    OutboundSettings,
    NotifySettings,
)

NAMES = frozenset(names_of(GROUPS))
"""The names in ``refstack.cfg`` that are ours; all others are left alone."""


@dataclass(frozen=True)
class ServerSettings:
    """All settings of the server."""

    database: DatabaseSettings
    keys: KeySettings
    queue: QueueSettings = QueueSettings()
    web: WebSettings = WebSettings()
    sign_in: SignInSettings = SignInSettings()
    rules: RunRules = RunRules()
    tempest: TempestSettings = TempestSettings()
    outbound: OutboundSettings = OutboundSettings()
    notify: NotifySettings = NotifySettings()

    @property
    def data(self) -> Path:
        """Folder for uploads in transit, and for the SQLite database unless ``DATABASE_URL`` names another."""
        return self.database.data_folder


def load(path: Path | None = None) -> ServerSettings:
    """Return the settings in a file; see :func:`refstack_cfg.file_of`.

    :raises ConfigError: the file is missing or has a setting that cannot be used.
    """
    file = refstack_cfg.file_of(path)
    return from_mapping(refstack_cfg.read(file, NAMES), str(file))


def from_mapping(given: Mapping[str, Any], where: str = "settings") -> ServerSettings:
    """Return the settings in name → value, as ``refstack.cfg`` has them; see :func:`load`."""
    values = Values(given, where)
    rules = read_group(RunRules, values)
    if rules.heartbeat_limit <= 2 * rules.heartbeat_seconds:
        raise values.wrong("HEARTBEAT_LIMIT", "must be more than twice HEARTBEAT_SECONDS")
    sign_in = read_group(SignInSettings, values)
    if sign_in.issuer and not sign_in.client_id:
        raise values.wrong("OIDC_CLIENT_ID", "is required with OIDC_ISSUER")
    return ServerSettings(
        database=read_group(DatabaseSettings, values),
        keys=read_group(KeySettings, values),
        queue=read_group(QueueSettings, values),
        web=read_group(WebSettings, values),
        sign_in=sign_in,
        rules=rules,
        tempest=read_group(TempestSettings, values),
        outbound=read_group(OutboundSettings, values),
        notify=read_group(NotifySettings, values),
    )
