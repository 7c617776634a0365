"""Free loopback ports, and waiting until someone listens on one."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable

from refstack_worker.errors import RefstackError

POLL_SECONDS = 0.05
PORTS = range(20_000, 32_000)
"""Below those that Linux gives to outgoing connections (``net.ipv4.ip_local_port_range``, from 32768)."""


_CHOSEN: list[socket.socket] = []
"""Sockets whose names keep other programs from choosing the same ports, until this one ends."""


class CloudError(RefstackError):
    """The test cloud could not be prepared, started or stopped."""

    reason = "test-cloud"


def free(count: int) -> list[int]:
    """Return ``count`` different TCP ports of the loopback address that no one listens on right now.

    They are not among those that the kernel gives to connections, which could take one before its service has it. Nor
    does this function give one again, here or in another process, while this process lives: the services of two clouds
    that share a port answer each other's requests.
    """
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.sample(PORTS, len(PORTS)):  # nosec B311 - two that ask at once shall differ; no secret
            if len(found) == count:
                break
            probe = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                _choose(port)
                found.append(port)
    if len(found) < count:
        raise CloudError(f"of the ports {PORTS.start} to {PORTS.stop - 1} of 127.0.0.1 only {len(found)} are free")
    return found


def _choose(port: int) -> None:
    """Note that a port is chosen. :raises OSError: another program has noted that."""
    with contextlib.ExitStack() as stack:
        chosen = stack.enter_context(socket.socket(socket.AF_UNIX))
        # no file: a name that Linux forgets with the socket, see unix(7)
        chosen.bind(f"\0refstack-democloud/{port}")
        stack.pop_all()
        _CHOSEN.append(chosen)


def listening(port: int) -> bool:
    """Tell whether someone accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Return once ``condition`` holds.

    :raises CloudError: it does not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CloudError(f"timed out after {seconds:g} s waiting for {what}")
        time.sleep(POLL_SECONDS)
