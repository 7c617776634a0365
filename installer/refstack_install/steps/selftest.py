"""A complete test run through gearmand, the store, the sandbox and Tempest. Only ``verify`` does it."""

from __future__ import annotations

import json

from refstack_install.errors import VerifyError
from refstack_install.files import Record
from refstack_install.hosts import units
from refstack_install.step import Change, Step

SECONDS = 600.0
AS_WORKER = ("runuser", "-u", "refstack-worker", "--")
"""As root, the self-test would leave files in the store that the worker cannot remove."""


class SelfTestStep(Step):
    """The self-test run of each Tempest version."""

    name = "selftest"
    title = "self-test run"

    def check(self) -> list[Change]:
        return []

    def apply(self) -> None:
        """Do nothing: the self-test changes nothing."""

    def undo(self, record: Record) -> None:
        """Do nothing: the self-test changed nothing."""

    def verify(self) -> None:
        """Run the self-test for each Tempest version without plugins. :raises VerifyError: one did not pass."""
        # of a version with plugins the environment was proven to list its tests; the self-test runs a plain one
        for version in (name for name in self.answers.names("tempest.versions") if "-" not in name):
            argv = [*AS_WORKER, units.PROGRAM, "selftest", version, "-f", "json"]
            done = self.system.run(argv, SECONDS)
            if done.status != 0 or not _passed(done.out):
                raise VerifyError(
                    f"the self-test run of Tempest {version} did not pass",
                    done.output_tail.replace("\n", " | "),
                    "see 'refstack-worker doctor' and 'journalctl -u refstack-worker'",
                )


def _passed(out: str) -> bool:
    try:
        return bool(json.loads(out)["state"] == "finished")
    except (ValueError, KeyError, TypeError):
        return False
