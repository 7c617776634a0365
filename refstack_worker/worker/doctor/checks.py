"""``refstack-worker doctor``: checks for common problems of a node, with instructions to fix them. Changes nothing."""

from __future__ import annotations

import email.utils
import os
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import requests

from refstack_worker.config.worker import WorkerSettings, credential
from refstack_worker.contract import keys
from refstack_worker.environments import interpreters
from refstack_worker.environments.catalogue import Catalogue
from refstack_worker.errors import ConfigError, RefstackError
from refstack_worker.worker.doctor.finding import BAD, GOOD, WARNING, Finding
from refstack_worker.worker.doctor.folder_checks import check_disks, check_folders
from refstack_worker.worker.doctor.queue_checks import CONNECT_SECONDS, check_gearman, is_loopback
from refstack_worker.worker.doctor.unit_checks import check_authorities, check_units
from refstack_worker.worker.sandbox import commands

MAX_SKEW_SECONDS = 60.0
"""Between this node's clock and a server's; more than that makes certificates and node messages invalid."""


def examine(settings: WorkerSettings) -> list[Finding]:
    """Make all the checks; a check that fails to run is a finding itself."""
    checks: tuple[tuple[str, Callable[[WorkerSettings], Iterator[Finding]]], ...] = (
        ("settings", check_settings),
        ("keys", check_keys),
        ("names", check_names),
        ("gearman", check_gearman),
        ("server", check_servers),
        ("folders", check_folders),
        ("disk", check_disks),
        ("units", check_units),
        ("ca_file", check_authorities),
        ("versions", check_versions),
        ("interpreters", check_interpreters),
        ("execute_test", check_program),
        ("runner", check_runner),
    )
    findings: list[Finding] = []
    for name, check in checks:
        try:
            findings += check(settings)
        except RefstackError as error:
            findings.append(Finding(name, BAD, str(error)))
        except OSError as error:
            findings.append(Finding(name, BAD, str(error), "run doctor as root or as the worker's user"))
    return findings


def check_settings(settings: WorkerSettings) -> Iterator[Finding]:
    """A server is set; that the file is valid, doctor's start has shown."""
    yield Finding("settings", GOOD, f"{settings.file}: node {settings.node.name}, {settings.node.slots} slots")
    if not settings.server.urls:
        yield Finding(
            "settings",
            BAD,
            "server.urls is empty",
            f"name your RefStack server in {settings.file.parent}/conf.d/site.toml",
        )


def check_keys(settings: WorkerSettings) -> Iterator[Finding]:
    """Both key files are readable and hold keys; other users cannot read the private one."""
    for name, path, load in (
        ("fleet_private", settings.keys.fleet_private, keys.load_seal_private),
        ("server_public", settings.keys.server_public, keys.load_sign_public),
    ):
        place = credential(path)
        try:
            ring = load(place)
        except RefstackError as error:
            todo = "copy it from the RefStack server, or 'refstack-worker enrol' with a token from there"
            yield Finding(f"key {name}", BAD, str(error), todo)
        else:
            yield Finding(f"key {name}", GOOD, f"{place}: {', '.join(key_id for key_id, _ in ring.keys)}")


def check_names(settings: WorkerSettings) -> Iterator[Finding]:
    """``localhost`` resolves: without it gearmand does not start, and much else fails."""
    try:
        socket.getaddrinfo("localhost", None)
        yield Finding("localhost resolves", GOOD, "yes")
    except socket.gaierror as error:
        todo = "add the line '127.0.0.1 localhost' to /etc/hosts"
        yield Finding("localhost resolves", BAD, str(error.strerror), todo)


def check_servers(settings: WorkerSettings) -> Iterator[Finding]:
    """Each RefStack server responds over trusted TLS, and its clock agrees with this one."""
    for url in settings.server.urls:
        parts = urlsplit(url)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            found = "not encrypted: passwords of clouds can be read on the network"
            yield Finding(f"server {url} TLS", WARNING, found, "use https")
        yield from _server(url, settings)


def _server(url: str, settings: WorkerSettings) -> Iterator[Finding]:
    check = f"server {url}"
    try:
        response = requests.get(
            f"{url}/get-testcases",
            params={"test_id": "0"},
            timeout=CONNECT_SECONDS,
            allow_redirects=False,
            verify=settings.server.ca_file or True,
        )
    except requests.exceptions.SSLError as error:
        yield Finding(check, BAD, f"untrusted certificate: {error}", "set server.ca_file to its certificate authority")
        return
    except (requests.RequestException, OSError) as error:
        yield Finding(check, BAD, f"no connection: {error}", "check that it is running and lets this node connect")
        return
    if response.status_code >= 500 or 300 <= response.status_code < 400:
        todo = "look at the server's log; redirects are not followed"
        yield Finding(check, BAD, f"response {response.status_code}", todo)
    else:
        yield Finding(check, GOOD, f"responds ({response.status_code})")
    yield from _clock(url, response.headers.get("Date", ""))


def _clock(url: str, date: str) -> Iterator[Finding]:
    try:
        skew = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, IndexError):
        return
    check = f"clock against {url}"
    if abs(skew) > MAX_SKEW_SECONDS:
        yield Finding(check, BAD, f"{skew:+.0f} s", "set the clock; run chrony or systemd-timesyncd")
    else:
        yield Finding(check, GOOD, f"{skew:+.0f} s")


def check_versions(settings: WorkerSettings) -> Iterator[Finding]:
    """The node can build at least one Tempest version."""
    catalogue = Catalogue(settings.environments)
    catalogue.refresh()
    offers = catalogue.offers()
    for offer in offers:
        if offer.problem:
            yield Finding(f"Tempest {offer.label}", WARNING, offer.problem, "see 'refstack-worker versions'")
        elif offer.warm:
            yield Finding(f"Tempest {offer.label}", GOOD, "in the store")
        else:
            todo = f"'refstack-worker env warm {offer.version}' fills the store"
            yield Finding(f"Tempest {offer.label}", GOOD, "not in the store: the first run has to wait", todo)
    if not any(not offer.problem for offer in offers):
        found = "this node can build no Tempest version"
        yield Finding("versions", BAD, found, "install a refstack-tempest package")


def check_interpreters(settings: WorkerSettings) -> Iterator[Finding]:
    """There is a Python interpreter, and the configured ones work."""
    installed = interpreters.find(settings.environments.interpreters)
    for path in settings.environments.interpreters:
        if not os.access(path, os.X_OK):
            todo = "fix environments.interpreters"
            yield Finding(f"interpreter {path}", BAD, "does not exist or is not executable", todo)
    shown = ", ".join(f"{item.version} {item.path}" for item in installed)
    todo = "" if installed else "install python3"
    yield Finding("interpreters", GOOD if installed else BAD, shown or "none", todo)


def check_program(settings: WorkerSettings) -> Iterator[Finding]:
    """``execute_test`` is installed and can be started."""
    try:
        yield Finding("execute_test", GOOD, " ".join(commands.find_program(settings.run.execute_test)))
    except ConfigError as error:
        yield Finding("execute_test", BAD, str(error))


def check_runner(settings: WorkerSettings) -> Iterator[Finding]:
    """Runs get a user of their own; a warning if they do not."""
    path = settings.run.socket
    if settings.run.runner == "embedded" or (settings.run.runner == "auto" and not path.is_socket()):
        todo = "'systemctl enable --now refstack-run.socket', and run.runner = \"auto\""
        yield Finding("runner", WARNING, "embedded: runs use the worker's own user", todo)
        return
    if not path.is_socket():
        yield Finding("runner", BAD, f"{path} does not exist", "systemctl enable --now refstack-run.socket")
        return
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(str(path))
        yield Finding("runner", GOOD, f"systemd, {path}")
    except OSError as error:
        todo = "run doctor as root or as the worker's user; else 'systemctl restart refstack-run.socket'"
        yield Finding("runner", BAD, f"{path}: {error.strerror}", todo)
