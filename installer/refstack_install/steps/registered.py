"""The proof that the node is one: gearmand has it for each of its Tempest versions; and a whole run in small."""

from __future__ import annotations

import json
import socket
import time

from refstack_install import gearadmin, unitcontrol
from refstack_install.errors import StepError, VerifyError
from refstack_install.step import Change, Record, Step

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.1
SELFTEST_SECONDS = 600.0
AS_WORKER = ("runuser", "-u", "refstack-worker", "--")
"""As root the self-test would leave files in the store that the worker cannot remove."""


class Registered(Step):
    """The worker, as gearmand has it."""

    name = "registered"
    title = "registered with gearmand"

    def check(self) -> list[Change]:
        if not self._applies():
            return []
        return [
            Change(f"{function} at {server}", "", f"registered by {self.node}")
            for server in self.answers.names("gearman.servers")
            for function in sorted(self._wanted() - self._functions(server))
        ]

    def apply(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while left := self.check():
            if time.monotonic() > deadline:
                raise StepError(
                    f"gearmand does not have {left[0].what} after {WAIT_SECONDS:g} s",
                    unitcontrol.last_words(self.system, unitcontrol.WORKER),
                    "see 'refstack-worker doctor', mend that and run again",
                )
            time.sleep(LOOK_SECONDS)

    def undo(self, record: Record) -> None:
        """Nothing of its own: a worker that is stopped is registered no longer."""

    @property
    def node(self) -> str:
        """How the node calls itself."""
        return self.answers.text("node.name") or socket.gethostname()

    def _applies(self) -> bool:
        return all(self.answers.flag(f) for f in ("service.start", "preflight.services")) and self.system.systemd_runs()

    def _wanted(self) -> set[str]:
        return {f"refstack:tempest:{version}" for version in self.answers.names("tempest.versions")}

    def _functions(self, server: str) -> set[str]:
        try:
            rows = gearadmin.workers(server)
        except OSError as error:
            raise StepError(f"gearmand at {server} does not answer", str(error), "start it and run again") from error
        mine = [row for row in rows if row.client_id == self.node or row.client_id.startswith(f"{self.node}:")]
        return {function for row in mine for function in row.functions}


class SelfTest(Step):
    """A run through gearmand, the store, the run's sandbox and Tempest; only ``verify`` does it."""

    name = "selftest"
    title = "self-test run"

    def check(self) -> list[Change]:
        return []

    def apply(self) -> None:
        """Nothing to change."""

    def undo(self, record: Record) -> None:
        """Nothing was changed."""

    def verify(self) -> None:
        """Run it for each Tempest version. :raises VerifyError: it did not pass."""
        for version in self.answers.names("tempest.versions"):
            argv = [*AS_WORKER, unitcontrol.PROGRAM, "selftest", version, "-f", "json"]
            done = self.system.run(argv, SELFTEST_SECONDS)
            if done.status != 0 or not _passed(done.out):
                raise VerifyError(
                    f"the self-test run of Tempest {version} did not pass",
                    done.said.replace("\n", " | "),
                    "see 'refstack-worker doctor' and 'journalctl -u refstack-worker'",
                )


def _passed(out: str) -> bool:
    try:
        return bool(json.loads(out)["state"] == "finished")
    except (ValueError, KeyError, TypeError):
        return False
