"""The worker's settings, from ``worker.toml`` and ``conf.d/*.toml`` beside it; ``docs/worker.md`` describes every key.

A section is a dataclass and a key is one of its fields, so what is not a field is an unknown key: an error that names
file and line.
"""

from __future__ import annotations

import dataclasses
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refstack_worker.config import toml_file
from refstack_worker.config.declared import between, default_of, value_of
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.config.values import Values
from refstack_worker.contract.gearman_functions import TAG
from refstack_worker.contract.limits import MAX_RUN_SECONDS
from refstack_worker.contract.payload import check_callback
from refstack_worker.errors import ConfigError, PayloadError
from refstack_worker.gearman import Address

FILE = Path("/etc/refstack-worker/worker.toml")
"""Read when neither ``--config`` nor ``REFSTACK_WORKER_CONFIG`` names another."""

STATE = Path("/var/lib/refstack-worker")
CACHE = Path("/var/cache/refstack-worker")
RUNTIME = Path("/run/refstack-worker")
CONTROL_SOCKET = "control.sock"
METRICS_PORT = 9730
"""Where ``node.metrics_listen`` names none."""
CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Where systemd puts what a unit loads with ``LoadCredential=``; a key file of that name there wins."""

RUNNERS = ("auto", "systemd", "embedded")
FORMATS = ("plain", "json")
LEVELS = ("debug", "info", "warning", "error")
NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")


def default_name() -> str:
    """Return the host's name as a node name."""
    found = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:63]
    return found if NODE_NAME.match(found) else "worker"


@dataclass(frozen=True)
class NodeSettings:
    name: str = field(default_factory=default_name)
    """How the server and the logs call it."""
    slots: int = field(default=1, metadata=between(1, 64))
    """Runs side by side."""
    tags: tuple[str, ...] = ()
    """What routes runs here beside the version (``eu``, ``gpu``)."""
    state_folder: Path = STATE
    """What must outlive a restart: the attempts held, the spool."""
    runtime_folder: Path = RUNTIME
    """The control socket."""
    metrics_listen: str = ""
    """``host:port`` where Prometheus gets the metrics over HTTP; empty: nowhere."""

    @property
    def metrics_address(self) -> Address | None:
        """The address in :attr:`metrics_listen`. :raises ConfigError: it is none."""
        return Address.parse(self.metrics_listen, METRICS_PORT) if self.metrics_listen else None


@dataclass(frozen=True)
class GearmanSettings:
    servers: tuple[str, ...] = ("127.0.0.1:4730",)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of the servers in :attr:`servers`."""
        return tuple(Address.parse(text) for text in self.servers)


@dataclass(frozen=True)
class ServerLinkSettings:
    """The RefStack servers that this node works for."""

    urls: tuple[str, ...] = ()
    """Base URLs; a payload with another callback is refused."""
    ca_file: str = ""
    """PEM file of the certificate authorities to trust; empty: the system's."""
    timeout: float = field(default=30.0, metadata=between(1, 600))
    """Seconds for one call."""
    patience: float = field(default=900.0, metadata=between(0, 86400))
    """Seconds for which a claim or a report is tried again while the server cannot be reached."""


@dataclass(frozen=True)
class WorkerKeySettings:
    fleet_private: Path = Path("/etc/refstack-worker/fleet.key")
    """Opens payloads."""
    server_public: Path = Path("/etc/refstack-worker/server.pub")
    """Whose payloads are believed."""


@dataclass(frozen=True)
class RunSettings:
    """How a run is carried out."""

    runner: str = "auto"
    """``systemd``: the socket-activated unit; ``embedded``: a child of the worker; ``auto``: what is there."""
    socket: Path = Path("/run/refstack-run.sock")
    """Socket of ``refstack-run.socket``."""
    folder: Path = RUNTIME / "runs"
    """Where the embedded runner makes run folders."""
    environments: Path = CACHE / "environments"
    """Where environments are made."""
    execute_test: str = ""
    """Program; empty: the installed one, else the module of this software."""
    stop_grace: float = field(default=1.5, metadata=between(0, 60))
    """Seconds between TERM and KILL."""
    cleanup_seconds: float = field(default=300.0, metadata=between(0, 3600))
    """For removing what a run that was cut short left in the cloud; 0: leave it."""
    handover_seconds: float = field(default=20.0, metadata=between(0, 600))
    """The same when the worker itself is being stopped."""
    allow_testcase_urls: bool = False
    """Fetch lists of test cases that a payload names by URL."""
    pre_run_hooks: Path = Path("/etc/refstack-worker/pre-run.d")
    post_run_hooks: Path = Path("/etc/refstack-worker/post-run.d")
    """Folders of programs that run before and after each run."""


@dataclass(frozen=True)
class SpoolSettings:
    """Results and final reports that could not be delivered."""

    folder: Path | None = None
    """Default: ``spool`` below the state folder."""
    keep_days: float = field(default=7.0, metadata=between(0, 365))
    first_retry: float = field(default=15.0, metadata=between(0.05, 86400))
    """Seconds; each further one comes after twice the time."""
    last_retry: float = field(default=1800.0, metadata=between(0.05, 86400))
    """Seconds between tries at most."""
    limit_mb: int = field(default=2048, metadata=between(1, 10**6))


@dataclass(frozen=True)
class LimitSettings:
    """What a run, and the node, must not pass."""

    min_free_mb: int = field(default=1024, metadata=between(0, 10**7))
    """Below this much free space the node takes no run."""
    max_timeout: int = field(default=MAX_RUN_SECONDS, metadata=between(1, MAX_RUN_SECONDS))
    """Seconds for one run, whatever its payload says."""
    result_mb: int = field(default=512, metadata=between(1, 100_000))
    """Largest result file."""
    file_mb: int = field(default=2048, metadata=between(0, 10**6))
    """Largest file that a run can write; 0: no limit."""
    memory_mb: int = field(default=0, metadata=between(0, 10**7))
    """Address space of each process of a run; 0: no limit."""
    processes: int = field(default=0, metadata=between(0, 10**6))
    """Processes of the run's user; 0: no limit."""


@dataclass(frozen=True)
class LogSettings:
    """What is written to stderr, which systemd keeps in the journal."""

    level: str = "info"
    format: str = "plain"


@dataclass(frozen=True)
class WorkerSettings:
    environments: EnvironmentSettings
    node: NodeSettings = NodeSettings()
    gearman: GearmanSettings = GearmanSettings()
    server: ServerLinkSettings = ServerLinkSettings()
    keys: WorkerKeySettings = WorkerKeySettings()
    run: RunSettings = RunSettings()
    spool: SpoolSettings = SpoolSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    file: Path = FILE
    """Where they were read."""

    @property
    def control_socket(self) -> Path:
        """The daemon's socket, for ``status``, ``drain`` and their like."""
        return self.node.runtime_folder / CONTROL_SOCKET

    @property
    def spool_folder(self) -> Path:
        return self.spool.folder or self.node.state_folder / "spool"

    @property
    def claims_folder(self) -> Path:
        """Where the attempts that this node holds are noted."""
        return self.node.state_folder / "held"


DEFAULTS: Mapping[str, Mapping[str, Any]] = {"environments": {"store": CACHE / "store"}}
"""Defaults that a section's own class does not give."""


def sections() -> dict[str, type[Any]]:
    """Return section name → the class of its settings."""
    found: dict[str, type[Any]] = {"environments": EnvironmentSettings}
    for item in dataclasses.fields(WorkerSettings):
        if dataclasses.is_dataclass(item.default):
            found[item.name] = type(item.default)
    return found


def load(path: Path | None = None) -> WorkerSettings:
    """Return the settings in a file: ``path``, or what ``REFSTACK_WORKER_CONFIG`` names, or :data:`FILE`.

    :raises ConfigError: it is not there, or says something that cannot be; the message names file and line.
    """
    file = path or Path(os.environ.get("REFSTACK_WORKER_CONFIG") or FILE)
    given, origins = toml_file.read(file)
    known = sections()
    for name in given:
        if name not in known:
            where = next(iter(origin for key, origin in origins.items() if key.startswith(f"{name}.")), str(file))
            raise ConfigError(f"{where}: [{name}]: unknown section; known sections: {', '.join(sorted(known))}")
    made = {}
    for name, kind in known.items():
        made[name] = _section(_Section(given.get(name, {}), str(file), name, origins), kind)
    settings = WorkerSettings(file=file, **made)
    _check(settings, origins)
    return settings


def credential(path: Path) -> Path:
    """Return where a key file is: systemd's credential of that name if there is one, else ``path``."""
    folder = os.environ.get(CREDENTIALS)
    given = Path(folder, path.name) if folder else None
    return given if given is not None and given.exists() else path


@dataclass(frozen=True)
class _Section(Values):
    """The values of one section; an error names the line that it came from."""

    name: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)

    def wrong(self, name: str, what: str) -> ConfigError:
        where = self.origins.get(f"{self.name}.{name}", self.where)
        return ConfigError(f"{where}: {self.name}.{name} {what}")

    def whole(self, name: str, default: int, least: float, most: float) -> int:
        value = self.given.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(name, f"must be a whole number from {least:g} to {most:g}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.given.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "must be true or false")
        return value

    def path(self, name: str, default: Path | None) -> Any:
        found = super().path(name, default)
        if found is not None and not found.is_absolute():
            raise self.wrong(name, "must be an absolute path")
        return found


def _section(section: _Section, kind: type[Any]) -> Any:
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for name in section.given:
        if name not in fields:
            raise section.wrong(name, f"is not a setting; known settings: {', '.join(sorted(fields))}")
    return kind(**{name: _value(section, item) for name, item in fields.items()})


def _value(section: _Section, item: dataclasses.Field[Any]) -> Any:
    overridden = DEFAULTS.get(section.name, {})
    default = overridden[item.name] if item.name in overridden else default_of(item)
    return value_of(item, section, item.name, default)


def _check(settings: WorkerSettings, origins: Mapping[str, str]) -> None:
    def wrong(key: str, what: str) -> ConfigError:
        return ConfigError(f"{origins.get(key, settings.file)}: {key} {what}")

    if not NODE_NAME.match(settings.node.name):
        raise wrong("node.name", "must consist of letters, digits, '.', '_' and '-', 63 at most")
    for tag in settings.node.tags:
        if not TAG.match(tag):
            raise wrong(
                "node.tags", f"{tag!r} is not a tag; use lower-case letters, digits, '.', '_' and '-', 32 at most"
            )
    _check_places(settings, wrong)
    choices = (
        ("run.runner", settings.run.runner, RUNNERS),
        ("log.format", settings.log.format, FORMATS),
        ("log.level", settings.log.level, LEVELS),
    )
    for key, value, allowed in choices:
        if value not in allowed:
            raise wrong(key, f"must be one of {', '.join(allowed)}")


def _check_places(settings: WorkerSettings, wrong: Callable[[str, str], ConfigError]) -> None:
    if not settings.gearman.servers:
        raise wrong("gearman.servers", "names no server")
    try:
        settings.gearman.addresses  # noqa: B018 - parsing is what may fail
    except ConfigError as error:
        raise wrong("gearman.servers", str(error)) from None
    try:
        settings.node.metrics_address  # noqa: B018 - parsing is what may fail
    except ConfigError:
        raise wrong("node.metrics_listen", "must be host:port, e.g. 0.0.0.0:9730") from None
    for url in settings.server.urls:
        try:
            check_callback(url)
        except PayloadError as error:
            raise wrong("server.urls", str(error).removeprefix("payload: callback: ")) from None
