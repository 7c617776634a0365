"""Free loopback ports, and waiting until somebody listens on one."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from refstack_worker.errors import RefstackError

POLL_SECONDS = 0.05


class CloudError(RefstackError):
    """The test cloud could not be prepared, started or stopped."""

    reason = "test-cloud"


def free(count: int) -> list[int]:
    """Return ``count`` different TCP ports of the loopback address that nobody listens on right now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def listening(port: int) -> bool:
    """Tell whether somebody accepts connections on this loopback port."""
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
            raise CloudError(f"{what} did not happen within {seconds:g} s")
        time.sleep(POLL_SECONDS)
