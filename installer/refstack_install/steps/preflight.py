"""Can this machine become a node? Looks, says everything that is in the way at once, and changes nothing."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from refstack_install import gearadmin, keyfiles, reach
from refstack_install.backends.base import PackageManager
from refstack_install.errors import AnswersError, PreflightError
from refstack_install.step import Change, Context, Record, Step
from refstack_install.steps.packages import WORKER

FINISHED_NODE_MB = 64
"""What a node that is set up already must have left for the installer's own files."""
CLOCK_SECONDS = 30.0

Problem = tuple[str, str]
"""What is wrong, and what to do about it."""


class Preflight(Step):
    """The machine and its surroundings."""

    name = "preflight"
    title = "machine and network"

    def __init__(self, context: Context, manager: PackageManager) -> None:
        super().__init__(context)
        self.manager = manager

    def check(self) -> list[Change]:
        """Return nothing, or raise everything that is in the way. :raises PreflightError: something is."""
        problems = [*self._machine(), *self._inputs()]
        if self.answers.flag("preflight.services"):
            problems += self._services()
        if len(problems) == 1:
            raise PreflightError(problems[0][0], todo=problems[0][1])
        if problems:
            text = "; ".join(f"({number}) {what}: {todo}" for number, (what, todo) in enumerate(problems, 1))
            raise PreflightError(f"{len(problems)} things are in the way", text)
        return []

    def apply(self) -> None:
        """Nothing to do: looking is all."""

    def undo(self, record: Record) -> None:
        """Nothing was done."""

    def _machine(self) -> Iterator[Problem]:
        if not self.system.is_root():
            yield "not run as root", "run it as root (sudo refstack-install ...)"
        installed = WORKER in self.manager.installed()
        wanted = FINISHED_NODE_MB if installed else self.answers.number("preflight.disk_mb")
        free = shutil.disk_usage(self.system.path("/var")).free // 2**20
        if free < wanted:
            yield f"{free} MiB are free below /var, {wanted} are needed", "free space, or lower preflight.disk_mb"
        memory = self._memory_mb()
        if memory < self.answers.number("preflight.memory_mb"):
            yield f"{memory} MiB of memory", "give the machine more, or lower preflight.memory_mb"
        if self.system.is_live and not self.system.systemd_runs():
            yield "systemd is not this machine's init", "use a machine (or a container) that systemd runs"

    def _inputs(self) -> Iterator[Problem]:
        for key in keyfiles.KEY_FILES:
            try:
                keyfiles.content(key, self.system, self.answers)
            except AnswersError as error:
                yield error.what + (f" ({error.why})" if error.why else ""), error.todo
        ca_file = self.answers.text("server.ca_file")
        if ca_file and not self.system.path(ca_file).is_file():
            yield f"server.ca_file = {ca_file} is not there", "copy the authority's certificate there"

    def _services(self) -> Iterator[Problem]:
        hosts = [gearadmin.split(server)[0] for server in self.answers.names("gearman.servers")]
        hosts += [urlsplit(url).hostname or "" for url in self.answers.names("server.urls")]
        unknown = set()
        for host in dict.fromkeys(hosts):
            try:
                socket.getaddrinfo(host, None)
            except OSError as error:
                unknown.add(host)
                yield f"the name {host} does not resolve ({error})", "mend DNS or /etc/hosts"
        for server in self.answers.names("gearman.servers"):
            if gearadmin.split(server)[0] not in unknown:
                yield from _gearmand(server)
        for url in self.answers.names("server.urls"):
            if urlsplit(url).hostname not in unknown:
                yield from self._server(url)

    def _server(self, url: str) -> Iterator[Problem]:
        try:
            offset = reach.clock_offset(url, self.answers.text("server.ca_file"))
        except OSError as error:
            yield f"the server {url} does not answer ({error})", "start it, open the firewall, or mend server.urls"
            return
        if offset is not None and abs(offset) > CLOCK_SECONDS and self.answers.flag("preflight.clock"):
            yield f"this machine's clock is {offset:+.0f} s off the server's", "set the clock (install chrony, say)"

    def _memory_mb(self) -> int:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemTotal:"))


def _gearmand(server: str) -> Iterator[Problem]:
    try:
        gearadmin.workers(server)
    except OSError as error:
        yield f"gearmand at {server} does not answer ({error})", "start it, open the firewall, or mend gearman.servers"
