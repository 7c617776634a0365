"""A real Keystone on SQLite: its database is prepared once, then copied for each cloud."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from democloud import ports
from democloud.api import REGION, Account, Session
from democloud.ports import POLL_SECONDS, CloudError
from democloud.services import Services
from democloud.software import Software
from refstack_worker import process

READY_SECONDS = 60.0
TOKENS_SECONDS = 10.0
TEMPLATE = "keystone-template-2"
"""The number changes with what :func:`populate` makes."""

SERVICE_USER = "swift"
SERVICE_PROJECT = "service"
SERVICES = {"identity": "keystone", "object-store": "swift"}
PLACEHOLDER = "http://127.0.0.1:1"
"""Address of a service until a cloud has ports."""

CONFIG = """\
[DEFAULT]
log_dir =
use_stderr = true
[database]
connection = sqlite:///{folder}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet-keys
[credential]
key_repository = {folder}/credential-keys
[fernet_receipts]
key_repository = {folder}/fernet-keys
[cache]
enabled = true
backend = dogpile.cache.memory
[identity]
password_hash_algorithm = bcrypt
password_hash_rounds = 4
[oslo_concurrency]
lock_path = {folder}
"""
# one process with a cache in memory and few hash rounds: Tempest makes hundreds of users and tokens


@dataclass(frozen=True)
class Keystone:
    """Where one Keystone lives and who its administrator is."""

    folder: Path
    port: int
    admin_password: str

    @property
    def auth_url(self) -> str:
        """Address of its API, with the version."""
        return f"http://127.0.0.1:{self.port}/v3"

    @property
    def admin(self) -> Account:
        """The administrator, in the project ``admin``."""
        return Account(self.auth_url, "admin", self.admin_password, "admin")


def create(software: Software, cache: Path, folder: Path, swift_port: int) -> Keystone:
    """Lay a Keystone with fresh passwords below ``folder`` (not started yet) from the template in ``cache``."""
    template = _template(software, cache)
    shutil.copytree(template, folder)
    (folder / "keystone.conf").write_text(CONFIG.format(folder=folder))
    port = ports.free(1)[0]
    password = (folder / "admin-password").read_text()
    with contextlib.closing(sqlite3.connect(folder / "keystone.db")) as database, database:
        # the catalogue is the only place where addresses stand
        for kind, url in _endpoints(port, swift_port).items():
            database.execute(
                "UPDATE endpoint SET url = ? WHERE service_id IN (SELECT id FROM service WHERE type = ?)", (url, kind)
            )
    return Keystone(folder, port, password)


def start(software: Software, keystone: Keystone, services: Services) -> None:
    """Serve it, and return when it answers.

    :raises CloudError: it ended, or does not answer in time.
    """
    command: list[str | Path] = [
        software.program("uwsgi"), "--http", f"127.0.0.1:{keystone.port}", "--add-header", "Connection: close",
        "--die-on-term", "--master", "--lazy-apps", "--processes", "1", "--buffer-size", "65535",
        "--module", "keystone.wsgi.api:application", "--virtualenv", software.home,
        "--need-app", "--disable-logging",
    ]  # fmt: skip
    services.start("keystone", command, {"OS_KEYSTONE_CONFIG_FILES": str(keystone.folder / "keystone.conf")})

    def listens() -> bool:
        services.check("keystone")
        return ports.listening(keystone.port)

    def answers() -> bool:
        services.check("keystone")
        with contextlib.suppress(ports.CloudError):
            Session(keystone.admin)
            return True
        return False

    ports.wait(listens, "Keystone's port to open", READY_SECONDS)
    ports.wait(answers, "Keystone to respond", READY_SECONDS)


def renew_passwords(keystone: Keystone, service_password: str) -> Keystone:
    """Give the administrator and Swift's user passwords of this cloud's own (the template's are shared by all).

    Returns when tokens of the new password hold: Keystone revokes all tokens up to the change, and a Fernet token
    carries its time of issue in whole seconds, so those issued within the same second are refused.
    """
    session = Session(keystone.admin)
    users = {user["name"]: user["id"] for user in session.keystone("GET", "/users")["users"]}
    fresh = secrets.token_urlsafe(18)
    session.keystone("PATCH", f"/users/{users[SERVICE_USER]}", {"user": {"password": service_password}})
    change = {"user": {"original_password": keystone.admin_password, "password": fresh}}
    session.keystone("POST", f"/users/{users['admin']}/password", change)
    renewed = Keystone(keystone.folder, keystone.port, fresh)
    _await_tokens(renewed)
    return renewed


def _await_tokens(keystone: Keystone) -> None:
    deadline = time.monotonic() + TOKENS_SECONDS
    while True:
        try:
            Session(keystone.admin).keystone("GET", "/users")
            return
        except CloudError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def _template(software: Software, cache: Path) -> Path:
    """Return the prepared Keystone in ``cache``, made on the first call."""
    ready = cache / f"{TEMPLATE}-{software.home.name}"
    with open(cache / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.is_dir():
            with tempfile.TemporaryDirectory(prefix="keystone-", dir=cache) as scratch:
                making = Path(scratch) / "template"
                _make_template(software, making)
                making.rename(ready)
    return ready


def _make_template(software: Software, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    config = folder / "keystone.conf"
    config.write_text(CONFIG.format(folder=folder))
    password = secrets.token_urlsafe(18)
    for keys in ("fernet-keys", "credential-keys"):
        (folder / keys).mkdir(mode=0o700)
    _manage(software, config, "db_sync")
    owner = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
    _manage(software, config, "fernet_setup", *owner)
    _manage(software, config, "credential_setup", *owner)
    # by the environment: an argument would be seen by everybody
    _manage(software, config, "bootstrap", "--bootstrap-region-id", REGION, password=password)
    (folder / "admin-password").write_text(password)
    (folder / "admin-password").chmod(0o600)
    keystone = Keystone(folder, ports.free(1)[0], password)
    with _serving(software, keystone):
        populate(Session(keystone.admin), SERVICES, {SERVICE_USER: secrets.token_urlsafe(18)})


@contextlib.contextmanager
def _serving(software: Software, keystone: Keystone) -> Iterator[None]:
    services = Services(keystone.folder)
    try:
        start(software, keystone, services)
        yield
    finally:
        services.stop()
        shutil.rmtree(keystone.folder / "log", ignore_errors=True)
        (keystone.folder / "pids.json").unlink()


def _manage(software: Software, config: Path, *words: str, password: str = "") -> None:
    env = {"PATH": os.defpath, "LANG": "C.UTF-8", "OS_BOOTSTRAP_PASSWORD": password}
    program = software.program("keystone-manage")
    process.run([program, "--config-file", config, *words], process.Options(env=env, timeout=300))


def populate(admin: Session, services: Mapping[str, str], users: Mapping[str, str]) -> None:
    """Make what the services and Tempest expect.

    :param services: type and name of each service; its addresses are placeholders.
    :param users: name and password of the accounts of the services themselves.
    """
    for kind, name in services.items():
        _register(admin, kind, name)
    roles = {role["name"]: role["id"] for role in admin.keystone("GET", "/roles")["roles"]}
    for role in {"ResellerAdmin", "swiftoperator", "service"} - set(roles):
        roles[role] = admin.keystone("POST", "/roles", {"role": {"name": role}})["role"]["id"]
    project = {"name": SERVICE_PROJECT, "domain_id": "default"}
    project = admin.keystone("POST", "/projects", {"project": project})["project"]
    for name, password in users.items():
        user = {"name": name, "domain_id": "default", "password": password}
        user = admin.keystone("POST", "/users", {"user": user})["user"]
        for role in ("admin", "service"):
            admin.keystone("PUT", f"/projects/{project['id']}/users/{user['id']}/roles/{roles[role]}")


def _register(admin: Session, kind: str, name: str) -> None:
    service = admin.keystone("POST", "/services", {"service": {"type": kind, "name": name}})["service"]
    for interface in ("public", "internal", "admin"):
        endpoint = {"service_id": service["id"], "interface": interface, "url": PLACEHOLDER, "region_id": REGION}
        admin.keystone("POST", "/endpoints", {"endpoint": endpoint})


def _endpoints(port: int, swift_port: int) -> dict[str, str]:
    return {
        "identity": f"http://127.0.0.1:{port}/v3",
        "object-store": f"http://127.0.0.1:{swift_port}/v1/AUTH_$(project_id)s",
    }
