"""Floating addresses that answer: a network namespace in which all of them are local, reached over a veth pair.

A namespace has ports of its own, so port 22 of these addresses is free even where the machine runs an SSH server.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from democloud.openstack.runtime import Runtime
from democloud.openstack.shape import Site
from democloud.ports import CloudError
from refstack_worker import process
from refstack_worker.errors import ProcessError

SSH = 22
LISTEN = """
import os, socket, sys
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=64)
os.set_inheritable(listener.fileno(), True)
socket.send_fds(socket.socket(fileno=int(sys.argv[2])), [b"."], [listener.fileno()])
"""
"""Opens a socket in the namespace and passes it out: a socket stays in the namespace that it was made in."""


def name(site: Site) -> str:
    """Name of the namespace and of the outer end of the pair; interfaces have at most 15 characters."""
    return f"rsc-{site.floating.replace('.', '-')}"


def start(site: Site, runtime: Runtime) -> None:
    """Make the namespace and answer by SSH in it."""
    inside, outside = f"{name(site)}i", name(site)
    network, transit = f"{site.floating}.0/24", f"169.254.{site.floating.rpartition('.')[2]}"
    try:
        _ip("netns", "add", outside)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", outside)
        for where, link, address in (((), outside, f"{transit}.1/30"), (("-n", outside), inside, f"{transit}.2/30")):
            _ip(*where, "address", "add", address, "dev", link)
            _ip(*where, "link", "set", link, "up")
        _ip("-n", outside, "link", "set", "lo", "up")
        _ip("-n", outside, "route", "add", "local", network, "dev", "lo")
        _ip("route", "add", network, "via", f"{transit}.2")
    except ProcessError as error:
        raise CloudError(f"floating IPs need a network namespace (do without: --no-ssh): {error}") from error
    with _listener(site) as listener:
        number = listener.fileno()
        program = (runtime.software.python, "-m", "democloud.standins.guests")
        command: list[str | Path] = [*program, site.folder / "cloud.json", str(number)]
        runtime.services.start("guests", command, runtime.environment(), (number,))


def stop(site: Site) -> None:
    """Take the namespace away, and with it the addresses, the pair and the route."""
    with suppress(ProcessError):
        _ip("link", "del", name(site))
    with suppress(ProcessError):
        _ip("netns", "del", name(site))


def _listener(site: Site) -> socket.socket:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = ["ip", "netns", "exec", name(site), sys.executable, "-c", LISTEN, str(SSH), str(theirs.fileno())]
        started = process.start(command, pass_fds=(theirs.fileno(),), stderr=subprocess.PIPE, text=True)
        theirs.close()
        fds = socket.recv_fds(ours, 1, 1)[1]
        problem = started.communicate()[1]
    if not fds:
        raise CloudError(f"port {SSH} of the floating IPs: {problem[-500:]}")
    return socket.socket(fileno=fds[0])


def _ip(*words: str) -> None:
    process.run(["ip", *words], process.Options(timeout=30))
