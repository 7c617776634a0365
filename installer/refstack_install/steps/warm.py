"""Fills the environment store.

Filling starts when the worker's package notices a new Tempest package, and continues while the units start. A run that
starts earlier builds its own environment, or waits for it.
"""

from __future__ import annotations

import json
from typing import Any

from refstack_install.errors import StepError, VerifyError
from refstack_install.files import Record
from refstack_install.hosts import units
from refstack_install.step import Change, Step

WARM_UNIT = "refstack-env-warm.service"
SECONDS = 1800.0


class WarmStep(Step):
    """The environment of each Tempest version: unpacked, compiled, and proven to list tests."""

    name = "warm"
    title = "environments warm"

    def check(self) -> list[Change]:
        if not self.answers.flag("tempest.warm") or not self.system.systemd_runs():
            return []
        # apply waits for a running fill anyway; asking about it would only slow it down
        known = {} if units.is_activating(self.system, WARM_UNIT) else self._versions()
        return [
            Change(f"environment {version}", "cold", "warm")
            for version in self.answers.names("tempest.versions")
            if not _is_warm(known.get(version, {}))
        ]

    def apply(self) -> None:
        # if it is already running, this waits for it
        done = self.system.run(["systemctl", "start", WARM_UNIT], SECONDS)
        if done.status != 0:
            raise StepError(
                "cannot fill the environment store",
                units.log_tail(self.system, WARM_UNIT),
                "see 'refstack-worker versions', fix this and run again",
            )

    def verify(self) -> None:
        known = self._versions()
        for version in self.answers.names("tempest.versions"):
            row = known.get(version, {})
            if self.answers.flag("tempest.warm") and not _is_warm(row):
                problem = str(row.get("Problem") or "not in the store")
                raise VerifyError(f"Tempest {version} is not ready", problem, "see 'refstack-worker versions'")

    def undo(self, record: Record) -> None:
        """Keep the store: it is the packages' cache and is removed with them."""

    def _versions(self) -> dict[str, dict[str, Any]]:
        if not self.system.path(units.PROGRAM).exists():
            return {}
        done = self.system.run([units.PROGRAM, "versions", "-f", "json"])
        try:
            return {row.get("Name") or row["Version"]: row for row in json.loads(done.out)}
        except (ValueError, KeyError, TypeError):
            return {}


def _is_warm(row: dict[str, Any]) -> bool:
    return bool(row.get("Warm")) and bool(row.get("Tests")) and not row.get("Problem")
