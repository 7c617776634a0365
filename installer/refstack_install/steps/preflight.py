"""Checks whether this machine can become a node. Reports all problems at once and changes nothing."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import urlsplit

from refstack_install.answers import key_files
from refstack_install.errors import AnswersError, PreflightError
from refstack_install.files import Record
from refstack_install.hosts import gearmand, http
from refstack_install.package_names import WORKER
from refstack_install.packages.manager import PackageManager
from refstack_install.step import Change, Context, Step

FINISHED_NODE_MB = 64
"""Free space that the installer's own files need on an installed node."""
CLOCK_SECONDS = 30.0

Problem = tuple[str, str]
"""What is wrong, and what to do."""


HIDDEN = ("/home/", "/root/")
"""Folders that the worker's units cannot see (``ProtectHome=``)."""


class PreflightStep(Step):
    """The machine, the answers and the services that the node needs."""

    name = "preflight"
    title = "machine and network"

    def __init__(self, context: Context, manager: PackageManager) -> None:
        super().__init__(context)
        self.manager = manager

    def check(self) -> list[Change]:
        """Return no changes. :raises PreflightError: there are problems; the message lists all of them."""
        problems = [*self._machine(), *self._inputs()]
        if self.answers.flag("preflight.services"):
            problems += self._services()
        if len(problems) == 1:
            raise PreflightError(problems[0][0], todo=problems[0][1])
        if problems:
            text = "; ".join(f"({number}) {what}: {todo}" for number, (what, todo) in enumerate(problems, 1))
            raise PreflightError(f"{len(problems)} problems", text)
        return []

    def apply(self) -> None:
        """Do nothing: this step only checks."""

    def undo(self, record: Record) -> None:
        """Do nothing: this step changed nothing."""

    def _machine(self) -> Iterator[Problem]:
        if not self.system.is_root():
            yield "not running as root", "run it as root (sudo refstack-install ...)"
        installed = WORKER in self.manager.installed()
        required = FINISHED_NODE_MB if installed else self.answers.number("preflight.disk_mb")
        free = shutil.disk_usage(self.system.path("/var")).free // 2**20
        if free < required:
            yield f"{free} MiB free below /var, {required} required", "free space, or lower preflight.disk_mb"
        memory = self._memory_mb()
        if memory < self.answers.number("preflight.memory_mb"):
            yield f"{memory} MiB of memory", "add memory, or lower preflight.memory_mb"
        if self.system.is_live and not self.system.systemd_runs():
            yield "systemd is not running", "use a machine or container with systemd as init"

    def _inputs(self) -> Iterator[Problem]:
        for read in self._keys():
            try:
                read()
            except AnswersError as error:
                yield error.what + (f" ({error.why})" if error.why else ""), error.todo
        ca_file = self.answers.text("server.ca_file")
        if ca_file and not self.system.path(ca_file).is_file():
            yield f"server.ca_file = {ca_file} does not exist", "copy the CA certificate to that path"
        elif ca_file.startswith(HIDDEN):
            todo = "move it, for example to /etc/ssl/certs"
            yield f"server.ca_file = {ca_file}: the worker's unit sees nothing below /home and /root", todo

    def _keys(self) -> Iterator[Callable[[], object]]:
        """Yield what reads each key that the answers name, and the token of a node that has yet to enrol."""
        for key in key_files.KEY_FILES:
            if self.answers.text(key.setting):
                yield partial(key_files.content, key, self.system, self.answers)
        fleet, _ = key_files.KEY_FILES
        if self.answers.text("keys.enrolment") and not self.system.path(fleet.path).exists():
            yield partial(key_files.token, self.system, self.answers)

    def _services(self) -> Iterator[Problem]:
        hosts = [gearmand.split(server)[0] for server in self.answers.names("gearman.servers")]
        hosts += [urlsplit(url).hostname or "" for url in self.answers.names("server.urls")]
        unknown = set()
        for host in dict.fromkeys(hosts):
            try:
                socket.getaddrinfo(host, None)
            except OSError as error:
                unknown.add(host)
                yield f"the name {host} does not resolve ({error})", "fix DNS or /etc/hosts"
        for server in self.answers.names("gearman.servers"):
            if gearmand.split(server)[0] not in unknown:
                yield from _gearmand(server)
        for url in self.answers.names("server.urls"):
            if urlsplit(url).hostname not in unknown:
                yield from self._server(url)

    def _server(self, url: str) -> Iterator[Problem]:
        try:
            offset = http.clock_offset(url, self.answers.text("server.ca_file"))
        except OSError as error:
            yield f"the server {url} does not answer ({error})", "start it, open the firewall, or correct server.urls"
            return
        if offset is not None and abs(offset) > CLOCK_SECONDS and self.answers.flag("preflight.clock"):
            yield f"the clock differs from the server's by {offset:+.0f} s", "set the clock (for example with chrony)"

    def _memory_mb(self) -> int:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemTotal:"))


def _gearmand(server: str) -> Iterator[Problem]:
    try:
        gearmand.workers(server)
    except OSError as error:
        problem = f"gearmand at {server} does not answer ({error})"
        yield problem, "start it, open the firewall, or correct gearman.servers"
