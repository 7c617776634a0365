"""Waits until gearmand lists the node for each of its Tempest versions."""

from __future__ import annotations

import socket
import time

from refstack_install.errors import StepError
from refstack_install.files import Record
from refstack_install.hosts import gearmand, units
from refstack_install.step import Change, Step

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.1


class RegistrationStep(Step):
    """The worker's registration with gearmand."""

    name = "registered"
    title = "registered with gearmand"

    def check(self) -> list[Change]:
        if not self._applies():
            return []
        return [
            Change(f"{function} at {server}", "", f"registered by {self.node}")
            for server in self.answers.names("gearman.servers")
            for function in sorted(self._required() - self._registered(server))
        ]

    def apply(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while left := self.check():
            if time.monotonic() > deadline:
                raise StepError(
                    f"{left[0].what}: not registered after {WAIT_SECONDS:g} s",
                    units.log_tail(self.system, units.WORKER),
                    "see 'refstack-worker doctor', fix this and run again",
                )
            time.sleep(LOOK_SECONDS)

    def undo(self, record: Record) -> None:
        """Do nothing: stopping the worker ends its registration."""

    @property
    def node(self) -> str:
        return self.answers.text("node.name") or socket.gethostname()

    def _applies(self) -> bool:
        return all(self.answers.flag(f) for f in ("service.start", "preflight.services")) and self.system.systemd_runs()

    def _required(self) -> set[str]:
        return {
            f"refstack:tempest:{version}" for version in self.answers.names("tempest.versions") if "-" not in version
        }

    def _registered(self, server: str) -> set[str]:
        try:
            rows = gearmand.workers(server)
        except OSError as error:
            raise StepError(f"gearmand at {server} does not answer", str(error), "start it and run again") from error
        ours = [row for row in rows if row.client_id == self.node or row.client_id.startswith(f"{self.node}:")]
        return {function for row in ours for function in row.functions}
