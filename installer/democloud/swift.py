"""A real Swift on one device: account, container, object and proxy server, with Keystone in front."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from democloud import memcached, ports
from democloud.api import REGION
from democloud.keystone import SERVICE_PROJECT, SERVICE_USER
from democloud.services import Services
from democloud.software import Software
from refstack_worker import process

READY_SECONDS = 60.0
BACKENDS = ("account", "container", "object")

PIPELINE = (
    "catch_errors", "gatekeeper", "healthcheck", "proxy-logging", "cache", "listing_formats", "bulk", "tempurl",
    "formpost", "crossdomain", "authtoken", "keystoneauth", "staticweb", "copy", "container-quotas", "account-quotas",
    "slo", "dlo", "versioned_writes", "symlink", "proxy-server",
)  # fmt: skip
"""The middlewares in the order that Swift wants, and the application at the end."""

FEATURES = (
    "account_quotas", "bulk_delete", "bulk_upload", "container_quotas", "crossdomain", "dlo", "formpost", "slo",
    "staticweb", "symlink", "tempurl", "versioned_writes",
)  # fmt: skip
"""What a vendor would say that this Swift can do, as Tempest calls it."""

EGG_NAMES = {
    "proxy-logging": "proxy_logging", "cache": "memcache", "container-quotas": "container_quotas",
    "account-quotas": "account_quotas",
}  # fmt: skip

RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, ports = sys.argv[1], sys.argv[2:]
for kind, port in zip(("account", "container", "object"), ports):
    builder = RingBuilder(6, 1, 1)
    builder.add_dev(dict(id=0, region=1, zone=1, ip="127.0.0.1", port=int(port), device="d1", weight=1.0,
                         replication_ip="127.0.0.1", replication_port=int(port), meta=""))
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{kind}.ring.gz")
"""

BACKEND = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
log_address =
log_facility = LOG_LOCAL0
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
[pipeline:main]
pipeline = {pipeline}
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {auth_url}
auth_url = {auth_url}
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = {project}
username = {service_user}
password = {password}
delay_auth_decision = true
cache = swift.cache
include_service_catalog = false
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member, swiftoperator
reseller_admin_role = ResellerAdmin
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
"""


@dataclass(frozen=True)
class Swift:
    """Where one Swift lives and what it listens on."""

    folder: Path
    port: int
    backend_ports: tuple[int, ...]
    memcached_port: int
    password: str
    """Of Swift's own user in Keystone."""
    without: tuple[str, ...] = ()
    """Middlewares that are switched off."""

    @property
    def pipeline(self) -> tuple[str, ...]:
        """The middlewares that are on, in order, and the application."""
        return tuple(part for part in PIPELINE if part not in self.without)


def plan(folder: Path, without: tuple[str, ...] = ()) -> Swift:
    """Choose free ports and a password for a Swift below ``folder``."""
    unknown = sorted(set(without) - set(PIPELINE[:-1]))
    if unknown:
        raise ports.CloudError(f"no such Swift middleware: {', '.join(unknown)}; there are {', '.join(PIPELINE[:-1])}")
    proxy, memcached, *backends = ports.free(2 + len(BACKENDS))
    return Swift(folder, proxy, tuple(backends), memcached, secrets.token_urlsafe(18), tuple(without))


def create(software: Software, swift: Swift, auth_url: str, user: str) -> None:
    """Write the configuration and the rings of a Swift whose processes run as ``user``.

    :raises CloudError: the file system keeps no extended attributes.
    """
    (swift.folder / "devices" / "d1").mkdir(parents=True)
    _check_attributes(swift.folder)
    salts = "".join(f"swift_hash_path_{end} = {secrets.token_hex(8)}\n" for end in ("prefix", "suffix"))
    storage = "[storage-policy:0]\nname = Policy-0\ndefault = yes\n"
    (swift.folder / "swift.conf").write_text(f"[swift-hash]\n{salts}{storage}")
    script: list[str | Path] = [software.python, "-c", RINGS, swift.folder, *map(str, swift.backend_ports)]
    process.run(script, process.Options(timeout=120, env=_environment(swift)))
    for kind, port in zip(BACKENDS, swift.backend_ports):
        text = BACKEND.format(kind=kind, port=port, folder=swift.folder, user=user)
        (swift.folder / f"{kind}.conf").write_text(text)
    write_proxy(swift, auth_url, user)


def start(software: Software, swift: Swift, services: Services) -> None:
    """Start all the servers, and return when each listens."""
    if "memcached" not in services.pids:
        memcached.start(swift.memcached_port, services)
    for kind in (*BACKENDS, "proxy"):
        command: list[str | Path] = [software.program(f"swift-{kind}-server"), swift.folder / f"{kind}.conf", "-v"]
        services.start(f"swift-{kind}", command, _environment(swift))
    for name, port in zip(names(), (swift.memcached_port, *swift.backend_ports, swift.port)):
        ports.wait(partial(_listens, services, name, port), f"{name} to listen", READY_SECONDS)


def names() -> tuple[str, ...]:
    """Names of Swift's services, the proxy last."""
    return ("memcached", *(f"swift-{kind}" for kind in (*BACKENDS, "proxy")))


def _listens(services: Services, name: str, port: int) -> bool:
    services.check(name)
    return ports.listening(port)


def write_proxy(swift: Swift, auth_url: str, user: str) -> None:
    """Write the configuration of the proxy, with the middlewares that are on."""
    text = PROXY.format(
        port=swift.port, user=user, folder=swift.folder, pipeline=" ".join(swift.pipeline),
        memcached=swift.memcached_port, auth_url=auth_url, project=SERVICE_PROJECT, service_user=SERVICE_USER,
        password=swift.password,
    )  # fmt: skip
    for part in PIPELINE:
        if f"[filter:{part}]" not in text and part != "proxy-server":
            text += f"[filter:{part}]\nuse = egg:swift#{EGG_NAMES.get(part, part)}\n"
    path = swift.folder / "proxy.conf"
    path.touch(mode=0o600)
    path.write_text(text.replace("auth_type = password", f"auth_type = password\nregion_name = {REGION}"))


def _environment(swift: Swift) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "SWIFT_CONF_FILE": str(swift.folder / "swift.conf"),
            "EVENTLET_NO_GREENDNS": "yes"}  # fmt: skip


def _check_attributes(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.refstack.probe", b"1")
        os.removexattr(folder, "user.refstack.probe")
    except OSError as error:
        message = f"{folder}: Swift needs extended attributes here ({error.strerror}); take another folder"
        raise ports.CloudError(message) from error
