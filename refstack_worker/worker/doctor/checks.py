"""``refstack-worker doctor``: everything that is commonly wrong with a node, and how to mend it. It changes nothing."""

from __future__ import annotations

import email.utils
import ipaddress
import os
import pwd
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from refstack_worker.config.worker import WorkerSettings, credential
from refstack_worker.contract import keys
from refstack_worker.environments import interpreters
from refstack_worker.environments.catalogue import Catalogue
from refstack_worker.errors import ConfigError, RefstackError
from refstack_worker.gearman import Address
from refstack_worker.worker.admission import admission
from refstack_worker.worker.doctor import listening_ports
from refstack_worker.worker.sandbox import commands

GOOD, WARNING, BAD = "ok", "warning", "bad"
QUEUES = ("gearmand", "geard", "refstack-queue")
"""Names of programs that are a Gearman server themselves; what else listens may pass on to one."""
CONNECT_SECONDS = 5.0
SKEW_SECONDS = 60.0
"""Between this node's clock and a server's; more makes certificates and node messages be refused."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    result: str
    """``ok``, ``warning`` or ``bad``."""
    found: str
    todo: str = ""
    """How to mend it."""


def examine(settings: WorkerSettings) -> list[Finding]:
    """Make all the checks; one that breaks is a finding itself."""
    checks: tuple[tuple[str, Callable[[WorkerSettings], Iterator[Finding]]], ...] = (
        ("settings", check_settings),
        ("keys", check_keys),
        ("names", check_names),
        ("gearman", check_gearman),
        ("server", check_servers),
        ("folders", check_folders),
        ("disk", check_disks),
        ("versions", check_versions),
        ("interpreters", check_interpreters),
        ("execute_test", check_program),
        ("runner", check_runner),
    )
    found: list[Finding] = []
    for name, check in checks:
        try:
            found += check(settings)
        except RefstackError as error:
            found.append(Finding(name, BAD, str(error)))
        except OSError as error:
            found.append(Finding(name, BAD, str(error), "run doctor as root or as the worker's user"))
    return found


def check_settings(settings: WorkerSettings) -> Iterator[Finding]:
    """The file was read, or doctor would not be here."""
    yield Finding("settings", GOOD, f"{settings.file}: node {settings.node.name}, {settings.node.slots} slots")
    if not settings.server.urls:
        yield Finding("settings", BAD, "server.urls names no RefStack server", f"add it to {settings.file}")


def check_keys(settings: WorkerSettings) -> Iterator[Finding]:
    """Both key files can be read and hold keys; the private one is private."""
    for name, path, load in (
        ("fleet_private", settings.keys.fleet_private, keys.load_seal_private),
        ("server_public", settings.keys.server_public, keys.load_sign_public),
    ):
        place = credential(path)
        try:
            ring = load(place)
        except RefstackError as error:
            todo = "" if ";" in str(error) else "copy it from the RefStack server"
            yield Finding(f"key {name}", BAD, str(error), todo)
        else:
            yield Finding(f"key {name}", GOOD, f"{place}: {', '.join(key_id for key_id, _ in ring.keys)}")


def check_names(settings: WorkerSettings) -> Iterator[Finding]:
    """``localhost`` resolves: without it gearmand does not start, and much else is strange."""
    try:
        socket.getaddrinfo("localhost", None)
        yield Finding("localhost resolves", GOOD, "yes")
    except socket.gaierror as error:
        todo = "add the line '127.0.0.1 localhost' to /etc/hosts"
        yield Finding("localhost resolves", BAD, str(error.strerror), todo)


def check_gearman(settings: WorkerSettings) -> Iterator[Finding]:
    """Each Gearman server answers; and whether what is said to it can be seen on the way."""
    for address in settings.gearman.addresses:
        finding = _gearman(address)
        yield finding
        if finding.result == GOOD or not _is_loopback(address.host):
            yield _gearman_way(address)


def _gearman_way(address: Address) -> Finding:
    check = f"gearman {address} TLS"
    if not _is_loopback(address.host):
        return Finding(
            check,
            WARNING,
            "no TLS: whoever is on the way can see and change who works for which version (runs are sealed)",
            "reach it through a tunnel on loopback (docs/tls.md), or a network of its own",
        )
    program = listening_ports.program_on(address.port)
    if program.startswith("stunnel"):
        return Finding(check, GOOD, f"through a tunnel: {program} listens there; its settings say who is trusted")
    if program.startswith(QUEUES):
        return Finding(check, GOOD, f"none needed: {program} listens there, on this machine")
    if program:
        said = f"{program} listens there, which is no known queue: whether it passes on in clear is not to be seen"
        return Finding(check, WARNING, said, "see that it speaks TLS to the other end and checks it (docs/tls.md)")
    todo = "doctor as root sees whether a tunnel listens there"
    return Finding(check, GOOD, "this machine itself, or a tunnel's end: not visible to this user", todo)


def _gearman(address: Address) -> Finding:
    check = f"gearman {address}"
    try:
        with socket.create_connection((address.host, address.port), CONNECT_SECONDS) as connection:
            connection.settimeout(CONNECT_SECONDS)
            connection.sendall(b"status\n")
            said = b""
            while not said.endswith(b".\n") and (data := connection.recv(65536)):
                said += data
    except socket.gaierror:
        return Finding(check, BAD, f"the name {address.host} does not resolve", "mend gearman.servers or the DNS")
    except ConnectionResetError:
        said = b""
    except OSError as error:
        return Finding(check, BAD, f"not reached: {error}", "start gearmand there, and let this node through")
    if not said and _is_loopback(address.host):
        todo = "if that is a tunnel: its other end is away or refuses this node's certificate; see the tunnel's log"
        return Finding(check, BAD, "accepts the connection and closes it without a word", todo)
    if not said.endswith(b".\n"):
        return Finding(check, BAD, "does not speak Gearman", "mend the port in gearman.servers")
    mine = sum(line.startswith(b"refstack:") for line in said.splitlines())
    return Finding(check, GOOD, f"answers; knows {mine} functions of RefStack")


def check_servers(settings: WorkerSettings) -> Iterator[Finding]:
    """Each RefStack server answers, over TLS that is trusted, with a clock like ours."""
    for url in settings.server.urls:
        parts = urlsplit(url)
        if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            yield Finding(f"server {url} TLS", WARNING, "no TLS: passwords of clouds travel in clear", "use https")
        yield from _server(url, settings)


def _server(url: str, settings: WorkerSettings) -> Iterator[Finding]:
    check = f"server {url}"
    try:
        answer = requests.get(
            f"{url}/get-testcases",
            params={"test_id": "0"},
            timeout=CONNECT_SECONDS,
            allow_redirects=False,
            verify=settings.server.ca_file or True,
        )
    except requests.exceptions.SSLError as error:
        yield Finding(check, BAD, f"its certificate is not trusted: {error}", "set server.ca_file to its authority")
        return
    except (requests.RequestException, OSError) as error:
        yield Finding(check, BAD, f"not reached: {error}", "is it running, and does it let this node through?")
        return
    if answer.status_code >= 500 or 300 <= answer.status_code < 400:
        yield Finding(
            check, BAD, f"answers {answer.status_code}", "look at the server's log; a redirect is not followed"
        )
    else:
        yield Finding(check, GOOD, f"answers ({answer.status_code})")
    yield from _clock(url, answer.headers.get("Date", ""))


def _clock(url: str, date: str) -> Iterator[Finding]:
    try:
        skew = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, IndexError):
        return
    check = f"clock against {url}"
    if abs(skew) > SKEW_SECONDS:
        yield Finding(check, BAD, f"{skew:+.0f} s", "set the clock; run chrony or systemd-timesyncd")
    else:
        yield Finding(check, GOOD, f"{skew:+.0f} s")


def check_folders(settings: WorkerSettings) -> Iterator[Finding]:
    """What the worker writes to belongs to it, and a run may read its environment."""
    owner = _worker_user()
    for name, path in (
        ("state", settings.node.state_folder),
        ("store", settings.environments.store),
        ("environments", settings.run.environments),
    ):
        there = _existing(path)
        if owner is not None and there == path and path.stat().st_uid != owner.pw_uid:
            found = f"{path} does not belong to {owner.pw_name}"
            yield Finding(f"folder {name}", BAD, found, f"chown -R {owner.pw_name}: {path}")
        elif owner is None and not os.access(there, os.W_OK | os.X_OK):
            yield Finding(
                f"folder {name}", BAD, f"{there} cannot be written", "run doctor as the worker's user or root"
            )
        else:
            yield Finding(f"folder {name}", GOOD, str(path))
    closed = [place for place in (settings.run.environments, *settings.run.environments.parents) if _is_closed(place)]
    if closed and settings.run.runner != "embedded":
        yield Finding(
            "environments readable", BAD, f"{closed[0]}: a run's user cannot enter it", f"chmod o+x {closed[0]}"
        )


def check_disks(settings: WorkerSettings) -> Iterator[Finding]:
    """There is room, or the worker would take no run."""
    limit = settings.limits.min_free_mb
    for path in (settings.node.state_folder, settings.environments.store, settings.run.environments):
        free = admission.free_mb(path)
        result = GOOD if free >= limit else BAD
        todo = "" if result == GOOD else "make room: 'refstack-worker env gc', old logs; or lower limits.min_free_mb"
        yield Finding(f"disk {path}", result, f"{free} MiB free, {limit} wanted", todo)


def check_versions(settings: WorkerSettings) -> Iterator[Finding]:
    """At least one Tempest version can be built."""
    catalogue = Catalogue(settings.environments)
    catalogue.refresh()
    offers = catalogue.offers()
    for offer in offers:
        if offer.problem:
            yield Finding(f"Tempest {offer.label}", WARNING, offer.problem, "see 'refstack-worker versions'")
        else:
            warm = "warm" if offer.warm else "not in the store yet: the first run waits; 'refstack-worker env build'"
            yield Finding(f"Tempest {offer.label}", GOOD, warm)
    if not any(not offer.problem for offer in offers):
        yield Finding("versions", BAD, "no Tempest version can be built here", "install a refstack-tempest package")


def check_interpreters(settings: WorkerSettings) -> Iterator[Finding]:
    """There are interpreters, and those that are configured work."""
    found = interpreters.find(settings.environments.interpreters)
    known = {str(interpreter.path) for interpreter in found}
    for path in settings.environments.interpreters:
        if not os.access(path, os.X_OK):
            yield Finding(
                f"interpreter {path}", BAD, "is not there or not executable", "mend environments.interpreters"
            )
    shown = ", ".join(f"{item.version} {item.path}" for item in found)
    yield Finding("interpreters", GOOD if known else BAD, shown or "none", "" if known else "install python3")


def check_program(settings: WorkerSettings) -> Iterator[Finding]:
    """``execute_test`` is there."""
    try:
        yield Finding("execute_test", GOOD, " ".join(commands.find_program(settings.run.execute_test)))
    except ConfigError as error:
        yield Finding("execute_test", BAD, str(error))


def check_runner(settings: WorkerSettings) -> Iterator[Finding]:
    """Runs get a user of their own, or it is said that they do not."""
    path = settings.run.socket
    if settings.run.runner == "embedded" or (settings.run.runner == "auto" and not path.is_socket()):
        todo = "'systemctl enable --now refstack-run.socket', and run.runner = \"auto\""
        yield Finding("runner", WARNING, "embedded: a run is a process of the worker's own user", todo)
        return
    if not path.is_socket():
        yield Finding("runner", BAD, f"{path} is not there", "systemctl enable --now refstack-run.socket")
        return
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(str(path))
        yield Finding("runner", GOOD, f"systemd, {path}")
    except OSError as error:
        todo = "systemctl restart refstack-run.socket; doctor has to be root or the worker's user"
        yield Finding("runner", BAD, f"{path}: {error.strerror}", todo)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _is_closed(path: Path) -> bool:
    return path.exists() and not path.stat().st_mode & 0o001


def _worker_user() -> pwd.struct_passwd | None:
    """Return the worker's user when doctor is root and can judge for it; None: judge for this user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("refstack-worker")
    except KeyError:
        return None
